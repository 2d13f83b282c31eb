"""Issues at the steward's desk: look them up, say whose turn it is, enter what a site or the registry answers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from masterkey_etl.assessment import opened
from masterkey_etl.data import folder
from masterkey_etl.file_names import kept_name
from masterkey_etl.workspace import Workspace
from masterkey_fhir import messages
from masterkey_fhir.issue import MasterkeyError, issue
from masterkey_fhir.messages import Texts
from masterkey_fhir.store import IssueEvent, IssueFilter, IssueKind, JournalIssue, StoreError
from masterkey_fhir.store.life import REGISTRY_ANSWERS, SITE_ANSWERS

ROLES = {  # who answers: a role, never a name, and for whom it speaks
    "site": "site",
    "data-manager": "site",
    "physician": "site",
    "pathologist": "site",
    "registry": "registry",
    "steward": "registry",
}
LONGEST = 2000  # characters of a remark
PAGE = 1000
_SEVERITIES = ("fatal", "error", "warning", "information")


class AnswerError(MasterkeyError):
    """An answer that can't be entered, or a question that can't be read."""


def texts(workspace: Workspace, language: str = "en") -> Texts:
    """The texts of a language: shipped, then the workspace's message files. Raises MessagesError."""
    return messages.load(language, message_folders(workspace), sheet_words())


def message_folders(workspace: Workspace) -> list[Path]:
    return [folder("mappings") / "messages", workspace.overlay / "messages"]


@cache
def sheet_words() -> dict[str, dict[str, str]]:
    """The words of the workbook: name -> language -> text."""
    read: dict[str, dict[str, str]] = yaml.safe_load(
        Path(__file__).with_name("sheet_words.yaml").read_text(encoding="utf-8")
    )
    return read


def find(data: Path, wanted: IssueFilter, after: int = 0, limit: int = 100) -> tuple[int, list[JournalIssue]]:
    """How many there are, and a page of them by id, after the id `after`."""
    with opened(data) as (workspace, repository):
        if wanted.site is not None:
            workspace.site(wanted.site)
        return repository.count_issues(wanted), repository.find_issues(wanted, after, limit)


def kinds(data: Path, wanted: IssueFilter) -> list[tuple[IssueKind, JournalIssue]]:
    """Issues by site, rule and field, the gravest and most frequent first, each with its first Issue."""
    with opened(data) as (workspace, repository):
        if wanted.site is not None:
            workspace.site(wanted.site)
        found = sorted(repository.issue_kinds(wanted), key=lambda k: (_SEVERITIES.index(k.severity), -k.count))
        return [(k, one[0]) for k in found if (one := repository.issue(k.first))]


def show(data: Path, id: int) -> tuple[JournalIssue, list[IssueEvent]]:
    """An Issue and its history. Raises StoreError (fhir.issue-unknown)."""
    with opened(data) as (_, repository):
        found = repository.issue(id)
    if found is None:
        raise StoreError(issue("fhir.issue-unknown", id=id))
    return found


def answer(data: Path, id: int, kind: str, said: str, by: str) -> tuple[JournalIssue, int]:
    """Enter one answer; the Issue as it stands then, and how many parts of the remark were masked.

    Raises AnswerError (etl.answer-role, etl.answer-long), StoreError (fhir.issue-unknown, fhir.issue-closed).
    """
    may(kind, by)
    with opened(data) as (workspace, repository):
        kept, masked = remark(workspace, said)
        with repository.writing(agent="masterkey issues", holder="answer to an Issue") as writer:
            writer.answer_issue(id, kind, kept, by)
        found = repository.issue(id)
    assert found is not None
    return found[0], masked


def may(kind: str, by: str) -> None:
    """Raises AnswerError (etl.answer-role) when this role can't give this answer."""
    offered = [*SITE_ANSWERS, *(REGISTRY_ANSWERS if ROLES.get(by) == "registry" else ())]
    if by not in ROLES or kind not in offered:
        raise AnswerError(issue("etl.answer-role", answers=", ".join(offered), roles=", ".join(ROLES)))


def remark(workspace: Workspace, said: str) -> tuple[str, int]:
    """A remark as it may be kept (docs/decisions/0002): at a registry known words, the rest masked; and how many.

    Raises AnswerError (etl.answer-long).
    """
    plain = "".join(_plain(said)).strip()
    if len(plain) > LONGEST:
        raise AnswerError(issue("etl.answer-long", found=len(plain), most=LONGEST))
    if workspace.role == "site" or not plain:
        return plain, 0
    from masterkey_etl.identity import Policy

    return Policy.load(workspace.overlay).words.cleaned(plain)


def _plain(said: str) -> Iterator[str]:
    """Without control characters and halves of characters; a line break is a blank."""
    for c in unicodedata.normalize("NFC", said):
        if c in "\r\n\t":
            yield " "
        elif unicodedata.category(c) not in ("Cc", "Cs", "Cn"):
            yield c


def stored_name(data: Path, site: str | None, file: str) -> str:
    """The name under which a workspace keeps this file. Raises AnswerError (etl.file-of-site): it takes a site."""
    workspace = Workspace.open(data)
    name = kept_name(workspace, site or next(iter(workspace.sites)), file)
    if name != file and not site:
        raise AnswerError(issue("etl.file-of-site"))
    return name


def since(text: str | None) -> int | None:
    """Milliseconds of a day or an instant (UTC unless it says a zone). Raises AnswerError (etl.since)."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise AnswerError(issue("etl.since", given=text[:30])) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)


def as_dict(found: JournalIssue, language: Texts) -> dict[str, Any]:
    """For programs: OperationOutcome.issue with id, state, turn, answer."""
    i = found.issue
    said = i.as_outcome()
    said["details"]["text"] = f"{language.fact(i)}. {language.remedy(i)}"
    life = {name: getattr(found, name) for name in ("state", "turn", "opened", "changed", "opened_by", "closed_by")}
    reply = {name: getattr(found, name) for name in ("answer", "answer_text", "answer_by")}
    place = {"site": i.place.site, "file": i.place.file or found.file, "row": i.place.row, "field": i.place.field}
    return {"id": found.id, **said, **place, "record": i.record, "count": i.count, **life, **reply}
