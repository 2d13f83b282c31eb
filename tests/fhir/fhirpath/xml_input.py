"""FHIR XML to FHIR JSON by the R4 type model (http://hl7.org/fhir/R4/xml.html): for test inputs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from decimal import Decimal
from pathlib import Path
from typing import Any

from masterkey_fhir.definitions import types

_FHIR = "{http://hl7.org/fhir}"
_XHTML = "{http://www.w3.org/1999/xhtml}"


def read(file: Path) -> dict[str, Any]:
    root = ElementTree.parse(file).getroot()
    name = root.tag.removeprefix(_FHIR)
    return {"resourceType": name, **_members(root, name)}


def _members(node: ElementTree.Element, kind: str) -> dict[str, Any]:
    out: dict[str, Any] = {k: v for k, v in node.attrib.items() if k in ("id", "url")}
    for child in node:
        _add(out, child, *_element(kind, child.tag))
    return out


def _element(kind: str, tag: str) -> tuple[str, str, bool]:
    """JSON member, its type, whether it is an array."""
    name = tag.removeprefix(_FHIR).removeprefix(_XHTML)
    for element in types()[kind].elements.values():
        found = element.json_names().get(name)
        if found is not None:
            return name, found, element.is_list
    raise ValueError(f"{kind} has no element {name}")


def _add(out: dict[str, Any], node: ElementTree.Element, name: str, kind: str, is_list: bool) -> None:
    if kind == "Resource":
        inner = node[0].tag.removeprefix(_FHIR)
        value, extra = {"resourceType": inner, **_members(node[0], inner)}, None
    elif kind == "xhtml":
        value, extra = ElementTree.tostring(node, encoding="unicode"), None
    elif types()[kind].kind == "primitive-type":
        value, extra = _primitive(node, kind)
    else:
        value, extra = _members(node, kind), None
    if not is_list:
        out |= {k: v for k, v in ((name, value), (f"_{name}", extra)) if v is not None}
        return
    out.setdefault(name, []).append(value)
    if extra is not None:
        out.setdefault(f"_{name}", [None] * (len(out[name]) - 1)).append(extra)


def _primitive(node: ElementTree.Element, kind: str) -> tuple[Any, Any]:
    text = node.get("value")
    convert: Any = {"boolean": "true".__eq__, "decimal": Decimal}.get(kind, str)
    if types()[kind].system == "Integer":
        convert = int
    extra = {**({"id": node.attrib["id"]} if "id" in node.attrib else {}), **_members(node, kind)}
    return (None if text is None else convert(text)), extra or None
