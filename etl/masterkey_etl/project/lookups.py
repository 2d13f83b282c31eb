"""Look-ups of a map: the rungs of a ladder tried in order, remembered per distinct code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from masterkey_etl.project.maps import Alternative, Lookup, Maps, columns_of, fields_in
from masterkey_omop.vocabulary import Concept, Vocabulary


class Found(NamedTuple):
    """What a look-up gave. Ids are 0 when there is none; `code` is the first one that was there."""

    concept: int
    source: int
    value: int
    rung: str
    system: str
    code: str
    local: bool = False  # the source is a concept of our own: known, though no standard concept exists
    more: tuple[int, ...] = ()  # further targets of one code (omop.md 2): kept beside the row

    @property
    def unmapped(self) -> bool:
        return self.concept == 0 and bool(self.code) and not self.local


OWN = ("masterkey item", "masterkey answer")  # vocabularies of omop/spec/local_concepts.csv
NOTHING = Found(0, 0, 0, "", "", "")
Finder = Callable[[tuple[Any, ...]], Found]


def finder(lookup: Lookup, names: tuple[str, ...], maps: Maps, words: Vocabulary) -> Finder:
    """A look-up as a function of a view's row."""
    at = {name: i for i, name in enumerate(names)}
    rungs = [_rung(a, at, maps.topics, words) for a in lookup.alternatives]
    used = sorted({at[c] for a in lookup.alternatives for c in _columns(a)})
    known: dict[tuple[Any, ...], Found] = {}

    def find(row: tuple[Any, ...]) -> Found:
        key = tuple([row[i] for i in used])
        found = known.get(key)
        if found is None:
            found = known[key] = _first([rung(row) for rung in rungs])
        return found

    return find


def _columns(alternative: Alternative) -> list[str]:
    return [*columns_of(alternative.code), *([alternative.system_of] if alternative.system_of else [])]


def _first(results: list[Found]) -> Found:
    """The first standard concept; its source is the first concept of any kind, its code the first code."""
    best = next((r for r in results if r.concept), NOTHING)
    source = next((r.source for r in results if r.source), 0)
    stated = next((r for r in results if r.code), NOTHING)
    value = next((r.value for r in results if r.value), 0)
    local = any(r.local for r in results)
    return Found(best.concept, source, value, best.rung, stated.system, stated.code, local, best.more)


def _rung(
    alternative: Alternative, at: Mapping[str, int], topics: Mapping[tuple[str, str, str], str], words: Vocabulary
) -> Finder:
    code = template(alternative.code, at, bare_is_column=True)
    system = at[alternative.system_of] if alternative.system_of else -1

    def rung(row: tuple[Any, ...]) -> Found:
        stated = code(row)
        uri = alternative.system if system < 0 else row[system]
        if stated is None or not uri:
            return NOTHING
        if alternative.binding:
            return Found(words.binding(alternative.binding), 0, 0, alternative.rung, str(uri), stated)
        if alternative.topic:
            binding = topics.get((alternative.topic, str(uri), stated))
            concept = words.binding(binding) if binding else 0
            return Found(concept, 0, 0, alternative.rung, str(uri), stated)
        return _in_vocabulary(words, str(uri), stated, alternative.rung)

    return rung


def _in_vocabulary(words: Vocabulary, system: str, code: str, rung: str) -> Found:
    source: Concept | None = words.lookup(system, code)
    targets = words.standard(system, code)
    return Found(
        targets[0].id if targets else 0,
        source.id if source else 0,
        words.value_of(source) if source else 0,
        rung,
        system,
        code,
        source is not None and source.vocabulary in OWN,
        tuple(t.id for t in targets[1:]),
    )


def template(text: str, at: Mapping[str, int], *, bare_is_column: bool) -> Callable[[tuple[Any, ...]], str | None]:
    """A text with `{column}` filled in; None when a column is null. A bare word is itself, or a column."""
    named = fields_in(text)
    if not named:
        if not bare_is_column:
            return lambda row: text
        position = at[text]
        return lambda row: None if row[position] is None else str(row[position])
    positions = [at[name] for name in named]

    def fill(row: tuple[Any, ...]) -> str | None:
        values = [row[i] for i in positions]
        return None if None in values else text.format(**dict(zip(named, values, strict=True)))

    return fill
