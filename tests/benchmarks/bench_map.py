"""Site rows -> FHIR: 20,000 rows of 40 columns, 5 resources each, ledger and NDJSON included, one core.

The recipe of the bar: 71 leaves in the map, 55 of them from the row (14 ids and references, dates, numbers,
quantities, code tables), 3.3 kB of NDJSON per row. The benchmark counts them and refuses another recipe.

Peer: fhir.resources building and dumping the same resources (validation is what it does while building). Rows are
dirty: one optional cell in eight is null, one code in a hundred has no concept, a third of the rows leave something
over. Reading is not in it; its rate is in the note.

All rates are CPU time of the process, since the machine may be shared. A core that others use is slower for moments
only, so each batch counts with the best of its rounds; the peer, which has one batch, with the best of its own.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from masterkey_etl.concepts import Concepts
from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.ledger import IndependentCount, Ledger
from masterkey_etl.pipeline import BATCH
from masterkey_etl.readers.delimited import Reading
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext, calm_collector, compile_map, load_map
from masterkey_fhir import json as fhir_json
from masterkey_fhir import r4
from masterkey_fhir.issue import Place

ROWS = 20_000
PEER_ROWS = 200
ROUNDS = 5
Seconds = tuple[float, float, float]
Parted = tuple[Any, Any, Any]  # what a record made: of the whole, of its parts, the rows of those
LEAVES, DYNAMIC = 71, 55
LITERAL = r"(?:resourceType|status|text|url|system): (?![=])"  # in MAP: every literal has one of these names
FINDINGS = ("msi", "her2", "pdl1")  # answers as components of one Observation
CODES = ("severity", "stage_type", "method", "condition", "complication", "follow_up")
DATES = ("received", "abated", "processed")
MODEL = """
format: bench
revision: "1"
title: Benchmark
citation: own content
record: case
key: [patient]
null_tokens: ["", NA]
columns:
  - {id: patient, header: patient, type: text, personal: identifier}
  - {id: sex, header: sex, type: code}
  - {id: age, header: age, type: integer, min: 0, max: 120}
  - {id: registered, header: registered, type: date, formats: ["%Y/%m/%d"]}
  - {id: death, header: death, type: date, formats: ["%Y/%m/%d"]}
  - {id: alive, header: alive, type: date, formats: ["%Y/%m/%d"]}
  - {id: tumour, header: tumour, type: code}
  - {id: tumour_version, header: tumour_version, type: text}
  - {id: tumour_text, header: tumour_text, type: text}
  - {id: diagnosed, header: diagnosed, type: date, formats: ["%Y/%m/%d"]}
  - {id: site_code, header: site_code, type: code}
  - {id: stage, header: stage, type: code}
  - {id: ecog, header: ecog, type: code}
  - {id: ecog_date, header: ecog_date, type: date, formats: ["%Y/%m/%d"]}
  - {id: weight, header: weight, type: integer}
  - {id: height, header: height, type: integer}
  - {id: specimen_type, header: specimen_type, type: code}
  - {id: specimen_date, header: specimen_date, type: date, formats: ["%Y/%m/%d"]}
  - {id: specimen_site, header: specimen_site, type: code}
  - {id: cells, header: cells, type: integer}
  - {id: line, header: line, type: integer}
  - {id: regimen, header: regimen, type: text}
  - {id: started, header: started, type: date, formats: ["%Y/%m/%d"]}
  - {id: ended, header: ended, type: date, formats: ["%Y/%m/%d"]}
  - {id: intent, header: intent, type: code}
  - {id: reason, header: reason, type: code}
  - {id: response, header: response, type: code}
  - {id: facility, header: facility, type: text}
"""
MODEL += "".join(f"  - {{id: {t}, header: {t}, type: code}}\n" for t in (*FINDINGS, *CODES))
MODEL += "".join(f"  - {{id: {t}, header: {t}, type: date, formats: ['%Y/%m/%d']}}\n" for t in DATES)

COMPONENTS = "".join(
    f"      - code: {{text: {t}}}\n        valueCodeableConcept: = {t}.codeable('answer')\n" for t in FINDINGS
)
MAP = f"""
source: bench/1
let: {{birth_year: = registered.year() - age}}
resources:
  patient:
    resourceType: Patient
    id: = id(patient)
    extension: [{{url: "urn:bench:birth-year", valueInteger: = birth_year}}]
    identifier: [{{system: "urn:bench:id", value: "= patient.pseudonym('patient')"}}]
    gender: = sex.translate('sex')
    deceasedDateTime: = death
  diagnosis:
    $when: = tumour.exists()
    $else: no tumour stated
    resourceType: Condition
    id: = id(patient)
    subject: = reference(patient)
    severity: = severity.codeable('answer')
    code:
      coding:
        - = tumour.coding('tumour', tumour_version)
      text: = tumour_text
    bodySite: [= site_code.codeable('site')]
    onsetDateTime: = diagnosed
    abatementDateTime: = abated
    recordedDate: = registered
    stage:
      - summary: = stage.codeable('stage')
        type: = stage_type.codeable('answer')
        assessment: [= reference(status)]
    evidence: [{{code: [{{text: = tumour_text}}]}}]
  specimen:
    resourceType: Specimen
    id: = id(patient, specimen_date)
    subject: = reference(patient)
    type: = specimen_type.codeable('specimen')
    receivedTime: = received
    collection:
      collectedDateTime: = specimen_date
      method: = method.codeable('answer')
      bodySite: = specimen_site.codeable('site')
      quantity: = cells.quantity('cells', '1')
    condition: [= condition.codeable('answer')]
    processing: [{{timeDateTime: = processed}}]
  status:
    resourceType: Observation
    id: = id(patient)
    status: final
    code: {{text: ecog}}
    subject: = reference(patient)
    focus: [= reference(diagnosis)]
    specimen: = reference(specimen)
    effectiveDateTime: = coalesce(ecog_date, registered)
    valueCodeableConcept: = ecog.codeable('ecog')
    bodySite: {{text: = site_code}}
    component:
      - code: {{text: weight}}
        valueQuantity: = weight.quantity('kg', 'kg')
      - code: {{text: height}}
        valueQuantity: = height.quantity('cm', 'cm')
      - code: {{text: alive}}
        valueDateTime: = alive
{COMPONENTS}
  treatment:
    $when: = started.exists() or regimen.exists()
    $else: no treatment
    resourceType: Procedure
    id: = id(patient, line, started)
    status: completed
    subject: = reference(patient)
    partOf: [= reference(status)]
    reasonReference: [= reference(diagnosis)]
    bodySite: [{{text: = site_code}}]
    code: {{text: = regimen}}
    category: = intent.codeable('intent')
    performedPeriod: {{start: = started, end: = ended}}
    statusReason: = reason.codeable('reason')
    outcome: = response.codeable('response')
    complication: [= complication.codeable('answer')]
    followUp: [= follow_up.codeable('answer')]
    note: [{{text: = regimen}}]
set_aside:
  - {{columns: [facility], reason: the same for all}}
"""
TOPICS = {
    "sex": {"1": "male", "2": "female"},
    "answer": {"0": "no", "1": "yes", "9": "unknown"},
    "tumour": {f"T{n}": f"code-{n}" for n in range(800)},
    "site": {f"S{n}": f"site-{n}" for n in range(60)},
    "stage": {f"{n}": f"stage-{n}" for n in range(4)},
    "ecog": {f"{n}": f"grade-{n}" for n in range(5)},
    "specimen": {"1": "ffpe", "2": "blood"},
    "intent": {"1": "curative", "2": "palliative"},
    "reason": {"1": "planned", "2": "progression"},
    "response": {n: n.lower() for n in ("CR", "PR", "SD", "PD")},
}


def setup(folder: Path) -> CompiledMap:
    (folder / "concepts").mkdir()
    for topic, codes in TOPICS.items():
        lines = [f"{k},{v},urn:bench:{topic},{v},reviewed" for k, v in codes.items()]
        text = "\n".join(["subject_id,object_id,object_system,object_label,status", *lines])
        (folder / "concepts" / f"{topic}.csv").write_text(text, encoding="utf-8")
    (folder / "bench.yaml").write_text(MAP, encoding="utf-8")
    return compile_map(load_map(folder / "bench.yaml"), SourceModel.parse(MODEL), Concepts.load(folder, folder))


def recipe(compiled: CompiledMap) -> str:
    """The leaves of the map, counted: references and ids are among what comes from the row."""
    dynamic = [leaf.path for block in compiled.blocks for leaf in compiled.leaves(block) if "$" not in leaf.path]
    references = MAP.count("= reference(")
    constants = sum(1 for line in MAP.splitlines() for _ in re.findall(LITERAL, line.partition("set_aside")[0]))
    found = (constants + len(dynamic) + references, len(dynamic) + references)
    assert found == (LEAVES, DYNAMIC), found
    return f"{found[0]} leaves, {found[1]} of them from the row"


def rows(model: SourceModel, n: int) -> list[list[str]]:
    """One in eight optional cells is null, one in a hundred codes is unknown."""
    chance = random.Random(7)
    days = [f"20{y}/{m}/{d}" for y in range(15, 25) for m in range(1, 13) for d in range(1, 29)]
    topics = {
        "sex": "sex",
        "tumour": "tumour",
        "site_code": "site",
        "stage": "stage",
        "ecog": "ecog",
        "specimen_type": "specimen",
    }
    topics |= {"specimen_site": "site", "intent": "intent", "reason": "reason", "response": "response"}
    topics |= dict.fromkeys((*FINDINGS, *CODES), "answer")

    def cell(c: Any, i: int) -> str:
        if c.id == "patient":
            return f"P{i:06d}"
        if c.type == "date":
            return chance.choice(days)
        if c.type == "integer":
            return str(chance.randrange(100))
        return chance.choice(list(TOPICS[topics[c.id]])) if c.id in topics else f"text {chance.randrange(500)}"

    def dirty(c: Any, text: str) -> str:
        luck = chance.random()
        if c.id != "patient" and luck < 0.125:
            return "NA" if luck < 0.06 else ""
        return "??" if c.type == "code" and luck > 0.99 else text

    return [[dirty(c, cell(c, i)) for c in model.columns] for i in range(n)]


class Source:
    """A delivery in memory."""

    scratch = None

    def __init__(self, data: bytes, keys: SiteKeys) -> None:
        self.data, self.keys = data, keys

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)

    def pseudonym(self, *key: str) -> str:
        return self.keys.digest("record", *key)


def as_csv(model: SourceModel, cells: Iterable[list[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([c.header for c in model.columns])
    writer.writerows(cells)
    return out.getvalue().encode()


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def ndjson(made: Parted) -> bytes:
    return b"\n".join([fhir_json.dumps(r) for _, r in made[0] + made[1]])


def mapped(compiled: CompiledMap, records: Any, ledger: Ledger, ctx: MapContext) -> tuple[int, int, list[Seconds]]:
    """Batch by batch, as a load does it: resources, bytes, seconds of reading, mapping and writing NDJSON of each."""
    n = size = 0
    spent: list[Seconds] = []
    run = compiled.bind(ctx, ledger)[0]
    while True:
        batch, reading = timed(lambda: list(islice(records, BATCH)))
        if not batch:
            return n, size, spent
        made, mapping = timed(partial(list, map(run, batch)))
        lines, dumping = timed(partial(list, map(ndjson, made)))
        n, size = n + sum(len(m[0]) + len(m[1]) for m in made), size + sum(map(len, lines))
        spent.append((reading, mapping, dumping))


def best_of(rounds: list[list[Seconds]]) -> Seconds:
    """Seconds of reading, mapping and writing: the sum over the batches of the best each had."""
    kinds = [[min(times) for times in zip(*batch, strict=True)] for batch in zip(*rounds, strict=True)]
    reading, mapping, dumping = (sum(times) for times in zip(*kinds, strict=True))
    return reading, mapping, dumping


def peer(compiled: CompiledMap, records: list[Any], ctx: MapContext) -> float:
    """fhir.resources on the same resources: build (it validates while building) and dump."""
    sample = [r for m in compiled.run(records, ctx) for _, r in m]
    built = [(getattr(r4, r["resourceType"]), r) for r in sample]
    _, seconds = timed(lambda: [model(**r).model_dump_json() for model, r in built])
    return len(sample) / seconds


def main() -> None:
    keys = SiteKeys("bench", {p: (Key(1, p.encode() * 6),) for p in ("id", "pseudonym", "record")})
    with tempfile.TemporaryDirectory() as folder:
        compiled = setup(Path(folder))
    model = compiled.model
    source = Source(as_csv(model, rows(model, ROWS)), keys)
    rounds = []
    theirs = 0.0
    for _ in range(ROUNDS):
        ledger, ctx = Ledger(model, Place("bench")), MapContext("bench", keys)
        reader = Reading(source, model, ledger)
        with calm_collector():
            n, size, spent = mapped(compiled, iter(reader), ledger, ctx)
            sample = list(islice(Reading(source, model, Ledger(model, Place("bench"))), PEER_ROWS))
            theirs = max(theirs, peer(compiled, sample, MapContext("bench", keys)))
        _, problems = ledger.close(IndependentCount(ROWS, len(model.columns)))
        assert not problems, problems
        rounds.append(spent)
    reading, mapping, dumping = best_of(rounds)
    ours = n / (mapping + dumping)
    result = {
        "name": "site rows to FHIR with ledger and NDJSON",
        "unit": "resources/s of CPU time",
        "ours": round(ours),
        "peer": round(theirs),
        "peer_name": "fhir.resources build + dump",
        "ratio": round(ours / theirs, 1),
        "bar": ">= 100,000 resources/s, >= 30x",
        "note": f"{ROWS:,} rows of {len(model.columns)} columns, {recipe(compiled)}, {n:,} resources, "
        f"{size // ROWS:,} bytes a row, {len(ctx.issues):,} Issues; without NDJSON {n / mapping:,.0f}, "
        f"reading {ROWS / reading:,.0f} rows/s, with mapping {n / (reading + mapping):,.0f} resources/s",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
