"""masterkey: hospital exports to FHIR R4 and OMOP CDM 5.4, with an account of every value.

    import masterkey
    report = masterkey.load("cohort", data="masterkey-data")
    masterkey.connect("masterkey-data").sql("SELECT TOP 5 * FROM person").frame()

Heavy packages are imported when a function needs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masterkey_etl.loading import LoadReport
    from masterkey_fhir.issue import Issue
    from masterkey_fhir.views.run import ViewResult
    from masterkey_omop.ohdsi_sql import Result

__all__ = ["Connection", "__version__", "connect", "load", "validate", "view"]
__version__ = "0.1.0"

DEFAULT_DATA = "./masterkey-data"


def load(*paths: str | Path, data: str | Path = DEFAULT_DATA, site: str | None = None) -> LoadReport:
    """Load files or folders on the whole road; what came in, what became of it, what is open.

    Raises MasterkeyError when the workspace or the site is not usable.
    """
    from masterkey_etl import loading

    return loading.load(Path(data), [Path(p) for p in paths], site=site)


def validate(resource: Mapping[str, Any]) -> list[Issue]:
    """What the base rules of R4 4.0.1 say about one parsed resource; empty when nothing."""
    from masterkey_fhir.check import check

    return check(dict(resource))


def view(definition: Mapping[str, Any] | str | Path, inputs: Sequence[str | Path]) -> ViewResult:
    """A SQL-on-FHIR v2 ViewDefinition over JSON, NDJSON or Bundle files."""
    from masterkey_fhir import views

    given = dict(definition) if isinstance(definition, Mapping) else Path(definition)
    return views.run(given, [Path(p) for p in inputs])


class Connection:
    """The published CDM of a workspace, read only; each query sees the newest generation."""

    def __init__(self, data: str | Path = DEFAULT_DATA) -> None:
        self.data = Path(data)

    def sql(self, query: str, params: Mapping[str, Any] | None = None) -> Result:
        """OHDSI-SQL; `.columns`, `.rows`, `.frame()` (pandas). Raises OhdsiSqlError with line and column."""
        from masterkey_etl import assessment

        return assessment.query(self.data, query, params)


def connect(data: str | Path = DEFAULT_DATA) -> Connection:
    """The CDM of the workspace `data`."""
    return Connection(data)
