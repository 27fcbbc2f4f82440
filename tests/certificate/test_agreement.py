"""Two files that share no code compute the same: worst cases, reachable holdings, minima, hashes.

The verifier's own functions are private; they are asked directly here so that a difference shows up
where it arises, and not only where it changes a verdict.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine import verify as module
from lexorder.engine.certificate import (
    Certificate,
    Function,
    Infeasible,
    Leaf,
    Name,
    Order,
    Problem,
    Row,
    Working,
    total,
)
from lexorder.engine.verify import verify
from tests.certificate.strategies import functions, given, intervals

QUANTITY = st.integers(-30, 30).filter(bool)
SMALL = st.integers(-50, 50)
HUGE = st.integers(-(10**24), 10**24)


@st.composite
def problems(draw, numbers=SMALL):
    """Three names of which the last may have working orders, and up to four rows."""
    working = tuple(Working(2, draw(QUANTITY)) for _ in range(draw(st.integers(0, 3))))
    helds = [draw(numbers) for _ in range(3)]
    names = tuple(
        Name(f"N{n}", held, held - (0 if n == 2 else 100), held + (0 if n == 2 else 100))
        for n, held in enumerate(helds)
    )

    def row(r: int) -> Row:
        chosen = draw(st.sets(st.integers(0, 2)))
        terms = tuple((n, draw(functions(numbers=numbers, breaks=st.integers(-60, 60)))) for n in sorted(chosen))
        orders = tuple((k, draw(numbers)) for k in range(len(working)))
        return Row(f"row/{r}", draw(numbers), terms, orders, draw(st.booleans()), draw(st.booleans()))

    return Problem(names, working, tuple(row(r) for r in range(draw(st.integers(1, 4)))))


@st.composite
def wave_lists(draw):
    """Waves for the first two names, each one way."""
    signs = [draw(st.sampled_from([1, -1])) for _ in range(2)]
    return tuple(
        tuple(Order(n, signs[n] * draw(st.integers(1, 30))) for n in sorted(draw(st.sets(st.integers(0, 1)))))
        for _ in range(draw(st.integers(0, 3)))
    )


def checked(problem: Problem, waves) -> Any:
    """The verifier's own view of the problem: it has done its sums when it finds that nothing is claimed."""
    document: Any = Certificate("ab" * 32, "cd" * 32, problem, waves).to_json()
    document["claims"] = []
    checker: Any = module._Check.__new__(module._Check)
    with pytest.raises(module._Refused, match="wrong-count"):
        checker.__init__(document, [])
    return checker


@given(problems(), wave_lists())
def test_worst_values_agree_before_in_and_after_every_wave(problem, waves):
    boxes = [problem.box(problem.holdings()), *problem.boxes(waves)]
    ours = [[problem.worst(row, box) for row in problem.rows] for box in boxes]
    assert checked(problem, waves).worst == ours


@given(problems(numbers=HUGE))
def test_worst_values_agree_on_numbers_beyond_64_bits(problem):
    start = problem.box(problem.holdings())
    assert checked(problem, ()).worst[0] == [problem.worst(row, start) for row in problem.rows]


@given(problems(), wave_lists())
def test_final_holdings_agree(problem, waves):
    assert checked(problem, waves).final == problem.holdings(waves)


@given(functions(), intervals())
def test_maxima_agree(function, interval):
    assert module._greatest(function.to_json(), *interval) == function.maximum(*interval)


@given(st.lists(st.tuples(st.integers(1, 9), functions()), min_size=1, max_size=4), intervals())
def test_minima_of_weighted_sums_agree(parts, interval):
    checker: Any = module._Check.__new__(module._Check)
    checker.work = 0
    least = checker.least([(weight, f.to_json()) for weight, f in parts], *interval)
    assert least == total(f.scaled(weight) for weight, f in parts).minimum(*interval)


@given(problems())
def test_the_hash_agrees(problem):
    document = Certificate("ab" * 32, "cd" * 32, problem).to_json()
    verdict = verify(json.dumps(document, indent=1))
    assert verdict.code != "hash-mismatch"


@given(problems())
def test_safe_without_waves_is_decided_like_row_by_row(problem):
    start = problem.box(problem.holdings())
    holds = all(not row.asserted or row.passive or problem.worst(row, start) <= row.limit for row in problem.rows)
    assert verify(Certificate("ab" * 32, "cd" * 32, problem).text()).valid == holds


@given(functions(), st.integers(1, 5), intervals())
def test_a_single_row_is_refuted_exactly_below_its_minimum(function, multiplier, interval):
    least = function.minimum(*interval)
    for limit in (least - 1, least):
        problem = Problem((Name("A", interval[0], *interval),), (), (Row("r", limit, ((0, function),)),))
        claim = Infeasible((0,), (), Leaf(((0, multiplier),)))
        verdict = verify(Certificate("ab" * 32, "cd" * 32, problem, (), (claim,)).text())
        assert verdict.code == ("" if limit < least else "not-refuted")


@given(functions(), st.integers(-20, 20), QUANTITY)
def test_a_row_is_safe_exactly_from_its_maximum_on(function, held, quantity):
    low, high = min(held, held + quantity), max(held, held + quantity)
    greatest = function.maximum(low, high)
    for limit in (greatest, greatest - 1):
        problem = Problem((Name("A", held, low, high),), (), (Row("r", limit, ((0, function),)),))
        verdict = verify(Certificate("ab" * 32, "cd" * 32, problem, ((Order(0, quantity),),)).text())
        assert verdict.valid == (limit >= greatest)


def test_functions_written_by_hand_mean_the_same_to_both():
    spike = Function((3, 4), ((0, 0, 0), (50, 0, 0), (0, 0, 0)))
    assert [module._greatest(spike.to_json(), *i) for i in ((0, 9), (0, 2), (4, 9), (3, 3))] == [50, 0, 0, 50]
