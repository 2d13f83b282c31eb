"""`explain` tells the delivery, the map version and the cells that made a version, whatever came after."""

from __future__ import annotations

from typing import Any

from masterkey_etl import submissions
from masterkey_etl.explain import Told, explain

ONE, TWO = "1 male 1950-01-02 sarcoma", "2 female 1960-01-01 glioma"


def named(tiny: Any, kind: str) -> list[str]:
    return sorted(n for n in tiny.state() if n.startswith(f"{kind}/"))


def origin(told: Told, element: str) -> tuple[str, tuple[str, ...]]:
    return next((o.expression, o.cells) for o in told.origins if o.element == element)


def test_right_one_map_version_and_one_model_later(tiny: Any) -> None:
    tiny.cases(ONE)
    root = tiny.data / "mappings"
    tiny.project()
    (condition,) = named(tiny, "Condition")
    before = explain(tiny.data, condition)
    path = root / "sites" / "my_nci" / "case.yaml"
    path.write_text(path.read_text().replace("= dx", "= dx.upper()"))
    tiny.cases(ONE, TWO)
    assert explain(tiny.data, condition).facts["map"] != before.facts["map"]
    assert origin(explain(tiny.data, condition), "Condition.code.text") == ("dx.upper()", ("sarcoma",))
    submissions.take_back(tiny.data, 2)
    after = explain(tiny.data, condition)
    assert (after.origins, after.facts["map"]) == (before.origins, before.facts["map"])
    assert origin(after, "Condition.code.text") == ("dx", ("sarcoma",))


def test_a_resource_that_was_moved_tells_the_merge_and_its_own_row(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    rows = [{"old": "1", "new": "2"}]
    act = submissions.merge(tiny.data, "my_nci", tiny.write("merge.csv", rows, ("old", "new")))
    moved = [t for n in named(tiny, "Condition") if "last changed" in (t := explain(tiny.data, n)).facts]
    assert len(moved) == 1 and f"merge {act.number}" in moved[0].facts["last changed"]
    assert moved[0].facts["file"] == "case.csv, row 2 (delivery 1)"
    assert origin(moved[0], "Condition.code.text") == ("dx", ("sarcoma",))


def test_what_was_deleted_tells_by_whom(tiny: Any) -> None:
    tiny.cases(ONE)
    (condition,) = named(tiny, "Condition")
    tiny.project()
    submissions.take_back(tiny.data, 1)
    told = explain(tiny.data, condition)
    assert told.facts["deleted"].startswith("by undo 2 (undo of 1)") and not told.cdm


def test_what_another_file_says_the_same_tells_that_file(tiny: Any) -> None:
    tiny.cases(ONE, name="january.csv")
    tiny.cases(ONE, name="february.csv")
    submissions.take_back(tiny.data, 1)
    told = explain(tiny.data, named(tiny, "Condition")[0])
    assert told.facts["file"] == "february.csv, which says the same as one taken back (delivery 2)"
