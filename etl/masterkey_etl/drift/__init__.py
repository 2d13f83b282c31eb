"""Drift: a changed export is noticed before anything is stored.

    guard(flow)     in `read`: the delivery beside the earlier ones of its site; stops it, or tells and carries it
    remember(flow)  after `store`: what this delivery looked like, for the next one
    against(...)    the same comparison for a file that is not being loaded (`masterkey inspect FILE --against SITE`)

The first delivery of a site has nothing to drift from: the reader names what deviates from the source model, and the
rest arrives. From then on a change that would lose a mapped column of the whole delivery, or change what its values
mean, stops the delivery before anything is stored, until somebody accepts it as a new revision of the source model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from masterkey_etl.drift import baseline
from masterkey_etl.drift.accept import accept
from masterkey_etl.drift.compare import Difference, compare
from masterkey_etl.drift.look import Look, look
from masterkey_etl.files import WorkspaceError, read_issue
from masterkey_etl.readers.delimited import Readable, Reading
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

if TYPE_CHECKING:
    from masterkey_etl.flow import Flow
    from masterkey_etl.workspace import Workspace

_BY_READER = frozenset(
    ("column-new", "column-missing", "renamed", "reordered", "code-new", "delimiter")
)  # the reader tells them


class DriftError(MasterkeyError):
    """A delivery differs from the earlier ones in a way that must be accepted or corrected first."""

    def __init__(self, differences: Sequence[Difference], *issues: Issue) -> None:
        super().__init__(*issues)
        self.differences = tuple(differences)


@dataclass
class Watched:
    """One delivery under watch: what it looks like, how it differs, whether the differences were accepted."""

    look: Look
    found: tuple[Difference, ...] = ()
    accepted: bool = False


def guard(flow: Flow) -> bool:
    """Compare a delivery that is about to be read. True: a new revision was written, read again with it.

    Raises DriftError (etl.drift-*, fatal) when it must be accepted first.
    """
    if flow.remapped is not None or not isinstance(flow.reading, Reading) or not flow.reading.header.plausible:
        return False
    request, model = flow.request, flow.reading.model
    seen = look(flow.delivery, model, flow.reading, flow.delivery.pseudonym)
    if flow.drift is not None:  # the second reading, with the revision just written
        flow.drift.look = seen
        return False
    flow.drift = Watched(seen)
    before = baseline.load(request.workspace, flow.site, model)
    if before is None or flow.delivery.is_repeat:
        return False
    assert flow.compiled is not None
    used = frozenset(model.columns[i].id for i in flow.compiled.used)
    flow.drift.found = tuple(compare(model, before, seen, used))
    return _decide(flow, flow.drift, model)


def _decide(flow: Flow, watched: Watched, model: SourceModel) -> bool:
    """Write what was accepted, stop, or carry and tell."""
    if watched.found and flow.request.accept_drift:
        return _accept(flow, watched, model)
    if stops := [d for d in watched.found if d.stops]:
        raise DriftError(watched.found, *(as_issue(d, flow.place) for d in stops))
    flow.issues += [as_issue(d, flow.place) for d in watched.found if d.kind not in _BY_READER]
    return False


def _accept(flow: Flow, watched: Watched, model: SourceModel) -> bool:
    """Write the revision. Raises DriftError (etl.drift-unsayable) where that would lose a column people depend on."""
    if lost := [d for d in watched.found if d.stops and not d.sayable]:
        raise DriftError(watched.found, *(_unsayable(d, flow.place) for d in lost))
    by = flow.request.accept_drift
    said = accept(model, watched.found, flow.site, flow.request.workspace.overlay, by)
    watched.accepted = True
    if said:
        flow.issues.clear()  # the file is read again with the new revision
    told = "; ".join(said) or "nothing that a source model can say"
    flow.issues.append(issue("etl.drift-accepted", flow.place, by=by, model=model.id, said=told))
    return bool(said)


def _unsayable(d: Difference, place: Place) -> Issue:
    return issue("etl.drift-unsayable", replace(place, field=d.column), before=d.before, now=d.now)


def remember(flow: Flow) -> tuple[Difference, ...]:
    """After a delivery was stored: keep what it looked like; gives what it differed in."""
    if flow.drift is None or flow.reading is None:
        return ()
    workspace, model = flow.request.workspace, flow.reading.model
    before = baseline.load(workspace, flow.site, model)
    if before is None or not flow.delivery.is_repeat:
        baseline.save(workspace, flow.site, model, flow.drift.look, before)
    return flow.drift.found


def against(source: Readable, model: SourceModel, workspace: Workspace, site: str) -> list[Difference] | None:
    """What a file would change, compared with the site's earlier deliveries; None when there are none."""
    from masterkey_etl.ledger import Ledger
    from masterkey_etl.readers import read_delivery

    before = baseline.load(workspace, site, model)
    if before is None:
        return None
    reading = read_delivery(source, model, Ledger(model, Place(site)))
    if not isinstance(reading, Reading):
        return None
    seen = look(source, model, reading, partial(workspace.keys(site).digest, "record"))
    return compare(model, before, seen, _used(site, model, workspace))


def against_file(path: Path, site: str, data: Path) -> list[Difference] | None:
    """`against` for a file beside a workspace. Raises MasterkeyError when it can't be read or is of no known kind."""
    from masterkey_etl.readers import LocalFile, recognise
    from masterkey_etl.workspace import Workspace

    workspace = Workspace.open(data)
    try:
        source = LocalFile(path)
        model = recognise(source, workspace.overlay, Place(site, path.name))
        return against(source, model, workspace, workspace.site(site).id)
    except OSError as error:
        raise WorkspaceError(read_issue(error, path, Place(file=path.name))) from None


def told(name: str, site: str, found: Sequence[Difference] | None) -> list[str]:
    """A comparison in lines."""
    if found is None:
        return [f"{name}: no delivery of {site} in this layout was accepted yet, so there is nothing to compare"]
    if not found:
        return [f"{name}: nothing changed since the earlier deliveries of {site}"]
    return [f"{name}: changed since the earlier deliveries of {site}", *(f"  {line}" for line in lines(found))]


def _used(site: str, model: SourceModel, workspace: Workspace) -> frozenset[str]:
    from masterkey_etl import maps

    try:
        compiled = maps.for_source(site, model, workspace)
    except MasterkeyError:
        return frozenset(model.index)
    return frozenset(model.columns[i].id for i in compiled.used)


def as_issue(d: Difference, place: Place) -> Issue:
    """One difference as an Issue: fatal when it stops the delivery."""
    found = issue(f"etl.drift-{d.kind}", replace(place, field=d.column), before=d.before, now=d.now)
    return replace(found, severity="fatal") if d.stops else found


def lines(found: Sequence[Difference]) -> list[str]:
    """Side by side: what was, what is, and what becomes of it."""
    rows = [("column", "change", "before", "now", "")]
    rows += [(d.column or "(file)", d.kind, d.before, d.now, "STOPS" if d.stops else "carried") for d in found]
    clean = [[" ".join(str(v).split())[:60] for v in row] for row in rows]
    widths = [max(len(row[i]) for row in clean) for i in range(5)]
    return ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in clean]


def as_dicts(found: Sequence[Difference]) -> list[dict[str, object]]:
    return [{"column": d.column, "change": d.kind, "before": d.before, "now": d.now, "stops": d.stops} for d in found]


__all__ = [
    "Difference",
    "DriftError",
    "Look",
    "Watched",
    "against",
    "against_file",
    "as_dicts",
    "as_issue",
    "guard",
    "lines",
    "remember",
    "told",
]
