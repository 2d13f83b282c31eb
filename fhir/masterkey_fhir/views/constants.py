"""ViewDefinition.constant: named values, one `value[x]` of a primitive type each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from masterkey_fhir.definitions import types
from masterkey_fhir.fhirpath.items import to_system
from masterkey_fhir.views.source import Source


@cache
def _values() -> Mapping[str, str]:
    """JSON name -> type, of the specification's ViewDefinition.constant.value[x]."""
    return {
        f"value{name[0].upper()}{name[1:]}": name
        for name, kind in types().items()
        if kind.kind == "primitive-type" and name not in ("markdown", "xhtml")
    }


def constants_of(source: Source) -> Mapping[str, Any]:
    out: dict[str, Any] = {}
    for place, entry in source.objects(source.view, "constant", ""):
        values = [k for k in entry if k in _values()]
        if not isinstance(entry.get("name"), str) or len(values) != 1:
            source.wrong("fhir.view-constant-value", place)
            continue
        convert = to_system(_values()[values[0]])
        value = entry[values[0]]
        out[entry["name"]] = convert(value) if convert else value
    return out
