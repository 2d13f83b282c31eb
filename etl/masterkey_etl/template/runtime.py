"""What generated maps call. FHIRPath N1 2.0.0 on single values; None is the empty collection.

Arguments that reach a function here are never None unless the docstring says so: the generated code guards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any

from masterkey_etl import values
from masterkey_etl.values import nfkc

Number = int | Decimal
Json = dict[str, Any]
Rows = tuple[Mapping[str, Any], ...]  # of a concept table
UCUM = "http://unitsofmeasure.org"  # http://hl7.org/fhir/R4/datatypes.html#Quantity


class Remembered(dict[Any, Any]):
    """What a function gave for each argument. Bounded: emptied when full."""

    LIMIT = 100_000

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def __missing__(self, argument: Any) -> Any:
        if len(self) > self.LIMIT:
            self.clear()
        found = self[argument] = self.function(argument)
        return found


class Memo(Remembered):
    """Text of a cell -> value; nothing gives nothing."""

    def __missing__(self, text: str | None) -> Any:
        if not text:
            self[text] = None
            return None
        return super().__missing__(text)


def also_from(
    made: list[tuple[str, Json]], where: list[tuple[int, ...]], resource: Json, rows: tuple[int, ...]
) -> None:
    """A resource that was made already comes from these rows of the record too."""
    at = next(n for n, (_, r) in enumerate(made) if r is resource)
    where[at] = tuple(sorted({*where[at], *rows}))


# -- three-valued logic (N1 6.5); arguments may be None


def both(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def either(a: bool | None, b: bool | None) -> bool | None:
    if a is True or b is True:
        return True
    return None if a is None or b is None else False


def implies(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is True:
        return True
    return None if a is None or b is None else False


# -- dates: FHIR texts of any precision (N1 6.2: what precision can't decide is empty)


def _common(a: str, b: str) -> tuple[str, str, bool]:
    n = min(len(a), len(b))
    return a[:n], b[:n], len(a) == len(b)


def date_equal(a: str, b: str) -> bool | None:
    x, y, same = _common(a, b)
    if x != y:
        return False
    return True if same else None


def date_less(a: str, b: str) -> bool | None:
    x, y, same = _common(a, b)
    if x != y:
        return x < y
    return False if same else None


def date_at_most(a: str, b: str) -> bool | None:
    x, y, same = _common(a, b)
    if x != y:
        return x < y
    return True if same else None


def year(a: str) -> int | None:
    return int(a[:4])


def month(a: str) -> int | None:
    return int(a[5:7]) if len(a) >= 7 else None


def day(a: str) -> int | None:
    return int(a[8:10]) if len(a) >= 10 else None


def to_date(a: str, *formats: str) -> str | None:
    """A FHIR date from text; formats as in source models, none = ISO."""
    return values.date(a, formats or ("%Y-%m-%d",))[0]


# -- texts


def substring(a: str, start: int, length: int | None = None) -> str | None:
    """N1 5.6.2: a start outside the text is empty."""
    if start < 0 or start >= len(a):
        return None
    return a[start:] if length is None else a[start : start + max(length, 0)]


def replace(a: str, pattern: str, to: str) -> str:
    """N1 5.6.8: an empty pattern stands before, between and after the characters."""
    return a.replace(pattern, to)


def split(a: str, separator: str) -> list[str]:
    return a.split(separator) if separator else list(a)


def equivalent_text(a: str | None, b: str | None) -> bool:
    """N1 6.1.3: case and blanks don't count; empty ~ empty."""
    if a is None or b is None:
        return a is b
    return " ".join(a.casefold().split()) == " ".join(b.casefold().split())


def equivalent_number(a: Number | None, b: Number | None) -> bool:
    """N1 6.1.3: compared at the precision of the less precise."""
    if a is None or b is None:
        return a is b
    places = min(_places(a), _places(b))
    return _rounded(Decimal(a), places) == _rounded(Decimal(b), places)


def equivalent_other(a: Any, b: Any) -> bool:
    return bool(a == b)


_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\d+))")


def replacement(text: str) -> str:
    """FHIRPath's `$1`, `${name}` as Python's template."""
    return _REFERENCE.sub(lambda m: f"\\g<{m[1] or m[2]}>", text.replace("\\", "\\\\"))


# -- numbers


def _places(a: Number) -> int:
    if isinstance(a, int):
        return 0
    exponent = a.normalize().as_tuple().exponent
    return max(0, -int(exponent))


def _rounded(a: Decimal, places: int) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return a.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def round_to(a: Number, places: int = 0) -> Number | None:
    """N1 5.7.10: half goes away from zero. An integer stays one."""
    if places < 0:
        return None
    if isinstance(a, int):
        return a
    with localcontext() as context:
        context.prec = 60
        step = Decimal(1).scaleb(-places)
        return (a / step).to_integral_value(ROUND_HALF_UP) * step


def floor(a: Number) -> int:
    return int(Decimal(a).to_integral_value(ROUND_FLOOR))


def ceiling(a: Number) -> int:
    return int(Decimal(a).to_integral_value(ROUND_CEILING))


def divide(a: Number, b: Number) -> Decimal | None:
    return Decimal(a) / Decimal(b) if b else None


def whole_divide(a: Number, b: Number) -> int | None:
    """N1 6.6.5: truncated towards zero."""
    if not b:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b) if (a < 0) != (b < 0) and a % b else a // b
    return int(Decimal(a) / Decimal(b))


def remainder(a: Number, b: Number) -> Number | None:
    """N1 6.6.6: with the sign of the left side."""
    if not b:
        return None
    found = Decimal(a) % Decimal(b)
    return int(found) if isinstance(a, int) and isinstance(b, int) else found


_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def to_integer(a: str | Number | bool) -> int | None:
    """N1 5.5.3."""
    if isinstance(a, str):
        return int(a) if _INTEGER.fullmatch(a) else None
    return int(a) if isinstance(a, int) else None


def to_decimal(a: str | Number | bool) -> Decimal | None:
    """N1 5.5.6."""
    if isinstance(a, bool):
        return Decimal("1.0") if a else Decimal("0.0")
    if isinstance(a, str):
        return Decimal(a) if _DECIMAL.fullmatch(a) else None
    try:
        return Decimal(a)
    except InvalidOperation:
        return None


def to_string(a: str | Number | bool) -> str:
    if isinstance(a, bool):
        return "true" if a else "false"
    return f"{a:f}" if isinstance(a, Decimal) else str(a)


# -- FHIR values


def coding(rows: Rows, version: str | None = None) -> list[Mapping[str, Any]]:
    """One Coding per row of the concept table, the table's own objects; `version` may be None."""
    if version is None:
        return list(rows)
    return [_with_version(r, version) for r in rows]


def one_coding(rows: Rows, version: str | None = None) -> Mapping[str, Any]:
    return rows[0] if version is None else _with_version(rows[0], version)


def _with_version(row: Mapping[str, Any], version: str) -> Json:
    if "system" not in row:
        return {"version": version, **row}
    return {"system": row["system"], "version": version, **row}  # FHIR's order


def codeable(rows: Rows | None, text: str | None, version: str | None = None) -> Json | None:
    """CodeableConcept of the rows (None: no concept) and the source's own text."""
    out: Json = {"coding": coding(rows, version)} if rows else {}
    if text:
        out["text"] = text
    return out or None


def framed(*parts: str | Number | bool | None) -> str:
    """Parts as one text that no other parts give: netstrings, `-` for an empty part."""
    return "|".join(map(frame, parts))


def frame(part: str | Number | bool | None) -> str:
    """One part of `framed`."""
    if part is None:
        return "-"
    text = str(part)
    return f"{len(text)}:{text}"


__all__ = ["Memo", "nfkc"]
