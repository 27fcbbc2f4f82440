"""Steps: equal ones are one, each runs where it costs least, and nothing is worked out again without cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine import vector_columns as vc
from lexorder.engine.vector_code import OPERATIONS, Code, Level
from lexorder.engine.vector_columns import Column, Ints
from tests.engine.vector_reading import read


@dataclass
class Things:
    """Facts of three instruments and two accounts; `reads` counts how often each was asked for."""

    facts: dict[tuple[Level, str], list[int | None]]
    stamps: dict[Level, int] = field(default_factory=dict)
    reads: list[tuple[Level, str]] = field(default_factory=list)
    kept: dict[tuple[Level, str], tuple[list[int | None], Column]] = field(default_factory=dict)

    def word(self, text: str) -> int:
        return len(text)

    def stamp(self, level: Level) -> object:
        return self.stamps.get(level, 0)

    def read(self, level: Level, what: tuple[Any, ...]) -> Column:
        """The same column while the values are the same, as `Tables` does."""
        key = (level, what[0])
        self.reads.append(key)
        values = self.facts[key]
        if key not in self.kept or self.kept[key][0] != values:
            self.kept[key] = (list(values), vc.from_integers(values))
        return self.kept[key][1]

    def change(self, level: Level, what: str, values: list[int | None]) -> None:
        self.facts[level, what] = values
        self.stamps[level] = self.stamps.get(level, 0) + 1


@dataclass
class Rows:
    """Four rows, each with its instrument, account and quantity."""

    instruments: list[int] = field(default_factory=lambda: [0, 1, 2, 1])
    accounts: list[int] = field(default_factory=lambda: [0, 0, 1, 1])
    quantity: list[int | None] = field(default_factory=lambda: [5, 6, None, 8])

    def index(self, level: Level) -> Ints:
        return np.array(self.instruments if level is Level.INSTRUMENT else self.accounts, dtype=np.int64)

    def read(self, what: tuple[Any, ...]) -> Column:
        assert what == ("quantity",)
        return vc.from_integers(self.quantity)


def things() -> Things:
    return Things(
        {
            (Level.INSTRUMENT, "mark"): [10, 20, 30],
            (Level.INSTRUMENT, "adv"): [1, None, 3],
            (Level.ACCOUNT, "nav"): [1000, 2000],
            (Level.ONCE, "limit"): [7],
        }
    )


def code() -> Code:
    return Code(things())


class TestPuttingTogether:
    """Numbers of steps and their levels."""

    def test_equal_steps_are_one(self):
        made = code()
        one, two = made.read(Level.INSTRUMENT, "mark"), made.read(Level.INSTRUMENT, "mark")
        assert one == two
        assert made.apply("+", one, made.constant(1)) == made.apply("+", two, made.constant(1))
        assert made.apply("+", one, made.constant(1)) != made.apply("+", made.constant(1), one)
        assert made.constant(1) != made.truth(True)
        assert made.constant(1) != made.word(1)
        assert made.divided(one, 1) == one
        assert made.divided(one, 5) == made.divided(one, 5)

    @pytest.mark.parametrize(
        ("levels", "expected"),
        [
            ((Level.ONCE, Level.ONCE), Level.ONCE),
            ((Level.ONCE, Level.INSTRUMENT), Level.INSTRUMENT),
            ((Level.INSTRUMENT, Level.INSTRUMENT), Level.INSTRUMENT),
            ((Level.ACCOUNT, Level.INSTRUMENT), Level.ROW),
            ((Level.ACCOUNT, Level.ROW), Level.ROW),
            ((Level.TRADER, Level.STRATEGY), Level.ROW),
        ],
    )
    def test_where_steps_meet(self, levels, expected):
        made = code()
        step = made.apply("+", *(made.read(level, f"fact {n}") for n, level in enumerate(levels)))
        assert made.steps[step].level is expected

    def test_what_steps_read_of_the_rows(self):
        made = code()
        quantity = made.read(Level.ROW, "order", "order.quantity")
        mark = made.read(Level.INSTRUMENT, "mark")
        assert made.row_facts(made.apply("*", quantity, mark)) == {"order"}
        assert made.row_facts(mark) == set()
        both = made.apply("+", made.apply("*", quantity, mark), made.read(Level.ROW, "x"))
        assert made.row_facts(both) == {"order", "x"}


class TestRunning:
    """Results, and how often they are worked out."""

    def test_each_row_gets_what_belongs_to_it(self):
        made = code()
        value = made.apply("*", made.read(Level.ROW, "quantity"), made.read(Level.INSTRUMENT, "mark"))
        within = made.apply("<=", value, made.read(Level.ACCOUNT, "nav"))
        number, truth = made.run(Rows(), (value, within))
        assert read(number, 4) == [50, 120, None, 160]
        assert read(truth, 4) == [True, True, None, True]

    def test_the_order_asked_for_is_the_order_given(self):
        made = code()
        one, two = made.read(Level.ROW, "quantity"), made.read(Level.ONCE, "limit")
        assert [read(c, 4) for c in made.run(Rows(), (two, one, two))] == [[7] * 4, [5, 6, None, 8], [7] * 4]

    def test_a_missing_fact_is_missing_for_its_rows_alone(self):
        made = code()
        assert read(made.run(Rows(), (made.read(Level.INSTRUMENT, "adv"),))[0], 4) == [1, None, 3, None]

    def test_what_is_above_the_rows_is_kept(self):
        facts = things()
        made = Code(facts)
        doubled = made.apply("*", made.read(Level.INSTRUMENT, "mark"), made.read(Level.ONCE, "limit"))
        first = made.settled(doubled)
        assert read(first, 3) == [70, 140, 210]
        assert made.settled(doubled) is first
        assert len(facts.reads) == 2

    def test_a_stamp_without_a_change_costs_a_look(self):
        facts = things()
        made = Code(facts)
        doubled = made.apply("*", made.read(Level.INSTRUMENT, "mark"), made.constant(2))
        first = made.settled(doubled)
        facts.change(Level.INSTRUMENT, "mark", [10, 20, 30])
        assert made.settled(doubled) is first

    @given(
        st.lists(
            st.tuples(st.sampled_from(("mark", "adv")), st.lists(st.integers(-9, 9), min_size=3, max_size=3)),
            max_size=6,
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_a_change_is_seen(self, changes):
        facts = things()
        made = Code(facts)
        step = made.apply("+", made.read(Level.INSTRUMENT, "mark"), made.read(Level.INSTRUMENT, "adv"))
        for what, values in changes:
            facts.change(Level.INSTRUMENT, what, list(values))
            pairs = zip(facts.facts[Level.INSTRUMENT, "mark"], facts.facts[Level.INSTRUMENT, "adv"], strict=True)
            assert read(made.settled(step), 3) == [
                None if None in p else sum(x for x in p if x is not None) for p in pairs
            ]


class TestOperations:
    """Every named operation over columns is that of integers; `None` stands for missing."""

    numbers = st.lists(st.one_of(st.none(), st.integers(-50, 50)), min_size=4, max_size=4)

    @staticmethod
    def run(name: str, *values: list[int | None]) -> list[Any]:
        return read(OPERATIONS[name](*(vc.from_integers(v) for v in values)), 4)

    @given(one=numbers, other=numbers)
    @settings(max_examples=60, deadline=None)
    def test_two_numbers(self, one, other):
        plain: dict[str, Callable[[int, int], Any]] = {
            "+": lambda a, b: a + b,
            "-": lambda a, b: a - b,
            "*": lambda a, b: a * b,
            "max": max,
            "min": min,
            "==": lambda a, b: a == b,
            "!=": lambda a, b: a != b,
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
        }
        for name, exact in plain.items():
            wanted = [None if None in pair else exact(*pair) for pair in zip(one, other, strict=True)]
            assert self.run(name, one, other) == wanted, name

    @given(one=numbers)
    @settings(max_examples=60, deadline=None)
    def test_one_number(self, one):
        assert self.run("negated", one) == [None if v is None else -v for v in one]
        assert self.run("abs", one) == [None if v is None else abs(v) for v in one]
        assert self.run("positive", one) == [v if v is not None and v > 0 else None for v in one]

    @given(one=numbers, other=numbers)
    @settings(max_examples=60, deadline=None)
    def test_even_division(self, one, other):
        wanted = [
            a // b if None not in (a, b) and b > 0 and not a % b else None for a, b in zip(one, other, strict=True)
        ]
        assert self.run("evenly", one, other) == wanted

    truths = st.lists(st.sampled_from((True, False, None)), min_size=4, max_size=4)

    @staticmethod
    def truth(values: list[bool | None]) -> vc.Truths:
        gone = np.array([v is None for v in values])
        return vc.Truths(np.array([bool(v) for v in values]), gone if gone.any() else None)

    @given(one=truths, other=truths)
    @settings(max_examples=100, deadline=None)
    def test_conditions_are_looked_at_from_left_to_right(self, one, other):
        """As Python's own, with an exception for what is missing."""
        both = read(OPERATIONS["and"](self.truth(one), self.truth(other)), 4)
        either = read(OPERATIONS["or"](self.truth(one), self.truth(other)), 4)
        for a, b, got_and, got_or in zip(one, other, both, either, strict=True):
            assert got_and == (None if a is None else a and b)
            assert got_or == (None if a is None else a or b)

    @given(one=truths, chosen=numbers, other=numbers)
    @settings(max_examples=100, deadline=None)
    def test_counting_and_choosing(self, one, chosen, other):
        assert read(OPERATIONS["counted"](self.truth(one)), 4) == [None if v is None else int(v) for v in one]
        assert read(OPERATIONS["not"](self.truth(one)), 4) == [None if v is None else not v for v in one]
        found = read(OPERATIONS["if"](self.truth(one), vc.from_integers(chosen), vc.from_integers(other)), 4)
        assert found == [None if c is None else a if c else b for c, a, b in zip(one, chosen, other, strict=True)]

    @given(one=st.sampled_from((True, False)), other=truths)
    @settings(max_examples=40, deadline=None)
    def test_one_value_for_all_is_as_good_as_many(self, one, other):
        alike, many = vc.Truths(one), self.truth([one] * 4)
        for name in ("and", "or"):
            for first, second in ((alike, self.truth(other)), (self.truth(other), alike)):
                wide = tuple(many if x is alike else x for x in (first, second))
                assert read(OPERATIONS[name](first, second), 4) == read(OPERATIONS[name](*wide), 4)
