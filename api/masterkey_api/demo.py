"""`make demo`: the main job on a synthetic cohort, embedded stores only; a second run changes nothing.

load -> FHIR -> CDM -> quality report, then one bundle posted to the running server, one OHDSI-SQL question,
one Great Expectations suite.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from masterkey_api import cli

PATIENTS = 120
QUESTION = (
    "SELECT TOP 5 c.condition_source_value AS oncotree, COUNT(DISTINCT c.person_id) AS patients, "
    "COUNT(DISTINCT d.person_id) AS died FROM condition_occurrence c LEFT JOIN death d ON d.person_id = c.person_id "
    "GROUP BY c.condition_source_value ORDER BY patients DESC, oncotree"
)


def step(title: str) -> None:
    print(f"\n== {title}", flush=True)


def run(*words: str) -> int:
    print(f"$ masterkey {shlex.join(words)}", flush=True)
    return cli.main(words)


@contextmanager
def server(site: str) -> Iterator[str]:
    """A real `masterkey serve --open` on a free port; its base URL."""
    command = [sys.executable, "-m", "masterkey_api", "serve", "--open", "--port", "0", "--site", site]
    print(f"$ masterkey {' '.join(command[3:])}", flush=True)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            assert process.stdout is not None
            line = next((text for text in process.stdout if "http://" in text), "")
            if not line:
                raise SystemExit("the server did not start")
            yield "http://" + line.split("http://")[1].split()[0].rstrip("/")
        finally:
            process.terminate()


def post_example(base: str, bundle: Path) -> None:
    """One transaction, then the same bytes again: the second changes nothing."""
    body = bundle.read_bytes()
    for attempt in ("first", "again"):
        answer = httpx.post(base, content=body, headers={"Content-Type": "application/fhir+json"}, timeout=60)
        said = [e["response"]["status"] for e in answer.json().get("entry", [])]
        print(f"POST {bundle.name} ({attempt}): {answer.status_code}, entries {', '.join(said)}")
        if answer.status_code != httpx.codes.OK:
            raise SystemExit(json.dumps(answer.json(), indent=1, ensure_ascii=False))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("demo-data"))
    data: Path = parser.parse_args().data
    started = time.monotonic()
    cohort, workspace = data / "cohort", data / "workspace"
    os.environ["MASTERKEY_DATA"] = str(workspace)
    step("a synthetic cohort in the layout of a real export, with its dirt")
    run("synth", str(cohort), "--patients", str(PATIENTS), "--seed", "7", "--identifiers", "40")
    step("the whole road: file -> FHIR -> CDM, every value accounted for")
    if run("load", str(cohort)) == 2:
        return 2
    step("a bundle from a hospital system reaches the CDM")
    with server("jp_ncch") as base:
        post_example(base, cohort / "example-bundle.json")
    step("a question in OHDSI-SQL")
    if run("sql", "run", QUESTION):
        return 2
    step("the checks: own runner, then the same rows as a Great Expectations suite")
    run("quality", "run")
    run("quality", "run", "--runner", "gx")
    step("the report")
    if run("quality", "report"):
        return 2
    print(f"\nDone in {time.monotonic() - started:.0f} s. Open {workspace}/reports/report.html; then")
    print(f"  masterkey --data {workspace} explain condition_occurrence:1   # from a CDM row back to its cell")
    print(f"  masterkey --data {workspace} issues list                      # what is open, and the remedy")
    print(f"  masterkey --data {workspace} serve --open                     # the FHIR API")
    return 0


if __name__ == "__main__":
    sys.exit(main())
