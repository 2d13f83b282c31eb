"""The shared strings of a workbook (ECMA-376 part 1, 18.4): in memory up to a bound, then in scratch."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.parsers import expat

import orjson

from masterkey_etl.readers import limits
from masterkey_etl.readers.rows import REFUSED
from masterkey_etl.readers.sheet_scratch import Blocks
from masterkey_etl.readers.text import REPLACEMENT

_PER_BLOCK = 2048
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


class Text(NamedTuple):
    """A text without outer blanks; kind w when it had some, blank when nothing is left. Of texts that can't be kept the
    text is REFUSED: l too long, z with a NUL, q with characters that could not be decoded."""

    text: str
    kind: str


def cleaned(raw: str) -> Text:
    """A cell's text: `_x000D_` decoded (18.18.93 ST_Xstring), outer blanks of every script removed."""
    if "_x" in raw:
        raw = _ESCAPED.sub(_decoded, raw)
    text = raw.strip()
    if not text:
        return Text("", " ")
    if len(text) > limits.FIELD or "\0" in text or REPLACEMENT in text:
        return Text(REFUSED, "l" if len(text) > limits.FIELD else "z" if "\0" in text else "q")
    return Text(text, "s" if len(text) == len(raw) else "w")


def _decoded(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return REPLACEMENT if 0xD800 <= code <= 0xDFFF else chr(code)


class Strings:
    """Texts by number. Those read last stay at hand: tables refer to them in about their order."""

    def __init__(self, folder: Path | None) -> None:
        self._held: list[Text] = []
        self._blocks = Blocks(folder, memory=0)
        self._waiting: list[Text] = []
        self._size = 0
        self._near: dict[int, list[Text]] = {}

    def add(self, raw: str) -> None:
        text = cleaned(raw)
        self._size += len(text.text)
        if not len(self._blocks) and not self._waiting and self._size <= limits.STRINGS:
            self._held.append(text)
            return
        self._waiting.append(text)
        if len(self._waiting) == _PER_BLOCK:
            self._blocks.add(orjson.dumps([tuple(t) for t in self._waiting]))
            self._waiting = []

    def __getitem__(self, number: int) -> Text:
        """Raises IndexError when there is no text of that number."""
        if 0 <= number < len(self._held):
            return self._held[number]
        block, inside = divmod(number - len(self._held), _PER_BLOCK)
        if number < 0 or block > len(self._blocks):
            raise IndexError(number)
        if block == len(self._blocks):
            return self._waiting[inside]
        return self._block(block)[inside]

    def close(self) -> None:
        self._blocks.close()

    def _block(self, number: int) -> list[Text]:
        if number not in self._near:
            if len(self._near) >= 16:
                self._near.pop(next(iter(self._near)))
            self._near[number] = [Text(*t) for t in orjson.loads(self._blocks.get(number))]
        return self._near[number]


def read_strings(stream: BinaryIO, strings: Strings) -> None:
    """All `si` of a sharedStrings part; phonetic readings (`rPh`) are no part of the text.

    Raises expat.ExpatError.
    """
    feed(stream, lambda parser, prefix: _handlers(parser, prefix, strings))


def _handlers(parser: Any, prefix: str, strings: Strings) -> None:
    si, t, phonetic = prefix + "si", prefix + "t", prefix + "rPh"
    parts: list[str] = []
    taking, reading_aloud = False, 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal taking, reading_aloud
        if name == t:
            taking = not reading_aloud
        elif name == phonetic:
            reading_aloud += 1

    def end(name: str) -> None:
        nonlocal taking, reading_aloud
        if name == t:
            taking = False
        elif name == si:
            strings.add("".join(parts))
            parts.clear()
        elif name == phonetic:
            reading_aloud -= 1

    def text(data: str) -> None:
        if taking:
            parts.append(data)

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text


def feed(stream: BinaryIO, prepare: Callable[[Any, str], None]) -> None:
    """Parse a part. `prepare(parser, prefix)` sets the handlers once the root's prefix (`x:` or nothing) is known.

    A document type declaration is refused: no part of a workbook has one (ECMA-376 part 2, 9.1.7), and what it
    declares could unpack or fetch anything. Raises expat.ExpatError.
    """
    parser = fed(prepare)
    while data := stream.read(1 << 16):
        parse(parser, data)
    parse(parser, b"", True)


def parse(parser: Any, data: bytes, last: bool = False) -> None:
    """The next bytes of a part. Raises expat.ExpatError, also for an encoding that expat doesn't know."""
    try:
        parser.Parse(data, last)
    except (LookupError, ValueError):  # what codecs say of names they don't know, or can't use here
        raise expat.ExpatError("an encoding that is not read") from None


def fed(prepare: Callable[[Any, str], None]) -> Any:
    """The parser of `feed`, to be fed by the caller."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def refuse(*_: object) -> None:
        raise expat.ExpatError("a document type declaration")

    def root(name: str, _: dict[str, str]) -> None:
        prefix, colon, _local = name.rpartition(":")
        prepare(parser, prefix + colon)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = root
    return parser
