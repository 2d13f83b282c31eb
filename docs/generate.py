"""The generated pages of docs/: each from its one source. `--check` fails when a page is not what its source says."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


DATA_NOTICES = """
## Data in this repository that others published

- `fhir/definitions`: facts of hl7.fhir.r4.core 4.0.1 (CC0-1.0, HL7 International).
- `omop/spec`: facts of the OMOP CDM 5.4 specification (OHDSI/CommonDataModel, Apache-2.0); `bindings.csv` names the
  source of each row.
- `mappings/concepts`, `mappings/registry`: each row names its source. This material contains content from LOINC
  (loinc.org), copyright Regenstrief Institute, Inc. OncoTree codes and names: Memorial Sloan Kettering, CC BY 4.0.
  ICD-O-3 codes and names: World Health Organization, by way of imsweb/layout (BSD-style). NCI Thesaurus: National
  Cancer Institute. RxNorm: National Library of Medicine. SNOMED CT codes stay under their owner's terms.
- `mappings/sources/ccat_case`, `ccat_report`: column headings of the C-CAT secondary-use layout as in MANO-B/FELIS
  (MIT).
"""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    return "\n".join([line(header), "|" + "---|" * len(header), *map(line, rows)])


def registry_items() -> str:
    """From mappings/registry/items.csv."""
    with (ROOT / "mappings/registry/items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = [
        "# Registry items\n\nMade from `mappings/registry/items.csv` by `make docs`; the same list drives completeness.\n"
    ]
    for group in dict.fromkeys(r["group"] for r in rows):
        body = [
            [
                r["id"],
                r["meaning_en"],
                r["meaning_ja"],
                r["type"],
                r["obligation"],
                f"`{r['fhir_element']}`" if r["fhir_element"] else "",
                f"`{r['cdm_column']}`" if r["cdm_column"] else "",
            ]
            for r in rows
            if r["group"] == group
        ]
        parts.append(
            f"## {group}\n\n" + table(["item", "meaning", "意味", "type", "obligation", "FHIR", "CDM"], body) + "\n"
        )
    return "\n".join(parts)


def performance() -> str:
    """From tests/benchmarks/results.json, written by `make bench`."""
    results = json.loads((ROOT / "tests/benchmarks/results.json").read_text(encoding="utf-8"))
    head = f"# Performance\n\nMade from `tests/benchmarks/results.json` by `make bench`, {results['date']}, on {results['machine']}.\nEach row is one run, ours and the peer side by side in it.\n"
    rows = [
        [
            r["name"],
            f"{r['ours']:,.0f} {r['unit']}",
            f"{r['peer']:,.0f} {r['unit']} ({r['peer_name']})" if r.get("peer") else "",
            f"{r['ratio']:.1f}" if r.get("ratio") else "",
            r.get("bar", ""),
            r.get("note", ""),
        ]
        for r in results["benchmarks"]
    ]
    parts = [head, table(["work", "ours", "peer", "ratio", "bar", "note"], rows)]
    for stages in results["stages"]:
        parts.append(
            f"\n## {stages['title']}\n\n"
            + table(["stage", "seconds"], [[k, f"{v:,.1f}"] for k, v in stages["seconds"].items()])
            + f"\n\nPeak memory {stages['peak_mb']:,} MB.{stages.get('note', '')}"
        )
    return "\n".join(parts) + "\n"


def third_party() -> str:
    """From the pins and the licences the installed packages state."""
    rows = []
    for name in sorted(pinned()):
        try:
            found = metadata(name)
        except PackageNotFoundError:
            continue
        licence = (
            found.get("License-Expression")
            or found.get("License")
            or next(
                (c.split(" :: ")[-1] for c in found.get_all("Classifier") or [] if c.startswith("License")),
                "see package",
            )
        )
        rows.append([name, licence.splitlines()[0][:60]])
    head = "# Third-party notices\n\nWhat masterkey installs; licence texts lie in each package.\n\n"
    return head + table(["package", "licence"], rows) + "\n" + DATA_NOTICES


def pinned() -> set[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {line.split("==")[0] for line in lines if "==" in line and not line.startswith(" ")}


PAGES: dict[str, Callable[[], str]] = {
    "registry-items.md": registry_items,
    "performance.md": performance,
    "third-party.md": third_party,
}


def stale(name: str, text: str) -> bool:
    path = DOCS / name
    if not path.exists():
        return True
    here = path.read_text(encoding="utf-8")
    if name == "third-party.md":  # markers differ between Python versions: every package here must be listed
        return any(
            line not in here
            for line in text.splitlines()
            if line.startswith("| ") and line.split(" | ")[0] + " |" not in here
        )
    return here != text


def main() -> int:
    check = "--check" in sys.argv
    wrong = []
    for name, make in PAGES.items():
        text = make()
        if not check:
            (DOCS / name).write_text(text, encoding="utf-8")
        elif stale(name, text):
            wrong.append(name)
    for name in wrong:
        print(f"docs/{name} is not what its source says: run `make docs` and commit it")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
