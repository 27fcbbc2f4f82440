"""The seats of a desk: accounts that share one set of rules, with the two evaluators of these rules.

In: rules, evaluators, the live facts. Out: what `decide.py` needs for one decision: the state it is about, with
measured facts where rules read them, and the names of what it is decided by. Guaranteed: both evaluators are told the
same measured facts before they are asked; the chained hash is the one of `events.chained`, event by event, worked out
when somebody asks for it. Refused: nothing by itself. Before: `live.py`, `measuring.py`, `decide.py`. After: `desk.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from lexorder.engine.decide import Evaluators, InForce
from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    InstrumentChanged,
    InstrumentSet,
    SingleChanged,
    chained,
)
from lexorder.engine.live import Live
from lexorder.engine.measuring import measured_names, with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Audience, Facts, Rule
from lexorder.engine.snapshot import Projection
from lexorder.engine.terms import Value
from lexorder.engine.wording import Words


class Chain:
    """The hash of a live state; events wait until it is asked for."""

    def __init__(self, digest: str) -> None:
        self._digest = digest
        self._waiting: list[Event] = []
        self.length = 0

    def add(self, event: Event) -> None:
        """An event has happened."""
        self._waiting.append(event)
        self.length += 1

    @property
    def hash(self) -> str:
        """The hash after every event so far."""
        for event in self._waiting:
            self._digest = chained(self._digest, event)
        self._waiting.clear()
        return self._digest


class Watching:
    """The live facts together with what was measured for one look."""

    def __init__(self, live: Live, seen: Projection) -> None:
        self.accounts, self.instruments, self.traders = live.accounts, live.instruments, live.traders
        self.is_working = live.is_working
        self.seen = seen
        self.orders = seen.orders

    def projection(self, account: str, orders: tuple[Facts, ...]) -> Projection:
        """What is judged: the look itself, or the same facts with other orders."""
        return self.seen if orders == self.seen.orders else replace(self.seen, account=account, orders=orders)


@runtime_checkable
class Closes(Protocol):
    """An evaluator that holds something to be given back."""

    def close(self) -> None:
        """Give it back."""
        ...


class Seat:
    """The accounts that share one set of rules; unless they are `covered`, their orders stay undecided."""

    def __init__(self, rules: Sequence[Rule], vocabulary: Vocabulary, book: str, by: Evaluators, covered: bool) -> None:
        self.rules: Mapping[str, Rule] = {r.id: r for r in rules}
        self.vocabulary = vocabulary
        self.book = book
        self.by = by
        self.measured = measured_names(rules)
        self.withheld = frozenset(r.id for r in rules if r.audience is Audience.COMPLIANCE)
        self.covered = covered
        self._told: dict[tuple[str, str], Mapping[str, Value]] = {}
        self._words: dict[str, Words] = {}
        self._in_force: InForce | None = None
        self._length = -1

    def in_force(self, chain: Chain, time: datetime) -> InForce:
        """What a decision is made by now."""
        if self._in_force is None or self._length != chain.length:
            self._in_force = InForce(
                self.vocabulary, self.rules, time, self.book, chain.hash, self.withheld, self.covered, self._words
            )
            self._length = chain.length
        return self._in_force

    def state(self, live: Live, account: str, orders: tuple[Facts, ...]) -> Watching:
        """The facts with what the rules' measures say of them, which the evaluators are told as well."""
        seen, events = with_measures(live.projection(account, orders), self.measured)
        self._tell(live, events)
        return Watching(live, seen)

    def _tell(self, live: Live, events: Sequence[Event]) -> None:
        """Tell the evaluators measured facts that are not what they were last told; one that is gone is given again."""
        for event in events:
            if isinstance(event, AccountChanged | InstrumentChanged | SingleChanged):
                key, given = _about(live, event)
                old = self._told.get(key, {})
                if old != event.facts:
                    self._told[key] = dict(event.facts)
                    gone: dict[str, Any] = {name: given.get(name) for name in old.keys() - event.facts.keys()}
                    changed = replace(event, facts={**event.facts, **gone})
                    self.by.exact.apply(changed)
                    self.by.second.apply(changed)

    def forget(self, event: AccountSet | InstrumentSet) -> None:
        """A thing has all its facts told anew: what was measured of it is told again."""
        key = ("account", event.account) if isinstance(event, AccountSet) else ("instrument", event.symbol)
        self._told.pop(key, None)

    def close(self) -> None:
        """Give back what the evaluators hold."""
        for evaluator in (self.by.exact, self.by.second):
            if isinstance(evaluator, Closes):
                evaluator.close()


def _about(live: Live, event: AccountChanged | InstrumentChanged | SingleChanged) -> tuple[tuple[str, str], Facts]:
    """Whose facts an event changes, and the facts it has been given; the session is one."""
    if isinstance(event, SingleChanged):
        return ("session", ""), live.snapshot.single
    if isinstance(event, AccountChanged):
        return ("account", event.account), live.accounts.get(event.account, {})
    return ("instrument", event.symbol), live.instruments.get(event.symbol, {})
