"""A delivery beside the earlier ones: every difference, what was, what is, and whether it stops the delivery.

What only adds or moves is carried with a warning. What would lose a mapped column of the whole delivery, or change
what its values mean, stops it: a snapshot would take the old values away, or store wrong ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import combinations

from masterkey_etl.drift.baseline import Baseline
from masterkey_etl.drift.look import NEW, ColumnLook, Look
from masterkey_etl.header import header_key, show
from masterkey_etl.readers.pairs import code_for_message
from masterkey_etl.source_model import Column, SourceModel

FEW = 5  # values below which a column says nothing about its kind
MOST = 0.5  # share of changed values that is a change of the column, not dirt in it
ENOUGH = 10  # values of codes never seen below which they are new codes, not another code list
SETTLED, SEEN = 5, 30  # times an undeclared code list was seen through, and values, until a new code is news
SOME = 0.3
LITTLE = 0.1
ALIKE = 0.6  # likeness of a new column to a missing one
ROWS_FEW = 20
_OPEN = ", not sure"


@dataclass(frozen=True, slots=True)
class Difference:
    """One change. `column`: its id, or the header of a new one; `facts` name the rest for messages and acceptance."""

    kind: str
    column: str
    before: str
    now: str
    stops: bool = False
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def sayable(self) -> bool:
        """Could a revision of the source model say it, so that the values still arrive?"""
        needs = {"date-format": "calendar", "type": "type"}.get(self.kind)
        return self.kind != "split" and (needs is None or needs in self.facts)


def compare(model: SourceModel, before: Baseline, seen: Look, used: frozenset[str]) -> list[Difference]:
    """All differences; `used`: column ids that the map reads (its key among them)."""
    old = before.last
    found = [
        *_encoding(model, old, seen),
        *_delimiter(old, seen),
        *_columns(model, old, seen, used),
        *_order(old, seen),
    ]
    for name in seen.order:
        if name in old.columns and seen.columns[name].rows:
            found += _values(model.column(name), old.columns[name], seen.columns[name], name in used)
    return [*_settled(found, seen), *_size(model, before, seen)]


# -- the file -------------------------------------------------------------------------------------------------------


def _encoding(model: SourceModel, old: Look, seen: Look) -> Iterator[Difference]:
    if not seen.exact and old.exact:
        now = seen.guess or "no declared encoding throughout"
        yield Difference("encoding", "", old.encoding, now, True, {"encoding": seen.guess})
    elif seen.exact and (seen.encoding, True) != (old.encoding, old.exact):
        declared = ", which is declared" if seen.encoding in model.encoding else ""
        yield Difference("encoding", "", old.encoding, f"{seen.encoding}{declared}")


def _delimiter(old: Look, seen: Look) -> Iterator[Difference]:
    if old.delimiter != seen.delimiter and old.delimiter and seen.delimiter:
        names = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar"}
        before, now = (names.get(d, d) for d in (old.delimiter, seen.delimiter))
        yield Difference("delimiter", "", before, now)


def _order(old: Look, seen: Look) -> Iterator[Difference]:
    common = [name for name in old.order if name in seen.columns]
    now = [name for name in seen.order if name in old.columns]
    if common != now:
        moved = [a for a, b in zip(common, now, strict=True) if a != b]
        yield Difference("reordered", moved[0], f"at place {common.index(moved[0]) + 1}", f"{len(moved)} columns moved")


def _size(model: SourceModel, before: Baseline, seen: Look) -> Iterator[Difference]:
    """Far off: beyond twice the largest or below half the smallest (a delta: five times)."""
    factor = 2 if model.delivery == "snapshot" else 5
    least, most = min(before.sizes), max(before.sizes)
    if (seen.rows * factor < least or seen.rows > most * factor) and abs(seen.rows - before.sizes[-1]) >= ROWS_FEW:
        earlier = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        yield Difference("rows", "", f"{earlier} lines", f"{seen.rows:,} lines")


# -- columns that came and went ---------------------------------------------------------------------------------------


def _columns(model: SourceModel, old: Look, seen: Look, used: frozenset[str]) -> Iterator[Difference]:
    new = [name for name in seen.extra if seen.hidden.get(name, name) not in old.columns]
    for name in (n for n in old.order if n not in seen.columns):
        c = model.column(name)
        parts = _split(old.columns[name], new, seen)
        twin = _twin(c, old, new, seen) if not parts else ""
        new = [n for n in new if n != twin and n not in parts]
        yield _gone(model, c, parts, twin, name in used, seen)
    for name in new:
        told = f"column {seen.places.get(name, 0)}, {seen.columns[name].n} values"
        yield Difference("column-new", show(model, name.removeprefix(NEW)), "not there", told)


def _shown(model: SourceModel, name: str, seen: Look) -> str:
    """A header nobody knows may hold anything: unknown words are masked, its place is told."""
    return f"{show(model, name.removeprefix(NEW))} (column {seen.places.get(name, 0)})"


def _gone(model: SourceModel, c: Column, parts: tuple[str, ...], twin: str, used: bool, seen: Look) -> Difference:
    if parts:
        return Difference("split", c.id, c.header, " + ".join(_shown(model, p, seen) for p in parts), used)
    if twin:
        return Difference("renamed", c.id, c.header, _shown(model, twin, seen), used, {"now": twin.removeprefix(NEW)})
    return Difference("column-missing", c.id, c.header, "not there", used)


def _twin(c: Column, old: Look, new: list[str], seen: Look) -> str:
    """The new column most like a missing one, in name and in values."""
    scores = {n: _alike(c, old, n, seen) for n in new}
    best = max(scores, key=lambda n: scores[n], default="")
    return best if best and scores[best] >= ALIKE else ""


def _alike(c: Column, old: Look, name: str, seen: Look) -> float:
    """By spelling, values and place; values of one shape alone are no sign (many columns hold 0 and 1)."""
    before, now = old.columns[c.id], seen.columns[name]
    spelled = SequenceMatcher(None, header_key(c.header), header_key(name)[:200], autojunk=False).ratio()
    in_place = _left_of(c.id, old) == _left_of(name, seen)
    if before.n < FEW or now.n < FEW:
        return spelled * 0.65 + 0.35 * in_place
    values = likeness(before, now)
    return max(0.5 * spelled + 0.3 * values + 0.2 * in_place, 0.65 if in_place and values >= 0.9 else 0.0)


def _left_of(name: str, seen: Look) -> str:
    names = ["", *seen.columns]
    return names[names.index(name) - 1]


def likeness(a: ColumnLook, b: ColumnLook) -> float:
    """How alike two columns are: their codes when both are lists, else the shapes of their values."""
    if a.codes and b.codes and len(a.codes) <= 40:
        return len(a.codes.keys() & b.codes.keys()) / len(a.codes.keys() | b.codes.keys())
    return _overlap(a.shapes, b.shapes)


def _overlap(a: Counter[str], b: Counter[str]) -> float:
    n, m = a.total(), b.total()
    return sum(min(a[s] / n, b[s] / m) for s in a.keys() & b.keys()) if n and m else 0.0


_JOINTS = ("", " ", "　", "-", "/", ".", ", ", ",", ":", "T", "_", "年", "月")


def _split(before: ColumnLook, new: list[str], seen: Look) -> tuple[str, ...]:
    """Neighbouring new columns whose values, joined, have the shapes of the missing one."""
    if before.n < FEW or len(new) < 2:
        return ()
    for size in (3, 2):
        for parts in combinations(new, size):
            if _adjacent(parts, seen) and _joined(before, [seen.columns[p] for p in parts]):
                return parts
    return ()


def _adjacent(parts: tuple[str, ...], seen: Look) -> bool:
    names = list(seen.columns)
    places = [names.index(p) for p in parts]
    return places == list(range(places[0], places[0] + len(places)))


def _joined(before: ColumnLook, parts: list[ColumnLook]) -> bool:
    """Most values of the old column have a shape that some joint makes of the commonest shapes of the parts."""
    if any(p.n < FEW for p in parts):
        return False
    made = {""}
    for i, part in enumerate(parts):
        joints = _JOINTS if i else ("",)
        made = {a + j + s for a in made for j in joints for s, _ in part.shapes.most_common(4)}
    known = sum(n for s, n in before.shapes.items() if s in made)
    whole = max(_overlap(before.shapes, p.shapes) for p in parts)
    return known >= MOST * before.shapes.total() and whole < MOST


# -- values -----------------------------------------------------------------------------------------------------------


def _values(c: Column, old: ColumnLook, now: ColumnLook, used: bool) -> Iterator[Difference]:
    if tokens := sorted(set(now.tokens) - set(old.tokens)):
        yield from (_token(c, t, now.tokens[t], now, used) for t in tokens)
    if not now.n and old.n >= 2 * FEW and old.n >= 0.2 * old.rows and now.rows >= FEW:
        yield Difference("column-empty", c.id, f"{old.n} values of {old.rows}", f"none of {now.rows}", used)
        return
    if old.n < FEW or now.n < FEW:
        return
    token = _unnamed_token(c, old, now)
    if token:
        yield token
    elif c.type == "date":
        yield from _dates(c, old, now, used)
    elif c.type in ("integer", "decimal", "flag"):
        yield from _type(c, old, now, used)
    elif c.type == "text":
        yield from _text(c, old, now)
    yield from _codes(c, old, now, used)


def _token(c: Column, token: str, n: int, now: ColumnLook, used: bool) -> Difference:
    """It stops the delivery where a good part of a mapped column would be stored as if the word were a value."""
    stored = used and c.type in ("text", "code", "label") and n >= max(ENOUGH, SOME * now.rows)
    return Difference("null-token", c.id, "not seen", f"{token} in {n} rows", stored, {"token": token})


def _unnamed_token(c: Column, old: ColumnLook, now: ColumnLook) -> Difference | None:
    """One and the same text that does not convert, again and again: a new word for nothing."""
    if c.type not in ("date", "integer", "decimal") or len(now.same) != 1 or now.share(now.bad) >= MOST:
        return None
    ((text, n),) = now.same.items()
    if n < 3 or old.share(old.bad) >= LITTLE or now.share(now.bad) < 0.02:
        return None
    shown = text if code_for_message(text) == text or not any(ch.isalnum() for ch in text) else ""
    return Difference("null-token", c.id, "not seen", f"{shown or 'one text'} in {n} rows", facts={"token": shown})


def _dates(c: Column, old: ColumnLook, now: ColumnLook, used: bool) -> Iterator[Difference]:
    if now.share(now.bad) >= SOME and old.share(old.bad) < LITTLE:
        verdict = now.dates.verdict()
        sure = verdict if verdict is not None and verdict.sure and verdict.n >= 0.9 * now.n else None
        facts = {"formats": sure.formats, "calendar": sure.calendar} if sure else {}
        yield Difference("date-format", c.id, _formats(c, old.formats), _written(now, sure is not None), used, facts)
        return
    was, is_now = _leading(old.formats), _leading(now.formats)
    if was != is_now and old.formats[is_now] < LITTLE * old.n and now.formats[was] < LITTLE * now.n:
        yield Difference("date-format", c.id, was, f"{is_now}, which is declared")


def _leading(formats: Counter[str]) -> str:
    return max(formats, key=lambda f: (formats[f], f), default="")


def _formats(c: Column, formats: Counter[str]) -> str:
    return f"{_leading(formats) or 'dates'} ({c.calendar})"


def _written(now: ColumnLook, sure: bool) -> str:
    verdict = now.dates.verdict()
    if verdict is None:
        return "no dates"
    how = ", ".join(f"{r.format or 'era'} ({r.calendar})" for r in verdict.readings[:3])
    return how if sure else how + _OPEN


def _settled(found: list[Difference], seen: Look) -> Iterator[Difference]:
    """Dates whose order of day and month is open are read as the other dates of the delivery, when those were written
    alike before, are sure now and agree among themselves; else they stay open."""
    for d in found:
        like = [s for s in found if s.kind == "date-format" and "calendar" in s.facts and s.before == d.before]
        if d.kind == "date-format" and d.now.endswith(_OPEN) and len({s.now for s in like}) == 1:
            dates, facts = seen.columns[d.column].dates, like[0].facts
            ways = [r for r in dates.formats if (r.format, r.calendar) == (*_only(facts["formats"]), facts["calendar"])]
            if any(dates.formats[r] >= 0.9 * seen.columns[d.column].n for r in ways):
                d = replace(d, now=f"{like[0].now}, as other dates of the file", facts=facts)
        yield d


def _only(formats: object) -> tuple[str]:
    """The one format of a sure column; "" when it has several."""
    return (formats[0] if isinstance(formats, tuple) and len(formats) == 1 else "",)


def _type(c: Column, old: ColumnLook, now: ColumnLook, used: bool) -> Iterator[Difference]:
    if now.share(now.bad) >= SOME and old.share(old.bad) < LITTLE:
        numbers = now.kinds["integer"] + now.kinds["decimal"]
        decimal = c.type == "integer" and numbers >= 0.95 * now.n and c.min is None and c.max is None
        told = f"{'decimal' if numbers >= MOST * now.n else 'text'}: {now.bad.total()} of {now.n} values do not convert"
        yield Difference("type", c.id, c.type, told, used, {"type": "decimal"} if decimal else {})


def _text(c: Column, old: ColumnLook, now: ColumnLook) -> Iterator[Difference]:
    """Texts convert always; that numbers became words, or words numbers, is told."""
    was, is_now = _numeric(old), _numeric(now)
    if abs(was - is_now) > 0.8:
        yield Difference("type", c.id, f"{was:.0%} numbers", f"{is_now:.0%} numbers")


def _numeric(seen: ColumnLook) -> float:
    return (seen.kinds["integer"] + seen.kinds["decimal"]) / seen.n


def _codes(c: Column, old: ColumnLook, now: ColumnLook, used: bool) -> Iterator[Difference]:
    if c.type not in ("code", "label") or old.codes is None or now.codes is None:
        return
    if not c.codes and old.n < max(SETTLED * len(old.codes), SEEN):
        return  # an open list (genes, drugs): what was not seen yet is no news
    known = old.codes.keys() | c.codes.keys()
    new = {code: n for code, n in now.codes.items() if code not in known}
    if sum(new.values()) >= max(MOST * now.codes.total(), ENOUGH):
        yield Difference("codes-replaced", c.id, _some(old.codes), _some(Counter(new)), used, {"codes": tuple(new)})
    elif c.type == "code":
        yield from (_code(c, code, n, now) for code, n in sorted(new.items()))


def _code(c: Column, code: str, n: int, now: ColumnLook) -> Difference:
    labels = now.labels.get(code)
    label = labels.most_common(1)[0][0] if labels else ""
    shown = "a text that is no code" if code.startswith("~") else code
    facts = {"code": "" if code.startswith("~") else code, "label": label}
    return Difference("code-new", c.id, "not seen", f"{shown} in {n} rows", facts=facts)


def _some(codes: Counter[str]) -> str:
    shown = [code for code in sorted(codes) if not code.startswith("~")][:6]
    return f"{len(codes)} codes" + (f" ({', '.join(shown)}{', …' if len(codes) > len(shown) else ''})" if shown else "")


__all__ = ["Difference", "compare", "likeness"]
