"""`make bench`: every bench_*.py in its own process; their JSON lines into results.json.

A benchmark prints one JSON object a line: name, unit, ours, and where there is a peer in the same run peer,
peer_name, ratio; bar and note are texts. An object with "stages" is a table of an end-to-end run
(of 100,000 patients: MASTERKEY_BENCH_PATIENTS=100000 python tests/benchmarks/run.py bench_end_to_end, about an hour).
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = sum(line.startswith("processor") for line in lines)
    return f"{cores} cores of {model}, Python {platform.python_version()}"


def objects(script: Path) -> list[dict[str, Any]]:
    print(f"{script.stem} ...", file=sys.stderr, flush=True)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{script.name} failed:\n{run.stderr[-2000:]}")
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    for line in lines:
        print(line, file=sys.stderr)
    return [json.loads(line) for line in lines]


def main() -> int:
    wanted = sys.argv[1:]
    scripts = [s for s in sorted(HERE.glob("bench_*.py")) if not wanted or s.stem in wanted]
    path = HERE / "results.json"
    before = json.loads(path.read_text(encoding="utf-8")) if wanted and path.exists() else {}
    found = [o for script in scripts for o in objects(script)]
    named = {o["name"]: o for o in [*before.get("benchmarks", []), *(o for o in found if "stages" not in o)]}
    stages = {s["title"]: s for s in [*before.get("stages", []), *(o["stages"] for o in found if "stages" in o)]}
    results = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "benchmarks": list(named.values()),
        "stages": list(stages.values()),
    }
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
