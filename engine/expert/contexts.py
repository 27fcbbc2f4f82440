"""What CLIPS must know before an order comes: prepared leaves for one account, symbol, trader and strategy.

In: the plan, the live facts, an order as pattern. Out: `Context`s, each with its leaf facts in the session. Guaranteed:
leaves are exact; a leaf fact is there only if every operation CLIPS will carry out with it stays within 64 bits for
any order within the context's caps; a rule with a missing, stale or too wide leaf is left to the exact verdict, and the
count of verdicts covers it. Bounded: at most `CONTEXTS_MAX` contexts, the oldest goes first. Refused: nothing.
Why lazily: a price tick costs a counter, and only what is traded is prepared. Before: `emit.py`, `worst.py`. After:
`book.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, cast

from lexorder.engine.evaluate import Point, value
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.atoms import is_static
from lexorder.engine.expert.emit import SIDE, THIS, Plan, Variant
from lexorder.engine.expert.inference import Inference
from lexorder.engine.expert.leaves import prepared, put_leaves
from lexorder.engine.expert.live import TIME, Account, Live
from lexorder.engine.expert.lower import Leaf, variable_of
from lexorder.engine.expert.session import Builder, Fact, Session
from lexorder.engine.expert.worst import Reading, Total, Totals, end_fills, excess_of, linear_share
from lexorder.engine.judge import Derivations
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExpertAnswer
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.subjects import NAMED, account_subject, belongs, subjects_of
from lexorder.engine.terms import Aggregate, Field, Term, Value

CONTEXTS_MAX = 4_096
"""Contexts kept at a time."""
NOTIONAL_CAP = 10**8
"""Orders above this many units of local money (at the mark) are left to the exact evaluator, so that leaves fit."""
PRICE_CAP = 4
"""And so are orders priced above this many times the mark."""

Key = tuple[str, str, str | None, str | None]
"""Account, symbol, trader, strategy."""


_NOTHING = ExpertAnswer(frozenset(), 0)


@dataclass(slots=True)
class Context:
    """Prepared leaves.

    `routed` are rules and (rule, subject) pairs left to the exact verdict, `count` how many verdicts there are, and
    `answer` what is said when nothing is found. `caps` bound the order's numbers, in the slots' scales.
    """

    key: Key
    number: int
    atom: Any
    state: Account
    fact: Fact
    tick: int = -1
    instrument_version: int = -1
    state_version: int = -1
    epoch: int = -1
    time_epoch: int = -1
    expires: datetime | None = None
    caps: dict[str, f.Range] = field(default_factory=dict)
    ranges: dict[str, f.Range] = field(default_factory=dict)
    count: int = 0
    answer: ExpertAnswer = _NOTHING
    routed: set[str | tuple[str, str]] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    leaves: dict[tuple[str, str], tuple[tuple[int | str, ...], Fact]] = field(default_factory=dict)


@dataclass(slots=True)
class _Here:
    """What one refresh works with."""

    context: Context
    projection: Projection
    order: Facts
    symbol: str
    doubtful: set[str] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)


class Contexts:
    """All contexts of a book, oldest first."""

    def __init__(
        self, plan: Plan, rules: Iterable[Rule], live: Live, session: Session, inference: Inference | None
    ) -> None:
        self.plan = plan
        self.rules = tuple(r for r in rules if r.require is not None)
        self.timed = tuple(r for r in self.rules if _reads_time(r))
        self.live = live
        self.session = session
        self.inference = inference
        self._derived_read = {r.id: _derived_names(r, live.vocabulary) for r in self.rules}
        self.derivations: Derivations = inference.table if inference else {}
        self.chained = self._chained()
        self.derivations = {n: rules for n, rules in self.derivations.items() if n not in self.chained}
        self.totals = Totals(live)
        self.kept: dict[Key, Context] = {}
        self.next = 1
        self._needs = {v.name: _Needs.of(v) for group in plan.variants.values() for v in group}
        self._builders: dict[str, Builder] = {}
        self._context_builder = session.builder("context")

    def _chained(self) -> frozenset[str]:
        """Derived names that rules read as CLIPS derives them: those of the ordered instrument, outside sums."""
        read = frozenset().union(*self._derived_read.values())
        terms = [t for r in self.rules for t in (r.when, r.require) if t is not None]
        sums = [n for t in terms for n in t.walk() if isinstance(n, Aggregate)]
        inside = {n.name for s in sums for n in s.walk() if isinstance(n, Field)}
        return frozenset(n for n in read - inside if n.split(".")[0] in NAMED and n in self.derivations)

    # ---- finding -------------------------------------------------------------------------------

    def get(self, key: Key, order: Facts) -> Context:
        """The up-to-date context of an order."""
        context = self.kept.get(key)
        if context is None:
            context = self._new(key)
        if context.tick == self.live.tick:
            return context
        live, state = self.live, context.state
        timed_only = (
            context.epoch == live.epoch
            and context.state_version == state.version
            and context.instrument_version == live.instrument_version[key[1]]
            and (context.expires is None or live.snapshot.time <= context.expires)
        )
        if not timed_only or context.time_epoch != live.time_epoch:
            self._refresh(context, order, self.timed if timed_only else self.rules)
        context.tick = live.tick
        return context

    def _new(self, key: Key) -> Context:
        if len(self.kept) >= CONTEXTS_MAX:
            self._forget(next(iter(self.kept)))
        number, self.next = self.next, self.next + 1
        builder = self._context_builder
        atom = self.session.kept_integer(number)
        self.session.put(builder, b"ctx", atom)
        context = Context(key, number, atom, self.live.accounts[key[0]], self.session.add(builder))
        self.kept[key] = context
        return context

    def _forget(self, key: Key) -> None:
        context = self.kept.pop(key)
        for _, fact in context.leaves.values():
            self.session.drop(fact)
        self.session.drop(context.fact)

    # ---- bringing up to date ---------------------------------------------------------------------

    def _refresh(self, context: Context, order: Facts, rules: tuple[Rule, ...]) -> None:
        account, symbol = context.key[0], context.key[1]
        here = _Here(context, self.live.projection(account, (order,)), order, symbol)
        if rules is self.rules:
            self._set_caps(context, symbol)
            context.expires = self.live.expiry(symbol)
            context.counts.clear()
            context.routed.clear()
            self._derive(here)
        for rule in rules:
            self._refresh_rule(rule, here)
        context.count = sum(context.counts.values())
        derived, fired = context.answer.derived, context.answer.fired
        context.answer = ExpertAnswer(frozenset(), context.count, derived, fired)
        touched = {r.id for r in rules}
        for key in [k for k in context.leaves if k not in here.seen and self._needs[k[0]].rule in touched]:
            self.session.drop(context.leaves.pop(key)[1])
        live = self.live
        context.epoch, context.time_epoch = live.epoch, live.time_epoch
        context.state_version = context.state.version
        context.instrument_version = live.instrument_version[symbol]

    def _derive(self, here: _Here) -> None:
        """Let CLIPS derive the facts of the ordered instrument, and put them where the leaves are read."""
        if self.inference is None:
            return
        facts = self.live.instruments.get(here.symbol, {})
        for name in self.chained:
            facts.pop(name, None)
        asked = [(r, Subject(r.for_each, here.symbol, facts)) for r in self.inference.rules if r.for_each in NAMED]
        look, points = self.inference.look(here.projection, asked)
        doubtful = {name for rule, _ in look.unknown for name, _ in self.inference.chain.rules[rule].rule.derive}
        values: dict[str, set[Value]] = {}
        for found in look.derived:
            values.setdefault(found.name, set()).add(found.value)
        here.doubtful = doubtful | {name for name, several in values.items() if len(several) > 1}
        if look.unsure:
            here.doubtful |= self.chained
        facts.update((n, next(iter(v))) for n, v in values.items() if n in self.chained and n not in here.doubtful)
        here.context.answer = ExpertAnswer(frozenset(), 0, tuple(look.derived), self.inference.trace(look, points))

    def _set_caps(self, context: Context, symbol: str) -> None:
        """The largest quantity and price the leaves are prepared for, in the slots' own scales."""
        mark = self.live.instruments.get(symbol, {}).get("instrument.mark")
        context.caps, context.ranges = {}, {}
        for name in self.plan.slots:
            if name.minimum is None or name.maximum is None:
                continue
            low, high = name.minimum, name.maximum
            if isinstance(mark, Fraction) and name.name in ("order.price", "order.stop_price"):
                high = min(high, PRICE_CAP * mark)
            if isinstance(mark, Fraction) and name.name == "order.quantity":
                high = min(high, NOTIONAL_CAP / mark)
            scale = 10**name.scale
            # A slot that was not put holds 0.
            caps = (min(0, int(low * scale)), int(high * scale))
            context.caps[name.name] = context.ranges[variable_of(name.name)] = caps

    def _refresh_rule(self, rule: Rule, here: _Here) -> None:
        subjects = subjects_of(rule, here.projection)
        here.context.counts[rule.id] = len(subjects)
        variants = self.plan.variants.get(rule.id)
        pairs = {(rule.id, s.key) for s in subjects}
        here.context.routed.discard(rule.id)
        here.context.routed -= pairs
        for subject in subjects:
            if variants is None or not self._prepare(rule, variants, subject, here):
                self._route(rule, subject, here)

    def _route(self, rule: Rule, subject: Subject, here: _Here) -> None:
        # An order's identifier is different every time, so its rule is routed as a whole.
        here.context.routed.add(rule.id if rule.for_each == "order" else (rule.id, subject.key))
        for name in [v.name for v in self.plan.variants.get(rule.id, ())]:
            here.seen.discard((name, _label(rule, subject)))

    def _prepare(self, rule: Rule, variants: tuple[Variant, ...], subject: Subject, here: _Here) -> bool:
        """Whether CLIPS can judge the rule for the subject; its leaf facts are in the session then."""
        if not subject.key or here.doubtful & self._derived_read[rule.id]:
            return False
        reading = Reading(self.live, here.context.state, subject, self.derivations)
        try:
            if rule.when is not None and is_static(rule.when) and not value(rule.when, reading.at(here.projection)):
                return all(v.template for v in variants)
            ready = [(v, self._values(v, reading, here)) for v in variants]
        except (MissingFactError, f.WideError, _OutsideError):
            return False
        for variant, values in ready:
            if variant.template:
                self._put(variant, _label(rule, subject), values, here)
        return True

    # ---- leaves --------------------------------------------------------------------------------

    def _values(self, variant: Variant, reading: Reading, here: _Here) -> tuple[int | str, ...]:
        """The leaf slots' values, the denominator first. Raises when CLIPS cannot be given them."""
        self._needs[variant.name].check(reading.subject, here)
        raw = [self._leaf(leaf, reading, here) for leaf in variant.lowered.leaves]
        nodes = (variant.lowered.broken, variant.lowered.passive)
        return prepared(variant.lowered.leaves, raw, nodes, here.context.ranges)

    def _leaf(self, leaf: Leaf, reading: Reading, here: _Here) -> Any:
        state, symbol = reading.state, here.symbol
        match leaf.what:
            case "term":
                return value(cast(Term, leaf.term), self._at(leaf, reading, here))
            case "counted":
                return Fraction(bool(value(cast(Term, leaf.term), self._at(leaf, reading, here))))
            case "old":
                total = self._total(leaf, False, reading, here)
                # A name the account has nothing of is not in the total, but is among the positions once ordered.
                return total.sum if symbol in state.symbols() else total.sum + linear_share(leaf.atoms, symbol, reading)
            case "others":
                total = self._total(leaf, True, reading, here)
                return total.sum - total.shares.get(symbol, Fraction(0))
            case "at-low" | "at-high":
                fills = end_fills(state, symbol)[leaf.what == "at-high"]
                return excess_of(leaf.atoms, symbol, reading, fills, ())
            case "slope":
                return self._slope(leaf, reading, here)
            case "held":
                return _held(state, symbol)
        low, high = end_fills(state, symbol)
        if leaf.what == "low":
            return _held(state, symbol) - sum(low.values(), Fraction(0))
        return _held(state, symbol) + sum(high.values(), Fraction(0))

    def _total(self, leaf: Leaf, convex: bool, reading: Reading, here: _Here) -> Total:
        """The running total; the context is good for as long as it."""
        total = self.totals.of(leaf.atoms, convex, reading)
        if total.expires is not None:
            here.context.expires = (
                total.expires if here.context.expires is None else min(total.expires, here.context.expires)
            )
        return total

    def _slope(self, leaf: Leaf, reading: Reading, here: _Here) -> Fraction:
        """What one share more of the ordered name adds, found by letting one share of the order fill."""
        one = {("order", str(here.order["order.id"])): Fraction(1)}
        orders = (here.order,)
        step = excess_of(leaf.atoms, here.symbol, reading, one, orders)
        step -= excess_of(leaf.atoms, here.symbol, reading, {}, orders)
        return step if here.order[SIDE] == BUY else -step

    def _at(self, leaf: Leaf, reading: Reading, here: _Here) -> Point:
        if leaf.frame == "order":
            return reading.at(here.projection, Subject("order", str(here.order["order.id"]), here.order))
        if leaf.frame == "position":
            return reading.at(here.projection, Subject("position", here.symbol, here.projection.positions[here.symbol]))
        return reading.at(here.projection)

    def _put(self, variant: Variant, label: str, values: tuple[int | str, ...], here: _Here) -> None:
        """Assert the leaf fact, in place of one with other values."""
        key = (variant.name, label)
        here.seen.add(key)
        old = here.context.leaves.get(key)
        if old is not None:
            if old[0] == values:
                return
            self.session.drop(old[1])
            del here.context.leaves[key]
        session, builder = self.session, self._builder(variant.template)
        session.put(builder, b"ctx", here.context.atom)
        session.put(builder, b"subject", session.loose_symbol(label))
        put_leaves(session, builder, values)
        here.context.leaves[key] = (values, session.add(builder))

    def _builder(self, template: str) -> Builder:
        if template not in self._builders:
            self._builders[template] = self.session.builder(template)
        return self._builders[template]


class _OutsideError(Exception):
    """The order or its position is not among what the rule's sums count."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What must be counted in the rule's sums for a variant's formulas to hold: the order, the ordered name."""

    rule: str
    order: tuple[Aggregate, ...]
    position: tuple[Aggregate, ...]

    @classmethod
    def of(cls, variant: Variant) -> _Needs:
        """What a variant's rule sums over."""
        rule = variant.rule
        terms = [t for t in (rule.when, rule.require) if t is not None]
        sums = [n for t in terms for n in t.walk() if isinstance(n, Aggregate) and not is_static(n)]
        return cls(
            rule.id,
            tuple(s for s in sums if s.collection == "order"),
            tuple(s for s in sums if s.collection == "position"),
        )

    def check(self, subject: Subject, here: _Here) -> None:
        """Raise `_OutsideError` when a sum leaves out what the formulas take for counted."""
        for collection, sums in (("order", self.order), ("position", self.position)):
            member = here.order if collection == "order" else here.projection.positions[here.symbol]
            for term in sums:
                owner = account_subject(here.projection) if term.owner == "account" else subject
                if not belongs(here.projection, owner, collection, member):
                    raise _OutsideError


def _label(rule: Rule, subject: Subject) -> str:
    return THIS if rule.for_each == "order" else subject.key


def _held(state: Account, symbol: str) -> Fraction:
    return cast(Fraction, state.positions.get(symbol, {}).get("position.before.quantity", Fraction(0)))


def _derived_names(rule: Rule, vocabulary: Vocabulary) -> frozenset[str]:
    terms = [t for t in (rule.when, rule.require) if t is not None]
    names = {n.name for t in terms for n in t.walk() if isinstance(n, Field)}
    return frozenset(n for n in names if vocabulary.names[n].derived)


def _reads_time(rule: Rule) -> bool:
    terms = [t for t in (rule.when, rule.require) if t is not None]
    names = [n.name for t in terms for n in t.walk() if isinstance(n, Field)]
    return any(name.startswith(TIME) for name in names)
