"""Several reactions at once: what composes, what gives way, and that the order never matters."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.compose import Effect, Exit, compose
from lexorder.engine.react import Act
from lexorder.engine.terms import Value

HALF, SEVENTY = Fraction(1, 2), Fraction(7, 10)
SIZE, TRUST = "position.after.quantity", "signal.confidence"


def act(kind: str, rule: str = "r", priority: int = 0, **arguments: Value) -> Act:
    named = {("for" if name == "seconds" else name): value for name, value in arguments.items()}
    return Act(rule, "ACME", 0, kind, tuple(named.items()), priority)


def test_nothing_asks_for_nothing():
    assert compose([]) == Effect()
    assert compose([]).applied(SIZE, Fraction(7)) == 7


class TestFactors:
    def test_they_multiply_exactly(self):
        effect = compose([act("scale", target=SIZE, factor=HALF), act("scale", "s", target=SIZE, factor=SEVENTY)])
        assert effect.factors == {SIZE: Fraction(7, 20)}
        assert effect.applied(SIZE, Fraction(10)) == Fraction(7, 2)

    def test_each_target_by_itself(self):
        effect = compose([act("scale", target=SIZE, factor=HALF), act("scale", "s", target=TRUST, factor=SEVENTY)])
        assert effect.factors == {SIZE: HALF, TRUST: SEVENTY}

    def test_one_third_stays_one_third(self):
        acts = [act("scale", str(n), target=SIZE, factor=Fraction(1, 3)) for n in range(30)]
        assert compose(acts).factors[SIZE] == Fraction(1, 3**30)


class TestCaps:
    def test_the_least_holds(self):
        effect = compose([act("cap", target=SIZE, at=Fraction(9)), act("cap", "s", target=SIZE, at=Fraction(5))])
        assert effect.applied(SIZE, Fraction(7)) == 5

    def test_it_holds_for_short_positions_too(self):
        assert compose([act("cap", target=SIZE, at=Fraction(5))]).applied(SIZE, Fraction(-7)) == -5

    def test_it_comes_after_the_factor(self):
        effect = compose([act("cap", target=SIZE, at=Fraction(5)), act("scale", target=SIZE, factor=HALF)])
        assert effect.applied(SIZE, Fraction(8)) == 4


class TestTradingState:
    @pytest.mark.parametrize(
        ("states", "strictest"),
        [(("ACTIVE",), "ACTIVE"), (("REDUCING", "HALTED"), "HALTED"), (("REDUCING", "REDUCING"), "REDUCING")],
    )
    def test_the_strictest_holds(self, states, strictest):
        acts = [act("set", str(n), trading_state=s) for n, s in enumerate(states)]
        assert compose(acts).trading_state == strictest

    def test_a_halt_is_the_strictest(self):
        acts = [act("set", trading_state="REDUCING"), act("halt", "s", seconds=Fraction(60))]
        assert (compose(acts).trading_state, compose(acts).seconds) == ("HALTED", Fraction(60))

    def test_the_longest_time_of_the_strictest(self):
        acts = [act("halt", str(n), seconds=Fraction(s)) for n, s in enumerate((60, 900, 30))]
        assert compose([*acts, act("set", "s", trading_state="REDUCING", seconds=Fraction(9999))]).seconds == 900

    def test_without_a_time_it_stays_until_lifted(self):
        assert compose([act("halt", seconds=Fraction(60)), act("halt", "s")]).seconds is None

    def test_active_lifts_only_what_ranks_lower(self):
        strict = act("set", trading_state="REDUCING", priority=5)
        assert compose([strict, act("set", "s", trading_state="ACTIVE", priority=9)]).trading_state == "ACTIVE"
        assert compose([strict, act("set", "s", trading_state="ACTIVE", priority=1)]).trading_state == "REDUCING"
        assert compose([strict, act("set", "s", trading_state="ACTIVE", priority=5)]).trading_state == "REDUCING"

    def test_halts_of_other_ranks_are_not_played_against_each_other(self):
        acts = [
            act("set", "a", trading_state="ACTIVE", priority=5),
            act("set", "b", trading_state="REDUCING", priority=9),
            act("halt", "c", priority=1),
        ]
        assert compose(acts).trading_state == "REDUCING"


class TestExits:
    def test_the_largest_fraction(self):
        acts = [act("exit", fraction=HALF), act("exit", "s", fraction=Fraction(1))]
        assert compose(acts).exit == Exit(Fraction(1))

    def test_the_way_is_that_of_the_higher_rank(self):
        acts = [
            act("exit", "a", priority=1, fraction=Fraction(1), style="market"),
            act("exit", "b", priority=2, fraction=HALF, style="limit", price=Fraction(99)),
        ]
        assert compose(acts).exit == Exit(Fraction(1), "limit", Fraction(99))

    def test_the_least_participation(self):
        acts = [
            act("exit", "a", fraction=HALF, participation=Fraction(1, 10)),
            act("exit", "b", fraction=HALF, participation=Fraction(1, 20)),
            act("exit", "c", fraction=HALF),
        ]
        found = compose(acts).exit
        assert found is not None
        assert found.participation == Fraction(1, 20)


def test_reductions_by_unit():
    acts = [
        act("reduce", to=Fraction(100), unit="shares"),
        act("reduce", "s", to=Fraction(50), unit="shares"),
        act("reduce", "t", to=Fraction(9_000), unit="money"),
    ]
    assert compose(acts).reduce_to == {"money": 9_000, "shares": 50}


def test_alerts_skips_and_cancels():
    acts = [
        act("alert", level="warning"),
        act("alert", "s", level="critical"),
        act("skip", "t", reason="thin"),
        act("skip", "u", reason="thin"),
        act("cancel", "v", what="working_orders"),
    ]
    effect = compose(acts)
    assert (effect.alert, effect.skip, effect.cancel) == ("critical", ("thin",), True)
    assert effect.rules == ("r", "s", "t", "u", "v")


def some(random: Random, number: int) -> Act:
    kind = random.choice(("set", "halt", "exit", "scale", "cap", "reduce", "skip", "alert", "cancel"))
    few = Fraction(random.randint(1, 5), random.randint(1, 3))
    arguments: dict[str, dict[str, Value]] = {
        "set": {"trading_state": random.choice(("ACTIVE", "REDUCING", "HALTED")), "seconds": few},
        "halt": {"seconds": few},
        "exit": {"fraction": few / 10, "style": random.choice(("limit", "market")), "price": few},
        "scale": {"target": random.choice((SIZE, TRUST)), "factor": few},
        "cap": {"target": random.choice((SIZE, TRUST)), "at": few},
        "reduce": {"to": few, "unit": random.choice(("shares", "money"))},
        "skip": {"reason": random.choice("ab")},
        "alert": {"level": random.choice(("info", "warning", "critical"))},
        "cancel": {"what": "working_orders"},
    }
    return act(kind, f"r{number}", random.randint(0, 2), **arguments[kind])


@pytest.mark.parametrize("seed", range(40))
def test_the_order_of_acts_never_matters(seed):
    random = Random(seed)
    acts = [some(random, n) for n in range(random.randint(1, 8))]
    effect = compose(acts)
    for _ in range(5):
        random.shuffle(acts)
        assert compose(acts) == effect
