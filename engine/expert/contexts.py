"""What CLIPS must know before an order comes: prepared leaves for one account, symbol, trader, strategy and side.

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
from typing import Any

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.emit import THIS, Plan, Variant
from lexorder.engine.expert.inference import Inference
from lexorder.engine.expert.leaves import SlotValues, prepared, put_leaves
from lexorder.engine.expert.live import Account, Live, is_timed
from lexorder.engine.expert.lowered import variable_of
from lexorder.engine.expert.prepare import Here, OutsideError, Preparer
from lexorder.engine.expert.session import Builder, Fact, Session
from lexorder.engine.judge import Derivations
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import ExpertAnswer
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import MissingFactError, Subject
from lexorder.engine.subjects import NAMED
from lexorder.engine.terms import Aggregate, Field, Value

CONTEXTS_MAX = 4_096
"""Contexts kept at a time."""
NOTIONAL_CAP = 10**8
"""Orders above this many units of local money (at the mark) are left to the exact evaluator, so that leaves fit."""
PRICE_CAP = 4
"""And so are orders priced above this many times the mark."""

Key = tuple[str, str, str | None, str | None, str]
"""Account, symbol, trader, strategy, side."""


@dataclass(frozen=True, slots=True)
class Asserted:
    """A leaf fact in the session: the exact values, the slots made of them, and the caps they were proved for."""

    raw: tuple[Value, ...]
    values: SlotValues
    caps: dict[str, f.Range]
    fact: Fact


_NOTHING = ExpertAnswer(frozenset(), 0)


@dataclass(slots=True)
class Context:
    """Prepared leaves.

    `routed` are rules and (rule, subject) pairs left to the exact verdict, `count` how many verdicts there are, and
    `answer` what is said when nothing is found. `caps` bound the order's numbers, in the slots' scales; `doubtful` are
    derived names that are not known.
    """

    key: Key
    atom: Any
    state: Account
    fact: Fact
    tick: int = -1
    instrument_version: int = -1
    facts_version: int = -1
    logs: int = -1
    seen: int = 0
    epoch: int = -1
    time_epoch: int = -1
    trader_version: int = -1
    expires: datetime | None = None
    caps: dict[str, f.Range] = field(default_factory=dict)
    ranges: dict[str, f.Range] = field(default_factory=dict)
    count: int = 0
    answer: ExpertAnswer = _NOTHING
    routed: set[str | tuple[str, str]] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    leaves: dict[tuple[str, str], Asserted] = field(default_factory=dict)


class Contexts:
    """All contexts of a book, oldest first."""

    def __init__(
        self, plan: Plan, rules: Iterable[Rule], live: Live, session: Session, inference: Inference | None
    ) -> None:
        self.plan = plan
        self.rules = tuple(r for r in rules if r.require is not None)
        self.timed = tuple(r for r in self.rules if _reads_time(r, live.vocabulary))
        self.wide = tuple(r for r in self.rules if _sums(r))
        if inference is not None and any(_sums(r) for r in inference.rules):
            self.wide = self.rules
        self.live = live
        self.session = session
        self.inference = inference
        self._derived_read = {r.id: _derived_names(r, live.vocabulary) for r in self.rules}
        self.derivations: Derivations = inference.table if inference else {}
        self.chained = self._chained()
        self.derivations = {n: rules for n, rules in self.derivations.items() if n not in self.chained}
        self.kept: dict[Key, Context] = {}
        self._made = 0
        self._free: list[Any] = []
        """Numbers of contexts that went: CLIPS keeps each for the life of the session, so they are used again."""
        self._of_side = {
            (rule, side): tuple(v for v in group if side in v.sides)
            for rule, group in plan.variants.items()
            for side in plan.sides
        }
        self._rule_of = {v.name: v.rule.id for group in plan.variants.values() for v in group}
        self.preparer = Preparer(plan, self.rules, live, self.derivations)
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
        rules = self._stale(context)
        if rules:
            self._refresh(context, order, rules)
        context.tick = self.live.tick
        return context

    def _stale(self, context: Context) -> tuple[Rule, ...]:
        """The rules to look at again: all of them, those that sum over the account, those that read the time."""
        live, state, symbol = self.live, context.state, context.key[1]
        if (
            context.epoch != live.epoch
            or context.trader_version != live.trader_version[context.key[2] or ""]
            or context.facts_version != state.facts_version
            or context.instrument_version != live.instrument_version[symbol]
            or context.logs != state.logs
            or symbol in state.log[context.seen :]
            or (context.expires is not None and live.snapshot.time > context.expires)
        ):
            return self.rules
        rules = self.wide if context.seen != len(state.log) else ()
        if context.time_epoch != live.time_epoch:
            return tuple(r for r in self.rules if r in rules or r in self.timed)
        return rules

    def _new(self, key: Key) -> Context:
        if len(self.kept) >= CONTEXTS_MAX:
            self._forget(next(iter(self.kept)))
        if not self._free:
            self._made += 1
            self._free.append(self.session.kept_integer(self._made))
        atom = self._free.pop()
        self.session.put(self._context_builder, b"ctx", atom)
        context = Context(key, atom, self.live.accounts[key[0]], self.session.add(self._context_builder))
        self.kept[key] = context
        return context

    def _forget(self, key: Key) -> None:
        context = self.kept.pop(key)
        for asserted in context.leaves.values():
            self.session.drop(asserted.fact)
        self.session.drop(context.fact)
        self._free.append(context.atom)

    # ---- bringing up to date ---------------------------------------------------------------------

    def _refresh(self, context: Context, order: Facts, rules: tuple[Rule, ...]) -> None:
        account, symbol = context.key[0], context.key[1]
        here = Here(context.state, self.live.projection(account, (order,)), order, symbol)
        if rules is self.rules:
            self._set_caps(context, symbol)
            context.expires = self.live.expiry(symbol)
            context.counts.clear()
            context.routed.clear()
            self._derive(context, here)
        for rule in rules:
            self._refresh_rule(rule, context, here)
        context.count = sum(context.counts.values())
        derived, fired = context.answer.derived, context.answer.fired
        context.answer = ExpertAnswer(frozenset(), context.count, derived, fired)
        touched = {r.id for r in rules}
        for key in [k for k in context.leaves if k not in here.seen and self._rule_of[k[0]] in touched]:
            self.session.drop(context.leaves.pop(key).fact)
        if here.expires is not None:
            context.expires = here.expires if context.expires is None else min(context.expires, here.expires)
        live, state = self.live, context.state
        context.epoch, context.time_epoch = live.epoch, live.time_epoch
        context.trader_version = live.trader_version[context.key[2] or ""]
        context.facts_version, context.logs, context.seen = state.facts_version, state.logs, len(state.log)
        context.instrument_version = live.instrument_version[symbol]

    def _derive(self, context: Context, here: Here) -> None:
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
        context.doubtful = doubtful | {name for name, several in values.items() if len(several) > 1}
        if look.unsure:
            context.doubtful |= self.chained
        facts.update((n, next(iter(v))) for n, v in values.items() if n in self.chained and n not in context.doubtful)
        context.answer = ExpertAnswer(frozenset(), 0, tuple(look.derived), self.inference.trace(look, points))

    def _set_caps(self, context: Context, symbol: str) -> None:
        """The largest quantity and price the leaves are prepared for, in the slots' own scales."""
        mark = self.live.instruments.get(symbol, {}).get("instrument.mark")
        found: dict[str, f.Range] = {}
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
            found[name.name] = (min(0, int(low * scale)), int(high * scale))
        if found != context.caps:
            context.caps = found
            context.ranges = {variable_of(name): caps for name, caps in found.items()}

    def _refresh_rule(self, rule: Rule, context: Context, here: Here) -> None:
        subjects = self.preparer.subjects(rule, here)
        context.counts[rule.id] = len(subjects)
        variants = self._of_side.get((rule.id, context.key[4]))
        context.routed.discard(rule.id)
        context.routed -= {(rule.id, s.key) for s in subjects}
        for subject in subjects:
            if variants is None or not self._prepare(rule, variants, subject, context, here):
                # An order's identifier is different every time, so its rule is routed as a whole.
                context.routed.add(rule.id if rule.for_each == "order" else (rule.id, subject.key))

    def _prepare(
        self, rule: Rule, variants: tuple[Variant, ...], subject: Subject, context: Context, here: Here
    ) -> bool:
        """Whether CLIPS can judge the rule for the subject; its leaf facts are in the session then."""
        if not subject.key or context.doubtful & self._derived_read[rule.id]:
            return False
        try:
            if not self.preparer.applies(rule, subject, here):
                return all(v.template for v in variants)
            ready = [(v, self.preparer.raw(v, subject, here)) for v in variants]
            label = _label(rule, subject)
            proved = [(v, raw, self._proved(v, label, raw, context)) for v, raw in ready]
        except (MissingFactError, f.WideError, OutsideError):
            return False
        for variant, raw, values in proved:
            if variant.template:
                here.seen.add((variant.name, label))
                self._put(variant, label, raw, values, context)
        return True

    def _proved(self, variant: Variant, label: str, raw: tuple[Value, ...], context: Context) -> SlotValues:
        """The slot values of exact leaf values; what was proved before need not be proved again."""
        old = context.leaves.get((variant.name, label))
        if old is not None and old.raw == raw and old.caps is context.caps:
            return old.values
        nodes = (variant.lowered.broken, variant.lowered.passive)
        return prepared(variant.lowered.leaves, raw, nodes, context.ranges)

    def _put(self, variant: Variant, label: str, raw: tuple[Value, ...], values: SlotValues, context: Context) -> None:
        """Assert the leaf fact, in place of one with other values."""
        key = (variant.name, label)
        old = context.leaves.pop(key, None)
        if old is not None and old.values == values:
            context.leaves[key] = Asserted(raw, values, context.caps, old.fact)
            return
        if old is not None:
            self.session.drop(old.fact)
        session, builder = self.session, self._builder(variant.template)
        session.put(builder, b"ctx", context.atom)
        session.put(builder, b"subject", session.loose_symbol(label))
        put_leaves(session, builder, values)
        context.leaves[key] = Asserted(raw, values, context.caps, session.add(builder))

    def _builder(self, template: str) -> Builder:
        if template not in self._builders:
            self._builders[template] = self.session.builder(template)
        return self._builders[template]


def _label(rule: Rule, subject: Subject) -> str:
    return THIS if rule.for_each == "order" else subject.key


def _sums(rule: Rule) -> bool:
    """Whether a rule's verdict for one name can change by what happens to another."""
    terms = [t for t in (rule.when, rule.require, *(t for _, t in rule.derive)) if t is not None]
    return any(isinstance(n, Aggregate) and n.collection != "order" for t in terms for n in t.walk())


def _derived_names(rule: Rule, vocabulary: Vocabulary) -> frozenset[str]:
    terms = [t for t in (rule.when, rule.require) if t is not None]
    names = {n.name for t in terms for n in t.walk() if isinstance(n, Field)}
    return frozenset(n for n in names if vocabulary.names[n].derived)


def _reads_time(rule: Rule, vocabulary: Vocabulary) -> bool:
    return any(is_timed(t, vocabulary) for t in (rule.when, rule.require) if t is not None)
