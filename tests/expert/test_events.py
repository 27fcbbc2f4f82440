"""The expert's own facts after events are those of a fresh start, whatever the order of events."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    Fill,
    InstrumentChanged,
    SingleChanged,
    StrategySet,
    TraderChanged,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.expert import live as live_module
from lexorder.engine.expert.rowsums import Summing
from lexorder.engine.rule import Facts
from tests.expert.books import Pair, rules, simple
from tests.worlds import instrument, order, position, working, world

BOOK = rules(
    "rule: weight\ntitle: T\nfor_each: issuer\nrequire: sum(abs(position.after.value)) <= 5% * account.nav",
    "rule: net\ntitle: T\nfor_each: account\nrequire: sum(position.after.value) <= 10% * account.nav",
    "rule: cash\ntitle: T\nfor_each: account\nrequire: account.after.cash >= 2% * account.nav",
    "rule: listed\ntitle: T\nrequire: order.symbol not in lists.restricted and not instrument.halted",
    "rule: volume\ntitle: T\nfor_each: instrument\n"
    "require: sum(order.filled) + sum(working_order.filled) <= 1% * instrument.adv",
    "rule: daily\ntitle: T\nfor_each: trader\nrequire: trader.traded_today + sum(order.notional) <= 9_000",
    "rule: hours\ntitle: T\nrequire: clock.now >= session.open + 10 min",
    "rule: closing\ntitle: T\nfor_each: position\nwhen: account.nav < 90_000\n"
    "require: position.after.quantity <= max(0, position.before.quantity)",
    "rule: marked\ntitle: T\nfor_each: account\n"
    "require: sum(abs(position.after.value) where position.instrument.halted) <= account.cash",
)
SYMBOLS = ("ACME", "BETA", "COCO")


def start() -> Pair:
    instruments = [instrument("ACME"), instrument("BETA", "50", issuer="ACME"), instrument("COCO", "7")]
    positions = [position("ACME", 20), position("COCO", -30)]
    return Pair(
        BOOK, world(instruments=instruments, positions=positions, working_orders=[working("W0", "BETA", "buy", 9)])
    )


def event(random: Random, pair: Pair, number: int):
    """Any event that fits the state."""
    known = pair.reference.snapshot
    symbol = random.choice(SYMBOLS)
    amount = Fraction(random.choice((1, 5, 40)))
    price = Fraction(random.choice((7, 50, 99, 101)))
    kind = random.randrange(9)
    if kind == 0:
        return Fill("A", symbol, random.choice(("buy", "sell")), amount, -amount * price)
    if kind == 1 and known.working_orders:
        w: dict[str, Any] = dict(random.choice(known.working_orders))
        part = min(amount, w["working_order.quantity"])
        side, which = w["working_order.side"], w["working_order.id"]
        return Fill("A", w["working_order.symbol"], side, part, -part * price, which)
    if kind == 2 and known.working_orders:
        return WorkingRemoved(str(random.choice(known.working_orders)["working_order.id"]))
    if kind == 3:
        facts = {"id": f"W{number}", "account": "A", "symbol": symbol, "side": random.choice(("buy", "sell"))}
        typed = {f"working_order.{k}": v for k, v in facts.items()}
        return WorkingAdded({**typed, "working_order.quantity": amount, "working_order.price": price})
    if kind == 4:
        return AccountChanged("A", {"account.nav": Fraction(random.choice((20_000, 80_000, 100_000)))})
    if kind == 5:
        minutes = timedelta(minutes=random.choice((0, 1, 20)))
        return SingleChanged({"clock.now": known.time + minutes})
    if kind == 6:
        return SingleChanged({"lists.restricted": frozenset(random.sample(SYMBOLS, random.randrange(2)))})
    if kind == 7:
        return TraderChanged("T", {"trader.traded_today": Fraction(random.choice((0, 5_000)))})
    traded, halted = Fraction(random.choice((100, 10_000))), random.random() < 0.3
    changes: Facts = {"instrument.mark": price, "instrument.halted": halted, "instrument.adv": traded}
    return InstrumentChanged(symbol, changes)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_events_the_answers_are_those_of_a_fresh_start(seed):
    random, pair = Random(seed), start()
    for number in range(60):
        pair.apply(event(random, pair, number + 1))
        facts = order(random.choice(("buy", "sell", "sell_short")), random.choice((1, 10, 60)), random.choice(SYMBOLS))
        pair.agree({**facts, "trader": "T", "id": f"O{number}"})


def test_a_log_begun_anew_loses_nothing(monkeypatch):
    monkeypatch.setattr(live_module, "LOG_MAX", 3)
    random, pair = Random(99), start()
    for number in range(40):
        pair.apply(event(random, pair, number + 1))
        if number % 5 == 0:
            pair.agree({**order(symbol=random.choice(SYMBOLS)), "trader": "T"})
    assert all(len(state.log) <= 3 for state in pair.expert.live.accounts.values())


@pytest.mark.parametrize(
    "wrong",
    [
        InstrumentChanged("NOSUCH", {}),
        AccountChanged("NOSUCH", {}),
        TraderChanged("NOSUCH", {}),
        WorkingRemoved("NOSUCH"),
        Fill("NOSUCH", "ACME", "buy", Fraction(1), Fraction(0)),
        Fill("A", "NOSUCH", "buy", Fraction(1), Fraction(0)),
        Fill("A", "BETA", "buy", Fraction(1), Fraction(0), "NOSUCH"),
        Fill("A", "BETA", "buy", Fraction(10), Fraction(0), "W0"),
        WorkingAdded({"working_order.id": "W0", "working_order.account": "A", "working_order.symbol": "BETA"}),
    ],
)
def test_an_event_that_does_not_fit_is_refused_and_changes_nothing(wrong):
    pair = start()
    before = pair.agree({**order(quantity=60), "trader": "T"})
    with pytest.raises(SnapshotError):
        pair.expert.apply(wrong)
    assert pair.agree({**order(quantity=60), "trader": "T"}).keys == before.keys


def test_a_tick_of_another_name_reaches_the_accounts_total():
    pair = Pair(
        simple("sum(position.after.value) <= 10% * account.nav", "account"), world(positions=[position("BETA", 90)])
    )
    assert pair.agree(order(quantity=10)).keys == frozenset()
    pair.apply(InstrumentChanged("BETA", {"instrument.mark": Fraction(101)}))
    assert pair.agree(order(quantity=10)).keys


def summed(monkeypatch) -> list[str]:
    """The names whose part of a sum is worked out from now on."""
    seen: list[str] = []
    real = Summing._update

    def noting(summing, running, cell, symbol, *more):
        seen.append(symbol)
        real(summing, running, cell, symbol, *more)

    monkeypatch.setattr(Summing, "_update", noting)
    return seen


def test_only_touched_names_are_worked_out_again(monkeypatch):
    pair = Pair(
        simple("sum(position.after.value) <= 10% * account.nav", "account"),
        world(positions=[position(s, 1) for s in SYMBOLS]),
    )
    pair.agree(order())
    seen = summed(monkeypatch)
    pair.apply(InstrumentChanged("BETA", {"instrument.mark": Fraction(101)}))
    pair.agree(order())
    assert set(seen) == {"BETA"}


def test_finer_scales_carry_the_sums_over(monkeypatch):
    pair = Pair(
        simple("account.after.cash >= 0 and sum(abs(position.after.value)) <= 2 * account.nav", "account"),
        world(positions=[position(s, 7) for s in SYMBOLS], working_orders=[working("W", "COCO", "buy", 3)]),
    )
    pair.agree(order())
    rows = pair.expert.rows
    seen = summed(monkeypatch)
    pair.apply(InstrumentChanged("BETA", {"instrument.mark": Fraction("101.0625")}))
    for quantity in (1, 50, 100, 1_000):
        pair.agree(order(quantity=quantity))
    assert pair.expert.rows is not rows  # the mark needs finer scales
    assert set(seen) == {"BETA"}


def test_single_facts_that_no_sum_reads_leave_the_sums_alone(monkeypatch):
    book = rules(
        "rule: gross\ntitle: T\nfor_each: account\nrequire: sum(abs(position.after.value)) <= 10% * account.nav",
        "rule: open\ntitle: T\nfor_each: order\nrequire: firm.trading_state == ACTIVE",
    )
    pair = Pair(book, world(positions=[position(s, 7) for s in SYMBOLS], fx={"base": "USD", "EUR": "1.1"}))
    pair.agree(order())
    seen = summed(monkeypatch)
    for state in ("HALTED", "ACTIVE", "REDUCING"):
        pair.apply(SingleChanged({"firm.trading_state": state}))
        for quantity in (1, 50, 100):
            keys = pair.agree(order(quantity=quantity)).keys
            assert ("open" in {rule for rule, _, _ in keys}) == (state != "ACTIVE")
    assert not seen
    pair.apply(SingleChanged({"fx.EUR": Fraction(2)}))
    pair.agree(order())
    assert set(seen) == set(SYMBOLS)


def test_a_strategy_told_anew_without_a_fact_has_it_no_more():
    book = rules("rule: s\ntitle: T\nfor_each: order\nrequire: order.strategy.trading_state == ACTIVE")
    pair = Pair(book, world(strategies=[{"id": "S", "trading_state": "HALTED"}]))
    asked = order(strategy="S")
    before = pair.agree(asked).keys
    pair.apply(StrategySet("S", {"strategy.id": "S", "strategy.trading_state": "ACTIVE"}))
    assert pair.agree(asked).keys != before
    pair.apply(StrategySet("S", {"strategy.id": "S", "strategy.trading_state": "REDUCING"}))
    assert pair.agree(asked).keys == before
    pair.apply(StrategySet("S", {"strategy.id": "S"}))
    pair.agree(asked)


def test_an_account_in_another_currency_is_summed_anew():
    pair = Pair(
        simple("sum(abs(position.after.value)) <= 1.5% * account.nav", "account"),
        world(positions=[position(s, 7) for s in SYMBOLS], fx={"base": "USD", "EUR": "2"}),
    )
    before = pair.agree(order()).keys
    pair.apply(AccountChanged("A", {"account.currency": "EUR"}))
    assert pair.agree(order()).keys != before
