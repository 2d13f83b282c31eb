"""T-SQL's meaning made explicit in the tree: a tuple of passes, each a plain function over one statement.

After them the writers only spell. What can't be said exactly is refused with its place; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from masterkey_omop.ohdsi_sql.calls import known_functions
from masterkey_omop.ohdsi_sql.casts import casts
from masterkey_omop.ohdsi_sql.dates import date_arguments, date_literals
from masterkey_omop.ohdsi_sql.statements import statement
from masterkey_omop.ohdsi_sql.tables import (
    apply,
    into,
    refuse_constructs,
    strip_hints,
    temp_names,
)
from masterkey_omop.ohdsi_sql.texts import like, plain_values, text_arguments, text_plus
from masterkey_omop.ohdsi_sql.types import converts, types

Pass = Callable[[exp.Expr, str], exp.Expr]

# Each pass with the nodes that wake it, as they stand before the first pass; () = always.
PASSES: tuple[tuple[Pass, tuple[type[exp.Expr], ...]], ...] = (
    (refuse_constructs, ()),
    (strip_hints, ()),
    (temp_names, ()),
    (into, (exp.Into,)),
    (apply, (exp.Lateral,)),
    (known_functions, (exp.Anonymous, exp.TryCast)),
    (text_arguments, (exp.Anonymous,)),
    (plain_values, (exp.National, exp.CurrentTimestamp, exp.Anonymous)),
    (converts, (exp.Convert,)),
    (date_arguments, (exp.Anonymous,)),
    (date_literals, (exp.Literal,)),
    (text_plus, (exp.Add,)),
    (like, (exp.Like,)),
    (types, (exp.DataType, exp.Anonymous)),
    (casts, (exp.Cast, exp.Convert, exp.Anonymous)),
)


def rewrite(tree: exp.Expr, target: str) -> exp.Expr | None:
    """One statement in T-SQL's meaning -> the same in the meaning of `target`; None when nothing is left of
    it."""
    said = statement(tree)
    if said is None:
        return None
    present = {type(node) for node in said.walk()}
    for step, wakes in PASSES:
        if not wakes or any(issubclass(kind, wakes) for kind in present):
            said = step(said, target)
    return said
