"""Commands of the group `issues`: what is open, at which site, whose turn it is; answers; workbooks for e-mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masterkey_api.cli.shown import as_json, data_dir, table

if TYPE_CHECKING:
    from masterkey_fhir.issue import Issue
    from masterkey_fhir.messages import Texts
    from masterkey_fhir.store import IssueEvent, IssueFilter, JournalIssue

app = typer.Typer(no_args_is_help=True, help="What is open, at which site, whose turn it is; answers by workbook.")
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Language = Annotated[str, typer.Option(help="en, ja, or one with a message file in mappings/messages.")]


class State(StrEnum):
    open = "open"
    answered = "answered"
    closed = "closed"
    all = "all"


class Turn(StrEnum):
    site = "site"
    registry = "registry"
    nobody = "nobody"


class Answer(StrEnum):
    confirmed = "confirmed"
    will_correct = "will-correct"
    not_available = "not-available"
    accepted = "accepted"
    ask_again = "ask-again"


class Role(StrEnum):
    site = "site"
    data_manager = "data-manager"
    physician = "physician"
    pathologist = "pathologist"
    registry = "registry"
    steward = "steward"


@app.command("list")
def list_(
    state: Annotated[State, typer.Option()] = State.open,
    site: Annotated[str | None, typer.Option()] = None,
    turn: Annotated[Turn | None, typer.Option(help="Whose turn it is.")] = None,
    rule: Annotated[str | None, typer.Option(help="For example etl.value-refused.")] = None,
    file: Annotated[str | None, typer.Option(help="File of the delivery that showed it last.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Changed on or after this day.")] = None,
    each: Annotated[bool, typer.Option("--each", help="One line an Issue, by number; else one a kind.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    after: Annotated[int, typer.Option(min=0, help="The next page: the last number of the page before.")] = 0,
    language: Language = "en",
    json: AsJson = False,
) -> None:
    """Issues by kind with the number of the first one; `--each` page by page.

    Example: `masterkey issues list --site jp_ncch --turn site --each`
    """
    wanted = _wanted(state, site, turn, rule, file, since)
    if json:
        return _page_as_json(wanted, after, limit, language)
    if each:
        return _page(wanted, after, limit, language)
    return _kinds(wanted, limit, language)


def _wanted(
    state: State, site: str | None, turn: Turn | None, rule: str | None, file: str | None, since: str | None
) -> IssueFilter:
    from masterkey_etl import answers
    from masterkey_fhir.store import IssueFilter

    whose = {None: None, Turn.nobody: ""}.get(turn, turn and turn.value)
    in_state = None if state is State.all else state.value
    name = answers.stored_name(data_dir(), site, file) if file else None
    return IssueFilter(site=site, state=in_state, turn=whose, rule=rule, file=name, since=answers.since(since))


def _page_as_json(wanted: IssueFilter, after: int, limit: int, language: str) -> None:
    from masterkey_etl import answers

    total, found = answers.find(data_dir(), wanted, after, limit)
    said = _texts(language)
    following = found[-1].id if len(found) == limit else None
    as_json({"total": total, "next": following, "issues": [answers.as_dict(k, said) for k in found]})


def _page(wanted: IssueFilter, after: int, limit: int, language: str) -> None:
    from masterkey_etl import answers

    total, found = answers.find(data_dir(), wanted, after, limit)
    said = _texts(language)
    rows = [[k.id, k.issue.severity, k.state, k.turn or "-", k.opened[:10], said.line(_placed(k))] for k in found]
    print(f"{total:,} {_state(wanted)}issues")
    table(["no.", "severity", "state", "turn", "since", "what"], rows)
    if len(found) == limit:
        print(f"next page: --after {found[-1].id}")


def _kinds(wanted: IssueFilter, limit: int, language: str) -> None:
    from masterkey_etl import answers

    found = answers.kinds(data_dir(), wanted)
    said = _texts(language)
    print(f"{sum(kind.issues for kind, _ in found):,} {_state(wanted)}issues")
    for kind, first in found[:limit]:
        print(f"  {kind.severity:<11} {kind.count:>8,} x no. {kind.first}: {said.line(_placed(first))}")
    if len(found) > limit:
        print(f"  ... and {len(found) - limit} more kinds: --limit")


def _state(wanted: IssueFilter) -> str:
    return f"{wanted.state} " if wanted.state else ""


@app.command("show")
def show(
    id: Annotated[int, typer.Argument(metavar="NO", help="A number of `issues list`.")],
    language: Language = "en",
    json: AsJson = False,
) -> None:
    """One Issue with its history. Example: `masterkey issues show 12`"""
    from masterkey_etl import answers

    found, events = answers.show(data_dir(), id)
    said = _texts(language)
    if json:
        return as_json(answers.as_dict(found, said) | {"history": [_event(e) for e in events]})
    for line in _lines(found, events, said):
        print(line)
    return None


def _event(e: IssueEvent) -> dict[str, Any]:
    return {name: getattr(e, name) for name in ("n", "at", "event", "actor", "submission", "answer", "text")}


def _lines(k: JournalIssue, events: Sequence[IssueEvent], said: Texts) -> list[str]:
    placed = _placed(k)
    turn = f", turn: {k.turn}" if k.turn else ""
    head = [f"no. {k.id}, {k.issue.severity}, {k.state}{turn}", f"rule    {k.issue.rule}", f"place   {placed.place}"]
    body = [f"record  {k.issue.record}"] if k.issue.record else []
    return [
        *head,
        *body,
        f"what    {said.fact(k.issue)}",
        f"remedy  {said.remedy(k.issue)}",
        "history",
        *map(_step, events),
    ]


def _step(e: IssueEvent) -> str:
    by = f"delivery {e.submission}" if e.submission else e.actor
    reply = f": {e.answer}" if e.answer else ""
    remark = f" ({e.text})" if e.text else ""
    return f"  {e.at[:16].replace('T', ' ')}  {e.event} by {by}{reply}{remark}"


@app.command("answer")
def answer(
    id: Annotated[int, typer.Argument(metavar="NO")],
    kind: Annotated[Answer, typer.Option("--as", help="The last two are the registry's.")],
    by: Annotated[Role, typer.Option(help="A role, not a name.")],
    text: Annotated[str, typer.Option(help="A remark; at a registry unknown words are masked.")] = "",
    json: AsJson = False,
) -> None:
    """What the site says to an Issue, or the registry: accepted, ask-again.

    Example: `masterkey issues answer 12 --as confirmed --by physician`
    """
    from masterkey_etl import answers

    found, masked = answers.answer(data_dir(), id, kind.value, text, by.value)
    if json:
        return as_json(answers.as_dict(found, _texts("en")) | {"masked": masked})
    turn = f"; it is the turn of the {found.turn}" if found.turn else "; nobody's turn"
    print(f"no. {found.id}: {found.state}{turn}")
    if masked:
        print(f"{masked} parts of the remark were masked: a registry keeps known words only")
    return None


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="Folder; one workbook a site, `SITE-issues.xlsx`")],
    site: Annotated[str | None, typer.Option()] = None,
    language: Annotated[str | None, typer.Option(help="Of all workbooks; else each site's own.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=20_000, help="Rows in one workbook, errors first.")] = 2000,
    json: AsJson = False,
) -> None:
    """A workbook for each site with open Issues of its turn: choose an answer, send it back.

    Example: `masterkey issues export outbox --site jp_ncch --language ja`
    """
    from masterkey_etl import issue_sheets

    done = issue_sheets.export(data_dir(), out, site=site, language=language, most=limit)
    if json:
        return as_json([{**vars(d), "path": str(d.path)} for d in done])
    for d in done:
        more = f"; {d.more:,} more wait for the next one" if d.more else ""
        print(f"{d.path}: {d.rows:,} issues, language {d.language}{more}")
    if not done:
        print("no open issues that wait for a site")
    return None


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    site: Annotated[str | None, typer.Option(help="Refuse workbooks of other sites.")] = None,
    by: Annotated[Role, typer.Option(help="A role, not a name.")] = Role.site,
    language: Language = "en",
    json: AsJson = False,
) -> int:
    """The answers of returned workbooks. Exit code 1 when rows were refused: each is told, the rest is in.

    Exit code 2 when a file is no workbook of ours; the other files are in.

    Example: `masterkey issues import returned/jp_ncch-issues.xlsx`
    """
    from masterkey_etl import issue_sheets

    done: list[issue_sheets.Imported] = []
    unfit: list[Issue] = []
    for file in files:
        try:
            done.append(issue_sheets.take(data_dir(), file, site=site, by=by.value))
        except issue_sheets.SheetError as error:
            unfit += error.issues
    if json:
        as_json([d.as_dict() for d in done])
    else:
        said = _texts(language)
        for d in done:
            counts = f"{d.answered:,} answered, {d.same:,} as before, {d.unanswered:,} without answer"
            print(f"{d.file} of {d.site}: {counts}, {d.settled:,} closed meanwhile, {len(d.refused):,} refused")
            for found in d.refused:
                print(f"  {said.line(found)}")
    if unfit:
        raise issue_sheets.SheetError(*unfit)
    return int(any(d.refused for d in done))


def _texts(language: str) -> Texts:
    from masterkey_etl import answers
    from masterkey_etl.workspace import Workspace

    said = answers.texts(Workspace.open(data_dir()), language)
    for problem in said.problems:
        typer.echo(f"masterkey: {problem}", err=True)
    return said


def _placed(k: JournalIssue) -> Any:
    """The Issue with its file, also when only its delivery names it."""
    i = k.issue
    return i if i.place.file else replace(i, place=replace(i.place, file=k.file))
