"""The compiled evaluator of a live desk: generated integer code for the orders that pass, closed forms for the rest.

In: rules, vocabulary, snapshot; then events and orders. Out: the answers of `ports.Exact`. Guaranteed: the meaning of
`judge.py` in statuses, margins and evidence (`tests/agreement` compares them); where the reference has too many states
to look at, this may decide. One order goes through the generated check first: a rule it clears passes or does not
apply; every other rule is judged by `worst.py`, from the sums kept where they are known. Refused: nothing; what cannot
be known is an undecided finding. Not safe to share between threads. Why two paths: most orders pass, and saying so
takes microseconds; evidence is only worked out where someone will read it.
Before: `fastpath.py`, `totals.py`, `worst.py`. After: `desk.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from lexorder.engine import breakpoints, fastpath
from lexorder.engine.books import Books
from lexorder.engine.decision import Largest
from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    Fill,
    FillRecorded,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    QuoteSet,
    SignalSet,
    SingleChanged,
    StrategySet,
    TraderChanged,
    TraderSet,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.evidence import Evidence
from lexorder.engine.fastpath import Check, Layout
from lexorder.engine.freshness import Freshness
from lexorder.engine.intervals import Intervals
from lexorder.engine.judge import derivations
from lexorder.engine.live import Live
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer, Key
from lexorder.engine.readers import Readers
from lexorder.engine.records import EVERYONE
from lexorder.engine.rule import Facts, Rule, Severity
from lexorder.engine.slots import touches
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.stopped import PLAIN, UNCERTAIN, Judging, Lists, Stopped
from lexorder.engine.totals import Book, Line
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.worst import Prepared, judge, prepared

UNBOUNDED = 10**12
"""The quantity headroom is looked for up to where the vocabulary sets no bound."""
REFUSED = (Status.BREACH, Status.UNDECIDED)
EVERYTHING = frozenset({"*"})
"""Stands for every name of an instrument."""
CHANGES_MAX = 100_000
"""Changes kept for books that have not been read since."""


class Plan:
    """What is worked out once for a set of rules, whatever the facts: rules taken apart, generated checks, places.

    `binding` has the index of every rule that does more than warn.
    """

    def __init__(self, rules: Sequence[Rule], vocabulary: Vocabulary) -> None:
        self.rules = tuple(rules)
        self.vocabulary = vocabulary
        self.derivations = derivations(rules)
        self.prepared: tuple[Prepared, ...] = tuple(prepared(r) for r in self.rules if r.require is not None)
        self.binding = {p.rule.id: i for i, p in enumerate(self.prepared) if p.rule.severity is not Severity.WARN}
        self.layout = Layout(vocabulary, self.derivations)
        self.checks: dict[tuple[str, str], Check] = {}
        self._readers = Readers(vocabulary, self.derivations)
        self._evidence: dict[int, Evidence] = {}

    def evidence(self, index: int) -> Evidence:
        """How findings of a rule get their figures, settled when first needed."""
        if index not in self._evidence:
            self._evidence[index] = Evidence(self.prepared[index], self._readers)
        return self._evidence[index]

    def check(self, side: str, ord_type: str) -> Check:
        """The generated check for one kind of order, written when first needed."""
        key = (side, ord_type)
        if key not in self.checks:
            known = {"order.side": side, "order.ord_type": ord_type}
            self.checks[key] = fastpath.write(self.prepared, self.layout, known)
        return self.checks[key]


class CompiledBook:
    """The exact evaluator of a live desk; one set of rules for every account asked about.

    `plan` may be shared between books of the same rules.
    """

    def __init__(
        self, rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot, plan: Plan | None = None
    ) -> None:
        self.plan = plan or Plan(rules, vocabulary)
        self.live = Live(vocabulary, snapshot)
        self.fresh = Freshness(vocabulary)
        self._checks: dict[tuple[str, str], tuple[Check, ExactAnswer | None]] = {}
        self._last: tuple[str, Facts, ExactAnswer] | None = None
        self._build()

    def _build(self) -> None:
        """Start the lists anew: their layout has grown."""
        layout = self.plan.layout
        tables = (layout.account.now(), layout.line.now(), layout.trader.now(), layout.strategy.now())
        self.books = Books(self.live, self.plan.derivations, tables, list(layout.totals), layout.share_scale)
        self._size = layout.size
        self._changes: list[tuple[str, frozenset[str]]] = []
        self.fresh.watch(self.live)

    # ---- orders ------------------------------------------------------------------------------------

    def warm(self, accounts: Iterable[str]) -> None:
        """Write the checks for every side and order type and build the accounts' lists: no order waits for it then."""
        names = self.plan.vocabulary.names
        for side in names["order.side"].unit.values:
            for kind in names["order.ord_type"].unit.values:
                self._prepare("", {"order.side": side, "order.ord_type": kind, "order.symbol": "", "order.account": ""})
        for account in accounts:
            self.book(account)

    def check(self, account: str, orders: tuple[Facts, ...]) -> ExactAnswer:
        """Judge the orders together. Passing rules cost no evidence; `findings` has it when asked."""
        if len(orders) != 1:
            return self._answer(self.findings(account, orders))
        order = orders[0]
        try:
            check, passed = self._checks[order["order.side"], order["order.ord_type"]]  # type: ignore[index]
            book = self.books.books[account]
            if book.seen != len(self._changes) or book.told or book.moved or book.common is not self.books.common:
                self._catch_up(book)
            if order["order.account"] != account:
                return self._answer(self.findings(account, orders))
            line = book.lines.get(order["order.symbol"]) or self._begun(book, order)  # type: ignore[arg-type]
            failed = check.run(order, line.values, book.values, self.books.trader)
        except UNCERTAIN:
            return self._carefully(account, order)
        if not failed and passed is not None:
            return passed
        return self._rest(account, order, check, failed)

    def _begun(self, book: Book, order: Facts) -> Line:
        """The line of a name this account has not asked about before. Raises KeyError when there is none."""
        symbol = order["order.symbol"]
        if not isinstance(symbol, str):
            raise KeyError("order.symbol")
        return self.books.line(book, symbol)

    def _carefully(self, account: str, order: Facts) -> ExactAnswer:
        """The first order of its kind, account or name, or one for which a fact is missing."""
        check = self._prepare(account, order)
        if check is None:
            return self._answer(self.findings(account, (order,)))
        book = self.book(account)
        line = self.books.line(book, str(order["order.symbol"]))
        try:
            failed = check.careful(order, line.values, book.values, self.books.trader)
        except UNCERTAIN:
            return self._answer(self.findings(account, (order,)))
        return self._rest(account, order, check, failed)

    def _prepare(self, account: str, order: Facts) -> Check | None:
        """Make ready for orders like this one; None when it lacks what every order has."""
        side, kind, symbol = (order.get(f"order.{word}") for word in ("side", "ord_type", "symbol"))
        if not isinstance(side, str) or not isinstance(kind, str) or not isinstance(symbol, str):
            return None
        if order.get("order.account") != account:
            return None
        check = self.plan.check(side, kind)
        if self.plan.layout.size != self._size:
            self._build()
        passed = ExactAnswer(frozenset(), len(check.fast), _nothing) if not check.slow else None
        self._checks[side, kind] = (check, passed)
        return check

    def _rest(self, account: str, order: Facts, check: Check, failed: tuple[int, ...]) -> ExactAnswer:
        """The answer when some rules could not be cleared, or cannot be judged by the generated check."""
        missed = frozenset(failed)
        asked = sorted(missed.union(check.slow))
        marked, count = self._stopped(account, order, check).marked(asked, missed) if asked else ([], 0)
        keys = frozenset(key for key, _ in marked)
        answer = ExactAnswer(keys, len(check.fast) - len(missed) + count, lambda: [told() for _, told in marked])
        self._last = (account, order, answer)
        return answer

    def _stopped(self, account: str, order: Facts, check: Check | None) -> Stopped:
        """What can be said of an order beside that it passes."""
        book = self.book(account)
        line = self.books.line(book, str(order["order.symbol"]))
        by = Judging(self.plan.prepared, self.plan.derivations, self.plan.evidence)
        return Stopped(by, check, order, Lists(self.live, line.values, book.values, self.books.trader))

    @staticmethod
    def _answer(found: Sequence[Finding]) -> ExactAnswer:
        marked = [f for f in found if f.status not in PLAIN]
        return ExactAnswer(frozenset(f.key for f in marked), len(found), lambda: marked)

    def findings(self, account: str, orders: tuple[Facts, ...]) -> tuple[Finding, ...]:
        """Every finding with its evidence, passes included, in rule order; by the general path alone."""
        seen = self.live.projection(account, orders)
        return tuple(f for rule in self.plan.prepared for f in judge(rule, seen, self.plan.derivations))

    def largest(self, account: str, order: Facts, cap: int) -> tuple[Largest, Mapping[str, int]]:
        """The largest compliant quantity of an order up to `cap`, and its own for each rule that has a say.

        These are the rules with anything but a plain pass at the order's own quantity, and those that bind.
        """
        check = self._prepare(account, order)
        stopped = self._stopped(account, order, check)

        def refusing(quantity: int) -> frozenset[int]:
            asked = {**order, "order.quantity": Fraction(quantity)}
            keys = self.check(account, (asked,)).keys
            return frozenset(
                self.plan.binding[rule] for rule, _, s in keys if s in REFUSED and rule in self.plan.binding
            )

        def quick(index: int) -> Intervals | None:
            return stopped.admitted(index, cap)

        marked = {rule for rule, _, _ in self._keys(account, order)}
        first = frozenset(i for i, p in enumerate(self.plan.prepared) if p.rule.id in marked)
        sought = breakpoints.Sought(self.plan.prepared, self.plan.derivations, quick, stopped.view, refusing)
        return breakpoints.largest(sought, first, cap)

    def _keys(self, account: str, order: Facts) -> frozenset[Key]:
        """The verdicts of an order that are not plain; it has mostly just been judged."""
        if self._last is not None and self._last[0] == account and self._last[1] is order:
            return self._last[2].keys
        return self.check(account, (order,)).keys

    def headroom(self, account: str, order: Facts) -> Largest:
        """The largest compliant quantity of an order whatever it asks for, up to the greatest the vocabulary admits."""
        greatest = self.plan.vocabulary.names["order.quantity"].maximum
        return self.largest(account, order, int(greatest or UNBOUNDED))[0]

    # ---- events ------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError and then changes nothing. Lists are refreshed when next read."""
        symbol = self._symbol_of(event)
        before = self.live.snapshot.time
        self._last = None
        self.live.apply(event)
        match event:
            case WorkingAdded() | WorkingRemoved():
                self._moved(*symbol)
            case Fill():
                self._told(event.account, ("account.cash",))
                self._moved(event.account, event.symbol)
                if event.facts:
                    self._recorded("fill", event.facts)
            case SingleChanged(facts=facts):
                self._single(frozenset(facts), before != self.live.snapshot.time)
            case InstrumentChanged(symbol=changed, facts=facts):
                self.fresh.note(self.live, changed)
                self._log(changed, frozenset(facts))
            case AccountChanged(account=account, facts=facts):
                self._told(account, facts)
            case _:
                self._rare(event)

    def _rare(self, event: Event) -> None:
        """Things told as a whole, and records."""
        match event:
            case PositionSet():
                self._moved(event.account, event.symbol)
            case TraderChanged(trader=trader) | TraderSet(trader=trader):
                self.books.traders.pop(trader, None)
            case StrategySet(strategy=strategy):
                self.books.strategies.pop(strategy, None)
            case AccountSet(account=account):
                self.books.books.pop(account, None)
            case InstrumentSet(symbol=symbol):
                self.fresh.note(self.live, symbol)
                self._log(symbol, EVERYTHING)
            case FillRecorded(facts=facts):
                self._recorded("fill", facts)
            case QuoteSet() | SignalSet():
                self._log("", frozenset({"quote.*" if isinstance(event, QuoteSet) else "signal.*"}))

    def _symbol_of(self, event: Event) -> tuple[str, str]:
        """(account, symbol) of the working order an event is about, read before it is gone."""
        if isinstance(event, WorkingAdded):
            return str(event.facts["working_order.account"]), str(event.facts["working_order.symbol"])
        if isinstance(event, WorkingRemoved):
            facts = self.live.by_id.get(event.id, {})
            return str(facts.get("working_order.account", "")), str(facts.get("working_order.symbol", ""))
        return "", ""

    def _recorded(self, entity: str, facts: Facts) -> None:
        """A record of an account, or of everyone, is new."""
        owner = str(facts.get(f"{entity}.account", EVERYONE))
        if owner == EVERYONE:
            self._log("", frozenset({f"{entity}.*"}))
        else:
            self._told(owner, (f"{entity}.*",))

    def _moved(self, account: str, symbol: str) -> None:
        """A holding or a working order of one name has changed."""
        book = self.books.books.get(account)
        if book is not None:
            book.moved.add(symbol)

    def _told(self, account: str, changed: Iterable[str]) -> None:
        """Facts of an account have changed."""
        book = self.books.books.get(account)
        if book is not None:
            book.told.update(changed)

    def _single(self, changed: frozenset[str], timed: bool) -> None:
        """Lists, rates or the time have changed; with the time, facts may have become too old."""
        self.books.single(changed)
        if touches(self.books.reads, changed):
            self._log("", changed)
        if timed:
            for symbol in self.fresh.turned(self.live):
                self._log(symbol, self.fresh.names)

    def _log(self, symbol: str, changed: frozenset[str]) -> None:
        """An instrument's facts have changed, or (without a symbol) facts that every account may read."""
        if symbol:
            self.books.shared.forget(symbol, changed)
        self._changes.append((symbol, changed))
        if len(self._changes) > CHANGES_MAX:  # books that have not been read for so long are built anew
            behind = CHANGES_MAX // 2
            del self._changes[:behind]
            kept = {a: book for a, book in self.books.books.items() if book.seen >= behind}
            self.books.books = kept
            for book in kept.values():
                book.seen -= behind

    # ---- bringing lists up to date ----------------------------------------------------------------

    def book(self, account: str) -> Book:
        """The book of an account as of now, built when first asked for."""
        book = self.books.books.get(account)
        if book is None:
            book = self.books.book(account)
            book.seen = len(self._changes)
        elif book.seen != len(self._changes) or book.told or book.moved or book.common is not self.books.common:
            self._catch_up(book)
        return book

    def _catch_up(self, book: Book) -> None:
        """Take into a book what has happened since it was last read; each line once, however often it changed."""
        told, holding = book.told, self.books.holding
        lines: dict[str, frozenset[str]] = dict.fromkeys(book.moved, holding)
        if book.seen != len(self._changes):
            for symbol, changed in self._changes[book.seen :]:
                if not symbol:
                    told |= changed
                elif symbol in book.lines:
                    lines[symbol] = lines[symbol] | changed if symbol in lines else changed
        book.told, book.moved, book.seen = set(), set(), len(self._changes)
        if told:
            self._retold(book, frozenset(told), lines)
        elif book.common is not self.books.common:
            self.books.take_common(book)
        for symbol, names in lines.items():
            line = book.lines.get(symbol)
            if line is None:
                if self.live.is_member(book.account, symbol):
                    self.books.line(book, symbol)
            else:
                self.books.refresh(book, line, None if names >= EVERYTHING else names)

    def _retold(self, book: Book, told: frozenset[str], lines: dict[str, frozenset[str]]) -> None:
        """Facts of the account, or of everyone, have changed, and with them what lines make of them."""
        self.books.load_account(book, told)
        touched = self.books.touched(told)
        if touched.slots or touched.leaves or touched.totals:
            for symbol in book.lines:
                lines[symbol] = lines[symbol] | told if symbol in lines else told


def _nothing() -> Sequence[Finding]:
    return ()
