"""Compile the R4 core package into the tables of this folder: facts only, no human texts.

    python fhir/definitions/compile.py hl7.fhir.r4.core-4.0.1.tgz [OUT]

Reads StructureDefinition, ValueSet, CodeSystem, SearchParameter and CompartmentDefinition out of a FHIR
package (https://confluence.hl7.org/display/FHIR/NPM+Package+Specification) and writes `types.json`,
`valuesets.json` and `search.json`, one line per entry and sorted, so that the same package always gives the
same bytes. `masterkey_fhir.definitions` reads them; this script is not shipped code.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
SD = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = SD + "structuredefinition-fhir-type"
REGEX = SD + "regex"
CEILING = SD + "elementdefinition-maxValueSet"
SYSTEM = "http://hl7.org/fhirpath/System."


def main(package: str, out: str = str(Path(__file__).parent / "r4")) -> None:
    resources = read(Path(package))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    types = compile_types(resources)
    write(folder / "types.json", types)
    write(folder / "valuesets.json", compile_value_sets(resources, types["types"]))
    write(folder / "search.json", compile_search(resources, types["types"]))


def read(package: Path) -> list[Json]:
    """Every definition of the package, in the order of its file names."""
    wanted = ("StructureDefinition", "ValueSet", "CodeSystem", "SearchParameter", "CompartmentDefinition")
    with tarfile.open(package) as tar:
        members = sorted(
            (m for m in tar if m.name.startswith("package/") and m.name.count("/") == 1), key=lambda m: m.name
        )
        return [
            json.loads(stream.read())
            for m in members
            if m.name[len("package/") :].startswith(wanted) and (stream := tar.extractfile(m))
        ]


def write(path: Path, sections: Json) -> None:
    """JSON with one entry per line: a change of the package reads well in a diff."""
    body = ",\n".join(f"{_json(name)}: {_lines(entries)}" for name, entries in sorted(sections.items()))
    path.write_text("{\n" + body + "\n}\n", encoding="utf-8")


def _lines(entries: Any) -> str:
    if isinstance(entries, list):
        return "[\n" + ",\n".join(map(_json, entries)) + "\n]"
    return "{\n" + ",\n".join(f"{_json(k)}: {_json(v)}" for k, v in sorted(entries.items())) + "\n}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- types ---------------------------------------------------------------------------------------------


def compile_types(resources: list[Json]) -> Json:
    """Types by specialization only: 440 profiles carry the type of their base and would replace it."""
    definitions = [r for r in resources if is_type(r)]
    roots = {d["type"]: own_keys(d["snapshot"]["element"][0]) for d in definitions}
    pool = Pool()
    types: Json = {}
    for definition in definitions:
        types.update(compile_type(definition, roots, pool))
    return {"types": {name: as_delta(t, types) for name, t in types.items()}, "constraints": pool.entries}


def is_type(resource: Json) -> bool:
    """Not the logical models (FiveWs, Event, Request, Definition, MetadataResource): no instance has them."""
    return (
        resource["resourceType"] == "StructureDefinition"
        and resource["kind"] != "logical"
        and (resource.get("derivation") == "specialization" or "baseDefinition" not in resource)
    )


class Pool:
    """Distinct (key, severity, expression): a key alone is no identity, `inv-1` has five meanings in core."""

    def __init__(self) -> None:
        self.entries: list[list[str]] = []
        self._index: dict[tuple[str, ...], int] = {}

    def add(self, constraint: Json) -> int:
        entry = _constraint(constraint)
        if entry not in self._index:
            self._index[entry] = len(self.entries)
            self.entries.append(list(entry))
        return self._index[entry]


def _constraint(constraint: Json) -> tuple[str, str, str]:
    return constraint["key"], constraint["severity"], constraint.get("expression", "")


def own_keys(element: Json) -> set[tuple[str, str, str]]:
    return {_constraint(c) for c in element.get("constraint", ())}


def compile_type(definition: Json, roots: dict[str, set[tuple[str, str, str]]], pool: Pool) -> Json:
    """The type and its backbones, each with the elements directly below it."""
    elements = definition["snapshot"]["element"]
    name = definition["type"]
    base = definition.get("baseDefinition", "").removeprefix(SD)
    parents = {name: elements[0]} | {e["path"]: e for e in elements if is_backbone(e, elements)}
    out: Json = {}
    for path, root in parents.items():
        children = [e for e in elements if e["path"].rpartition(".")[0] == path]
        backbone = path != name
        above = root["type"][0]["code"] if backbone else base
        inherited = roots.get(above, set())
        out[path] = drop_defaults(
            kind="backbone" if backbone else definition["kind"],
            base=above or None,
            abstract=not backbone and definition["abstract"],
            constraints=[pool.add(c) for c in root.get("constraint", ()) if _constraint(c) not in inherited],
            **primitive_facts(definition, children),
            elements=[compile_element(e, path, parents, roots, pool) for e in children if in_json(e, definition)],
        )
    return out


def is_backbone(element: Json, elements: list[Json]) -> bool:
    path = element["path"]
    return "." in path and any(e["path"].startswith(path + ".") for e in elements)


def in_json(element: Json, definition: Json) -> bool:
    """The `value` of a primitive is the JSON value itself, no member."""
    return not (definition["kind"] == "primitive-type" and element["path"].endswith(".value"))


def primitive_facts(definition: Json, children: list[Json]) -> Json:
    """FHIRPath system type and regex of a primitive (http://hl7.org/fhir/R4/datatypes.html#primitive)."""
    value = next((e for e in children if e["path"] == definition["type"] + ".value"), None)
    if definition["kind"] != "primitive-type" or value is None:
        return {}
    kind = value["type"][0]
    pattern = extension(kind, REGEX, "valueString")
    return {"pattern": pattern, "system": kind["code"].removeprefix(SYSTEM)}


def extension(node: Json, url: str, member: str) -> Any:
    return next((x[member] for x in node.get("extension", ()) if x["url"] == url), None)


def compile_element(
    element: Json, parent: str, parents: Json, roots: dict[str, set[tuple[str, str, str]]], pool: Pool
) -> Json:
    path = element["path"]
    types = element_types(element, parents)
    inherited = set().union(*(roots.get(t, roots["BackboneElement"]) for t in types))
    binding = element.get("binding") or {}
    return drop_defaults(
        name=path.removeprefix(parent + "."),
        types=types,
        min=element["min"],
        max=None if element["max"] == "*" else int(element["max"]),
        # Array-ness is the base's: a list that this type limits to one stays a JSON array.
        list=element["base"]["max"] not in ("0", "1"),
        targets=profiles(element, "targetProfile"),
        profiles=profiles(element, "profile"),
        binding=[binding["strength"], plain(binding["valueSet"])] if "valueSet" in binding else None,
        ceiling=plain(extension(binding, CEILING, "valueCanonical") or "") or None,
        # The constraints of a backbone belong to its type; those of the element's type are not repeated.
        constraints=[]
        if path in parents
        else [pool.add(c) for c in element.get("constraint", ()) if _constraint(c) not in inherited],
        summary=element.get("isSummary", False),
        modifier=element.get("isModifier", False),
    )


def element_types(element: Json, parents: Json) -> list[str]:
    if "contentReference" in element:  # http://hl7.org/fhir/R4/elementdefinition-definitions.html
        return [element["contentReference"].removeprefix("#")]
    path = element["path"]
    if path in parents:
        return [path]
    if element["base"]["path"] == "Resource.id":
        return ["id"]  # published as System.String; http://hl7.org/fhir/R4/resource.html#id says id
    return [fhir_type(t) for t in element.get("type", ())]


def fhir_type(kind: Json) -> str:
    code: str = kind["code"]
    if not code.startswith(SYSTEM):
        return code
    return extension(kind, FHIR_TYPE, "valueUrl") or code.removeprefix(SYSTEM).lower()


def profiles(element: Json, member: str) -> list[str]:
    found = dict.fromkeys(p.removeprefix(SD) for t in element.get("type", ()) for p in t.get(member, ()))
    return [] if "Resource" in found else list(found)


def plain(canonical: str) -> str:
    """A canonical without its version."""
    return canonical.partition("|")[0]


DEFAULTS: Json = {"min": 0, "max": 1}


def drop_defaults(**entry: Any) -> Json:
    kept = {k: v for k, v in entry.items() if k in DEFAULTS or v not in (None, [], False)}
    return {k: v for k, v in kept.items() if not (k in DEFAULTS and v == DEFAULTS[k])}


def as_delta(entry: Json, types: Json) -> Json:
    """An element equal to the base's element of that name is written as its bare name."""
    inherited = elements_of(entry.get("base"), types)
    short = [e["name"] if inherited.get(e["name"]) == e else e for e in entry.get("elements", ())]
    return entry | {"elements": short}


def elements_of(name: str | None, types: Json) -> Json:
    return {e["name"]: e for e in types[name]["elements"]} if name in types else {}


# --- value sets ----------------------------------------------------------------------------------------


def compile_value_sets(resources: list[Json], types: Json) -> Json:
    """Members of every bound value set that the package alone expands completely.

    valuesets: url -> {system: [codes] | true}; true = the whole code system, listed once under systems.
    """
    terms = Terms(resources)
    valuesets: Json = {}
    for url in sorted(bound(types)):
        expansion = terms.expand(url)
        if expansion is not None:
            valuesets[url] = {s: terms.shorten(s, codes) for s, codes in sorted(expansion.items())}
    whole = {s for v in valuesets.values() for s, codes in v.items() if codes is True}
    systems = {s: list(terms.codes(s) or ()) for s in sorted(whole)}
    return {"valuesets": valuesets, "systems": systems}


def bound(types: Json) -> set[str]:
    """Value sets of required and extensible bindings and of required upper bounds."""
    elements = [e for t in types.values() for e in t["elements"] if isinstance(e, dict)]
    strong = {e["binding"][1] for e in elements if e.get("binding", "?")[0] in ("required", "extensible")}
    return strong | {e["ceiling"] for e in elements if "ceiling" in e}


Expansion = dict[str, dict[str, None]]  # system -> codes in order


class Terms:
    """Expansion from the package's own code systems; None when a part of a set can't be decided from them."""

    def __init__(self, resources: list[Json]) -> None:
        self.systems = {r["url"]: r for r in resources if r["resourceType"] == "CodeSystem"}
        self.sets = {r["url"]: r for r in resources if r["resourceType"] == "ValueSet"}

    def expand(self, url: str) -> Expansion | None:
        compose = self.sets.get(plain(url), {}).get("compose")
        if compose is None:
            return None
        parts = [self.part(p) for p in compose["include"]]
        minus = [self.part(p) for p in compose.get("exclude", ())]
        if any(p is None for p in parts + minus):
            return None
        return subtract(union(p for p in parts if p is not None), union(p for p in minus if p is not None))

    def part(self, part: Json) -> Expansion | None:
        """One include or exclude: a system narrowed by each value set it names."""
        sets = [self.expand(u) for u in part.get("valueSet", ())]
        own = self.of_system(part) if "system" in part else None
        if any(s is None for s in sets) or ("system" in part and own is None):
            return None
        found = [s for s in [own, *sets] if s is not None]
        return intersect(found)

    def of_system(self, part: Json) -> Expansion | None:
        system = part["system"]
        if "concept" in part:
            return {system: {c["code"]: None for c in part["concept"]}}
        codes = self.codes(system)
        for test in part.get("filter", ()):
            codes = None if codes is None else self.filtered(system, codes, test)
        return None if codes is None else {system: dict.fromkeys(codes)}

    def codes(self, system: str) -> list[str] | None:
        """All codes of a system; None unless the package holds it completely."""
        found = self.systems.get(system)
        if found is None or found["content"] != "complete":
            return None
        return [c["code"] for c, _ in walk(found.get("concept", ()))]

    def filtered(self, system: str, codes: list[str], test: Json) -> list[str] | None:
        rule = FILTERS.get((test["property"], test["op"]))
        if rule is None:
            return None
        hit = rule(self.systems[system], test["value"])
        return [c for c in codes if c in hit]

    def shorten(self, system: str, codes: dict[str, None]) -> list[str] | bool:
        return True if list(codes) == self.codes(system) else list(codes)


def walk(concepts: Iterable[Json], above: tuple[str, ...] = ()) -> Iterator[tuple[Json, tuple[str, ...]]]:
    """Every concept with its ancestors by nesting."""
    for concept in concepts:
        yield concept, above
        yield from walk(concept.get("concept", ()), (*above, concept["code"]))


def descendants(system: Json, code: str) -> set[str]:
    """Below `code`, by nesting and by the v3 systems' `subsumedBy` property."""
    parents: dict[str, set[str]] = {}
    for concept, above in walk(system.get("concept", ())):
        stated = {p["valueCode"] for p in concept.get("property", ()) if p["code"] == "subsumedBy"}
        parents.setdefault(concept["code"], set()).update(above, stated)
    found: set[str] = set()
    while more := {c for c, up in parents.items() if (code in up or up & found) and c not in found}:
        found |= more
    return found


FILTERS: dict[tuple[str, str], Callable[[Json, str], set[str]]] = {
    ("concept", "is-a"): lambda system, code: descendants(system, code) | {code},
    ("concept", "descendent-of"): descendants,
    ("concept", "is-not-a"): lambda system, code: (
        {c["code"] for c, _ in walk(system.get("concept", ()))} - descendants(system, code) - {code}
    ),
}


def union(parts: Iterable[Expansion]) -> Expansion:
    out: Expansion = {}
    for part in parts:
        for system, codes in part.items():
            out.setdefault(system, {}).update(codes)
    return out


def intersect(parts: list[Expansion]) -> Expansion:
    first, *rest = parts
    keep = {s: {c: None for c in codes if in_all(rest, s, c)} for s, codes in first.items()}
    return {s: codes for s, codes in keep.items() if codes}


def in_all(parts: list[Expansion], system: str, code: str) -> bool:
    return all(code in part.get(system, {}) for part in parts)


def subtract(whole: Expansion, minus: Expansion) -> Expansion:
    keep = {s: {c: None for c in codes if c not in minus.get(s, {})} for s, codes in whole.items()}
    return {s: codes for s, codes in keep.items() if codes}


# --- search --------------------------------------------------------------------------------------------


def compile_search(resources: list[Json], types: Json) -> Json:
    """parameters: base type -> {code: entry}; compartments: code -> {type: [parameters]}."""
    parameters: Json = {}
    by_url: Json = {}
    for r in resources:
        if r["resourceType"] == "SearchParameter" and not r["id"].startswith("example"):
            by_url[r["url"]] = r
    for r in by_url.values():
        for base in r.get("base", ()):
            parameters.setdefault(base, {})[r["code"]] = parameter(r, base, by_url)
    return {
        "parameters": {t: dict(sorted(p.items())) for t, p in parameters.items()},
        "compartments": dict(map(compartment, (r for r in resources if is_compartment(r)))),
    }


def parameter(r: Json, base: str, by_url: Json) -> Json:
    return drop_defaults(
        type=r["type"],
        url=r["url"],
        expression=narrow(r.get("expression", ""), base),
        targets=r.get("target", []),
        components=[[by_url[plain(c["definition"])]["code"], c["expression"]] for c in r.get("component", ())],
    )


def narrow(expression: str, base: str) -> str:
    """The alternatives of a shared expression that start at `base`; all of them when none does."""
    parts = alternatives(expression)
    own = [p for p in parts if p.lstrip("( ").startswith((base + ".", base + " "))]
    return " | ".join(own or parts)


def alternatives(expression: str) -> list[str]:
    """Split at `|` outside parentheses and strings."""
    depth, quoted, parts = 0, False, [""]
    for char in expression:
        quoted ^= char == "'"
        depth += 0 if quoted else (char == "(") - (char == ")")
        if char == "|" and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return [p.strip() for p in parts if p.strip()]


def is_compartment(r: Json) -> bool:
    kind: str = r["resourceType"]
    return kind == "CompartmentDefinition" and r["id"] != "example"


def compartment(r: Json) -> tuple[str, Json]:
    return r["code"], {x["code"]: x["param"] for x in r["resource"] if "param" in x}


if __name__ == "__main__":
    main(*sys.argv[1:])
