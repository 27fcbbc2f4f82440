"""The compiled form over columns: generated Python, run for many orders, gives what Python itself gives for each.

The reference for an expression is Python's own `eval`, element by element in unlimited integers; for a whole check it
is the generated function run for one order, and the reference meaning.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.desk import Desk
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_code import Code, Level, NotVectorError
from lexorder.engine.vector_columns import INT64, Column, Ints, Truths, Words, from_integers
from lexorder.engine.vector_first import First, Typed
from lexorder.engine.vector_terms import Terms
from tests.engine import vector_cases as cases
from tests.engine.forms_alone import alone, desk_of, sound
from tests.engine.vector_reading import plain_desk, read, typed
from tests.worlds import VOCABULARY, instrument, order, world

NUMBERS, FLAGS, TEXTS = ("a", "b", "c"), ("p", "q"), ("s", "t")
WORDS = ("", "DAY", "limit")
ROWS = 5


class NotAboveZeroError(Exception):
    """What the generated `positive` and `alone` raise."""


def positive(divisor: int) -> int:
    if divisor <= 0:
        raise NotAboveZeroError
    return divisor


def only(value: int, low: int, high: int) -> int:
    if low != high:
        raise NotAboveZeroError
    return value


@dataclass
class Columns:
    """A frame of orders whose facts are given here."""

    columns: Mapping[str, Column]

    def index(self, level: Level) -> Ints:
        raise AssertionError(level)

    def read(self, what: tuple[Any, ...]) -> Column:
        return self.columns[what[0]]


def first_of(rules: str = "") -> First:
    """The compiled form of some rules over a small world."""
    vector = VectorBook(plain_desk(cases.book(rules), world()), small=0)
    tables = vector.book.words
    plan = Plan(vector.desk.rules_of("A"), VOCABULARY)
    return First(plan, Terms(Code(tables), tables))


FIRST = first_of()
NAMES = {
    name: Typed(FIRST.code.read(Level.ROW, name), kind)
    for kind, names in (("n", NUMBERS), ("t", FLAGS), ("w", TEXTS))
    for name in names
}


def as_columns(rows: list[dict[str, Any]]) -> Columns:
    """Rows of values by name as a frame."""
    found: dict[str, Column] = {n: from_integers([r[n] for r in rows]) for n in NUMBERS}
    found |= {n: Truths(np.array([r[n] for r in rows], dtype=np.bool_)) for n in FLAGS}
    words = FIRST.terms.tables.word
    found |= {n: Words(np.array([words(r[n]) for r in rows], dtype=np.int64)) for n in TEXTS}
    return Columns(found)


def by_columns(source: str, rows: list[dict[str, Any]], truth: bool) -> list[Any]:
    """An expression over all rows at once; None where it is not known."""
    node = ast.parse(source, mode="eval").body
    step = FIRST._truth(node, NAMES) if truth else FIRST._number(node, NAMES)
    return read(FIRST.code.run(as_columns(rows), (step,))[0], len(rows))


def by_python(source: str, row: dict[str, Any], truth: bool) -> Any:
    """The same for one row, by Python; None where it raises."""
    try:
        found = eval(source, {"positive": positive, "alone": only}, dict(row))
    except NotAboveZeroError:
        return None
    return bool(found) if truth else found


# ---- expressions ---------------------------------------------------------------------------------------------


@st.composite
def numbers(draw: Any, depth: int) -> str:
    """The text of a number, as `lowering.py` writes them."""
    if depth == 0:
        return str(draw(st.sampled_from((*NUMBERS, "0", "1", "-1", "7", "10000", str(10**20)))))
    kind = draw(st.integers(0, 7))
    one, two = (draw(numbers(depth - 1)) for _ in range(2))
    if kind <= 2:
        return f"({one} {'+-*'[kind]} {two})"
    if kind == 3:
        return f"({one} if {draw(conditions(depth - 1))} else {two})"
    return {4: f"max({one}, {two}, 0)", 5: f"min({one}, {two})", 6: f"abs({one})", 7: f"(-{one})"}[kind]


@st.composite
def conditions(draw: Any, depth: int) -> str:
    """The text of a condition."""
    if depth == 0:
        return str(draw(st.sampled_from((*FLAGS, *TEXTS, "True", "False", "a"))))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        op = draw(st.sampled_from(("<", "<=", ">", ">=", "==", "!=")))
        return f"({draw(numbers(depth - 1))} {op} {draw(numbers(depth - 1))})"
    if kind == 1:
        return f"(s {draw(st.sampled_from(('==', '!=')))} {draw(st.sampled_from(('t', *map(repr, WORDS))))})"
    if kind == 2:
        return f"({draw(st.sampled_from(TEXTS))} in {draw(st.sampled_from((repr(WORDS[:2]), repr((WORDS[2],)))))})"
    if kind == 3:
        return f"(a in ({draw(numbers(0))}, 3))"
    one, two = (draw(conditions(depth - 1)) for _ in range(2))
    return {4: f"({one} and {two})", 5: f"({one} or {two} or p)", 6: f"(not {one})"}[kind]


def rows_of(values: st.SearchStrategy[int]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of facts."""
    row: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(NUMBERS, values)
    row |= dict.fromkeys(FLAGS, st.booleans()) | dict.fromkeys(TEXTS, st.sampled_from(WORDS))
    return st.lists(st.fixed_dictionaries(row), min_size=ROWS, max_size=ROWS)


SMALL = st.one_of(st.integers(-3, 3), st.sampled_from((-10_000, 9_999, 10_001)))
WIDE = st.one_of(SMALL, st.sampled_from((2**31, 2**62, INT64 - 1, INT64, -INT64)))
EXPRESSIONS = st.one_of(
    st.tuples(numbers(3), st.just(False)),
    st.tuples(conditions(3), st.just(True)),
)


@given(asked=EXPRESSIONS, rows=rows_of(SMALL))
@settings(max_examples=120, deadline=None)
def test_small_values_are_those_of_python(asked, rows):
    """Also where only one row takes a branch. Texts and numbers count as conditions as they do in Python."""
    source, truth = asked
    exact = [by_python(source, row, truth) for row in rows]
    for got, wanted in zip(by_columns(source, rows, truth), exact, strict=True):
        assert got == wanted or (got is None and _wide(source, exact))


def _wide(source: str, exact: list[Any]) -> bool:
    """Whether an intermediate result may have left 64 bits: the literal 10 ** 20 is in it, or a product is large."""
    sizes = [abs(v) for v in exact if isinstance(v, int)]
    return str(10**20) in source or source.count("*") > 3 or max(sizes, default=0) > INT64


@given(asked=EXPRESSIONS, rows=rows_of(WIDE))
@settings(max_examples=120, deadline=None)
def test_wide_values_are_exact_or_not_known(asked, rows):
    source, truth = asked
    for got, row in zip(by_columns(source, rows, truth), rows, strict=True):
        assert got in (by_python(source, row, truth), None)


@pytest.mark.parametrize("source", ["positive(a) * 3", "alone(a, b, c)", "5 if p else alone(a, b, c)", "positive(2)"])
@given(rows=rows_of(st.integers(-1, 1)))
@settings(max_examples=25, deadline=None)
def test_what_raises_for_one_row_is_missing_there(source, rows):
    assert by_columns(source, rows, False) == [by_python(source, row, False) for row in rows]


REFUSED = (
    ("a // b", NotVectorError), ("a < b < c", NotVectorError), ("[a]", NotVectorError), ("lambda: a", NotVectorError),
    ("f(a)", NotVectorError), ("sum(a, b)", NotVectorError), ("z", NotVectorError), ("a.real", NotVectorError),
    ("a if p else s", NotVectorError), ("s + a", NotVectorError), ("s < t", NotVectorError), ("-s", NotVectorError),
    ("s == a", NotVectorError), ("a in (s, b)", NotVectorError), ("a in s", NotVectorError), ("1.5", NotVectorError),
    ("None", NotVectorError), ("max(s, t)", NotVectorError), ("a is b", NotVectorError), ("~a", NotVectorError),
    ("L[77]", NotVectorError), ("A[77]", NotVectorError), ("T[0]", NotVectorError), ("Q[0]", NotVectorError),
    ("L[a]", NotVectorError), ("A['x']", NotVectorError),
)  # fmt: skip


@pytest.mark.parametrize(("source", "error"), REFUSED, ids=[source for source, _ in REFUSED])
def test_what_no_generated_check_says_is_refused(source, error):
    """Not one of these may be taken for something it is not."""
    with pytest.raises(error):
        FIRST._expression(ast.parse(source, mode="eval").body, NAMES)


@pytest.mark.parametrize(
    ("source", "clears"),
    [
        ("pass", [True, True]),
        ("r += (1,)", [False, False]),
        ("if a > 1: r += (1,)", [True, False]),
        ("if a > 1: r += (1,)\nif a < 2: r += (1,)", [False, False]),
        ("if a > 1:\n if p: r += (1,)", [True, True]),
        ("positive(a - 1)", [None, True]),
        ("if p: positive(a - 1)", [True, True]),
    ],
)
def test_statements_fail_where_python_would_note_the_rule(source, clears):
    """A fact that is only looked at fails nobody who has it."""
    rows: list[dict[str, Any]] = [{"a": n, "b": 0, "c": 0, "p": False, "q": False, "s": "", "t": ""} for n in (1, 2)]
    step = FIRST._failing(ast.parse(source).body, NAMES)
    found = read(FIRST.code.run(as_columns(rows), (step,))[0], 2)
    assert [None if v is None else not v for v in found] == clears


@pytest.mark.parametrize("source", ["while p: pass", "if p: pass\nelse: pass", "x = a", "return a", "del a"])
def test_other_statements_are_refused(source):
    with pytest.raises(NotVectorError):
        FIRST._failing(ast.parse(source).body, NAMES)


# ---- whole checks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_it_clears_what_the_generated_function_clears(seed):
    """Row by row the function for one order, with all facts there: the same rules run another way."""
    random_ = Random(700 + seed)
    live = Desk(cases.book(), cases.document(random_, rare=0), VOCABULARY)
    vector = VectorBook(live, small=0)
    orders = cases.on_limits(live, random_, 24)
    compiled = {a: CompiledBook(live.rules_of(a), VOCABULARY, live.snapshot) for a in cases.ACCOUNTS}
    admitted = 0
    for facts, found in zip(typed([{**o, "id": f"O{n}"} for n, o in enumerate(orders)]), alone(vector, orders)[0],
                            strict=True):  # fmt: skip
        account = str(facts["order.account"])
        answer = compiled[account].check(account, (facts,))
        assert found <= (not answer.keys)
        admitted += found and not answer.keys
    assert admitted
    assert not vector.tally().unfit


@pytest.mark.parametrize("seed", range(4))
def test_no_form_alone_clears_what_does_not_pass(seed):
    """The two forms together are not asked: each has to be right by itself."""
    random_ = Random(720 + seed)
    live = plain_desk(cases.book(), cases.document(random_, rare=8))
    vector = VectorBook(live, small=0)
    sound(live, vector, [cases.plain(random_, n, live) for n in range(24)])
    happenings = cases.Happenings(live, random_)
    for _ in range(6):
        happenings.apply()
    sound(live, vector, [cases.plain(random_, n, live) for n in range(24)])


def test_rules_are_counted_with_those_that_have_no_generated_check():
    """Else the forms could agree on a rule that neither has looked at."""
    apart = "max(order.quantity / instrument.adv, 0) <= 5"
    _, vector = desk_of(
        cases.rule("one", "order", "", "order.quantity <= 9") + cases.rule("two", "order", "", apart),
        instruments=[instrument("ACME", adv="1")],
    )
    assert alone(vector, [order("buy", 5), order("buy", 6), order("buy", 10)])[0] == [True, False, False]
    forms = vector.book.seats[0].forms
    assert forms is not None
    assert forms.first.count == forms.second.count == 2
    assert [len(check.slow) for check in forms.first.plan.checks.values()] == [1]


def test_alike_kinds_of_order_share_one_step():
    """The source is the same for two order types that no rule tells apart."""
    first = first_of(cases.rule("r", "order", "", "order.quantity <= 5"))
    assert first.cleared("buy", "limit") == first.cleared("buy", "market")
    other = first_of(cases.rule("r", "order", "order.ord_type == limit", "order.quantity <= 5"))
    assert other.cleared("buy", "limit") != other.cleared("buy", "market")


def test_a_check_of_another_shape_is_refused():
    """One rule's lines lost from the generated source would clear orders unseen."""
    first = first_of(cases.rule("r", "order", "", "order.quantity <= 5"))
    check = first.plan.check("buy", "limit")
    assert first._written(check, []) >= 0
    lost = "def careful(o, L, A, trader):\n    r = ()\n    return r\n"
    with pytest.raises(NotVectorError, match="another shape"):
        first._written(replace(check, source=lost), [])
