"""A live desk: a rule book and the facts, kept up to date, answering order by order.

In: a rule book, a vocabulary, a snapshot; then events and orders. Out: `Decision`s, projections and findings.
Guaranteed: accounts are judged by the rules in force on the snapshot's date whose scope covers them; the two evaluators
see every event in the same order; the snapshot hash of a decision is chained over the events since the start, and
`snapshot` is that of `events.after` folded over them. Refused: SnapshotError for orders and events that do not fit.
Why one object: the evaluators keep sums and CLIPS facts between orders, which is what makes a check take microseconds.
Before: `decide.py`, `live.py`. After: `api/`, notebooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from lexorder.engine import vocabulary as vocabulary_file
from lexorder.engine.decide import Evaluators, decide, faulted
from lexorder.engine.decision import Decision, Largest
from lexorder.engine.events import AccountChanged, AccountSet, Event, InstrumentSet, SingleChanged
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.listing import ListChanged, relisted
from lexorder.engine.live import Live
from lexorder.engine.names import Vocabulary
from lexorder.engine.reference import Reference, ReferenceExpert
from lexorder.engine.rule import Facts, Phase, Rule, cover
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.seats import Chain, Seat, Watching
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.subjects import covering_rules

CAP = 10_000_000
"""The largest order a vocabulary admits."""

Make = Callable[[Sequence[Rule], Vocabulary, Snapshot], Evaluators]
"""Builds the evaluators of a set of rules."""


def fast(rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> Evaluators:
    """The production pair: integers compiled from the terms, and CLIPS."""
    from lexorder.engine.compile import CompiledBook
    from lexorder.engine.expert.book import ExpertBook

    return Evaluators(CompiledBook(rules, vocabulary, snapshot), ExpertBook(rules, vocabulary, snapshot))


def slow(rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> Evaluators:
    """The reference meaning twice, for tests and for people who want to see it."""
    return Evaluators(Reference(rules, vocabulary, snapshot), ReferenceExpert(rules, vocabulary, snapshot))


class Desk:
    """The facts of one instant and what may be done in them; not safe to share between threads.

    `book` and `vocabulary` may be paths. `make` builds the evaluators (default `fast`). With `must_cover` an order of
    an account that no rule covers is undecided, else a book says nothing of it (decision 17). `watchers` are told every
    event once it is taken.
    """

    def __init__(
        self,
        book: RuleBook | Path | str,
        snapshot: Snapshot | Mapping[str, Any],
        vocabulary: Vocabulary | None = None,
        make: Make = fast,
        *,
        must_cover: bool = False,
    ) -> None:
        self.vocabulary = vocabulary or shipped_vocabulary()
        self.must_cover = must_cover
        self.book = book if isinstance(book, RuleBook) else RuleBook.load(book, self.vocabulary)
        start = snapshot if isinstance(snapshot, Snapshot) else load_snapshot(snapshot, self.vocabulary)
        self.live = Live(self.vocabulary, start)
        self._chain = Chain(start.hash)
        self._frozen: Snapshot | None = start
        self._make = make
        self._seats: dict[tuple[bool | str, ...], Seat] = {}
        self._of_account: dict[str, Seat] = {}
        self.watchers: list[Callable[[Event], None]] = []

    # ---- facts -------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        """The facts of this instant, immutable and with their hash; made when asked for after an event."""
        if self._frozen is None:
            self._frozen = self.live.frozen(self.hash)
        return self._frozen

    @property
    def hash(self) -> str:
        """The hash of the facts of this instant, chained over the events."""
        return self._chain.hash

    @property
    def time(self) -> datetime:
        """The instant of the facts."""
        return self.live.snapshot.time

    @property
    def tables(self) -> Snapshot:
        """The facts as they are now and will change with the next event, without a hash: to read names in, at once."""
        return self.live.snapshot

    @property
    def single(self) -> Facts:
        """Clock, session, firm, lists and fx facts."""
        return self.live.snapshot.single

    @property
    def accounts(self) -> Mapping[str, Facts]:
        """Facts of the accounts, by id."""
        return self.live.accounts

    @property
    def instruments(self) -> Mapping[str, Facts]:
        """Facts of the instruments and their markets, by symbol."""
        return self.live.instruments

    @property
    def traders(self) -> Mapping[str, Facts]:
        """Facts of the traders, by id."""
        return self.live.traders

    @property
    def strategies(self) -> Mapping[str, Facts]:
        """Facts of the strategies, by id."""
        return self.live.strategies

    @property
    def working(self) -> Mapping[str, Facts]:
        """Facts of the working orders, by id."""
        return self.live.by_id

    # ---- orders ------------------------------------------------------------------------------------

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
        (seen,) = seat.state(self.live, account, (facts,)).orders
        return seat.by.exact.largest(account, seen, cap)[0]

    # ---- events ------------------------------------------------------------------------------------

    def apply(self, event: Event | ListChanged) -> None:
        """Take over a fill, a price, a working order, a list, …; the next decision sees it. Raises SnapshotError."""
        if isinstance(event, SingleChanged) and not self._moves_lists(event):
            self._take(event)
            return
        known, events = relisted(self.live.snapshot, event)
        self.live.take_lists(known.lists)
        for each in events:
            self._take(each)

    def _moves_lists(self, event: SingleChanged) -> bool:
        """Whether a list is told, or the lists are to be read for another date."""
        day = event.facts.get("clock.date")
        return (day is not None and day != self.single.get("clock.date")) or any(
            name.startswith("lists.") for name in event.facts
        )

    def _take(self, event: Event) -> None:
        before = self.single
        self.live.apply(event)
        self._chain.add(event)
        self._frozen = None
        told: Event = event
        if isinstance(event, SingleChanged):
            fresh = {name: value for name, value in event.facts.items() if before.get(name) != value}
            if "clock.date" in fresh:
                self._reseat()
            told = SingleChanged(fresh)
        elif isinstance(event, AccountSet) or (isinstance(event, AccountChanged) and "account.tags" in event.facts):
            self._of_account.pop(event.account, None)
        for seat in self._seats.values():
            if isinstance(event, AccountSet | InstrumentSet):
                seat.forget(event)
            seat.by.exact.apply(told)
            seat.by.second.apply(told)
        for watch in self.watchers:
            watch(told)

    def replace_book(self, book: RuleBook) -> None:
        """Judge by another rule book from now on; the facts and their hash stay."""
        self.book = book
        self._reseat()

    def _reseat(self) -> None:
        for seat in self._seats.values():
            seat.close()
        self._seats.clear()
        self._of_account.clear()

    # ---- rules -------------------------------------------------------------------------------------

    def rules_of(self, account: str) -> tuple[Rule, ...]:
        """The rules in force today that cover an account before a trade, and the derive rules they chain on."""
        return self.rules_in(account, Phase.PRE_TRADE)

    def rules_in(self, account: str, phase: Phase) -> tuple[Rule, ...]:
        """The rules of a phase in force today that cover an account, and the derive rules they chain on."""
        today = self.single.get("clock.date", self.time.date())
        mine = covering_rules(self.book.on(today), account, self.live.accounts.get(account, {}))  # type: ignore[arg-type]
        return tuple(r for r in mine if r.derive or (r.require is not None and phase in r.phases))

    def _facts(self, order: Facts | Mapping[str, Any]) -> Facts:
        return order if "order.id" in order else load_order(order, self.vocabulary)

    def _decide(self, orders: tuple[Facts, ...], account: str) -> Decision:
        seat = self._of_account.get(account) or self._seat(account)
        in_force = seat.in_force(self._chain, self.live.snapshot.time)
        if not seat.measured:
            return decide(orders, account, self.live, in_force, seat.by)
        try:
            state: Watching = seat.state(self.live, account, orders)
        except Exception as error:  # a measure that fails is a failure of the engine: no, and recorded
            return faulted(orders, account, in_force, error)
        return decide(state.orders, account, state, in_force, seat.by)

    def _excepted(self, account: str) -> bool:
        """Whether a rule in force today excepts an account by its name: then somebody decided about it."""
        rules = self.book.on(self.single.get("clock.date", self.time.date()))  # type: ignore[arg-type]
        return cover(r for r in rules if Phase.PRE_TRADE in r.phases and account in r.scope.excluded)

    def _seat(self, account: str) -> Seat:
        rules = self.rules_of(account)
        covered = not self.must_cover or cover(rules) or self._excepted(account)
        key: tuple[bool | str, ...] = (covered, *(rule.id for rule in rules))
        if key not in self._seats:
            by = self._make(rules, self.vocabulary, self.snapshot)
            self._seats[key] = Seat(rules, self.vocabulary, self.book.hash, by, covered)
        self._of_account[account] = self._seats[key]
        return self._seats[key]


def shipped_rules() -> Path:
    """The folder of the rule library that comes with lexorder."""
    return Path(__file__).resolve().parent.parent / "rules"


@cache
def shipped_vocabulary() -> Vocabulary:
    """The vocabulary that comes with lexorder; read once, nothing changes it."""
    return vocabulary_file.load(shipped_rules() / "vocabulary.yaml")
