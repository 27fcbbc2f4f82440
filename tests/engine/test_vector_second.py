"""The expert's formulas over columns: random trees against the Python that `formula.py` itself writes, and CLIPS rules.

What CLIPS is given as text is worked out by CLIPS; the same tree as columns must give the same for every row, or say
that it does not know where a value leaves 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.events import PositionSet
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.emit import plan
from lexorder.engine.expert.lowered import Leaf
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_columns import INT64, Column, Ints, Truths, Words, from_integers
from lexorder.engine.vector_second import Second, _Formula
from tests.engine import vector_cases as cases
from tests.engine.forms_alone import alone, desk_of, sound
from tests.engine.vector_reading import plain_desk, read
from tests.worlds import VOCABULARY, instrument, order, position, working, world

VECTOR = VectorBook(plain_desk(cases.book(), world()), small=0)
BOOK = VECTOR.book
NUMBERS, WORDS, FLAG = ("x", "y", "z"), ("DAY", "IOC", "GTC"), "held"
ROWS = 4


@dataclass
class Columns:
    """A frame whose facts are given here."""

    columns: Mapping[str, Column]

    def index(self, level: Level) -> Ints:
        raise AssertionError(level)

    def read(self, what: tuple[Any, ...]) -> Column:
        return self.columns[what[0]]


def bare() -> _Formula:
    """A formula's writer with four variables found: three numbers, a flag, and a word."""
    made = object.__new__(_Formula)
    made.code, made.terms, made.vocabulary, made.slots = BOOK.codes[1], BOOK.leaves, VOCABULARY, {}
    made.found = {name: made.code.read(Level.ROW, name) for name in (*NUMBERS, FLAG, "tif")}
    return made


WRITER = bare()
TESTS = ("=", "<>", "<", "<=", ">", ">=")


@st.composite
def numbers(draw: Any, depth: int) -> f.Number:
    if depth == 0:
        leaf: f.Number = draw(st.one_of(
            st.sampled_from([f.Var(n) for n in NUMBERS]), st.sampled_from((0, 1, -1, 7, 10**9, 3 * 10**18)).map(f.Int)
        ))  # fmt: skip
        return leaf
    one, two, three = (draw(numbers(depth - 1)) for _ in range(3))
    found: f.Number = draw(st.sampled_from((
        f.Apply("+", (one, two, three)), f.Apply("-", (one, two, three)), f.Apply("*", (one, two)),
        f.Apply("min", (one, two, three)), f.Apply("max", (one, two)), f.Apply("abs", (one,)),
        f.Pick(draw(truths(depth - 1)), one, two),
    )))  # fmt: skip
    return found


@st.composite
def truths(draw: Any, depth: int) -> f.Truth:
    if depth == 0:
        leaf: f.Truth = draw(st.one_of(
            st.booleans().map(f.Known), st.just(f.Same(FLAG, "TRUE")),
            st.sampled_from(WORDS).map(lambda w: f.Same("tif", w)),
        ))  # fmt: skip
        return leaf
    one, two = draw(truths(depth - 1)), draw(truths(depth - 1))
    test = f.Test(draw(st.sampled_from(TESTS)), draw(numbers(depth - 1)), draw(numbers(depth - 1)))
    found: f.Truth = draw(st.sampled_from((
        test, f.Logic("not", (one,)), f.Logic("and", (one, two, test)), f.Logic("or", (one, test, two)),
    )))  # fmt: skip
    return found


def rows_of(values: st.SearchStrategy[int]) -> st.SearchStrategy[list[dict[str, Any]]]:
    row: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(NUMBERS, values)
    row |= {FLAG: st.booleans(), "tif": st.sampled_from(WORDS)}
    return st.lists(st.fixed_dictionaries(row), min_size=ROWS, max_size=ROWS)


def as_columns(rows: Sequence[Mapping[str, Any]]) -> Columns:
    found: dict[str, Column] = {n: from_integers([r[n] for r in rows]) for n in NUMBERS}
    found[FLAG] = Truths(np.array([r[FLAG] for r in rows], dtype=np.bool_))
    found["tif"] = Words(np.array([BOOK.words.word(r["tif"]) for r in rows], dtype=np.int64))
    return Columns(found)


def by_python(node: f.Number | f.Truth, row: Mapping[str, Any]) -> Any:
    """The node as `formula.python` writes it, worked out by Python; a flag is the word TRUE where it holds."""
    source = f.python(node, {**{n: n for n in NUMBERS}, FLAG: FLAG, "tif": "tif"})
    return eval(source, {}, {**row, FLAG: "TRUE" if row[FLAG] else "FALSE"})


SMALL = st.integers(-3, 3)
WIDE = st.one_of(SMALL, st.sampled_from((2**32, 2**62, INT64, -INT64)))


def fits(node: f.Number | f.Truth, row: Mapping[str, Any]) -> bool:
    """Whether no intermediate result leaves 64 bits for this row, by the proof CLIPS relies on."""
    try:
        f.check(node, {n: (row[n], row[n]) for n in NUMBERS})
    except f.WideError:
        return False
    return True


@given(node=st.one_of(numbers(2), truths(3)), rows=rows_of(WIDE))
@settings(max_examples=60, deadline=None)
def test_a_formula_is_what_python_makes_of_it_or_not_known(node, rows):
    number = isinstance(node, f.Int | f.Var | f.Apply | f.Pick)
    step = WRITER.number(node) if number else WRITER.truth(node)
    found = read(WRITER.code.run(as_columns(rows), (step,))[0], ROWS)
    for got, row in zip(found, rows, strict=True):
        assert got is None or got == by_python(node, row)


@given(node=st.one_of(numbers(2), truths(2)), rows=rows_of(SMALL))
@settings(max_examples=50, deadline=None)
def test_what_fits_is_known(node, rows):
    """A column that never knew would clear nothing, and every test above would pass."""
    number = isinstance(node, f.Int | f.Var | f.Apply | f.Pick)
    step = WRITER.number(node) if number else WRITER.truth(node)
    if all(fits(node, row) for row in rows) and str(3 * 10**18) not in f.text(node) and str(10**9) not in f.text(node):
        assert read(WRITER.code.run(as_columns(rows), (step,))[0], ROWS) == [by_python(node, row) for row in rows]


def test_a_slot_of_the_order_that_is_no_number_is_refused():
    writer = bare()
    writer.slots = {"o-time-in-force": "order.time_in_force", "o-quantity": "order.quantity"}
    assert writer.number(f.Var("o-quantity")) >= 0
    with pytest.raises(NotVectorError, match=r"order\.time_in_force is no number"):
        writer.number(f.Var("o-time-in-force"))


# ---- leaves --------------------------------------------------------------------------------------------------


def test_a_leaf_of_another_kind_is_refused():
    with pytest.raises(NotVectorError, match="a leaf `nonsense`"):
        WRITER._number(Leaf("number", "nonsense"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["signal", "quote", "fill", "working_order", "pair", "strategy"])
def test_rules_with_other_subjects_are_refused(kind):
    variant = SimpleNamespace(rule=SimpleNamespace(id="named", for_each=kind), lowered=None)
    second = SimpleNamespace(code=BOOK.codes[1], terms=BOOK.leaves, old=BOOK.old)
    with pytest.raises(NotVectorError, match=f"named is for each {kind}"):
        _Formula(second, variant)  # type: ignore[arg-type]


def second_of(rules: str) -> Second:
    live, vector = desk_of(rules)
    wanted = live.rules_of("A")
    book = vector.book
    return Second(plan(wanted, VOCABULARY), [r.id for r in wanted], book.leaves, book.old)


def test_rules_that_clips_is_not_given_are_left_to_the_compiled_form():
    rules = cases.rule("plain", "order", "", "order.quantity <= 5") + cases.rule(
        "other", "account", "", "count(position where position.after.quantity != 0) <= 5"
    )
    second = second_of(rules)
    assert second.left == {"other"}
    assert second.count == 2


def test_a_rule_for_one_side_stops_no_other():
    """A variant names the sides it is for: on the others it must not be asked."""
    rule = cases.rule("r", "order", "order.side == sell_short", "order.quantity <= 5")
    asked = [order(side, q) for side in ("buy", "sell", "sell_short") for q in (5, 6)]
    for found in alone(desk_of(rule)[1], asked):
        assert found == [True, True, True, True, True, False]


def test_the_reason_names_the_rule():
    rule = cases.rule("long-name", "position", "", "max(position.after.quantity / instrument.adv, 0) <= 5")
    with pytest.raises(NotVectorError, match="long-name: a quotient inside a sum over names"):
        second_of(rule).cleared("buy")


MIXED: tuple[tuple[str, str], ...] = (
    ("account", "sum(position.before.value) + sum(order.notional) <= 2_000"),
    ("account", "sum(position.after.value) + sum(2 * position.before.value) <= 4_000"),
    ("issuer", "sum(position.after.quantity) + sum(position.before.quantity) <= 45"),
    ("account", "sum(abs(position.after.quantity)) - sum(position.before.quantity) <= 12"),
    ("position", "abs(position.after.quantity) - position.before.quantity <= 12"),
    ("position", "position.after.quantity - 2 * position.before.quantity <= 3"),
    ("account", "sum(order.notional where order.side == buy) + sum(working_order.notional) <= 1_500"),
    ("order", "order.quantity <= sum(position.before.quantity) * 30%"),
    ("order", "order.notional <= 30% * sum(position.before.value)"),
    ("trader", "sum(order.notional) <= 30% * sum(position.before.value)"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "require"), MIXED, ids=[m[1] for m in MIXED])
def test_sums_of_several_kinds_in_one_rule(kind, require):
    """Leaves of several kinds over one denominator, before and after a holding has changed."""
    live, vector = desk_of(
        cases.rule("r", kind, "", require),
        instruments=[instrument(n, m) for n, m in (("ACME", "100"), ("BETA", "33.3333"), ("COCO", "12.5"))],
        positions=[position("ACME", 10), position("BETA", -4)],
        working_orders=[working("W", "ACME", "buy", 2), working("V", "COCO", "sell", 1)],
    )
    asked = [order(side, n, name) for side in ("buy", "sell") for name in ("ACME", "COCO") for n in range(1, 16, 2)]
    before = sound(live, vector, asked)
    live.apply(PositionSet("A", "COCO", {"position.before.quantity": Fraction(5)}))
    live.apply(PositionSet("A", "BETA", {"position.before.quantity": Fraction(0)}))
    after = sound(live, vector, asked)
    assert before + after > 0 or vector.tally().unfit


@pytest.mark.parametrize("seed", range(3))
def test_it_clears_nothing_that_breaks_a_rule_clips_is_given(seed):
    """All shapes at once, by the expert's form alone, on and beside limits."""
    random_ = Random(seed)
    live = plain_desk(cases.book(), cases.document(random_, rare=4))
    vector = VectorBook(live, small=0)
    sound(live, vector, [cases.plain(random_, n, live) for n in range(30)])
