"""Integer rows in lots hold exactly where the exact condition in shares does."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import pytest

from lexorder.engine.facts import load_snapshot
from lexorder.engine.piecewise import constant, identity, joined_pieces, least
from lexorder.optimizers.board import Board
from lexorder.optimizers.row_units import in_units, names_of, unit_of, working_of
from lexorder.optimizers.separable import Atom, LoweringError, Sum, of_function
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rows import small


def board(*holdings: int, lots: tuple[int, ...] = (), cap: str = "0.3", **options: Any) -> Board:
    """Names at 10 with a NAV of 1,000: `cap` 0.3 lets a name reach 30 shares."""
    given: dict[str, Any] = small(*holdings, **options)
    for facts, lot in zip(given["instruments"], lots, strict=False):
        facts["lot"] = str(lot)
    return board_of(load_snapshot(given, VOCABULARY), VOCABULARY, ACCOUNT, (), Trading(cap=Fraction(cap)))


def units(found: Board) -> list[range]:
    return [range(name.lower, name.upper + 1) for name in names_of(found)]


def shares(found: Board, at: tuple[int, ...]) -> list[int]:
    """Every variable in shares where the names stand at these units and nothing of a working order is filled."""
    lots = [unit_of(found, n) for n in range(len(found.candidates))]
    return [lot * u + rest for u, (lot, rest) in zip(at, lots, strict=True)] + [0] * len(found.working)


def agree(atom: Atom, found: Board) -> set[bool]:
    """The answers met; every whole number of lots is compared."""
    functions, working, limit, scale, spared = in_units(atom, found)
    assert scale > 0
    assert 0 <= spared < 1
    assert working == ()
    answers = set()
    for at in product(*units(found)):
        x = shares(found, at)
        row = sum(function.value(at[n]) for n, function in functions)
        assert (row <= limit) is atom.holds(x), (at, x)
        answers.add(atom.holds(x))
    return answers


def a_part(random: Random, low: int, high: int) -> Any:
    starts = sorted({low, *(random.randint(low, high) for _ in range(random.randint(0, 2)))})
    polys = [
        (
            Fraction(random.randint(-9, 9), random.choice([1, 3])),
            Fraction(random.randint(-9, 9), random.choice([1, 7])),
            random.choice([Fraction(0), Fraction(0), Fraction(1, 5), Fraction(2)]),
        )
        for _ in starts
    ]
    return joined_pieces(low, high, zip(starts, polys, strict=True))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("lots", [(1, 1), (10, 3), (7, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_rows_and_conditions_agree_at_every_whole_lot_also_exactly_on_the_limit(seed, lots, strict):
    random = Random(f"{seed} {lots} {strict}")
    found = board(random.randint(0, 12), random.randint(0, 5), lots=lots, cap="0.12" if lots == (1, 1) else "0.3")
    total = Sum()
    for name in range(2):
        total = total.plus(of_function(name, a_part(random, *found.domains[name])))
    # The limit is what some holding has, and a hair beside it.
    at = tuple(random.choice(r) for r in units(found))
    for beside in (0, Fraction(1, 10**9), -Fraction(1, 10**9)):
        level = total.value(shares(found, at)) + beside
        agree(Atom(total.plus(Sum(-level)), strict), found)


def test_both_answers_occur_one_lot_beside_the_limit():
    found = board(13, lots=(10,))
    assert names_of(found)[0].held == 1, "13 shares are one lot of ten and an odd three"
    value = of_function(0, identity(*found.domains[0]).scaled(10))
    assert agree(Atom(value.plus(Sum(Fraction(-130)))), found) == {True, False}
    functions, _, limit, scale, _ = in_units(Atom(value.plus(Sum(Fraction(-130)))), found)
    assert [f.value(u) <= limit for _, f in functions for u in (1, 2)] == [True, False]
    assert scale == Fraction(1, 10), "a row unit is the ten dollars by which a share moves the sum"


def test_bounds_are_taken_inward_to_whole_lots_from_the_present_holding():
    found = board(13, 7, 0, lots=(10, 4, 9))
    for name, candidate in zip(names_of(found), found.candidates, strict=True):
        lot, rest = candidate.lot, candidate.held % candidate.lot
        assert candidate.held == name.held * lot + rest
        assert candidate.lower <= name.lower * lot + rest < candidate.lower + lot
        assert candidate.upper - lot < name.upper * lot + rest <= candidate.upper


@pytest.mark.parametrize(
    ("lower", "upper", "units"),
    [(0, 30, (0, 2)), (3, 33, (0, 3)), (4, 32, (1, 2)), (-7, 3, (-1, 0)), (-8, -6, (-1, -1))],
)
def test_bounds_between_two_lots_are_taken_inward(lower, upper, units):
    plain = board(13, lots=(10,))
    candidate = replace(plain.candidates[0], lower=lower, upper=upper)
    (name,) = names_of(Board(plain.projection, {}, [candidate]))  # 13 shares are one lot and three: 3, 13, 23, …
    assert (name.held, name.lower, name.upper) == (1, *units)


def test_a_name_with_a_working_order_counts_in_shares():
    found = board(13, 5, lots=(10, 10), working=(("A", "buy", 3),))
    assert [unit_of(found, n) for n in range(2)] == [(1, 0), (10, 5)]
    assert [(w.name, w.quantity) for w in working_of(found)] == [(0, 3)]
    assert (names_of(found)[0].lower, names_of(found)[0].upper) == (13, 13)


# ---- concave pieces --------------------------------------------------------------------------------------------------


def hill(low: int, high: int, first: int, last: int) -> Any:
    """-x² on first..last, nought elsewhere."""
    parts = [(low, (0, 0, 0)), (first, (0, 0, -1)), (last + 1, (0, 0, 0))]
    return joined_pieces(low, high, [p for p in parts if p[0] <= high])


@pytest.mark.parametrize("width", [1, 2])
def test_a_piece_that_bends_downward_over_one_or_two_units_is_a_line(width):
    found = board(3)
    atom = Atom(of_function(0, hill(*found.domains[0], 4, 3 + width)).plus(Sum(Fraction(16))))
    functions, *_ = in_units(atom, found)
    assert all(a2 == 0 for _, f in functions for _, _, a2 in f.polys)
    assert agree(atom, found) == {True, False}


def test_a_piece_that_bends_downward_over_three_units_is_refused():
    found = board(3)
    with pytest.raises(LoweringError, match="bends downward"):
        in_units(Atom(of_function(0, hill(*found.domains[0], 4, 6))), found)


def test_the_width_is_counted_in_lots():
    found = board(0, lots=(10,))
    agree(Atom(of_function(0, hill(*found.domains[0], 5, 24)).plus(Sum(Fraction(150)))), found)  # 10 and 20
    with pytest.raises(LoweringError, match="bends downward"):
        in_units(Atom(of_function(0, hill(*found.domains[0], 5, 30))), found)  # 10, 20 and 30


def test_the_least_of_two_lines_is_exact_though_it_is_not_convex():
    found = board(2)
    x = identity(*found.domains[0])
    capped = least(x, constant(6, *found.domains[0]))
    assert agree(Atom(of_function(0, capped).plus(Sum(Fraction(-5)))), found) == {True, False}


# ---- several working orders of one name ----------------------------------------------------------------------------


BUSY = (("A", "buy", 4), ("A", "sell", 2))


def test_where_a_holding_and_its_fills_enter_in_proportion_the_row_reads_the_fills():
    found = board(5, 3, working=BUSY)
    total = of_function(0, identity(*found.domains[0]).scaled(10)).plus(found.working_filled("W-0").scaled(10))
    functions, working, limit, scale, _ = in_units(Atom(total.plus(Sum(Fraction(-120)))), found)
    assert functions == ()
    # 10·(5 + f0 + f1) + 10·f0 <= 120, with f1 from -2 to 0: f0 twice, f1 once, at most 7
    assert (working, limit, scale) == (((0, 2), (1, 1)), 7, Fraction(1, 10))


def test_a_bent_function_of_the_holding_stays_one_beside_its_fills():
    found = board(5, 3, working=BUSY)
    bent = of_function(0, abs(identity(*found.domains[0]) - constant(5, *found.domains[0])))
    functions, working, *_ = in_units(Atom(bent.plus(found.working_filled("W-0"))), found)
    assert [n for n, _ in functions] == [0]
    assert working == ((0, 1),)


def test_a_fill_that_enters_otherwise_than_in_proportion_is_refused():
    found = board(5, 3, working=BUSY)
    variable = len(found.candidates)
    for function in (
        abs(identity(*found.domains[variable]) - constant(1, *found.domains[variable])),
        identity(*found.domains[variable]) + constant(1, *found.domains[variable]),
        identity(*found.domains[variable]) * identity(*found.domains[variable]),
    ):
        with pytest.raises(LoweringError, match="in proportion"):
            in_units(Atom(of_function(variable, function)), found)


def test_large_denominators_are_cleared_exactly():
    found = board(5)
    third = of_function(0, identity(*found.domains[0]).scaled(Fraction(1, 3 * 10**20)))
    atom = Atom(third.plus(Sum(-Fraction(7, 3 * 10**20))))
    assert agree(atom, found) == {True, False}


@pytest.mark.parametrize(("limit", "spared"), [("100", 0), ("104", "0.4"), ("109.99", "0.999"), ("110", 0)])
def test_what_rounding_takes_off_a_limit_is_told(limit, spared):
    found = board(3)
    value = of_function(0, identity(*found.domains[0]).scaled(10))
    *_, whole, scale, kept = in_units(Atom(value.plus(Sum(-Fraction(limit)))), found)
    assert kept == Fraction(spared)
    assert (whole + kept) / scale == Fraction(limit)
