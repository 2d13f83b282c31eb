"""One invented patient at a time: a true course, before any export or dirt.

Anchors (site-formats 1.2): tumour groups as ASCO 2024 abstract 3024 gives them for Japan (soft tissue 22.0 %,
CNS 12.8 %, head and neck 9.2 %; neuroendocrine 7.3 % from ESMO 2019); actionable 48 % and pan-cohort gene
frequencies (TP53 32 %, KRAS 10 %, PIK3CA 9.5 %, CDKN2A and RB1 4.9 %) from Okuma 2020 and ESMO 2019; on-target
therapy 19.5 % of those with an option. Dates are proleptic ordinals (`datetime.date.toordinal`), None = not so.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

from masterkey_etl.synth.tables import Entity, Marker, Tables

FIRST_REGISTRATION = date(2019, 6, 1).toordinal()
LAST_REGISTRATION = date(2024, 5, 31).toordinal()
CUT = date(2024, 8, 29).toordinal()  # the day the export is cut: nothing is known after it
MONTH = 30.44
ON_TARGET = 0.50  # offered -> given, so that about 19.5 % of all get an on-target drug
ADVERSE_EVENTS = (
    ("Neutrophil count decreased", "好中球数減少"),
    ("Febrile neutropenia", "発熱性好中球減少症"),
    ("Platelet count decreased", "血小板数減少"),
    ("Anemia", "貧血"),
    ("Peripheral sensory neuropathy", "末梢性感覚ニューロパチー"),
    ("Pneumonitis", "肺臓炎"),
    ("Diarrhea", "下痢"),
    ("Hypertension", "高血圧"),
)


_T = TypeVar("_T")


class Shares(Generic[_T]):
    """Values with their shares; `of(rng)` draws one (random.choices does the same ten times slower)."""

    def __init__(self, values: Sequence[_T], shares: Sequence[float]) -> None:
        self.values, self._sums = tuple(values), tuple(accumulate(shares))

    def of(self, rng: Random) -> _T:
        return self.values[bisect(self._sums, rng.random() * self._sums[-1])]


LINES_BEFORE = Shares(range(5), (8, 38, 30, 16, 8))
SITES = Shares(("肺", "肝", "骨", "脳", "リンパ節", "その他"), (30, 24, 16, 6, 20, 10))
ECOG = Shares(range(4), (52, 38, 8, 2))
STAGES = Shares(("I", "II", "III", "IV", ""), (6, 12, 20, 52, 10))
_RESPONSES = ("CR", "PR", "SD", "PD", "NE")
FIRST_RESPONSE = Shares(_RESPONSES, (3, 24, 40, 30, 3))
LATER_RESPONSE = Shares(_RESPONSES, (1, 12, 38, 46, 3))


@dataclass(slots=True)
class Line:
    """A line of drug therapy. `response` is CR, PR, SD, PD or NE; `stop` planned, ineffective or "" (ongoing)."""

    number: int
    drugs: str
    start: int
    end: int | None
    response: str
    stop: str
    on_label: bool = True
    event: tuple[str, str] | None = None


@dataclass(slots=True)
class Variant:
    marker: Marker
    content: str
    position: int
    alleles: str  # reference and alternate base
    fraction: float
    depth: int


@dataclass(slots=True)
class Patient:
    key: str
    entity: Entity
    female: bool
    age: int  # at registration
    diagnosis: int
    registered: int
    specimen: int
    foundation: bool  # FoundationOne CDx, else NCC OncoPanel
    failed: bool
    ecog: int
    stage: str
    smoker: int  # cigarettes per day
    smoking_years: int
    tumour_content: int
    sites: tuple[str, ...]
    family: tuple[tuple[str, str], ...]  # (organ, decade)
    before: list[Line] = field(default_factory=list)
    after: list[Line] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    tmb: float = 0.0
    panel_day: int | None = None  # expert panel
    offered: bool = False
    given: bool = False
    death: int | None = None
    last_alive: int | None = None
    primary_death: bool = True


def draw(rng: Random, tables: Tables) -> Patient:
    """The next patient of the cohort."""
    entity = tables.entity(rng)
    patient = _background(rng, entity)
    _before(rng, tables, patient)
    _outcome(rng, patient)
    _genomics(rng, tables, patient)
    _panel(rng, tables, patient)
    return patient


def _background(rng: Random, entity: Entity) -> Patient:
    random = rng.random
    registered = FIRST_REGISTRATION + int(random() * (LAST_REGISTRATION - FIRST_REGISTRATION))
    diagnosis = registered - int(min(2800.0, max(60.0, rng.lognormvariate(6.1, 0.8))))
    smoker = 20 if random() < 0.32 else 0
    metastatic = random() < 0.72
    n = 1 + (random() < 0.35) if metastatic else 0
    return Patient(
        key=f"{rng.getrandbits(120):030X}",
        entity=entity,
        female=random() < entity.female,
        age=int(min(89.0, max(1.0, rng.gauss(entity.age, entity.age_sd)))),
        diagnosis=diagnosis,
        registered=registered,
        specimen=diagnosis + int(random() * (registered - 20 - diagnosis)),
        foundation=random() < 0.78,
        failed=random() < 0.03,
        ecog=ECOG.of(rng),
        stage=STAGES.of(rng),
        smoker=smoker,
        smoking_years=int(10 + random() * 30) if smoker else 0,
        tumour_content=10 * rng.randint(2, 9),
        sites=_some_sites(rng, n),
        family=_family(rng),
    )


def _some_sites(rng: Random, n: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(SITES.of(rng) for _ in range(n)))


def _family(rng: Random) -> tuple[tuple[str, str], ...]:
    if rng.random() > 0.45:
        return ()
    n = 1 + (rng.random() < 0.1)
    return tuple((rng.choice(("乳", "肺", "その他")), str(10 * rng.randint(3, 8))) for _ in range(n))


def _before(rng: Random, tables: Tables, patient: Patient) -> None:
    """Lines between diagnosis and registration, one after the other, none overlapping."""
    wanted = LINES_BEFORE.of(rng)
    day = patient.diagnosis + 7 + int(rng.random() * 40)
    for number in range(1, wanted + 1):
        length = 21 + int(rng.expovariate(1 / 140))
        if day + length > patient.registered:
            break
        patient.before.append(_line(rng, tables, patient.entity, number, day, day + length))
        day += length + 14 + int(rng.random() * 40)


def _line(rng: Random, tables: Tables, entity: Entity, number: int, start: int, end: int) -> Line:
    choices = tables.regimens[entity.regimens]
    drugs = rng.choice(choices[min(number, len(choices)) - 1])
    response = (FIRST_RESPONSE if number == 1 else LATER_RESPONSE).of(rng)
    stop = "ineffective" if response in ("PD", "SD") or rng.random() < 0.2 else "planned"
    event = rng.choice(ADVERSE_EVENTS) if rng.random() < 0.12 else None
    return Line(number, drugs, start, end, response, stop, event=event)


def _outcome(rng: Random, patient: Patient) -> None:
    """Exponential survival from registration; three in four of the entity's median lies after it."""
    median = max(3.0, 0.75 * patient.entity.os_months - 2.0 * len(patient.before)) * MONTH
    days = 10 + int(rng.expovariate(0.6931 / median))
    lost = patient.registered + int(rng.expovariate(1 / 2600)) + 30
    known = min(CUT - int(rng.random() * 60), lost)
    if patient.registered + days <= known:
        patient.death, patient.primary_death = patient.registered + days, rng.random() < 0.93
    else:
        patient.last_alive = max(known, patient.registered + 1)


def _genomics(rng: Random, tables: Tables, patient: Patient) -> None:
    if patient.failed:
        return
    for marker, probability in tables.markers[patient.entity.code]:
        if rng.random() < probability:
            patient.variants.append(_variant(rng, marker))
    patient.tmb = round(rng.lognormvariate(1.1, 0.7), 1)


def _variant(rng: Random, marker: Marker) -> Variant:
    depth = rng.randint(180, 900)
    fraction = 0.05 + 0.55 * rng.random()
    span = marker.end - marker.start
    position = marker.start + int(rng.random() * span) if span else 0
    alleles = rng.choice(("GA", "CT", "AT", "TA", "CA", "GT"))
    return Variant(marker, rng.choice(marker.contents), position, alleles, fraction, depth)


def _panel(rng: Random, tables: Tables, patient: Patient) -> None:
    """Expert panel, option, and what was given afterwards; nothing happens after death or the last contact."""
    end = patient.death or patient.last_alive or CUT
    day = patient.registered + 14 + int(rng.random() * 30)
    if day >= end:
        return
    patient.panel_day = day
    options = [v.marker for v in patient.variants if v.marker.drugs and v.marker.level in ("A", "B", "C", "D")]
    patient.offered = bool(options) or rng.random() < 0.06
    start = day + 10 + int(rng.random() * 50)
    if start >= end:
        return
    patient.given = bool(options) and rng.random() < ON_TARGET
    if patient.given:
        _treat(rng, tables, patient, start, end, rng.choice(options))
    elif rng.random() < 0.55:
        _treat(rng, tables, patient, start, end, None)


def _treat(rng: Random, tables: Tables, patient: Patient, start: int, end: int, target: Marker | None) -> None:
    stop = start + 21 + int(rng.expovariate(1 / (190 if target else 120)))
    number = len(patient.before) + 1
    line = _line(rng, tables, patient.entity, number, start, stop)
    if target is not None:
        line.drugs, line.on_label = target.drugs, target.level == "A"
    if stop > end:
        line.end, line.stop = (end, "ineffective") if patient.death else (None, "")
    patient.after.append(line)
