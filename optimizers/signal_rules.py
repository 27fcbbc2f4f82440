"""The signal rules run by two evaluators that must agree.

In: rules, a snapshot, an account. Out: `Reacted`: what the `then` rules of phase `signal` ask for and what the
`derive` rules made known, exact. Guaranteed: CLIPS (`engine/expert/inference.py`) and the reference meaning
(`engine/react.py`) both run, and every act, every derived fact and every rule that could not be decided is the same
from both. Refused (`UndecidedError`): any difference; ExpertError from CLIPS. A rule that cannot be decided for want
of a fact becomes a skip of the signals it is about, in so many words: a signal must not pass a check that could not
be made. Before: `engine/react.py`, `engine/expert/`. After: `signals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import derivations
from lexorder.engine.names import Vocabulary
from lexorder.engine.react import Act, Reactions, Unknown, react
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Snapshot, Subject, project
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.optimizers.refusals import UndecidedError

Fact = tuple[str, str, str, str]
"""A derived fact: name, subject, value as text, rule."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """One action of one rule on one subject: `kind` and arguments as in `engine.react.Act`."""

    rule: str
    title: str
    entity: str
    subject: str
    kind: str
    arguments: tuple[tuple[str, Fraction | str], ...]

    def argument(self, name: str) -> Fraction | str | None:
        """One argument, or None."""
        return dict(self.arguments).get(name)


@dataclass(frozen=True, slots=True)
class Reacted:
    """What the signal rules did: reactions by priority and rule, and derived facts."""

    reactions: tuple[Reaction, ...]
    derived: tuple[Fact, ...] = ()


class Reactor(Protocol):
    """Whoever runs the signal rules."""

    def __call__(self, rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot, account: str, /) -> Reacted:
        """Run the rules of phase `signal` over everything they can be about."""
        ...


def agreed(rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot, account: str, /) -> Reacted:
    """Both evaluators, which must agree. Raises UndecidedError."""
    seen = project(snapshot, vocabulary, account, ())
    exact, facts = react(rules, seen, Phase.SIGNAL), sorted(derived_facts(rules, seen))
    by_clips, clips_facts = _by_clips(rules, vocabulary, seen)
    if exact.key != by_clips.key or facts != clips_facts:
        raise UndecidedError("what the signal rules ask for, on which the two evaluators agree")
    return _reacted(rules, exact, facts)


def by_reference(rules: Sequence[Rule], vocabulary: Vocabulary, snapshot: Snapshot, account: str, /) -> Reacted:
    """The reference meaning alone: for tests and replays."""
    seen = project(snapshot, vocabulary, account, ())
    return _reacted(rules, react(rules, seen, Phase.SIGNAL), sorted(derived_facts(rules, seen)))


def _by_clips(rules: Sequence[Rule], vocabulary: Vocabulary, seen: Projection) -> tuple[Reactions, list[Fact]]:
    from lexorder.engine.expert.inference import Inference

    inference = Inference(rules, vocabulary)
    try:
        acts = inference.react(seen, Phase.SIGNAL)
        asked = [pair for pair in _deriving(rules, seen) if pair[1].key]
        found = inference.look(seen, asked)[0].derived
    finally:
        inference.close()
    return acts, sorted((d.name, d.subject, str(d.value), d.rule) for d in found)


def _deriving(rules: Sequence[Rule], seen: Projection) -> Iterator[tuple[Rule, Subject]]:
    """The derive rules with everything they can be about."""
    for rule in rules:
        if rule.derive:
            yield from ((rule, subject) for subject in subjects_of(rule, seen))


def derived_facts(rules: Sequence[Rule], seen: Projection) -> Iterator[Fact]:
    """What the derive rules make known; where one cannot be decided it makes nothing known."""
    table = derivations(rules)
    for rule, subject in _deriving(rules, seen):
        at = Point(seen, (account_subject(seen), subject), {}, table)
        try:
            if rule.when is None or value(rule.when, at):
                yield from [(name, subject.key, str(value(term, at)), rule.id) for name, term in rule.derive]
        except MissingFactError:
            continue  # what reads the fact is undecided itself, or has the vocabulary's default


def _reacted(rules: Sequence[Rule], found: Reactions, facts: Sequence[Fact]) -> Reacted:
    by_id = {rule.id: rule for rule in rules}
    acts = [_reaction(by_id[act.rule], act) for act in found.acts]
    skips = [_skipping(by_id[unknown.rule], unknown) for unknown in found.unknown]
    return Reacted((*acts, *skips), tuple(facts))


def _reaction(rule: Rule, act: Act) -> Reaction:
    arguments = tuple((name, v if isinstance(v, Fraction) else str(v)) for name, v in act.arguments)
    return Reaction(rule.id, rule.title, rule.for_each, act.subject, act.kind, arguments)


def _skipping(rule: Rule, unknown: Unknown) -> Reaction:
    reason = (("reason", f"undecided, {unknown.why}"),)
    return Reaction(rule.id, rule.title, rule.for_each, unknown.subject, "skip", reason)
