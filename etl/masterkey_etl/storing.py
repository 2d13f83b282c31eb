"""Inside `store`: everything of one delivery in one transaction, or nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from masterkey_etl import standing
from masterkey_etl.flow import Batch, Flow, LoadError, Mapped, Produced
from masterkey_etl.ledger import LedgerRow
from masterkey_etl.merging import followed, pointed
from masterkey_etl.readers import count_values
from masterkey_etl.standing import HELD
from masterkey_etl.withdrawal import Withdrawal
from masterkey_fhir import json
from masterkey_fhir.issue import Issue, issue
from masterkey_fhir.store import Source, Writer
from masterkey_fhir.store.deliveries import THERE, Held
from masterkey_fhir.store.draft import Draft, draft

WAITING = ("etl.held", "etl.patient-unknown")  # the rules of Issues about held resources


@dataclass
class Written:
    """What `write` leaves for the report."""

    number: int
    ledger: tuple[LedgerRow, ...]
    issues: tuple[Issue, ...]


def write(flow: Flow, writer: Writer) -> Written:
    """The whole delivery: resources, what it takes away, ledger, Issues, and what it releases."""
    delivery = _Delivery(flow, writer, _begin(flow, writer))
    delivery.put()
    return delivery.settle()


def _begin(flow: Flow, writer: Writer) -> int:
    if flow.remapped is not None:
        return flow.remapped
    assert flow.compiled is not None
    delivery = flow.delivery
    return writer.begin_submission(flow.site, flow.place.file, delivery.sha256, delivery.size, flow.compiled.version)


@dataclass
class _Delivery:
    flow: Flow
    writer: Writer
    number: int
    withdrawal: Withdrawal | None = None  # when a delivery of this name is here already
    marked: list[int] = field(default_factory=list)  # records that the delivery says are deleted
    arrived: set[str] = field(default_factory=set)  # what others wait for, and came
    stated: set[str] = field(default_factory=set)  # what waits, and is said anew by this delivery
    watched: set[str] = field(default_factory=set)  # names with a live Issue
    seen: set[str] = field(default_factory=set)

    # -- resources ---------------------------------------------------------------------------------------------

    def put(self) -> None:
        flow, writer = self.flow, self.writer
        if not flow.is_first:
            self.withdrawal = Withdrawal(flow, self.number)
        del writer.unchanged[:]
        self.watched = writer.issue_records(flow.site, self.number, self.scope)
        known = set(writer.reader.patients(flow.site))
        waiting = writer.deliveries.held(flow.site)
        waited = {name for item in waiting for name in item.waits}
        held = {item.name for item in waiting}
        shown = flow.request.shown(f"{flow.site}/{flow.place.file}, resources")
        for batch in flow.batches:
            for mapped in batch:
                standing.with_known_patient(flow, mapped, known)
            waited |= {name for mapped in batch for _, waits in mapped.held for name in waits}
            self._put_batch(batch)
            if waited:
                put = {p.name for mapped in batch for p in mapped}
                self.arrived |= put & waited
                self.stated |= put & held
            if shown:
                shown(sum(flow.counts.values()), None)

    def _put_batch(self, batch: Batch) -> None:
        flow, writer = self.flow, self.writer
        records = writer.deliveries.records(flow.site, flow.place.file, [m.name for m in batch], self.number)
        source = partial(self._source, records)
        others = self._others(batch) if flow.remapped is not None else frozenset[str]()
        mine = [(p.resource, None, source(m, p)) for m in batch for p in m if p.name not in others]
        flow.counts += writer.put_many(flow.site, mine)
        for mapped in batch:
            if mapped.held or mapped.aside or mapped.moved:
                self._keep_out(mapped, records)
            if mapped.deleted:
                self.marked.append(records[mapped.name])
        if self.withdrawal:
            self.withdrawal.look(writer, batch, records)
        if self.watched:
            self.seen |= self.watched & {m.name for m in batch}.union(*(m.names() for m in batch))

    def _others(self, batch: Batch) -> frozenset[str]:
        """Mapped again: the resources that a newer statement than this delivery's made what they are."""
        deliveries, n, out = self.writer.deliveries, self.number, set[str]()
        names = [(p.resource["resourceType"], p.resource["id"]) for m in batch for p in m]
        known = deliveries.keys(self.flow.site, names)
        histories = deliveries.histories(self.flow.site, [key for key, _, _ in known.values()])
        for (kind, id_), (key, _, _) in known.items():
            latest, mine = histories[key][0].submission, any(x.submission == n for x in histories[key])
            if latest != n and (mine or latest is None or latest > n):
                out.add(f"{kind}/{id_}")
        return frozenset(out)

    def _source(self, records: Mapping[str, int], mapped: Mapped, p: Produced) -> Source:
        assert self.flow.compiled is not None
        version = self.flow.compiled.version
        return Source(self.number, self.flow.place.file, p.rows, version, p.block, records[mapped.name])

    def _keep_out(self, mapped: Mapped, records: Mapping[str, int]) -> None:
        """Account for what is not stored, keep what waits, mark what a refused correction leaves standing."""
        flow, deliveries = self.flow, self.writer.deliveries
        cells = standing.account(flow, mapped)
        names = {name for _, waits in mapped.held for name in waits} | {p.name for p in mapped.aside}
        here = deliveries.keys(flow.site, [(k, i) for k, _, i in (name.partition("/") for name in names)])
        settled = self._settled()
        versions = {f"{kind}/{id_}": version for (kind, id_), (_, version, _) in here.items()}
        current = {f"{kind}/{id_}" for (kind, id_), (_, _, deleted) in here.items() if not deleted}
        deliveries.hold(
            flow.site,
            [
                Held(
                    p.resource["resourceType"],
                    p.resource["id"],
                    self._source(records, mapped, p),
                    json.dumps(p.resource),
                    {name: THERE if name in mapped.strange else versions.get(name, 0) for name in waits},
                    own,
                )
                for (p, waits), own in zip(mapped.held, cells, strict=True)
                if p.name not in settled
            ],
        )
        flow.issues += [self._refused(p) for p in mapped.aside if p.name in current]

    def _settled(self) -> set[str]:
        """Mapped again: what this delivery held, and a later one released or said anew."""
        if self.flow.remapped is None:
            return set()
        return {x.name for x in self.writer.deliveries.held(self.flow.site, submissions=[self.number]) if x.released_by}

    def _refused(self, p: Produced) -> Issue:
        place = self.flow.place
        at = {"row": p.rows[0] if p.rows else None, "field": p.block}
        return issue("etl.correction-refused", place, record=p.name).at(**at)

    # -- the rest ----------------------------------------------------------------------------------------------

    def settle(self) -> Written:
        flow, writer = self.flow, self.writer
        if self.withdrawal:
            flow.issues += self.withdrawal.settle(writer)
        if self.marked:
            Withdrawal(flow, self.number).delete(writer, writer.deliveries.made_of(self.marked))
        self._supersede()
        writer.deliveries.restate(self.number, writer.unchanged)
        if flow.only is not None:  # an older delivery that is mapped again in part: its ledger and Issues stay
            return self._written((), self._release())
        flow.issues += self._contested()
        rows = _balanced(flow)
        writer.add_ledger(self.number, [(r.column, r.status, r.reason, r.n) for r in rows])
        assert flow.compiled is not None
        whole = flow.compiled.model.delivery == "snapshot"
        writer.record_issues(flow.site, self.number, flow.issues, scope=self.scope, seen=self.seen, whole=whole)
        released = self._release()
        writer.finish_submission(self.number, **_journal_counts(flow))
        return self._written(rows, released)

    def _contested(self) -> list[Issue]:
        """Two files that state one record otherwise: the later one is taken, and it is told."""
        others = self.writer.deliveries.contested(self.number)
        if not others or self.flow.remapped is not None:
            return []
        n, names = sum(others.values()), ", ".join(sorted(others)[:3])
        return [issue("etl.stated-by-two", self.flow.place, n=n, others=names, files=len(others), count=n)]

    def _supersede(self) -> None:
        """What waits of an older delivery, and this one says anew, is not to come back over it."""
        flow, writer = self.flow, self.writer
        writer.deliveries.supersede(flow.site, flow.place.file, self.number)
        old = [x for x in writer.deliveries.held(flow.site) if x.name in self.stated]
        older = [x for x in old if x.source.submission < self.number]
        for item in older:
            writer.deliveries.mark_released(flow.site, item, self.number, None)
        writer.close_issues(flow.site, self.number, WAITING, [x.name for x in older])

    @property
    def scope(self) -> str:
        """Format and record: two sheets of a workbook know a patient by one name, and don't speak for each other."""
        assert self.flow.compiled is not None
        model = self.flow.compiled.model
        return f"{model.format}/{model.record}"

    def _written(self, rows: Iterable[LedgerRow], released: set[str]) -> Written:
        """The balance as it stands now: what was held and came free within this delivery is mapped."""
        lines = tuple(rows)
        if released and lines:
            lines = tuple(LedgerRow(x.column, x.status, x.reason, x.n) for x in self.writer.ledger_of(self.number))
        told = (i for i in self.flow.issues if not (i.rule in WAITING and i.record in released))
        return Written(self.number, lines, tuple(told))

    def _release(self) -> set[str]:
        """Store what waited for something that is here now; the names."""
        upto = self.number if self.flow.remapped is not None else None
        free = release(self.writer, self.flow.site, self.number, self.arrived, upto)
        if free:
            self.flow.counts["released"] += len(free)
            own = sum(item.source.submission == self.number for item in free)
            self.flow.counts["held"] -= own
        return {item.name for item in free}


def release(writer: Writer, site: str, number: int, arrived: Iterable[str] = (), upto: int | None = None) -> list[Held]:
    """Held resources whose wait is over: each stored as its own delivery had it, its Issues closed.

    `upto`: a delivery that is mapped again frees what itself or older ones sent; newer ones wait on.
    """
    ready = list(_ready(writer, site, set(arrived), upto))
    if not ready:
        return []
    merges = followed(writer.deliveries.merges(site))
    drafts = [_draft(item, merges) for item in ready]
    for item, written in zip(ready, writer.write(site, drafts), strict=True):
        writer.deliveries.mark_released(site, item, number, written.version)
        writer.deliveries.move_cells(item.source.submission, item.cells, HELD)
    writer.close_issues(site, number, WAITING, [item.name for item in ready])
    return ready


def _draft(item: Held, merges: Mapping[str, str]) -> Draft:
    resource = json.loads(item.text)
    now = pointed(resource, merges)
    return draft(now, item.text if now is resource else None, item.source)


def _ready(writer: Writer, site: str, arrived: set[str], upto: int | None) -> Iterator[Held]:
    """Everything it waits for is there, or was sent valid: with this delivery, or since through the FHIR API."""
    waiting = writer.deliveries.held(site)
    names = {name for item in waiting for name in item.waits}
    if not names:
        return
    here = writer.deliveries.keys(site, [(k, i) for k, _, i in (name.partition("/") for name in names)])
    now = {f"{kind}/{id_}": 0 if deleted else version for (kind, id_), (_, version, deleted) in here.items()}
    for item in waiting:
        if upto is not None and item.source.submission > upto:
            continue
        if all(_came(writer, site, n, before, now.get(n, 0), arrived) for n, before in item.waits.items()):
            yield item


def _came(writer: Writer, site: str, name: str, before: int, now: int, arrived: set[str]) -> bool:
    if before == THERE or not now or name in arrived:
        return bool(now)
    kind, _, id_ = name.partition("/")
    return now > before and writer.reader.source(site, kind, id_, now) is None


def _balanced(flow: Flow) -> list[LedgerRow]:
    """The closed ledger. Raises LoadError when values are lost: the transaction is rolled back."""
    assert flow.ledger is not None and flow.reading is not None
    with flow.delivery.open() as stream:
        independent = count_values(stream, flow.ledger.model)
    rows, found = flow.ledger.close(independent)
    if any(i.severity == "fatal" for i in found):
        raise LoadError(*found)
    flow.issues += found
    return rows


def _journal_counts(flow: Flow) -> dict[str, int | str]:
    assert flow.ledger is not None and flow.compiled is not None
    named = {name.replace(" ", "_"): n for name, n in sorted(flow.counts.items()) if n}
    resources = sum(flow.counts[name] for name in ("created", "updated", "unchanged"))
    return {
        "rows": flow.ledger.rows_read,
        "values_read": flow.ledger.values_read,
        "resources": resources,
        "map_version": flow.compiled.version,
        **named,
    }
