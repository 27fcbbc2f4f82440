"""Text of expressions to trees: precedence, positions, bounds, and the words for what does not parse."""

from __future__ import annotations

from datetime import date, time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine import syntax
from lexorder.engine.codes import CODES
from lexorder.engine.errors import Problem, RuleFileError
from lexorder.engine.parse import CHARACTERS_MAX, LEVELS_MAX, NODES_MAX, parse
from lexorder.engine.source import Scalar, nodes

WORDS = (
    *("a", "b.c", "5%", "25_000", "15", "min", "<=", "==", "and", "or", "not", "if", "then", "else", "(", ")"),
    *("{", "}", ",", "sum(", "where", "in", "-", "+", "*", '"t"'),
)


def problem(text: str) -> Problem:
    with pytest.raises(RuleFileError) as caught:
        parse(text)
    return caught.value.problems[0]


def shape(node: syntax.Syntax) -> str:
    """A tree with every bracket written."""
    match node:
        case syntax.Infix(op=op, left=left, right=right):
            return f"({shape(left)} {op} {shape(right)})"
        case syntax.Prefix(op=op, operand=x):
            return f"({op} {shape(x)})"
        case syntax.Chain(op=op, items=items):
            return "(" + f" {op} ".join(map(shape, items)) + ")"
        case syntax.Choice(condition=c, yes=y, no=n):
            return f"(if {shape(c)} then {shape(y)} else {shape(n)})"
        case syntax.Call(name=name, arguments=arguments, where=where):
            inside = ", ".join(map(shape, arguments)) + (f" where {shape(where)}" if where else "")
            return f"{name.text}({inside})"
        case syntax.Braces(items=items):
            return "{" + ", ".join(map(shape, items)) + "}"
    return node.text


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b / c", "((a / b) / c)"),
        ("a - (b - c)", "(a - (b - c))"),
        ("-a * b", "((- a) * b)"),
        ("-(a * b)", "(- (a * b))"),
        ("--a", "(- (- a))"),
        ("a * -b", "(a * (- b))"),
        ("a + b <= c * d", "((a + b) <= (c * d))"),
        ("a < b and c > d", "((a < b) and (c > d))"),
        ("a and b or c and d", "((a and b) or (c and d))"),
        ("a and (b or c)", "(a and (b or c))"),
        ("a and b and c", "(a and b and c)"),
        ("(a and b) and c", "((a and b) and c)"),
        ("not a and b", "((not a) and b)"),
        ("not a == b", "(not (a == b))"),
        ("not not a", "(not (not a))"),
        ("a in {b, c}", "(a in {b, c})"),
        ("a not in {b}", "(a not in {b})"),
        ("not a in b", "(not (a in b))"),
        ("if a then b else c", "(if a then b else c)"),
        ("if a then b else if c then d else e", "(if a then b else (if c then d else e))"),
        ("if a or b then c + d else e", "(if (a or b) then (c + d) else e)"),
        ("(if a then b else c) + d", "((if a then b else c) + d)"),
        ("sum(a where b and c)", "sum(a where (b and c))"),
        ("sum(if a then b else c)", "sum((if a then b else c))"),
        ("min(a, b + c, 3)", "min(a, (b + c), 3)"),
        ("count(position)", "count(position)"),
        ("account.sum(a)", "account.sum(a)"),
        ("f()", "f()"),
        ("{}", "{}"),
        ("((a))", "a"),
        ("android or iffy", "(android or iffy)"),
        ("not_x and in_y", "(not_x and in_y)"),
        ("a.if_x.b", "a.if_x.b"),
        ("true and not false", "(true and (not false))"),
        ("a\n  and b", "(a and b)"),
        ("5 % <= a", "(5 % <= a)"),
        ("15min <= a", "(15min <= a)"),
    ],
)
def test_precedence(text, tree):
    assert shape(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("25_000", syntax.Number(Fraction(25_000))),
        ("0.125", syntax.Number(Fraction(1, 8))),
        ("5%", syntax.Number(Fraction(1, 20), True)),
        ("0.5%", syntax.Number(Fraction(1, 200), True)),
        ("15 min", syntax.Duration(Fraction(900))),
        ("1.5 h", syntax.Duration(Fraction(5400))),
        ("250 ms", syntax.Duration(Fraction(1, 4))),
        ("1 day", syntax.Duration(Fraction(86_400))),
        ("25_000 USD", syntax.Money(Fraction(25_000), "USD")),
        ("2026-06-04", syntax.Moment(date(2026, 6, 4))),
        ("09:30", syntax.Moment(time(9, 30))),
        ("09:30:15", syntax.Moment(time(9, 30, 15))),
        ('"a b"', syntax.Quoted("a b")),
        (r'"a\"b\\c"', syntax.Quoted('a"b\\c')),
        ('""', syntax.Quoted("")),
        ("true", syntax.Truth(True)),
        ("false", syntax.Truth(False)),
        ("order.quantity", syntax.Name("order.quantity")),
    ],
)
def test_atoms(text, node):
    assert parse(text) == node


def test_a_subtraction_of_numbers_is_no_date():
    assert shape(parse("2026 - 6 - 4")) == "((2026 - 6) - 4)"


def test_nodes_know_their_text_and_place():
    tree = parse("a.b <= min(c, 5%)")
    assert isinstance(tree, syntax.Infix)
    assert (tree.left.text, tree.left.span.column, tree.left.span.length) == ("a.b", 1, 3)
    assert (tree.right.text, tree.right.span.column) == ("min(c, 5%)", 8)
    assert [child.text for child in tree.right.children()] == ["min", "c", "5%"]
    assert tree.right.children().__next__().span.column == 8


def test_places_are_in_the_file_when_the_text_is_folded():
    root = nodes("k: >-\n  a <= b\n  and c <= d")
    scalar = root.entries[0][1]  # type: ignore[union-attr]
    assert isinstance(scalar, Scalar)
    tree = parse(scalar)
    second = tuple(tree.children())[1]
    assert (second.text, second.span.line, second.span.column) == ("c <= d", 3, 7)


# ---- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_expression(text):
    assert problem(text).code == "expression-empty"


@pytest.mark.parametrize(
    "text",
    [
        "a" * (CHARACTERS_MAX + 1),
        "(" * (LEVELS_MAX + 1) + "a" + ")" * (LEVELS_MAX + 1),
        "-" * NODES_MAX + "a",
        "not " * (LEVELS_MAX + 1) + "a",
        "+".join("a" * (NODES_MAX // 2 + 1)),
        "{" * 1_000,
        "(" * 2_000,
        "min(a, " * 40 + "b" + ")" * 40,
    ],
)
def test_too_large(text):
    assert problem(text).code == "expression-too-large"


def test_as_large_as_admitted():
    parse("+".join("a" * (NODES_MAX // 2)))
    parse("(" * (LEVELS_MAX - 1) + "a" + ")" * (LEVELS_MAX - 1))
    parse("a" * CHARACTERS_MAX)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="ab.12_%()<>=!&|{}\"', +-*/:\nandorit", max_size=60))
def test_any_text_gives_a_tree_or_a_worded_problem(text):
    try:
        parse(text)
    except RuleFileError as error:
        found = error.problems[0]
        assert found.code in CODES
        assert found.message
        assert "\n" not in found.message
        assert found.line >= 1


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=15,
    )
)
def test_any_row_of_words_gives_a_tree_or_a_worded_problem(words):
    try:
        tree = parse(" ".join(words))
    except RuleFileError as error:
        codes = {p.code for p in error.problems}
    else:
        codes = set()
        assert shape(parse(shape(tree))) == shape(tree), "brackets change nothing"
    assert codes <= set(CODES)


# ---- words for mistakes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "column", "part"),
    [
        ("a && b", "wrong-operator", 3, "`and`"),
        ("a || b", "wrong-operator", 3, "`or`"),
        ("!a", "wrong-operator", 1, "`not`"),
        ("a = b", "wrong-operator", 3, "`==`"),
        ("a === b", "wrong-operator", 3, "`==`"),
        ("a => b", "wrong-operator", 3, "`>=`"),
        ("a =< b", "wrong-operator", 3, "`<=`"),
        ("a <> b", "wrong-operator", 3, "`!=`"),
        ("a := b", "wrong-operator", 3, "`let`"),
        ("a ** b", "wrong-operator", 3, "powers"),
        ("a ^ b", "wrong-operator", 3, "powers"),
        ("a % b", "wrong-operator", 3, "remainder"),
        ("a ≤ b", "wrong-operator", 3, "`<=`"),
        ("a ≠ b", "wrong-operator", 3, "`!=`"),
        ("a × b", "wrong-operator", 3, "`*`"),
        ("a − b", "wrong-operator", 3, "`-`"),
        ("a ? b : c", "wrong-operator", 3, "`if … then … else …`"),
        ("a AND b", "wrong-operator", 3, "lower case"),
        ("a >= 5 OR b", "wrong-operator", 8, "lower case"),
        ("a is b", "wrong-operator", 3, "`==`"),
        ("a equals b", "wrong-operator", 3, "`==`"),
        ("a between 1 and 2", "wrong-operator", 3, "`x >= a and x <= b`"),
        ("5% of a", "wrong-operator", 4, "`5% * account.nav`"),
        ("sum(a for b)", "wrong-operator", 7, "loops"),
        ("if a then b elif c then d else e", "wrong-operator", 13, "`else if …`"),
        ("a < b < c", "chained-comparison", 7, "join with `and`"),
        ("a == b == c", "chained-comparison", 8, "join with `and`"),
        ("1e5", "bad-number", 1, "`100_000`"),
        ("2.5e-3", "bad-number", 1, "`0.0025`"),
        ("1e", "bad-number", 2, "`100_000`"),
        ("25,000", "bad-number", 1, "`25_000`"),
        ("1,234,567", "bad-number", 1, "`1_234_567`"),
        ("min(25,000, a)", "bad-number", 5, "`25_000`"),
        ("25k", "bad-number", 3, "`25_000`"),
        ("3 million", "bad-number", 3, "`3_000_000`"),
        ("50 bps", "bad-number", 4, "`0.5%`"),
        ("5 percent", "bad-number", 3, "`5%`"),
        ("100 shares", "bad-number", 5, "`100`"),
        ("007", "bad-number", 1, "leading zeros"),
        ("2026/06/04", "bad-number", 6, "`2026-06-04`"),
        ("1__0", "bad-number", 1, "`25_000`"),
        (".5", "bad-number", 1, "`0.5`"),
        ("5.", "bad-number", 2, "`0.5`"),
        ("$5", "bad-number", 1, "`25_000 USD`"),
        ("€5", "bad-number", 1, "`25_000 USD`"),
        ("5x2", "bad-number", 1, "starts with a letter"),
        ("15 minutes", "unknown-duration", 4, "`15 min`"),
        ("2 hours", "unknown-duration", 3, "`2 h`"),
        ("2 weeks", "unknown-duration", 3, "`14 days`"),
        ("3 months", "unknown-duration", 3, "fixed length"),
        ("3 furlongs", "unknown-duration", 3, "`furlongs`"),
        ("5 USB", "unknown-currency", 3, "`USD`"),
        ("5 usd", "unknown-currency", 3, "`USD`"),
        ("2026-02-30", "bad-date", 1, "calendar"),
        ("25:00", "bad-date", 1, "00:00 to 23:59"),
        ("(a", "unclosed", 1, "not closed"),
        ("min(a, (b)", "unclosed", 4, "not closed"),
        ("{a", "unclosed", 1, "not closed"),
        ("a)", "unclosed", 2, "closes nothing"),
        ('"a', "unclosed", 1, 'add `"`'),
        ("'a'", "bad-text", 1, "double quotes"),
        ("“a”", "bad-text", 1, "typographic"),
        (r'"\n"', "bad-text", 2, "escape"),
        ("[a, b]", "syntax", 1, "braces"),
        ("a; b", "syntax", 2, "`and`"),
        ("a # b", "syntax", 3, "comments"),
        ("+5", "syntax", 1, "remove it"),
        ("a +", "syntax", 4, "something is missing after `+`"),
        ("a and", "syntax", 6, "something is missing after `and`"),
        ("a b", "syntax", 3, "operator is missing"),
        ("a 5", "syntax", 3, "operator is missing"),
        ("and a", "syntax", 1, "`and` is not expected"),
        ("a and or b", "syntax", 7, "`or` is not expected"),
        ("if a then b", "syntax", 12, "both branches"),
        ("if a b", "syntax", 6, "needs `then`"),
        ("a + if b then c else d", "syntax", 5, "parentheses"),
        ("sum(a where)", "syntax", 12, "`)` is not expected"),
        ("@a", "syntax", 1, "`@` is not expected"),
        ("a \\ b", "syntax", 3, "`\\` is not expected"),
    ],
)
def test_mistakes_are_worded(text, code, column, part):
    found = problem(text)
    assert (found.code, found.column) == (code, column), found.message
    assert part in found.message


def test_commas_inside_texts_are_nobodys_business():
    assert parse('"25,000"') == syntax.Quoted("25,000")


def test_hostile_text_is_cut_and_cleaned():
    found = problem("a ~\x1b[31m" + "x" * 500)
    assert len(found.message) < 200
    assert "\x1b" not in found.message
