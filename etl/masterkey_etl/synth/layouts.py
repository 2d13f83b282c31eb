"""The layouts a cohort can be written in: name -> what writes the files of one site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Protocol

from masterkey_etl.synth import ccat_files, panels, registry
from masterkey_etl.synth.cohort import Patient
from masterkey_etl.synth.key import KeyWriter


class Files(Protocol):
    """The files of one site in one layout, written patient by patient."""

    def add(self, patient: Patient, identifiers: int) -> None:
        """`identifiers`: how many names or numbers to plant in this one."""

    def close(self) -> dict[str, int]:
        """Finish; rows by file."""
        ...


LAYOUTS: Mapping[str, Callable[[Path, str, Random, KeyWriter], Files]] = {
    "ccat": ccat_files.csv_files,
    "ccat_xlsx": ccat_files.xlsx_files,
    "redcap": registry.Redcap,
    "workbook": registry.Workbook,
    "cats": panels.Cats,
    "foundationone": panels.FoundationOne,
}

__all__ = ["LAYOUTS", "Files"]
