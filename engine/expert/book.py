"""The expert's side of a live desk: CLIPS judges every order, second and independently.

In: rules (those of the accounts it will be asked about), vocabulary, snapshot; then events and orders. Out: an
`ExpertAnswer`: every verdict that is neither pass nor not-applicable, and how many verdicts there are. Guaranteed: what
CLIPS can work out within 64 bits it works out itself from its own copy of the facts; what it cannot it takes from the
exact answer as verdict facts, and `shares()` says how much that is. A run that did not come to its last rule is an
error, never a pass. Refused by ExpertError (which the desk turns into undecided): any error CLIPS prints, too many
firings, too much time, use from another thread.
Why two ways: most rules can be judged from one fact for the order (`rows.py`), which costs the same for a name never
seen before; the others need facts prepared for each account and name (`contextbook.py`). Before: `rows.py`,
`contextbook.py`. After: `desk.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident
from typing import Any

from lexorder.engine.errors import ExpertError
from lexorder.engine.events import Event
from lexorder.engine.expert.clipslib import ffi
from lexorder.engine.expert.clipslib import lib as clips
from lexorder.engine.expert.contextbook import ContextBook, tell
from lexorder.engine.expert.emit import NOBODY, THIS, plan
from lexorder.engine.expert.factmemory import lib
from lexorder.engine.expert.live import Live
from lexorder.engine.expert.lower import Scales
from lexorder.engine.expert.rowplan import is_of_working, rowplan
from lexorder.engine.expert.rows import Rows
from lexorder.engine.expert.rowvalues import FinerError
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer, ExpertAnswer, Key
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.verdict import Status

CENTS = 10**2
"""The scale that sums over working orders begin at: their prices have cents, and a finer scale plans the row anew."""

_RANK = {Status.BREACH: 0, Status.UNDECIDED: 1, Status.PASSIVE: 2}
_NULL = ffi.NULL
_run, _next = clips.Run, clips.GetNextActivation
_assert, _retract = lib.Assert, lib.Retract


class ExpertBook:
    """CLIPS with the rules of a desk loaded and its facts kept; not safe to share between threads."""

    def __init__(self, rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> None:
        self.rules = tuple(rules)
        self.live = Live(snapshot, vocabulary)
        self.plan = plan(self.rules, vocabulary)
        first = rowplan(self.plan, self.rules, vocabulary, {})
        self.rows = self._planned({c.leaf: CENTS for c in first.cells if is_of_working(c)})
        self.rest = ContextBook(self.rows.plan.rest, vocabulary, snapshot, self.live)
        self._asks_rest = bool(self.rows.plan.rest)
        self._passed = ExpertAnswer(frozenset(), len(self.rows.plan.rules))

    def _planned(self, scales: Scales) -> Rows:
        """Rows at these scales, in a session of their own."""
        rows = Rows(rowplan(self.plan, self.rules, self.live.vocabulary, scales), self.live, scales)
        self.session = rows.session
        self._verdict = self.session.builder("verdict")
        return rows

    # ---- events --------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError for one that does not fit."""
        self.live.apply(event)
        self.rows.follow(event)

    def close(self) -> None:
        """Give CLIPS's memory back."""
        self.rows.close()
        self.rest.close()

    def shares(self) -> dict[str, str]:
        """For each rule with a requirement: `clips`, or why its verdict is taken from the exact evaluator."""
        own = dict.fromkeys((r.id for r in self.rows.plan.rules), "clips")
        return dict(sorted({**own, **self.rest.shares()}.items()))

    # ---- judging -------------------------------------------------------------------------------

    def check(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer) -> ExpertAnswer:
        """Judge the orders of one account together. Raises ExpertError."""
        if len(orders) != 1:
            return self.rest.basket(account, orders, exact, self.rows.plan.rules)
        found = self._rowed(account, orders[0], exact)
        if not self._asks_rest:
            return found
        other = self.rest.check(account, orders, exact)
        return ExpertAnswer(found.keys | other.keys, found.count + other.count, other.derived, other.fired)

    def _rowed(self, account: str, order: Facts, exact: ExactAnswer) -> ExpertAnswer:
        """What the rules of the row say."""
        session, rows = self.session, self.rows
        if session.owner != get_ident():
            session.check_thread()
        try:
            packed, off = rows.packed(order, self.live.accounts[account])
        except FinerError as finer:
            self.rows = self._planned(finer.scales)
            self.rows.inherit(rows)
            rows.close()
            return self._rowed(account, order, exact)
        routed: Sequence[Any] = ()
        if exact.keys and off:
            routed = self._route(off, exact)
            packed, off = rows.packed(order, self.live.accounts[account])  # asserting may have let go of its integers
        watched = session.watched
        watched.count = watched.work = watched.count + 1
        fact = _assert(rows.memory.make(packed))
        fired = _run(session.environment, session.firings_max)
        watched.work = 0
        if fired == 1 and not session.said and not watched.tripped and not _next(session.environment, _NULL):
            _retract(fact)
            return self._passed
        return self._with_findings(order, fact, routed, fired)

    def _with_findings(self, order: Facts, fact: Any, routed: Sequence[Any], fired: int) -> ExpertAnswer:
        """The answer when there is more to it than that the last rule fired; takes the facts back in any case."""
        session = self.session
        try:
            late = session.watched.finish()
            if late or session.said:
                session.fail(late)
            if not fired or _next(session.environment, _NULL) != _NULL:
                raise ExpertError("expert-error", "CLIPS stopped before all rules had fired")
            return ExpertAnswer(self._read(order), self._passed.count)
        finally:
            session.recover()
            if fact != _NULL:
                _retract(fact)
            for told in routed:
                clips.Retract(told)
            for finding in session.facts("finding"):
                clips.Retract(finding)

    def _read(self, order: Facts) -> frozenset[Key]:
        session = self.session
        found: dict[tuple[str, str], Status] = {}
        for fact in session.facts("finding"):
            rule, subject = str(session.read(fact, b"rule")), str(session.read(fact, b"subject"))
            if subject == THIS:
                subject = self.rows.subject(rule, order)
            elif subject == NOBODY:
                subject = ""
            status = Status(str(session.read(fact, b"status")))
            known = found.get((rule, subject))
            if known is None or _RANK[status] < _RANK[known]:
                found[rule, subject] = status
        return frozenset((rule, subject, status) for (rule, subject), status in found.items())

    def _route(self, off: frozenset[int], exact: ExactAnswer) -> list[Any]:
        """Assert the exact verdicts of the rules that are switched off."""
        rules = self.rows.off_rules(off)
        return tell(self.session, self._verdict, [key for key in sorted(exact.keys) if key[0] in rules])
