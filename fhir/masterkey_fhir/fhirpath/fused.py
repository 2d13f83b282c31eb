"""A path of plain steps as one generated function: `code.coding.system` costs three look-ups, not three calls.

Only element names and types of R4 enter the source, as literals. The functions are a cache, made when an
expression is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import Any

from masterkey_fhir.fhirpath.items import Typed


@dataclass(frozen=True, slots=True)
class Step:
    """One element: its JSON name, its type, an array or not, a primitive (with a `_name` sibling) or not."""

    name: str
    kind: str
    is_list: bool
    is_primitive: bool


def with_siblings(found: Any, siblings: Any, kind: str) -> list[Any]:
    """`given: [null, "x"]` with `_given: [{...}, null]`: the n-th of both is one item."""
    pairs = zip_longest(found or (), siblings if siblings.__class__ is list else ())
    return [v if extra is None else Typed(v, kind, extra) for v, extra in pairs if (v, extra) != (None, None)]


@cache
def function(steps: tuple[Step, ...], first: bool = False) -> Callable[[Any, Any], Any]:
    """(this, env) -> an item or None; a list when one of the steps is an array, unless `first` is asked for."""
    names: dict[str, Any] = {"Typed": Typed, "with_siblings": with_siblings, "NOTHING": []}
    exec(source(steps, first), names)
    made: Callable[[Any, Any], Any] = names["path"]
    return made


def source(steps: tuple[Step, ...], first: bool = False) -> str:
    writer = _First() if first else _Writer(any(s.is_list for s in steps))
    for step in steps[:-1]:
        writer.through(step)
    writer.last(steps[-1])
    return writer.text()


class _Writer:
    def __init__(self, gives_list: bool) -> None:
        self.gives_list = gives_list
        self.in_loop = False
        self.indent = "    "
        self.lines = ["def path(this, env):"]

    def line(self, text: str, deeper: int = 0) -> None:
        self.lines.append(self.indent + "    " * deeper + text)

    def leave(self) -> str:
        """What to do where nothing is found."""
        return "continue" if self.in_loop else "return NOTHING" if self.gives_list else "return None"

    def through(self, step: Step) -> None:
        """To the object or objects that the next step starts from."""
        self.line(f"found = this.get({step.name!r})")
        self.line(f"if found is None: {self.leave()}")
        if not step.is_list:
            self.line("this = found")
            return
        if not self.in_loop:
            self.begin()
        self.line("for this in (found if found.__class__ is list else (found,)):")
        self.indent += "    "
        self.in_loop = True

    def begin(self) -> None:
        self.line("out = []")

    def last(self, step: Step) -> None:
        if step.is_primitive:
            self.sibling(step)
        self.line(f"found = this.get({step.name!r})")
        if not self.in_loop:
            self.returned(step)
            return
        self.line(f"if found is None: {self.leave()}")
        self.line("if found.__class__ is list: out += found" if step.is_list else "out.append(found)")
        if step.is_list:
            self.line("else: out.append(found)")

    def returned(self, step: Step) -> None:
        if not step.is_list:
            self.line("return found")
            return
        self.line("return NOTHING if found is None else found if found.__class__ is list else [found]")

    def sibling(self, step: Step) -> None:
        """An id or extensions of the primitive: the rare case."""
        self.line(f"if {'_' + step.name!r} in this:")
        extra = f"this[{'_' + step.name!r}]"
        if step.is_list:
            found = f"with_siblings(this.get({step.name!r}), {extra}, {step.kind!r})"
            self.line(f"out += {found}; continue" if self.in_loop else f"return {found}", 1)
        else:
            found = f"Typed(this.get({step.name!r}), {step.kind!r}, {extra})"
            self.line(f"out.append({found}); continue" if self.in_loop else f"return {found}", 1)

    def text(self) -> str:
        if self.in_loop:
            self.lines.append("    return out")
        return "\n".join(self.lines) + "\n"


class _First(_Writer):
    """Stops at the first item."""

    def __init__(self) -> None:
        super().__init__(gives_list=False)

    def begin(self) -> None:
        pass

    def last(self, step: Step) -> None:
        if step.is_primitive:
            call = "with_siblings({0}, {1}, {2})" if step.is_list else "Typed({0}, {2}, {1})"
            extra = f"this[{'_' + step.name!r}]"
            self.line(f"if {'_' + step.name!r} in this:")
            self.line("found = " + call.format(f"this.get({step.name!r})", extra, repr(step.kind)), 1)
            self.line(f"else: found = this.get({step.name!r})")
        else:
            self.line(f"found = this.get({step.name!r})")
        self.line("if found.__class__ is list: found = found[0] if found else None")
        self.line("if found is not None: return found")

    def text(self) -> str:
        return "\n".join([*self.lines, "    return None"]) + "\n"
