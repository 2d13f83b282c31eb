"""A patient in the layout of the C-CAT secondary-use export: 369 and 64 columns, headers from the source models.

As measured in files of that layout (site-formats 5.4): UTF-8 with BOM, CRLF, no final line end; dates `2019/11/1`,
the last column `2024年8月29日`; `NA` and empty side by side; one row per patient x regimen x list item.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from masterkey_etl.source_model import SourceModel
from masterkey_etl.synth.cohort import CUT, Line, Patient, Variant
from masterkey_etl.synth.tables import Entity

CASE, REPORT = "ccat_case/2020_04", "ccat_report/2020_04"
ONCOTREE = "2020_04_01"
_EMPTY = ("before_drug_jp", "before_brand_typed", "after_drug_jp", "after_ongoing_label", "gene")
_ORGANS = {"膣": "C12408", "肺": "C12468", "乳": "C12971", "肝": "C12392", "骨": "C12366", "脳": "C12438"}
ORGANS = {**_ORGANS, "リンパ節": "C13252", "その他": "C17649"}
_LINES = {1: "１次治療", 2: "２次治療", 3: "３次治療", 4: "４次治療", 5: "５次治療以降"}
_STOP = {"planned": ("1", "計画通り終了"), "ineffective": ("2", "無効中止"), "": ("NA", "NA")}
_PANELS = {True: ("3", "FoundationOne CDx"), False: ("1", "NCC OncoPanel")}
_YES, _NO = ("1", "あり"), ("0", "なし")

Row = list[str]
Facts = dict[str, str]  # column id -> text
Placed = list[tuple[int, str]]  # the same by position
_NOTHING: list[Placed] = [[]]


class Layout(NamedTuple):
    """Where a column stands, the header line, a row without facts, and where a comma may stand in a cell."""

    at: dict[str, int]
    header: Row
    blank: Row
    texts: tuple[int, ...]


def layout(model_id: str) -> Layout:
    model = SourceModel.load(model_id)
    at = dict(model.index)
    blank = ["" if c.id in _EMPTY else "NA" for c in model.columns]
    for masked in ("facility_id", "registration_id"):
        blank[at[masked]] = "********"
    blank[at["database_updated"]] = _long_day(CUT)
    texts = tuple(at[c.id] for c in model.columns if c.type == "text" or "oncotree" in c.id)
    return Layout(at, [c.header for c in model.columns], blank, texts)


@lru_cache(maxsize=8192)
def day(ordinal: int) -> str:
    found = date.fromordinal(ordinal)
    return f"{found.year}/{found.month}/{found.day}"


def _long_day(ordinal: int) -> str:
    found = date.fromordinal(ordinal)
    return f"{found.year}年{found.month}月{found.day}日"


def _day(ordinal: int | None) -> str:
    return "NA" if ordinal is None else day(ordinal)


class Writer:
    """Renders rows of one layout: facts are (column id, text); `_label` columns sit right behind their code."""

    def __init__(self, model_id: str) -> None:
        self.layout = layout(model_id)
        self.at = self.layout.at

    def facts(self, row: Row, facts: dict[str, str]) -> None:
        at = self.at
        for column, text in facts.items():
            row[at[column]] = text

    def pairs(self, row: Row, pairs: dict[str, tuple[str, str]]) -> None:
        at = self.at
        for column, pair in pairs.items():
            i = at[column]
            row[i], row[i + 1] = pair


class Case(Writer):
    """The clinical file."""

    def __init__(self) -> None:
        super().__init__(CASE)
        self._starts: dict[str, Row] = {}

    def rows(self, patient: Patient) -> list[Row]:
        """One row per before-line x after-line x metastatic site x relative, as the exporter joins them."""
        base = self._base(patient)
        parts = (
            [self._placed(_before(line)) for line in patient.before],
            [self._placed(_after(line)) for line in patient.after],
            [self._placed(_pairs({"metastasis_site": (ORGANS[site], site)})) for site in patient.sites],
            [self._placed(_relative(*relative)) for relative in patient.family],
        )
        out = []
        for joined in product(*(part or _NOTHING for part in parts)):
            row = base.copy()
            for facts in joined:
                for i, text in facts:
                    row[i] = text
            out.append(row)
        return out

    def _placed(self, facts: Facts) -> Placed:
        at = self.at
        return [(at[column], text) for column, text in facts.items()]

    def _base(self, p: Patient) -> Row:
        """What every row of the patient says."""
        row = self._start(p.entity).copy()
        self._background(row, p)
        self._panel(row, p)
        self._outcome(row, p)
        return row

    def _start(self, e: Entity) -> Row:
        """What every patient with this tumour says."""
        row = self._starts.get(e.code)
        if row is None:
            row = self._starts[e.code] = self.layout.blank.copy()
            self.facts(row, {"oncotree_version": ONCOTREE, "diagnosis_text": e.histology})
            self.facts(row, {"specimen_site_other": e.site_other or "NA"})
            self.pairs(row, _CONSTANT | _tumour(e))
        return row

    def _background(self, row: Row, p: Patient) -> None:
        self.facts(
            row,
            {
                "hash_id": p.key,
                "age": str(p.age),
                "registered": day(p.registered),
                "diagnosis_date": day(p.diagnosis),
                "smoking_years": str(p.smoking_years),
                "smoking_per_day": str(p.smoker),
                "tumour_content": str(p.tumour_content),
                "specimen_date": day(p.specimen),
            },
        )
        surgery = p.tumour_content > 40
        self.pairs(
            row,
            {
                "sex": ("2", "女") if p.female else ("1", "男"),
                "paediatric": ("1", "該当する") if p.age < 15 else ("0", "該当しない"),
                "metastasis": _YES if p.sites else _NO,
                "smoking": _YES if p.smoker else _NO,
                "alcohol": _YES if p.smoking_years > 30 else _NO,
                "ecog": (str(p.ecog), str(p.ecog)),
                "family_history": _YES if p.family else _NO,
                "stage": ("NA", f"{p.stage}期") if p.stage else ("99", "不明"),
                "hereditary": ("9", "不明") if p.ecog == 3 else _NO,
                "panel": _PANELS[p.foundation],
                "specimen_method": ("2", "手術") if surgery else ("1", "生検"),
                "specimen_origin": ("1", "原発巣") if surgery or not p.sites else ("2", "転移巣"),
                "analysis_failed": _YES if p.failed else _NO,
                "solid_msi": ("9", "不明or未検査") if p.ecog else ("NA", "陰性"),
                "drug_therapy_before": _YES if p.before else _NO,
            },
        )

    def _panel(self, row: Row, p: Patient) -> None:
        if p.panel_day is None:
            return
        self.facts(row, {"expert_panel_date": day(p.panel_day)})
        self.pairs(row, {"option_offered": ("1", "はい") if p.offered else ("0", "いいえ")})
        if p.offered:
            self.pairs(row, {"option_given": ("1", "投与した") if p.given else ("0", "投与しなかった")})
            self._reason(row, p)

    def _reason(self, row: Row, p: Patient) -> None:
        if p.given:
            return
        if p.after:
            other = ("1", "提示された治療薬以外の化学療法を行った")
            self.pairs(row, {"option_not_given_reason": other, "other_drug_given": _YES})
        elif p.death is not None:
            self.pairs(row, {"option_not_given_reason": ("6", "死亡")})

    def _outcome(self, row: Row, p: Patient) -> None:
        self.facts(row, {"last_alive": _day(p.last_alive), "death_date": _day(p.death)})
        if p.death is None:
            self.pairs(row, {"outcome": ("C37987", "生存")})
            return
        cause = ("1", "原病死") if p.primary_death else ("NA", "他病死")
        self.pairs(row, {"outcome": ("C28554", "死亡"), "cause_of_death": cause})


_CONSTANT = {
    "registered_before": _NO,
    "diagnosis_changed": _NO,
    "double_cancer": _NO,
    "multiple_cancer": _NO,
    "test_class": ("1", "保険"),
    "specimen_type": ("1", "FFPE"),
}


def _tumour(e: Entity) -> dict[str, tuple[str, str]]:
    return {
        "oncotree": (e.code, f"{e.name} ({e.code})_{e.name_ja}"),
        "oncotree_level1": (e.level1, f"{e.level1_name} ({e.level1})_{e.level1_ja}"),
        "specimen_site": (ORGANS[e.site], e.site),
    }


def _before(line: Line) -> Facts:
    return _line("before", line) | _pairs({"before_intent": ("2", "緩和")})


def _after(line: Line) -> Facts:
    facts = _line("after", line)
    return facts if line.on_label else facts | _pairs({"after_policy": ("4", "その他の適応外")})


def _line(when: str, line: Line) -> Facts:
    stop, ongoing = _STOP[line.stop], line.end is None
    code = "C18213" if line.response == "SD" else "NA"  # the only code of the list with a known meaning
    number = str(line.number) if line.number < 5 else "NA"
    facts = {
        f"{when}_regimen": line.drugs.replace(",", "+"),
        f"{when}_drug_en": line.drugs,
        f"{when}_start": day(line.start),
        f"{when}_end": _day(line.end),
        f"{when}_progression_date": _day(line.end) if line.response == "PD" else "NA",
    }
    facts |= _pairs(
        {
            f"{when}_line": (number, _LINES[line.number]),
            f"{when}_facility": ("1", "自施設"),
            f"{when}_label_use": ("1", "適応内") if line.on_label else ("2", "適応外"),
            f"{when}_ongoing": ("1", "継続中") if ongoing else ("NA", "NA"),
            f"{when}_stop_reason": stop,
            f"{when}_response": (code, line.response),
            f"{when}_grade3": ("NA", "Grade3以上あり") if line.event else ("0", "Grade3以上なし"),
        }
    )
    return facts | _adverse(when, line) if line.event else facts


def _adverse(when: str, line: Line) -> Facts:
    assert line.event is not None
    english, japanese = line.event
    onset = day(min(line.start + 14, line.end or line.start + 14))
    facts = {f"ae_{when}_date": onset, f"ae_{when}_en": english, f"ae_{when}_jp": japanese}
    return facts | _pairs({f"ae_{when}_grade": ("3", "Grade3")})


def _relative(organ: str, decade: str) -> Facts:
    return _pairs(
        {
            "family_cancer": (ORGANS[organ], organ),
            "family_age_decade": (decade, f"{decade}歳台"),
            "family_relation": ("C25204", "同胞"),
        }
    )


def _pairs(pairs: dict[str, tuple[str, str]]) -> Facts:
    out = {}
    for column, (code, label) in pairs.items():
        out[column] = code
        out[f"{column}_label"] = label
    return out


class Report(Writer):
    """The report file: one row per marker x evidence, and one that stands for the mutational burden."""

    def __init__(self) -> None:
        super().__init__(REPORT)

    def rows(self, p: Patient) -> list[Row]:
        if p.failed:
            return []
        base = self.layout.blank.copy()
        somatic = str(len(p.variants))
        self.facts(
            base,
            {
                "hash_id": p.key,
                "cancer_type": p.entity.level1_name,
                "specimen_date": day(p.specimen),
                "panel_name": "FoundationOne CDx" if p.foundation else "NCC oncopanel v4.1",
                "age_years": str(p.age),
                "somatic_count": somatic,
                "dna_somatic_small_count": somatic,
                "variant_origin": "Somatic",
                "tmb": f"{p.tmb}Muts/Mb",
            },
        )
        burden = base.copy()
        self.facts(burden, {"variant_kind": "other_biomarker", "marker": "TMB"})
        return [burden, *(row for v in p.variants for row in self._evidences(base, v))]

    def _evidences(self, base: Row, v: Variant) -> list[Row]:
        row = base.copy()
        self.facts(row, _variant(v))
        oncogenic = row.copy()
        self.facts(oncogenic, _ONCOGENIC)
        if not v.marker.drugs:
            return [oncogenic]
        drugs = v.marker.drugs.lower().replace(",", " + ")
        self.facts(row, _PREDICTIVE | {"evidence_level": v.marker.level, "drug": drugs})
        return [oncogenic, row]


_ONCOGENIC = {"evidence_type": "Oncogenic", "clinical_significance": "Oncogenic", "evidence_level": "F"}
_PREDICTIVE = {"evidence_type": "Predictive", "clinical_significance": "Sensitivity/Response"}


def _variant(v: Variant) -> dict[str, str]:
    reads = round(v.fraction * v.depth)
    facts = {
        "variant_kind": "fusion" if v.content == "fusion" else "small_scale_variant",
        "marker": v.marker.marker,
        "content": v.content,
        "allele_fraction": f"{v.fraction:.2f} ({reads}/{v.depth})",
    }
    if v.position:
        facts |= {"chromosome": v.marker.chromosome, "position": str(v.position)}
        facts |= {"reference_base": v.alleles[0], "alternate_base": v.alleles[1]}
    return facts
