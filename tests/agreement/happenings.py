"""Seeded events: fills, prices, account facts, working orders, lists, traders, the clock; and events onto a limit."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random

from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    Fill,
    FillRecorded,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    QuoteSet,
    SignalSet,
    SingleChanged,
    StrategySet,
    TraderChanged,
    TraderSet,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot
from tests.agreement import worlds

UNIT = Fraction(1, 10_000)
"""The smallest amount of money."""


def happening(random_: Random, snapshot: Snapshot, number: int) -> Event:
    """One random event that the snapshot admits."""
    kind = random_.choice(
        (fill, fill, tick, tick, regroup, regroup, account, added, removed, lists, trader, clock, clock)
    )
    return kind(random_, snapshot, number) or tick(random_, snapshot, number)


def anything(random_: Random, snapshot: Snapshot, number: int) -> Event:
    """The same, or an event that tells a thing anew or records a fill."""
    if random_.random() < 0.75:
        return happening(random_, snapshot, number)
    return random_.choice((recorded, told, told, placed))(random_, snapshot, number)


def fill(random_: Random, snapshot: Snapshot, number: int) -> Event | None:
    """A fill, of a working order where there is one."""
    if snapshot.working_orders and random_.random() < 0.6:
        order = random_.choice(snapshot.working_orders)
        quantity = Fraction(random_.randint(1, int(order["working_order.quantity"])))  # type: ignore[arg-type]
        symbol, side = str(order["working_order.symbol"]), str(order["working_order.side"])
        return Fill(worlds.ACCOUNT, symbol, side, quantity, Fraction(-7), str(order["working_order.id"]))
    side = random_.choice(("buy", "sell"))
    return Fill(worlds.ACCOUNT, random_.choice(worlds.SYMBOLS), side, Fraction(random_.randint(1, 4)), Fraction(11))


def tick(random_: Random, _snapshot: Snapshot, _number: int) -> Event:
    """A new mark; sometimes it is withdrawn."""
    mark = None if random_.random() < 0.05 else worlds.price(random_)
    return InstrumentChanged(random_.choice(worlds.SYMBOLS), {"instrument.mark": mark})  # type: ignore[dict-item]


def regroup(random_: Random, _snapshot: Snapshot, _number: int) -> Event:
    """An instrument changes its sector, its state, or the time of its price."""
    facts = random_.choice(
        (
            {"instrument.sector": random_.choice(("Tech", "Energy"))},
            {"instrument.sector": random_.choice(("Tech", "Energy")), "instrument.mark": worlds.price(random_)},
            {"instrument.halted": random_.random() < 0.5},
            {"instrument.mark_time": worlds.NOW - timedelta(minutes=random_.choice((1, 13, 14, 15)))},
            {"market.volatility": Fraction(random_.randint(0, 10), 100)},
        )
    )
    return InstrumentChanged(random_.choice(worlds.SYMBOLS), facts)


def account(random_: Random, _snapshot: Snapshot, _number: int) -> Event:
    """New facts of the account."""
    facts = worlds.account(random_, worlds.Rates(missing=0))
    name = random_.choice(("account.nav", "account.cash", "account.equity", "account.kind"))
    return AccountChanged(worlds.ACCOUNT, {name: facts[name]})


def added(random_: Random, snapshot: Snapshot, number: int) -> Event | None:
    """A working order more, while they are few."""
    if len(snapshot.working_orders) >= 3:
        return None
    return WorkingAdded({**worlds.working(random_, number, 3), "working_order.id": f"E{number}"})


def removed(random_: Random, snapshot: Snapshot, _number: int) -> Event | None:
    """A working order less."""
    if not snapshot.working_orders:
        return None
    return WorkingRemoved(str(random_.choice(snapshot.working_orders)["working_order.id"]))


def lists(random_: Random, _snapshot: Snapshot, _number: int) -> Event:
    """A new restricted list, collar or rate."""
    return SingleChanged(
        random_.choice(
            (
                {"lists.restricted": frozenset(random_.sample(worlds.SYMBOLS, 1))},
                {"firm.collar": Fraction(random_.randint(0, 10), 100)},
                {"fx.EUR": Fraction(random_.choice((108, 125, 80)), 100)},
            )
        )
    )


def trader(random_: Random, _snapshot: Snapshot, _number: int) -> Event:
    """A new role or a new total of the day."""
    role = random_.choice(worlds.ROLES)
    return TraderChanged("T", {"trader.role": role, "trader.traded_today": Fraction(random_.randint(0, 100))})


def clock(random_: Random, snapshot: Snapshot, _number: int) -> Event:
    """The time moves, mostly on."""
    minutes = random_.choice((-2, 0, 1, 1, 2, 5))
    return SingleChanged({"clock.now": snapshot.time + timedelta(minutes=minutes)})


def record(random_: Random, number: int) -> Facts:
    """A fill as the day's record keeps it."""
    return {
        "fill.id": f"F{number}",
        "fill.account": worlds.ACCOUNT,
        "fill.symbol": random_.choice(worlds.SYMBOLS),
        "fill.side": random_.choice(("buy", "sell")),
        "fill.quantity": Fraction(random_.randint(1, 4)),
        "fill.price": worlds.price(random_),
        "fill.time": worlds.NOW - timedelta(minutes=random_.randint(0, 200)),
    }


def recorded(random_: Random, snapshot: Snapshot, number: int) -> Event:
    """A fill for the record, alone or with what it moves."""
    facts = record(random_, number)
    moved = fill(random_, snapshot, number)
    if random_.random() < 0.5 or not isinstance(moved, Fill):
        return FillRecorded(facts)
    same = {**facts, "fill.symbol": moved.symbol, "fill.side": moved.side, "fill.quantity": moved.quantity}
    return Fill(moved.account, moved.symbol, moved.side, moved.quantity, moved.cash, moved.working_order, same)


def told(random_: Random, _snapshot: Snapshot, number: int) -> Event:
    """A thing has all its facts told: one that is there, or a new one."""
    symbol = random_.choice((*worlds.SYMBOLS, f"NEW{number}"))
    role = {"trader.role": random_.choice(worlds.ROLES)}
    quote = {"quote.id": f"Q{number % 2}", "quote.bid": worlds.price(random_)}
    signal = {"signal.id": f"S{number % 2}", "signal.account": random_.choice((worlds.ACCOUNT, "B", "NONE"))}
    events: tuple[Event, ...] = (
        AccountSet(worlds.ACCOUNT, worlds.account(random_, worlds.Rates())),
        AccountSet("B", worlds.account(random_, worlds.Rates())),
        InstrumentSet(symbol, worlds.instrument(random_, symbol, worlds.Rates())),
        InstrumentSet(symbol, worlds.instrument(random_, symbol, worlds.Rates())),
        TraderSet(random_.choice(("T", "U")), role),
        StrategySet("P", {"strategy.repeated_executions": Fraction(random_.randint(0, 3))}),
        QuoteSet(quote),  # type: ignore[arg-type]
        SignalSet({**signal, "signal.confidence": Fraction(random_.randint(0, 3), 4)}),
    )
    return random_.choice(events)


def placed(random_: Random, _snapshot: Snapshot, _number: int) -> Event:
    """A holding is told, sometimes as gone."""
    symbol = random_.choice(worlds.SYMBOLS)
    return PositionSet(worlds.ACCOUNT, symbol, worlds.position(random_, symbol))


def onto_limit(random_: Random, snapshot: Snapshot, name: str, slope: Fraction, margin: Fraction) -> Event | None:
    """The change of an account fact that brings a margin to nought, or one unit of money to a side.

    `slope` is how much the margin grows with one unit of money more. None where the exact place is finer than a unit.
    """
    before = snapshot.accounts[worlds.ACCOUNT].get(name)
    if not isinstance(before, Fraction) or slope == 0:
        return None
    exact = before - margin / slope + random_.choice((-UNIT, 0, 0, UNIT))
    if (exact / UNIT).denominator != 1 or (name == "account.nav" and exact <= 0):
        return None
    return AccountChanged(worlds.ACCOUNT, {name: exact})
