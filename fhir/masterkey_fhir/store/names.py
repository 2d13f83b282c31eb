"""Small integers for words, allocated inside the write transaction, deterministic on every database."""

from __future__ import annotations

from sqlalchemy import Connection, Table, bindparam, func, insert, select

from masterkey_fhir.store import schema

Known = dict[tuple[str, str], int]  # (table, word) -> integer


class Names:
    """word -> integer per table of words; new words get max + 1. Lives as long as one transaction.

    `committed` is what earlier transactions of this process found: words never change, so it may be shared.
    """

    def __init__(self, connection: Connection, committed: Known) -> None:
        self._db = connection
        self._committed = committed
        self._known = dict(committed)

    def save(self) -> None:
        """After the commit: share what was found."""
        self._committed.update(self._known)

    def site(self, name: str) -> int:
        return self._key(schema.site, name)

    def type(self, name: str) -> int:
        return self._key(schema.resource_type, name)

    def term(self, name: str) -> int:
        return self._key(schema.term, name)

    def system(self, uri: str) -> int:
        """0 for no system."""
        return self._key(schema.system, uri) if uri else 0

    def _key(self, table: Table, name: str) -> int:
        found = self._known.get((table.name, name))
        if found is None:
            found = self._known[table.name, name] = self._find(table, name) or self._add(table, name)
        return found

    def _find(self, table: Table, name: str) -> int | None:
        return self._db.scalar(_FIND[table.name], {"name": name})

    def _add(self, table: Table, name: str) -> int:
        key = (self._db.scalar(select(func.max(table.c.key))) or 0) + 1
        self._db.execute(insert(table).values(key=key, name=name))
        return key


class KnownNames(Names):
    """For reading: a word that nobody wrote has key 0, which nothing has."""

    def _add(self, table: Table, name: str) -> int:
        return 0


_FIND = {
    t.name: select(t.c.key).where(t.c.name == bindparam("name"))
    for t in (schema.site, schema.resource_type, schema.term, schema.system)
}


class Counters:
    """Running numbers kept in table `counter`: read once, written back once at the end."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        rows = connection.exec_driver_sql("SELECT name, value FROM counter")
        self._start: dict[str, int] = {str(name): int(value) for name, value in rows}
        self._now = dict(self._start)

    def next(self, name: str) -> int:
        value = self._now[name] = self._now.get(name, 0) + 1
        return value

    def take(self, name: str, n: int) -> int:
        """The number before the next `n` ones, which are the caller's from now on."""
        before = self._now.get(name, 0)
        self._now[name] = before + n
        return before

    def save(self) -> None:
        mark = "?" if self._db.dialect.paramstyle == "qmark" else "%s"
        new = [(v, n) for n, v in sorted(self._now.items()) if n not in self._start]
        moved = [(v, n) for n, v in self._now.items() if n in self._start and self._start[n] != v]
        if new:
            self._db.exec_driver_sql(f"INSERT INTO counter (value, name) VALUES ({mark}, {mark})", new)
        if moved:
            self._db.exec_driver_sql(f"UPDATE counter SET value={mark} WHERE name={mark}", moved)
