"""Microseconds of everything a live desk does, in the world of the service: 1,000 accounts of 100 holdings, 30 rules.

`python -m benchmarks.desk [--accounts 1000] [--orders 4000] [--library]`. Each order names an account and an instrument
at random, most of them never asked about before (`check, cold`); then the same ones again (`check, warm`). Events are
timed by themselves, and then a next check of any account, since a desk may leave work to it. Times are of the
processor, not of the wall, so that other work on the machine counts little.
`--library` judges by the whole shipped library instead of the thirty. Writes results/desk.json and .md when told
`--store`.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from lexorder.engine.desk import Desk, shipped_rules, shipped_vocabulary
from lexorder.engine.events import (
    AccountChanged,
    Fill,
    InstrumentChanged,
    PositionSet,
    SingleChanged,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook

HERE = Path(__file__).resolve().parent
NAMES, HELD, SECTORS, TRADERS = 500, 100, 10, 20
ORDINARY = (
    "account-credit-threshold",
    "account-market-orders",
    "account-order-quantity",
    "account-order-value",
    "cash-account-pays-in-full",
    "firm-capital-threshold",
    "instrument-order-size",
    "instrument-order-value",
    "kill-switch",
    "long-sale-needs-shares",
    "market-access-order-notional",
    "market-access-order-quantity",
    "market-access-price-collar",
    "max-gross-leverage",
    "max-issuer-weight",
    "max-net-leverage",
    "max-sector-weight",
    "max-volume-participation",
    "message-rate",
    "min-cash-buffer",
    "no-trading-in-the-opening-minutes",
    "orders-per-day",
    "outside-regular-hours",
    "position-value-limit",
    "price-above-zero",
    "reducing-only",
    "restricted-list",
    "senior-trader-daily-limit",
    "short-sale-needs-locate",
    "trading-halted",
)
"""Thirty rules a pre-trade desk has on for every order."""


def document(accounts: int, seed: int = 1) -> dict[str, Any]:
    """The world as a snapshot document: about five millions net assets an account, spread over its holdings."""
    draw = random.Random(seed)
    instruments = [_instrument(n, draw) for n in range(NAMES)]
    positions, owners = [], []
    for a in range(accounts):
        worth = Fraction(0)
        for n in draw.sample(range(NAMES), HELD):
            mark = Fraction(instruments[n]["mark"])
            quantity = int(draw.randrange(10_000, 60_000) / mark)
            worth += mark * quantity
            positions.append({"account": f"A{a}", "symbol": f"N{n:03d}", "quantity": str(quantity)})
        owners.append(_account(a, worth, draw))
    return {
        "time": "2026-06-15T12:00:00-04:00",
        "accounts": owners,
        "instruments": instruments,
        "positions": positions,
        "traders": [{"id": f"T{n}", "role": draw.choice(("senior_trader", "algorithm"))} for n in range(TRADERS)],
        "lists": {"restricted": [f"N{n:03d}" for n in draw.sample(range(NAMES), 10)], "watch": []},
        "firm": {"capital_limit": "100000000000", "exposure": "0"},
    }


def _instrument(n: int, draw: random.Random) -> dict[str, Any]:
    cents = draw.randrange(1_000, 50_000)
    return {
        "symbol": f"N{n:03d}",
        "issuer": f"I{n}",
        "group": f"G{n}",
        "sector": f"S{n % SECTORS}",
        "country": "US",
        "currency": "USD",
        "mark": money(cents),
        "bid": money(cents - 1),
        "ask": money(cents + 1),
        "adv": str(draw.randrange(1_000_000, 20_000_000)),
        "shares_outstanding": "1000000000",
        "halted": draw.random() < 0.01,
    }


def _account(a: int, worth: Fraction, draw: random.Random) -> dict[str, Any]:
    cash = draw.randrange(1_000_000, 2_000_000)
    nav = str(int(worth) + cash)
    return {
        "id": f"A{a}",
        "currency": "USD",
        "kind": "margin",
        "nav": nav,
        "equity": nav,
        "total_assets": nav,
        "cash": str(cash),
        "start_of_day_nav": nav,
        "peak_nav": nav,
        "tags": [],
    }


def money(cents: int) -> str:
    """Cents as decimal text."""
    return f"{cents // 100}.{cents % 100:02d}"


class Orders:
    """Orders of random accounts in random names: three in four of them in a name the account holds."""

    def __init__(self, desk: Desk, seed: int = 2) -> None:
        self.desk = desk
        self.draw = random.Random(seed)
        self.held = {a: tuple(p) for a, p in desk.tables.positions.items()}
        self.accounts, self.names = tuple(self.held), tuple(desk.instruments)
        self.number = 0

    def one(self, share: float = 0.02) -> Facts:
        """An order for about this share of 100,000 in money; sides in turn."""
        draw, self.number = self.draw, self.number + 1
        account = draw.choice(self.accounts)
        symbol = draw.choice(self.held[account] if draw.random() < 0.75 else self.names)
        mark: Any = self.desk.instruments[symbol]["instrument.mark"]
        raw = {
            "id": f"O{self.number}",
            "account": account,
            "symbol": symbol,
            "side": draw.choice(("buy", "buy", "sell")),
            "quantity": str(max(1, int(100_000 * share / mark))),
            "ord_type": "limit",
            "price": money(int(mark * 100)),
            "trader": f"T{draw.randrange(TRADERS)}",
            "has_locate": True,
        }
        return load_order(raw, self.desk.vocabulary)


def timed(call: Callable[[Any], object], items: Iterable[Any]) -> list[float]:
    """Microseconds of processor time of each call, in the order of the calls."""
    found = []
    for item in items:
        began = time.thread_time_ns()
        call(item)
        found.append((time.thread_time_ns() - began) / 1000)
    return found


def figures(found: Sequence[float]) -> dict[str, float]:
    """p50, p99 and mean."""
    ordered = sorted(found)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1),
        "mean": round(sum(ordered) / len(ordered), 1),
    }


def memory() -> int:
    """The most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def book(library: bool) -> RuleBook:
    """The thirty rules, or the whole library."""
    whole = RuleBook.load(shipped_rules(), shipped_vocabulary())
    return whole if library else whole.only(ORDINARY)


def main() -> None:
    """Measure, print, and store when asked to."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--accounts", type=int, default=1_000)
    options.add_argument("--orders", type=int, default=4_000)
    options.add_argument("--library", action="store_true")
    options.add_argument("--store", action="store_true")
    chosen = options.parse_args()
    began = time.perf_counter()
    rules = book(chosen.library)
    snapshot = load_snapshot(document(chosen.accounts), shipped_vocabulary())
    loaded, taken = time.perf_counter(), memory()
    desk = Desk(rules, snapshot, shipped_vocabulary())
    orders = Orders(desk)
    first = desk.check(orders.one())
    result: dict[str, Any] = {
        "rules": len(desk.rules_of("A0")),
        "verdicts": first.verdicts,
        "world_s": round(loaded - began, 1),
        "world_mb": taken,
        "first_answer_s": round(time.perf_counter() - loaded, 2),
        "µs": {},
    }
    print(json.dumps({k: v for k, v in result.items() if k != "µs"}, ensure_ascii=False), flush=True)
    for name, measure in STEPS.items():
        result["µs"][name] = measure(desk, orders, chosen.orders)
        print(f"{name:34} {result['µs'][name]}", flush=True)
    result["most_mb"] = memory()
    print(f"memory {result['most_mb']} MB")
    if chosen.store:
        store(result, "desk-library" if chosen.library else "desk")


def _checks(desk: Desk, orders: Orders, count: int, share: float = 0.02) -> tuple[list[Facts], dict[str, Any]]:
    asked = [orders.one(share) for _ in range(count)]
    outcomes: dict[str, int] = {}

    def check(order: Facts) -> None:
        said = desk.check(order).outcome.value
        outcomes[said] = outcomes.get(said, 0) + 1

    return asked, {**figures(timed(check, asked)), **outcomes}


def _cold(desk: Desk, orders: Orders, count: int) -> dict[str, Any]:
    return _checks(desk, orders, count)[1]


def _warm(desk: Desk, orders: Orders, count: int) -> dict[str, Any]:
    asked = [orders.one() for _ in range(min(count, 1_000))]
    for order in asked:
        desk.check(order)
    return figures(timed(desk.check, asked * max(1, count // len(asked))))


def _rejected(desk: Desk, orders: Orders, count: int) -> dict[str, Any]:
    return _checks(desk, orders, max(100, count // 10), 40.0)[1]


def working(order: Facts) -> WorkingAdded:
    """The reservation of an approved order."""
    names = ("id", "account", "symbol", "side", "quantity", "price")
    return WorkingAdded({f"working_order.{n}": order[f"order.{n}"] for n in names})


def _reserved(desk: Desk, orders: Orders, count: int) -> dict[str, Any]:
    """A check and the reservation of what was approved, as the service does."""
    open_orders: list[str] = []

    def serve(order: Facts) -> None:
        if desk.check(order).approved:
            desk.apply(working(order))
            open_orders.append(str(order["order.id"]))
            if len(open_orders) > 200:
                desk.apply(WorkingRemoved(open_orders.pop(0)))

    return figures(timed(serve, [orders.one() for _ in range(count)]))


def _applied(make: Callable[[Desk, Orders], Any]) -> Callable[[Desk, Orders, int], dict[str, Any]]:
    def measure(desk: Desk, orders: Orders, count: int) -> dict[str, Any]:
        few = max(100, count // 10)
        found: list[float] = []
        later: list[float] = []
        for _ in range(few):
            event, order = make(desk, orders), orders.one()
            found += timed(desk.apply, [event])
            later += timed(desk.check, [order])
        return {**figures(found), "next check": figures(later)}

    return measure


def _added(_desk: Desk, orders: Orders) -> WorkingAdded:
    return working(orders.one())


def _removed(desk: Desk, orders: Orders) -> WorkingRemoved:
    added = working(orders.one())
    desk.apply(added)
    return WorkingRemoved(str(added.facts["working_order.id"]))


def _filled(desk: Desk, orders: Orders) -> Fill:
    facts = working(orders.one()).facts
    desk.apply(WorkingAdded(facts))
    quantity: Any = facts["working_order.quantity"]
    price: Any = facts["working_order.price"]
    identifier, account, symbol, side = (str(facts[f"working_order.{n}"]) for n in ("id", "account", "symbol", "side"))
    cash = -quantity * price if side == "buy" else quantity * price
    return Fill(account, symbol, side, quantity, cash, identifier)


def _priced(desk: Desk, orders: Orders) -> InstrumentChanged:
    symbol = orders.draw.choice(orders.names)
    old: Any = desk.instruments[symbol]["instrument.mark"]
    mark = old + Fraction(orders.draw.choice((-1, 1)), 100)
    near = {"instrument.mark": mark, "instrument.bid": mark - Fraction(1, 100), "instrument.ask": mark}
    return InstrumentChanged(symbol, near)


def _account_told(desk: Desk, orders: Orders) -> AccountChanged:
    account = orders.draw.choice(orders.accounts)
    nav: Any = desk.accounts[account]["account.nav"]
    return AccountChanged(account, {"account.nav": nav + 1})


def _placed(_desk: Desk, orders: Orders) -> PositionSet:
    account = orders.draw.choice(orders.accounts)
    symbol = orders.draw.choice(orders.held[account])
    return PositionSet(account, symbol, {"position.before.quantity": Fraction(orders.draw.randrange(1, 100))})


def _ticked(desk: Desk, _orders: Orders) -> SingleChanged:
    moment = desk.time + timedelta(milliseconds=10)
    today: date = moment.date()
    return SingleChanged({"clock.now": moment, "clock.date": today, "clock.time": moment.time()})


STEPS: dict[str, Callable[[Desk, Orders, int], dict[str, Any]]] = {
    "check, cold": _cold,
    "check, warm": _warm,
    "check, not approved": _rejected,
    "check and reserve": _reserved,
    "working order added": _applied(_added),
    "working order removed": _applied(_removed),
    "fill": _applied(_filled),
    "price": _applied(_priced),
    "account fact": _applied(_account_told),
    "position set": _applied(_placed),
    "clock": _applied(_ticked),
    "check, cold, at the end": _cold,
}


def store(result: dict[str, Any], name: str) -> None:
    """Keep the figures with the machine they were taken on."""
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    folder = HERE / "results"
    (folder / f"{name}.json").write_text(json.dumps({**result, "on": machine}, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
