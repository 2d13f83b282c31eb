"""JSON as FHIR needs it: decimals keep their digits, duplicate keys and lossy texts are refused.

http://hl7.org/fhir/R4/json.html; decimals: http://hl7.org/fhir/R4/datatypes.html#decimal ("precision SHALL be
respected", 0.010 is not 0.01). Numbers with a fraction or exponent become `Decimal`, others `int`.

The common case is decided by two C passes: the standard decoder, then orjson writes the result back; when
both texts hold equally many colons no key stood twice. Whatever looks odd goes to the strict reader, which
finds every fault with its place.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from masterkey_fhir.definitions import json_members, types
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

MAX_DEPTH = 254  # what orjson writes
MAX_DIGITS = 400  # of a number, and of its power of ten: no double has more
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"_?[A-Za-z]{1,64}")


class JsonError(MasterkeyError):
    """The text is not what FHIR JSON allows; its Issues name every place."""


class ExponentDecimal(Decimal):
    """A Decimal that was written with an exponent and is written back as it came."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> ExponentDecimal:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __reduce__(self) -> tuple[type[ExponentDecimal], tuple[str]]:
        return ExponentDecimal, (self.text,)


def loads(data: bytes | bytearray | str) -> dict[str, Any]:
    """One JSON object. Raises JsonError with all Issues."""
    value = _quick(data)
    if value is None:
        value, found = _strict(data)
        if found or value is None:
            raise JsonError(*found)
    return value


def parse(data: bytes | bytearray | str, place: Place | None = None) -> tuple[dict[str, Any] | None, list[Issue]]:
    """As `loads`, but the Issues are returned; `place` tells where the text came from."""
    try:
        return loads(data), []
    except JsonError as error:
        where = place or Place()
        return None, [i.at(site=where.site, file=where.file, row=where.row, field=where.field) for i in error.issues]


def dumps(resource: Any, *, pretty: bool = False) -> bytes:
    """UTF-8 JSON in the order of the keys, each Decimal with the digits it came with.

    Raises JsonError for what JSON can't hold (a date object, a lone surrogate, more than MAX_DEPTH levels).
    """
    option = _PASS | (orjson.OPT_INDENT_2 if pretty else 0)
    try:
        return orjson.dumps(resource, default=_fragment, option=option)
    except TypeError:
        return _dumps_strict(resource, option)


_PASS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


# --- the quick way -------------------------------------------------------------------------------------


def _decimal(text: str) -> Decimal:
    if "e" not in text and "E" not in text and len(text) <= MAX_DIGITS:
        return Decimal(text)
    number = ExponentDecimal(text)
    if len(text) > MAX_DIGITS or abs(number.adjusted()) > MAX_DIGITS:
        raise OverflowError
    return number


def _no_constant(name: str) -> Any:
    raise OverflowError(name)


_decoder: Any = json.JSONDecoder(parse_float=_decimal, parse_constant=_no_constant)
_scan = _decoder.scan_once
_BLANKS = " \t\n\r"


def _quick(data: bytes | bytearray | str) -> dict[str, Any] | None:
    """The object, or None when something needs the strict reader."""
    try:
        text = data if isinstance(data, str) else data.decode()
        value, end = _scan(text, 0)
        written = orjson.dumps(value, default=_fragment)
    except (ValueError, TypeError, ArithmeticError, RecursionError, StopIteration):
        return None
    whole = end == len(text) or not text[end:].strip(_BLANKS)
    return value if whole and value.__class__ is dict and _keys_are_unique(text, written) else None


def _keys_are_unique(text: str, written: bytes) -> bool:
    """A dropped duplicate takes its colon along. Only an escaped colon could make up for it."""
    if "\\" in text and ("\\u003a" in text or "\\u003A" in text):
        return False
    return text.count(":") == written.count(b":")


def _fragment(value: Any) -> Any:
    if isinstance(value, ExponentDecimal):
        return orjson.Fragment(value.text)
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError


# --- the strict way ------------------------------------------------------------------------------------


class _Repeated(dict[str, Any]):
    """An object in which keys stood more than once."""

    times: dict[str, int]


class _Bad:
    """A token that can't stay; `found` is the constant's name or empty for a number out of bounds."""

    def __init__(self, found: str = "") -> None:
        self.found = found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    out = _Repeated(plain)
    out.times = {k: n for k, n in Counter(k for k, _ in pairs).items() if n > 1}
    return out


def _strict_decimal(text: str) -> Decimal | _Bad:
    try:
        return _decimal(text)
    except ArithmeticError:
        return _Bad()


def _strict_int(text: str) -> int | _Bad:
    return int(text) if len(text) <= MAX_DIGITS else _Bad()


_STRICT = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_strict_decimal, parse_int=_strict_int, parse_constant=_Bad
)


def _strict(data: bytes | bytearray | str) -> tuple[dict[str, Any] | None, list[Issue]]:
    try:
        # A byte order mark may be ignored (RFC 8259, section 8.1).
        text = data.removeprefix("\ufeff") if isinstance(data, str) else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, [issue("fhir.json-encoding", position=error.start + 1)]
    if depth(text) > MAX_DEPTH:
        return None, [issue("fhir.json-depth", limit=MAX_DEPTH)]
    try:
        value = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        return None, [issue("fhir.json-syntax", line=error.lineno, column=error.colno, reason=error.msg)]
    if not isinstance(value, dict):
        return None, [issue("fhir.json-object", found=json_kind(value))]
    found = list(_faults(value, Where.top(value)))
    return (None if found else value), found


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def depth(text: str) -> int:
    """How deep the text nests, without building anything."""
    level = deepest = 0
    for token in _TOKEN.finditer(text):
        char = text[token.start()]
        level += (char in "[{") - (char in "]}")
        deepest = max(deepest, level)
    return deepest


def root(value: Any) -> str:
    """The resource type as the first part of an expression; "" when it is none of R4's."""
    name = value.get("resourceType") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name in types() else ""


def _faults(value: Any, where: Where) -> Iterator[Issue]:
    if isinstance(value, _Bad):
        yield _bad(value, where.path)
    elif isinstance(value, str):
        yield from _surrogates(value, where.path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, where.step(index, item))
    elif isinstance(value, dict):
        yield from _object_faults(value, where)


def _object_faults(value: dict[str, Any], where: Where) -> Iterator[Issue]:
    for key, times in value.times.items() if isinstance(value, _Repeated) else ():
        place = Place(expression=where.step(key, value[key]).path)
        yield issue("fhir.json-duplicate", place, times=times)
    for key, item in value.items():
        yield from _surrogates(key, where.path)
        yield from _faults(item, where.step(key, item))


def _bad(value: _Bad, path: str) -> Issue:
    if value.found:
        return issue("fhir.json-constant", Place(expression=path), found=value.found)
    return issue("fhir.json-number", Place(expression=path), limit=MAX_DIGITS)


def _surrogates(text: str, path: str) -> Iterator[Issue]:
    if _SURROGATE.search(text):
        yield issue("fhir.json-surrogate", Place(expression=path))


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a resource as FHIRPath: `valueQuantity` is `value`, `_birthDate` is `birthDate`.

    `type` is the R4 type of the value there, "" when it is not known.
    """

    path: str
    type: str

    @classmethod
    def top(cls, value: Any) -> Where:
        name = root(value)
        return cls(name, name)

    def step(self, key: str | int, value: Any) -> Where:
        """The place of a member or item, and what is there."""
        return self._item(key, value) if isinstance(key, int) else self._member(key, value)

    def _item(self, index: int, value: Any) -> Where:
        return Where(f"{self.path}[{index}]", _restart(self.type, value))

    def _member(self, key: str, value: Any) -> Where:
        if not _NAME.fullmatch(key):  # it could be anything: it stays out
            return Where(self.path, "")
        plain = key.removeprefix("_")
        name, kind = json_members(self.type).get(plain, (plain, ""))
        kind = "Element" if key != plain else kind
        return Where(f"{self.path}.{name}" if self.path else name, _restart(kind, value))


def _restart(kind: str, value: Any) -> str:
    """Where any resource may stand, the instance names its type."""
    return (root(value) or kind) if kind == "Resource" else kind


def json_kind(value: Any) -> str:
    """What a parsed value is called in JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names: list[tuple[type | tuple[type, ...], str]] = [
        (str, "string"), (dict, "object"), (list, "array"), ((int, float, Decimal, _Bad), "number"),
    ]  # fmt: skip
    return next((name for kind, name in names if isinstance(value, kind)), "something else")


# --- writing what orjson does not write by itself ------------------------------------------------------


def _dumps_strict(resource: Any, option: int) -> bytes:
    found = list(_unwritable(resource, Where.top(resource)))
    if found:
        raise JsonError(*found)
    return orjson.dumps(_wide(resource), default=_fragment, option=option)


def _wide(value: Any) -> Any:
    """Integers beyond 64 bits as Decimals, which are written digit for digit."""
    if isinstance(value, dict):
        return {k: _wide(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_wide(v) for v in value]
    return Decimal(value) if value.__class__ is int else value


def _unwritable(value: Any, where: Where, level: int = 1) -> Iterator[Issue]:
    if level > MAX_DEPTH and isinstance(value, dict | list):
        yield issue("fhir.json-depth", Place(expression=where.path), limit=MAX_DEPTH)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unwritable_key(key, where)
            yield from _unwritable(item, where.step(str(key), item), level + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unwritable(item, where.step(index, item), level + 1)
    elif isinstance(value, str):
        yield from _surrogates(value, where.path)
    elif not _writable(value):
        yield _no_json(value, where.path)


def _unwritable_key(key: Any, where: Where) -> Iterator[Issue]:
    yield from _surrogates(key, where.path) if isinstance(key, str) else [_no_json(key, where.path)]


def _writable(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    return value is None or value.__class__ in (bool, int, float)


def _no_json(value: Any, path: str) -> Issue:
    return issue("fhir.json-unwritable", Place(expression=path), found=type(value).__name__)
