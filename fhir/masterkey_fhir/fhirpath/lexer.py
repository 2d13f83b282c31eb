"""Characters to tokens. FHIRPath N1 2.0.0, appendix B (http://hl7.org/fhirpath/N1/grammar.html)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from masterkey_fhir.fhirpath.errors import syntax

_TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
_DATE = r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?"
_ZONE = r"(?:Z|[+-][0-9]{2}:[0-9]{2})"

# Order matters: the first alternative that matches wins.
_TOKEN = re.compile(
    rf"""
      (?P<space>[ \t\r\n\u00a0]+|//[^\r\n]*|/\*.*?\*/)
    | (?P<badcomment>/\*)
    | (?P<time>@T{_TIME})
    | (?P<datetime>@{_DATE}T(?:{_TIME}{_ZONE}?)?)
    | (?P<date>@{_DATE})
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<delimited>`(?:[^`\\]|\\.)*`)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<variable>\$[A-Za-z]+)
    | (?P<symbol><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{{}}%])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"`": "`", "'": "'", '"': '"', "\\": "\\", "/": "/", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is unescaped for strings and delimited identifiers, without `@` and `$` for the others."""

    kind: str  # number name delimited string variable date datetime time symbol end
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text}'"


def tokens(text: str) -> list[Token]:
    """All tokens and one of kind "end". Raises FhirPathError at a character that begins none."""
    out: list[Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise syntax(at, _missing(text[at]), f"'{text[at]}'")
        kind = str(found.lastgroup)
        if kind == "badcomment":
            raise syntax(at, "'*/' that closes the comment", "the end")
        if kind != "space":
            out.append(Token(kind, _value(kind, found.group(), at), at))
        at = found.end()
    out.append(Token("end", "", len(text)))
    return out


def _missing(character: str) -> str:
    if character in "'`":
        return f"a closing {character}"
    return "a date or time" if character == "@" else "a term or an operator"


def _value(kind: str, text: str, at: int) -> str:
    if kind in ("string", "delimited"):
        return _unescape(text[1:-1], at)
    if kind == "time":
        return text[2:]
    return text[1:] if kind in ("date", "datetime", "variable") else text


def _unescape(text: str, at: int) -> str:
    """Section 2.1.2 of N1: backslash, quotes, slash, f n r t and uXXXX; nothing else."""
    if "\\" not in text:
        return text

    def plain(found: re.Match[str]) -> str:
        code = found.group(1)
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            raise syntax(at + 1 + found.start(), "an escape of FHIRPath", f"'\\{code}'")
        return _ESCAPED[code]

    return _ESCAPE.sub(plain, text)
