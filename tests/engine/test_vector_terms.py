"""Terms over columns: random ones of the rule language, each element compared with the reference meaning in Fractions.

A column may say that it does not know (the single path decides then); it may never say something else, and what the
reference calls missing it must call missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lexorder.engine.evaluate import Point, value
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import MissingFactError, Subject
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import FILL_NAMES, Term, depends_on_fills
from lexorder.engine.typecheck import term_of
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_code import NotVectorError
from lexorder.engine.vector_frame import Frame
from lexorder.engine.vector_terms import Around, Terms
from tests import strategies_terms
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import frames_of, plain_desk, read, typed
from tests.worlds import VOCABULARY, instrument, order, world

AROUND = Around(("account", "order"))
ENTITIES = ("order", "account", "instrument", "market", "trader", "strategy", "position", "clock", "firm", "session")
CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
QUIET = settings(max_examples=50, deadline=None, suppress_health_check=CHECKS)
LONG = settings(max_examples=1_500, deadline=None, suppress_health_check=CHECKS)


def readable(name: Any) -> bool:
    """Names of facts that an order leads to and that fills do not change."""
    return name.entity in ENTITIES and name.name not in FILL_NAMES and name.means is None


NUMBERS = strategies_terms.terms(VOCABULARY, "order", 3, readable)
CONDITIONS = strategies_terms.conditions(VOCABULARY, "order", 3, readable)


class Stage:
    """One desk with some orders in frames, and a place to write terms into each form."""

    def __init__(self, seed: int, rare: int = 15) -> None:
        random_ = Random(seed)
        self.desk = plain_desk(cases.book(), cases.document(random_, rare))
        self.vector = VectorBook(self.desk, small=0)
        orders = [cases.plain(random_, n, self.desk) for n in range(14)]
        self.facts = typed([{k: v for k, v in o.items() if v is not None} for o in orders])
        self.frames = frames_of(self.vector, self.facts)

    def forms(self) -> list[tuple[Terms, Frame]]:
        """Both forms, each with its frame."""
        book = self.vector.book
        self.frames[1].old = book.old
        return list(zip((book.terms, book.leaves), self.frames, strict=True))

    def expected(self, term: Term) -> list[Any]:
        """The reference meaning of a term for each order of the frames, None where it is missing."""
        return [self._one(term, self.facts[place]) for place in self.frames[0].places.tolist()]

    def _one(self, term: Term, facts: Facts) -> Any:
        seen = self.desk.live.projection(str(facts["order.account"]), (facts,))
        stack = (account_subject(seen), Subject("order", str(facts["order.id"]), facts))
        try:
            return value(term, Point(seen, stack, {}, {}))
        except (MissingFactError, ZeroDivisionError):
            return None

    def number(self, terms: Terms, frame: Frame, term: Term) -> list[Fraction | None]:
        """What a form says of a number."""
        found = terms.number(term, AROUND)
        wanted = (found.step,) if found.den < 0 else (found.step, found.den)
        self.vector.book.old.refresh(self.vector.book.copies[1].odd & False)
        columns = [read(column, len(frame.places)) for column in terms.code.run(frame, wanted)]
        dens = columns[1] if found.den >= 0 else [1] * len(frame.places)
        return [
            None if top is None or not den else Fraction(top, found.scale * den)
            for top, den in zip(columns[0], dens, strict=True)
        ]

    def truth(self, terms: Terms, frame: Frame, term: Term) -> list[bool | None]:
        """What a form says of a condition."""
        step = terms.truth(term, AROUND)
        self.vector.book.old.refresh(self.vector.book.copies[1].odd & False)
        return [None if v is None else bool(v) for v in read(terms.code.run(frame, (step,))[0], len(frame.places))]


STAGES = [Stage(seed) for seed in range(4)]


def agree(found: Sequence[Any], expected: Sequence[Any]) -> int:
    """Exact or not known, and not known where the reference does not know; how many are known."""
    for got, wanted in zip(found, expected, strict=True):
        assert got is None or (wanted is not None and got == wanted)
    return sum(got is not None for got in found)


def number_agrees(term: Term, stage: Stage) -> None:
    """Both forms of a number against the reference, unless they refuse it."""
    assume(not depends_on_fills(term))
    for terms, frame in stage.forms():
        try:
            found = stage.number(terms, frame, term)
        except NotVectorError:
            continue
        agree(found, stage.expected(term))


def truth_agrees(term: Term, stage: Stage) -> None:
    """The same of a condition."""
    assume(not depends_on_fills(term))
    for terms, frame in stage.forms():
        try:
            found = stage.truth(terms, frame, term)
        except NotVectorError:
            continue
        agree(found, stage.expected(term))


@given(term=NUMBERS, stage=st.sampled_from(STAGES))
@QUIET
def test_numbers_are_exact_or_not_known(term, stage):
    number_agrees(term, stage)


@given(term=CONDITIONS, stage=st.sampled_from(STAGES))
@QUIET
def test_conditions_are_those_of_the_reference_or_not_known(term, stage):
    truth_agrees(term, stage)


@pytest.mark.slow
@given(term=NUMBERS, stage=st.sampled_from(STAGES))
@LONG
def test_many_numbers(term, stage):
    number_agrees(term, stage)


@pytest.mark.slow
@given(term=CONDITIONS, stage=st.sampled_from(STAGES))
@LONG
def test_many_conditions(term, stage):
    truth_agrees(term, stage)


WRITTEN = (
    "order.quantity * 3 - 7",
    "order.notional",
    "abs(order.quantity - 50)",
    "min(order.quantity, 10)",
    "max(instrument.mark, instrument.bid) * 105%",
    "(instrument.ask - instrument.bid) / 2",
    "instrument.mark / instrument.adv",
    "if order.side == buy then order.quantity else -order.quantity",
    "if instrument.halted then 1 else 2",
    "account.nav - account.cash",
    "account.nav * 0.0625",
    "account.orders_today + 2",
    "-instrument.multiplier",
    "order.quantity / account.max_orders_per_day",
    "trader.traded_today",
)
"""Numbers of each shape there is a formula for."""


@pytest.mark.parametrize("text", WRITTEN)
def test_numbers_with_a_formula(text):
    """The same with the first form at least: were it refused, the random terms above would show little."""
    term = term_of(text, VOCABULARY, "order")
    known = 0
    for stage in STAGES:
        terms, frame = stage.forms()[0]
        known += agree(stage.number(terms, frame, term), stage.expected(term))
    assert known > 10


CONDITIONED = (
    "order.quantity <= 50",
    "order.price >= instrument.mark",
    "order.price == instrument.mark or order.ord_type == market",
    "not instrument.halted",
    "order.side in {buy, sell}",
    "order.side not in {buy}",
    'instrument.sector == "Tech"',
    "order.has_locate and order.side == sell_short",
    "account.nav > 100_000 or instrument.adv > 100",
    "order.symbol not in lists.restricted",
    "clock.now >= session.open",
    "order.time_in_force != GTC",
    "trader.role == junior_trader",
    "account.orders_today < account.max_orders_per_day",
)
"""Conditions of each shape."""


@pytest.mark.parametrize("text", CONDITIONED)
def test_conditions_with_a_formula(text):
    term = term_of(text, VOCABULARY, "order")
    known = 0
    for stage in STAGES:
        terms, frame = stage.forms()[0]
        known += agree(stage.truth(terms, frame, term), stage.expected(term))
    assert known > 10


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("order.quantity * instrument.mark", 3 * Fraction("12.3456")),
        ("instrument.mark * instrument.mark", Fraction("12.3456") ** 2),
        ("order.quantity * 1_000_000_000_000", Fraction(3 * 10**12)),
        ("(order.quantity - 1) / 7", Fraction(2, 7)),
        ("instrument.mark / 3", Fraction("12.3456") / 3),
        ("order.price - instrument.mark", Fraction("0.0001")),
    ],
)
def test_by_hand(text, shown):
    """One order, one figure, worked out on paper."""
    desk = plain_desk(cases.book(), world(instruments=[instrument("ACME", "12.3456")]))
    vector = VectorBook(desk, small=0)
    facts = typed([order("buy", 3, price="12.3457")])
    for terms, frame in zip((vector.book.terms, vector.book.leaves), frames_of(vector, facts), strict=True):
        found = terms.number(term_of(text, VOCABULARY, "order"), AROUND)
        wanted = (found.step,) if found.den < 0 else (found.step, found.den)
        columns = [read(column, 1)[0] for column in terms.code.run(frame, wanted)]
        assert Fraction(columns[0], found.scale * (columns[1] if found.den >= 0 else 1)) == shown


class TestAtTheEndsOf64Bits:
    """Quantities and prices at the greatest the vocabulary admits: exact, or not known, never wrapped."""

    prices = ("0.0001", "1", "999999.9999", "1999999.9999", "2000000")
    quantities = ("1", "2", "9999999", "10000000")

    def cases(self) -> list[Facts]:
        orders = [
            order("buy", quantity, price=price, id=f"O{n}-{m}")
            for n, quantity in enumerate(self.quantities)
            for m, price in enumerate(self.prices)
        ]
        return typed(orders)

    @pytest.mark.parametrize("power", [1, 2, 3, 4])
    def test_powers_of_a_notional(self, power):
        desk = plain_desk(cases.book(), world())
        vector = VectorBook(desk, small=0)
        facts = self.cases()
        frame = frames_of(vector, facts)[0]
        assert len(frame.places) == len(facts)
        terms = vector.book.terms
        one = terms.number(term_of("order.quantity * order.price", VOCABULARY, "order"), AROUND)
        step, scale = one.step, one.scale
        for _ in range(power - 1):
            step, scale = terms.code.apply("*", step, one.step), scale * one.scale
        found = read(terms.code.run(frame, (step,))[0], len(facts))
        exact = [(f["order.quantity"] * f["order.price"]) ** power for f in facts]  # type: ignore[operator]
        for got, wanted in zip(found, exact, strict=True):
            assert got is None or Fraction(got, scale) == wanted
        if power == 1:
            assert None not in found

    def test_a_sum_just_within_and_just_beyond(self):
        """A number that fits is known, one unit more is not, and the others of the column do not suffer."""
        desk = plain_desk(cases.book(), world())
        vector = VectorBook(desk, small=0)
        facts = typed([order("buy", 1, id="a"), order("buy", 2, id="b")])
        frame = frames_of(vector, facts)[0]
        code = vector.book.terms.code
        quantity = code.read(frame_level(), "order", "order.quantity")
        for constant, known in ((2**63 - 3, [True, True]), (2**63 - 2, [True, False])):
            step = code.apply("+", quantity, code.constant(constant))
            found = read(code.run(frame, (step,))[0], 2)
            assert [got is not None for got in found] == known
            assert [got for got in found if got is not None] == [
                n + constant for n, ok in zip((1, 2), known, strict=True) if ok
            ]


def frame_level() -> Any:
    """The level of what differs from order to order."""
    from lexorder.engine.vector_code import Level

    return Level.ROW


def test_a_sum_that_reads_the_order_is_refused_before_anything_is_kept():
    """Kept, it could never be added up, and every later sum of the form would wait behind it."""
    stage = Stage(9)
    leaves = stage.forms()[1][0]
    before = len(stage.vector.book.old.kept)
    term = term_of("sum(position.before.quantity where order.side == buy)", VOCABULARY, "order")
    with pytest.raises(NotVectorError):
        leaves.number(term, AROUND)
    assert len(stage.vector.book.old.kept) == before


def test_what_has_no_formula_and_no_place_is_refused():
    stage = STAGES[0]
    terms = stage.forms()[0][0]
    for text in ("sum(position.before.quantity where position.before.quantity > 0)", "count(working_order)"):
        with pytest.raises(NotVectorError):
            terms.number(term_of(text, VOCABULARY, "account"), Around(("account",)))
