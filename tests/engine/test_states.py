"""Fill states: every whole number of every order, each once, and no more than can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.states import STATES_MAX, states

QUANTITIES = st.lists(st.integers(0, 4), max_size=4)


def orders(quantities: Sequence[int]) -> list[tuple[tuple[str, str], Fraction]]:
    return [(("order", str(n)), Fraction(q)) for n, q in enumerate(quantities)]


@given(quantities=QUANTITIES)
def test_every_state_is_there_once(quantities):
    """Counted by multiplication; each order within its quantity."""
    found = [tuple(sorted(s.items())) for s in states(orders(quantities), corners=False)]
    assert len(found) == len(set(found)) == prod(q + 1 for q in quantities)
    for state in found:
        assert all(0 <= filled <= quantities[int(key[1])] and filled.denominator == 1 for key, filled in state)


@given(quantities=QUANTITIES)
def test_corners_are_those_states_where_each_order_is_whole_or_not_at_all(quantities):
    every = {tuple(sorted(s.items())) for s in states(orders(quantities), corners=False)}
    corner = {tuple(sorted(s.items())) for s in states(orders(quantities), corners=True)}
    assert corner == {s for s in every if all(filled in (0, quantities[int(key[1])]) for key, filled in s)}


def test_no_orders_leave_one_state():
    assert list(states([], corners=False)) == list(states([], corners=True)) == [{}]


@pytest.mark.parametrize(
    ("quantities", "corners", "known"),
    [
        ([STATES_MAX - 1], False, True),
        ([STATES_MAX], False, False),
        ([63, 63], False, True),
        ([63, 64], False, False),
        ([10**7] * 12, True, True),
        ([10**7] * 13, True, False),
        ([2**63], True, True),
    ],
)
def test_as_many_as_can_be_looked_at_and_one_more(quantities, corners, known):
    """2 to the 12th is 4,096: twelve orders whole or not, or one of 4,095 shares."""
    if known:
        assert sum(1 for _ in states(orders(quantities), corners)) <= STATES_MAX
    else:
        with pytest.raises(MissingFactError, match="larger than 4096"):
            next(states(orders(quantities), corners))


def test_a_part_of_a_share_has_corners_alone():
    """Between them there is no end of states."""
    half = [(("order", "1"), Fraction(1, 2))]
    assert [s["order", "1"] for s in states(half, corners=True)] == [0, Fraction(1, 2)]
    with pytest.raises(MissingFactError):
        next(states(half, corners=False))
