"""FHIR -> OMOP CDM 5.4: incremental by patient, deterministic, published as generations.

The maps are `mappings/omop/*.yaml` (grammar: mappings/omop/README.md); `rows_for_patient` is the pure core.
"""

from __future__ import annotations

from masterkey_etl.project.maps import Maps, ProjectionMapError, load_maps
from masterkey_etl.project.rows import Context, rows_for_patient
from masterkey_etl.project.run import (
    BalanceRow,
    ProjectionResult,
    UnmappedRow,
    key_file,
    project,
    vocabulary_file,
)

__all__ = [
    "BalanceRow",
    "Context",
    "Maps",
    "ProjectionMapError",
    "ProjectionResult",
    "UnmappedRow",
    "key_file",
    "load_maps",
    "project",
    "rows_for_patient",
    "vocabulary_file",
]
