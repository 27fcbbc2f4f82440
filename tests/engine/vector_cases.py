"""Worlds and orders for the vectorised form: several accounts, every shape of rule it has, orders on limits.

Quantities come from `Desk.headroom`: the largest compliant one, and one share to each side of it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

from lexorder.engine.desk import Desk, Make, fast
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    Fill,
    FillRecorded,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    SingleChanged,
    StrategySet,
    TraderChanged,
    TraderSet,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.quantity import exact
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook
from tests.worlds import VOCABULARY, instrument, world

ACCOUNTS = ("A1", "A2", "A3", "A4")
SYMBOLS = ("ACME", "ACMEB", "BETA", "COCO", "DOLL", "EURO")
TRADERS = ("T1", "T2")
STATES = ("ACTIVE", "ACTIVE", "REDUCING", "HALTED")
NOON = datetime(2026, 6, 15, 16, 0, tzinfo=UTC)

VOLUME = (
    "sum(order.filled) + sum(working_order.filled) + sum(fill.quantity where fill.date == clock.date)"
    " <= 10% * instrument.adv"
)
SWITCH = (
    "firm.trading_state != HALTED and account.trading_state != HALTED and trader.trading_state != HALTED"
    " and strategy.trading_state != HALTED"
)
REDUCING = "any(order.trader.trading_state == REDUCING) or any(order.strategy.trading_state == REDUCING)"
CLOSING = (
    "position.after.quantity <= max(0, position.before.quantity)"
    " and position.after.quantity >= min(0, position.before.quantity)"
)
SHAPES: tuple[tuple[str, str, str, str], ...] = (
    ("issuer", "issuer", "", "sum(abs(position.after.value)) <= 30% * account.nav"),
    ("sector", "sector", "", "sum(abs(position.after.value)) <= 60% * account.nav"),
    ("gross", "account", "", "sum(abs(position.after.value)) <= 150% * account.nav"),
    ("net", "account", "", "sum(position.after.value) <= 1 * account.nav"),
    ("cash", "account", "", "account.after.cash >= 2% * account.nav"),
    ("line", "position", "", "abs(position.after.value) <= 25_000"),
    ("reduce", "position", "instrument.adv < 100", "position.after.quantity <= max(0, position.before.quantity)"),
    ("volume", "instrument", "", VOLUME),
    ("notional", "order", "", "order.notional <= 50_000 USD"),
    ("quantity", "order", "", "order.quantity < 400"),
    ("collar", "order", "order.ord_type in {limit, stop_limit}",
     "order.price <= instrument.mark * 105% and order.price >= instrument.mark * 95%"),
    ("listed", "order", "", "order.symbol not in lists.restricted and instrument.issuer not in lists.restricted"),
    ("halted", "order", "", "not instrument.halted and market.luld_state != PAUSED"),
    ("locate", "order", "order.side == sell_short", "order.has_locate"),
    ("role", "order", "trader.role == junior_trader", "order.notional <= 20_000 and trader.traded_today < 10_000"),
    ("team", "trader", "", "trader.traded_today + sum(order.notional where order.trader == trader) <= 60_000"),
    ("working", "account", "", "sum(order.notional) + sum(working_order.notional) <= 90_000"),
    ("count", "account", "",
     "account.orders_today + count(order where order.action == new) <= account.max_orders_per_day"),
    ("hours", "order", "", "clock.now >= session.open"),
    ("switch", "order", "", SWITCH),
    ("reducing", "position", REDUCING, CLOSING),
)  # fmt: skip
"""Name, subject, condition and requirement of rules of every shape that has a vectorised form."""


def rule(name: str, for_each: str, when: str, require: str, scope: str = "") -> str:
    """A rule as text."""
    lines = [f"- rule: {name}", f"  title: {name.title()}", f"  for_each: {for_each}", f"  require: {require}"]
    lines += [f"  when: {when}"] if when else []
    return "\n".join([*lines, f"  scope: {scope}" if scope else "  severity: hard", ""])


RULES = "".join(rule(*shape) for shape in SHAPES) + rule(
    "tagged", "order", "", "order.time_in_force in {DAY, IOC}", "{accounts: {tag: careful}}"
)


def book(text: str = RULES) -> RuleBook:
    """The rules of a text."""
    return RuleBook.of(text, VOCABULARY)


def document(random_: Random, rare: int = 5) -> dict[str, Any]:
    """A world; `rare` is how often, in percent, a fact is missing, stale, or finer than usual."""
    return world(
        accounts=[_account(name, random_, rare) for name in ACCOUNTS],
        instruments=[_instrument(name, random_, rare) for name in SYMBOLS],
        positions=[
            {"account": a, "symbol": s, "quantity": str(random_.choice((-30, -1, 0, 1, 20, 50, 120)))}
            for a in ACCOUNTS
            for s in random_.sample(SYMBOLS, random_.randint(0, 4))
        ],
        working_orders=[_working(n, random_) for n in range(random_.choice((0, 2, 6)))],
        fills=[_fill(n, random_) for n in range(random_.choice((0, 0, 3)))],
        traders=[{"id": t, "role": random_.choice(("junior_trader", "portfolio_manager"))} for t in TRADERS],
        strategies=[{"id": "S1", "trading_state": random_.choice(("ACTIVE", "REDUCING"))}],
        lists={"restricted": random_.sample(SYMBOLS, random_.choice((0, 1))), "watch": []},
        fx={"base": "USD", "EUR": random_.choice(("1.08", "1.12345678"))},
    )


def _account(name: str, random_: Random, rare: int) -> dict[str, Any]:
    found = {
        "id": name,
        "currency": "USD",
        "nav": random_.choice(("100000", "100000.01", "40000")),
        "cash": random_.choice(("100000", "100000", "20000", "5000.5")),
        "equity": "100000",
        "total_assets": "100000",
        "orders_today": random_.choice(("0", "9", "9", "9", "10")),
        "max_orders_per_day": "10",
        "tags": random_.choice(([], ["careful"])),
    }
    return _without(found, ("nav", "cash"), random_, rare)


def _instrument(name: str, random_: Random, rare: int) -> dict[str, Any]:
    mark = random_.choice(("100", "99.99", "12.3456" if random_.randrange(100) < rare else "12.5"))
    facts: dict[str, Any] = {"issuer": name[:4], "sector": random_.choice(("Tech", "Energy"))}
    found = instrument(name, mark, **facts, adv=random_.choice(("50", "1000", "4000")))
    found["currency"] = "EUR" if name == "EURO" else "USD"
    found["halted"] = random_.random() < 0.08
    if random_.randrange(100) < rare:
        found["mark_time"] = (NOON - timedelta(minutes=random_.choice((14, 15, 16)))).isoformat()
    return _without(found, ("mark", "issuer", "adv", "sector"), random_, rare)


def _without(facts: dict[str, Any], names: tuple[str, ...], random_: Random, rare: int) -> dict[str, Any]:
    if random_.randrange(100) < rare:
        del facts[random_.choice(names)]
    return facts


def _working(number: int, random_: Random) -> dict[str, Any]:
    return {
        "id": f"W{number}",
        "account": random_.choice(ACCOUNTS),
        "symbol": random_.choice(SYMBOLS),
        "side": random_.choice(("buy", "sell")),
        "quantity": str(random_.choice((1, 10, 60))),
        "price": random_.choice(("100", "12.5")),
    }


def _fill(number: int, random_: Random) -> dict[str, Any]:
    return {
        "id": f"F{number}",
        "account": random_.choice(ACCOUNTS),
        "symbol": random_.choice(SYMBOLS),
        "side": "buy",
        "quantity": str(random_.choice((1, 90, 99))),
        "date": random_.choice(("2026-06-15", "2026-06-12")),
    }


def desk(random_: Random, rules: RuleBook, rare: int = 5, make: Make = fast) -> Desk:
    """A live desk on a world."""
    return Desk(rules, document(random_, rare), VOCABULARY, make)


# ---- orders ----------------------------------------------------------------------------------------------


def plain(random_: Random, number: int, live: Desk | None = None) -> dict[str, Any]:
    """An order as JSON brings it; with a desk, priced at the mark, at the collar, or one unit beyond it."""
    kind = random_.choice(("limit", "limit", "limit", "market"))
    found: dict[str, Any] = {
        "id": f"O{number}",
        "account": random_.choice(ACCOUNTS),
        "symbol": random_.choice(SYMBOLS),
        "side": random_.choice(("buy", "buy", "sell", "sell_short")),
        "quantity": str(random_.choice((1, 2, 10, 50, 100, 399, 400))),
        "ord_type": kind,
        "time_in_force": random_.choice(("DAY", "IOC", "GTC")),
        "has_locate": random_.random() < 0.8,
        "trader": random_.choice(TRADERS),
        "strategy": random_.choice(("NONE", "S1", "S2")),
    }
    if kind == "limit":
        found["price"] = _price(random_, found["symbol"], live)
    return found


def _price(random_: Random, symbol: str, live: Desk | None) -> str:
    mark: Any = live.instruments[symbol].get("instrument.mark") if live else None
    if mark is None:
        return random_.choice(("100", "105", "105.0001", "95", "94.9999", "12.5"))
    low, high = -(-mark * 9500 // 1), mark * 10500 // 1
    return exact(Fraction(random_.choice((mark * 10_000, mark * 10_000, low, low - 1, high, high + 1)), 10_000))


def on_limits(live: Desk, random_: Random, count: int) -> list[dict[str, Any]]:
    """Orders at the largest compliant quantity, one share less and one more; others as they come."""
    found = []
    for number in range(count):
        order = plain(random_, number, live)
        most = live.headroom(order).quantity
        near = random_.choice((most - 1, most, most, most + 1, most + 1, int(order["quantity"])))
        order["quantity"] = str(max(1, near))
        found.append(order)
    return found


def odd(random_: Random, number: int) -> dict[str, Any]:
    """An order that something is wrong or unusual about."""
    order = plain(random_, number)
    order.update(
        random_.choice(
            (
                {"account": "NOBODY"},
                {"symbol": "NOTHING"},
                {"trader": "STRANGER"},
                {"trader": None},
                {"quantity": "10000000", "price": "2000000", "ord_type": "limit"},
                {"quantity": "0"},
                {"quantity": "1.5"},
                {"quantity": "1_0"},
                {"price": "-1", "ord_type": "limit"},
                {"price": None, "ord_type": "limit"},
                {"price": "100.00001", "ord_type": "limit"},
                {"side": "hold"},
                {"id": "W0"},
                {"id": "not canonical"},
                {"strategy": "S9"},
                {"stop_price": "100", "ord_type": "stop"},
                {"fee_per_share": "0.01"},
            )
        )
    )
    return order


def columns(orders: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Orders as columns."""
    names = dict.fromkeys(name for order in orders for name in order)
    return {name: [order.get(name) for order in orders] for name in names}


def answer(live: Desk, order: dict[str, Any]) -> Any:
    """What the single path says, its error included."""
    try:
        return live.check({k: v for k, v in order.items() if v is not None})
    except SnapshotError as refused:
        return refused


# ---- events ----------------------------------------------------------------------------------------------


@dataclass
class Happenings:
    """Random events, each of every kind a desk takes."""

    live: Desk
    random: Random
    number: int = 0

    def apply(self) -> None:
        """One event; what the desk refuses has not happened."""
        self.number += 1
        with suppress(SnapshotError):
            self.live.apply(self._one())

    def _one(self) -> Event:
        return self.random.choice((self._traded, self._told, self._market, self._clock, self._traded, self._market))()

    def _pair(self) -> tuple[str, str]:
        return self.random.choice(ACCOUNTS), self.random.choice(SYMBOLS)

    def _traded(self) -> Event:
        account, symbol = self._pair()
        quantity = Fraction(self.random.choice((1, 5, 40)))
        working = list(self.live.working)
        if working and self.random.random() < 0.5:
            gone = self.random.choice(working)
            facts: Any = self.live.working[gone]
            if self.random.random() < 0.4:
                return WorkingRemoved(gone)
            some = min(quantity, facts["working_order.quantity"])
            owner, name, side = (str(facts[f"working_order.{x}"]) for x in ("account", "symbol", "side"))
            return Fill(owner, name, side, some, Fraction(-7), gone, self._record(owner, name, some))
        if self.random.random() < 0.4:
            return WorkingAdded(self._order(account, symbol, quantity))
        if self.random.random() < 0.5:
            return PositionSet(account, symbol, {"position.before.quantity": self.random.choice((0, 1, -5)) * quantity})
        if self.random.random() < 0.5:
            return FillRecorded(self._record(account, symbol, quantity))
        return Fill(account, symbol, self.random.choice(("buy", "sell")), quantity, Fraction(11))

    def _order(self, account: str, symbol: str, quantity: Fraction) -> Facts:
        return {
            "working_order.id": f"E{self.number}",
            "working_order.account": account,
            "working_order.symbol": symbol,
            "working_order.side": self.random.choice(("buy", "sell", "sell_short")),
            "working_order.quantity": quantity,
            "working_order.price": Fraction(100),
        }

    def _record(self, account: str, symbol: str, quantity: Fraction) -> Facts:
        return {
            "fill.id": f"R{self.number}",
            "fill.account": account,
            "fill.symbol": symbol,
            "fill.side": "buy",
            "fill.quantity": quantity,
            "fill.date": NOON.date(),
        }

    def _told(self) -> Event:
        account = self.random.choice(ACCOUNTS)
        facts: Any = self.live.accounts[account]
        return self.random.choice(
            (
                AccountChanged(account, {"account.nav": Fraction(self.random.choice((40_000, 100_000)))}),
                AccountChanged(account, {"account.tags": frozenset(self.random.choice((("careful",), ())))}),
                AccountSet(account, {**facts, "account.cash": Fraction(self.random.choice((3_000, 60_000)))}),
                TraderChanged("T1", {"trader.traded_today": Fraction(self.random.choice((0, 19_000)))}),
                TraderSet("T2", {"trader.id": "T2", "trader.role": self.random.choice(("junior_trader", "observer"))}),
                AccountSet("A9", {**facts, "account.id": "A9"}),
                StrategySet("S1", {"strategy.id": "S1", "strategy.trading_state": self.random.choice(STATES)}),
                StrategySet("S2", {"strategy.id": "S2", "strategy.trading_state": self.random.choice(STATES)}),
                TraderChanged("T2", {"trader.trading_state": self.random.choice(STATES)}),
            )
        )

    def _market(self) -> Event:
        symbol = self.random.choice(SYMBOLS)
        mark = Fraction(self.random.choice((10_000, 9_999, 1_250, 10_001)), 100)
        if self.random.random() < 0.1:
            mark += Fraction(1, 10_000)
        full: Any = self.live.instruments[symbol]
        return self.random.choice(
            (
                InstrumentChanged(symbol, {"instrument.mark": mark}),
                InstrumentChanged(symbol, {"instrument.mark": mark, "instrument.bid": mark, "instrument.ask": mark}),
                InstrumentChanged(symbol, {"instrument.sector": self.random.choice(("Tech", "Energy", "Other"))}),
                InstrumentChanged(symbol, {"instrument.mark_time": self.live.time - timedelta(minutes=14)}),
                InstrumentChanged(symbol, {"instrument.halted": self.random.random() < 0.3}),
                InstrumentSet(symbol, {**full, "instrument.mark": mark}),
                InstrumentSet("NEWB", {**full, "instrument.symbol": "NEWB", "instrument.sector": "Fresh"}),
            )
        )

    def _clock(self) -> Event:
        return self.random.choice(
            (
                SingleChanged({"clock.now": self.live.time + timedelta(minutes=self.random.choice((0, 1, 2)))}),
                SingleChanged({"fx.EUR": Fraction(self.random.choice((105, 110)), 100)}),
                SingleChanged({"firm.collar": Fraction(self.random.choice((0, 5)), 100)}),
                SingleChanged({"lists.restricted": frozenset(self.random.sample(SYMBOLS, 1))}),
            )
        )
