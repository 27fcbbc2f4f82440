"""Seeded worlds: an account, instruments, holdings, working orders, lists; some facts missing, stale or foreign.

Quantities are small, so that every fill state can be looked at one by one. Plain `random`, no search: one world costs
well under a millisecond, so that millions of cases are feasible.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random

from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.terms import Value

NOW = datetime(2026, 6, 15, 16, 0, tzinfo=UTC)
SYMBOLS = ("ACME", "ACMEB", "BETA", "COCO")
ACCOUNT = "A"
ROLES = ("portfolio_manager", "junior_trader", "senior_trader", "algorithm")


@dataclass(frozen=True)
class Rates:
    """How often something out of the ordinary happens, in percent."""

    missing: int = 3
    stale: int = 3
    foreign: int = 15


def price(random_: Random) -> Fraction:
    """A price: mostly a whole number, so that limits are met exactly; sometimes with four decimals."""
    if random_.random() < 0.7:
        return Fraction(random_.choice((1, 2, 4, 5, 10, 20, 25, 50, 100)))
    return Fraction(random_.randint(1, 2_000_000), 10_000)


def instrument(random_: Random, symbol: str, rates: Rates) -> dict[str, Value]:
    """The facts of one instrument."""
    mark = price(random_)
    facts: dict[str, Value] = {
        "instrument.symbol": symbol,
        "instrument.issuer": symbol[:4],
        "instrument.sector": random_.choice(("Tech", "Energy")),
        "instrument.country": "US",
        "instrument.group": symbol[:1],
        "instrument.currency": "EUR" if random_.randrange(100) < rates.foreign else "USD",
        "instrument.mark": mark,
        "instrument.bid": mark - Fraction(random_.randint(0, 1), 10_000),
        "instrument.ask": mark + Fraction(random_.randint(0, 2), 10),
        "instrument.adv": Fraction(random_.choice((0, 10, 40, 100, 1000))),
        "instrument.halted": random_.random() < 0.1,
        "market.volatility": Fraction(random_.randint(0, 10), 100),
        "market.volume_spike": Fraction(random_.randint(1, 4)),
    }
    if random_.randrange(100) < rates.missing:
        del facts[random_.choice(("instrument.mark", "instrument.issuer", "instrument.adv", "instrument.bid"))]
    if random_.randrange(100) < rates.stale:
        facts["instrument.mark_time"] = NOW - timedelta(minutes=random_.choice((14, 15, 16)))
    return facts


def account(random_: Random, rates: Rates) -> dict[str, Value]:
    """The facts of the account."""
    facts: dict[str, Value] = {
        "account.id": ACCOUNT,
        "account.tags": frozenset({"long-only"}) if random_.random() < 0.5 else frozenset(),
        "account.kind": random_.choice(("cash", "margin")),
        "account.currency": "USD",
        "account.nav": Fraction(random_.choice((100, 500, 1000, 2000, 5000))),
        "account.total_assets": Fraction(random_.choice((1000, 2000))),
        "account.equity": Fraction(random_.choice((-100, 500, 1000))),
        "account.cash": Fraction(random_.choice((-50, 0, 100, 400, 1000))),
        "account.start_of_day_nav": Fraction(1000),
        "account.peak_nav": Fraction(random_.choice((1000, 3000))),
        "account.day_trades": Fraction(random_.randint(0, 5)),
    }
    if random_.randrange(100) < rates.missing:
        del facts[random_.choice(("account.nav", "account.cash"))]
    return facts


def working(random_: Random, number: int, most: int) -> dict[str, Value]:
    """A working order."""
    return {
        "working_order.id": f"W{number}",
        "working_order.account": ACCOUNT,
        "working_order.symbol": random_.choice(SYMBOLS),
        "working_order.side": random_.choice(("buy", "sell", "sell_short")),
        "working_order.quantity": Fraction(random_.randint(1, most)),
        "working_order.price": price(random_),
    }


def position(random_: Random, symbol: str) -> dict[str, Value]:
    """A holding, sometimes short, sometimes flat."""
    return {
        "position.symbol": symbol,
        "position.account": ACCOUNT,
        "position.before.quantity": Fraction(random_.choice((-7, -3, 0, 1, 4, 5, 10, 20))),
    }


def snapshot(random_: Random, rates: Rates | None = None) -> Snapshot:
    """A whole world."""
    rates = rates or Rates()
    count = random_.choice((0, 0, 0, 1, 1, 2, 3))
    single: dict[str, Value] = {
        "clock.now": NOW,
        "clock.date": NOW.date(),
        "firm.collar": Fraction(random_.choice((0, 5)), 100),
        "lists.restricted": frozenset(random_.sample(SYMBOLS, random_.choice((0, 0, 1)))),
        "lists.watch": frozenset(),
        "fx.base": "USD",
    }
    if random_.random() < 0.9:
        single["fx.EUR"] = Fraction(random_.choice((108, 125, 50)), 100)
    return Snapshot(
        time=NOW,
        accounts={ACCOUNT: account(random_, rates)},
        instruments={s: instrument(random_, s, rates) for s in SYMBOLS},
        positions={ACCOUNT: {s: position(random_, s) for s in random_.sample(SYMBOLS, random_.randint(0, 3))}},
        working_orders=tuple(working(random_, n, (5, 5, 3, 2)[count]) for n in range(count)),
        traders={"T": {"trader.id": "T", "trader.role": random_.choice(ROLES)}},
        single=single,
    )


def order(random_: Random, number: int, quantity: int) -> Facts:
    """An order under test for `quantity` shares."""
    kind = random_.choice(("limit", "limit", "limit", "market"))
    facts: dict[str, Value] = {
        "order.id": f"O{number}",
        "order.account": ACCOUNT,
        "order.symbol": random_.choice(SYMBOLS),
        "order.trader": "T",
        "order.side": random_.choice(("buy", "buy", "sell", "sell_short")),
        "order.quantity": Fraction(quantity),
        "order.ord_type": kind,
        "order.time_in_force": random_.choice(("DAY", "IOC")),
        "order.has_locate": random_.random() < 0.5,
        "order.fee_per_share": Fraction(random_.choice((0, 0, 1)), 100),
    }
    if kind == "limit":
        facts["order.price"] = price(random_)
    return facts
