"""Valid resources of others stay valid: no false alarm.

One official example is not valid R4, as HL7's own validator says too: medicationrequest0301 names a
Practitioner as performer of the dispense, where R4 4.0.1 allows an Organization only.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterkey_fhir import json
from masterkey_fhir.check import check, check_json

pytestmark = pytest.mark.shared

KNOWN = {
    "medicationrequest0301.json": [("fhir.reference-target", "MedicationRequest.dispenseRequest.performer.reference")]
}


def verdicts(texts: Iterator[tuple[str, bytes]]) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """How many were judged, and the Issues of those that have any."""
    found = {name: check_json(text)[1] for name, text in texts}
    return len(found), {n: [(i.rule, i.place.expression) for i in issues] for n, issues in found.items() if issues}


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((f.name, f.read_bytes()) for f in sorted(folder.rglob("*.json")))


def packaged(package: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(package) as tar:
        for member in tar:
            if member.name.startswith("package/example/") and not member.name.endswith(".index.json"):
                stream = tar.extractfile(member)
                assert stream is not None
                yield member.name, stream.read()


def test_official_examples(shared: Path) -> None:
    assert verdicts(files(shared / "data/fhir/r4-examples")) == (69, KNOWN)


def test_philippine_core(shared: Path) -> None:
    assert verdicts(files(shared / "data/fhir/ph-core")) == (43, {})


def test_mcode_instances(shared: Path) -> None:
    count, found = verdicts(files(shared / "data/fhir/mcode"))
    assert (count > 0, found) == (True, {})


@pytest.mark.parametrize(
    ("package", "count"), [("hl7.fhir.uv.genomics-reporting-3.0.0", 204), ("hl7.fhir.us.mcode-4.0.0", 179)]
)
def test_examples_of_the_guides(shared: Path, package: str, count: int) -> None:
    assert verdicts(packaged(shared / f"data/genomics/ig/{package}.tgz")) == (count, {})


def test_synthea_as_bundles_and_one_by_one(shared: Path) -> None:
    judged = 0
    for _, text in files(shared / "data/fhir/synthea"):
        bundle, found = check_json(text)
        assert bundle is not None and found == []
        for entry in bundle["entry"]:
            assert check(entry["resource"]) == []
            judged += 1
    assert judged == 6143


def test_a_japanese_patient_graph(shared: Path) -> None:
    lines = [line for f in (shared / "data/fhir/clinosim-jp").glob("*.ndjson") for line in f.read_bytes().splitlines()]
    assert len(lines) == 22
    assert [check(json.loads(line)) for line in lines] == [[]] * 22


def numbers(text: bytes) -> list[bytes]:
    """The number tokens outside strings, in order."""
    return re.findall(rb"-?\d[\d.eE+-]*", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", text))


def test_every_number_of_the_examples_is_written_back_digit_for_digit(shared: Path) -> None:
    seen = 0
    for name, text in files(shared / "data/fhir/r4-examples"):
        assert numbers(json.dumps(json.loads(text))) == numbers(text), name
        seen += sum(b"." in n or b"e" in n.lower() for n in numbers(text))
    assert seen == 40
