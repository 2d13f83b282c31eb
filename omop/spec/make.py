"""Make `<version>/tables.csv` and `fields.csv` from OHDSI's CDM specification: the facts, none of its prose.

    python omop/spec/make.py OMOP_CDMv5.4_Table_Level.csv OMOP_CDMv5.4_Field_Level.csv omop/spec/5.4

Source: https://github.com/OHDSI/CommonDataModel inst/csv (Apache-2.0).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

TABLE_COLUMNS = ("table", "schema", "required", "concept_prefix")
FIELD_COLUMNS = ("table", "field", "type", "required", "key", "fk_table", "fk_field", "fk_domain", "fk_class")


def known(text: str) -> str:
    """OHDSI writes NA for "does not apply"; here that is the empty cell."""
    return "" if text == "NA" else text


def table_facts(row: dict[str, str]) -> tuple[str, ...]:
    return (row["cdmTableName"], row["schema"], row["isRequired"].lower(), known(row["conceptPrefix"]))


def field_facts(row: dict[str, str]) -> tuple[str, ...]:
    return (
        row["cdmTableName"],
        row["cdmFieldName"].strip('"'),  # note_nlp."offset" is written quoted
        row["cdmDatatype"].lower(),
        row["isRequired"].lower(),
        row["isPrimaryKey"].lower(),
        known(row["fkTableName"]).lower(),
        known(row["fkFieldName"]).lower(),
        known(row["fkDomain"]),
        known(row["fkClass"]),
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(tables: Path, fields: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write(out / "tables.csv", TABLE_COLUMNS, map(table_facts, read(tables)))
    write(out / "fields.csv", FIELD_COLUMNS, map(field_facts, read(fields)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
