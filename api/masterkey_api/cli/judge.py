"""`masterkey validate`: files of resources, one verdict each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from masterkey_fhir.check import check, check_json
from masterkey_fhir.issue import Issue, Place, issue, outcome


def resources(path: Path) -> Iterator[tuple[Place, str]]:
    """(place, text) for each resource of a JSON or NDJSON file; NDJSON when the name says so."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() != ".ndjson":
        yield Place(file=path.name), text
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield Place(file=path.name, row=number), line


def judge(place: Place, text: str) -> list[Issue]:
    parsed, issues = check_json(text)
    found = [i if str(i.place) else i.at(file=place.file, row=place.row) for i in issues]
    return found + (check(parsed, place=place) if parsed is not None else [])


def judge_files(paths: Sequence[Path], as_json: bool) -> int:
    """Print the verdicts; 1 when one has errors, 2 when nothing could be read."""
    judged = wrong = 0
    for path in paths:
        try:
            items = list(resources(path))
        except (OSError, UnicodeDecodeError) as error:
            print(issue("api.file-unreadable", Place(file=path.name), reason=type(error).__name__))
            continue
        for place, text in items:
            judged += 1
            found = judge(place, text)
            wrong += any(i.is_error for i in found)
            if as_json:
                print(json.dumps(outcome(found), ensure_ascii=False))
            else:
                for i in found:
                    print(f"{i.severity}: {i}")
    if not as_json:
        print(f"{judged:,} judged, {wrong:,} with errors")
    return 2 if not judged else int(wrong > 0)
