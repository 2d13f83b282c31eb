"""Synthetic patients (MASTERKEY_BENCH_PATIENTS, 10,000) from files to FHIR, CDM, checks: time per stage, memory."""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from pathlib import Path

from masterkey_etl import loading, synth

PATIENTS = int(os.environ.get("MASTERKEY_BENCH_PATIENTS", "10000"))


def main() -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        cohort, workspace = Path(folder) / "cohort", Path(folder) / "workspace"
        start = time.perf_counter()
        synth.synth(cohort, patients=PATIENTS, seed=1)
        seconds = {"synth": time.perf_counter() - start}
        report = loading.load(workspace, [cohort])
        seconds |= report.seconds
        resources = sum(s.counts["created"] for s in report.stored)
        title = f"{PATIENTS:,} synthetic patients end to end: {resources:,} resources"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"stages": {"title": title, "seconds": seconds, "peak_mb": peak}}))
        rate = resources / sum(report.seconds.values())
        note = f"{PATIENTS:,} patients, exit code {report.exit_code}, peak {peak:,} MB"
        bar = "under 1,500 MB"
        print(json.dumps({"name": "load end to end", "unit": "resources/s", "ours": rate, "bar": bar, "note": note}))


if __name__ == "__main__":
    main()
