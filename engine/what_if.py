"""What an order would do: every rule's verdict with its figures, and where holdings and cash could end up.

In: a desk and one order. Out: `WhatIf`. Guaranteed: nothing of the desk changes; verdicts are those of `worst.py`, the
exact evaluator's general path, passes included; holdings and cash are ranges over every fill state of the order and of
the working orders, exact but for a flat fee, which the least cash always pays and the most never does. Refused: nothing
raises for a user's input; an order that cannot be judged has its decision and no figures. Why beside the decision and
not in it: a check answers in microseconds because it does not work this out. Before: `desk.py`, `worst.py`. After:
`api/service/routes_orders.py`, notebooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.decision import Decision, Largest, Outcome
from lexorder.engine.desk import Desk
from lexorder.engine.evaluate import Point, number
from lexorder.engine.facts import plain
from lexorder.engine.judge import derivations
from lexorder.engine.measuring import measured_names, with_measures
from lexorder.engine.quantity import exact
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject, project
from lexorder.engine.terms import Value
from lexorder.engine.verdict import Finding
from lexorder.engine.worst import judge, prepared

NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class Span:
    """A quantity now, and the least and the most it can be once the orders fill or do not."""

    before: Fraction
    low: Fraction
    high: Fraction

    def to_json(self) -> dict[str, str]:
        """Decimal text."""
        return {"before": exact(self.before), "low": exact(self.low), "high": exact(self.high)}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The decision, every finding, holdings and cash as ranges, and the largest quantity the rules admit.

    `cash` is None where a price is missing.
    """

    decision: Decision
    findings: tuple[Finding, ...]
    titles: Mapping[str, str]
    positions: Mapping[str, Span]
    cash: Span | None
    headroom: Largest | None

    def to_json(self, hidden: frozenset[str] = frozenset()) -> dict[str, object]:
        """Plain data with decimal text, without the rules named in `hidden`."""
        return {
            "rules": [self._finding(f) for f in self.findings if f.rule not in hidden],
            "positions": {symbol: span.to_json() for symbol, span in self.positions.items()},
            "cash": None if self.cash is None else self.cash.to_json(),
            "headroom": None if self.headroom is None else _largest(self.headroom, hidden),
        }

    def _finding(self, finding: Finding) -> dict[str, object]:
        return {
            "rule": finding.rule,
            "title": self.titles[finding.rule],
            "subject": finding.subject,
            "status": finding.status.value,
            "observed": _value(finding.observed),
            "limit": _value(finding.limit),
            "margin": None if finding.margin is None else exact(finding.margin),
        }


def _value(value: Value | None) -> object:
    return None if value is None else plain(value)


def _largest(largest: Largest, hidden: frozenset[str]) -> dict[str, object]:
    return {"quantity": str(largest.quantity), "binding": [rule for rule in largest.binding if rule not in hidden]}


def what_if(desk: Desk, order: Facts) -> WhatIf:
    """Everything about one order, with nothing changed."""
    account = str(order["order.account"])
    decision = desk.check(order)
    known = account in desk.accounts and str(order["order.symbol"]) in desk.instruments
    if not known or (decision.outcome is Outcome.UNDECIDED and not decision.verdicts):
        return WhatIf(decision, (), {}, {}, None, None)
    rules = desk.rules_of(account)
    given = project(desk.tables, desk.vocabulary, account, (order,))
    seen, _ = with_measures(given, measured_names(rules))
    return WhatIf(
        decision,
        _findings(rules, seen),
        {rule.id: rule.title for rule in rules},
        _positions(seen),
        _cash(seen, rules),
        desk.headroom(order),
    )


def _findings(rules: Sequence[Rule], seen: Projection) -> tuple[Finding, ...]:
    chained = derivations(rules)
    requiring = (rule for rule in rules if rule.require is not None)
    return tuple(finding for rule in requiring for finding in judge(prepared(rule), seen, chained))


def _positions(seen: Projection) -> dict[str, Span]:
    """Each name held, ordered or working: bought in full at most, sold in full at least."""
    found = {}
    for symbol, facts in seen.positions.items():
        before = _number(facts.get("position.before.quantity"))
        moves = [(side, quantity) for name, side, quantity in _moves(seen) if name == symbol]
        low = before - sum((q for side, q in moves if side != BUY), NOTHING)
        high = before + sum((q for side, q in moves if side == BUY), NOTHING)
        found[symbol] = Span(before, low, high)
    return found


def _moves(seen: Projection) -> Iterator[tuple[str, str, Fraction]]:
    """Symbol, side and quantity of the order and of every working order."""
    for entity, facts in (*(("order", o) for o in seen.orders), *(("working_order", w) for w in seen.working)):
        yield str(facts[f"{entity}.symbol"]), str(facts[f"{entity}.side"]), _number(facts[f"{entity}.quantity"])


def _cash(seen: Projection, rules: Sequence[Rule]) -> Span | None:
    """Cash when everything that costs fills and nothing that pays does, and the other way round."""
    account = seen.snapshot.accounts[seen.account]
    before = account.get("account.cash")
    if not isinstance(before, Fraction):
        return None
    low = high = before
    chained = derivations(rules)
    try:
        for entity, facts in (*(("order", o) for o in seen.orders), *(("working_order", w) for w in seen.working)):
            declared = seen.vocabulary.names[f"{entity}.cash_per_share"]
            assert declared.means is not None
            stack = (
                Subject("account", seen.account, account),
                Subject(entity, str(facts[f"{entity}.id"]), facts),
            )
            cost = number(declared.means, Point(seen, stack, {}, chained)) * _number(facts[f"{entity}.quantity"])
            fee = _number(facts.get("order.flat_fee")) if entity == "order" else NOTHING
            low, high = low - max(cost, NOTHING) - fee, high - min(cost, NOTHING)
    except MissingFactError:
        return None
    return Span(before, low, high)


def _number(value: Value | None) -> Fraction:
    return value if isinstance(value, Fraction) else NOTHING
