"""`masterkey map test`: worked cases are golden tests. What a case is: mappings/cases/README.md."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from masterkey_etl.concepts import Concepts
from masterkey_etl.data import folder
from masterkey_etl.keys import KEY_BYTES, PURPOSES, Key, SiteKeys
from masterkey_etl.template.checking import compiled
from masterkey_etl.template.compiled import CompiledMap, MapContext
from masterkey_etl.template.loader import load_map
from masterkey_fhir import json as fhir_json
from masterkey_fhir.issue import Issue, MasterkeyError, Place

EXPECTED = ("fhir.json", "issues.csv", "omop.csv", "case.yaml")
ISSUE_COLUMNS = ("rule", "field", "row", "count")
YEAR_LIMIT = 2100  # a case gives the same in every year
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case. `differences`: lines that say where what came out differs from what is expected."""

    site: str
    name: str
    differences: tuple[str, ...] = ()
    resources: int = 0

    @property
    def passed(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        head = f"{'ok  ' if self.passed else 'FAIL'} {self.site}/{self.name} ({self.resources} resources)"
        more = len(self.differences) - _SHOWN
        shown = [f"     {d}" for d in self.differences[:_SHOWN]] + ([f"     and {more} more"] if more > 0 else [])
        return "\n".join([head, *shown])


@dataclass(slots=True)
class _Run:
    """What a case gave."""

    made: list[dict[str, Any]] = field(default_factory=list)  # {"block", "resource"}
    issues: list[Issue] = field(default_factory=list)


def case_keys(site: str) -> SiteKeys:
    """The key of cases: the same everywhere, it protects nobody."""
    fixed = {p: (Key(1, f"worked case {p}".encode().ljust(KEY_BYTES, b".")),) for p in PURPOSES}
    return SiteKeys(site, fixed)


def test(paths: Sequence[Path] = (), *, data: Path | None = None, write: bool = False) -> list[CaseResult]:
    """Run cases (folders; default: all that ship and the workspace's). `write`: take what comes as expected."""
    overlay = data / "mappings" if data is not None else None
    concepts = Concepts.load(overlay)
    return [_case(path, overlay, concepts, write) for path in (paths or list(_cases(overlay)))]


test.__test__ = False  # type: ignore[attr-defined]  # pytest: the name is the command's


def _cases(overlay: Path | None) -> Iterator[Path]:
    for root in (folder("mappings"), overlay):
        if root is not None:
            yield from sorted(p for p in (root / "cases").glob("*/*") if p.is_dir())


def _case(path: Path, overlay: Path | None, concepts: Concepts, write: bool) -> CaseResult:
    site, name = path.parent.name, path.name
    try:
        run = _run(path, site, overlay, concepts)
    except MasterkeyError as error:
        return CaseResult(site, name, tuple(str(i) for i in error.issues))
    if write:
        _write(path, run)
    return CaseResult(site, name, tuple(_differences(path, run)), len(run.made))


def _run(path: Path, site: str, overlay: Path | None, concepts: Concepts) -> _Run:
    run, settings = _Run(), _settings(path)
    for source in sorted(p for p in path.iterdir() if p.is_file() and p.name not in EXPECTED):
        _map_file(source, site, overlay, concepts, settings, run)
    run.made.sort(key=lambda m: (m["block"], m["resource"]["id"]))
    return run


def _settings(path: Path) -> dict[str, Any]:
    file = path / "case.yaml"
    found = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found if isinstance(found, dict) else {}


def _map_file(
    source: Path, site: str, overlay: Path | None, concepts: Concepts, settings: dict[str, Any], run: _Run
) -> None:
    from masterkey_etl.identity import protect
    from masterkey_etl.ledger import Ledger
    from masterkey_etl.readers import LocalFile, count_values, read_delivery

    local, keys = LocalFile(source), case_keys(site)
    map_ = _map_of(local, site, overlay, concepts, settings)
    place = Place(site, source.name)
    ledger, ctx = Ledger(map_.model, place), MapContext(site, keys, place, run.issues)
    reading = read_delivery(local, map_.model, ledger, run.issues.append, year_limit=YEAR_LIMIT)
    for made in map_.run(reading, ctx, ledger):
        for block, resource in made:
            kept, found = protect(resource, settings.get("role", "site"), keys, overlay)
            run.issues += found
            if kept is not None:
                run.made.append({"block": block, "resource": kept})
    with local.open() as stream:
        run.issues += ledger.close(count_values(stream, map_.model))[1]


def _map_of(local: Any, site: str, overlay: Path | None, concepts: Concepts, settings: dict[str, Any]) -> CompiledMap:
    """The map the case names, else the one of the site that reads this file. Raises MasterkeyError."""
    from masterkey_etl.readers import recognise
    from masterkey_fhir.issue import issue

    places = [r for r in (overlay, folder("mappings")) if r is not None]
    if "map" in settings:
        named = [r / settings["map"] for r in places]
        return compiled(next((p for p in named if p.exists()), named[-1]), overlay, concepts)
    model = recognise(local, overlay, Place(site, local.path.name))
    for path in (p for r in places for p in sorted((r / "sites" / site).glob("*.yaml"))):
        if load_map(path).source == model.id:
            return compiled(path, overlay, concepts)
    raise MasterkeyError(
        issue("etl.map-extends", Place(site), file=f"sites/{site}", problem=f"has no map of {model.id}")
    )


# -- comparing ---------------------------------------------------------------------------------------


def _differences(path: Path, run: _Run) -> Iterator[str]:
    expected = path / "fhir.json"
    if not expected.exists():
        yield f"{expected.name} is missing; make it with --write, then read it"
    else:
        wanted = {_key(m): m for m in fhir_json.loads(b'{"x":' + expected.read_bytes() + b"}")["x"]}
        given = {_key(m): m for m in fhir_json.loads(_document(run.made))["x"]}
        yield from (f"missing: {b}/{i}" for b, i in wanted.keys() - given.keys())
        yield from (f"not expected: {b}/{i}" for b, i in given.keys() - wanted.keys())
        for key in wanted.keys() & given.keys():
            yield from _unlike(f"{key[0]}/{key[1]}", wanted[key]["resource"], given[key]["resource"])
    yield from _issue_differences(path / "issues.csv", run.issues)


def _key(made: dict[str, Any]) -> tuple[str, str]:
    return made["block"], made["resource"]["id"]


def _unlike(path: str, wanted: Any, given: Any) -> Iterator[str]:
    """Leaf by leaf; decimals by their digits."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        for key in dict.fromkeys((*wanted, *given)):
            yield from _unlike(f"{path}.{key}", wanted.get(key), given.get(key))
    elif isinstance(wanted, list) and isinstance(given, list) and len(wanted) == len(given):
        for n, (w, g) in enumerate(zip(wanted, given, strict=True)):
            yield from _unlike(f"{path}[{n}]", w, g)
    elif (type(wanted), str(wanted)) != (type(given), str(given)):
        yield f"{path}: expected {_shown(wanted)}, came {_shown(given)}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)


def _issue_differences(path: Path, issues: Sequence[Issue]) -> Iterator[str]:
    given = Counter(dict(_issue_rows(issues)))
    if not path.exists():
        yield f"{path.name} is missing; make it with --write, then read it"
        return
    with path.open(encoding="utf-8", newline="") as lines:
        wanted = Counter({tuple(r[c] for c in ISSUE_COLUMNS[:3]): int(r["count"]) for r in csv.DictReader(lines)})
    for key in sorted({*given, *wanted}):
        if given[key] != wanted[key]:
            yield f"Issue {' '.join(key)}: expected {wanted[key]}, came {given[key]}"


def _issue_rows(issues: Sequence[Issue]) -> Iterator[tuple[tuple[str, ...], int]]:
    """(rule, field, row) -> count, sorted."""
    total: Counter[tuple[str, ...]] = Counter()
    for i in issues:
        row = "" if i.place.row is None else str(i.place.row)
        total[i.rule, i.place.field or i.place.expression, row] += i.count
    yield from sorted(total.items())


# -- writing -----------------------------------------------------------------------------------------


def _document(made: Sequence[dict[str, Any]]) -> bytes:
    return fhir_json.dumps({"x": list(made)})


def _write(path: Path, run: _Run) -> None:
    """One resource a line, so that a difference shows as a line."""
    lines = [fhir_json.dumps(m).decode() for m in run.made]
    (path / "fhir.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(ISSUE_COLUMNS)
    writer.writerows((*key, n) for key, n in _issue_rows(run.issues))
    (path / "issues.csv").write_text(out.getvalue(), encoding="utf-8")
