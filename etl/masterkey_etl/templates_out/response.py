"""A QuestionnaireResponse to the registry's Questionnaire as the flat rows of the REDCap template.

So its answers take the road of that template: same source model, same map, every answer a cell of the ledger.
http://hl7.org/fhir/R4/questionnaireresponse.html
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from masterkey_etl.ledger import IndependentCount
from masterkey_etl.readers.delimited import Readable
from masterkey_etl.templates_out.dictionary import columns_of_export
from masterkey_etl.templates_out.form import KEY, Form, Part, form
from masterkey_etl.templates_out.questionnaire import GROUP, URL

Json = dict[str, Any]
Row = dict[str, str]


def is_response(resource: Any) -> bool:
    """Is this a response to the registry's Questionnaire?"""
    if not isinstance(resource, dict) or resource.get("resourceType") != "QuestionnaireResponse":
        return False
    return str(resource.get("questionnaire", "")).partition("|")[0] == URL


def rows(form: Form, resource: Json) -> list[Row]:
    """The row of the patient, then one per instance of a repeating part. Answers of unknown questions are named
    as columns of their own, so that the reader tells them."""
    base: Row = {}
    more: list[Row] = []
    parts = {f"{GROUP}{p.name}": p for p in form.parts}
    seen: dict[str, int] = {}
    for group in _items(resource):
        part = parts.get(str(group.get("linkId")))
        found = _joined({}, _answers(group))
        if part is None or not part.repeats:
            base = _joined(base, found.items()) | _complete(part)
            continue
        n = seen[part.name] = seen.get(part.name, 0) + 1
        place = {"redcap_repeat_instrument": part.name, "redcap_repeat_instance": str(n)}
        more.append(place | found | _complete(part))
    key = base.get(KEY, "")
    blank = {"redcap_repeat_instrument": "", "redcap_repeat_instance": ""}
    return [{KEY: key} | blank | row for row in (base, *more)]


def _joined(row: Row, answers: Iterable[tuple[str, str]]) -> Row:
    """The row with more answers; two to one question stand side by side, which the reader tells."""
    out = dict(row)
    for name, text in answers:
        out[name] = f"{out[name]}; {text}" if name in out and out[name] != text else text
    return out


def _complete(part: Part | None) -> Row:
    return {f"{part.name}_complete": "2"} if part else {}


def _items(node: Json) -> Iterator[Json]:
    yield from _objects(node.get("item"))


def _objects(value: Any) -> Iterator[Json]:
    """The objects of a list; one that stands without its list is one."""
    yield from (v for v in (value if isinstance(value, list) else [value]) if isinstance(v, dict))


def _answers(group: Json) -> Iterator[tuple[str, str]]:
    for item in _items(group):
        question = str(item.get("linkId"))
        told = [(name, value) for a in _objects(item.get("answer")) for name, value in a.items() if name[:5] == "value"]
        texts = [t for _, value in told if (t := _text(value))]
        if texts:
            yield question, "; ".join(texts)
        yield from ((f"{question}.{name}", "given") for name, value in told if _text(value) is None)
        yield from _answers(item)


def _text(value: Any) -> str | None:
    """The value of an answer: codes by their code, a quantity with its unit (which the reader tells).

    None for what no cell can hold (a reference, an attachment): its answer becomes a column that nobody knows.
    """
    if isinstance(value, dict) and "value" in value:
        return " ".join(str(x) for x in (value["value"], value.get("unit") or value.get("code")) if x is not None)
    if isinstance(value, dict):
        text = value.get("code") or value.get("display")
        return str(text) if text else None
    if isinstance(value, list):
        return None
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


# -- as a table --------------------------------------------------------------------------------------


class ResponseTable:
    """A Readable whose bytes are the CSV of another one's responses (one resource, a list, or a Bundle of them)."""

    def __init__(self, source: Readable) -> None:
        self.source = source

    @property
    def scratch(self) -> Path | None:
        return self.source.scratch

    def pseudonym(self, *key: str) -> str:
        return self.source.pseudonym(*key)

    def open(self) -> BinaryIO:
        with self.source.open() as stream:
            found = [row for response in responses(stream) for row in rows(form(), response)]
        header = list(dict.fromkeys([*columns_of_export(form()), *(name for row in found for name in row)]))
        out = io.StringIO()
        writer = csv.DictWriter(out, header, restval="", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(found)
        return io.BytesIO(out.getvalue().encode("utf-8", "replace"))


def responses(stream: BinaryIO) -> Iterator[Json]:
    """Those a file holds, in their order; none when it is no JSON."""
    try:
        found = json.loads(stream.read().decode("utf-8-sig"), parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return
    for node in found if isinstance(found, list) else [found]:
        if isinstance(node, dict):
            inside = [e.get("resource") for e in _objects(node.get("entry"))]
            yield from (r for r in _objects([node, *inside]) if is_response(r))


def count(stream: BinaryIO) -> IndependentCount:
    """Rows and columns of that table, counted from the parsed resources without making it."""
    import orjson

    repeating = {f"{GROUP}{p.name}" for p in form().parts if p.repeats}
    n, names = 0, set(columns_of_export(form()))
    try:
        waiting = [orjson.loads(stream.read().removeprefix(b"\xef\xbb\xbf"))]
    except orjson.JSONDecodeError:
        waiting = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            if is_response(node):
                groups = list(_objects(node.get("item")))
                n += 1 + sum(g.get("linkId") in repeating for g in groups)
                names |= _asked(groups)
            waiting += [e.get("resource") for e in _objects(node.get("entry"))]
    return IndependentCount(n, len(names))


def _asked(nodes: list[Json]) -> set[str]:
    """Columns of the answers below these nodes: by their question, or apart where a cell can't hold the value."""
    out: set[str] = set()
    for node in nodes:
        below = list(_objects(node.get("item")))
        for item, answer in ((i, a) for i in below for a in _objects(i.get("answer"))):
            for name in (n for n in answer if n.startswith("value") and answer[n] != ""):
                value, link = answer[name], str(item.get("linkId"))
                kept = "value" in value or value.get("code") or value.get("display") if isinstance(value, dict) else 1
                out.add(f"{link}.{name}" if isinstance(value, list) or not kept else link)
        out |= _asked(below)
    return out


__all__ = ["ResponseTable", "count", "is_response", "responses", "rows"]
