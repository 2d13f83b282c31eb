"""Search values of Observations: all R4 search parameter expressions, our closures against fhirpathpy.

Observations come from the Synthea bundles of the reference data when they are there, else a few are made.
Both engines compile once and evaluate the same expressions on the same resources in one run.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masterkey_fhir.definitions import search_parameters
from masterkey_fhir.fhirpath import compile
from masterkey_fhir.json import loads

SHARED = Path(os.environ.get("MASTERKEY_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
SIZE = 400
Evaluate = Callable[[dict[str, Any]], list[Any]]


def observations() -> list[dict[str, Any]]:
    found = [
        entry["resource"]
        for file in sorted((SHARED / "data" / "fhir" / "synthea").glob("*.json"))
        for entry in loads(file.read_bytes())["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    ]
    return (found or made())[:: max(len(found) // SIZE, 1)][:SIZE]


def made() -> list[dict[str, Any]]:
    base = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "category": [{"coding": [{"system": "urn:example:category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "urn:example:code", "code": "a"}], "text": "a"},
        "subject": {"reference": "Patient/p"},
        "encounter": {"reference": "Encounter/e"},
        "effectiveDateTime": "2020-02-03T10:00:00+09:00",
        "valueQuantity": {"value": 5, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
    }
    return [copy.deepcopy(base) | {"id": f"o{n}"} for n in range(SIZE)]


def expressions() -> list[str]:
    parameters = search_parameters("Observation").values()
    return [p.expression for p in parameters if p.expression and p.type != "composite"]


def peer(expression: str, resources: list[dict[str, Any]]) -> Evaluate | None:
    """None for what fhirpathpy can't evaluate on these resources (`resolve()`, `as` on several items)."""
    from fhirpathpy import compile as compile_peer
    from fhirpathpy.models import models

    run: Evaluate = compile_peer(expression, models["r4"])
    try:
        for resource in resources:
            run(resource)
    except Exception:  # noqa: BLE001  (whatever it raises, it is not measured on this expression)
        return None
    return run


def rate(runs: list[Evaluate], resources: list[dict[str, Any]], seconds: float) -> float:
    """Resources per second; at least one pass."""
    done, start = 0, time.process_time()
    while True:
        for resource in resources:
            for run in runs:
                run(resource)
        done += len(resources)
        spent = time.process_time() - start
        if spent >= seconds:
            return done / spent


def main() -> None:
    resources = observations()
    plain = [json.loads(json.dumps(r, default=float)) for r in resources[:: len(resources) // 60]]
    both = {e: (compile(e).bind("Observation"), p) for e in expressions() if (p := peer(e, plain)) is not None}
    pairs = list(both.values())
    differ = [e for e, (o, p) in both.items() if any(len(o(r)) != len(p(r)) for r in plain)]
    ours = rate([o for o, _ in pairs], resources, 3)
    theirs = rate([p for _, p in pairs], plain, 3)
    result = {
        "name": "FHIRPath: search values of Observations",
        "unit": "Observations/s",
        "ours": round(ours),
        "peer": round(theirs),
        "peer_name": "fhirpathpy",
        "ratio": round(ours / theirs, 1),
        "bar": ">= 20x",
        "note": f"{len(pairs)} of {len(expressions())} expressions (those the peer can evaluate), "
        f"{len(resources)} Observations; "
        f"the peer finds another number of values for {', '.join(differ) or 'none'}; "
        f"ours {len(pairs) * ours / 1000:.0f} thousand expressions/s",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
