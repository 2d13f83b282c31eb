"""What a source model says of the fields of a row beyond the type of each: told, and kept as it is.

    codes         a code that is not in its list (where no label column decides)
    required      empty in a row that fills its part of the form
    not_after     a date that lies after another one of its row
    shown_when    a value in a field that the form's branching logic hides
    repeat_by     which group a row is an item of: unknown group, value outside of it, one item given twice

And `copy_of`: columns that a file has once for all groups (event, instance) are given to each item, so that two
items with equal values stay two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from masterkey_etl import values as values_of
from masterkey_etl.readers.collapse import CleanRow
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.pairs import code_for_message
from masterkey_etl.readers.rows import getter
from masterkey_etl.redcap.logic import Logic, NotEvaluableError, parse
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import issue

Values = tuple[str, ...]
Pseudonym = Callable[..., str]
Get = Callable[[Sequence[str]], Values]
_MEMO = 100_000
RECORD = ""  # the part of a row that belongs to no group


@dataclass(frozen=True, slots=True)
class Part:
    """The columns of a group (or of the record itself) that stand in the file, and those copied into its items."""

    name: str
    own: tuple[int, ...]
    copies: tuple[tuple[int, int], ...]  # (position, position it is copied from)
    get: Get

    def fills(self, values: Values) -> bool:
        return any(self.get(values))


@dataclass(frozen=True, slots=True)
class Unit:
    """Fields that are asked for together: a group, or one form of the record itself. `needed`: the required ones."""

    get: Get
    needed: tuple[int, ...]
    of_record: bool


@dataclass(slots=True)
class _Tally:
    n: int = 0
    row: int = 0

    def add(self, row: int) -> None:
        self.n += 1
        self.row = self.row or row


@dataclass(slots=True)
class RowRules:
    """Checks and completes cleaned rows on their way to Records."""

    model: SourceModel
    notes: Notes
    pseudonym: Pseudonym
    _tallies: dict[tuple[str, int, str], _Tally] = field(default_factory=dict)
    _seen: set[Values] = field(default_factory=set)
    _last: Values = ()
    _days: dict[tuple[int, str], str] = field(default_factory=dict)
    _out_of_order: dict[int, Values] = field(default_factory=dict)  # column -> the last record told of it

    def rows(self, rows: Iterator[CleanRow]) -> Iterator[CleanRow]:
        """The same rows with copies filled in; Issues are told on the way, counted ones at the end."""
        if not _has_rules(self.model):
            yield from rows
            return
        parts, coded = _parts(self.model), _coded(self.model)
        units = _units(self.model, parts)
        hidden, where = self._branching(), getter(_places(self.model))
        copies, ordered = any(p.copies for p in parts.values()), _ordered(self.model)
        for number, values, filled in rows:
            self._codes(number, values, coded)
            self._order(number, values, ordered)
            self._branches(number, values, hidden)
            self._required(number, values, units, hidden)
            if self.model.repeat_by is not None:
                self._place(number, values, parts, where)
            yield number, _copied(values, parts) if copies else values, filled
        self._finish()

    # -- codes ----------------------------------------------------------------------------------------

    def _codes(self, row: int, values: Values, coded: list[tuple[int, frozenset[str]]]) -> None:
        for i, known in coded:
            if values[i] and values[i] not in known:
                self._tally("etl.code-undeclared", i, code_for_message(values[i]), row)

    # -- order of dates -------------------------------------------------------------------------------

    def _order(self, row: int, values: Values, ordered: list[tuple[int, int]]) -> None:
        """Dates compare as far as both are known; a record is told once per column, not once per row."""
        for earlier, later in ordered:
            if not (values[earlier] and values[later]):
                continue
            a, b = self._day(earlier, values[earlier]), self._day(later, values[later])
            if a[: len(b)] > b[: len(a)]:
                key = tuple(values[k] for k in self.model.key_positions)
                if self._out_of_order.get(earlier) != key or not key:
                    self._out_of_order[earlier] = key
                    place, named = self.notes.at(row, self.model.columns[earlier].id), self.model.columns[later].id
                    found = issue("etl.dates-disordered", place, record=self.pseudonym(*key), later=named)
                    self.notes.add_about(found, a, b)

    def _day(self, position: int, text: str) -> str:
        found = self._days.get((position, text))
        if found is None:
            if len(self._days) > _MEMO:
                self._days.clear()
            column = self.model.columns[position]
            found = self._days[position, text] = values_of.date(text, column.formats, column.calendar)[0] or ""
        return found

    # -- branching logic ------------------------------------------------------------------------------

    def _branching(self) -> dict[int, Logic]:
        """Position -> its logic, for those that one row decides; the others are named once."""
        out: dict[int, Logic] = {}
        for c in self.model.columns:
            if c.shown_when:
                try:
                    out[c.position] = self._decidable(c.position, parse(c.shown_when))
                except NotEvaluableError as reason:
                    self.notes.tell("etl.branching-not-evaluated", None, c.id, problem=str(reason))
        return out

    def _decidable(self, position: int, logic: Logic) -> Logic:
        here = self.model.group_of.get(position)
        for name in sorted(logic.fields):
            other = self.model.index.get(name)
            if other is None:
                raise NotEvaluableError(f"{name} is not a column of the source")
            if self.model.group_of.get(other) != here:
                raise NotEvaluableError(f"{name} stands in other rows")
        return logic

    def _branches(self, row: int, values: Values, hidden: dict[int, Logic]) -> None:
        for i, logic in hidden.items():
            if values[i] and not self._shown(logic, values):
                record = self.pseudonym(*(values[k] for k in self.model.key_positions))
                place = self.notes.at(row, self.model.columns[i].id)
                self.notes.add(issue("etl.field-hidden", place, record=record))

    def _shown(self, logic: Logic, values: Values) -> bool:
        return logic.holds({name: values[self.model.index[name]] for name in logic.fields})

    # -- required fields ------------------------------------------------------------------------------

    def _required(self, row: int, values: Values, units: list[Unit], hidden: dict[int, Logic]) -> None:
        """Told where the row fills the rest of the form, and the form's logic, if one row decides it, shows it."""
        by = self.model.repeat_by
        repeats = by is not None and bool(values[self.model.index[by]])
        for unit in units:
            if (repeats and unit.of_record) or not any(unit.get(values)):
                continue
            for i in unit.needed:
                if not values[i] and self._asked(i, values, hidden):
                    self._tally("etl.required-empty", i, "", row)

    def _asked(self, position: int, values: Values, hidden: dict[int, Logic]) -> bool:
        if position in hidden:
            return self._shown(hidden[position], values)
        return not self.model.columns[position].shown_when  # else nobody can say

    # -- the place of a row ---------------------------------------------------------------------------

    def _place(self, row: int, values: Values, parts: dict[str, Part], where: Get) -> None:
        assert self.model.repeat_by is not None
        by = self.model.index[self.model.repeat_by]
        named = values[by]
        if named and named not in parts:
            self._tally("etl.repeat-unknown", by, code_for_message(named), row)
        elif named:
            self._outside(row, values, parts, named)
        self._twice(row, values, where(values))

    def _outside(self, row: int, values: Values, parts: dict[str, Part], named: str) -> None:
        for part in parts.values():
            if part.name != named and part.fills(values):
                for i in part.own:
                    if values[i]:
                        self._tally("etl.outside-instrument", i, named, row)

    def _twice(self, row: int, values: Values, where: Values) -> None:
        """One record, event, instrument and instance in two rows that stand together."""
        key = tuple(values[i] for i in self.model.key_positions)
        if key != self._last:
            self._last = key
            self._seen.clear()
        if where in self._seen:
            place = self.notes.at(row, self.model.repeat_by or "")
            self.notes.add(issue("etl.row-repeated", place, record=self.pseudonym(*key)))
        self._seen.add(where)

    # -- telling --------------------------------------------------------------------------------------

    def _tally(self, rule: str, column: int, fact: str, row: int) -> None:
        self._tallies.setdefault((rule, column, fact), _Tally()).add(row)

    def _finish(self) -> None:
        for (rule, column, fact), tally in self._tallies.items():
            place = self.notes.at(tally.row, self.model.columns[column].id)
            self.notes.add(issue(rule, place, count=tally.n, n=tally.n, code=fact))


def _has_rules(model: SourceModel) -> bool:
    columns = model.columns
    return model.repeat_by is not None or any(
        c.required or c.shown_when or c.copy_of or c.not_after or (c.codes and c.label is None) for c in columns
    )


def _parts(model: SourceModel) -> dict[str, Part]:
    """By name: each group, and the record itself without what places its rows."""
    places = {*_places(model), *model.key_positions}
    own = tuple(i for i in range(len(model.columns)) if i not in model.group_of and i not in places)
    out = {RECORD: Part(RECORD, own, (), getter(own))}
    for name in model.groups:
        positions = model.group_positions(name)
        copies = tuple((i, model.index[of]) for i in positions if (of := model.columns[i].copy_of) is not None)
        theirs = tuple(i for i in positions if model.columns[i].copy_of is None and i not in places)
        if theirs:
            out[name] = Part(name, theirs, copies, getter(theirs))
    return out


def _places(model: SourceModel) -> list[int]:
    """The columns that say where a row belongs."""
    named = {c.copy_of for c in model.columns if c.copy_of is not None} | {model.repeat_by}
    return sorted(model.index[n] for n in named if n is not None)


def _coded(model: SourceModel) -> list[tuple[int, frozenset[str]]]:
    return [(c.position, frozenset(c.codes)) for c in model.columns if c.codes and c.label is None]


def _ordered(model: SourceModel) -> list[tuple[int, int]]:
    return [(c.position, model.index[other]) for c in model.columns for other in c.not_after]


def _units(model: SourceModel, parts: dict[str, Part]) -> list[Unit]:
    """Those with a required field. A field without a form is asked for wherever the record is filled."""
    out = []
    for part in parts.values():
        of_record = part.name == RECORD
        for form in dict.fromkeys(model.columns[i].form if of_record else "" for i in part.own):
            of_form = [i for i in part.own if model.columns[i].form == form or not of_record]
            needed = tuple(i for i in of_form if model.columns[i].required)
            if needed:
                out.append(Unit(getter(of_form if form else part.own), needed, of_record))
    return out


def _copied(values: Values, parts: dict[str, Part]) -> Values:
    """Each part that this row fills gets its copies."""
    filled = [part for part in parts.values() if part.copies and part.fills(values)]
    if not filled:
        return values
    out = list(values)
    for part in filled:
        for position, of in part.copies:
            out[position] = values[of]
    return tuple(out)


__all__ = ["RowRules"]
