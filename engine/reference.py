"""The reference meaning behind the evaluators' protocols: slow, for tests, replays and `--reference`.

In: rules, vocabulary, snapshot. Out: the answers of `ports.py` by `judge.py` alone. Guaranteed: no state but the
snapshot. `largest` looks at one quantity after the other, so keep its cap small. Before: `judge.py`, `events.py`.
After: tests, `desk.py` on request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from lexorder.engine.decision import Fired, Largest
from lexorder.engine.evaluate import Point, value
from lexorder.engine.events import Event, after
from lexorder.engine.judge import Derivations, derivations, judge
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer, ExpertAnswer
from lexorder.engine.rule import Facts, Rule, Severity
from lexorder.engine.snapshot import MissingFactError, Projection, Snapshot, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.verdict import Derived, Finding, Status

PLAIN = (Status.PASS, Status.NOT_APPLICABLE)


class Reference:
    """Both evaluators by the reference meaning."""

    def __init__(self, rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> None:
        self.rules = tuple(rules)
        self.vocabulary = vocabulary
        self.snapshot = snapshot
        self.derivations: Derivations = derivations(rules)

    def apply(self, event: Event) -> None:
        """Take an event over."""
        self.snapshot = after(self.snapshot, event)

    def findings(self, account: str, orders: tuple[Facts, ...]) -> tuple[Finding, ...]:
        """Every finding, passes included, in rule order."""
        seen = project(self.snapshot, self.vocabulary, account, orders)
        return tuple(
            finding
            for rule in self.rules
            if rule.require is not None
            for finding in judge(rule, seen, self.derivations)
        )

    def check(self, account: str, orders: tuple[Facts, ...]) -> ExactAnswer:
        """Judge the orders together."""
        found = self.findings(account, orders)
        marked = [f for f in found if f.status not in PLAIN]
        return ExactAnswer(frozenset(f.key for f in marked), len(found), lambda: marked)

    def largest(self, account: str, order: Facts, cap: int) -> tuple[Largest, Mapping[str, int]]:
        """The largest compliant quantity up to `cap`, by trying every one."""
        best, by_rule = 0, dict.fromkeys((r.id for r in self.rules), 0)
        binding: tuple[str, ...] = ()
        stops = {r.id for r in self.rules if r.severity is not Severity.WARN}
        for quantity in range(1, cap + 1):
            broken = {
                k[0]
                for k in self.check(account, ({**order, "order.quantity": Fraction(quantity)},)).keys
                if k[2] is not Status.PASSIVE
            }
            for rule in by_rule.keys() - broken:
                by_rule[rule] = quantity
            broken &= stops
            if not broken:
                best, binding = quantity, ()
            elif not binding:
                binding = tuple(sorted(broken))
        return Largest(best, binding), by_rule


class ReferenceExpert(Reference):
    """The reference as second evaluator, with what it derives."""

    def check(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer | None = None) -> ExpertAnswer:  # type: ignore[override]  # noqa: ARG002
        """Judge the orders together, without looking at the other's answer."""
        own = super().check(account, orders)
        derived = tuple(derived_facts(self.rules, project(self.snapshot, self.vocabulary, account, orders)))
        fired = tuple(Fired(d.rule, d.subject, f"{d.name} = {d.value}") for d in derived)
        return ExpertAnswer(own.keys, own.count, derived, fired)


def derived_facts(rules: Sequence[Rule], projection: Projection) -> list[Derived]:
    """What the derive rules set for the instruments the orders touch, in rule order; unknown guards set nothing."""
    table = derivations(rules)
    found = []
    for rule in sorted((r for r in rules if r.derive), key=lambda r: (r.stratum, r.id)):
        for symbol in sorted({str(o["order.symbol"]) for o in projection.orders}):
            subject = Subject(rule.for_each, symbol, projection.snapshot.instruments.get(symbol, {}))
            at = Point(projection, (account_subject(projection), subject), {}, table)
            try:
                if rule.when is None or value(rule.when, at):
                    found += [Derived(name, symbol, value(term, at), rule.id) for name, term in rule.derive]
            except MissingFactError:
                continue
    return found
