"""What a rebalance tells: limits, relaxations and figures in the rules' own units, exact, and what they would do."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.snapshot import project
from lexorder.optimizers.explain import headroom
from lexorder.optimizers.outcome import Clash, Infeasible, Rebalanced
from lexorder.optimizers.rebalance import rebalance
from lexorder.optimizers.rows import relevant
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rebalance import CAP, asked, done
from tests.optimizers.test_rows import DAY, rule, small


def named(name: str, require: str, **options: Any) -> str:
    return rule(require, **options).replace("rule: r", f"rule: {name}")


def strictly(text: str, given: dict[str, object]) -> Rebalanced | Infeasible:
    """A floor that is broken now must be reached, not merely approached."""
    return rebalance(replace(asked(text, given, A="0.01"), strict=True))


def conflict(*rules: str, given: dict[str, object] | None = None) -> dict[str, Clash]:
    answer = strictly("".join(rules), given or small(0))
    assert isinstance(answer, Infeasible)
    return {c.rule: c for c in answer.clashes}


# ---- relaxations -----------------------------------------------------------------------------------------------------

VALUE = "sum(position.after.value)"
SHARES = "sum(position.after.quantity)"
NAV = "account.nav"


@pytest.mark.parametrize(
    ("cap", "floor", "relaxed"),
    [
        # A share is worth 10, so 22 shares are 220 whatever the cap was before.
        (f"{VALUE} <= 200", f"{SHARES} >= 22", {"cap": 220, "floor": 20}),
        (f"{VALUE} <= 205", f"{SHARES} >= 22", {"cap": 220, "floor": 20}),
        (f"{VALUE} <= 209.9999", f"{SHARES} >= 22", {"cap": 220, "floor": 20}),
        (f"{VALUE} <= 20% * {NAV}", f"{VALUE} >= 21.5% * {NAV}", {"cap": Fraction("0.22"), "floor": Fraction("0.2")}),
        (f"{VALUE} <= 20.7% * {NAV}", f"{VALUE} >= 21% * {NAV}", {"cap": Fraction("0.21"), "floor": Fraction("0.2")}),
        (f"{SHARES} / 3 <= 5", f"{SHARES} >= 22", {"cap": Fraction(22, 3), "floor": 15}),
        (f"{SHARES} / 3 <= 5.2", f"{SHARES} / 7 >= 3", {"cap": 7, "floor": Fraction(15, 7)}),
        (f"-{VALUE} >= -205", f"-{SHARES} <= -22", {"cap": -220, "floor": -20}),
    ],
)  # fmt: skip
def test_the_relaxed_limit_is_the_smallest_that_cures_in_the_rule_s_own_unit(cap, floor, relaxed):
    told = conflict(named("cap", cap), named("floor", floor))
    assert {name: clash.relaxed for name, clash in told.items()} == relaxed


def written(clash: Clash, limit: Fraction) -> str:
    """The requirement with another limit; only for rules whose limit is the last word."""
    left, op, *_ = clash.requirement.rsplit(" ", 2)
    return f"{left} {op} ({limit.numerator} / {limit.denominator})"


@pytest.mark.parametrize(("cap", "floor"), [("205", "22"), ("213.37", "22"), ("1", "3"), ("209.9999", "21")])
@pytest.mark.parametrize("eased", ["cap", "floor"])
def test_a_rule_with_the_relaxed_limit_admits_a_rebalance_and_a_hair_less_does_not(cap, floor, eased):
    texts = {"cap": f"{VALUE} <= {cap}", "floor": f"{SHARES} >= {floor}"}
    told = conflict(*(named(name, text) for name, text in texts.items()))[eased]
    assert told.relaxed is not None
    tighter = -1 if eased == "cap" else 1
    for limit, admitted in ((told.relaxed, True), (told.relaxed + tighter * Fraction(1, 10**6), False)):
        changed = {**texts, eased: written(told, limit)}
        answer = strictly("".join(named(n, t) for n, t in changed.items()), small(0))
        assert isinstance(answer, Rebalanced) is admitted, (eased, limit)


def test_a_strict_limit_is_relaxed_to_one_that_admits_the_holding():
    told = conflict(named("cap", f"{VALUE} < 200"), named("floor", f"{SHARES} >= 22"))
    relaxed = told["cap"].relaxed
    assert relaxed is not None
    assert relaxed > 220, "at 220 itself the strict rule still refuses 22 shares"
    again = strictly(named("cap", f"{VALUE} < {relaxed}") + named("floor", f"{SHARES} >= 22"), small(0))
    assert isinstance(again, Rebalanced)


def test_a_limit_that_moves_with_the_trade_has_no_relaxed_limit():
    told = conflict(named("cap", f"{VALUE} <= 4% * account.after.nav"), named("floor", f"{SHARES} >= 22"))
    assert (told["cap"].limit, told["cap"].relaxed) == (None, None)
    assert told["floor"].relaxed == 1, "two shares are 20; 4% of 500 less costs is a little less"


def test_a_conflict_that_no_single_rule_can_cure_says_none():
    told = conflict(
        named("two", f"{SHARES} <= 2"), named("also-two", f"{SHARES} <= 2 + 0 * 1"), named("five", f"{SHARES} >= 5")
    )
    caps = [told[n] for n in ("two", "also-two") if n in told]
    assert [c.relaxed for c in caps] == [None]
    assert told["five"].relaxed == 2


def test_a_clause_in_conflict_is_named_with_its_words_and_without_a_limit():
    told = conflict(
        named("either", f"{SHARES} <= 2 or {SHARES} >= 9"),
        named("low", f"{SHARES} >= 4"),
        named("high", f"{SHARES} <= 6"),
    )
    assert (told.keys() - {"either"}) == {"low", "high"}
    if "either" in told:
        assert (told["either"].limit, told["either"].relaxed) == (None, None)
        assert " or " in told["either"].requirement


def test_clauses_over_two_names_are_named():
    either = f'any(position.symbol == "A" and position.after.quantity > 5) or {SHARES} <= 2'
    told = conflict(
        named("either", either), named("low", f"{SHARES} >= 4"),
        named("a", 'sum(position.after.quantity where position.symbol == "A") <= 5'), given=small(0, 0),
    )  # fmt: skip
    assert told.keys() == {"either", "low", "a"}
    assert told["either"].relaxed is None
    assert told["a"].relaxed == 6


# ---- figures ---------------------------------------------------------------------------------------------------------


def test_headroom_is_the_evaluator_s_before_and_after():
    result = done(asked(CAP + named("cash", "account.after.cash >= 100"), small(25, 3), A="0.05", B="0.04"))
    told = {(h.rule, h.subject): h for h in result.headroom}
    held = {w.symbol: (w.before, w.after) for w in result.weights}
    for symbol in "AB":
        line = told["r", f"{symbol}-CORP"]
        assert (line.before, line.after) == tuple(Fraction(q, 100) for q in held[symbol])
        assert line.limit == Fraction(1, 5)
        assert line.ratio
        assert line.margin == Fraction(1, 5) - line.after  # type: ignore[operator]
    cash = told["cash", ACCOUNT]
    assert (cash.before, cash.after, cash.limit, cash.ratio) == (500, result.cash_after, 100, False)


def test_headroom_leaves_out_rules_of_other_phases_and_says_when_a_rule_begins_to_apply():
    text = named("pre", f"{VALUE} <= 900", phases="[pre_trade]")
    text += named("big", "position.after.value <= 150", for_each="position")
    request = asked(text, small(0), A="0.05")
    rules = relevant(request.book.on(DAY), ACCOUNT, frozenset())
    before = project(request.snapshot, VOCABULARY, ACCOUNT, ())
    board = board_of(request.snapshot, VOCABULARY, ACCOUNT, rules, Trading(trader="T-1"))
    later = project(asked(text, small(9), A="0.05").snapshot, VOCABULARY, ACCOUNT, ())
    (line,) = headroom(rules, before, later, board)
    assert (line.rule, line.status_before, line.status_after) == ("big", "not_applicable", "pass")
    assert (line.before, line.after) == (None, 90)


def test_cash_turnover_and_cost_add_up_over_all_orders_with_fees():
    request = asked(CAP, small(40, 0), A="-0.05", B="0.05")
    trading = replace(request.trading, fee=Fraction(1, 100))
    result = done(replace(request, trading=trading))
    traded = sum((o.quantity * Fraction(10) for o in result.orders), Fraction(0))
    assert result.turnover == traded / 1000
    cash = sum(
        (o.quantity * (-(o.price + trading.fee) if o.side == "buy" else o.price - trading.fee) for o in result.orders),
        Fraction(0),
    )
    assert result.cash_after - result.cash_before == cash
    away = sum((o.quantity * (abs(o.price - 10) + trading.fee) for o in result.orders), Fraction(0))
    assert result.cost == away
    assert {o.side for o in result.orders} == {"buy", "sell"}


def test_the_gap_is_in_basis_points_of_net_assets():
    result = done(asked(CAP, small(0, 0), A="0.05"))
    assert result.gap_bp is not None
    assert 0 <= result.gap_bp < Fraction(1, 10)


def test_what_binds_is_told_dearest_first():
    other = named("sector", f"{VALUE} <= 15% * account.nav", for_each="sector")
    result = done(asked(CAP + other, small(0, 0, 0), A="0.05", B="0.02", C="0.04"))
    prices = [b.price for b in result.binding]
    assert prices == sorted(prices, reverse=True)
    assert {b.rule for b in result.binding} == {"sector"}, "the cap of 20% binds nobody"
    assert {b.limit for b in result.binding} == {Fraction(15, 100)}


def test_a_dearer_limit_comes_first_whatever_its_place_in_the_book():
    result = done(asked(CAP, small(0, 0, 0), A="0.03", B="0.05", C="0.04"))
    assert [b.subject for b in result.binding] == ["B-CORP", "C-CORP", "A-CORP"]
    assert [round(b.price, 2) for b in result.binding] == sorted(
        (round(b.price, 2) for b in result.binding), reverse=True
    )


def test_rules_left_to_single_orders_and_names_left_out_are_listed():
    least = named("least", "order.quantity >= 12", for_each="order", phases="[pre_trade]")
    result = done(asked(CAP + least, small(10, 0), A="0.05", B="0.05"))
    assert result.by_order == ("least",)
    assert [(r.rule, r.subject) for r in result.left_out] == [("least", "A")]
    assert [o.symbol for o in result.orders] == ["B"]
    assert result.waves == 1
