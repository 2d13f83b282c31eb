"""Views over files, what is wrong with a view, and the formats they are written in."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir.fhirpath import Date
from masterkey_fhir.issue import MasterkeyError
from masterkey_fhir.json import loads
from masterkey_fhir.views import Column, View, ViewError, run, write

VIEW: dict[str, Any] = {
    "resource": "Observation",
    "name": "values",
    "constant": [{"name": "since", "valueDate": "2020-01-01"}],
    "select": [
        {
            "column": [
                {"name": "id", "path": "id"},
                {"name": "patient", "path": "subject.getReferenceKey(Patient)"},
                {"name": "value", "path": "value.ofType(Quantity).value"},
                {"name": "recent", "path": "effective.ofType(dateTime) >= %since"},
                {"name": "codes", "path": "code.coding.code", "collection": True},
            ]
        },
        {"forEachOrNull": "component", "column": [{"name": "part", "path": "code.text"}]},
    ],
}
OBSERVATION = (
    '{"resourceType":"Observation","id":"a","subject":{"reference":"Patient/p"},"valueQuantity":{"value":1.0},'
    '"effectiveDateTime":"2020-03","code":{"coding":[{"code":"x"},{"code":"y"}]},'
    '"component":[{"code":{"text":"k, \\"l\\""}},{"code":{"text":"m"}}]}'
)
BARE = '{"resourceType":"Observation","id":"b"}'
ROWS = [
    ("a", "p", Decimal("1.0"), True, ["x", "y"], 'k, "l"'),
    ("a", "p", Decimal("1.0"), True, ["x", "y"], "m"),
    ("b", None, None, None, [], None),
]


def test_rows_of_a_resource() -> None:
    view = View.load(VIEW)
    found = [row for text in (OBSERVATION, BARE) for row in view.rows(loads(text))]
    assert found == ROWS
    assert str(found[0][2]) == "1.0"
    assert view.columns[0] == Column("id", "id")
    assert [c.type for c in view.columns] == ["id", "string", "decimal", "boolean", "code", "string"]


def test_constants_can_be_given_at_the_call() -> None:
    view = View.load(VIEW)
    assert next(view.rows(loads(OBSERVATION), {"since": Date.parse("2021-01-01")}))[3] is False


def _view(**select: Any) -> dict[str, Any]:
    return {"resource": "Patient", "select": [select]}


@pytest.mark.parametrize(
    ("view", "place", "fact"),
    [
        (_view(column=[{"name": "a", "path": "name.giben"}]), "select[0].column[0].path", "'giben'"),
        (_view(column=[{"name": "a", "path": "name."}]), "select[0].column[0].path", "at character 6"),
        (_view(column=[{"name": "a b", "path": "id"}]), "select[0].column[0].name", "needs a name"),
        (_view(column=[{"name": "a", "path": "%x"}]), "select[0].column[0].path", "%x is not defined"),
        (_view(column=[{"name": "a"}]), "select[0].column[0].path", "a FHIRPath expression is needed"),
        (_view(column="a"), "select[0].column", "a list is needed"),
        (_view(forEach="name", repeat=["x"], column=[{"name": "a", "path": "use"}]), "select[0]", "only one of"),
        (_view(repeat="contact", column=[{"name": "a", "path": "gender"}]), "select[0].repeat", "a list of FHIRPath"),
        (_view(column=[{"name": "a", "path": "id"}] * 2), "select", "two columns are named a"),
        (_view(), "select[0]", "nothing is selected"),
        ({"resource": "Pazient", "select": []}, "resource", "no resource type"),
        (_view(column=[{"name": "a", "path": "id"}]) | {"where": [{"path": "birthDate"}]}, "where[0].path", "boolean"),
        (_view(column=[{"name": "a", "path": "id"}]) | {"constant": [{"name": "c"}]}, "constant[0]", "one value[x]"),
    ],
)
def test_a_bad_view_says_where(view: dict[str, Any], place: str, fact: str) -> None:
    with pytest.raises(ViewError) as caught:
        View.load(view)
    found = {i.place.expression: i.fact() for i in caught.value.issues}
    assert fact in found[f"ViewDefinition.{place}"]


def test_all_mistakes_at_once() -> None:
    view = _view(column=[{"name": "a", "path": "nix"}, {"name": "b", "path": "(("}], forEach="name.nix")
    with pytest.raises(ViewError) as caught:
        View.load(view)
    assert len(caught.value.issues) == 2  # below a forEach that has no type, only syntax can be judged


@pytest.mark.parametrize("view", [None, 5, "x", [], {"select": 3}, {"resource": ["Patient"], "select": [3]}])
def test_no_view_at_all(view: Any) -> None:
    with pytest.raises(ViewError):
        View.load(view)


_ODD = st.one_of(
    st.sampled_from([None, True, 5, "", "name", "((", [], [[]], {}, [{}], {"path": 1}, ["id"], {"name": []}]),
    st.recursive(st.none() | st.text(max_size=3), lambda i: st.lists(i, max_size=2), max_leaves=3),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for k, v in inner for p in _places(v, (*path, k)))]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_places(VIEW)[1:]), _ODD)
def test_a_view_broken_anywhere_is_refused_or_runs(place: tuple[Any, ...], odd: Any) -> None:
    view = copy.deepcopy(VIEW)
    target: Any = view
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = odd
    try:
        list(View.load(view).rows(loads(OBSERVATION)))
    except ViewError as error:
        assert error.issues


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": json.loads(BARE)}, {"fullUrl": "urn:x"}, {"resource": {}}],
    }
    lines = [OBSERVATION, "", "{broken", '{"a": 1}', "[1]", '{"resourceType":"Patient"}', "\x00", BARE]
    (tmp_path / "a.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps(bundle, indent=1), encoding="utf-8")
    (tmp_path / "c.ndjson.gz").write_bytes(gzip.compress(BARE.encode() + b"\n"))
    (tmp_path / "d.ndjson.gz").write_bytes(b"no gzip")
    (tmp_path / "e.ndjson").write_bytes(b"\xff\xfe\n" + b'{"resourceType":"Observation","id":"e","code":"x"}')
    (tmp_path / "f.txt").write_text("not read", encoding="utf-8")
    return tmp_path


def test_every_line_is_accounted_for(folder: Path) -> None:
    result = run(VIEW, [folder, folder / "missing.ndjson"])
    columns, rows = result
    found = list(rows)
    counts = result.counts
    assert len(columns) == 6
    assert [r[0] for r in found] == ["a", "a", "b", "b", "b"]
    assert counts.lines == counts.blank + counts.unreadable + counts.bundles + 5
    assert (counts.blank, counts.unreadable, counts.bundles, counts.other, counts.failed) == (1, 5, 1, 1, 1)
    assert counts.resources == counts.other + counts.selected + counts.failed == 6
    assert counts.rows == 5
    places = {(i.place.file, i.place.row) for i in result.issues}
    lines = {("a.ndjson", 3), ("a.ndjson", 4), ("a.ndjson", 5), ("a.ndjson", 7), ("e.ndjson", 1), ("e.ndjson", 2)}
    assert places == lines | {("b.json", None), ("d.ndjson.gz", None), ("missing.ndjson", None)}


def test_several_values_in_a_cell_are_an_issue_that_names_the_column() -> None:
    view = View.load(_view(column=[{"name": "given", "path": "name.given"}]))
    with pytest.raises(ViewError) as caught:
        list(view.rows({"resourceType": "Patient", "id": "p", "name": [{"given": ["Secret", "Name"]}]}))
    [issue] = caught.value.issues
    assert (issue.rule, issue.place.expression) == ("fhir.view-collection", "ViewDefinition.select[0].column[0]")
    assert "Secret" not in str(caught.value)


def test_an_execution_error_names_the_column() -> None:
    columns = [{"name": "a", "path": "id"}, {"name": "b", "path": "name.given.single()"}]
    with pytest.raises(ViewError) as caught:
        list(View.load(_view(column=columns)).rows({"resourceType": "Patient", "name": [{"given": ["x", "y"]}]}))
    assert caught.value.issues[0].place.expression == "ViewDefinition.select[0].column[1].path"


def _written(to: str) -> bytes:
    out = io.BytesIO()
    assert write(View.load(VIEW).columns, iter(ROWS), to, out) == 3
    return out.getvalue()


def test_csv() -> None:
    rows = list(csv.reader(io.StringIO(_written("csv").decode())))
    assert rows[0] == ["id", "patient", "value", "recent", "codes", "part"]
    assert rows[1] == ["a", "p", "1.0", "true", '["x","y"]', 'k, "l"']
    assert rows[3] == ["b", "", "", "", "[]", ""]


def test_ndjson() -> None:
    first, *_ = _written("ndjson").splitlines()
    assert b'"value":1.0' in first.replace(b" ", b"")
    assert json.loads(first)["codes"] == ["x", "y"]


def test_parquet() -> None:
    import pyarrow.parquet as parquet

    table = parquet.read_table(io.BytesIO(_written("parquet")))
    assert table.to_pylist()[0] == dict(
        zip(table.column_names, ("a", "p", "1.0", True, ["x", "y"], 'k, "l"'), strict=True)
    )
    assert str(table.schema.field("recent").type) == "bool"


def test_a_view_from_its_file_and_a_frame(folder: Path) -> None:
    file = folder / "view.txt"
    file.write_text(json.dumps(VIEW), encoding="utf-8")
    frame = run(file, [folder / "b.json"]).frame()
    assert list(frame.columns) == ["id", "patient", "value", "recent", "codes", "part"]
    assert frame["id"].tolist() == ["b"]
    with pytest.raises(ViewError, match="can't be read"):
        run(folder / "no-view.json", [])
    with pytest.raises(MasterkeyError):
        run(folder / "a.ndjson", [])


def test_an_unknown_engine_names_those_there_are() -> None:
    with pytest.raises(ViewError, match="Use one of python"):
        run(VIEW, [], engine="abacus")
