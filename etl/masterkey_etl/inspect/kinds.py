"""What kind of file this is, by its first bytes: the name is never asked.

Signatures: zip `PK\\3\\4` (APPNOTE 4.3.7), gzip `1f 8b` (RFC 1952 2.3.1), OLE2 `d0 cf 11 e0` ([MS-CFB] 2.2);
`MSH` (HL7 v2.5 2.14.9), `##fileformat=VCF` (VCF 4.2 1.1), `Hugo_Symbol` (GDC MAF format).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEAD = 1 << 16  # bytes that decide


@dataclass(frozen=True, slots=True)
class Guess:
    """What something is taken for, how sure that is (0 to 1), and what speaks for it."""

    what: str
    confidence: float
    evidence: str

    def as_dict(self) -> dict[str, str | float]:
        return {"what": self.what, "confidence": round(self.confidence, 2), "evidence": self.evidence}

    def __str__(self) -> str:
        return f"{self.what} ({self.confidence:.0%}: {self.evidence})"


def container(head: bytes) -> Guess:
    """plain, gzip, zip, sheet (xlsx), old-sheet (xls)."""
    if head.startswith(b"PK\x03\x04"):
        if b"xl/" in head or b"[Content_Types].xml" in head[:200]:
            return Guess("xlsx", 0.95, "a zip whose first parts are those of a workbook")
        return Guess("zip", 1.0, "begins with the signature of a zip member")
    if head.startswith(b"\x1f\x8b"):
        return Guess("gzip", 1.0, "begins with the bytes 1f 8b")
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return Guess("xls", 0.9, "begins as an OLE2 compound file, as workbooks before 2007 do")
    return Guess("plain", 1.0, "no signature of a container")


def text_kind(text: str) -> Guess:
    """The kind of a text by its first characters; `delimited` when nothing else speaks."""
    start = text.lstrip("\ufeff \t\r\n")
    for look in (_hl7, _variants, _xml, _json):
        if found := look(start):
            return found
    return Guess("delimited", 0.6, "no marks of another kind")


def _hl7(start: str) -> Guess | None:
    found = re.match(r"(?:\x0b)?(MSH|FHS|BHS)([^A-Za-z0-9\s])", start)
    if not found:
        return None
    line = re.split(r"[\r\n]", start, maxsplit=1)[0].split(found[2])
    version = line[11] if found[1] == "MSH" and len(line) > 11 and re.fullmatch(r"2[0-9.^A-Z]*", line[11]) else ""
    said = f", version {version} in MSH-12" if version else ""
    return Guess("HL7 v2", 1.0, f"the first segment is {found[1]}, fields are parted by {found[2]}{said}")


def _variants(start: str) -> Guess | None:
    if start.startswith("##fileformat=VCF"):
        version = re.match(r"##fileformat=(VCFv[0-9.]+)", start)
        return Guess("VCF", 1.0, f"the first line names {version[1] if version else 'VCF'}")
    lines = [line for line in start.splitlines()[:20] if not line.startswith("#")]
    if lines and "Hugo_Symbol" in lines[0].split("\t"):
        return Guess("MAF", 0.95, "the header has Hugo_Symbol between tabs")
    return None


def _xml(start: str) -> Guess | None:
    if not start.startswith("<") or not (root := next(_roots(start), None)):
        return None
    name, namespace = root
    if namespace == "http://hl7.org/fhir":
        return Guess("FHIR XML", 1.0, f"the root {name} is of the namespace http://hl7.org/fhir")
    said = f", namespace {namespace}" if namespace else ""
    return Guess("XML", 0.95, f"the root element is {name[:60]}{said}")


def _roots(start: str) -> Iterator[tuple[str, str]]:
    """The first element's name and namespace."""
    for tag, attributes in re.findall(r"<([A-Za-z_][\w.:-]*)((?:\s[^<>]*)?)/?>", start):
        prefix, _, name = tag.rpartition(":")
        found = re.search(rf"xmlns{':' + re.escape(prefix) if prefix else ''}\s*=\s*[\"']([^\"']{{0,200}})", attributes)
        yield name, found[1] if found else ""


def _json(start: str) -> Guess | None:
    if start[:1] not in ("{", "["):
        return None
    lines = [line for line in start.splitlines() if line.strip()]
    if _several(lines):
        resources = all('"resourceType"' in line for line in lines[:2])
        return Guess("FHIR NDJSON" if resources else "NDJSON", 0.95, "each line is a JSON object of its own")
    bundle = re.search(r'"resourceType"\s*:\s*"([A-Za-z]{1,40})"', start)
    if bundle:
        kind = "FHIR bundle" if bundle[1] == "Bundle" else "FHIR resource"
        return Guess(kind, 0.95, f"a JSON object with resourceType {bundle[1]}")
    return Guess("JSON", 0.9 if _opens(start) else 0.6, f"begins with {start[0]} and a member of JSON")


def _several(lines: Sequence[str]) -> bool:
    if len(lines) < 2:
        return False
    try:
        return all(isinstance(json.loads(line), dict) for line in lines[:2])
    except (ValueError, RecursionError):
        return False


def _opens(start: str) -> bool:
    return bool(re.match(r'\{\s*(?:"|\})|\[\s*(?:[\[{"0-9tfn\]-])', start))
