"""Compiled nodes: closures with what is known about their results before any data is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from masterkey_fhir.fhirpath.errors import execution
from masterkey_fhir.fhirpath.fused import Step
from masterkey_fhir.fhirpath.items import Item, to_dynamic, to_system
from masterkey_fhir.fhirpath.services import Services

BOOLEAN = "System.Boolean"
INTEGER = "System.Integer"
DECIMAL = "System.Decimal"
STRING = "System.String"
NOTHING: list[Any] = []  # shared; results are never changed in place


class Env:
    """One evaluation: what `%...`, `$index` and `$total` mean."""

    __slots__ = ("_now", "constants", "context", "index", "resource", "root", "row", "services", "total")

    def __init__(
        self, resource: Item, root: Item, context: Item, constants: Mapping[str, Any], services: Services
    ) -> None:
        self.resource = resource
        self.root = root
        self.context = context
        self.constants = constants
        self.services = services
        self.index: int | None = None
        self.total: list[Item] = NOTHING
        self.row: int | None = None  # %rowIndex of a ViewDefinition
        self._now: datetime | None = None

    def now(self) -> datetime:
        """The moment of this evaluation, with the zone of the machine."""
        if self._now is None:
            self._now = datetime.now().astimezone()
        return self._now


One = Callable[[Item, Env], Item]  # an item, or None for empty
Many = Callable[[Item, Env], list[Item]]
Choices = Mapping[str, str]  # JSON member -> type, of a choice element


@dataclass(slots=True, kw_only=True)
class Code:
    """A compiled node.

    `type`: static type of every item ("Patient", "System.String"); None = items carry it themselves.
    `one`: set when there is at most one item. `many` always works.
    """

    type: str | None
    many: Many
    one: One | None = None
    ordered: bool = True
    is_this: bool = False
    is_empty: bool = False
    literal: Any = None
    choice: tuple[Code, Choices] | None = None  # the owner and what its choice element can be
    steps: tuple[Step, ...] = ()  # plain steps that end here, to be run as one
    base: Code | None = None  # where they start; None = at `$this`


def single(type_name: str | None, one: One, **known: Any) -> Code:
    """At most one item."""

    def many(this: Item, env: Env) -> list[Item]:
        item = one(this, env)
        return NOTHING if item is None else [item]

    return Code(type=type_name, one=one, many=many, **known)


def plural(type_name: str | None, many: Many, **known: Any) -> Code:
    return Code(type=type_name, many=many, **known)


def constant(type_name: str | None, value: Item) -> Code:
    return single(type_name, lambda this, env: value, literal=value)


def this_code(type_name: str | None) -> Code:
    return single(type_name, lambda this, env: this, is_this=True)


EMPTY = Code(type=None, one=lambda this, env: None, many=lambda this, env: NOTHING, is_empty=True, literal=NOTHING)


# -- views of a node that its consumers ask for


def one_item(code: Code, at: int) -> One:
    """The item, None for empty. More than one is an error (N1 section 4.5, singleton evaluation)."""
    if code.one is not None:
        return code.one
    many = code.many

    def one(this: Item, env: Env) -> Item:
        items = many(this, env)
        if not items:
            return None
        if len(items) > 1:
            raise execution(at, f"one item is needed here, there are {len(items)}")
        return items[0]

    return one


def one_value(code: Code, at: int) -> One:
    """As `one_item`, as a System value."""
    convert = to_system(code.type)
    get = one_item(code, at)
    if convert is None:
        return get

    def one(this: Item, env: Env) -> Any:
        item = get(this, env)
        return None if item is None else convert(item)

    return one


def values(code: Code) -> Many:
    """All items as System values; primitives without a value fall away."""
    convert = to_system(code.type)
    many = code.many
    if convert is None:
        return many
    return lambda this, env: [v for item in many(this, env) if (v := convert(item)) is not None]


def truth(code: Code, at: int) -> One:
    """True, False, or None for empty; a single item that is no boolean counts as true (section 4.5)."""
    get = one_value(code, at)
    if code.type == BOOLEAN:
        return get

    def test(this: Item, env: Env) -> bool | None:
        value = get(this, env)
        return value if value is None or value.__class__ is bool else True

    return test


def dynamic(code: Code) -> Code:
    """The same items, each carrying its type."""
    wrap = to_dynamic(code.type)
    if wrap is None:
        return code
    if code.one is not None:
        get = code.one

        def one(this: Item, env: Env) -> Item:
            item = get(this, env)
            return None if item is None else wrap(item)

        return single(None, one, ordered=code.ordered)
    many = code.many
    return plural(None, lambda this, env: [wrap(i) for i in many(this, env)], ordered=code.ordered)


def same_type(a: Code, b: Code) -> tuple[str | None, Code, Code]:
    """Both sides in one representation, for operations that mix items."""
    if a.is_empty or b.is_empty:
        return (b if a.is_empty else a).type, a, b
    if a.type == b.type:
        return a.type, a, b
    return None, dynamic(a), dynamic(b)
