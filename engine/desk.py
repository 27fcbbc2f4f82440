"""A live desk: a rule book and the facts, kept up to date, answering order by order.

In: a rule book, a vocabulary, a snapshot; then events and orders. Out: `Decision`s. Guaranteed: accounts are judged by
the rules in force on the snapshot's date whose scope covers them; the two evaluators see every event in the same order;
the snapshot hash of a decision is chained over the events since the start. Refused: SnapshotError for orders and events
that do not fit. Why one object: the evaluators keep sums and CLIPS facts between orders, which is what makes a check
take microseconds. Before: `decide.py`. After: `api/`, notebooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lexorder.engine import vocabulary as vocabulary_file
from lexorder.engine.decide import Evaluators, InForce, decide, faulted
from lexorder.engine.decision import Decision, Largest
from lexorder.engine.events import AccountChanged, Event, InstrumentChanged, SingleChanged, after
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.measuring import measured_names, with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.reference import Reference, ReferenceExpert
from lexorder.engine.rule import Facts, Phase, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot, project
from lexorder.engine.terms import Value

CAP = 10_000_000
"""The largest order a vocabulary admits."""

Make = Callable[[Sequence[Rule], Vocabulary, Snapshot], Evaluators]


def fast(rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> Evaluators:
    """The production pair: integers compiled from the terms, and CLIPS."""
    from lexorder.engine.compile import CompiledBook
    from lexorder.engine.expert.book import ExpertBook

    return Evaluators(CompiledBook(rules, vocabulary, snapshot), ExpertBook(rules, vocabulary, snapshot))


def slow(rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> Evaluators:
    """The reference meaning twice, for tests and for people who want to see it."""
    return Evaluators(Reference(rules, vocabulary, snapshot), ReferenceExpert(rules, vocabulary, snapshot))


@dataclass(slots=True)
class _Seat:
    """The accounts that share one set of rules."""

    in_force: InForce
    by: Evaluators
    measured: tuple[str, ...] = ()
    told: dict[tuple[type, str], dict[str, Value]] = field(default_factory=dict)

    def tell(self, events: Sequence[Event]) -> None:
        """Tell the evaluators measured facts that are not what they were last told; one that is gone becomes absent."""
        for event in events:
            if isinstance(event, AccountChanged | InstrumentChanged | SingleChanged):
                key = (type(event), _about(event))
                old = self.told.get(key, {})
                if old != event.facts:
                    self.told[key] = dict(event.facts)
                    gone: dict[str, Any] = dict.fromkeys(old.keys() - event.facts.keys())
                    changed = replace(event, facts={**event.facts, **gone})
                    self.by.exact.apply(changed)
                    self.by.second.apply(changed)


def _about(event: AccountChanged | InstrumentChanged | SingleChanged) -> str:
    """Whose facts an event changes; the session is one."""
    if isinstance(event, SingleChanged):
        return ""
    return event.account if isinstance(event, AccountChanged) else event.symbol


class Desk:
    """The facts of one instant and what may be done in them; not safe to share between threads.

    `book` and `vocabulary` may be paths. `make` builds the evaluators (default `fast`).
    """

    def __init__(
        self,
        book: RuleBook | Path | str,
        snapshot: Snapshot | Mapping[str, Any],
        vocabulary: Vocabulary | None = None,
        make: Make = fast,
    ) -> None:
        self.vocabulary = vocabulary or shipped_vocabulary()
        self.book = book if isinstance(book, RuleBook) else RuleBook.load(book, self.vocabulary)
        self.snapshot = snapshot if isinstance(snapshot, Snapshot) else load_snapshot(snapshot, self.vocabulary)
        self._make = make
        self._seats: dict[tuple[str, ...], _Seat] = {}
        self._of_account: dict[str, _Seat] = {}

    def check(self, order: Facts | Mapping[str, Any]) -> Decision:
        """Decide one order: facts by vocabulary name, or a plain mapping such as `{"id": "1", "side": "buy", …}`."""
        facts = self._facts(order)
        return self._decide((facts,), str(facts["order.account"]))

    def check_basket(self, orders: Iterable[Facts | Mapping[str, Any]]) -> tuple[Decision, ...]:
        """Decide orders cumulatively: one decision per account for all its orders together, in any fill state."""
        by_account: dict[str, list[Facts]] = {}
        for order in orders:
            facts = self._facts(order)
            by_account.setdefault(str(facts["order.account"]), []).append(facts)
        return tuple(self._decide(tuple(basket), account) for account, basket in by_account.items())

    def check_each(self, orders: Iterable[Facts | Mapping[str, Any]]) -> tuple[Decision, ...]:
        """Decide orders independently, each as if it were the only one."""
        return tuple(self.check(order) for order in orders)

    def headroom(self, order: Facts | Mapping[str, Any], cap: int = CAP) -> Largest:
        """The largest quantity of this order, up to `cap` shares, that every rule admits, and the rules that stop more.

        The order's own quantity does not matter. No decision: the order still has to be checked.
        """
        facts = self._facts(order)
        account = str(facts["order.account"])
        seat = self._of_account.get(account) or self._seat(account)
        seen, events = with_measures(project(self.snapshot, self.vocabulary, account, (facts,)), seat.measured)
        seat.tell(events)
        return seat.by.exact.largest(account, seen.orders[0], cap)[0]

    def apply(self, event: Event) -> None:
        """Take over a fill, a price, a working order, …; the next decision sees it."""
        self.snapshot = after(self.snapshot, event)
        if isinstance(event, SingleChanged) and "clock.date" in event.facts:
            self._seats.clear()
        for seat in self._seats.values():
            seat.by.exact.apply(event)
            seat.by.second.apply(event)
            seat.in_force = replace(seat.in_force, snapshot_hash=self.snapshot.hash, time=self.snapshot.time)
        if not self._seats or not isinstance(event, SingleChanged):
            self._of_account.clear()

    def rules_of(self, account: str) -> tuple[Rule, ...]:
        """The rules in force today that cover an account before a trade, and the derive rules they chain on."""
        facts = self.snapshot.accounts.get(account, {})
        tags = facts.get("account.tags", frozenset())
        today = self.snapshot.single.get("clock.date", self.snapshot.time.date())
        return tuple(
            rule
            for rule in self.book.on(today)  # type: ignore[arg-type]
            if rule.scope.covers(account, tags)  # type: ignore[arg-type]
            and (rule.derive or (rule.require is not None and Phase.PRE_TRADE in rule.phases))
        )

    def _facts(self, order: Facts | Mapping[str, Any]) -> Facts:
        return order if "order.id" in order else load_order(order, self.vocabulary)

    def _decide(self, orders: tuple[Facts, ...], account: str) -> Decision:
        seat = self._of_account.get(account) or self._seat(account)
        if not seat.measured:
            return decide(orders, account, self.snapshot, seat.in_force, seat.by)
        try:
            given = project(self.snapshot, self.vocabulary, account, orders)
            seen, events = with_measures(given, seat.measured)
            seat.tell(events)
        except Exception as error:  # a measure that fails is a failure of the engine: no, and recorded
            return faulted(orders, account, seat.in_force, error)
        return decide(seen.orders, account, seen.snapshot, seat.in_force, seat.by)

    def _seat(self, account: str) -> _Seat:
        rules = self.rules_of(account)
        key = tuple(rule.id for rule in rules)
        if key not in self._seats:
            in_force = InForce(
                self.vocabulary, {r.id: r for r in rules}, self.snapshot.time, self.book.hash, self.snapshot.hash
            )
            by = self._make(rules, self.vocabulary, self.snapshot)
            self._seats[key] = _Seat(in_force, by, measured_names(rules))
        self._of_account[account] = self._seats[key]
        return self._seats[key]


def shipped_rules() -> Path:
    """The folder of the rule library that comes with lexorder."""
    return Path(__file__).resolve().parent.parent / "rules"


def shipped_vocabulary() -> Vocabulary:
    """The vocabulary that comes with lexorder."""
    return vocabulary_file.load(shipped_rules() / "vocabulary.yaml")
