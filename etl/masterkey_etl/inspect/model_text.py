"""A drafted source model as YAML: one line per column, the evidence behind it as a comment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from masterkey_etl.inspect.column import ColumnProfile

if TYPE_CHECKING:
    from masterkey_etl.inspect.draft import Plan

_HEAD = """# Drafted by `masterkey inspect --draft` on {today} from {rows} rows. A comment with ? is a question to a
# person who knows the export; a column without a sure type is text, which keeps every value as it stands.
format: {name}
revision: "1"
title: {title}
citation: drafted from a file of the site on {today}; no document names its layout
"""


def model_text(plan: Plan) -> str:
    """The text of `sources/<name>/1.yaml`."""
    found = plan.found
    title = quoted(f"Export {plan.name} as its file shows it")
    lines = [_HEAD.format(today=date.today().isoformat(), rows=found.rows, name=plan.name, title=title).rstrip()]
    lines += _kind(plan)
    lines += ['null_tokens: [""]', f"record: {plan.name}", *_key(plan)]
    if plan.repeated:
        ids = ", ".join(plan.ids[i] for i in plan.repeated)
        lines += [f"groups:\n  parts: [{ids}]  # these differ between the rows of one record"]
    lines += ["columns:"]
    lines += [line for i in range(len(plan.ids)) for line in _column(plan, i)]
    return "\n".join(lines) + "\n"


def _kind(plan: Plan) -> Iterator[str]:
    found = plan.found
    if found.sheet:
        yield "kind: sheet"
        return
    if found.encoding:
        name = "utf-8-sig" if found.encoding.what in ("utf-8", "utf-8-sig") else found.encoding.what
        yield f"encoding: [{name}]  # {found.encoding.evidence}"
    if found.delimiter:
        yield f"delimiter: {quoted(found.delimiter.what)}  # {found.delimiter.evidence}"


def _key(plan: Plan) -> Iterator[str]:
    if plan.key is not None:
        evidence = next(k.evidence for k in plan.found.keys if k.column == plan.key)
        yield f"key: [{plan.ids[plan.key]}]  # {evidence}"
        return
    seen = ", ".join(f"{plan.ids[k.column]} ({k.evidence})" for k in plan.found.keys) or "no column tells rows apart"
    yield f"key: []  # ? the columns that name one patient or record; candidates: {seen}"


def _column(plan: Plan, i: int) -> Iterator[str]:
    c, kind = plan.column(i), plan.types[i]
    if i in plan.nameless:
        yield f"  # ? column {c.number} has no header of its own: without one its values are kept out"
        return
    parts = [f"id: {plan.ids[i]}", f"header: {quoted(c.header)}", f"type: {kind}"]
    if i in plan.label_of:
        parts.append(f"label: {plan.ids[plan.label_of[i]]}")
    if i in plan.codes:
        parts.append("codes: {" + ", ".join(f"{quoted(k)}: {quoted(v)}" for k, v in plan.codes[i].items()) + "}")
    if c.nulls:
        parts.append(f'null_tokens: ["", {", ".join(map(quoted, sorted(c.nulls)))}]')
    if kind == "date":
        parts += _date(c)
    if (flag := _flag(plan, i)) != "none":
        parts.append(f"personal: {flag}")
    yield f"  - {{{', '.join(parts)}}}"
    for note in _questions(c, kind):
        yield f"    # ? {note}"


def _date(c: ColumnProfile) -> Iterator[str]:
    assert c.date is not None
    if c.date.formats:
        yield f"formats: [{', '.join(map(quoted, c.date.formats))}]"
    yield f"calendar: {c.date.calendar}"


def _flag(plan: Plan, i: int) -> str:
    """Keys identify; of the others what looks like a person, and every text nobody knows."""
    if i == plan.key:
        return "identifier"
    flag = plan.column(i).flag
    if flag == "none" and plan.types[i] == "text":
        return "free_text"
    return "none" if plan.types[i] in ("date", "label") else flag


def _questions(c: ColumnProfile, kind: str) -> Iterator[str]:
    if kind == "text" and c.type.what not in ("text", "code"):
        yield f"{c.type.what}? {c.type.evidence}"
    yield from c.notes()


def quoted(text: str) -> str:
    """A double-quoted YAML scalar; JSON is one."""
    return json.dumps(text, ensure_ascii=False)
