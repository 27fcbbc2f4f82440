"""Rules judged from leaf facts prepared for each account and name: for whatever has no place in a row.

In: rules, vocabulary, snapshot; then events and orders. Out: an `ExpertAnswer`: every verdict that is neither pass nor
not-applicable, and how many verdicts there are. Guaranteed: what CLIPS can work out within 64 bits it works out itself
from its own copy of the facts; what it cannot it takes from the exact answer as verdict facts, and `shares()` says how
much that is. A run that did not come to its last rule is an error, never a pass. Refused by ExpertError (which the desk
turns into undecided): any error CLIPS prints, too many firings, too much time, use from another thread.
Why the order fact is written here by hand: these lines are most of what an order costs. Before: `emit.py`,
`contexts.py`. After: `book.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from threading import get_ident
from typing import Any

from lexorder.engine.errors import ExpertError
from lexorder.engine.events import Event
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.clipslib import ffi, lib
from lexorder.engine.expert.contexts import Context, Contexts
from lexorder.engine.expert.emit import NOBODY, SIDE, THIS, default_word, plan, slot_of
from lexorder.engine.expert.inference import Inference
from lexorder.engine.expert.live import Live
from lexorder.engine.expert.lowered import variable_of
from lexorder.engine.expert.session import Builder, Session
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer, ExpertAnswer, Key
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.subjects import subjects_of
from lexorder.engine.units import Kind
from lexorder.engine.verdict import Status

_RANK = {Status.BREACH: 0, Status.UNDECIDED: 1, Status.PASSIVE: 2}
_NULL = ffi.NULL
_OFTEN = ("order.quantity", "order.price", SIDE, "order.ord_type")
"""What nearly every order carries."""

# Bound once: looking a function up in the binding costs as much as some of the calls.
_put, _make, _assert, _run = lib.FBPutSlot, lib.CreateInteger, lib.FBAssert, lib.Run
_retract, _abort, _next = lib.Retract, lib.FBAbort, lib.GetNextActivation


class ContextBook:
    """CLIPS with rules loaded and leaf facts kept; not safe to share between threads. `live` may be another's."""

    def __init__(
        self, rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot, live: Live | None = None
    ) -> None:
        self.rules = tuple(rules)
        self.plan = plan(self.rules, vocabulary)
        self.live = live or Live(snapshot, vocabulary)
        self.session = Session()
        self.session.load(self.plan.constructs)
        deriving = [r for r in self.rules if r.derive]
        self.inference = Inference(deriving, vocabulary) if deriving else None
        self.contexts = Contexts(self.plan, self.rules, self.live, self.session, self.inference)
        self._order = self.session.builder("order")
        self._verdict = self.session.builder("verdict")
        self._verdicts = self.session.builder("verdicts")
        self._reads: dict[tuple[str, ...], bool] = {}
        self._prepare_slots()

    def _prepare_slots(self) -> None:
        """What the order fact is filled from: words that differ from the template's default, numbers by their scale."""
        session, slots = self.session, self.plan.slots
        self._cell = ffi.new("CLIPSValue *")
        self._scales = {n.name: (slot_of(n.name).encode(), 10**n.scale) for n in slots if n.unit.kind is Kind.NUMBER}
        self._atoms: dict[str, tuple[bytes, dict[Any, Any]]] = {}
        self._atoms[SIDE] = (b"side", _atoms(session, self.plan.sides, self.plan.sides[0]))
        for name in slots:
            if name.unit.kind is not Kind.NUMBER:
                words = name.unit.values if name.unit.kind is Kind.ENUM else ("TRUE", "FALSE")
                self._atoms[name.name] = (slot_of(name.name).encode(), _atoms(session, words, default_word(name)))
        names = [*self._scales, *self._atoms]
        self._often_numbers = tuple((n, *self._scales[n]) for n in _OFTEN if n in self._scales)
        self._often_words = tuple((n, *self._atoms[n]) for n in _OFTEN if n in self._atoms)
        self._defaults = {n.name: n.default for n in slots}
        self._rare = tuple((n, self._defaults[n]) for n in names if n not in _OFTEN)
        self._required = frozenset(n.name for n in slots if n.default is None)

    # ---- events --------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError for one that does not fit."""
        self.live.apply(event)

    def close(self) -> None:
        """Give CLIPS's memory back."""
        self.session.close()
        if self.inference is not None:
            self.inference.close()

    # ---- judging -------------------------------------------------------------------------------

    def check(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer) -> ExpertAnswer:
        """Judge the orders of one account together. Raises ExpertError."""
        session = self.session
        if session.owner != get_ident():
            session.check_thread()
        if len(orders) != 1:
            return self.basket(account, orders, exact)
        order: Any = orders[0]
        side = order["order.side"]
        key = (account, order["order.symbol"], order.get("order.trader"), order.get("order.strategy"), side)
        context = self.contexts.get(key, order)
        environment, builder = session.environment, self._order.handle
        if not self._fill(order, context, environment, builder):
            _abort(builder)
            return self._all_told(context.count, order, exact)
        try:
            routed = self._route(context, order, exact) if exact.keys else ()
        except ExpertError:
            _abort(builder)  # what was put for this order must not be found by the next
            raise
        watched = session.watched
        watched.count = watched.work = watched.count + 1
        fact = _assert(builder)
        fired = _run(environment, session.firings_max)
        watched.work = 0
        if fired == 1 and not session.said and not watched.tripped and not _next(environment, _NULL):
            _retract(fact)
            return context.answer
        return self._with_findings(context.answer, order, [fact, *routed], fired)

    def _fill(self, order: Any, context: Context, environment: Any, builder: Any) -> bool:
        """Put the order's slots; False when it is beyond the context's caps or lacks a number that is read."""
        cell, caps = self._cell, context.caps
        if not self._required <= order.keys() and not self._may_lack(order):
            return False
        _put(builder, b"ctx", context.atom)
        for name, slot, scale in self._often_numbers:
            value = order.get(name)
            if value is None:
                continue
            number, rest = divmod(value.numerator * scale, value.denominator)
            low, high = caps[name]
            if rest or number > high or number < low:
                return False
            cell.integerValue = _make(environment, number)
            _put(builder, slot, cell)
        for name, slot, atoms in self._often_words:
            atom = atoms.get(order.get(name))
            if atom is not None:
                _put(builder, slot, atom)
        for name, default in self._rare:
            # Most orders have the vocabulary's own default here, the very object.
            value = order.get(name, default)
            if value is not default and not self._fill_rare(name, value, caps, builder):
                return False
        return True

    def _fill_rare(self, name: str, value: Any, caps: Mapping[str, f.Range], builder: Any) -> bool:
        """A name that most orders leave at its default."""
        if value is None:
            return False
        if name in self._atoms:
            slot, atoms = self._atoms[name]
            atom = atoms.get(value)
            if atom is not None:
                _put(builder, slot, atom)
            return True
        slot, scale = self._scales[name]
        number = value * scale
        if number.denominator != 1 or not caps[name][0] <= number <= caps[name][1]:
            return False
        _put(builder, slot, self.session.integer(int(number)))
        return True

    def _with_findings(self, plain: ExpertAnswer, order: Any, facts: list[Any], fired: int) -> ExpertAnswer:
        """The answer when there is more to it than that the last rule fired; takes `facts` back out in any case."""
        session = self.session
        try:
            late = session.watched.finish()
            if late or session.said:
                session.fail(late)
            if not fired or lib.GetNextActivation(session.environment, _NULL) != _NULL:
                raise ExpertError("expert-error", "CLIPS stopped before all rules had fired")
            found = self._read_findings(order)
            return replace(plain, keys=found) if found else plain
        finally:
            session.recover()
            for fact in facts:
                if fact != _NULL:
                    _retract(fact)
            for finding in session.facts("finding"):
                _retract(finding)

    def _read_findings(self, order: Facts | None) -> frozenset[Key]:
        session = self.session
        found: dict[tuple[str, str], Status] = {}
        for fact in session.facts("finding"):
            rule, subject = str(session.read(fact, b"rule")), str(session.read(fact, b"subject"))
            if subject == THIS and order is not None:
                subject = str(order["order.id"])
            elif subject == NOBODY:
                subject = ""
            status = Status(str(session.read(fact, b"status")))
            known = found.get((rule, subject))
            if known is None or _RANK[status] < _RANK[known]:
                found[rule, subject] = status
        return frozenset((rule, subject, status) for (rule, subject), status in found.items())

    # ---- exact verdicts ------------------------------------------------------------------------

    def _route(self, context: Context, order: Facts, exact: ExactAnswer) -> list[Any]:
        """Assert the exact verdicts of what is left to them in this context."""
        wanted = [k for k in exact.keys if k[0] in context.routed or k[:2] in context.routed]
        identifier = str(order["order.id"])
        named = [(rule, THIS if subject == identifier else subject, status) for rule, subject, status in wanted]
        return tell(self.session, self._verdict, named)

    def basket(
        self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer, more: Sequence[Rule] = ()
    ) -> ExpertAnswer:
        """Several orders, or none: their fill states are the exact evaluator's; CLIPS resolves its verdicts.

        `more` are rules that are counted beside the book's own.
        """
        projection = self.live.projection(account, orders)
        count = sum(len(subjects_of(r, projection)) for r in (*self.contexts.rules, *more))
        return self._all_told(count, None, exact)

    def _all_told(self, count: int, order: Facts | None, exact: ExactAnswer) -> ExpertAnswer:
        session = self.session
        session.check_thread()
        facts = tell(session, self._verdict, sorted(exact.keys))
        session.watched.start()
        facts.append(_assert(self._verdicts.handle))
        fired = _run(session.environment, session.firings_max)
        return self._with_findings(ExpertAnswer(frozenset(), count), order, facts, fired)

    def _may_lack(self, order: Facts) -> bool:
        """Whether no formula reads what this order lacks: a market order has no price, and none is asked for."""
        lacking = tuple(sorted(self._required - order.keys()))
        words = tuple(str(order.get(n, self._defaults.get(n))) for n in self._atoms)
        key = (*lacking, "|", *words)
        known = self._reads.get(key)
        if known is None:
            known = self._reads[key] = not self._reads_any(lacking, dict(zip(self._atoms, words, strict=True)))
        return known

    def _reads_any(self, lacking: Sequence[str], words: dict[str, str]) -> bool:
        side = words[SIDE]
        spelt = {variable_of(n): _spelt(w) for n, w in words.items() if n != SIDE and n not in lacking}
        absent = {variable_of(n) for n in lacking}
        return any(
            absent & f.read_with(node, spelt)
            for group in self.plan.variants.values()
            for v in group
            if side in v.sides
            for node in (v.lowered.broken, v.lowered.passive)
        )

    def shares(self) -> dict[str, str]:
        """For each rule with a requirement: `clips`, or why its verdict is taken from the exact evaluator."""
        own = dict.fromkeys(self.plan.variants, "clips")
        return dict(sorted({**own, **self.plan.exact}.items()))


def tell(session: Session, builder: Builder, verdicts: Iterable[Key]) -> list[Any]:
    """Assert exact verdicts as facts, all of them or, when that fails, none. Raises ExpertError."""
    told: list[Any] = []
    try:
        for rule, subject, status in verdicts:
            session.put(builder, b"rule", session.symbol(rule))
            session.put(builder, b"subject", session.loose_symbol(subject or NOBODY))
            session.put(builder, b"status", session.symbol(status.value))
            told.append(session.add(builder))
    except ExpertError:
        for fact in told:
            _retract(fact)
        raise
    return told


def _atoms(session: Session, words: Sequence[str], default: str) -> dict[Any, Any]:
    """Pinned symbols by the value an order's fact has; the template's default need not be put."""
    plain = {"TRUE": True, "FALSE": False}
    return {plain.get(word, word): session.symbol(word) for word in words if word != default}


def _spelt(word: str) -> str:
    return {"True": "TRUE", "False": "FALSE"}.get(word, word)
