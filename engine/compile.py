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
    TraderChanged,
    TraderSet,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.fastpath import Check, Layout
from lexorder.engine.freshness import Freshness
from lexorder.engine.judge import derivations
from lexorder.engine.live import Live
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer
from lexorder.engine.records import EVERYONE
from lexorder.engine.rule import Facts, Rule, Severity
from lexorder.engine.snapshot import MissingFactError, Projection, Snapshot
from lexorder.engine.totals import Books
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.worst import Prepared, judge, judge_compact, prepared

PLAIN = (Status.PASS, Status.NOT_APPLICABLE)
UNBOUNDED = 10**12
"""The quantity headroom is looked for up to where the vocabulary sets no bound."""
REFUSED = (Status.BREACH, Status.UNDECIDED)
_UNCERTAIN = (KeyError, AttributeError, MissingFactError)
"""What the generated check raises for a fact that is absent, None or no Fraction: the general path says what it is."""


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
        self._build()

    def _build(self) -> None:
        """Start the lists anew: their layout has grown."""
        layout = self.plan.layout
        tables = (layout.account, layout.line, layout.trader)
        self.books = Books(self.live, self.plan.derivations, tables, layout.totals, layout.share_scale)
        self._size = layout.size
        self.fresh.watch(self.live)

    # ---- orders ------------------------------------------------------------------------------------

    def warm(self, accounts: Iterable[str]) -> None:
        """Write the checks for every side and order type and build the accounts' lists: no order waits for it then."""
        names = self.plan.vocabulary.names
        for side in names["order.side"].unit.values:
            for kind in names["order.ord_type"].unit.values:
                self._prepare("", {"order.side": side, "order.ord_type": kind, "order.symbol": "", "order.account": ""})
        for account in accounts:
            self.books.book(account)

    def check(self, account: str, orders: tuple[Facts, ...]) -> ExactAnswer:
        """Judge the orders together. Passing rules cost no evidence; `findings` has it when asked."""
        if len(orders) != 1:
            return self._answer(self.findings(account, orders))
        order = orders[0]
        try:
            check, passed = self._checks[order["order.side"], order["order.ord_type"]]  # type: ignore[index]
            book = self.books.books[account]
            values = book.lines[order["order.symbol"]].values  # type: ignore[index]
            if order["order.account"] != account:
                return self._answer(self.findings(account, orders))
            failed = check.run(order, values, book.values, self.books.trader)
        except _UNCERTAIN:
            return self._carefully(account, order)
        if not failed and passed is not None:
            return passed
        return self._rest(account, order, check, failed)

    def _carefully(self, account: str, order: Facts) -> ExactAnswer:
        """The first order of its kind, account or name, or one for which a fact is missing."""
        check = self._prepare(account, order)
        if check is None:
            return self._answer(self.findings(account, (order,)))
        book = self.books.book(account)
        line = self.books.line(book, str(order["order.symbol"]))
        try:
            failed = check.careful(order, line.values, book.values, self.books.trader)
        except _UNCERTAIN:
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
        asked = dict.fromkeys(sorted({*failed, *check.slow}))
        found: list[Finding] = []
        if asked:
            known = self._excesses(account, order, check) if failed else {}
            narrow = self.live.narrow(account, str(order["order.symbol"]), (order,))
            seen: Projection | None = None
            for index in asked:
                rule = self.plan.prepared[index]
                own = known.get(index, {})
                if index not in check.slow and rule.compact and _is_complete(rule, own):
                    found.append(judge_compact(rule, narrow, self.plan.derivations, own))
                else:
                    seen = seen or self.live.projection(account, (order,))
                    found += judge(rule, seen, self.plan.derivations)
        return self._answer(found, len(check.fast) - len(set(failed)))

    def _excesses(self, account: str, order: Facts, check: Check) -> dict[int, dict[int, tuple[Fraction, Fraction]]]:
        """The exact excesses by rule and conjunct, where the kept totals give them."""
        book = self.books.book(account)
        line = self.books.line(book, str(order["order.symbol"]))
        found: dict[int, dict[int, tuple[Fraction, Fraction]]] = {}
        for (rule, part), pair in check.measure(order, line.values, book.values, self.books.trader).items():
            found.setdefault(rule, {})[part] = pair
        return found

    @staticmethod
    def _answer(found: Sequence[Finding], cleared: int = 0) -> ExactAnswer:
        marked = [f for f in found if f.status not in PLAIN]
        return ExactAnswer(frozenset(f.key for f in marked), cleared + len(found), lambda: marked)

    def findings(self, account: str, orders: tuple[Facts, ...]) -> tuple[Finding, ...]:
        """Every finding with its evidence, passes included, in rule order; by the general path alone."""
        seen = self.live.projection(account, orders)
        return tuple(f for rule in self.plan.prepared for f in judge(rule, seen, self.plan.derivations))

    def largest(self, account: str, order: Facts, cap: int) -> tuple[Largest, Mapping[str, int]]:
        """The largest compliant quantity of an order up to `cap`, and its own for each rule that has a say.

        These are the rules with anything but a plain pass at the order's own quantity, and those that bind.
        """
        check = self._prepare(account, order)
        try:
            known = self._excesses(account, order, check) if check else {}
        except _UNCERTAIN:
            known = {}

        def view(index: int) -> breakpoints.View:
            rule, own = self.plan.prepared[index], known.get(index, {})
            if check is not None and index in check.fast and rule.compact and _is_complete(rule, own):
                return self.live.narrow(account, str(order["order.symbol"]), (order,)), own
            return self.live.projection(account, (order,)), {}

        def refusing(quantity: int) -> frozenset[int]:
            asked = {**order, "order.quantity": Fraction(quantity)}
            keys = self.check(account, (asked,)).keys
            return frozenset(
                self.plan.binding[rule] for rule, _, s in keys if s in REFUSED and rule in self.plan.binding
            )

        marked = {rule for rule, _, _ in self.check(account, (order,)).keys}
        first = frozenset(i for i, p in enumerate(self.plan.prepared) if p.rule.id in marked)
        sought = breakpoints.Sought(self.plan.prepared, self.plan.derivations, view, refusing)
        return breakpoints.largest(sought, first, cap)

    def headroom(self, account: str, order: Facts) -> Largest:
        """The largest compliant quantity of an order whatever it asks for, up to the greatest the vocabulary admits."""
        greatest = self.plan.vocabulary.names["order.quantity"].maximum
        return self.largest(account, order, int(greatest or UNBOUNDED))[0]

    # ---- events ------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError and then changes nothing."""
        symbol = self._symbol_of(event)
        before = self.live.snapshot.time
        self.live.apply(event)
        match event:
            case InstrumentChanged(symbol=changed, facts=facts):
                self.fresh.note(self.live, changed)
                self._refresh(changed, frozenset(facts))
            case AccountChanged(account=account, facts=facts):
                self._account(account, frozenset(facts))
            case Fill():
                self._account(event.account, frozenset({"account.cash"}))
                self._moved(event.account, event.symbol)
                if event.facts:
                    self._recorded("fill", event.facts)
            case WorkingAdded() | WorkingRemoved():
                self._moved(*symbol)
            case PositionSet():
                self._moved(event.account, event.symbol)
            case TraderChanged(trader=trader) | TraderSet(trader=trader):
                self.books.traders.pop(trader, None)
            case SingleChanged(facts=facts):
                self._single(frozenset(facts), before != self.live.snapshot.time)
            case FillRecorded(facts=facts):
                self._recorded("fill", facts)
            case AccountSet(account=account):
                self.books.books.pop(account, None)
            case InstrumentSet(symbol=told):
                self.fresh.note(self.live, told)
                self._refresh(told, None)
            case QuoteSet(facts=facts):
                self._recorded("quote", facts)
            case SignalSet(facts=facts):
                self._recorded("signal", facts)

    def _recorded(self, entity: str, facts: Facts) -> None:
        """A record of an account, or of everyone, is new or has changed."""
        owner = facts.get(f"{entity}.account", EVERYONE)
        accounts = list(self.books.books) if owner == EVERYONE or entity != "fill" else [str(owner)]
        for account in accounts:
            self._account(account, frozenset({f"{entity}.*"}))

    def _symbol_of(self, event: Event) -> tuple[str, str]:
        """(account, symbol) of the working order an event is about, read before it is gone."""
        if isinstance(event, WorkingAdded):
            return str(event.facts["working_order.account"]), str(event.facts["working_order.symbol"])
        if isinstance(event, WorkingRemoved):
            account = self.live.account_of.get(event.id, "")
            facts = self.live.working.get(account, {}).get(event.id, {})
            return account, str(facts.get("working_order.symbol", ""))
        return "", ""

    def _refresh(self, symbol: str, changed: frozenset[str] | None) -> None:
        """Facts of an instrument have changed: its line in every book."""
        for book in self.books.books.values():
            line = book.lines.get(symbol)
            if line is not None:
                self.books.refresh(book, line, changed)

    def _moved(self, account: str, symbol: str) -> None:
        """A holding or a working order of one name has changed."""
        book = self.books.books.get(account)
        if book is not None:
            known = book.lines.get(symbol)
            if known is None:
                self.books.line(book, symbol)
            else:
                self.books.refresh(book, known, self.books.holding)

    def _account(self, account: str, changed: frozenset[str]) -> None:
        """Facts of an account have changed, and with them whatever its lines make of them."""
        book = self.books.books.get(account)
        if book is not None:
            self.books.load_account(book, changed)
            touched = self.books.touched(changed)
            if touched.slots or touched.totals:
                for line in book.lines.values():
                    self.books.refresh(book, line, changed)

    def _single(self, changed: frozenset[str], timed: bool) -> None:
        """Lists, rates or the time have changed; with the time, facts may have become too old."""
        for account in self.books.books:
            self._account(account, changed)
        self.books.traders.clear()
        if timed:
            for symbol in self.fresh.turned(self.live):
                self._refresh(symbol, self.fresh.names)


def _is_complete(rule: Prepared, known: Mapping[int, object]) -> bool:
    """Whether the excess of every conjunct that depends on fills is known."""
    return all(number in known for number, part in enumerate(rule.parts) if part.depends)


def _nothing() -> Sequence[Finding]:
    return ()
