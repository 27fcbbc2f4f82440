"""The trading floor of one shard: everything that decides, as one state machine that a ledger can rebuild.

In: steps (a snapshot, a batch of a feed, an order, a change of limits, books or trading states) with the name of who
takes them. Out: what to answer and the record that says so. Guaranteed: every change of state goes through `apply`,
which reads nothing but the record, so that the same records give the same floor and the same decisions, bit for bit;
the desk's time moves only with a record. Refused: what the parts refuse. Not safe to share between threads: the
service calls it from its event loop only. Before: `feeds.py`, `feed_events.py`, `rule_books.py`, `limit_book.py`,
`trading_states.py`, `wire.py`. After: `journal.py`, `orders.py`, `replay.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from lexorder.api.service.admissible import Known, Told
from lexorder.api.service.agreed import Agreed
from lexorder.api.service.feed_events import events_of
from lexorder.api.service.feeds import EVERY_FEED, Feeds, reads
from lexorder.api.service.limit_book import Limits
from lexorder.api.service.open_breaches import BEGUN, ENDED, OpenBreaches
from lexorder.api.service.override_book import Overrides
from lexorder.api.service.reserving import working_order
from lexorder.api.service.rule_books import RuleBooks
from lexorder.api.service.running_clock import RunningClock
from lexorder.api.service.shards import part_of
from lexorder.api.service.trading_states import FIRM, TradingStates
from lexorder.api.service.wire import OrderReader
from lexorder.engine import events as e
from lexorder.engine.decide import ENGINE, outcome_of
from lexorder.engine.decision import Decision, Outcome, Report
from lexorder.engine.desk import Desk
from lexorder.engine.errors import LexorderError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.literals import timestamp
from lexorder.engine.measure import REGISTRY
from lexorder.engine.measuring import names_read
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts, Rule, Severity
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.sessions import session_facts
from lexorder.engine.verdict import Status


class Floor:
    """The state of one shard. `clock` gives the desk's time for new steps; `apply` never reads it."""

    def __init__(
        self, vocabulary: Vocabulary, clock: RunningClock, ages: dict[str, float], tick_s: float = 1.0
    ) -> None:
        self.vocabulary = vocabulary
        self.clock = clock
        self.tick_s = tick_s
        self.reader = OrderReader(vocabulary)
        self.feeds = Feeds(ages)
        self.states = TradingStates()
        self.books = RuleBooks(vocabulary)
        self.limits = Limits(vocabulary)
        self.overrides = Overrides()
        self.breaches = OpenBreaches()
        self.agreed = Agreed()
        self.desk: Desk | None = None
        self.doubts: dict[str, str] = {}
        self._doubted: dict[tuple[str, ...], tuple[Report, ...]] = {}
        self.untold = False
        self.keep_time: Callable[[str], None] = lambda _now: None
        self._moment: datetime | None = None
        self._text = ""
        self._steps: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "snapshot": self._snapshot,
            "events": self._events,
            "gap": self._gap,
            "decision": self._decision,
            "batch": self._batch,
            "override": self._override,
            "rulebook": self._rulebook,
            "limit": self._limit,
            "trading-state": self._state,
            BEGUN: self.breaches.begin,
            ENDED: self.breaches.end,
        }

    # ---- time ------------------------------------------------------------------------------------

    def advance(self) -> str:
        """Move the desk's time on when a tick has passed, and tell it as a record writes it.

        A floor rebuilt from records must see the same times. Usually the step this is for tells it; where that one was
        refused, or came to nothing, the time is kept by itself before it moves again.
        """
        now = self.clock.now()
        if self.desk is None:
            return now.isoformat()
        known = self.desk.time
        if (now - known).total_seconds() >= self.tick_s:
            if self.untold:
                self.keep_time(self._written())
            self._move(now)
            self.untold = True
        return self._written()

    def move_to(self, written: str) -> None:
        """Move the desk to the time a record has; ValueError when it is none."""
        self._move(moment_of(written))

    def _written(self) -> str:
        """The desk's time as text, kept until it moves."""
        moment = self.standing.time
        if moment is not self._moment:
            self._moment, self._text = moment, moment.isoformat()
        return self._text

    def _move(self, moment: datetime) -> None:
        """Let the desk's time be `moment`, with whatever changes on a new trade date."""
        if self.desk is None or moment == self.desk.time:
            return
        self.desk.apply(e.SingleChanged(session_facts(moment)))
        self._doubt()

    @property
    def standing(self) -> Desk:
        """The desk. RuntimeError before the first snapshot or book, which `ready` tells beforehand."""
        if self.desk is None:
            raise RuntimeError("the floor has no desk yet")
        return self.desk

    # ---- steps -----------------------------------------------------------------------------------

    def apply(self, kind: str, body: Mapping[str, Any]) -> None:
        """Take a step over, as it is recorded. Whatever changes nothing else here still moves the time."""
        if kind != "snapshot" and "now" in body:
            self._move(moment_of(body["now"]))
        step = self._steps.get(kind)
        if step is not None:
            step(body)
        self.agreed.take(kind, body)

    def _snapshot(self, body: Mapping[str, Any]) -> None:
        snapshot, part = load_snapshot(body["document"], self.vocabulary), part_of(body)
        if not part.whole:  # the others keep theirs
            working = ((str(w["working_order.account"]), w) for w in snapshot.working_orders)
            mine = tuple(w for account, w in working if part.owns(snapshot.accounts, account))
            snapshot = replace(snapshot, working_orders=mine)
        self.desk = Desk(self._book(), snapshot, self.vocabulary, must_cover=True)
        sequences = body.get("sequences", {})
        for name, feed in self.feeds.feeds.items():
            feed.whole(snapshot.time, sequences.get(name))
            feed.seen.clear()
        self._tell_states()
        self._doubt()

    def _events(self, body: Mapping[str, Any]) -> None:
        name = body["feed"]
        self._take(self.events(name, body))
        feed = self.feeds[name]
        if body.get("whole"):
            feed.whole(self.standing.time, body.get("sequence"))
        feed.taken(body["event_id"], body.get("sequence"), self.standing.time)
        if name == "accounts" or "firm" in body:  # what risk control has set is not the feed's to change
            self._tell_states()
        self._doubt()

    def _take(self, events: Sequence[Told]) -> None:
        """Let the desk take all of these. RuntimeError when it has taken some: then the floor is not what is recorded.

        `admissible.py` finds out beforehand what a desk refuses; a refusal that it missed must not be answered as one.
        """
        for n, event in enumerate(events):
            try:
                self.standing.apply(event)
            except LexorderError as error:
                if n:
                    raise RuntimeError("a batch was taken in part") from error
                raise

    def _gap(self, body: Mapping[str, Any]) -> None:
        self.feeds[body["feed"]].beyond(int(body["sequence"]))
        self._doubt()

    def _decision(self, body: Mapping[str, Any]) -> None:
        if body["reserved"]:
            self.reserve(self.reader.read(body["order"]))

    def _batch(self, body: Mapping[str, Any]) -> None:
        for number in body["reserved"]:
            self.reserve(self.reader.read(body["orders"][number]))

    def _override(self, body: Mapping[str, Any]) -> None:
        self.overrides.apply(body)
        if body.get("reserved") and self.desk is not None:  # else a later snapshot says what is working
            self.reserve(self.reader.read(body["order"]))

    def _rulebook(self, body: Mapping[str, Any]) -> None:
        self.books.apply(body["action"], body)
        if body["action"] == "activate":
            self._renew()

    def _limit(self, body: Mapping[str, Any]) -> None:
        self.limits.apply(body["action"], body)
        if body["action"] in ("approve", "retire"):
            self._renew()

    def _state(self, body: Mapping[str, Any]) -> None:
        self.states.apply(body)
        self._tell_state(body)

    def _tell_states(self) -> None:
        for entry in self.states.known.values():
            self._tell_state(entry)

    def _tell_state(self, entry: Mapping[str, Any]) -> None:
        """Let rules see a trading state. HALTED needs no rule: `check` answers it before the desk is asked."""
        if self.desk is None:
            return
        scope, key, state = entry["scope"], entry["id"], entry["state"]
        if scope == "firm":
            self.desk.apply(e.SingleChanged({"firm.trading_state": state}))
        elif scope == "account" and key in self.desk.accounts:
            self.desk.apply(e.AccountChanged(key, {"account.trading_state": state}))
        elif scope == "trader" and key in self.desk.traders:
            self.desk.apply(e.TraderChanged(key, {"trader.trading_state": state}))
        elif scope == "strategy":
            known = self.desk.strategies.get(key, {"strategy.id": key})
            self.desk.apply(e.StrategySet(key, {**known, "strategy.trading_state": state}))

    def _book(self) -> RuleBook:
        return self.books.in_force(self.limits.in_force())

    def _renew(self) -> None:
        self._doubted.clear()
        if self.desk is not None:
            self.desk.replace_book(self._book())

    # ---- questions -------------------------------------------------------------------------------

    def events(self, feed: str, body: Mapping[str, Any]) -> Sequence[Told]:
        """The events of a batch, without taking them. Raises SnapshotError."""
        return events_of(feed, body, self.known(body))

    def known(self, body: Mapping[str, Any]) -> Known:
        """What the rows of a batch are read against."""
        desk = self.standing
        return Known(self.vocabulary, desk.tables, desk.working, desk.live.fills, part_of(body))

    def decide(self, orders: tuple[Facts, ...]) -> Decision:
        """Decide orders of one account together, with trading states and doubtful feeds heeded."""
        stopped = self._stopped(orders)
        if stopped is not None:
            return stopped
        desk = self.standing
        decision = desk.check(orders[0]) if len(orders) == 1 else desk.check_basket(orders)[0]
        return self._doubting(decision) if self.doubts else decision

    def heeding(self, orders: tuple[Facts, ...], decision: Decision) -> Decision:
        """A decision of the desk with trading states and doubtful feeds heeded."""
        return self._stopped(orders) or (self._doubting(decision) if self.doubts else decision)

    def _stopped(self, orders: tuple[Facts, ...]) -> Decision | None:
        """The refusal of orders that fall under a halt."""
        if self.states.halted:
            for order in orders:
                stop = self.states.stops(order)
                if stop is not None:
                    return self._halted(orders, stop)
        return None

    def reserve(self, order: Facts) -> None:
        """An approved order counts as working from now on, until the OMS tells more about it."""
        self.standing.apply(e.WorkingAdded(working_order(order, self.standing, self.vocabulary)))

    def _halted(self, orders: tuple[Facts, ...], stop: tuple[str, str]) -> Decision:
        scope, key = stop
        whose = "the firm" if key == FIRM else f"this {scope}"
        message = f"Trading is switched off for {whose}: ask risk control."
        report = Report(ENGINE, "Trading is switched off", Severity.HARD, Status.BREACH, "", "NOT_PERMITTED", message)
        return Decision(
            outcome=Outcome.REJECT,
            account=str(orders[0]["order.account"]),
            orders=tuple(str(o["order.id"]) for o in orders),
            time=self.standing.time,
            reports=(report,),
            derived=(),
            fired=(),
            largest=None,
            verdicts=0,
            rulebook_hash=self.standing.book.hash,
            snapshot_hash=self.standing.hash,
        )

    def _doubt(self) -> None:
        """See again which feeds cannot be relied on."""
        doubts = self.feeds.doubts(self.standing.time) if self.desk is not None else {}
        if doubts != self.doubts:
            self.doubts = doubts
            self._doubted.clear()

    def _doubting(self, decision: Decision) -> Decision:
        """The decision with every rule undecided that reads a doubtful feed."""
        extra = self._reports(decision.account)
        if not extra:
            return decision
        named = {r.rule for r in extra}
        reports = (*extra, *(r for r in decision.reports if r.rule not in named))
        return replace(decision, reports=reports, outcome=outcome_of(reports), largest=None)

    def _reports(self, account: str) -> tuple[Report, ...]:
        rules = self.standing.rules_of(account)
        key = tuple(r.id for r in rules)
        if key not in self._doubted:
            found = []
            for rule in rules:
                names = names_behind(rule, rules, self.vocabulary)
                why = next((w for feed, w in self.doubts.items() if reads(feed, names)), "")
                if why and rule.require is not None:
                    text = f"{rule.title}: {why}."
                    found.append(
                        Report(
                            rule.id,
                            rule.title,
                            rule.severity,
                            Status.UNDECIDED,
                            "",
                            "MISSING_FACT",
                            text,
                            cite=rule.cite,
                            audience=rule.audience,
                        )
                    )
            self._doubted[key] = tuple(found)
        return self._doubted[key]


def names_behind(rule: Rule, rules: Sequence[Rule], vocabulary: Vocabulary) -> frozenset[str]:
    """The names a rule depends on: those it reads, those that rules deriving them read, what sorts its subjects.

    A measure may look at anything, so a rule that reads one depends on every feed.
    """
    groups = vocabulary.entities[rule.for_each].groups
    found = names_read(rule) | ({groups} if groups else set())
    while True:
        more = {n for r in rules if any(name in found for name, _ in r.derive) for n in names_read(r)}
        if more <= found:
            break
        found |= more
    return found | EVERY_FEED if found & REGISTRY.keys() else found


def moment_of(written: str) -> datetime:
    """A time as records write it. ValueError when it is none."""
    found = timestamp(written)
    if found is None:
        raise ValueError("a record has a time that is none")
    return found
