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
    top_of_branch,
)
from masterkey_omop.ohdsi_sql.texts import like, plain_values, text_arguments, text_plus
from masterkey_omop.ohdsi_sql.types import converts, types

Pass = Callable[[exp.Expr, str], exp.Expr]

PASSES: tuple[Pass, ...] = (
    refuse_constructs,
    strip_hints,
    temp_names,
    into,
    top_of_branch,
    apply,
    known_functions,
    text_arguments,
    plain_values,
    converts,
    date_arguments,
    date_literals,
    text_plus,
    like,
    types,
    casts,
)


def rewrite(tree: exp.Expr, target: str) -> exp.Expr | None:
    """One statement in T-SQL's meaning -> the same in the meaning of `target`; None when nothing is left of
    it."""
    said = statement(tree)
    if said is None:
        return None
    for step in PASSES:
        said = step(said, target)
    return said
