"""Integers of a row: exact at their scale, and within bounds that no formula overflows, whatever comes together."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import accumulate
from math import gcd
from operator import add, mul, sub
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.emit import plan
from lexorder.engine.expert.lower import Scales
from lexorder.engine.expert.lowered import Leaf, variable_of
from lexorder.engine.expert.rowplan import Cell, Rowed, RowPlan, rowplan
from lexorder.engine.expert.rowvalues import SCALE_MAX, Bounds, FinerError, spelt, spelt_word
from lexorder.engine.rule import Rule
from tests.expert.books import rules, simple
from tests.worlds import VOCABULARY

MAX = 2**63 - 1
BOOK = rules(
    "rule: weight\ntitle: T\nfor_each: issuer\nrequire: sum(abs(position.after.value)) <= 5% * account.nav",
    "rule: net\ntitle: T\nfor_each: account\nrequire: sum(position.after.value) <= 10% * account.nav",
    "rule: cash\ntitle: T\nfor_each: account\nrequire: account.after.cash >= 2% * account.nav",
    "rule: small\ntitle: T\nrequire: order.quantity <= 5% * instrument.adv",
    "rule: closing\ntitle: T\nfor_each: position\nwhen: account.nav < 90_000\n"
    "require: position.after.quantity <= max(0, position.before.quantity)",
)


@cache
def plan_of(book: tuple[Rule, ...], scales: tuple[tuple[Leaf, int], ...]) -> RowPlan:
    return rowplan(plan(book, VOCABULARY), book, VOCABULARY, dict(scales))


def planned(book: tuple[Rule, ...] = BOOK, scales: Scales | None = None) -> tuple[RowPlan, Bounds]:
    """A plan, which never changes, and bounds that are new each time."""
    made = plan_of(book, tuple((scales or {}).items()))
    return made, Bounds(made, scales or {})


def a_number(made: RowPlan) -> Cell:
    """A cell that holds a scaled number."""
    return next(c for c in made.cells if c.leaf.kind == "number" and c.leaf.what == "term")


# ---- an evaluator of formulas that knows no bound: Python's integers ------------------------------


def worked(node: f.Node, values: dict[str, int]) -> int:
    """What a formula of numbers comes to; every step must fit 64 bits, in branches that are not taken too."""
    inner = [worked(child, values) for child in f.children(node)]
    match node:
        case f.Int(value=number):
            found = number
        case f.Var(name=name):
            found = values[name]
        case f.Apply(op=op):
            found = reduced(op, inner)
        case f.Pick():
            found = max(inner[1:], key=abs)
        case _:
            found = 0
    assert abs(found) <= MAX
    return found


def reduced(op: str, inner: list[int]) -> int:
    """An operation from left to right, as CLIPS does it."""
    steps = list(accumulate(inner, STEPS[op]))
    assert all(abs(step) <= MAX for step in steps)
    return abs(steps[-1]) if op == "abs" else steps[-1]


STEPS: dict[str, Callable[[int, int], int]] = {"+": add, "-": sub, "*": mul, "min": min, "max": max, "abs": add}


def corners(rowed: Rowed, bounds: Bounds, random: Random) -> dict[str, int]:
    """Values at the ends of what a variant was proved for, or anywhere between."""
    values = {}
    keys: list[tuple[str, int | str]] = [(variable_of(name), name) for name in rowed.variant.lowered.slots]
    keys += [(f"k{n}", c.number) for n, c in enumerate(rowed.cells) if c.number in bounds.ranges]
    for variable, key in keys:
        low, high = bounds.limits.get(key, {}).get(rowed.number, bounds.ranges[key])
        values[variable] = random.choice((low, high, random.randint(low, high)))
    return values


amounts = st.one_of(
    st.integers(-100, 100),
    st.builds(
        lambda bits, off, sign: sign * ((1 << bits) + off),
        st.integers(0, 64),
        st.integers(-1, 1),
        st.sampled_from((-1, 1)),
    ),
    st.integers(-(2**64), 2**64),
)


class TestProof:
    @given(st.lists(st.tuples(st.integers(0, 40), amounts), max_size=30), st.integers(0, 10**6))
    @settings(max_examples=60, deadline=None)
    def test_no_combination_of_admitted_values_overflows(self, told, seed):
        """Numbers in any order for any slot; afterwards no formula leaves 64 bits on what it was proved for."""
        made, bounds = planned()
        keys = list(bounds.ranges)
        given: list[tuple[int | str, int]] = []
        for place, number in told:
            key = keys[place % len(keys)]
            if bounds.admits(key, number):
                given.append((key, number))
        random = Random(seed)
        for rowed in made.rowed:
            assert bounds.proved(rowed)
            for _ in range(3):
                values = corners(rowed, bounds, random)
                worked(rowed.variant.lowered.broken, values)
                worked(rowed.variant.lowered.passive, values)
        for key, number in given:
            low, high = bounds.ranges[key]
            assert low <= number <= high, "an admitted number must stay admitted"

    @given(st.integers(0, 60), amounts)
    @settings(max_examples=60, deadline=None)
    def test_a_variant_proved_for_less_is_named_for_more(self, place, number):
        made, bounds = planned()
        keys = list(bounds.ranges)
        key = keys[place % len(keys)]
        admitted = bounds.admits(key, number)
        off = bounds.beyond(key, number) if admitted else frozenset()
        readers = {r.number for r in made.rowed if key in [c.number for c in r.cells] or key in r.variant.lowered.slots}
        assert off <= readers
        assert off != readers or not readers or not admitted
        for rowed in (r for r in made.rowed if r.number in readers - off and admitted):
            low, high = bounds.limits.get(key, {}).get(rowed.number, bounds.ranges[key])
            assert low <= number <= high

    @pytest.mark.parametrize(
        ("number", "fits"), [(MAX - 1, True), (1 - MAX, True), (MAX + 1, False), (-MAX - 1, False)]
    )
    def test_a_number_that_is_only_compared_may_have_all_64_bits(self, number, fits):
        book = simple("order.quantity <= instrument.adv")
        made, bounds = planned(book)
        (cell,) = (c for c in made.cells if c.leaf.kind == "number")
        assert bounds.admits(cell.number, number) is fits

    def test_what_was_refused_once_is_refused_at_once(self):
        made, bounds = planned()
        cell = a_number(made)
        assert not bounds.admits(cell.number, 2**70)
        before = dict(bounds.ranges)
        assert not bounds.admits(cell.number, 2**70)
        assert not bounds.admits(cell.number, -(2**71))
        assert bounds.ranges == before
        assert bounds.admits(cell.number, 1)

    def test_room_is_made_beyond_the_value_so_that_few_proofs_are_needed(self, monkeypatch):
        made, bounds = planned()
        proofs = [0]
        real = bounds.proved

        def counting(rowed: Rowed) -> bool:
            proofs[0] += 1
            return real(rowed)

        monkeypatch.setattr(bounds, "proved", counting)
        for number in range(1, 5_000):
            assert bounds.admits(a_number(made).number, number)
        assert proofs[0] <= 14 * len(made.rowed)

    def test_one_variant_that_cannot_does_not_keep_the_others_back(self):
        """Net assets times 10^8 overflow; the same net assets compared as they are do not."""
        book = rules(
            "rule: fine\ntitle: T\nfor_each: account\nrequire: sum(position.after.value) <= 0.00000001 * account.nav",
            "rule: plain\ntitle: T\nfor_each: account\nrequire: sum(position.after.value) <= account.nav",
        )
        made, bounds = planned(book)
        shared = set.intersection(*({c.number for c in r.cells if c.leaf.kind == "number"} for r in made.rowed))
        sums = [c for c in made.cells if c.number in shared and c.leaf.what in ("old", "slope")]
        key = next(c.number for c in sums if c.leaf.what == "old")
        huge = 10**17
        assert bounds.admits(key, huge)
        assert {made.rowed[n].variant.rule.id for n in bounds.beyond(key, huge)} == {"fine"}
        for small in (1, -1, 10**6, 10**9):
            assert bounds.admits(key, small)
            assert bounds.beyond(key, small) == frozenset(), "one huge value must not keep a rule from CLIPS for ever"
        assert {made.rowed[n].variant.rule.id for n in bounds.beyond(key, huge)} == {"fine"}
        assert all(bounds.proved(rowed) for rowed in made.rowed)


class TestScales:
    @pytest.mark.parametrize(
        ("value", "wanted"),
        [
            (Fraction(1, 2), 100),
            (Fraction(1, 100), 100),
            (Fraction(1, 1000), 10**4),
            (Fraction(1, 10**8), 10**8),
            (Fraction(1, 3), 3),
            (Fraction(7, 6), 6),
            (Fraction(1, 10**8 + 1), None),
            (Fraction(1, 10**9), None),
            (Fraction(5), None),
        ],
    )
    def test_a_finer_value_asks_for_a_scale_that_holds_it(self, value, wanted):
        made, bounds = planned()
        cell = a_number(made)
        found = bounds.scaled(cell, value)
        if value.denominator == 1:
            assert found == value
            bounds.settle()
            return
        assert found is None
        if wanted is None:
            bounds.settle()
            return
        with pytest.raises(FinerError) as finer:
            bounds.settle()
        assert finer.value.scales == {cell.leaf: wanted}
        _, again = planned(scales=finer.value.scales)
        assert again.scaled(cell, value) == value * wanted

    @given(st.lists(st.fractions(max_denominator=10**8), min_size=1, max_size=5))
    @settings(max_examples=60, deadline=None)
    def test_asking_comes_to_an_end_and_then_every_value_is_exact_or_out(self, values):
        scales: Scales = {}
        made, bounds = planned()
        cell = a_number(made)
        found = [bounds.exact(cell, v) for v in values]
        for _ in range(len(values) + 2):
            if not bounds.wanted:
                break
            with pytest.raises(FinerError) as finer:
                bounds.settle()
            assert finer.value.scales[cell.leaf] % scales.get(cell.leaf, 1) == 0, "sums are carried over by a factor"
            scales = finer.value.scales
            made, bounds = planned(scales=scales)
            cell = a_number(made)
            found = [bounds.exact(cell, v) for v in values]
        assert not bounds.wanted
        scale = bounds.scales[cell.number]
        assert scale <= SCALE_MAX
        for value, number in zip(values, found, strict=True):
            assert number == value * scale if number is not None else scale % value.denominator

    def test_several_values_in_one_look_ask_for_one_scale(self):
        made, bounds = planned()
        cell = a_number(made)
        for below in (4, 10, 25):
            bounds.exact(cell, Fraction(1, below))
        assert bounds.wanted == {cell.leaf: 100}
        bounds.exact(cell, Fraction(1, 3))
        assert bounds.wanted[cell.leaf] == 300

    def test_shares_have_no_scale(self):
        made, bounds = planned()
        raw = next(c for c in made.cells if c.leaf.kind == "raw")
        assert bounds.exact(raw, Fraction(7)) == 7
        assert bounds.exact(raw, Fraction(7, 2)) is None
        assert not bounds.wanted

    def test_scales_written_into_formulas_keep_their_meaning(self):
        """The same exact values at two scales: a formula says the same of both."""
        made, bounds = planned(simple("order.quantity <= 5% * instrument.adv"))
        cell = a_number(made)
        fine = {cell.leaf: 10**4}
        other, finer = planned(simple("order.quantity <= 5% * instrument.adv"), fine)
        for quantity in (49, 50, 51):
            for adv in (Fraction(999), Fraction(1_000), Fraction(1_001)):
                told = []
                for layout, b in ((made, bounds), (other, finer)):
                    value = b.exact(a_number(layout), adv)
                    assert value is not None
                    (rowed,) = layout.rowed
                    told.append(compared(rowed.variant.lowered.broken, {"k0": value, "o-quantity": quantity}))
                assert told[0] is told[1] is (quantity > adv / 20)


def compared(node: f.Truth, values: dict[str, int]) -> bool:
    """A comparison, worked out in Python."""
    names = {name: f"v[{name!r}]" for name in f.variables(node)}
    return bool(eval(f"(lambda v: {f.python(node, names)})")(values))


class TestSpelling:
    @pytest.mark.parametrize(
        ("value", "text"), [(True, "TRUE"), (False, "FALSE"), ("limit", "limit"), ("True", "True"), ("", "")]
    )
    def test_values(self, value, text):
        assert spelt(value) == text

    @pytest.mark.parametrize(
        ("word", "text"), [("True", "TRUE"), ("False", "FALSE"), ("limit", "limit"), ("None", "None")]
    )
    def test_words(self, word, text):
        assert spelt_word(word) == text


def test_the_largest_scale_is_a_power_of_ten():
    assert gcd(SCALE_MAX, 10**20) == SCALE_MAX == 10**8
