"""String functions (N1 2.0.0 section 5.6), and encode, escape, trim, split, join (STU)."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from functools import lru_cache

from masterkey_fhir.fhirpath.code import (
    BOOLEAN,
    INTEGER,
    NOTHING,
    STRING,
    Code,
    Env,
    one_value,
    plural,
    single,
    values,
)
from masterkey_fhir.fhirpath.functions.base import TEXT, WHOLE, Function, on_value
from masterkey_fhir.fhirpath.items import Item
from masterkey_fhir.fhirpath.scope import Invocation


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str] | None:
    """None when it is no regular expression. `.` matches line ends too (section 5.6.8)."""
    try:
        return re.compile(text, re.DOTALL)
    except re.error:
        return None


def _matches(text: str, pattern: str) -> bool | None:
    found = _pattern(pattern)
    return None if found is None else found.search(text) is not None


def _matches_full(text: str, pattern: str) -> bool | None:
    found = _pattern(pattern)
    return None if found is None else found.fullmatch(text) is not None


_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\d+))")


def _replace_matches(text: str, pattern: str, by: str) -> str | None:
    """`$1` and `${name}` in the replacement are groups of the match; an empty pattern replaces nothing."""
    found = _pattern(pattern)
    if found is None or not pattern:
        return text if not pattern else None
    template = _REFERENCE.sub(lambda m: rf"\g<{m.group(1) or m.group(2)}>", by.replace("\\", "\\\\"))
    try:
        return found.sub(template, text)
    except (re.error, IndexError):
        return None


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    if not 0 <= start < len(text):
        return None
    return text[start:] if length is None else text[start : start + max(length, 0)]


def _encode(text: str, form: str) -> str | None:
    data = text.encode()
    match form:
        case "hex":
            return data.hex()
        case "base64":
            return base64.b64encode(data).decode()
        case "urlbase64":
            return base64.urlsafe_b64encode(data).decode()
    return None


def _decode(text: str, form: str) -> str | None:
    try:
        match form:
            case "hex":
                return bytes.fromhex(text).decode()
            case "base64":
                return base64.b64decode(text, validate=True).decode()
            case "urlbase64":
                return base64.b64decode(text, b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        return None
    return None


def _escape(text: str, target: str) -> str | None:
    if target == "html":
        return html.escape(text)
    return json.dumps(text, ensure_ascii=False)[1:-1] if target == "json" else None


def _unescape(text: str, target: str) -> str | None:
    if target == "html":
        return html.unescape(text)
    return _JSON_ESCAPE.sub(_unescaped, text) if target == "json" else None


_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"\\/bfnrt]))")
_JSON_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _unescaped(found: re.Match[str]) -> str:
    code, short = found.groups()
    return chr(int(code, 16)) if code else _JSON_SHORT.get(short, short)


def _to_chars(call: Invocation) -> Code:
    get = one_value(call.of, call.at)

    def many(this: Item, env: Env) -> list[Item]:
        text = get(this, env)
        return list(text) if isinstance(text, str) else NOTHING

    return plural(STRING, many)


def _split(call: Invocation) -> Code:
    get, get_separator = one_value(call.of, call.at), one_value(call.arg(0), call.at)

    def many(this: Item, env: Env) -> list[Item]:
        text, separator = get(this, env), get_separator(this, env)
        if not isinstance(text, str) or not isinstance(separator, str):
            return NOTHING
        return text.split(separator) if separator else list(text)

    return plural(STRING, many)


def _join(call: Invocation) -> Code:
    get = values(call.of)
    separator = one_value(call.arg(0), call.at) if call.size else (lambda this, env: "")

    def one(this: Item, env: Env) -> str:
        """Nothing joined is the empty string, as the tests of SQL on FHIR ask."""
        return str(separator(this, env) or "").join(v for v in get(this, env) if isinstance(v, str))

    return single(STRING, one)


FUNCTIONS: dict[str, Function] = {
    "indexOf": on_value(str.find, TEXT, TEXT, gives=INTEGER),
    "lastIndexOf": on_value(str.rfind, TEXT, TEXT, gives=INTEGER),
    "substring": on_value(_substring, TEXT, WHOLE, WHOLE, gives=STRING, optional=1),
    "startsWith": on_value(str.startswith, TEXT, TEXT, gives=BOOLEAN),
    "endsWith": on_value(str.endswith, TEXT, TEXT, gives=BOOLEAN),
    "contains": on_value(str.__contains__, TEXT, TEXT, gives=BOOLEAN),
    "upper": on_value(str.upper, TEXT, gives=STRING),
    "lower": on_value(str.lower, TEXT, gives=STRING),
    "replace": on_value(str.replace, TEXT, TEXT, TEXT, gives=STRING),
    "matches": on_value(_matches, TEXT, TEXT, gives=BOOLEAN),
    "matchesFull": on_value(_matches_full, TEXT, TEXT, gives=BOOLEAN),
    "replaceMatches": on_value(_replace_matches, TEXT, TEXT, TEXT, gives=STRING),
    "length": on_value(len, TEXT, gives=INTEGER),
    "toChars": Function(_to_chars),
    "trim": on_value(str.strip, TEXT, gives=STRING),
    "split": Function(_split, 1, 1),
    "join": Function(_join, 0, 1),
    "encode": on_value(_encode, TEXT, TEXT, gives=STRING),
    "decode": on_value(_decode, TEXT, TEXT, gives=STRING),
    "escape": on_value(_escape, TEXT, TEXT, gives=STRING),
    "unescape": on_value(_unescape, TEXT, TEXT, gives=STRING),
}
