"""The tables that the exchange guide prints: columns of each part, and the code lists."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from masterkey_etl.templates_out.form import Form, Part
from masterkey_etl.templates_out.workbook import items_of, lists_of, parts_of

COLUMNS = ("part", "column", "item", "meaning", "type", "unit", "range", "needed", "answers", "fhir")


def rows(form: Form, language: str = "en", minimum: bool = False) -> list[list[str]]:
    """One row per column of the templates, in their order."""
    return [row for part in parts_of(form, minimum) for row in _part(form, part, language, minimum)]


def _part(form: Form, part: Part, language: str, minimum: bool) -> Iterable[list[str]]:
    for i in items_of(form, part):
        if not minimum or i.obligation == "mandatory":
            extent = f"{i.min}–{i.max}" if i.min or i.max else ""
            answers = f"{i.topic}{' (open)' if i.open else ''}" if i.topic else ""
            needed = form.text(language, "words", i.obligation)
            yield [part.name, i.column, i.item, i.label(language), i.type, i.unit, extent, needed, answers, i.element]


def lists(form: Form, language: str = "en") -> list[list[str]]:
    return [[name, c.code, c.label(language)] for name, choices in lists_of(form).items() for c in choices]


def as_csv(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(body)
    return out.getvalue()


def as_markdown(form: Form, language: str = "en", minimum: bool = False) -> str:
    """A table per part, then the lists."""
    found = rows(form, language, minimum)
    out = []
    for part in parts_of(form, minimum):
        body = [r[1:] for r in found if r[0] == part.name]
        out.append(f"## {form.text(language, 'parts', part.name)}\n\n{_table(COLUMNS[1:], body)}\n")
    heading = form.text(language, "sheet", "codes")
    out.append(f"## {heading}\n\n{_table(('list', 'code', 'meaning'), lists(form, language))}\n")
    return "\n".join(out)


def _table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    return "\n".join([line(header), "|" + "---|" * len(header), *map(line, body)])


__all__ = ["COLUMNS", "as_csv", "as_markdown", "lists", "rows"]
