"""CLIPS derives facts and fires reactions: one look at a time.

In: one account's projection, and which rules are asked about which subjects. Out: what was derived, what fired, in
which order and why, what could not be known; and for a phase the `Reactions`. Guaranteed: the same as `react.react`,
which it is tested against; only what is asked for, and what that depends on, is worked out; after each look the session
is empty again, facts are kept by whoever asks. Refused by ExpertError: as in `session.py`. Where two rules differ on a
derived fact, or one could not be worked out, and something reads it, the look is answered by the exact evaluator and
says so. Before: `chain.py`, `live.py`. After: `book.py`, `optimizers/signal_rules.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from lexorder.engine.decision import Fired
from lexorder.engine.errors import ExpertError
from lexorder.engine.evaluate import Point, value
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.chain import UNKNOWN, Chain, Chained, chain, leaves_template, told_template
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.expert.leaves import prepared, put_leaves
from lexorder.engine.expert.session import Builder, Session
from lexorder.engine.facts import plain
from lexorder.engine.judge import derivations, inputs_of
from lexorder.engine.names import Vocabulary
from lexorder.engine.react import Act, Reactions, Unknown, acts_of, in_order, pairs, react
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, find
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Value
from lexorder.engine.verdict import Derived

Pair = tuple[str, str]
"""A rule's id and a subject's key."""


@dataclass(slots=True)
class Look:
    """One run's answer: (rule, key) pairs in the order they fired, derived facts, and pairs that are unknown."""

    fired: list[Pair] = field(default_factory=list)
    derived: list[Derived] = field(default_factory=list)
    unknown: dict[Pair, str] = field(default_factory=dict)
    unsure: bool = False


@dataclass(slots=True)
class _Run:
    """What one look works with."""

    projection: Projection
    pending: list[tuple[Rule, Subject]]
    points: dict[Pair, Point] = field(default_factory=dict)
    demanded: set[Pair] = field(default_factory=set)
    why: dict[Pair, str] = field(default_factory=dict)


class Inference:
    """One session with the derive rules and reactions loaded."""

    def __init__(self, rules: Sequence[Rule], vocabulary: Vocabulary) -> None:
        self.rules = tuple(rules)
        self.chain: Chain = chain(rules, vocabulary)
        self.table = derivations(rules)
        self.session = Session()
        self.session.load(self.chain.constructs)
        self._builders: dict[str, Builder] = {}
        self._values: dict[Value, str] = {}

    def close(self) -> None:
        """Give CLIPS's memory back."""
        self.session.close()

    # ---- reactions -----------------------------------------------------------------------------

    def react(self, projection: Projection, phase: Phase, only: Collection[str] | None = None) -> Reactions:
        """What the `then` rules of a phase do; `only` limits it to subjects with these keys."""
        asked = pairs(self.rules, projection, phase, only)
        look, points = self.look(projection, asked)
        if look.unsure:
            exact = react(self.rules, projection, phase, only)
            return Reactions(
                exact.acts, exact.unknown, tuple(look.derived), (Fired("exact", "", "a fact is in doubt"),)
            )
        wanted = {(rule.id, subject.key) for rule, subject in asked}
        unknown = {pair: why for pair, why in look.unknown.items() if pair in wanted}
        acts: list[Act] = []
        for pair in look.fired:
            if pair in wanted:
                try:
                    acts += acts_of(self.chain.rules[pair[0]].rule, points[pair])
                except MissingFactError as error:
                    unknown[pair] = str(error)
        return Reactions(
            in_order(acts),
            tuple(Unknown(rule, key, unknown[rule, key]) for rule, key in _as_asked(asked, unknown)),
            tuple(look.derived),
            self.trace(look, points),
        )

    def trace(self, look: Look, points: dict[Pair, Point]) -> tuple[Fired, ...]:
        """Which rules fired, in order, with the facts their conditions read."""
        return tuple(Fired(rule, key, self._why(rule, points[rule, key])) for rule, key in look.fired)

    def _why(self, rule: str, at: Point) -> str:
        when = self.chain.rules[rule].rule.when
        try:
            facts = inputs_of(when, at) if when is not None else {}
        except MissingFactError:
            return ""
        return ", ".join(f"{name} = {plain(found)}" for name, found in facts.items())

    # ---- one look ------------------------------------------------------------------------------

    def look(self, projection: Projection, asked: Iterable[tuple[Rule, Subject]]) -> tuple[Look, dict[Pair, Point]]:
        """Let the asked rules, and all they depend on, fire or not. Raises ExpertError."""
        run = _Run(projection, list(asked))
        session = self.session
        session.check_thread()
        try:
            while run.pending:
                rule, subject = run.pending.pop()
                if (rule.id, subject.key) not in run.points:
                    self._state(rule, subject, run)
            session.put(self._builder("look"), b"number", session.integer(1))
            session.add(self._builder("look"))
            if not session.run():
                raise ExpertError("expert-error", "CLIPS stopped before all rules had fired")
            return self._read(run), run.points
        finally:
            session.recover()
            lib.RetractAllFacts(session.environment)

    def _state(self, rule: Rule, subject: Subject, run: _Run) -> None:
        """Give CLIPS the leaves of one rule for one subject, or the exact answer where it cannot have them."""
        at = Point(run.projection, (account_subject(run.projection), subject), {}, self.table)
        run.points[rule.id, subject.key] = at
        chained = self.chain.rules[rule.id]
        try:
            if chained.why_not:
                raise f.WideError
            raw = [value(cast(Any, leaf.term), at) for leaf in chained.leaves]
            values = prepared(chained.leaves, raw, chained.nodes, {})
            keys = [self._demand(link.name, link.via, at, run) for link in chained.links]
        except (MissingFactError, f.WideError):
            self._tell(chained, at, run)
            return
        session, builder = self.session, self._builder(leaves_template(rule.id))
        session.put(builder, b"key", session.loose_symbol(subject.key))
        put_leaves(session, builder, values)
        for place, key in enumerate(keys):
            session.put(builder, f"y{place}".encode("ascii"), session.loose_symbol(key))
        session.add(builder)

    def _demand(self, name: str, via: str, at: Point, run: _Run) -> str:
        """The key a derived name belongs to here; sees to it that its rules are asked. Raises MissingFactError."""
        entity = name.split(".", 1)[0]
        facts, key = find(run.projection, at.stack, entity, via)
        if not key or entity == "account":
            raise MissingFactError(name, key)
        if (name, key) not in run.demanded:
            run.demanded.add((name, key))
            session, builder = self.session, self._builder("demand")
            session.put(builder, b"name", session.symbol(name))
            session.put(builder, b"key", session.loose_symbol(key))
            session.add(builder)
            run.pending += [(rule, Subject(rule.for_each, key, facts or {})) for rule in self.chain.makers[name]]
        return key

    def _tell(self, chained: Chained, at: Point, run: _Run) -> None:
        """The exact evaluator's answer on a condition, as a fact."""
        rule, key = chained.rule, at.stack[-1].key
        values: list[Value] = []
        holds = UNKNOWN
        try:
            fires = rule.when is None or bool(value(rule.when, at))
            values = [value(term, at) for _, term in rule.derive] if fires else []
            holds = "TRUE" if fires else "FALSE"
        except MissingFactError as error:
            run.why[rule.id, key] = str(error)
        session, builder = self.session, self._builder(told_template(rule.id))
        session.put(builder, b"key", session.loose_symbol(key))
        session.put(builder, b"holds", session.symbol(holds))
        for place, found in enumerate(values):
            session.put(builder, f"v{place}".encode("ascii"), session.symbol(self._spell(found)))
        session.add(builder)

    def _spell(self, found: Value) -> str:
        """A derived value as a symbol: words are themselves, anything else gets a name of its own."""
        if isinstance(found, bool):
            return "TRUE" if found else "FALSE"
        if isinstance(found, str):
            return found
        return self._values.setdefault(found, f"value {len(self._values)}")

    def _builder(self, template: str) -> Builder:
        if template not in self._builders:
            self._builders[template] = self.session.builder(template)
        return self._builders[template]

    # ---- reading back --------------------------------------------------------------------------

    def _read(self, run: _Run) -> Look:
        session, look = self.session, Look()
        look.unsure = any(True for _ in session.facts("unsure"))
        look.fired = [_pair(session, fact) for fact in session.facts("fired")]
        for fact in session.facts("unknown"):
            pair = _pair(session, fact)
            look.unknown[pair] = run.why.get(pair, "")
        spelt = {spelling: found for found, spelling in self._values.items()}
        for fact in session.facts("derived"):
            name, word = str(session.read(fact, b"name")), str(session.read(fact, b"value"))
            found: Value = spelt.get(word, word)
            if word in ("TRUE", "FALSE"):
                found = word == "TRUE"
            rule, key = _pair(session, fact)
            look.derived.append(Derived(name, key, found, rule))
        return look


def _pair(session: Session, fact: Any) -> Pair:
    return str(session.read(fact, b"rule")), str(session.read(fact, b"key"))


def _as_asked(asked: Iterable[tuple[Rule, Subject]], unknown: dict[Pair, str]) -> list[Pair]:
    return [(rule.id, subject.key) for rule, subject in asked if (rule.id, subject.key) in unknown]
