"""Which element paths a ViewDefinition reads: so that what no map lists is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from masterkey_fhir.fhirpath import parse, tree


def read_by(definition: Mapping[str, Any]) -> frozenset[str]:
    """The paths of a ViewDefinition's columns and conditions, as `census.paths_of` writes them."""
    used: set[str] = set()
    for condition in definition.get("where", []):
        used.update(_follow(str(condition["path"]), "", used))
    for select in definition.get("select", []):
        _select(select, "", used)
    return frozenset(p for p in used if p)


def _select(select: Mapping[str, Any], base: str, used: set[str]) -> None:
    each = select.get("forEach") or select.get("forEachOrNull")
    bases = list(_follow(str(each), base, used)) if each else [base]
    for inner in bases:
        for column in select.get("column", []):
            used.update(_follow(str(column["path"]), inner, used))
        for nested in [*select.get("select", []), *select.get("unionAll", [])]:
            _select(nested, inner, used)


def _follow(text: str, base: str, used: set[str]) -> Iterator[str]:
    return _paths(parse(text), base, used)


def _paths(node: tree.Node, base: str, used: set[str]) -> Iterator[str]:
    """The paths a node yields, seen from `base`; what its conditions read goes into `used`."""
    match node:
        case tree.Name(name=name):
            yield _join(base, name)
        case tree.Variable():
            yield base
        case tree.Member(of=of, name=name):
            for path in _paths(of, base, used):
                yield _join(path, name)
        case tree.Index(of=of):
            yield from _paths(of, base, used)
        case tree.Call():
            yield from _call(node, base, used)
        case tree.Unary(operand=operand) | tree.TypeTest(operand=operand):
            yield from _paths(operand, base, used)
        case tree.Binary(left=left, right=right):
            yield from _paths(left, base, used)
            yield from _paths(right, base, used)


def _call(node: tree.Call, base: str, used: set[str]) -> Iterator[str]:
    for path in [base] if node.of is None else list(_paths(node.of, base, used)):
        if node.name == "ofType":
            yield path + _type_name(node.args[0])
        elif node.name == "extension":
            yield f"{path}.extension({_text(node.args[0])})" if path else f"extension({_text(node.args[0])})"
        elif node.name in ("getResourceKey", "getReferenceKey"):
            yield _join(path, "id" if node.name == "getResourceKey" else "reference")
        elif node.name in ("where", "exists", "all", "select", "iif"):
            yield from _conditions(node, path, used)
        else:
            yield path


def _conditions(node: tree.Call, path: str, used: set[str]) -> Iterator[str]:
    inside = [p for argument in node.args for p in _paths(argument, path, used)]
    if node.name in ("select", "iif"):
        yield from inside
    else:
        used.update(inside)
        yield path


def _type_name(node: tree.Node) -> str:
    """`ofType(Quantity)` and `ofType(FHIR.Quantity)` -> Quantity, as JSON writes it after `value`."""
    name = node.name if isinstance(node, tree.Name | tree.Member) else ""
    return name[:1].upper() + name[1:]


def _text(node: tree.Node) -> str:
    return str(node.value) if isinstance(node, tree.Literal) else ""


def _join(base: str, name: str) -> str:
    if not base:
        return "" if name[:1].isupper() else name  # a type name at the root is the resource itself
    return f"{base}.{name}"
