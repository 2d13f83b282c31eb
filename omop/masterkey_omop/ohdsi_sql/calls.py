"""Function calls: only those of the tables, with the arguments they take."""

from __future__ import annotations

from difflib import get_close_matches

from sqlglot import exp

from masterkey_omop.ohdsi_sql.functions import FUNCTIONS, REFUSED
from masterkey_omop.ohdsi_sql.refused import RefusedError
from masterkey_omop.ohdsi_sql.units import COUNTS, UNIT_NAMES, UNITS


def known_functions(tree: exp.Expr, target: str) -> exp.Expr:
    for call in tree.find_all(exp.Func):
        if isinstance(call, exp.Anonymous):
            _known(call)
        elif isinstance(call, exp.TryCast) and target == "postgres":
            raise RefusedError(
                call, "TRY_CAST on PostgreSQL", "Write CASE WHEN ISNUMERIC(x) = 1 THEN CAST(x AS FLOAT) END"
            )
    return tree


def _known(call: exp.Anonymous) -> None:
    name, count = call.name.upper(), len(call.expressions)
    if name in UNIT_NAMES:
        return _known_unit(call, name)
    function = FUNCTIONS.get(name)
    if function is None:
        raise RefusedError(call, f"the function {name}", REFUSED.get(name) or _nearest(name))
    if not function.least <= count <= function.most:
        raise RefusedError(call, f"{name} with {count} arguments", f"It takes {_range(function.least, function.most)}")
    return None


def _known_unit(call: exp.Anonymous, name: str) -> None:
    if len(call.expressions) != COUNTS[name]:
        raise RefusedError(
            call, f"{name} with {len(call.expressions)} arguments", f"It takes {COUNTS[name]}, the unit first"
        )
    written = call.expressions[0].name.lower()
    units = UNIT_NAMES[name]
    if UNITS.get(written) not in units:
        raise RefusedError(call, f"the unit {written} of {name}", f"Its units are {', '.join(units)}")


def _nearest(name: str) -> str:
    close = get_close_matches(name, [*FUNCTIONS, *UNIT_NAMES], 3, 0.6)
    return f"Nearest: {', '.join(close)}" if close else "The functions are listed in masterkey_omop/ohdsi_sql/README.md"


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


class Spelled(exp.Expression):
    """A call that is already in the words of the target: name and arguments."""

    arg_types = {"this": True, "expressions": False}  # noqa: RUF012


def spell(name: str, *arguments: exp.Expr) -> Spelled:
    return Spelled(this=name, expressions=list(arguments))
