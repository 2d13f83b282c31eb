"""The JSON names of a type's elements: http://hl7.org/fhir/R4/json.html."""

from __future__ import annotations

from typing import NamedTuple

from masterkey_fhir.definitions import Element, TypeDef, types


class Member(NamedTuple):
    """One JSON name of an element: `valueQuantity` of `value[x]`, `_status` of `status`."""

    json: str
    element: Element
    type: str
    is_sibling: bool  # carries id and extensions of a primitive: http://hl7.org/fhir/R4/json.html#primitive

    @property
    def path(self) -> str:
        return "." + self.element.name.removesuffix("[x]")


def members(definition: TypeDef) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for element in definition.elements.values():
        for name, kind in element.json_names().items():
            found[name] = Member(name, element, kind, False)
            if _has_sibling(definition, element, kind):
                found["_" + name] = Member("_" + name, element, kind, True)
    if definition.kind == "resource":
        found["resourceType"] = Member("resourceType", _RESOURCE_TYPE, "", False)
    return found


_RESOURCE_TYPE = Element("resourceType", ("",), 0, 1, False)


def _has_sibling(definition: TypeDef, element: Element, kind: str) -> bool:
    """Not Element.id, Extension.url and xhtml: in XML they are attributes, or markup."""
    if types()[kind].kind != "primitive-type" or kind == "xhtml":
        return False
    attribute = element.name == "id" and definition.kind != "resource"
    return not (attribute or (definition.name == "Extension" and element.name == "url"))
