from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir.fhirpath import FhirPathError, parse
from masterkey_fhir.fhirpath.tree import (
    Binary,
    Call,
    Constant,
    Index,
    Literal,
    Member,
    Name,
    Node,
    QuantityLiteral,
    TemporalLiteral,
    TypeTest,
    Unary,
    Variable,
)


def shape(node: Node) -> str:
    """The tree with every bracket written."""
    match node:
        case Binary(_, op, left, right):
            return f"({shape(left)} {op} {shape(right)})"
        case Unary(_, op, operand):
            return f"({op}{shape(operand)})"
        case TypeTest(_, op, operand, namespace, name):
            return f"({shape(operand)} {op} {namespace + '.' if namespace else ''}{name})"
        case Member(_, of, name):
            return f"{shape(of)}.{name}"
        case Index(_, of, index):
            return f"{shape(of)}[{shape(index)}]"
        case Call(_, of, name, args):
            return f"{shape(of) + '.' if of else ''}{name}({', '.join(map(shape, args))})"
        case Name(_, name):
            return name
        case Literal(_, value):
            return repr(value) if isinstance(value, str) else str(value)
        case TemporalLiteral(_, kind, text):
            return f"{kind}:{text}"
        case QuantityLiteral(_, value, unit, calendar):
            return f"{value} {unit}{' (calendar)' if calendar else ''}"
        case Constant(_, name):
            return f"%{name}"
        case Variable(_, name):
            return f"${name}"
    return "{}"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1+2*3+4", "((1 + (2 * 3)) + 4)"),
        ("-1.abs()", "(-1.abs())"),
        ("-a.b[0]", "(-a.b[0])"),
        ("1 > 2 is Boolean", "(1 > (2 is Boolean))"),
        ("1 | 1 is Integer", "(1 | (1 is Integer))"),
        ("a or b and c", "(a or (b and c))"),
        ("a implies b or c", "(a implies (b or c))"),
        ("a = b in c", "((a = b) in c)"),
        ("a | b = c", "((a | b) = c)"),
        ("a & b + c", "((a & b) + c)"),
        ("x as FHIR.Quantity = 1", "((x as FHIR.Quantity) = 1)"),
        ("x is System.`String`", "(x is System.String)"),
        ("`Patient`.name.`given`", "Patient.name.given"),
        ("a.contains.is", "a.contains.is"),
        ("f(1, g(2))", "f(1, g(2))"),
        ("1.50", "1.50"),
        ("4.0 days", "4.0 days (calendar)"),
        ("4 'mg'", "4 mg"),
        ("registered.year() - age", "(registered.year() - age)"),
        ("@2015", "date:2015"),
        ("@2015T", "dateTime:2015T"),
        ("@2015-02-04T14:34:28.12+09:00", "dateTime:2015-02-04T14:34:28.12+09:00"),
        ("@T14:34", "time:14:34"),
        ("%'us core' | %ucum | %`vs-x`", "((%us core | %ucum) | %vs-x)"),
        (r"'\u0041\'\n'", repr("A'\n")),
        ("// c\n a /* x */ . b", "a.b"),
        ("$this.x[$index] + $total", "($this.x[$index] + $total)"),
        ("{}", "{}"),
    ],
)
def test_trees(text: str, tree: str) -> None:
    assert shape(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "a term"),
        ("a.", 2, "an element or a function"),
        ("a b", 2, "an operator or the end"),
        ("f(1", 3, "',' or ')'"),
        ("(a", 2, "')'"),
        ("a[1", 3, "']'"),
        ("a is 1", 5, "a type name"),
        ("'abc", 0, "a closing '"),
        ("a /* b", 2, "'*/' that closes the comment"),
        (r"'\q'", 1, "an escape of FHIRPath"),
        ("$that", 0, "$this, $index or $total"),
        ("a = @x", 4, "a date or time"),
        ("@T14:34Z", 7, "an operator or the end"),
        ("(" * 200, 80, "at most 80 nested brackets"),
        ("-" * 500 + "1", 0, "an expression of at most 150 steps in a row"),
        ("9" * 5000, 0, "a number of at most 1000 characters"),
    ],
)
def test_errors_say_where_and_what(text: str, position: int, expected: str) -> None:
    with pytest.raises(FhirPathError) as caught:
        parse(text)
    assert (caught.value.position, caught.value.expected) == (position, expected)
    assert caught.value.kind == "syntax"
    assert str(position + 1) in str(caught.value)


_TEXT = (
    "a Patient . ( ) [ ] { } , + - * / & | = ~ != !~ < <= > >= is as in and or xor implies div mod contains "
    "true 1 2.50 'x' `y` @2015 @2015-02-30T @T10 4 'mg' 3 days % $this $index /* */ // \\ ' ` @ é"
)
_PIECES = st.sampled_from(re.split(" ", _TEXT))


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=40).map(" ".join)))
def test_any_text_parses_or_is_refused_with_a_position(text: str) -> None:
    try:
        parse(text)
    except FhirPathError as error:
        assert 0 <= error.position <= len(text)
