"""Several reactions at once, beside the plainest model of what they come to: all acts looked at, nothing sorted."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import pytest

from lexorder.engine.compose import Effect, compose
from lexorder.engine.react import Act, in_order
from lexorder.engine.terms import Value

SIZE, TRUST = "position.after.quantity", "signal.confidence"
LOOSE_TO_STRICT = ("ACTIVE", "REDUCING", "HALTED")
URGENT_LAST = ("info", "warning", "critical")
FEW = (Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(1))


def act(rule: str, kind: str, priority: int, **arguments: Value) -> Act:
    named = {("for" if name == "seconds" else name): value for name, value in arguments.items()}
    return Act(rule, "ACME", 0, kind, tuple(named.items()), priority)


def state_acts(asked: tuple[tuple[str, int], ...]) -> list[Act]:
    """Acts that ask for these states at these priorities; the last of them halts by its own word."""
    return [act(f"r{n}", "set", priority, trading_state=state) for n, (state, priority) in enumerate(asked)]


# ---- trading states ------------------------------------------------------------------------------------------------


def state_of(asked: tuple[tuple[str, int], ...]) -> str | None:
    """A stricter state holds unless somebody of a higher rank says ACTIVE; of those that hold, the strictest."""
    lifted = [priority for state, priority in asked if state == "ACTIVE"]
    holding = {s for s, p in asked if s == "ACTIVE" or all(p >= q for q in lifted)}
    return max(holding, key=LOOSE_TO_STRICT.index) if holding else None


def test_every_way_of_asking_for_up_to_three_states_at_three_ranks():
    one = tuple(product(LOOSE_TO_STRICT, range(3)))
    ways = [way for size in range(4) for way in product(one, repeat=size)]
    assert len(ways) == 1 + 9 + 81 + 729
    for way in ways:
        assert compose(state_acts(way)).trading_state == state_of(way), way


@pytest.mark.parametrize("priority", [0, 1, 2])
def test_a_halt_is_a_state_like_halted(priority):
    for state, other in product(LOOSE_TO_STRICT, range(3)):
        both = [act("a", "halt", priority), act("b", "set", other, trading_state=state)]
        assert compose(both).trading_state == state_of((("HALTED", priority), (state, other)))


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ((60,), 60),
        ((60, 61), 61),
        ((61, 60), 61),
        ((0, 0), 0),
        ((60, None), None),
        ((None, 60), None),
        ((None,), None),
    ],
)
def test_the_state_lasts_as_long_as_anybody_asks_who_asks_for_it(times, seconds):
    """None is until it is lifted: no number of seconds is longer."""
    acts = [
        act(f"r{n}", "halt", 0, **({} if time is None else {"seconds": Fraction(time)})) for n, time in enumerate(times)
    ]
    looser = act("x", "set", 0, trading_state="REDUCING", seconds=Fraction(10**9))
    outranked = [act("y", "set", 1, trading_state="ACTIVE"), act("z", "halt", 0)]
    assert compose(acts).seconds == seconds
    assert compose([*acts, looser]).seconds == seconds
    assert compose([act(a.rule, "halt", 2, **dict(a.arguments)) for a in acts] + outranked).trading_state == "HALTED"


def test_who_is_lifted_has_no_say_in_how_long():
    """A halt of rank 0 beside ACTIVE of rank 1 is gone; its time does not lengthen the reducing of rank 2."""
    acts = [
        act("a", "halt", 0),
        act("b", "set", 1, trading_state="ACTIVE", seconds=Fraction(5)),
        act("c", "set", 2, trading_state="REDUCING", seconds=Fraction(60)),
    ]
    assert (compose(acts).trading_state, compose(acts).seconds) == ("REDUCING", Fraction(60))
    assert (compose(acts[:2]).trading_state, compose(acts[:2]).seconds) == ("ACTIVE", Fraction(5))


# ---- numbers -------------------------------------------------------------------------------------------------------


def numbers(random_: Random) -> list[Act]:
    """Factors, caps, reductions and exits with few values, so that equal ones meet."""
    found = []
    for n in range(random_.randint(0, 7)):
        kind = random_.choice(("scale", "cap", "reduce", "exit"))
        few = random_.choice(FEW)
        arguments: dict[str, dict[str, Value]] = {
            "scale": {"target": random_.choice((SIZE, TRUST)), "factor": few},
            "cap": {"target": random_.choice((SIZE, TRUST)), "at": few},
            "reduce": {"to": few, "unit": random_.choice(("shares", "money"))},
            "exit": {"fraction": few, **({"participation": random_.choice(FEW)} if random_.random() < 0.5 else {})},
        }
        found.append(act(f"r{n}", kind, random_.randint(0, 2), **arguments[kind]))
    return found


def least(acts: list[Act], kind: str, key: str, amount: str) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for a in acts:
        if a.kind == kind:
            found.setdefault(str(a.argument(key)), []).append(a.argument(amount))
    return {name: min(values) for name, values in found.items()}


@pytest.mark.parametrize("seed", range(40))
def test_factors_multiply_caps_and_reductions_take_the_least_exits_the_largest(seed):
    random_ = Random(f"numbers {seed}")
    for _ in range(10):
        acts = numbers(random_)
        effect = compose(acts)
        assert effect.caps == least(acts, "cap", "target", "at")
        assert effect.reduce_to == least(acts, "reduce", "unit", "to")
        factors = {str(a.argument("target")) for a in acts if a.kind == "scale"}
        assert effect.factors.keys() == factors
        for target, amount in product((SIZE, TRUST), (Fraction(-7), Fraction(0), Fraction(1, 4), Fraction(9))):
            assert effect.applied(target, amount) == applied(acts, target, amount)
        exits = [a for a in acts if a.kind == "exit"]
        assert (effect.exit is None) is (not exits)
        if effect.exit is not None:
            fractions: list[Any] = [a.argument("fraction") for a in exits]
            allowed: list[Any] = [p for a in exits if (p := a.argument("participation")) is not None]
            assert effect.exit.fraction == max(fractions)
            assert effect.exit.participation == min(allowed, default=None)
        assert effect.rules == tuple(sorted(a.rule for a in acts))


def applied(acts: list[Act], target: str, amount: Fraction) -> Fraction:
    """One act after the other, factors first: each shrinks or stretches, then each cap cuts what is over it."""
    for a in acts:
        if a.kind == "scale" and a.argument("target") == target:
            factor: Any = a.argument("factor")
            amount *= factor
    for a in acts:
        if a.kind == "cap" and a.argument("target") == target:
            at: Any = a.argument("at")
            amount = at if amount > at else -at if amount < -at else amount
    return amount


@pytest.mark.parametrize("level", [0, 1, 2])
def test_alerts_take_the_most_urgent_whatever_its_rank(level):
    acts = [act(f"r{n}", "alert", 2 - n, level=word) for n, word in enumerate(URGENT_LAST[: level + 1])]
    assert compose(acts).alert == compose(acts[::-1]).alert == URGENT_LAST[level]


# ---- exits that contradict -----------------------------------------------------------------------------------------

EXITS = {
    "the higher rank": ((2, "limit", FEW[1], 98), (1, "market", FEW[3], 99), ("limit", 98)),
    "at one rank the market order": ((1, "limit", FEW[3], 98), (1, "market", FEW[1], None), ("market", None)),
    "of one style the larger": ((1, "limit", FEW[3], 98), (1, "limit", FEW[2], 99), ("limit", 98)),
    "of one size the later name": ((1, "limit", FEW[2], 98), (1, "limit", FEW[2], 99), ("limit", 99)),
}


@pytest.mark.parametrize(("one", "other", "way"), EXITS.values(), ids=EXITS)
def test_of_two_ways_to_exit_one_is_taken(one, other, way):
    acts = [
        act(rule, "exit", rank, style=style, fraction=fraction, **({} if price is None else {"price": Fraction(price)}))
        for rule, (rank, style, fraction, price) in (("a", one), ("b", other))
    ]
    for turn in (acts, acts[::-1]):
        found = compose(turn).exit
        assert found is not None
        assert (found.style, found.price) == way
        assert found.fraction == max(one[2], other[2]), "the size is the largest, whoever says how"


# ---- order ---------------------------------------------------------------------------------------------------------


def test_acts_stand_by_rank_then_rule_then_subject_then_place():
    acts = [
        Act(rule, subject, number, "alert", (), priority)
        for priority, rule, subject, number in product((0, 5, -1), ("b", "a"), ("Z", "A"), (1, 0))
    ]
    found = [(a.priority, a.rule, a.subject, a.number) for a in in_order(acts)]
    assert [row[0] for row in found] == [5] * 8 + [0] * 8 + [-1] * 8
    assert all(found[n : n + 8] == sorted(found[n : n + 8]) for n in (0, 8, 16))


def test_an_effect_of_nothing_leaves_every_amount_as_it_is():
    assert [Effect().applied(SIZE, Fraction(n)) for n in (-3, 0, 3)] == [-3, 0, 3]
