"""The official FHIRPath R4 tests (FHIR/fhir-test-cases), read from their XML, and how one is judged."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from masterkey_fhir.fhirpath import FhirPathError, Quantity, compile
from masterkey_fhir.fhirpath.functions.conversions import to_text
from masterkey_fhir.fhirpath.items import Typed, plain, to_system, type_info
from masterkey_fhir.fhirpath.values import parse_quantity
from masterkey_fhir.json import loads

sys.path.insert(0, str(Path(__file__).parent))
import xml_input


@dataclass(frozen=True, slots=True)
class Case:
    group: str
    name: str
    expression: str
    invalid: str  # "", "syntax", "semantic", "execution"
    input: str
    predicate: bool
    ordered: bool
    outputs: tuple[tuple[str, str], ...]  # (type or "", text)


def cases(file: Path) -> Iterator[Case]:
    for group in ElementTree.parse(file).getroot().iter("group"):
        for test in group.findall("test"):
            expression = test.find("expression")
            assert expression is not None
            yield Case(
                group.get("name", ""),
                test.get("name", ""),
                expression.text or "",
                expression.get("invalid", ""),
                test.get("inputfile", ""),
                test.get("predicate") == "true",
                test.get("ordered") != "false",
                tuple((o.get("type", ""), (o.text or "").strip()) for o in test.findall("output")),
            )


@cache
def resource(folder: Path, name: str) -> Any:
    """The named file itself: some XML inputs say more than the JSON file of the same name."""
    if not name:
        return {}
    file = folder / name
    return xml_input.read(file) if file.suffix == ".xml" else loads(file.read_bytes())


def judge(case: Case, folder: Path) -> str:
    """ "" when our answer is the published one, else what differs."""
    try:
        items = compile(case.expression, strict=True).items(resource(folder, case.input))
    except FhirPathError as error:
        return "" if case.invalid else f"refused: {error}"
    if case.invalid:
        return f"{len(items)} items where it must be refused"
    if case.predicate:
        items = [_as_boolean(items)]
    return _compare(case, items)


def _as_boolean(items: list[Any]) -> bool:
    return bool(items) and (plain(items[0]) if isinstance(plain(items[0]), bool) else True)


def _compare(case: Case, items: list[Any]) -> str:
    ours = [(type_info(i, None).name, _text(i)) for i in items]
    wanted = list(case.outputs)
    if not case.ordered:
        ours.sort(key=lambda o: o[1])
        wanted.sort(key=lambda o: o[1])
    same = len(ours) == len(wanted) and all(map(_same, ours, wanted))
    return "" if same else f"{ours} instead of {wanted}"


def _text(item: Any) -> str:
    convert = to_system(item.type) if isinstance(item, Typed) else None
    value = convert(item) if convert else plain(item)
    return to_text(value) if to_text(value) is not None else str(value)  # type: ignore[return-value]


def _same(ours: tuple[str, str], wanted: tuple[str, str]) -> bool:
    kind, text = wanted
    if kind and kind.lower() != ours[0].lower():
        return False
    text = text.removeprefix("@").removeprefix("T")
    return ours[1] == text or _same_number(ours[1], text)


def _same_number(ours: str, wanted: str) -> bool:
    a, b = parse_quantity(ours), parse_quantity(wanted)
    return a is not None and b is not None and _digits(a) == _digits(b)


def _digits(q: Quantity) -> tuple[Decimal, str]:
    return q.value, q.unit
