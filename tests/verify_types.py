"""pyright --verifytypes over the public packages: every exported name has a known type."""

from __future__ import annotations

import json
import subprocess
import sys

PACKAGES = (
    "masterkey",
    "masterkey_fhir",
    "masterkey_omop",
    "masterkey_validation",
    "masterkey_etl",
    "masterkey_api",
)


def main() -> int:
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--verifytypes",
        "masterkey",
        "--ignoreexternal",
        "--outputjson",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(run.stdout)["typeCompleteness"]
    unknown = [s for s in report["symbols"] if s["isExported"] and not s["isTypeKnown"]]
    for symbol in unknown:
        print(
            f"{symbol['name']}: type not known: {'; '.join(d['message'] for d in symbol['diagnostics'][:1])}"
        )
    print(f"public names with a known type: {report['completenessScore']:.1%}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
