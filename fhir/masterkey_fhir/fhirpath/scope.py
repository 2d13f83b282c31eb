"""What names mean at one place of an expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from masterkey_fhir.fhirpath.code import Code, single, this_code
from masterkey_fhir.fhirpath.tree import Call, Node, Variable, children

if TYPE_CHECKING:
    from masterkey_fhir.fhirpath.compiler import Compiler


@dataclass(frozen=True, slots=True)
class Scope:
    """`this_type`: static type of `$this`; `maybe_empty`: `$this` can be missing (inside iif)."""

    this_type: str | None
    maybe_empty: bool = False

    def this(self) -> Code:
        if self.maybe_empty:
            return single(self.this_type, lambda this, env: this)
        return this_code(self.this_type)


@dataclass(frozen=True, slots=True)
class Invocation:
    """A function call being compiled: its input, its arguments, and the scope it stands in."""

    compiler: Compiler
    node: Call
    of: Code
    scope: Scope

    @property
    def at(self) -> int:
        return self.node.at

    @property
    def size(self) -> int:
        return len(self.node.args)

    def arg(self, index: int) -> Code:
        """An argument that is evaluated once, with the `$this` of the place where the call stands."""
        return self.compiler.compile(self.node.args[index], self.scope)

    def each(self, index: int, type_name: str | None) -> Code:
        """An argument that is evaluated per item; `$this` is the item."""
        return self.compiler.compile(self.node.args[index], Scope(type_name))

    def uses(self, index: int, variable: str) -> bool:
        return uses(self.node.args[index], variable)


def uses(node: Node, variable: str) -> bool:
    if isinstance(node, Variable) and node.name == variable:
        return True
    return any(uses(child, variable) for child in children(node))
