"""Base R4 checks and lossless JSON: an Observation of 0.8 kB and the Genomics Reporting examples, on one core.

The peer in the same run is fhir.resources (R4B), which parses, coerces and checks less.
"""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masterkey_fhir import r4
from masterkey_fhir.check import check_json
from masterkey_fhir.json import loads

SHARED = Path(os.environ.get("MASTERKEY_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
EXAMPLES = SHARED / "data" / "genomics" / "ig" / "hl7.fhir.uv.genomics-reporting-3.0.0.tgz"

OBSERVATION = json.dumps(
    {
        "resourceType": "Observation",
        "id": "7f4c1a52-0d6e-4a3b-9a55-3c1f0f7f9e21",
        "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/vitalsigns"]},
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "vital-signs",
                        "display": "vital-signs",
                    }
                ]
            }
        ],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "8302-2", "display": "Body Height"}],
            "text": "Body Height",
        },
        "subject": {"reference": "Patient/0123456789abcdef0123"},
        "encounter": {"reference": "Encounter/0123456789abcdef0123"},
        "effectiveDateTime": "2012-01-01T00:00:00+01:00",
        "issued": "2012-01-01T00:00:00.190+01:00",
        "valueQuantity": {"value": 166.5, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"},
    },
    separators=(",", ":"),
).encode()


def examples() -> list[bytes]:
    if not EXAMPLES.exists():
        return []
    with tarfile.open(EXAMPLES) as tar:
        streams = [tar.extractfile(m) for m in tar if "/example/" in m.name and ".index" not in m.name]
        return [s.read() for s in streams if s]


def rate(run: Callable[[bytes], Any], texts: list[bytes], seconds: float = 2) -> float:
    """Texts per CPU second, the best of several rounds."""
    best, spent = 0.0, 0.0
    rounds = max(1, 2000 // len(texts))
    while spent < seconds:
        start = time.process_time()
        for _ in range(rounds):
            for text in texts:
                run(text)
        took = time.process_time() - start
        spent += took
        best = max(best, rounds * len(texts) / took)
    return best


def peer(text: bytes) -> None:
    resource = json.loads(text)
    getattr(r4, resource["resourceType"]).model_validate(resource)


def line(name: str, texts: list[bytes], bar: str) -> None:
    ours, theirs = rate(check_json, texts), rate(peer, texts)
    size = sum(map(len, texts)) / len(texts) / 1000
    result = {
        "name": name,
        "unit": "resources/s",
        "ours": round(ours),
        "peer": round(theirs),
        "peer_name": "fhir.resources R4B",
        "ratio": round(ours / theirs, 1),
        "bar": bar,
        "note": f"mean {size:.1f} kB, JSON parsing included; parsing alone {rate(loads, texts):,.0f}/s",
    }
    print(json.dumps(result))


def main() -> None:
    line("base R4 check: Observation", [OBSERVATION], ">= 40,000/s")
    found = examples()
    if found:
        line("base R4 check: Genomics Reporting examples", found, "")


if __name__ == "__main__":
    main()
