"""Panel results of a cohort, one file per tested patient: CATS (JSON) and FoundationOne (XML).

Shapes and dirt as measured (genomics 3.1, 3.3): placeholder transcripts, the unit of an older revision, zero copies,
states and units on the wrong biomarker, attributes of another revision. Transcripts are left out where they are right:
the cohort invents no accession but the placeholders.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from masterkey_etl.synth.cohort import CUT, Patient, Variant
from masterkey_etl.synth.dirt import FOUND_BY
from masterkey_etl.synth.identifiers import KINDS
from masterkey_etl.synth.key import KeyWriter, Planted
from masterkey_etl.synth.tables import tables
from masterkey_etl.templates_out.filled import day

Json = dict[str, Any]
DOUBTED, REFUSED, MISSING, UNKNOWN = "etl.doubted", "etl.value-refused", "etl.leaf-missing", "etl.leaf-unknown"
UNLISTED, ELSEWHERE = "etl.code-undeclared", "etl.leaf-elsewhere"
_COPIES = (("CDKN2A", "homozygous deletion"), ("ERBB2", "amplification"), ("EGFR", "amplification"), ("PTEN", "loss"))


class Spot(NamedTuple):
    """A planted value: how many cells it spoils; none where `cells` is 0."""

    value: str
    cells: int


@dataclass(frozen=True, slots=True)
class PanelDirt:
    kind: str
    rate: float
    column: str
    finds: str
    spoil: Callable[[Random, Any], Spot]
    also: str = ""


NOTHING = Spot("", 0)


class _Folder(ABC):
    """What both layouts share: a file per patient whose analysis did not fail."""

    layout, ending = "", ""
    dirt: tuple[PanelDirt, ...] = ()

    def __init__(self, out: Path, site: str, rng: Random, key: KeyWriter) -> None:
        self._out, self._rng, self._key = out, rng, key
        self._folder, self._patients, self._files = f"{site}/{self.layout}", 0, 0
        (out / self._folder).mkdir(exist_ok=True)

    def add(self, patient: Patient, identifiers: int) -> None:
        self._patients += 1
        if patient.failed:
            return
        self._files += 1
        name = f"{self._folder}/{self.layout}_{self._patients:06d}{self.ending}"
        report = self._report(patient)
        record = self._record(patient)
        for kind, column, spot, rule, also in self._spoilt(report, identifiers):
            self._key.add(Planted(name, 0, column, kind, spot.value, self.layout, record, rule, spot.cells, also))
        (self._out / name).write_bytes(self._bytes(report))

    def _spoilt(self, report: Any, identifiers: int) -> Iterator[tuple[str, str, Spot, str, str]]:
        touched: set[str] = set()
        for d in self.dirt:
            if d.column not in touched and self._rng.random() < d.rate and (spot := d.spoil(self._rng, report)).cells:
                touched.add(d.column)
                yield d.kind, d.column, spot, d.finds, d.also
        for _ in range(identifiers):
            kind, make = self._rng.choice(KINDS)
            value = make(self._rng)
            yield f"identifier-{kind}", self._remark(report, value), Spot(value, 1), FOUND_BY, ""

    def close(self) -> dict[str, int]:
        return {self._folder: self._files}

    @abstractmethod
    def _report(self, patient: Patient) -> Any:
        """The report as it should be."""

    @abstractmethod
    def _record(self, patient: Patient) -> str:
        """Its key."""

    @abstractmethod
    def _remark(self, report: Any, value: str) -> str:
        """Put a text into a place for free text; the column."""

    @abstractmethod
    def _bytes(self, report: Any) -> bytes:
        """As it stands in the file."""


def copies(rng: Random) -> Iterator[tuple[str, str, str, int, int]]:
    """Invented copy number changes: gene, kind, chromosome, start, end."""
    spans = {m.marker: m for found in tables().markers.values() for m, _ in found}
    for gene, kind in _COPIES:
        if gene in spans and rng.random() < 0.2:
            yield gene, kind, spans[gene].chromosome, spans[gene].start, spans[gene].end


# -- CATS -----------------------------------------------------------------------------------------------------


class Cats(_Folder):
    layout, ending = "cats", ".json"

    def _record(self, patient: Patient) -> str:
        return patient.key[:16]

    def _report(self, patient: Patient) -> Json:
        small = [v for v in patient.variants if v.content != "fusion"]
        fused = [v for v in patient.variants if v.content == "fusion"]
        return {
            "metaData": {"schemaVersion": "1.2.1", "referenceGenome": {"grcRelease": "GRCh38"}},
            "testInfo": {
                "testId": self._record(patient),
                "testType": "tumor and matched-normal",
                "panelName": "NCC OncoPanel",
                "panelVersion": "4.1",
            },
            "sequencingSamples": [
                {"itemId": "sample-1", "tumorOrNormal": "tumor", "nucleicAcid": "DNA", "meanReadDepth": 812.5},
                {"itemId": "sample-2", "tumorOrNormal": "normal", "nucleicAcid": "DNA", "meanReadDepth": 391.25},
            ],
            "variants": {
                "shortVariants": [_short(n, v) for n, v in enumerate(small, 1)],
                "copyNumberAlterations": [_copy(n, *c) for n, c in enumerate(copies(self._rng), 1)],
                "rearrangements": [_fusion(n, v) for n, v in enumerate(fused, 1)],
            },
            "otherBiomarkers": [_burden(patient.tmb), _instability()],
        }

    def _remark(self, report: Json, value: str) -> str:
        comments = report["metaData"].setdefault("comments", [])
        comments.append({"itemIds": ["biomarker-1"], "contents": [f"sample of {value}"]})
        return "comment_texts"

    def _bytes(self, report: Json) -> bytes:
        return json.dumps(report, ensure_ascii=False, indent=1).encode()


def _item(name: str, n: int) -> Json:
    return {"itemId": f"{name}-{n}", "sampleItemId": "sample-1", "reported": True}


def _short(n: int, v: Variant) -> Json:
    return _item("variant", n) | {
        "chromosome": v.marker.chromosome,
        "position": v.position,
        "referenceAllele": v.alleles[0],
        "alternateAllele": v.alleles[1],
        "alternateAlleleFrequency": round(v.fraction, 4),
        "totalReadDepth": v.depth,
        "variantType": "SNV",
        "variantOrigin": "somatic",
        "transcripts": [{"geneSymbol": v.marker.marker, "aminoAcidsChange": f"p.{v.content}"}],
    }


def _copy(n: int, gene: str, kind: str, chromosome: str, start: int, end: int) -> Json:
    number = {"homozygous deletion": 0.0, "loss": 1.0}.get(kind, 9.0)
    return _item("copy", n) | {
        "chromosome": chromosome,
        "startPosition": start,
        "endPosition": end,
        "copyNumberMetrics": [{"value": number, "unit": "copy number"}],
        "copyNumberAlterationType": kind,
        "variantOrigin": "somatic",
        "transcripts": [{"geneSymbol": gene}],
    }


def _fusion(n: int, v: Variant) -> Json:
    first, second = v.marker.marker.split("-", 1)
    ends = [("18", 26_000_000 + v.depth, first), ("X", 48_000_000 + v.depth, second)]
    return _item("rearrangement", n) | {
        "rearrangementType": "gene fusion",
        "orderedGenePairs": [[first, second]],
        "breakends": [
            {"chromosome": c, "startPosition": at, "endPosition": at, "transcripts": [{"geneSymbol": gene}]}
            for c, at, gene in ends
        ],
        "variantOrigin": "somatic",
    }


def _burden(value: float) -> Json:
    metric = {"value": value, "unit": "mutations-per-megabase", "metricType": "mutations-per-megabase"}
    state = "high" if value >= 10 else "low"
    return _item("biomarker", 1) | {"biomarkerType": "TMB", "state": state, "biomarkerMetrics": [metric]}


def _instability() -> Json:
    metric = {"value": 1.5, "unit": "percent", "metricType": "unstable-sites"}
    return _item("biomarker", 2) | {"biomarkerType": "MSI", "state": "stable", "biomarkerMetrics": [metric]}


def _shorts(report: Json) -> list[Json]:
    found: list[Json] = report["variants"]["shortVariants"]
    return found


def _placeholders(rng: Random, report: Json) -> Spot:
    if len(_shorts(report)) < 3:
        return NOTHING
    first = 2439 + rng.randrange(10_000)
    for n, v in enumerate(_shorts(report)):
        v["transcripts"][0] |= {"transcriptId": f"NM_{first + n:06d}", "transcriptDatabaseName": "RefSeq"}
    return Spot(f"NM_{first:06d}", len(_shorts(report)))


def _old_unit(rng: Random, report: Json) -> Spot:
    found = report["variants"]["copyNumberAlterations"]
    for c in found:
        c["copyNumberMetrics"][0]["unit"] = "absolute copy number"
    return Spot("absolute copy number", len(found))


def _no_copies(rng: Random, report: Json) -> Spot:
    found = report["variants"]["copyNumberAlterations"]
    spoilt = [c for c in found if c["copyNumberAlterationType"] != "homozygous deletion"]
    for c in spoilt:
        c["copyNumberMetrics"][0]["value"] = 0.0
    return Spot("0.0", len(spoilt))


def _biomarker(n: int, name: str, value: str) -> Callable[[Random, Json], Spot]:
    def spoil(rng: Random, report: Json) -> Spot:
        report["otherBiomarkers"][n][name] = value
        return Spot(value, 1)

    return spoil


def _instability_unit(rng: Random, report: Json) -> Spot:
    report["otherBiomarkers"][1]["biomarkerMetrics"][0]["unit"] = "mutations-per-megabase"
    return Spot("mutations-per-megabase", 1)


def _metric(n: int, renamed: str) -> Callable[[Random, Json], Spot]:
    """Leave `metricType` out, or give it under the name it never had."""

    def spoil(rng: Random, report: Json) -> Spot:
        metric = report["otherBiomarkers"][n]["biomarkerMetrics"][0]
        value = metric.pop("metricType")
        if renamed:
            metric[renamed] = value
        return Spot(value if renamed else "", 1)

    return spoil


def _each_short(name: str, value: Any) -> Callable[[Random, Json], Spot]:
    def spoil(rng: Random, report: Json) -> Spot:
        for v in _shorts(report):
            v[name] = value
        return Spot(str(value), len(_shorts(report)))

    return spoil


def _half_reads(rng: Random, report: Json) -> Spot:
    if not _shorts(report):
        return NOTHING
    _shorts(report)[0]["totalReadDepth"] += 0.5
    return Spot(str(_shorts(report)[0]["totalReadDepth"]), 1)


def _old_fusion(rng: Random, report: Json) -> Spot:
    found = report["variants"]["rearrangements"]
    for r in found:
        r["rearrangementType"] = "FUSION"
    return Spot("FUSION", len(found))


def _no_assembly(rng: Random, report: Json) -> Spot:
    del report["metaData"]["referenceGenome"]["grcRelease"]
    report["metaData"]["referenceGenome"]["name"] = "GRCh38"
    return Spot("", 1)


def _no_sample(rng: Random, report: Json) -> Spot:
    del report["otherBiomarkers"][0]["sampleItemId"]
    return Spot("", 1)


Cats.dirt = (
    PanelDirt("placeholder-transcripts", 0.5, "sv_transcript", DOUBTED, _placeholders),
    PanelDirt("absolute-copy-number", 0.2, "cn_unit_1", DOUBTED, _old_unit),
    PanelDirt("zero-copies", 0.2, "cn_value_1", DOUBTED, _no_copies),
    PanelDirt("state-null-text", 0.05, "bm_state", DOUBTED, _biomarker(0, "state", "null")),
    PanelDirt("burden-stable", 0.1, "bm_state", DOUBTED, _biomarker(0, "state", "stable")),
    PanelDirt("state-unlisted", 0.05, "bm_state", UNLISTED, _biomarker(0, "state", "very high"), FOUND_BY),
    PanelDirt("instability-unit", 0.1, "bm_unit_1", DOUBTED, _instability_unit),
    PanelDirt("metric-missing", 0.08, "bm_metric_1", DOUBTED, _metric(0, "")),
    PanelDirt("metric-as-type", 0.08, "bm_metric_1", ELSEWHERE, _metric(1, "type")),
    PanelDirt("test-method", 0.05, "sv_test_method", DOUBTED, _each_short("testMethod", "DNA-seq")),
    PanelDirt("half-reads", 0.05, "sv_depth", REFUSED, _half_reads),
    PanelDirt("old-fusion-type", 0.3, "re_type", DOUBTED, _old_fusion),
    PanelDirt("assembly-missing", 0.05, "assembly", MISSING, _no_assembly),
    PanelDirt("sample-missing", 0.05, "bm_sample", MISSING, _no_sample),
    PanelDirt("unknown-property", 0.05, "variants.shortVariants.score", UNKNOWN, _each_short("score", 0.5)),
)


# -- FoundationOne --------------------------------------------------------------------------------------------

_RR = "http://integration.foundationmedicine.com/reporting"
_VR = "http://foundationmedicine.com/compbio/variant-report-external"
register_namespace("rr", _RR)
register_namespace("variant", _VR)
_STATUS = {"A": "known", "B": "known", "C": "likely"}


def _v(name: str) -> str:
    return f"{{{_VR}}}{name}"


class FoundationOne(_Folder):
    layout, ending = "foundationone", ".xml"

    def _record(self, patient: Patient) -> str:
        return f"SYN{patient.key[:12]}"

    def _report(self, patient: Patient) -> Element:
        root = Element(f"{{{_RR}}}ResultsReport")
        customer = SubElement(root, f"{{{_RR}}}CustomerInformation")
        SubElement(customer, f"{{{_RR}}}MRN").text = patient.key[-10:]
        payload = SubElement(root, f"{{{_RR}}}ResultsPayload")
        self._final(payload, patient)
        self._variants(payload, patient)
        return root

    def _final(self, payload: Element, p: Patient) -> None:
        final = SubElement(payload, "FinalReport")
        SubElement(final, "ReportId").text = self._record(p)
        SubElement(final, "Version").text = "1"
        sample = SubElement(final, "Sample")
        SubElement(sample, "TestType").text = "FoundationOne CDx"
        SubElement(sample, "SpecFormat").text = "Block"
        SubElement(sample, "ReceivedDate").text = day(min(p.specimen + 7, CUT))
        information = SubElement(final, "PMI")
        SubElement(information, "SubmittedDiagnosis").text = p.entity.histology
        SubElement(information, "Gender").text = "Female" if p.female else "Male"
        SubElement(information, "DOB").text = f"{date.fromordinal(p.registered).year - p.age}-07-01"

    def _variants(self, payload: Element, p: Patient) -> None:
        said = {"disease": p.entity.level1_name, "gender": "female" if p.female else "male"}
        said |= {"pathology-diagnosis": p.entity.histology, "percent-tumor-nuclei": str(p.tumour_content)}
        report = SubElement(payload, _v("variant-report"), said)
        samples = SubElement(report, _v("samples"))
        sample = {"name": f"{self._record(p)}.01", "mean-exon-depth": "812.5", "nucleic-acid-type": "DNA"}
        SubElement(samples, _v("sample"), sample)
        SubElement(report, _v("quality-control"), {"status": "Pass"})
        short, fused = SubElement(report, _v("short-variants")), SubElement(report, _v("rearrangements"))
        for v in p.variants:
            if v.content == "fusion":
                SubElement(fused, _v("rearrangement"), _rearranged(v))
            else:
                SubElement(short, _v("short-variant"), _changed(v))
        found = SubElement(report, _v("copy-number-alterations"))
        for gene, kind, chromosome, start, end in copies(self._rng):
            SubElement(found, _v("copy-number-alteration"), _copied(gene, kind, f"chr{chromosome}:{start}-{end}"))
        markers = SubElement(report, _v("biomarkers"))
        SubElement(markers, _v("microsatellite-instability"), {"status": "MSS"})
        burden = {"score": f"{p.tmb:.2f}", "status": "high" if p.tmb >= 10 else "low"}
        SubElement(markers, _v("tumor-mutation-burden"), burden | {"unit": "mutations-per-megabase"})

    def _remark(self, report: Element, value: str) -> str:
        found = _one(report, _v("variant-report"))
        found.set("pathology-diagnosis", f"{found.get('pathology-diagnosis')} {value}")
        return "pathology"

    def _bytes(self, report: Element) -> bytes:
        indent(report)
        return bytes(tostring(report, encoding="utf-8", xml_declaration=True))


def _changed(v: Variant) -> dict[str, str]:
    return {
        "gene": v.marker.marker,
        "position": f"chr{v.marker.chromosome}:{v.position}",
        "cds-effect": f"{v.position % 3000 + 1}{v.alleles[0]}>{v.alleles[1]}",
        "protein-effect": v.content,
        "functional-effect": "missense",
        "allele-fraction": f"{v.fraction:.4f}",
        "percent-reads": f"{100 * v.fraction:.2f}",
        "depth": str(v.depth),
        "status": _STATUS.get(v.marker.level, "unknown"),
        "equivocal": "false",
    }


def _copied(gene: str, kind: str, position: str) -> dict[str, str]:
    name, number = ("amplification", "9") if kind == "amplification" else ("loss", "0")
    status = {"status": "known", "equivocal": "false", "number-of-exons": "7 of 7"}
    return {"gene": gene, "position": position, "type": name, "copy-number": number} | status


def _rearranged(v: Variant) -> dict[str, str]:
    first, second = v.marker.marker.split("-", 1)
    return {
        "targeted-gene": first,
        "other-gene": second,
        "type": "fusion",
        "pos1": f"chr18:{26_000_000 + v.depth}",
        "pos2": f"chrX:{48_000_000 + v.depth}",
        "in-frame": "unknown",
        "supporting-read-pairs": str(v.depth // 10),
        "status": "known",
        "equivocal": "false",
    }


def _one(report: Element, name: str) -> Element:
    found = next(report.iter(name), None)
    assert found is not None, "every report has one"
    return found


def _attribute(element: str, name: str, value: str, every: bool = False) -> Callable[[Random, Element], Spot]:
    """Set an attribute of the first (or every) element of that name; take it away where the value is empty."""

    def spoil(rng: Random, report: Element) -> Spot:
        found = list(report.iter(_v(element)))
        for e in found if every else found[:1]:
            if value:
                e.set(name, value)
            else:
                e.attrib.pop(name)
        return Spot(value, len(found) if every else len(found[:1]))

    return spoil


def _target(rng: Random, report: Element) -> Spot:
    found = list(report.iter(_v("rearrangement")))
    for e in found:
        e.set("target-gene", e.attrib.pop("targeted-gene"))
    return Spot("target-gene", len(found))


def _received(rng: Random, report: Element) -> Spot:
    found = _one(report, "ReceivedDate")
    found.text = "21 July 2016"
    return Spot(found.text, 1)


FoundationOne.dirt = (
    PanelDirt("specimen-qualified", 0.1, "quality", DOUBTED, _attribute("quality-control", "status", "Qualified")),
    PanelDirt("chromosome-alone", 0.05, "sv_position", DOUBTED, _attribute("short-variant", "position", "17")),
    PanelDirt("chromosome-misspelt", 0.5, "re_second", DOUBTED, _attribute("rearrangement", "pos2", "ch17:4115", True)),
    PanelDirt("no-gene", 0.3, "re_other_gene", DOUBTED, _attribute("rearrangement", "other-gene", "N/A", True)),
    PanelDirt("target-gene", 0.5, "re_gene", ELSEWHERE, _target),
    PanelDirt("fraction-over-one", 0.05, "sv_fraction", REFUSED, _attribute("short-variant", "allele-fraction", "1.7")),
    PanelDirt("status-unlisted", 0.05, "sv_status", UNLISTED, _attribute("short-variant", "status", "VUS"), FOUND_BY),
    PanelDirt("gene-missing", 0.05, "sv_gene", MISSING, _attribute("short-variant", "gene", "")),
    PanelDirt("date-in-words", 0.05, "received", REFUSED, _received),
    PanelDirt(
        "unknown-attribute",
        0.05,
        "ResultsPayload.variant-report.short-variants.short-variant.@score",
        UNKNOWN,
        _attribute("short-variant", "score", "7"),
    ),
)


__all__ = ["Cats", "FoundationOne", "PanelDirt"]
