"""pyright --verifytypes over the public API: every exported name of `masterkey` has a known type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    binaries = Path(sys.executable).parent
    here = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(binaries.parent)}
    command = [sys.executable, "-m", "pyright", "--verifytypes", "masterkey", "--ignoreexternal", "--outputjson"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | here)
    report = json.loads(run.stdout)["typeCompleteness"]
    exported = [s for s in report["symbols"] if s["isExported"]]
    unknown = [s for s in exported if not s["isTypeKnown"] and not s["isTypeAmbiguous"]]
    for symbol in unknown:
        print(f"{symbol['name']}: type not known: {'; '.join(d['message'] for d in symbol['diagnostics'][:1])}")
    print(f"{len(exported)} public names, {len(unknown)} of unknown type")
    return int(bool(unknown) or not exported)


if __name__ == "__main__":
    sys.exit(main())
