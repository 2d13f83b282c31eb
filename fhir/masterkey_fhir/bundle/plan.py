"""Who is meant: the identity of every entry, decided inside the write transaction (rules R1 to R4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from masterkey_fhir.bundle.model import Door, Entry, Protect, RefusedError
from masterkey_fhir.bundle.references import CONDITIONAL
from masterkey_fhir.issue import Issue, issue
from masterkey_fhir.search import SearchError, conditions, escaped, pairs, split, unescaped
from masterkey_fhir.store import Stored, Writer, Written, identifiers_of

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class Target:
    """What an entry is about. `existing`: a conditional create found it, its body is not touched."""

    entry: Entry
    id: str = ""
    existing: Stored | None = None
    same_as: Target | None = None  # another entry of the bundle with the same condition
    deleted: Written | None = None

    @property
    def writes(self) -> bool:
        return self.entry.method in ("POST", "PUT") and not self.existing and not self.same_as

    @property
    def reference(self) -> str:
        return f"{self.entry.type}/{self.id}"


class Plan:
    """Targets of all entries, and the links that follow from them. Collects Issues; `check()` raises them.

    Deletions are carried out here: the conditions of the other entries are asked of what is left.
    """

    def __init__(self, door: Door, entries: Sequence[Entry], writer: Writer) -> None:
        self.door, self.writer = door, writer
        self.issues: list[Issue] = []
        self._conditions: dict[tuple[str, tuple[tuple[str, str], ...]], Target] = {}
        self._matches: dict[str, str | None] = {}
        self._links: dict[str, str] = {}
        self.targets = [Target(e) for e in entries]
        for some in (self._deletes(), self._plain(), self._conditional()):
            for target in some:
                self._identify(target)
                self._link(target)
        self._one_writer_each()

    def check(self) -> None:
        if self.issues:
            raise RefusedError(*self.issues)

    @property
    def links(self) -> dict[str, str]:
        """fullUrl -> `Type/id`."""
        return self._links

    def _deletes(self) -> list[Target]:
        return [t for t in self.targets if t.entry.method == "DELETE"]

    def _plain(self) -> list[Target]:
        """POST and PUT whose identity needs no search: first, so that a condition may name them."""
        return [t for t in self.targets if t.entry.method in ("POST", "PUT") and condition(t.entry) is None]

    def _conditional(self) -> list[Target]:
        return [t for t in self.targets if t.entry.method in ("POST", "PUT") and condition(t.entry) is not None]

    def _identify(self, target: Target) -> None:
        try:
            _IDENTIFY[target.entry.method](self, target)
        except RefusedError as error:
            self.issues += error.issues

    def _link(self, target: Target) -> None:
        if target.entry.full_url and target.id:
            self._links[target.entry.full_url] = target.reference

    # --- create -----------------------------------------------------------------------------------------

    def _create(self, target: Target) -> None:
        text = condition(target.entry)
        if text is None:
            target.id = self.writer.new_id()
            return
        where = self._pairs(target.entry, text, "request.ifNoneExist")
        known = self._conditions.setdefault((target.entry.type, tuple(sorted(where))), target)
        if known is not target:
            target.same_as, target.id = known, known.id
            return
        found = self._find(target.entry, where, "request.ifNoneExist")
        target.existing = found
        target.id = found.id if found else self.writer.new_id()

    # --- update -----------------------------------------------------------------------------------------

    def _update(self, target: Target) -> None:
        entry = target.entry
        if condition(entry) is None:
            target.id = entry.id
            self._id_of_body(entry, entry.id)
        else:
            self._conditional_update(target)
        self._preconditions(target)

    def _conditional_update(self, target: Target) -> None:
        """http://hl7.org/fhir/R4/http.html#cond-update: no match creates, one match updates."""
        entry = target.entry
        found = self._find(entry, self._pairs(entry, entry.query or "", "request.url"), "request.url")
        own = str((entry.resource or {}).get("id") or "")
        if found is None and own and self.writer.reader.read(self.door.site, entry.type, own):
            raise RefusedError(issue("fhir.id-taken", entry.place(self.door.site, "resource.id")))
        if found and own and own != found.id:
            raise RefusedError(issue("fhir.id-mismatch", entry.place(self.door.site, "resource.id")))
        target.id = found.id if found else own or self.writer.new_id()

    def _id_of_body(self, entry: Entry, id_: str) -> None:
        own = (entry.resource or {}).get("id")
        if own != id_:
            rule = "fhir.id-missing" if own is None else "fhir.id-mismatch"
            raise RefusedError(issue(rule, entry.place(self.door.site, "resource.id")))

    def _preconditions(self, target: Target) -> None:
        """If-Match and If-None-Match as `W/"n"`, `"n"` or `n` (rule W6)."""
        entry = target.entry
        if entry.if_match is None and entry.if_none_match is None:
            return
        now = self.writer.reader.read(self.door.site, entry.type, target.id)
        version = now.version if now and not now.deleted else 0
        wanted = entry.if_match is None or version_of(entry.if_match) == version > 0
        absent = entry.if_none_match is None or not _matches(entry.if_none_match, version)
        if not (wanted and absent):
            raise RefusedError(issue("fhir.precondition", entry.place(self.door.site), version=version))

    # --- delete -----------------------------------------------------------------------------------------

    def _delete(self, target: Target) -> None:
        entry = target.entry
        if entry.query is None:
            if not entry.id:
                raise RefusedError(issue("fhir.bundle-url", entry.place(self.door.site, "request.url")))
            target.id = entry.id
        else:
            found = self._find(entry, self._pairs(entry, entry.query, "request.url"), "request.url")
            target.id = found.id if found else ""
        self._preconditions(target)
        if target.id:
            target.deleted = self.writer.delete(self.door.site, entry.type, target.id)

    # --- conditions -------------------------------------------------------------------------------------

    def _pairs(self, entry: Entry, query: str, part: str) -> Pairs:
        """The parameters of a condition; a fullUrl of this bundle in it means its new reference (rule R4)."""
        found = [(name, self._links.get(value, value)) for name, value in pairs(query)]
        if not found:
            raise RefusedError(issue("fhir.condition-empty", entry.place(self.door.site, part)))
        return found

    def _find(self, entry: Entry, where: Pairs, part: str) -> Stored | None:
        ids = self._ids(entry, entry.type, where, part)
        return self.writer.reader.read(self.door.site, entry.type, ids[0]) if ids else None

    def _ids(self, entry: Entry, type_: str, where: Pairs, part: str) -> list[str]:
        """At most one id. Raises RefusedError (412) when several match, 400 when it is not offered."""
        place = entry.place(self.door.site, part)
        try:
            asked = protected(self.door, type_, where)
            ids = self.writer.reader.ids(self.door.site, type_, conditions(type_, asked, self.door.zone), 3)
        except SearchError as error:
            raise RefusedError(*(i.at(expression=place.expression) for i in error.issues)) from None
        if len(ids) > 1:
            names = ", ".join(dict.fromkeys(name for name, _ in where))
            raise RefusedError(issue("fhir.many-matches", place, type=type_, parameters=names))
        return ids

    def conditional_reference(self, entry: Entry, reference: str) -> str | None:
        """`Type?identifier=...` -> `Type/id`; exactly one must match, stored or in this bundle (rule R9)."""
        found = CONDITIONAL.fullmatch(reference)
        if found is None:
            return None
        if reference not in self._matches:
            self._matches[reference] = self._match(entry, found["type"], pairs(found["query"]))
        return self._matches[reference]

    def _match(self, entry: Entry, type_: str, where: Pairs) -> str | None:
        try:
            ids = self._ids(entry, type_, where, "resource") or self._ids_here(type_, where)
        except RefusedError as error:
            self.issues += error.issues
            return None
        if ids:
            return f"{type_}/{ids[0]}"
        names = ", ".join(dict.fromkeys(name for name, _ in where))
        place = entry.place(self.door.site, "resource")
        self.issues.append(issue("fhir.reference-no-match", place, type=type_, parameters=names))
        return None

    def _ids_here(self, type_: str, where: Pairs) -> list[str]:
        """Resources that this bundle creates, by one `identifier=system|value`."""
        if len(where) != 1 or where[0][0] != "identifier":
            return []
        system, bar, value = where[0][1].partition("|")
        wanted = (system, value) if bar else ("", system)
        return [
            t.id
            for t in self.targets
            if t.entry.type == type_ and t.writes and wanted in identifiers_of(t.entry.resource or {})
        ]

    # --- the whole --------------------------------------------------------------------------------------

    def _one_writer_each(self) -> None:
        """No two entries may change one identity (rule R3)."""
        first: dict[tuple[str, str], Target] = {}
        for t in self.targets:
            if t.id and (t.writes or t.entry.method == "DELETE"):
                other = first.setdefault((t.entry.type, t.id), t)
                if other is not t:
                    place = t.entry.place(self.door.site)
                    self.issues.append(issue("fhir.bundle-identity", place, first=other.entry.index or 0))


_IDENTIFY = {"POST": Plan._create, "PUT": Plan._update, "DELETE": Plan._delete}


def condition(entry: Entry) -> str | None:
    """The query that decides who is meant: of If-None-Exist, or of `PUT Type?query`; None without one."""
    if entry.method == "POST":
        text = entry.if_none_exist if entry.if_none_exist is not None else entry.query or None
        return None if text is None else _without_type(text)
    return entry.query if entry.method == "PUT" and not entry.id else None


def _without_type(query: str) -> str:
    """`Patient?identifier=1`, `?identifier=1` and `identifier=1` are the same (rule R4)."""
    head, mark, rest = query.partition("?")
    return rest if mark and (not head or head.isalpha()) else query


def version_of(etag: str) -> int:
    """`W/"3"`, `"3"` and `3` are version 3; -1 for anything else."""
    text = etag.strip().removeprefix("W/").strip('"')
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _matches(if_none_match: str, version: int) -> bool:
    if if_none_match.strip() == "*":
        return version > 0
    return version_of(if_none_match) == version > 0


def protected(door: Door, type_: str, where: Pairs) -> Pairs:
    """Identifiers of a query as `protect` would have stored them, so that a site finds its own patients."""
    if door.protect is None:
        return where
    return [(n, _any_of(door.protect, type_, v) if n == "identifier" else v) for n, v in where]


def _any_of(protect: Protect, type_: str, value: str) -> str:
    return ",".join(_protected(protect, type_, part) for part in split(value, ","))


def _protected(protect: Protect, type_: str, token: str) -> str:
    """`system|value` with the value that is stored for it; without both there is nothing to protect."""
    parts = [unescaped(p) for p in split(token, "|")]
    if len(parts) != 2 or not all(parts):
        return token
    kept, _ = protect({"resourceType": type_, "identifier": [{"system": parts[0], "value": parts[1]}]})
    found = identifiers_of(kept)
    return "|".join(map(escaped, found[0])) if found else token
