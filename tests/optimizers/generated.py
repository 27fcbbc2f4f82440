"""Generated portfolios with tight limits, and the exact check of every fill state of a rebalance.

In: a seed and a number of names. Out: requests for `rebalance`, and the violations an evaluator finds afterwards.
Independent of rows, solver and certificate: orders are read from the result's FIX fields, states are judged by
`engine.judge` (all fill states) and by `engine.evaluate` at random partial fills.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from lexorder.engine.desk import shipped_vocabulary, slow
from lexorder.engine.evaluate import Point, value
from lexorder.engine.events import Fill, after
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.judge import derivations, excess, is_measured, judge, moves, worst_excess
from lexorder.engine.rule import Facts, Rule, Severity
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Projection, Snapshot, project
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import conjuncts
from lexorder.engine.verdict import Status
from lexorder.optimizers.outcome import Rebalanced
from lexorder.optimizers.rebalance import Aims, Request, day_of
from lexorder.optimizers.risk_models import FactorModel
from lexorder.optimizers.rows import relevant
from lexorder.optimizers.universe import Trading

VOCABULARY = shipped_vocabulary()
ACCOUNT, NOW = "ACC-1", "2026-06-15T12:00:00-04:00"

RULES = """
- rule: issuer-cap
  title: Issuers are capped
  phases: [pre_trade, rebalance]
  for_each: issuer
  require: sum(abs(position.after.value)) <= {issuer}% * account.nav
- rule: sector-cap
  title: Sectors are capped
  phases: [pre_trade, rebalance]
  for_each: sector
  require: sum(position.after.value) <= {sector}% * account.nav
- rule: cash-floor
  title: Cash stays
  phases: [pre_trade, rebalance]
  for_each: account
  require: account.after.cash >= {cash}% * account.nav
- rule: turnover
  title: Traded value is limited
  phases: [rebalance]
  for_each: account
  require: sum(order.filled * order.instrument.mark * order.instrument.fx) <= {turnover}% * account.nav
- rule: gross
  title: Gross exposure against what is left after costs
  phases: [pre_trade, rebalance]
  for_each: account
  require: sum(abs(position.after.value)) <= 100% * account.after.nav
- rule: order-size
  title: Orders are small
  phases: [pre_trade]
  require: order.notional <= {order}% * account.nav
- rule: volume
  title: Orders are small against volume
  phases: [pre_trade, rebalance]
  for_each: instrument
  require: sum(order.filled) <= 5% * instrument.adv
"""


def book(random: Random, extra: str = "") -> RuleBook:
    """A rule book with limits drawn so that several bind."""
    figures = {
        "issuer": random.choice(["5", "6.5", "8"]),
        "sector": random.choice(["18", "22", "30"]),
        "cash": random.choice(["0.5", "1", "2"]),
        "turnover": random.choice(["20", "35", "60"]),
        "order": random.choice(["3", "4", "6"]),
    }
    return RuleBook.of(RULES.format(**figures) + extra, VOCABULARY)


def document(random: Random, names: int, *, working: int = 0, lots: bool = False) -> dict[str, Any]:
    """A snapshot document: holdings around equal weights, some above the caps, little cash."""
    symbols = [f"N{n:03d}" for n in range(names)]
    marks = {s: Fraction(random.randint(500, 60_000), 100) for s in symbols}
    lot = {s: random.choice([1, 1, 10, 100]) if lots else 1 for s in symbols}
    nav = Fraction(10_000_000)
    held = {
        s: int(nav * random.choice([0, 2, 5, 8, 11]) / 10 * 2 / names / marks[s]) // lot[s] * lot[s] for s in symbols
    }
    invested = sum((marks[s] * q for s, q in held.items()), Fraction(0))
    for s in reversed(symbols):  # keep the portfolio within its means
        if invested > nav * 97 / 100:
            invested -= marks[s] * held[s]
            held[s] = 0
    busy = [s for s in symbols if held[s]][:working]
    return {
        "time": NOW,
        "accounts": [_account(nav, nav - invested)],
        "instruments": [_instrument(s, n, marks[s], lot[s], random) for n, s in enumerate(symbols)],
        "market": [{"symbol": s, "volatility": "0.02"} for s in symbols],
        "positions": [{"account": ACCOUNT, "symbol": s, "quantity": str(q)} for s, q in held.items() if q],
        "working_orders": [_working(s, k, marks[s]) for k, s in enumerate(busy)],
        "signals": [_signal(s, random) for s in symbols if random.random() < 0.8],
        "traders": [{"id": "T-1", "role": "portfolio_manager"}],
        "lists": {"restricted": [], "watch": []},
    }


def _account(nav: Fraction, cash: Fraction) -> dict[str, str]:
    text = str(int(nav))
    facts = dict.fromkeys(("nav", "total_assets", "equity", "start_of_day_nav", "peak_nav"), text)
    return {"id": ACCOUNT, "currency": "USD", "cash": decimal(cash), **facts}


def decimal(number: Fraction) -> str:
    """Two decimals, exact."""
    cents = int(number * 100)
    return f"{cents // 100}.{cents % 100:02d}"


def _instrument(symbol: str, n: int, mark: Fraction, lot: int, random: Random) -> dict[str, str]:
    return {
        "symbol": symbol,
        "issuer": f"I{n // 2 if n % 7 == 0 else n:03d}",
        "sector": f"S{n % 8}",
        "currency": "USD",
        "mark": decimal(mark),
        "bid": decimal(mark),
        "ask": decimal(mark),
        "mark_time": NOW,
        "lot": str(lot),
        "adv": str(random.choice([20_000, 200_000, 5_000_000])),
    }


def _working(symbol: str, k: int, mark: Fraction) -> dict[str, str]:
    side = "sell" if k % 2 else "buy"
    return {"id": f"W-{k}", "account": ACCOUNT, "symbol": symbol, "side": side, "quantity": "7", "price": decimal(mark)}


def _signal(symbol: str, random: Random) -> dict[str, str]:
    expected = f"{random.uniform(-0.02, 0.04):.6f}"
    return {
        "id": f"S-{symbol}",
        "account": ACCOUNT,
        "symbol": symbol,
        "direction": "short" if expected.startswith("-") else "long",
        "expected_return": expected,
        "confidence": f"{random.uniform(0.3, 0.9):.4f}",
    }


def request(seed: int, names: int, *, working: int = 0, lots: bool = False, extra: str = "") -> Request:
    """A request; decided by the reference evaluators, so that these tests depend on few others."""
    random, numbers = Random(seed), np.random.default_rng(seed)
    snapshot = load_snapshot(document(random, names, working=working, lots=lots), VOCABULARY)
    model = FactorModel(numbers.normal(0, 0.01, (3, names)), np.full(names, 0.0004))
    aims = Aims(aversion=random.choice([1.0, 4.0, 12.0]))
    return Request(book(random, extra), snapshot, ACCOUNT, model, Trading(trader="T-1"), aims, make=slow, vertices=1)


# ---- the exact check ---------------------------------------------------------------------------------------------


def violations(asked: Request, result: Rebalanced, *, samples: int = 3, seed: int = 0) -> list[str]:
    """Everything wrong in any fill state of any wave, and at the end; nothing is what is wanted."""
    rules = relevant(asked.book.on(day_of(asked.snapshot)), ACCOUNT, frozenset())
    known, found, random = asked.snapshot, [], Random(seed)
    for wave in range(1, result.waves + 1):
        orders = tuple(_facts(o.to_fix(), asked) for o in result.orders if o.wave == wave)
        seen = project(known, asked.book.vocabulary, ACCOUNT, orders)
        found += [f"wave {wave}: {text}" for text in judged(rules, seen)]
        found += [f"wave {wave}: {text}" for text in sampled(rules, seen, samples, random)]
        known = filled(known, orders)
    return found + [f"end: {text}" for text in judged(rules, project(known, asked.book.vocabulary, ACCOUNT, ()))]


def _facts(fix: dict[str, str], asked: Request) -> Facts:
    side = {"1": "buy", "2": "sell", "5": "sell_short"}[fix["Side"]]
    assert fix["OrdType"] == "2"
    raw = {
        "id": fix["ClOrdID"],
        "account": fix["Account"],
        "symbol": fix["Symbol"],
        "side": side,
        "quantity": fix["OrderQty"],
        "ord_type": "limit",
        "price": fix["Price"],
        "trader": "T-1",
    }
    return load_order(raw, asked.book.vocabulary)


def filled(known: Snapshot, orders: tuple[Facts, ...]) -> Snapshot:
    """The snapshot once orders are filled at their limits."""
    for o in orders:
        quantity, price = o["order.quantity"], o["order.price"]
        assert isinstance(quantity, Fraction)
        assert isinstance(price, Fraction)
        side = str(o["order.side"])
        cash = -quantity * price if side == "buy" else quantity * price
        known = after(known, Fill(ACCOUNT, str(o["order.symbol"]), side, quantity, cash))
    return known


def judged(rules: list[Rule], seen: Projection) -> list[str]:
    """What the reference judge finds over all fill states."""
    table = derivations(rules)
    return [
        f"{rule.id} for {finding.subject}: {finding.status.value} {finding.why}"
        for rule in rules
        for finding in judge(rule, seen, table)
        if finding.status in (Status.BREACH, Status.UNDECIDED)
    ]


def sampled(rules: list[Rule], seen: Projection, samples: int, random: Random) -> list[str]:
    """What plain evaluation finds at random partial fills; an old breach may stay as large as it was."""
    table, found = derivations(rules), []
    for _ in range(samples):
        fills = {m.key: Fraction(random.randint(0, int(m.quantity))) for m in moves(seen)}
        for rule in rules:
            for subject in subjects_of(rule, seen):
                at = Point(seen, (account_subject(seen), subject), fills, table)
                if not _holds(rule, at):
                    found.append(f"{rule.id} for {subject.key} at a partial fill")
    return found


def _holds(rule: Rule, at: Point) -> bool:
    assert rule.require is not None
    if (
        rule.severity is Severity.WARN
        or (rule.when is not None and not value(rule.when, at))
        or value(rule.require, at)
    ):
        return True
    old = [m for m in moves(at.projection) if not m.new]
    start = replace(at, fills={})
    return rule.may_improve and all(
        is_measured(part) and excess(part, at) <= max(Fraction(0), worst_excess(part, start, old)[0])  # type: ignore[arg-type]
        for part in conjuncts(rule.require)
    )
