"""What can't be rendered, translated or run, with its place in the text.

MasterkeyError
  OhdsiSqlError    the text is not OHDSI-SQL, or asks for what the dialect lacks
"""

from __future__ import annotations

from masterkey_fhir.issue import MasterkeyError, Place, issue


class OhdsiSqlError(MasterkeyError):
    """One finding at `line` and `column` (both from 1) of the text that was given."""

    def __init__(self, rule: str, line: int, column: int, what: str, instead: str) -> None:
        place = Place(expression=f"line {line}, column {column}")
        super().__init__(issue(f"omop.sql-{rule}", place, line=line, column=column, what=what, instead=instead))
        self.line, self.column, self.what, self.instead = line, column, what, instead

    def moved(self, line: int, column: int) -> OhdsiSqlError:
        """The same finding at another place: where rendered text came from."""
        rule = self.issues[0].rule.removeprefix("omop.sql-")
        return OhdsiSqlError(rule, line, column, self.what, self.instead)


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a character offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def offset_of(text: str, line: int, column: int) -> int:
    """The character offset of a line and column, both from 1; the inverse of `line_column`."""
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1
