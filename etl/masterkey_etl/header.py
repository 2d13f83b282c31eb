"""Find a source model's columns in the header row of a file, and tell every difference.

Headers are compared on a normalised key (NFKC, case folded, punctuation, symbols and spaces removed): exports
pass through programs that replace punctuation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from masterkey_fhir.issue import Issue, Place, issue

if TYPE_CHECKING:
    from masterkey_etl.source_model import SourceModel


def header_key(text: str) -> str:
    """What two spellings of one header have in common: letters, marks and digits."""
    return _known_key(text) if len(text) <= _LONG else _key(text)


def _key(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().translate(_KEPT)


class _Kept(dict[int, int | None]):
    """For str.translate: a letter, mark or digit stays, all else goes."""

    def __missing__(self, code: int) -> int | None:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else None
        return self[code]


_LONG = 1000  # characters; a longer text is no header, and is not remembered
_TOLD = 100  # new and repeated columns told one by one, as limits.SAME_ISSUES
_LONG_NAME, _PAIRS = 200, 50_000  # no further are names compared by their spelling
_KEPT = _Kept()
_known_key = lru_cache(maxsize=8192)(_key)


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """Where the model's columns stand in the file.

    `positions[i]` is the file's column (0-based) of the model's i-th column, None when it is missing;
    `extra` are the file's columns that belong to no column of the model (new, or a repeated header);
    `width` is the number of names in the header row.
    """

    positions: tuple[int | None, ...]
    extra: tuple[int, ...]
    width: int
    issues: tuple[Issue, ...]
    names: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        return sum(p is not None for p in self.positions)

    @property
    def plausible(self) -> bool:
        """At least half of the model is there: what stands in this row are names, not values of people."""
        return 2 * self.found >= len(self.positions)


def header_keys(model: SourceModel) -> Mapping[str, int]:
    """Normalised header or alias -> position."""
    return model.header_keys


def match_header(model: SourceModel, header: Sequence[str], place: Place) -> HeaderMatch:
    """The columns of `model` in `header`, with an Issue per missing, new, repeated, moved column."""
    keys = header_keys(model)
    positions: list[int | None] = [None] * len(model.columns)
    extra, repeated = [], []
    for i, name in enumerate(header):
        column = keys.get(header_key(name.lstrip("\ufeff")))
        if column is None:
            extra.append(i)
        elif positions[column] is None:
            positions[column] = i
        else:
            repeated.append((column, i))
    match = HeaderMatch(
        tuple(positions), tuple(sorted((*extra, *(i for _, i in repeated)))), len(header), (), tuple(header)
    )
    issues = tuple(_differences(model, match, extra, repeated, place))
    return HeaderMatch(match.positions, match.extra, match.width, issues, match.names)


def _differences(
    model: SourceModel,
    match: HeaderMatch,
    extra: list[int],
    repeated: list[tuple[int, int]],
    place: Place,
) -> Iterator[Issue]:
    if not match.plausible:
        found, expected = match.found, len(model.columns)
        yield issue("etl.header-unknown", place, found=found, expected=expected, model=model.id)
        return
    missing = [i for i, p in enumerate(match.positions) if p is None]
    renamed = dict(_renamed(model, match, missing, extra))
    for i in missing:
        yield from _missing(model, match, i, renamed, place)
    now = set(renamed.values())
    new = [i for i in extra if i not in now]
    for i in new[:_TOLD]:
        yield issue("etl.column-new", place, header=show(model, match.names[i]), position=i + 1)
    for column, i in repeated[:_TOLD]:
        at = Place(place.site, place.file, place.row, model.columns[column].id)
        yield issue("etl.column-repeated", at, header=show(model, match.names[i]), position=i + 1)
    for rule, n in (("etl.column-new", len(new)), ("etl.column-repeated", len(repeated))):
        if (more := n - _TOLD) > 0:
            yield issue("etl.more-of-these", place, count=more, more=more, kind=rule)
    present = [p for p in match.positions if p is not None]
    if moved := sum(a > b for a, b in pairwise(present)):
        yield issue("etl.columns-reordered", place, moved=moved)


def _missing(
    model: SourceModel, match: HeaderMatch, column: int, renamed: Mapping[int, int], place: Place
) -> Iterator[Issue]:
    c = model.columns[column]
    at = Place(place.site, place.file, place.row, c.id)
    if column in renamed:
        now = show(model, match.names[renamed[column]])
        yield issue("etl.column-renamed", at, header=c.header, now=now, position=renamed[column] + 1)
    elif not c.optional:
        yield issue("etl.column-missing", at, header=c.header)


def _renamed(model: SourceModel, match: HeaderMatch, missing: list[int], extra: list[int]) -> Iterator[tuple[int, int]]:
    """(missing column, new file column) pairs that look like one column under another name."""
    free = set(extra[: _PAIRS // max(1, len(missing))])
    for i in missing:
        best = max(free, key=lambda j: _likeness(model, match, i, j), default=None)
        if best is not None and _likeness(model, match, i, best) >= 0.6:
            free.discard(best)
            yield i, best


def _likeness(model: SourceModel, match: HeaderMatch, column: int, file_column: int) -> float:
    """Similar spelling, helped by standing where the model expects it."""
    old, new = header_key(model.columns[column].header), header_key(match.names[file_column])
    if len(new) > _LONG_NAME:
        return 0.0
    in_place = 0.35 if file_column == _expected_place(match, column) else 0.0
    return SequenceMatcher(None, old, new, autojunk=False).ratio() * (1 - in_place) + in_place


def _expected_place(match: HeaderMatch, column: int) -> int:
    """One after the nearest preceding column that is present."""
    for i in range(column - 1, -1, -1):
        before = match.positions[i]
        if before is not None:
            return before + column - i
    return column


def show(model: SourceModel, header: str) -> str:
    """A header fit for a message: one line, not long, never empty; a name may stand anywhere, also here."""
    from masterkey_etl.identity import Policy  # late: only a header that no model knows is ever shown

    clean = " ".join("".join(c if c.isprintable() else " " for c in header).split())
    known = header_key(header) in header_keys(model)
    return (clean[:80] if known else Policy.load().words.cleaned(clean[:80])[0]) or "(empty)"
