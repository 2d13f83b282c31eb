"""What the map language offers beyond operators, as a table: name -> what it takes, gives, and its Python.

`{0}` is the value it is called on, `{1}`... its arguments. `strict` functions (all of these) are empty when a
part is empty. What needs more than a line of Python has a builder of its own in `expressions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT = ("string", "date")
NUMBER = ("integer", "decimal")
ANY = ("string", "date", "integer", "decimal", "boolean")


@dataclass(frozen=True, slots=True)
class Function:
    takes: tuple[str, ...]
    args: tuple[str, ...]  # types; "string?" may be left out; "regex" is a literal that is compiled
    gives: str  # a type; "same" = that of the value it is called on
    code: str
    sure: bool = False  # not empty when no part is
    many: bool = False
    takes_many: bool = False


# http://hl7.org/fhir/R4/datatypes.html#Quantity
_QUANTITY = "{{'value': {0}, 'unit': {1}, 'system': UCUM, 'code': {2}}}"

FUNCTIONS: dict[str, Function] = {
    # FHIRPath N1 5.6, strings
    "substring": Function(TEXT, ("integer", "integer?"), "string", "substring({args})"),
    "indexOf": Function(TEXT, ("string",), "integer", "{0}.find({1})", sure=True),
    "length": Function(TEXT, (), "integer", "len({0})", sure=True),
    "upper": Function(TEXT, (), "string", "{0}.upper()", sure=True),
    "lower": Function(TEXT, (), "string", "{0}.lower()", sure=True),
    "trim": Function(TEXT, (), "string", "{0}.strip()", sure=True),
    "replace": Function(TEXT, ("string", "string"), "string", "replace({args})", sure=True),
    "startsWith": Function(TEXT, ("string",), "boolean", "{0}.startswith({1})", sure=True),
    "endsWith": Function(TEXT, ("string",), "boolean", "{0}.endswith({1})", sure=True),
    "contains": Function(TEXT, ("string",), "boolean", "{1} in {0}", sure=True),
    "matches": Function(TEXT, ("regex",), "boolean", "{1}.search({0}) is not None", sure=True),
    "matchesFull": Function(TEXT, ("regex",), "boolean", "{1}.fullmatch({0}) is not None", sure=True),
    "replaceMatches": Function(TEXT, ("regex", "template"), "string", "{1}.sub({2}, {0})", sure=True),
    "split": Function(TEXT, ("string",), "string", "split({args})", sure=True, many=True),
    "join": Function(TEXT, ("string?",), "string", "{1}.join({0})", takes_many=True),
    # 5.5, conversions
    "toInteger": Function(ANY, (), "integer", "to_integer({0})"),
    "toDecimal": Function(ANY, (), "decimal", "to_decimal({0})"),
    "toString": Function(ANY, (), "string", "to_string({0})", sure=True),
    # 5.7, numbers
    "abs": Function(NUMBER, (), "same", "abs({0})", sure=True),
    "round": Function(NUMBER, ("integer?",), "same", "round_to({args})"),
    "floor": Function(NUMBER, (), "integer", "floor({0})", sure=True),
    "ceiling": Function(NUMBER, (), "integer", "ceiling({0})", sure=True),
    # 6.5.4
    "not": Function(("boolean",), (), "boolean", "not {0}", sure=True),
    # of this language
    "normalise": Function(TEXT, (), "string", "nfkc({0})", sure=True),
    "date": Function(TEXT, ("string*",), "date", "to_date({args})"),
    "year": Function(("date",), (), "integer", "year({0})", sure=True),
    "month": Function(("date",), (), "integer", "month({0})"),
    "day": Function(("date",), (), "integer", "day({0})"),
    "quantity": Function(NUMBER, ("string", "string"), "Quantity", _QUANTITY, sure=True),
}

# Built in expressions.py: what is lazy, looks at a table, a block or a key.
SPECIAL = (
    "id", "reference", "pseudonym", "translate", "coding", "codeable", "known", "label", "coalesce", "iif",
    "exists", "empty", "count", "first", "last",
)  # fmt: skip
OFFERED = tuple(sorted((*FUNCTIONS, *SPECIAL)))
OPERATORS = ("+", "-", "*", "/", "div", "mod", "&", "=", "!=", "~", "!~", "<", "<=", ">", ">=", "in",
             "and", "or", "xor", "implies")  # fmt: skip
