"""The compiled evaluator of a live desk.

In: rules, vocabulary, snapshot; then events and orders. Out: the answers of `ports.Exact`. Guaranteed: the meaning of
`judge.py` in status, margin and evidence; where the reference has too many states to look at, this may decide.
Before: `live.py`, `worst.py`. After: `desk.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lexorder.engine.decision import Largest
from lexorder.engine.events import Event
from lexorder.engine.judge import derivations
from lexorder.engine.live import Live
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.worst import judge, prepared

PLAIN = (Status.PASS, Status.NOT_APPLICABLE)


class CompiledBook:
    """The exact evaluator of a live desk; one set of rules for every account asked about."""

    def __init__(self, rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> None:
        self.rules = tuple(rules)
        self.live = Live(vocabulary, snapshot)
        self.derivations = derivations(rules)
        self.prepared = tuple(prepared(r) for r in self.rules if r.require is not None)

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError and then changes nothing."""
        self.live.apply(event)

    def findings(self, account: str, orders: tuple[Facts, ...]) -> tuple[Finding, ...]:
        """Every finding, passes included, in rule order."""
        seen = self.live.projection(account, orders)
        return tuple(finding for rule in self.prepared for finding in judge(rule, seen, self.derivations))

    def check(self, account: str, orders: tuple[Facts, ...]) -> ExactAnswer:
        """Judge the orders together."""
        found = self.findings(account, orders)
        marked = [f for f in found if f.status not in PLAIN]
        return ExactAnswer(frozenset(f.key for f in marked), len(found), lambda: marked)

    def largest(self, account: str, order: Facts, cap: int) -> tuple[Largest, Mapping[str, int]]:
        """The largest compliant quantity of an order up to `cap`, and each rule's own."""
        from lexorder.engine.breakpoints import largest

        return largest(self.prepared, self.live.projection(account, (order,)), self.derivations, cap)
