"""Microseconds of the compiled evaluator alone: clearing, breaches, the largest quantity, events.

`python -m benchmarks.compiled [--names 1000]`. Twelve usual rules, one account; one name in five has a working order.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path
from statistics import quantiles
from typing import Any

from lexorder.engine import vocabulary as vocabulary_file
from lexorder.engine.compile import CompiledBook
from lexorder.engine.events import AccountChanged, Fill, InstrumentChanged
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.rulebook import RuleBook

VOCABULARY = vocabulary_file.load(Path(__file__).resolve().parents[1] / "rules" / "vocabulary.yaml")
RULES = """
- {rule: weight, title: t, for_each: issuer, require: "sum(abs(position.after.value)) <= 5% * account.nav"}
- {rule: sector, title: t, for_each: sector, require: "sum(abs(position.after.value)) <= 20% * account.nav"}
- {rule: gross, title: t, for_each: account, require: "sum(abs(position.after.value)) <= 200% * account.nav"}
- {rule: quantity, title: t, require: "order.quantity <= 50_000"}
- {rule: notional, title: t, require: "order.notional <= 500_000"}
- {rule: collar, title: t, when: "order.ord_type in {limit, stop_limit}",
   require: "abs(order.price - instrument.mark) <= 10% * instrument.mark"}
- {rule: adv, title: t, for_each: instrument,
   require: "sum(order.filled) + sum(working_order.filled) + sum(fill.quantity) <= 10% * instrument.adv"}
- {rule: restricted, title: t, require: "order.symbol not in lists.restricted"}
- {rule: halted, title: t, require: "not instrument.halted and market.luld_state != PAUSED"}
- {rule: locate, title: t, when: "order.side == sell_short", require: "order.has_locate"}
- {rule: cash, title: t, for_each: account, require: "account.after.cash >= 2% * account.nav"}
- {rule: role, title: t, require: "order.notional <= (if trader.role == junior_trader then 25_000 else 1_000_000)"}
"""


def document(names: int) -> dict[str, Any]:
    """A book of equal holdings."""
    money = {"nav": "10000000", "cash": "5000000", "equity": "10000000", "total_assets": "10000000"}
    price = {"mark": "100", "bid": "99.99", "ask": "100.01", "country": "US", "currency": "USD", "adv": "1000000"}
    return {
        "time": "2026-06-15T12:00:00-04:00",
        "accounts": [{"id": "A", "currency": "USD", "tags": [], **money}],
        "instruments": [
            {"symbol": f"S{i}", "issuer": f"I{i}", "sector": f"SEC{i % 10}", "group": f"S{i}", **price}
            for i in range(names)
        ],
        "positions": [{"account": "A", "symbol": f"S{i}", "quantity": "100"} for i in range(names)],
        "working_orders": [
            {"id": f"W{i}", "account": "A", "symbol": f"S{i}", "side": "buy", "quantity": "10", "price": "100"}
            for i in range(0, names, 5)
        ],
        "traders": [{"id": "T", "role": "portfolio_manager"}],
        "lists": {"restricted": ["ZZZ"], "watch": []},
    }


def order(symbol: str, side: str, quantity: int) -> dict[str, Any]:
    """A limit order at the mark."""
    facts = {"id": f"O-{symbol}", "account": "A", "symbol": symbol, "side": side, "quantity": str(quantity)}
    return dict(load_order({**facts, "ord_type": "limit", "price": "100", "trader": "T"}, VOCABULARY))


def timed(call: Callable[[Any], object], items: Sequence[Any]) -> str:
    """p50 and p99 in microseconds."""
    found = []
    for item in items:
        began = time.perf_counter_ns()
        call(item)
        found.append((time.perf_counter_ns() - began) / 1000)
    cuts = quantiles(found, n=100)
    return f"p50 {cuts[49]:9.2f} µs   p99 {cuts[98]:9.2f} µs"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=1000)
    names = parser.parse_args().names
    rules = RuleBook.of(RULES, VOCABULARY).on(date(2026, 6, 15))
    book = CompiledBook(rules, VOCABULARY, load_snapshot(document(names), VOCABULARY))
    book.warm(["A"])
    symbols = [f"S{i % names}" for i in range(5_000)]
    passing = [(order(s, "buy" if i % 2 else "sell", 100),) for i, s in enumerate(symbols)]
    large = [(order(s, "buy", 6_000),) for s in symbols[:300]]
    print("order that passes  ", timed(lambda o: book.check("A", o), passing))
    print("order that breaches", timed(lambda o: book.check("A", o).findings(), large))
    print("largest quantity   ", timed(lambda o: book.largest("A", o[0], 6_000), large))
    ticks = [InstrumentChanged(s, {"instrument.mark": Fraction(10_000 + i % 7, 100)}) for i, s in enumerate(symbols)]
    print("price              ", timed(book.apply, ticks[:1_000]))
    print(
        "fill               ",
        timed(book.apply, [Fill("A", s, "buy", Fraction(1), Fraction(-100)) for s in symbols[:500]]),
    )
    navs = [AccountChanged("A", {"account.nav": Fraction(10_000_000 + i)}) for i in range(500)]
    print("account fact       ", timed(book.apply, navs))


if __name__ == "__main__":
    main()
