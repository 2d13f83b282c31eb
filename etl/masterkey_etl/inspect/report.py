"""An Inspection told: lines for people, plain values for programs. Shapes and counts, never values of people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from masterkey_etl.inspect.column import ColumnProfile

if TYPE_CHECKING:
    from masterkey_etl.inspect.inspection import Inspection

CODES = 12


def as_dict(found: Inspection) -> dict[str, Any]:
    guesses = {n: getattr(found, n) for n in ("container", "kind", "encoding", "delimiter", "quote", "header")}
    return {
        "file": found.file,
        **{name: g.as_dict() if g else None for name, g in guesses.items()},
        "rows": found.rows,
        "more_rows_follow": found.bounded,
        "columns": [c.as_dict(*found.codes(c)) | {"header": found.name(c)} for c in found.columns],
        "code_label_pairs": [_pair(found, p) for p in found.pairs],
        "keys": [_key(found, k) for k in found.keys],
        "numbered_columns": [{"name": name, "times": n} for name, n in found.series],
        "models": [f.as_dict() for f in found.fits],
        "members": found.members,
        "notes": found.notes,
    }


def _pair(found: Inspection, p: Any) -> dict[str, Any]:
    return {
        "code": found.name(found.columns[p.code]),
        "label": found.name(found.columns[p.label]),
        "confidence": round(p.confidence, 2),
        "evidence": p.evidence,
    }


def _key(found: Inspection, k: Any) -> dict[str, Any]:
    return {
        "column": found.name(found.columns[k.column]),
        "unique": k.unique,
        "confidence": round(k.confidence, 2),
        "evidence": k.evidence,
        "varying": [found.name(found.columns[i]) for i in k.varying],
    }


def lines(found: Inspection) -> Iterator[str]:
    yield f"{found.file}: {found.kind}"
    for name in ("container", "encoding", "quote", "header"):
        guess = getattr(found, name)
        if guess and (name, guess.what) != ("container", "plain"):
            yield f"  {name}: {guess.what or 'none'} ({guess.confidence:.0%}: {guess.evidence})"
    yield from (f"  {note}" for note in found.notes)
    yield from (f"  member {m}" for m in found.members)
    if found.columns:
        more = "; more follow and were not looked at" if found.bounded else ""
        rows, columns = ("rows", "columns") if found.header else ("records", "leaf paths")
        yield f"  {found.rows:,} {rows} looked at{more}, {len(found.columns)} {columns}"
        for column in found.columns:
            yield from _column(found, column)
        yield from _together(found)


def _column(found: Inspection, c: ColumnProfile) -> Iterator[str]:
    guess = c.type
    parts = [f"{guess.what} ({guess.confidence:.0%}: {guess.evidence})", *_counts(c)]
    yield f"  {c.number:>4}  {_name(found, c)}: {'; '.join(parts)}"
    shown, hidden = found.codes(c)
    if shown or hidden:
        rest = (
            f" and {len(shown) - CODES + hidden} more"
            if len(shown) > CODES
            else f" and {hidden} more"
            if hidden
            else ""
        )
        yield f"        codes: {', '.join(shown[:CODES]) or 'none that may be shown'}{rest}"
    elif c.n and c.date is None and guess.what not in ("integer", "decimal"):
        yield f"        shapes: {', '.join(f'{s} ({n})' for s, n in c.shapes.most_common(3))}"
    for s in c.personal:
        yield f"        personal: {s.kind} ({s.confidence:.0%}: {s.evidence})"
    for note in c.notes():
        yield f"        note: {note}"


def _name(found: Inspection, c: ColumnProfile) -> str:
    return found.name(c) or f"column {c.number}"


def _counts(c: ColumnProfile) -> Iterator[str]:
    if c.empty:
        yield f"{c.empty} empty"
    if c.nulls:
        yield "null tokens " + ", ".join(f"{t} ({n})" for t, n in c.nulls.most_common(4))
    if c.unit:
        yield f"unit {c.unit}"
    yield f"{'at least ' if c.bounded else ''}{c.distinct} distinct"


def _together(found: Inspection) -> Iterator[str]:
    name = [_name(found, c) for c in found.columns]
    for p in found.pairs:
        yield f"  code and label: {name[p.code]} and {name[p.label]} ({p.confidence:.0%}: {p.evidence})"
    for k in found.keys:
        how = "unique" if k.unique else "collapsing"
        yield f"  key, {how}: {name[k.column]} ({k.confidence:.0%}: {k.evidence})"
        if k.varying:
            yield f"        repeated part: {', '.join(name[i] for i in k.varying[:20])}"
    for text, n in found.series:
        yield f"  numbered columns: {text} stands {n} times; a repeated part written side by side"
    for f in found.fits:
        yield f"  source model {f.model}: {f.score:.0%}, {f.evidence}"
        yield from (f"        {d}" for d in f.differences[:10])
    if found.header_index is not None and not found.fits:
        yield "  no known source model fits; `masterkey inspect FILE --draft --site SITE` begins one"
