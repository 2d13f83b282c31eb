"""Taking deliveries back, as new versions: history is never rewritten.

Of each resource that a delivery wrote, the newest version that is another's, and in force, stands again; where there is
none the resource is deleted. What a later delivery of another file says the same stands as that delivery's. A later
delivery rests on one that goes when it is of the same file, wrote over it, or speaks of a resource that would go.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from masterkey_etl.standing import HELD, references
from masterkey_fhir import json
from masterkey_fhir.store import Source, Stored, Submission, Writer
from masterkey_fhir.store.deliveries import Held, Line, Made
from masterkey_fhir.store.draft import Draft, draft

API = 0  # stands for the FHIR API among the numbers of deliveries
SAME_FILE, WROTE_OVER, SPEAKS, MOVED = (
    "a later delivery of the same file",
    "it wrote over resources of this one",
    "it speaks of resources that would go",
    "it was loaded after the merge and follows it",
)


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one resource: `line` stands again (None: deleted), as that of delivery `of`."""

    made: Made
    line: Line | None
    of: int | None


@dataclass
class Undo:
    """The plan to take `numbers` of one site back, inside a write transaction."""

    writer: Writer
    site: str
    numbers: frozenset[int]
    submissions: dict[int, Submission] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    resting: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))  # later deliveries, and why
    waiting: list[Held] = field(default_factory=list)  # of others: what these released or superseded waits again
    freed: dict[str, Held] = field(default_factory=dict)  # those of them that were released, by name

    def __post_init__(self) -> None:
        deliveries = self.writer.deliveries
        self.submissions = {s.id: s for s in self.writer.submissions_of(self.site)}
        self.gone = {s.id for s in self.submissions.values() if s.state == "undone" or s.kind == "undo"} | self.numbers
        freed = deliveries.held(self.site, released_by=self.numbers)
        self.waiting = [x for x in freed if not {x.source.submission, x.held_by} & self.numbers]
        self.freed = {x.name: x for x in self.waiting if x.released_version is not None}
        self._plan()
        self._rest()

    # -- the plan ----------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        deliveries = self.writer.deliveries
        made = {x.key: x for x in deliveries.touched(self.numbers)}
        made |= {x.key: x for x in self._of_names(self.freed)}
        restated = {n: deliveries.restated(n) for n in sorted(self.submissions) if n not in self.gone}
        for key, lines in sorted(deliveries.histories(self.site, made).items()):
            if step := self._step(made[key], lines, {n for n, keys in restated.items() if key in keys}):
                self.steps.append(step)
            for number in _above(lines, self.numbers, self.gone):
                self.resting[number].add(WROTE_OVER)

    def _of_names(self, names: Iterable[str]) -> Iterator[Made]:
        pairs = [(kind, id_) for kind, _, id_ in (name.partition("/") for name in names)]
        for (kind, id_), (key, _, _) in self.writer.deliveries.keys(self.site, pairs).items():
            stored = self.writer.reader.read(self.site, kind, id_)
            yield Made(key, kind, id_, None, _patient(stored))

    def _step(self, made: Made, lines: list[Line], said_by: set[int]) -> Step | None:
        """None: it stays as it is."""
        freed = self.freed.get(made.name)
        if freed and freed.released_version == lines[0].version:
            lines_left = [x for x in lines if x.version < lines[0].version]
        elif lines[0].submission not in self.gone:
            return None
        else:
            lines_left = lines
        left = next((x for x in lines_left if x.submission not in self.gone), None)
        since = left.submission or 0 if left else 0
        later = max((n for n in said_by if n > since), default=None)
        if later is not None:  # its statement is newer: what stood when it was loaded
            stood = next((x for x in lines if (x.submission or 0) < later and not x.deleted), None)
            if stood is not None:
                return Step(made, stood, later)
        if left is None or left.deleted:
            return None if lines[0].deleted else Step(made, None, None)
        return Step(made, left, left.submission)

    # -- what rests on it --------------------------------------------------------------------------------------

    def _rest(self) -> None:
        first = min(self.numbers)
        files = {(s.file, s.kind) for n in self.numbers if (s := self.submissions[n])}
        merges = any(self.submissions[n].kind == "merge" for n in self.numbers)
        for n, s in self.submissions.items():
            if n <= first or n in self.gone:
                continue
            older = [d for d in self.numbers if self.submissions[d].file == s.file and d < n]
            if s.kind == "load" and (s.file, "load") in files and older:
                self.resting[n].add(SAME_FILE)
            if merges and s.counts.get("moved") and s.kind == "load":
                self.resting[n].add(MOVED)
        for number in self._speaking():
            self.resting[number].add(SPEAKS)

    def _speaking(self) -> Iterator[int]:
        """Deliveries whose current resources refer to one that would be deleted; API for those of nobody."""
        going = {step.made.name for step in self.steps if step.line is None}
        changed = {step.made.name for step in self.steps}
        if not going:
            return
        for stored in self._neighbours([s.made for s in self.steps if s.line is None]):
            name = f"{stored.type}/{stored.id}"
            if name not in changed and references(stored.resource()) & going:
                source = self.writer.reader.source(self.site, stored.type, stored.id, stored.version)
                yield source.submission if source else API

    def _neighbours(self, going: list[Made]) -> Iterator[Stored]:
        """What may refer to them: their patients' compartments; for resources of nobody, everything of the site."""
        reader = self.writer.reader
        if any(x.patient is None for x in going):
            for kind in reader.counts(self.site):
                yield from list(reader.of_type(self.site, kind))
            return
        for patient in sorted({x.patient for x in going if x.patient}):
            yield from list(reader.resources_of(self.site, patient))

    # -- carrying it out ---------------------------------------------------------------------------------------

    def carry_out(self) -> int:
        """Everything in the open transaction; the number of the undo."""
        writer, newest = self.writer, self.submissions[max(self.numbers)]
        number = writer.begin_act(self.site, f"undo of {', '.join(map(str, sorted(self.numbers)))}", "undo")
        gone = [(s.made.type, s.made.id) for s in self.steps if s.line is None]
        writer.delete_many(self.site, gone, source=Source(number, newest.file, (), "", ""))
        back = [s for s in self.steps if s.line is not None]
        writer.write(self.site, [self._draft(s) for s in back], always=True)
        self._held()
        writer.deliveries.unmerge(self.numbers)
        writer.deliveries.mark_undone(self.numbers, number)
        closed, again = writer.take_issues_back(self.numbers, number)
        counts = Counter({"deleted": len(gone), "restored": len(back), "issues_closed": closed, "issues_again": again})
        writer.finish_submission(number, resources=len(back), **counts)
        return number

    def _draft(self, step: Step) -> Draft:
        assert step.line is not None
        text = self.writer.text_of(step.line.seq)
        return draft(json.loads(text), text, self._source(step))

    def _source(self, step: Step) -> Source | None:
        """Where the version that stands again was made from; of what a later delivery says the same, that one."""
        assert step.line is not None
        source = self.writer.reader.source(self.site, step.made.type, step.made.id, step.line.version)
        if step.of == step.line.submission or step.of is None:
            return source
        later = self.submissions[step.of]
        block = source.block if source else ""
        return Source(later.id, later.file, (), later.map_version, block)

    def _held(self) -> None:
        """What these held is dropped; what they released or superseded waits again, unless a later one says it."""
        deliveries = self.writer.deliveries
        deliveries.drop(self.site, deliveries.held(self.site, submissions=self.numbers))
        for item in self.waiting:
            later = self._said_later(item)
            again = replace(item, released_by=later, released_version=None)
            deliveries.hold(self.site, [again])
            if item.released_version is not None:
                deliveries.move_cells(item.source.submission, item.cells, HELD, back=True)

    def _said_later(self, item: Held) -> int | None:
        """A delivery in force that says anew what an older one sent."""
        deliveries, since = self.writer.deliveries, max(item.source.submission, item.held_by)
        known = deliveries.keys(self.site, [(item.type, item.id)])
        key = known[item.type, item.id][0] if known else 0
        lines = deliveries.histories(self.site, [key]).get(key, [])
        later = {x.submission for x in lines if x.submission is not None}
        later |= {n for n in self.submissions if n > since and n not in self.gone and key in deliveries.restated(n)}
        if item.source.record is not None:
            later.add(deliveries.seen_by(item.source.record) or 0)
        return max((n for n in later & self.submissions.keys() if n > since and n not in self.gone), default=None)


def closure(writer: Writer, site: str, number: int) -> tuple[Undo, dict[int, set[str]]]:
    """The plan for a delivery and all that rest on it, and those with the reasons (API: the FHIR API)."""
    numbers, why = frozenset((number,)), dict[int, set[str]]()
    while True:
        plan = Undo(writer, site, numbers)
        for n, reasons in plan.resting.items():
            why.setdefault(n, set()).update(reasons)
        more = numbers | (plan.resting.keys() - {API})
        if more == numbers:
            return plan, why
        numbers = frozenset(more)


def _above(lines: list[Line], numbers: frozenset[int], gone: set[int]) -> Iterator[int]:
    """Deliveries in force with a version newer than one of these."""
    last = next((n for n, x in reversed(list(enumerate(lines))) if x.submission in numbers), 0)
    yield from {x.submission for x in lines[:last] if x.submission is not None} - gone


def _patient(stored: Stored | None) -> str | None:
    from masterkey_fhir.store import patient_of

    return patient_of(stored.resource()) if stored and not stored.deleted else None
