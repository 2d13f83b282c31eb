"""The texts of Issues in the languages of the sites.

English and Japanese stand in the rooms' catalogues (`<package>/messages.yaml`). Another language, or other words for
one of these, is a file `<language>.yaml` in a folder of message files:

    etl.row-width: {fact: "...{found}...{expected}...", remedy: "..."}
    sheet.answer: "Jawaban"                 # a word of the workbook for sites (masterkey_etl/sheet_words.yaml)

What it doesn't say, or says with other placeholders than English has, is said in English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from masterkey_fhir.issue import Issue, MasterkeyError, Place, catalogue, filled, issue

ROOMS = ("fhir", "omop", "validation", "etl", "api")
PARTS = ("fact", "remedy")
_CODE = re.compile(
    r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*"
)  # the shape of a language tag, https://www.rfc-editor.org/info/bcp47
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class MessagesError(MasterkeyError):
    """No texts in that language."""


@dataclass(frozen=True)
class Texts:
    """The texts of one language: its own where there are any, else English. `problems`: what was not taken, and why."""

    language: str
    own: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problems: Sequence[Issue] = ()

    def fact(self, i: Issue) -> str:
        return self._say(i, "fact")

    def remedy(self, i: Issue) -> str:
        return self._say(i, "remedy")

    def line(self, i: Issue) -> str:
        """Place, fact and remedy, as `str(issue)` says them in English."""
        place = str(i.place)
        return f"{place + ': ' if place else ''}{self.fact(i)}. {self.remedy(i)}"

    def word(self, name: str, **facts: str | int) -> str:
        """A word of an interface, from the table given as `words` (name -> language -> text)."""
        said = self.own.get(name) or self.words[name].get(self.language) or self.words[name]["en"]
        return filled(str(said), facts)

    def _say(self, i: Issue, part: str) -> str:
        own = self.own.get(i.rule, {}).get(part)
        entry = _rule(i.rule)
        return filled(str(own or (entry.get(self.language) or entry["en"])[part]), i.facts)


def load(language: str, folders: Sequence[Path] = (), words: Mapping[str, Mapping[str, str]] | None = None) -> Texts:
    """The texts of a language; a later folder wins over an earlier one.

    Raises MessagesError (fhir.language-unknown) when no catalogue, file or word has that language.
    """
    known = languages(folders)
    if language not in known:
        raise MessagesError(issue("fhir.language-unknown", known=", ".join(known), given=language[:20]))
    own: dict[str, Any] = {}
    problems: list[Issue] = []
    for folder in folders:
        path = folder / f"{language}.yaml"
        if path.is_file():
            for name, said in _checked(path, words or {}, problems):
                own[name] = {**own[name], **said} if isinstance(said, dict) and name in own else said
    return Texts(language, own, words or {}, tuple(problems))


def languages(folders: Sequence[Path] = ()) -> list[str]:
    """English and Japanese, and what the folders add."""
    added = {p.stem for folder in folders for p in folder.glob("*.yaml") if _CODE.fullmatch(p.stem)}
    return ["en", "ja", *sorted(added - {"en", "ja"})]


def disagreements(language: str) -> list[str]:
    """Rules of the catalogues whose texts in this language are missing or have other placeholders than English."""
    out = []
    for room in ROOMS:
        for rule, entry in catalogue(room).items():
            said = entry.get(language) or {}
            out += [f"{rule}.{part}" for part in PARTS if not _agree(said.get(part), entry["en"][part])]
    return out


def placeholders(text: str) -> set[str] | None:
    """The names in braces; None when the braces don't close.

    >>> sorted(placeholders("{found} of {expected}"))
    ['expected', 'found']
    """
    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        return None


def _agree(said: object, english: object) -> bool:
    return isinstance(said, str) and bool(said.strip()) and placeholders(said) == placeholders(str(english))


def _checked(
    path: Path, words: Mapping[str, Mapping[str, str]], problems: list[Issue]
) -> Iterator[tuple[str, dict[str, str] | str]]:
    for name, said in _read(path, problems).items():
        if name in words:
            if _agree(said, words[name]["en"]):
                yield name, said
            else:
                problems.append(_refused(path, name, words[name]["en"]))
        elif entry := _rule(name):
            yield name, dict(_parts(path, name, said, entry["en"], problems))
        else:
            problems.append(issue("fhir.message-unknown", Place(file=path.name), name=name[:60]))


def _parts(
    path: Path, rule: str, said: object, english: Mapping[str, str], problems: list[Issue]
) -> Iterator[tuple[str, str]]:
    for part in PARTS:
        given = said.get(part) if isinstance(said, dict) else None
        if _agree(given, english[part]):
            yield part, str(given)
        elif given is not None or not isinstance(said, dict):
            problems.append(_refused(path, f"{rule}, {part}", english[part]))


def _refused(path: Path, name: str, english: object) -> Issue:
    wanted = ", ".join(sorted(placeholders(str(english)) or ())) or "none"
    return issue("fhir.message-placeholders", Place(file=path.name), name=name, wanted=wanted)


def _read(path: Path, problems: list[Issue]) -> dict[str, Any]:
    """The file as a mapping of names; one that can't be read is told and counts as empty."""
    try:
        read = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_LOADER) or {}
        if isinstance(read, dict):
            return {str(name): said for name, said in read.items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        pass
    problems.append(issue("fhir.message-file", Place(file=path.name)))
    return {}


@cache
def _rule(name: str) -> Mapping[str, Any]:
    room = name.partition(".")[0]
    return catalogue(room).get(name, {}) if room in ROOMS else {}


__all__ = ["MessagesError", "Texts", "disagreements", "languages", "load", "placeholders"]
