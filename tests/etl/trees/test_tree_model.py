"""Source models of trees: each mistake is told with its line and what would be valid."""

from __future__ import annotations

import pytest

from masterkey_etl.ledger import IndependentCount, Ledger
from masterkey_etl.source_model import SourceModel, SourceModelError

MODEL = """
format: tiny
revision: "1"
title: t
citation: c
kind: json
record: case
paths: {items: a.b}
groups:
  items: [gene]
columns:
  - {id: pid, path: id, type: text}
  - {id: gene, path: gene, type: text}
"""


def test_a_leaf_has_its_path_from_the_record_as_header() -> None:
    model = SourceModel.parse(MODEL)
    assert [c.header for c in model.columns] == ["id", "a.b.gene"]
    assert model.leaf_paths(1) == ("a.b.gene",)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("paths: {items: a.b}", "paths: {}", 10, "the group items has no path"),
        ("paths: {items: a.b}", "paths: {items: a.b, other: c}", 8, "other is not a group"),
        ("paths: {items: a.b}", "paths: {items: 'a..b'}", 8, "items: string should match pattern"),
        ("path: gene", "path: 'a b'", 13, "a b is not a path"),
        ("path: gene", "path: '@gene'", 13, "only XML has attributes"),
        ("{id: gene, path: gene, type: text}", "{id: gene, header: gene, type: text}", 13, "gene has no path"),
        ("path: id,", "path: a.b.gene,", 12, "two columns share the path a.b.gene"),
        ("path: gene", "path: gene, shown_when: \"[x] = '1'\"", 13, "has no shown_when"),
        ("record: case", "record: case\nrepeat_by: pid", 8, "a tree has no repeat_by"),
        ("record: case", "record: case\nsheet: {header_rows: 2}", 8, "only kind: sheet has this key"),
        ("record: case", "record: case\nignored: [{path: id, reason: r}]", 8, "a column takes what stands at id"),
        ("record: case", "record: case\nignored: [{path: x}]", 8, "reason is missing"),
        ("record: case", "record: case\ndoubts: [{column: nobody, keep: true, reason: r}]", 8, "nobody is not the id"),
        ("record: case", "record: case\ndoubts: [{column: pid, reason: r}]", 8, "it keeps out every value"),
        (
            "record: case",
            "record: case\ndoubts: [{column: pid, unlike: '(', reason: r}]",
            8,
            "not a regular expression",
        ),
        ("record: case", "record: case\ndoubts: [{column: pid, when: {gene: [x]}, reason: r}]", 8, "another part"),
        ("record: case", "record: case\nspread: {others: x}", 8, "others is not a group"),
    ],
)
def test_mistakes_are_told_at_their_line(old: str, new: str, line: int, said: str) -> None:
    assert old in MODEL
    with pytest.raises(SourceModelError) as refused:
        SourceModel.parse(MODEL.replace(old, new), "tiny.yaml")
    issues = {str(i.place.row): i.fact() for i in refused.value.issues}
    assert any(str(line) == row and said in fact for row, fact in issues.items()), issues
    assert all(i.remedy() for i in refused.value.issues)


def test_keys_of_trees_mean_nothing_elsewhere() -> None:
    table = (
        MODEL.replace("kind: json\n", "").replace("paths: {items: a.b}\n", "").replace("groups:\n  items: [gene]\n", "")
    )
    with pytest.raises(SourceModelError) as refused:
        SourceModel.parse(table)
    assert "header is missing" in str(refused.value)
    named = table.replace("path: id", "header: id, path: id").replace("path: gene", "header: gene")
    with pytest.raises(SourceModelError) as refused:
        SourceModel.parse(named)
    assert "only a tree's columns have a path" in str(refused.value)


def test_a_leaf_counted_at_another_path_is_a_difference_though_the_totals_agree() -> None:
    ledger = Ledger(SourceModel.parse(MODEL))
    ledger.covered((0, 1))
    ledger.rows(1)
    ledger.leaves.taken(0, "id", 1)
    ledger.leaves.taken(1, "a.b.gene", 2)
    assert ledger.close(IndependentCount(1, 0, 0, {"id": 1, "a.b.gene": 2}))[1] == []
    (lost,) = ledger.close(IndependentCount(1, 0, 0, {"id": 2, "a.b.gene": 1}))[1]
    assert (lost.rule, lost.place.field) == ("etl.silent-loss-count", "a.b.gene")
