"""Reading a map file into its tree. Every mistake is an Issue with file, line and what is valid there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from masterkey_etl.template import marks
from masterkey_etl.template.marks import Fields, Items, Marked, Scalar
from masterkey_etl.template.tree import (
    Block,
    Expression,
    Literal,
    MapError,
    MapFile,
    Object,
    Sequence,
    SetAside,
    Value,
    Where,
)
from masterkey_fhir.definitions import types
from masterkey_fhir.fhirpath import FhirPathError, parse
from masterkey_fhir.issue import Issue, Place, issue

SIGIL = "= "
TOP = ("source", "extends", "let", "external", "resources", "set_aside")
DIRECTIVES = ("$when", "$else", "$each", "$as", "$let", "$drop")
_SET_ASIDE = ("columns", "reason")
_DEEPEST_EXTENDS = 8
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load_map(path: str | Path) -> MapFile:
    """The map in a file, with `extends` resolved. Raises MapError with every mistake found."""
    found: list[Issue] = []
    parts = _read(Path(path), found, ())
    if parts is None or found:
        raise MapError(*found)
    return _whole(parts, found)


def nearest(word: str, words: Any, n: int = 4) -> str:
    """The nearest valid words, or the first ones when none is near."""
    return ", ".join(get_close_matches(word, list(words), n, 0.5) or sorted(words)[:n]) or "nothing"


def shown(path: Path) -> str:
    """A path as messages name it: from `mappings/` on, else the last two parts (never a whole host path)."""
    parts = path.parts
    start = len(parts) - 1 - parts[::-1].index("mappings") if "mappings" in parts else max(0, len(parts) - 2)
    return "/".join(parts[start:])


@dataclass(slots=True)
class _Parts:
    """One file and what it extends, merged: names written in the file itself win."""

    path: Path
    where: Where
    source: str = ""
    let: dict[str, Expression] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def _whole(parts: _Parts, found: list[Issue]) -> MapFile:
    for key, value in (("source", parts.source), ("resources", parts.blocks)):
        if not value:
            found.append(issue("etl.map-missing", parts.where.place, key=key, of="the map"))
    if found:
        raise MapError(*found)
    texts, aside = tuple(parts.texts), tuple(parts.set_aside)
    return MapFile(parts.path, parts.source, parts.where, parts.let, parts.blocks, aside, texts)


def _read(path: Path, found: list[Issue], above: tuple[Path, ...]) -> _Parts | None:
    file = shown(path)
    if path.resolve() in above or len(above) > _DEEPEST_EXTENDS:
        found.append(issue("etl.map-extends", Place(file=file), file=file, problem="extends itself"))
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "is not UTF-8"
        found.append(issue("etl.map-extends", Place(file=file), file=file, problem=problem))
        return None
    document, wrong = marks.read(text, file)
    found += wrong
    if not isinstance(document, Fields):
        if not wrong:
            found.append(issue("etl.map-missing", Place(file=file, row=1), key="source", of="the map"))
        return None
    return _File(path, file, found).read(document, text, above)


class _File:
    """Reads one file; `found` collects mistakes so that one run names them all."""

    def __init__(self, path: Path, file: str, found: list[Issue]) -> None:
        self.path, self.file, self.found = path, file, found

    # -- the top

    def read(self, document: Fields, text: str, above: tuple[Path, ...]) -> _Parts:
        self.keys(document, TOP)
        parts = self.base(document, above)
        parts.path, parts.where = self.path, Where(self.file, document.line)
        parts.texts.insert(0, text)
        parts.source = self.text(document.entries.get("source")) or parts.source
        parts.let |= self.let(document.entries.get("let"))
        self.external(document.entries.get("external"), parts.blocks)
        self.blocks(document.entries.get("resources"), parts.blocks)
        aside = self.set_aside(document.entries.get("set_aside"))
        own = {c for a in aside for c in a.columns}
        inherited = [_without(a, own) for a in parts.set_aside]
        parts.set_aside = aside + [a for a in inherited if a.columns]
        return parts

    def base(self, document: Fields, above: tuple[Path, ...]) -> _Parts:
        target = self.text(document.entries.get("extends"))
        if target:
            base = _read(self.path.parent / target, self.found, (*above, self.path.resolve()))
            if base is not None:
                return base
        return _Parts(self.path, Where(self.file, document.line))

    def blocks(self, node: Marked | None, blocks: dict[str, Block]) -> None:
        for name, body in self.fields(node, "resources"):
            if isinstance(body, Fields) and "$drop" in body.entries:
                self.drop(name, body, blocks)
            elif isinstance(body, Fields) and (block := self.block(name, body)):
                blocks[name] = block
            elif not isinstance(body, Fields):
                self.wrong("etl.map-shape", body.line, what=name, expected="an object with resourceType and id")

    def external(self, node: Marked | None, blocks: dict[str, Block]) -> None:
        """Blocks of another map: a resourceType and an id, nothing else."""
        for name, body in self.fields(node, "external"):
            if not isinstance(body, Fields):
                self.wrong("etl.map-shape", body.line, what=name, expected="{resourceType: ..., id: ...}")
                continue
            self.keys(body, ("resourceType", "id"))
            if block := self.block(name, body):
                blocks[name] = replace(block, external=True)

    def drop(self, name: str, body: Fields, blocks: dict[str, Block]) -> None:
        if blocks.pop(name, None) is None:
            self.wrong("etl.map-key", body.line, key=name, alternatives=nearest(name, blocks))

    def block(self, name: str, body: Fields) -> Block | None:
        if not _NAME.fullmatch(name):
            self.wrong("etl.map-key", body.line, key=name, alternatives="a name of small letters, digits and _")
            return None
        kind = self.text(body.entries.get("resourceType"))
        if not kind:
            self.wrong("etl.map-missing", body.line, key="resourceType", of=name)
            return None
        resources = [t.name for t in types().values() if t.kind == "resource" and not t.abstract]
        if kind not in resources:
            at = body.lines["resourceType"]
            self.wrong("etl.map-element", at, element=kind, of="FHIR R4", alternatives=nearest(kind, resources))
            return None
        if "id" not in body.entries:
            self.wrong("etl.map-missing", body.line, key="id", of=name)
            return None
        return Block(name, kind, self.object(body))

    def set_aside(self, node: Marked | None) -> list[SetAside]:
        if node is None:
            return []
        if not isinstance(node, Items):
            self.wrong("etl.map-shape", node.line, what="set_aside", expected="a list of {columns, reason}")
            return []
        return [s for n in node.items if (s := self.one_aside(n)) is not None]

    def one_aside(self, node: Marked) -> SetAside | None:
        if not isinstance(node, Fields):
            self.wrong("etl.map-shape", node.line, what="set_aside", expected="{columns: [...], reason: ...}")
            return None
        self.keys(node, _SET_ASIDE)
        reason = self.text(node.entries.get("reason"))
        if not reason:
            self.wrong("etl.map-missing", node.line, key="reason", of="set_aside")
        columns = node.entries.get("columns")
        items = columns.items if isinstance(columns, Items) else (columns,) if columns else ()
        names = tuple(n.text for n in items if isinstance(n, Scalar))
        if not names:
            self.wrong("etl.map-missing", node.line, key="columns", of="set_aside")
        return SetAside(names, reason or "", Where(self.file, node.line))

    # -- objects and leaves

    def object(self, node: Fields) -> Object:
        directives = {k: v for k, v in node if k.startswith("$")}
        self.keys(Fields(directives, node.line, node.lines), DIRECTIVES)
        members = {k: v for k, n in node if not k.startswith("$") and (v := self.value(n)) is not None}
        when, otherwise = directives.get("$when"), directives.get("$else")
        return Object(
            members,
            Where(self.file, node.line),
            self.expression(when) if when is not None else None,
            self.reason(otherwise, when),
            self.each(directives.get("$each")),
            self.text(directives.get("$as")) or "item",
            self.let(directives.get("$let")),
        )

    def reason(self, node: Marked | None, when: Marked | None) -> str | None:
        if node is None:
            return None
        text = self.text(node)
        if when is None or not text or text.startswith(SIGIL):
            self.wrong("etl.map-shape", node.line, what="$else", expected="a text, beside $when")
        return text

    def each(self, node: Marked | None) -> tuple[str | Expression, ...]:
        nodes = node.items if isinstance(node, Items) else () if node is None else (node,)
        return tuple(e for n in nodes if (e := self.one_each(n)) is not None)

    def one_each(self, node: Marked) -> str | Expression | None:
        if isinstance(node, Scalar) and not node.text.startswith(SIGIL):
            return node.text
        return self.expression(node)

    def let(self, node: Marked | None) -> dict[str, Expression]:
        if node is None:
            return {}
        return {k: e for k, n in self.fields(node, "let") if (e := self.expression(n)) is not None}

    def value(self, node: Marked) -> Value | None:
        if isinstance(node, Fields):
            return self.object(node)
        if isinstance(node, Items):
            items = tuple(v for n in node.items if (v := self.value(n)) is not None)
            return Sequence(items, Where(self.file, node.line))
        if node.text.startswith(SIGIL):
            return self.expression(node)
        if node.value is None or node.text == "":
            self.wrong("etl.map-shape", node.line, what="an empty value", expected="a literal or an expression")
            return None
        return Literal(node.value, Where(self.file, node.line))

    def expression(self, node: Marked) -> Expression | None:
        """A mistake is shown with the text up to it, and with YAML's comma trap when that is likely."""
        if not isinstance(node, Scalar) or not node.text.startswith(SIGIL):
            self.wrong("etl.map-shape", node.line, what="this", expected="an expression: = ...")
            return None
        text = node.text.removeprefix(SIGIL).strip()
        try:
            return Expression(text, parse(text), Where(self.file, node.line))
        except FhirPathError as error:
            self.wrong("etl.map-expression", node.line, **_syntax(text, error, node.quoted))
            return None

    # -- small readers

    def fields(self, node: Marked | None, what: str) -> list[tuple[str, Marked]]:
        if node is None:
            return []
        if isinstance(node, Fields):
            return list(node)
        self.wrong("etl.map-shape", node.line, what=what, expected="an object")
        return []

    def text(self, node: Marked | None) -> str:
        if node is None:
            return ""
        if isinstance(node, Scalar):
            return node.text
        self.wrong("etl.map-shape", node.line, what="this", expected="a text")
        return ""

    def keys(self, node: Fields, known: tuple[str, ...]) -> None:
        for key in node.entries:
            if key not in known:
                near = ", ".join(known)
                self.wrong("etl.map-key", node.lines[key], key=key, alternatives=near)

    def wrong(self, rule: str, line: int, **facts: Any) -> None:
        self.found.append(issue(rule, Place(file=self.file, row=line), **facts))


def _without(aside: SetAside, columns: set[str]) -> SetAside:
    left = tuple(c for c in aside.columns if c not in columns)
    return SetAside(left, aside.reason, aside.where)


def _syntax(text: str, error: FhirPathError, quoted: bool) -> Mapping[str, str]:
    read = text[: error.position]
    open_bracket = text.count("(") > text.count(")")
    hint = " (inside [ ] and { } a comma ends a plain text: quote the expression)"
    expected = (error.expected or "something else") + (hint if open_bracket and not quoted else "")
    return {"expression": text, "read": read, "expected": expected}
