"""The expert's side of a live desk: CLIPS judges every order, second and independently.

In: rules (those of the accounts it will be asked about), vocabulary, snapshot; then events and orders. Out: an
`ExpertAnswer`: every verdict that is neither pass nor not-applicable, and how many verdicts were given. Guaranteed: what
CLIPS can work out within 64 bits it works out itself from its own copy of the facts; what it cannot it takes from the
exact answer as verdict facts, and `shares()` says how much that is. A run that did not come to its last rule is an
error, never a pass. Refused by ExpertError (which the desk turns into undecided): any error CLIPS prints, too many
firings, too much time, use from another thread.
Why the order fact is written here by hand: these lines are most of what an order costs. Before: `emit.py`,
`contexts.py`. After: `desk.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident
from typing import Any

from lexorder.engine.errors import ExpertError
from lexorder.engine.events import Event
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.clipslib import ffi, lib
from lexorder.engine.expert.contexts import Context, Contexts
from lexorder.engine.expert.emit import SIDE, default_word, plan, slot_of
from lexorder.engine.expert.live import Live
from lexorder.engine.expert.lower import variable_of
from lexorder.engine.expert.session import Session
from lexorder.engine.judge import derivations
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExactAnswer, ExpertAnswer, Key
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.subjects import subjects_of
from lexorder.engine.units import Kind
from lexorder.engine.verdict import Status

_RANK = {Status.BREACH: 0, Status.UNDECIDED: 1, Status.PASSIVE: 2}
_NULL = ffi.NULL


class ExpertBook:
    """CLIPS with the rules of a desk loaded and its facts kept; not safe to share between threads."""

    def __init__(self, rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot) -> None:
        self.rules = tuple(rules)
        self.plan = plan(self.rules, vocabulary)
        self.live = Live(snapshot, vocabulary)
        self.session = Session()
        self.session.load(self.plan.constructs)
        self.derivations = derivations(self.rules)
        self.contexts = Contexts(self.plan, self.rules, self.live, self.session, self.derivations)
        self._order = self.session.builder("order")
        self._verdict = self.session.builder("verdict")
        self._verdicts = self.session.builder("verdicts")
        self._finding = self.session.template("finding")
        self._answers: dict[int, ExpertAnswer] = {}
        self._reads: dict[tuple[str, ...], bool] = {}
        self._prepare_slots()

    def _prepare_slots(self) -> None:
        """What the order fact is filled from: numbers, then words that differ from the template's default."""
        session, slots = self.session, self.plan.slots
        self._numbers = tuple(
            (n.name, slot_of(n.name).encode(), 10**n.scale) for n in slots if n.unit.kind is Kind.NUMBER
        )
        self._words: dict[str, dict[Any, Any]] = {SIDE: _atoms(session, self.plan.sides, self.plan.sides[0])}
        for name in slots:
            if name.unit.kind is Kind.BOOL:
                default = default_word(name)
                both = {v: session.symbol(w) for v, w in ((True, "TRUE"), (False, "FALSE")) if w != default}
                self._words[name.name] = both
            elif name.unit.kind is Kind.ENUM:
                self._words[name.name] = _atoms(session, name.unit.values, default_word(name))
        self._word_slots = tuple((name, slot_of(name).encode(), atoms) for name, atoms in self._words.items())
        self._cell = ffi.new("CLIPSValue *")
        self._defaults = {n.name: n.default for n in slots}
        self._optional = tuple(n.name for n in slots if n.unit.kind is Kind.NUMBER and n.default is None)

    # ---- events --------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError for one that does not fit."""
        self.live.apply(event)

    def close(self) -> None:
        """Give CLIPS's memory back."""
        self.session.close()

    # ---- judging -------------------------------------------------------------------------------

    def check(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer) -> ExpertAnswer:
        """Judge the orders of one account together. Raises ExpertError."""
        if len(orders) != 1:
            return self._basket(account, orders, exact)
        order = orders[0]
        key = (account, order["order.symbol"], order.get("order.trader"), order.get("order.strategy"))
        context = self.contexts.get(key, order)  # type: ignore[arg-type]
        session = self.session
        if session.owner != get_ident():
            session.check_thread()
        builder, cell, put, make = self._order.handle, self._cell, lib.FBPutSlot, lib.CreateInteger
        caps, environment = context.caps, session.environment
        put(builder, b"ctx", context.atom)
        for name, slot, scale in self._numbers:
            value: Any = order.get(name)
            if value is None:
                if name in self._optional and not self._may_lack(order):
                    return self._exactly(context, order, exact)
                continue
            number = value.numerator if scale == 1 else value.numerator * (scale // value.denominator)
            low, high = caps[name]
            if number > high or number < low or scale % value.denominator:
                return self._exactly(context, order, exact)
            cell.integerValue = make(environment, number)
            put(builder, slot, cell)
        for name, slot, atoms in self._word_slots:
            atom = atoms.get(order.get(name))
            if atom is not None:
                put(builder, slot, atom)
        routed = self._route(context, order, exact) if exact.keys else ()
        session.watched.start()
        fact = lib.FBAssert(builder)
        fired = lib.Run(environment, session.firings_max)
        return self._finish(context, order, fact, routed, fired)

    def _finish(self, context: Context, order: Facts, fact: Any, routed: Sequence[Any], fired: int) -> ExpertAnswer:
        """Take everything back out of CLIPS, then say what it found."""
        session = self.session
        late = session.watched.finish()
        clean = not late and not session.said and fact != _NULL and fired
        if clean and fired == 1:
            lib.Retract(fact)
            return self._plain(context.count)
        return self._with_findings(context.count, order, [fact, *routed], late, fired)

    def _plain(self, count: int) -> ExpertAnswer:
        found = self._answers.get(count)
        if found is None:
            found = self._answers[count] = ExpertAnswer(frozenset(), count)
        return found

    def _with_findings(self, count: int, order: Facts | None, facts: list[Any], late: bool, fired: int) -> ExpertAnswer:
        """The answer when there is more to it than that the last rule fired; always takes `facts` back out."""
        session = self.session
        try:
            if late or session.said:
                session.fail(late)
            if not fired or lib.GetNextActivation(session.environment, _NULL) != _NULL:
                raise ExpertError("expert-error", "CLIPS stopped before all rules had fired")
            return ExpertAnswer(self._read_findings(order), count)
        finally:
            session.recover()
            for fact in facts:
                if fact != _NULL:
                    lib.Retract(fact)
            for finding in session.facts("finding"):
                lib.Retract(finding)

    def _read_findings(self, order: Facts | None) -> frozenset[Key]:
        session = self.session
        found: dict[tuple[str, str], Status] = {}
        for fact in session.facts("finding"):
            rule, subject = str(session.read(fact, b"rule")), str(session.read(fact, b"subject"))
            if subject == "this" and order is not None:
                subject = str(order["order.id"])
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
        return [
            self._tell(rule, "this" if subject == identifier else subject, status) for rule, subject, status in wanted
        ]

    def _tell(self, rule: str, subject: str, status: Status) -> Any:
        session, builder = self.session, self._verdict
        session.put(builder, b"rule", session.symbol(rule))
        session.put(builder, b"subject", session.loose_symbol(subject or "unknown"))
        session.put(builder, b"status", session.symbol(status.value))
        return session.add(builder)

    def _exactly(self, context: Context, order: Facts, exact: ExactAnswer) -> ExpertAnswer:
        """An order beyond the context's caps or without a price it needs: every verdict is the exact one's."""
        lib.FBAbort(self._order.handle)
        return self._all_told(context.count, order, exact)

    def _basket(self, account: str, orders: tuple[Facts, ...], exact: ExactAnswer) -> ExpertAnswer:
        projection = self.live.projection(account, orders)
        count = sum(len(subjects_of(r, projection)) for r in self.contexts.rules)
        return self._all_told(count, None, exact)

    def _all_told(self, count: int, order: Facts | None, exact: ExactAnswer) -> ExpertAnswer:
        session = self.session
        session.check_thread()
        facts = [self._tell(*key) for key in sorted(exact.keys)]
        session.watched.start()
        facts.insert(0, lib.FBAssert(self._verdicts.handle))
        fired = lib.Run(session.environment, session.firings_max)
        late = session.watched.finish()
        return self._with_findings(count, order, facts, late, fired)

    def _may_lack(self, order: Facts) -> bool:
        """Whether no formula reads what this order lacks: a market order has no price, and none is asked for."""
        lacking = tuple(n for n in self._optional if n not in order)
        words = tuple(str(order.get(n, self._defaults.get(n))) for n in self._words)
        key = (*lacking, "|", *words)
        known = self._reads.get(key)
        if known is None:
            known = self._reads[key] = not self._reads_any(lacking, dict(zip(self._words, words, strict=True)))
        return known

    def _reads_any(self, lacking: tuple[str, ...], words: dict[str, str]) -> bool:
        side = words[SIDE]
        spelt = {variable_of(n): _spelt(w) for n, w in words.items() if n != SIDE}
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


def _atoms(session: Session, words: Sequence[str], default: str) -> dict[Any, Any]:
    return {word: session.symbol(word) for word in words if word != default}


def _spelt(word: str) -> str:
    return {"True": "TRUE", "False": "FALSE"}.get(word, word)
