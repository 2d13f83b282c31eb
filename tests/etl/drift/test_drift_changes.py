"""Each single change of an export is found, and nothing else; what loses or changes values stops it before storing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masterkey_etl.drift.baseline import Baseline
from masterkey_etl.drift.compare import compare
from masterkey_etl.drift.look import ColumnLook, Look
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.store import Repository

Rows = list[list[str]]
Change = Callable[[Rows], Rows]


def each(column: int, change: Callable[[str, int], str], header: str | None = None) -> Change:
    def run(rows: Rows) -> Rows:
        body = [[*r[:column], change(r[column], i), *r[column + 1 :]] for i, r in enumerate(rows[1:])]
        head = [*rows[0][:column], header or rows[0][column], *rows[0][column + 1 :]]
        return [head, *body]

    return run


def without(column: int) -> Change:
    return lambda rows: [[*r[:column], *r[column + 1 :]] for r in rows]


def added(name: str, value: str) -> Change:
    return lambda rows: [[*r, value if i else name] for i, r in enumerate(rows)]


def split_dates(rows: Rows) -> Rows:
    heads = [*rows[0][:3], "Year", "Month", "Day", *rows[0][4:]]
    return [heads, *([*r[:3], *r[3].split("-"), *r[4:]] for r in rows[1:])]


def day_first(text: str, _: int) -> str:
    year, month, day = text.split("-")
    return f"{day}/{month}/{year}"


def buddhist(text: str, _: int) -> str:
    return f"{int(text[:4]) + 543}{text[4:]}"


SAME: dict[str, Change] = {
    "the same": lambda rows: rows,
    "other values": lambda rows: rows[:1] + [[*r[:4], str(int(r[4]) % 60 + 20), *r[5:]] for r in rows[1:]],
    "rows in another order": lambda rows: rows[:1] + rows[:0:-1],
    "a few more rows": lambda rows: rows + [[f"B{i}", *r[1:]] for i, r in enumerate(rows[1:6])],
    "one bad value": each(3, lambda t, i: "2020-02-31" if i == 3 else t),
}
CARRIED: dict[str, tuple[str, str, Change]] = {
    "a column new": ("column-new", "Height", added("Height", "160")),
    "columns in another order": ("reordered", "sex_label", lambda rows: [[*r[:2], *r[3:], r[2]] for r in rows]),
    "a code new": ("code-new", "sex", each(1, lambda t, i: "3" if i == 5 else t)),
    "a code new in an open list": ("code-new", "stage", each(6, lambda t, i: "V" if i == 5 else t)),
    "a word for nothing": ("null-token", "age", each(4, lambda t, i: "n/a" if i % 9 == 0 else t)),
    "an unknown word for nothing": ("null-token", "weight", each(5, lambda t, i: "***" if i % 9 == 0 else t)),
    "a word for nothing in a text": ("null-token", "remark", each(7, lambda t, i: "-" if i % 9 == 0 else t)),
    "far fewer rows": ("rows", "", lambda rows: rows[:11]),
    "far more rows": (
        "rows",
        "",
        lambda rows: rows + [[f"B{i}{j}", *r[1:]] for j in "12" for i, r in enumerate(rows[1:])],
    ),
    "an unmapped column missing": ("column-missing", "unused", without(8)),
    "an unmapped column renamed": ("renamed", "unused", each(8, lambda t, i: t, "Ward codes")),
}
STOPS: dict[str, tuple[str, str, Change]] = {
    "a mapped column missing": ("column-missing", "age", without(4)),
    "the label of a pair missing": ("column-missing", "sex_label", without(2)),
    "a mapped column renamed": ("renamed", "weight", each(5, lambda t, i: t, "Body weight (kg)")),
    "renamed wholly, same values": ("renamed", "stage", each(6, lambda t, i: t, "UICC")),
    "a mapped column empty": ("column-empty", "weight", each(5, lambda t, i: "")),
    "dates day first": ("date-format", "born", each(3, day_first)),
    "dates of another calendar": ("date-format", "born", each(3, buddhist)),
    "numbers became words": ("type", "age", each(4, lambda t, i: f"about {t}")),
    "whole numbers became decimals": ("type", "age", each(4, lambda t, i: f"{t}.5")),
    "codes replaced": (
        "codes-replaced",
        "stage",
        each(6, lambda t, i: str(len(t)) + t[-1].lower()),
    ),
    "a word for nothing in most rows": ("null-token", "stage", each(6, lambda t, i: "-" if i % 3 else t)),
    "a column split": ("split", "born", split_dates),
}


@pytest.mark.parametrize("change", SAME)
def test_what_is_no_change_is_not_told(differs: Any, rows: Callable[..., Rows], change: str) -> None:
    assert differs(SAME[change](rows())) == []


@pytest.mark.parametrize("change", CARRIED)
def test_each_change_that_can_be_carried_is_found_and_nothing_else(
    differs: Any, rows: Callable[..., Rows], change: str
) -> None:
    kind, column, damage = CARRIED[change]
    assert [(d.kind, d.column, d.stops) for d in differs(damage(rows()))] == [(kind, column, False)]


@pytest.mark.parametrize("change", STOPS)
def test_each_change_that_stops_is_found_and_nothing_else(differs: Any, rows: Callable[..., Rows], change: str) -> None:
    kind, column, damage = STOPS[change]
    assert [(d.kind, d.column, d.stops) for d in differs(damage(rows()))] == [(kind, column, True)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 60), st.integers(0, 10_000), st.randoms())
def test_no_file_drifts_against_itself(
    rows: Callable[..., Rows], look_of: Callable[[Rows], Look], ward_model: SourceModel, n: int, seed: int, r: Any
) -> None:
    """Whatever it holds: a look compared with a baseline made of the same look."""
    table = rows(n, seed)
    for _ in range(r.randrange(30)):
        table[r.randrange(len(table))][r.randrange(9)] = r.choice(
            ("", "NA", "?", "9999", "2020", "Yamada Hanako", "１")
        )
    seen = look_of(table)
    kept = Baseline(Look(seen.encoding, seen.exact, seen.rows, through_json(seen)), (seen.rows,))
    assert compare(ward_model, kept, seen, frozenset(ward_model.index)) == []


def through_json(seen: Look) -> dict[str, ColumnLook]:
    said = {seen.hidden.get(name, name): c.as_dict() for name, c in seen.columns.items()}
    return {name: ColumnLook.from_dict(c) for name, c in json.loads(json.dumps(said)).items()}


@pytest.mark.parametrize("change", ["a column new", "a code new in an open list", "a word for nothing"])
def test_what_can_be_carried_arrives_with_a_warning(ward: Any, rows: Callable[..., Rows], change: str) -> None:
    report = ward.send(CARRIED[change][2](rows()))
    assert len(report.drift) == 1 and report.stored and report.exit_code < 2


@pytest.mark.parametrize("change", ["a mapped column renamed", "dates day first"])
def test_what_loses_or_changes_values_stops_before_anything_is_stored(
    ward: Any, rows: Callable[..., Rows], change: str
) -> None:
    kind, column, damage = STOPS[change]
    before = standing(ward)
    report = ward.send(damage(rows()))
    ((_, found),) = report.drift
    assert [(d.kind, d.column) for d in found if d.stops] == [(kind, column)]
    assert all(d.kind == "column-new" for d in found if not d.stops)
    assert report.exit_code == 2 and not report.stored and standing(ward) == before
    assert any("--accept-drift" in i.remedy() and i.rule == f"etl.drift-{kind}" for i in report.issues)
    assert f"{kind}" in "\n".join(report.lines()) and report.as_dict()["drift"][0]["changes"]


def standing(ward: Any) -> tuple[Any, ...]:
    repository = Repository.open(f"sqlite:///{ward.data / 'repository.db'}")
    try:
        return repository.counts("my_nci"), len(repository.submissions("my_nci"))
    finally:
        repository.close()


@pytest.mark.parametrize("change", ["a mapped column missing", "dates of another calendar"])
def test_the_first_delivery_has_nothing_to_drift_from(empty_ward: Any, rows: Callable[..., Rows], change: str) -> None:
    report = empty_ward.send(STOPS[change][2](rows()))
    assert report.stored and report.drift == [] and report.exit_code < 2


def test_the_encoding_changes(differs: Any, rows: Callable[..., Rows], encoded: Callable[..., bytes]) -> None:
    assert [(d.kind, d.stops) for d in differs(encoded(rows(), "cp932"))] == [("encoding", False)]
    assert ("encoding", True) in [(d.kind, d.stops) for d in differs(mixed(rows(), encoded))]
    words = each(7, lambda t, i: "上" * 9)(rows())  # U+4E0A: half of it is the byte of a line end
    assert "rows" not in [d.kind for d in differs(encoded(words, "utf-16"))]


def mixed(rows: Rows, encoded: Callable[..., bytes]) -> bytes:
    return encoded(rows[:21]) + encoded(rows[21:], "euc_jp")


def test_a_refused_delivery_leaves_the_baseline_and_a_correction_is_no_drift(
    ward: Any, rows: Callable[..., Rows]
) -> None:
    (path,) = (ward.data / "baselines").rglob("*.json")
    kept = path.read_bytes()
    assert ward.send(without(4)(rows())).exit_code == 2
    assert path.read_bytes() == kept
    again = ward.send([*rows(), rows(41)[41]])
    assert again.drift == [] and again.stored


def test_a_carried_change_is_told_once(ward: Any, rows: Callable[..., Rows]) -> None:
    changed = added("Height", "160")(rows())
    assert ward.send(changed).drift
    assert ward.send([*changed, ["B1", *changed[1][1:]]]).drift == []


def test_the_baseline_holds_no_value_of_a_person(ward: Any, rows: Callable[..., Rows]) -> None:
    secret = ["A00001X", "Yamada Hanako", "1951-02-03"]
    table = [[*r[:7], secret[1] if i else r[7], *r[8:]] for i, r in enumerate(rows())]
    table[3][0], table[3][3], table[3][6] = secret[0], secret[2], "Yamada Hanako"
    assert ward.send(added("Doctor", "Kowalski")(table)).stored
    (path,) = (ward.data / "baselines").rglob("*.json")
    text = path.read_text(encoding="utf-8")
    assert not [s for s in (*secret, "Kowalski", "stable") if s in text]
    assert set(json.loads(text)["columns"]["sex"]["codes"]) == {"1", "2"}


def test_a_damaged_baseline_is_begun_anew(ward: Any, rows: Callable[..., Rows]) -> None:
    (path,) = (ward.data / "baselines").rglob("*.json")
    path.write_bytes(b"{")
    assert ward.send(added("Height", "160")(rows())).drift == []
    assert json.loads(path.read_bytes())["version"] == 1
