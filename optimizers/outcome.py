"""What a rebalance answers: orders with their evidence, or the rules that exclude each other.

In: built by `rebalance.py`. Out: frozen values and plain JSON, read by the command line, notebooks and the report.
Guaranteed: amounts are exact and leave as decimal text; FIX names for orders. Refused: nothing. Floats appear only
where marked (shadow prices): they inform, nothing is decided by them. Before: `rows.py`, `solve.py`. After: `api/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.decision import Decision
from lexorder.engine.facts import plain
from lexorder.engine.quantity import exact
from lexorder.engine.terms import Value
from lexorder.optimizers.models import UNTOLD, Steered, Target
from lexorder.optimizers.rows import Refusal
from lexorder.optimizers.signals import SignalReport

FIX_SIDE = {"buy": "1", "sell": "2", "sell_short": "5"}
FIX_TYPE = {"market": "1", "limit": "2", "stop": "3", "stop_limit": "4"}
FIX_TIME = {"DAY": "0", "GTC": "1", "OPG": "2", "IOC": "3", "FOK": "4", "GTD": "6", "CLS": "7"}

ORDER_FIELDS = ("wave", "ClOrdID", "Account", "Symbol", "Side", "OrderQty", "OrdType", "Price", "TimeInForce")
"""Columns of orders.csv: FIX 4.4 field names and values, and the wave."""


@dataclass(frozen=True, slots=True)
class TradeOrder:
    """One order. `price` is the limit in the instrument's money, `value` at the mark in the account's."""

    wave: int
    id: str
    account: str
    symbol: str
    side: str
    quantity: int
    order_type: str
    price: Fraction
    time_in_force: str
    value: Fraction
    decision: int

    def to_fix(self) -> dict[str, str]:
        """FIX names and values, all text."""
        return {
            "wave": str(self.wave),
            "ClOrdID": self.id,
            "Account": self.account,
            "Symbol": self.symbol,
            "Side": FIX_SIDE[self.side],
            "OrderQty": str(self.quantity),
            "OrdType": FIX_TYPE[self.order_type],
            "Price": exact(self.price),
            "TimeInForce": FIX_TIME[self.time_in_force],
        }


@dataclass(frozen=True, slots=True)
class Weight:
    """One name before and after, all orders filled: shares, and weight in NAV as an exact ratio."""

    symbol: str
    before: int
    after: int
    weight_before: Fraction
    weight_after: Fraction
    sector: str = ""
    expected: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Headroom:
    """A rule and subject before and after: status, observed value, limit (ratios where the rule has a base)."""

    rule: str
    title: str
    subject: str
    status_before: str
    status_after: str
    before: Value | None
    after: Value | None
    limit: Value | None
    margin: Fraction | None
    ratio: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """A rule that holds the portfolio back. `price`: bp of NAV of objective a limit wider by 1% of its base would gain.

    For a limit without base (shares, a count) per unit of it. A float, for information.
    """

    rule: str
    subject: str
    limit: Fraction | None
    price: float


@dataclass(frozen=True, slots=True)
class Clash:
    """One rule of a minimal conflict; `relaxed` is the smallest limit that alone would cure it, None if none does.

    `limit` and `relaxed` are ratios of the rule's base where it has one (`ratio`), else in the comparison's unit.
    """

    rule: str
    title: str
    subject: str
    requirement: str
    limit: Fraction | None
    relaxed: Fraction | None
    ratio: bool


@dataclass(frozen=True, slots=True)
class Rebalanced:
    """Accepted orders and their proof.

    `decisions`: one for each wave, all its orders together; `gap_bp`: certified distance to the optimum of the
    stated objective in basis points of NAV (None without a bound, and where an old breach remains, since the bound
    speaks of holdings without any). `steered`: the model, and the target weights it proposed; `value_bp`, `bound_bp`:
    the stated objective at the end and its certified bound, in the same unit (of a distance, the root). `turnover`:
    traded value over NAV. `cost`: the most the orders can cost against the marks, in the account's money. `left_out`:
    names kept as they are, and why. `incurable`: where an old breach remains, the rules that together do not admit
    curing it.
    `by_order`: rules that are no rows and were checked when each order was decided.
    """

    account: str
    time: str
    orders: tuple[TradeOrder, ...]
    decisions: tuple[Decision, ...]
    weights: tuple[Weight, ...]
    headroom: tuple[Headroom, ...]
    binding: tuple[Binding, ...]
    signals: SignalReport
    nav: Fraction
    cash_before: Fraction
    cash_after: Fraction
    turnover: Fraction
    cost: Fraction
    gap_bp: Fraction | None
    route: str
    certificate: str
    confirmed: int
    left_out: tuple[Refusal, ...]
    rulebook_hash: str
    snapshot_hash: str
    incurable: tuple[Clash, ...] = ()
    by_order: tuple[str, ...] = ()
    steered: Steered = UNTOLD
    value_bp: Fraction | None = None
    bound_bp: Fraction | None = None

    @property
    def waves(self) -> int:
        """The number of waves."""
        return max((o.wave for o in self.orders), default=0)

    def to_json(self) -> dict[str, object]:
        """Plain data; amounts as decimal text, ratios that do not end rounded to 12 decimals."""
        return {
            "outcome": "rebalanced",
            "account": self.account,
            "time": self.time,
            "model": dict(self.steered.model),
            "orders": [o.to_fix() for o in self.orders],
            "decisions": [
                {"wave": n + 1, "outcome": d.outcome.value, "verdicts": d.verdicts, "hash": d.hash}
                for n, d in enumerate(self.decisions)
            ],
            "weights": [_weight(w) for w in self.weights],
            "targets": [_target(t) for t in self.steered.targets],
            "headroom": [_headroom(h) for h in self.headroom],
            "binding": [
                {"rule": b.rule, "subject": b.subject, "limit": amount(b.limit), "shadow_price_bp": f"{b.price:.6g}"}
                for b in self.binding
            ],
            "nav": exact(self.nav),
            "cash_before": exact(self.cash_before),
            "cash_after": exact(self.cash_after),
            "turnover": amount(self.turnover),
            "cost": amount(self.cost),
            "objective": {
                "statement": self.steered.statement,
                "value_bp": amount(self.value_bp),
                "bound_bp": amount(self.bound_bp),
            },
            "certified_gap_bp": amount(self.gap_bp),
            "route": self.route,
            "confirmed": self.confirmed,
            "left_out": [{"rule": r.rule, "subject": r.subject, "why": r.why} for r in self.left_out],
            "incurable": [_clash(c) for c in self.incurable],
            "decided_by_order": list(self.by_order),
            "rulebook_hash": self.rulebook_hash,
            "snapshot_hash": self.snapshot_hash,
        }


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No holdings within the bounds satisfy these rules together: a minimal set, with its certificate."""

    account: str
    time: str
    clashes: tuple[Clash, ...]
    certificate: str
    signals: SignalReport
    rulebook_hash: str
    snapshot_hash: str
    steered: Steered = UNTOLD

    def to_json(self) -> dict[str, object]:
        """Plain data; amounts as decimal text."""
        return {
            "outcome": "infeasible",
            "account": self.account,
            "time": self.time,
            "model": dict(self.steered.model),
            "orders": [],
            "conflict": [_clash(c) for c in self.clashes],
            "rulebook_hash": self.rulebook_hash,
            "snapshot_hash": self.snapshot_hash,
        }


def amount(value: Value | None) -> object:
    """A value for JSON: decimal text; a ratio that does not end is rounded to 12 decimals, for reading."""
    if isinstance(value, Fraction):
        text = exact(value)
        return text if "/" not in text else exact(Fraction(round(value * 10**12), 10**12))
    return None if value is None else plain(value)


def _weight(w: Weight) -> dict[str, object]:
    return {
        "symbol": w.symbol,
        "shares_before": str(w.before),
        "shares_after": str(w.after),
        "weight_before": amount(w.weight_before),
        "weight_after": amount(w.weight_after),
        "expected_return": amount(w.expected),
    }


def _target(t: Target) -> dict[str, object]:
    return {
        "symbol": t.symbol,
        "proposed_weight": amount(t.proposed),
        "target_weight": amount(t.weight),
        "why": t.why,
    }


def _headroom(h: Headroom) -> dict[str, object]:
    return {
        "rule": h.rule,
        "subject": h.subject,
        "status_before": h.status_before,
        "status_after": h.status_after,
        "before": amount(h.before),
        "after": amount(h.after),
        "limit": amount(h.limit),
        "margin": amount(h.margin),
    }


def _clash(c: Clash) -> dict[str, object]:
    return {
        "rule": c.rule,
        "title": c.title,
        "subject": c.subject,
        "requirement": c.requirement,
        "limit": amount(c.limit),
        "smallest_relaxed_limit": amount(c.relaxed),
    }
