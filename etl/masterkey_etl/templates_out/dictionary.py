"""The form as a REDCap data dictionary: one instrument per part."""

from __future__ import annotations

import csv
import io

from masterkey_etl.redcap.dictionary import HEADERS
from masterkey_etl.templates_out.form import KEY, Form, Item, Part

_VALIDATION = {"date": "date_ymd", "integer": "integer", "quantity": "number"}


def as_csv(form: Form, language: str = "en", minimum: bool = False) -> str:
    """The 18 columns. With `minimum`, fields that are not mandatory stay in the project, hidden by `@HIDDEN`, so
    that its export keeps its columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADERS)
    for part in form.parts:
        for n, item in enumerate(part.items):
            heading = form.text(language, "parts", part.name) if n == 0 else ""
            writer.writerow(_row(form, part, item, heading, language, minimum))
    return out.getvalue()


def repeating(form: Form) -> list[str]:
    """Instruments to be enabled as repeating in the project's setup (a dictionary can't say it)."""
    return [part.name for part in form.parts if part.repeats]


def columns_of_export(form: Form) -> list[str]:
    """The header of this project's flat export."""
    out = [KEY, "redcap_repeat_instrument", "redcap_repeat_instance"]
    for part in form.parts:
        out += [i.column for i in part.items if i.column != KEY]
        out.append(f"{part.name}_complete")
    return out


def _row(form: Form, part: Part, item: Item, heading: str, language: str, minimum: bool) -> list[str]:
    choices = " | ".join(f"{c.code}, {c.label(language)}" for c in item.choices) if item.closed else ""
    hidden = minimum and item.obligation != "mandatory"
    cells = dict.fromkeys(HEADERS, "")
    cells |= {
        HEADERS[0]: item.column,
        HEADERS[1]: part.name,
        HEADERS[2]: heading,
        HEADERS[3]: "dropdown" if item.closed else "text",
        HEADERS[4]: item.label(language),
        HEADERS[5]: choices,
        HEADERS[6]: form.text(language, "kinds", item.type).format(unit=item.unit),
        HEADERS[7]: _VALIDATION.get(item.type, ""),
        HEADERS[8]: item.min,
        HEADERS[9]: item.max,
        HEADERS[10]: "y" if item.column == KEY else "",
        HEADERS[11]: item.asked_when,
        HEADERS[12]: "y" if item.required and item.column != KEY else "",
        HEADERS[17]: "@HIDDEN" if hidden else "",
    }
    return list(cells.values())


__all__ = ["as_csv", "columns_of_export", "repeating"]
