"""Results of a rebalance made by hand, for what shows them: no solver runs.

`rebalanced()` has an order, two names and three rules; `infeasible()` is a conflict of two. Keywords replace parts.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from lexorder.optimizers.outcome import Binding, Clash, Headroom, Infeasible, Rebalanced, TradeOrder, Weight
from lexorder.optimizers.rows import Refusal
from lexorder.optimizers.signals import SignalReport

SNAPSHOT, BOOK = "ab" * 32, "cd" * 32


def order(**parts: Any) -> TradeOrder:
    """Buy seven ACME at 10.05."""
    made = TradeOrder(1, "R1-ACME", "A", "ACME", "buy", 7, "limit", Fraction("10.05"), "DAY", Fraction(70), 0)
    return replace(made, **parts)


def weight(symbol: str = "ACME", before: str = "1/10", after: str = "1/5", sector: str = "Left") -> Weight:
    """A name with its two weights."""
    return Weight(symbol, 100, 200, Fraction(before), Fraction(after), sector, Fraction("0.03"))


def room(rule: str = "cap", subject: str = "ACME", **parts: Any) -> Headroom:
    """A cap of 25%, 10% used before and 20% after."""
    made = Headroom(
        rule,
        f"The {rule}",
        subject,
        "pass",
        "pass",
        Fraction(1, 10),
        Fraction(1, 5),
        Fraction(1, 4),
        Fraction(1, 20),
        True,
    )
    return replace(made, **parts)


def clash(rule: str = "cap") -> Clash:
    """A rule of a conflict."""
    return Clash(rule, f"The {rule}", "ACME", "sum(x) <= 5%", Fraction(1, 20), Fraction(3, 50), True)


def rebalanced(**parts: Any) -> Rebalanced:
    """Orders, with their figures."""
    signals = SignalReport(signals=(), expected={}, sizes={}, raw={}, regimes=frozenset())
    made = Rebalanced(
        account="A",
        time="2026-06-15T12:00:00-04:00",
        orders=(order(),),
        decisions=(),
        weights=(weight(), weight("BETA", "1/4", "1/8", "Right")),
        headroom=(room(), room("zebra"), room("floor", "BETA")),
        binding=(Binding("cap", "ACME", Fraction(1, 4), 1.5), Binding("zebra", "ACME", None, 0.25)),
        signals=signals,
        nav=Fraction(1000),
        cash_before=Fraction(650),
        cash_after=Fraction(580),
        turnover=Fraction(7, 100),
        cost=Fraction(7, 20),
        gap_bp=Fraction(1, 2),
        route="convex: by hand",
        certificate="{}",
        confirmed=1234,
        left_out=(Refusal("zebra", "COCO", "no price"),),
        rulebook_hash=BOOK,
        snapshot_hash=SNAPSHOT,
        incurable=(clash(), clash("zebra")),
        by_order=("cap", "zebra"),
    )
    return replace(made, **parts)


def infeasible(*rules: str) -> Infeasible:
    """A conflict of these rules."""
    signals = SignalReport(signals=(), expected={}, sizes={}, raw={}, regimes=frozenset())
    clashes = tuple(clash(rule) for rule in rules or ("cap", "floor"))
    return Infeasible("A", "2026-06-15T12:00:00-04:00", clashes, "{}", signals, BOOK, SNAPSHOT)
