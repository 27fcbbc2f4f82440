"""Rebalances from end to end: orders, figures, conflicts, and what happens to orders that are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest

from lexorder.engine.desk import slow
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.verify import verify
from lexorder.optimizers.estimates import risk_of
from lexorder.optimizers.outcome import ORDER_FIELDS, Infeasible, Rebalanced, amount
from lexorder.optimizers.rebalance import Aims, Request, independent, rebalance
from lexorder.optimizers.refusals import ModelError
from lexorder.optimizers.rows import RowsRefused
from lexorder.optimizers.universe import Trading, limit_price
from tests.optimizers.generated import ACCOUNT, VOCABULARY, request, violations
from tests.optimizers.test_rows import rule, small

CAP = rule("sum(position.after.value) <= 20% * account.nav", for_each="issuer", phases="[pre_trade, rebalance]")


def asked(text: str, given: dict[str, object], **signals: str) -> Request:
    """A request for the small world; expected returns by name."""
    told = [
        {
            "id": f"S-{s}",
            "account": ACCOUNT,
            "symbol": s,
            "direction": "short" if r.startswith("-") else "long",
            "expected_return": r,
            "confidence": "1",
        }
        for s, r in signals.items()
    ]
    snapshot = load_snapshot({**given, "signals": told}, VOCABULARY)
    model = independent(len(snapshot.instruments), 0.02)
    aims = Aims(aversion=1.0, periods=1.0)
    return Request(RuleBook.of(text, VOCABULARY), snapshot, ACCOUNT, model, Trading(trader="T-1"), aims, make=slow)


def done(request: Request) -> Rebalanced:
    result = rebalance(request)
    assert isinstance(result, Rebalanced)
    return result


def test_a_good_signal_buys_up_to_the_limit():
    result = done(asked(CAP, small(0, 0), A="0.05"))
    (order,) = result.orders
    assert (order.symbol, order.side, order.quantity) == ("A", "buy", 20)
    assert [d.approved for d in result.decisions] == [True]
    assert verify(result.certificate).valid
    assert [(b.rule, b.subject) for b in result.binding] == [("r", "A-CORP")]


def test_figures_are_exact():
    result = done(asked(CAP, small(0, 0), A="0.05"))
    assert result.turnover == Fraction(1, 5)
    assert result.cost == 20 * (limit_price(Fraction(10), "buy", Trading()) - 10) == Fraction(1, 5)
    assert result.cash_after == 500 - 20 * Fraction("10.01")
    (weight,) = [w for w in result.weights if w.symbol == "A"]
    assert (weight.before, weight.after, weight.weight_after) == (0, 20, Fraction(1, 5))
    told = {h.subject: h for h in result.headroom}
    assert (told["A-CORP"].after, told["A-CORP"].limit, told["A-CORP"].margin) == (
        Fraction(1, 5),
        Fraction(1, 5),
        Fraction(0),
    )


def test_json_has_fix_names_and_no_floats():
    document = json.loads(json.dumps(done(asked(CAP, small(0, 0), A="0.05")).to_json()))
    (order,) = document["orders"]
    assert tuple(order) == ORDER_FIELDS
    assert (order["Side"], order["OrdType"], order["Price"], order["OrderQty"]) == ("1", "2", "10.01", "20")

    def floats(node: object) -> bool:
        if isinstance(node, dict):
            return any(map(floats, node.values()))
        return any(map(floats, node)) if isinstance(node, list) else isinstance(node, float)

    assert not floats(document)


def test_an_old_breach_is_cured():
    result = done(asked(CAP, small(30, 0), A="0.05"))
    assert [(o.side, o.quantity) for o in result.orders] == [("sell", 10)]
    assert {h.subject: (h.status_before, h.status_after) for h in result.headroom}["A-CORP"] == ("passive", "pass")


def test_an_old_breach_that_cannot_be_cured_stays_and_says_why_or_is_infeasible_when_strict():
    text = CAP + rule("sum(order.filled) <= 4", phases="[rebalance]").replace("rule: r", "rule: patience")
    request = asked(text, small(30, 0), A="0.05")
    result = done(request)
    assert result.gap_bp is None
    assert {c.rule for c in result.incurable} == {"r", "patience"}
    strict = rebalance(replace(request, strict=True))
    assert isinstance(strict, Infeasible)
    relaxed = {c.rule: (c.limit, c.relaxed) for c in strict.clashes}
    assert relaxed == {"r": (Fraction(1, 5), Fraction(26, 100)), "patience": (4, 10)}


def test_a_conflict_names_rules_limits_and_relaxations():
    floor = rule("sum(position.after.value) >= 50% * account.nav").replace("rule: r", "rule: floor")
    result = rebalance(replace(asked(CAP + floor, small(5, 5), A="0.01"), strict=True))
    assert isinstance(result, Infeasible)
    assert verify(result.certificate).valid
    assert {(c.rule, c.subject) for c in result.clashes} == {("floor", ACCOUNT), ("r", "A-CORP"), ("r", "B-CORP")}
    assert {c.rule: c.relaxed for c in result.clashes}["floor"] == Fraction(40, 100)
    document = json.loads(json.dumps(result.to_json()))
    assert document["outcome"] == "infeasible"
    assert document["orders"] == []


def test_orders_come_in_waves_where_cash_must_come_first():
    floor = rule("account.after.cash >= 0", phases="[pre_trade, rebalance]").replace("rule: r", "rule: cash")
    request = asked(CAP + floor, small(18, 0, cash="0"), A="-0.05", B="0.05")
    result = done(request)
    assert [(o.wave, o.side, o.symbol) for o in result.orders] == [(1, "sell", "A"), (2, "buy", "B")]
    assert violations(request, result) == []


def test_names_with_working_orders_or_asked_to_stay_are_not_traded():
    given = small(5, 5, 5, working=(("A", "buy", 3),))
    result = done(replace(asked(CAP, given, A="0.05", B="0.05", C="0.05"), trading=Trading(stay=frozenset({"B"}))))
    assert {o.symbol for o in result.orders} == {"C"}


def test_an_order_that_its_own_rule_refuses_leaves_the_name_as_it_is():
    least = rule("order.quantity >= 12", for_each="order", phases="[pre_trade]").replace("rule: r", "rule: least")
    result = done(asked(CAP + least, small(10, 0), A="0.05", B="0.05"))
    assert {o.symbol: o.quantity for o in result.orders} == {"B": 20}
    assert ("least", "A") in {(r.rule, r.subject) for r in result.left_out}


def test_either_or_goes_through_clauses():
    either = (
        "- rule: either\n  title: Not both\n  phases: [rebalance]\n  for_each: account\n"
        '  require: not (any(position.symbol == "A" and position.after.quantity > 0)'
        ' and any(position.symbol == "B" and position.after.quantity > 0))\n'
    )
    result = done(asked(CAP + either, small(0, 0), A="0.05", B="0.04"))
    assert {o.symbol: o.quantity for o in result.orders} == {"A": 20}
    assert result.route.startswith(("z3", "milp"))


def test_nothing_to_do_is_no_orders():
    result = done(asked(CAP, small(0, 0), A="-0.05"))
    assert result.orders == ()
    assert result.decisions == ()


def test_a_rule_that_cannot_be_decided_refuses():
    given = small(5, 0)
    del given["instruments"][0]["mark"]  # type: ignore[index]
    with pytest.raises(RowsRefused, match=r"instrument\.mark of A"):
        rebalance(asked(CAP, given, B="0.05"))


def test_an_unknown_account_refuses():
    with pytest.raises(SnapshotError, match="no account"):
        rebalance(replace(asked(CAP, small(1), A="0.01"), account="NOPE"))


def test_holdings_in_parts_of_a_share_are_refused():
    given = small(5)
    request = asked(CAP, given, A="0.01")
    held = {**request.snapshot.positions[ACCOUNT]["A"], "position.before.quantity": Fraction(5, 2)}
    snapshot = replace(request.snapshot, positions={ACCOUNT: {"A": held}})
    with pytest.raises(SnapshotError, match="whole number"):
        rebalance(replace(request, snapshot=snapshot))


def test_returns_are_matched_by_name():
    request = asked(CAP, small(1, 1), A="0.01")
    history = pd.DataFrame({"B": [0.01, -0.02, 0.01, 0.0], "A": [0.1, -0.1, 0.2, -0.3], "Z": [0.0, 1.0, 2.0, 3.0]})
    model = risk_of(history, request.aims, ["A", "B"])
    variance = model.covariance().diagonal()
    assert variance[0] > 10 * variance[1]
    with pytest.raises(ModelError, match="column for C"):
        risk_of(history, request.aims, ["A", "C"])


def test_a_volatile_regime_holds_less():
    given = small(0)
    calm = asked(CAP, {**given, "market": [{"symbol": "A", "volatility": "0.01", "volume_spike": "3"}]}, A="0.0002")
    regime = (
        "- rule: regime\n  title: Volatile\n  phases: [signal]\n  for_each: market\n"
        "  when: market.volatility > 5%\n  derive: {market.regime: VOLATILE}\n"
    )
    wild = asked(
        CAP + regime, {**given, "market": [{"symbol": "A", "volatility": "0.06", "volume_spike": "3"}]}, A="0.0002"
    )
    aims = Aims(aversion=5.0, periods=1.0, cost=0.0, regime=2.0)
    held = [sum(w.after for w in done(replace(r, aims=aims)).weights) for r in (calm, wild)]
    assert held[0] > held[1]


@pytest.mark.parametrize(
    ("mark", "side", "price"), [("10", "buy", "10.01"), ("9.999", "sell", "9.99"), ("0.004", "buy", "0.01")]
)
def test_limit_prices_stay_within_the_band_on_the_tick(mark, side, price):
    assert limit_price(Fraction(mark), side, Trading()) == Fraction(price)


def test_amounts_that_do_not_end_are_rounded_for_reading():
    assert amount(Fraction(1, 3)) == "0.333333333333"
    assert amount(Fraction(5, 4)) == "1.25"
    assert amount(None) is None
    assert amount("x") == "x"


@pytest.mark.parametrize("seed", range(8))
def test_generated_rebalances_break_nothing_in_any_fill_state(seed):
    asked_for = request(seed + 4, 20 + 4 * seed, working=seed % 3, lots=seed % 2 == 1)
    result = rebalance(asked_for)
    if isinstance(result, Infeasible):
        assert verify(result.certificate).valid
        return
    assert violations(asked_for, result, seed=seed) == []
    assert verify(result.certificate).valid


@pytest.mark.slow
def test_a_thousand_generated_rebalances_break_nothing():
    """Takes an hour or more; `python -m benchmarks.rebalances` does the same and stores the result."""
    from benchmarks.rebalances import case

    broken = [c for c in (case(seed, 20, 200) for seed in range(1000)) if c["broken"]]
    assert broken == []
