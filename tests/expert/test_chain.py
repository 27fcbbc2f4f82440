"""Derived facts that chain in CLIPS: every state of a few facts, missing ones included, beside the plain evaluator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.chain import UNKNOWN, chain
from lexorder.engine.expert.inference import Inference
from lexorder.engine.facts import load_snapshot
from lexorder.engine.judge import derivations
from lexorder.engine.react import react
from lexorder.engine.reference import derived_facts
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.snapshot import Projection, Subject, project
from lexorder.engine.terms import Literal
from tests.expert.books import rules
from tests.worlds import VOCABULARY, world

FACTS = {
    "volatility": (None, "1%", "9%"),
    "volume_spike": (None, "1", "3"),
    "return_10s": (None, "0", "-3%"),
}
"""Each fact: not there, not enough, enough."""


def derive(name: str, when: str, value: str, target: str = "market.regime", for_each: str = "market") -> str:
    guard = f"when: {when}\n" if when else ""
    return f"rule: {name}\ntitle: T\nfor_each: {for_each}\nphases: [monitor]\n{guard}derive: {{{target}: {value}}}"


def warn(name: str, when: str, for_each: str = "instrument") -> str:
    return f"rule: {name}\ntitle: T\nfor_each: {for_each}\nphases: [monitor]\nwhen: {when}\nthen: [{{alert: warning}}]"


HIGH, MANY, FALL = "market.volatility > 5%", "market.volume_spike > 2", "market.return_10s < -1%"
CONFLICT = "market.signals_conflict"
BOOKS: dict[str, tuple[str, ...]] = {
    "one rule": (derive("a", HIGH, "VOLATILE"), warn("w", "market.regime == VOLATILE")),
    "the contrary": (derive("a", HIGH, "VOLATILE"), warn("w", "market.regime != VOLATILE")),
    "the default": (derive("a", HIGH, "VOLATILE"), warn("w", "market.regime == NORMAL")),
    "either of two": (
        derive("a", HIGH, "VOLATILE"),
        derive("b", MANY, "VOLATILE"),
        warn("w", "market.regime == VOLATILE"),
    ),
    "both at once": (derive("a", f"{HIGH} and {MANY}", "VOLATILE"), warn("w", "market.regime == VOLATILE")),
    "one of many": (derive("a", f"{HIGH} or {MANY}", "VOLATILE"), warn("w", "market.regime == VOLATILE")),
    "a choice": (
        derive("a", MANY, '"if market.volatility > 5% then VOLATILE else NORMAL"'),
        warn("w", "market.regime == VOLATILE"),
    ),
    "without a condition": (derive("a", "", "VOLATILE"), warn("w", "market.regime == VOLATILE and " + HIGH)),
    "two strata": (
        derive("a", HIGH, "VOLATILE"),
        derive("b", f"market.regime == VOLATILE and {MANY}", '"true"', CONFLICT),
        warn("w", CONFLICT),
        warn("v", f"not {CONFLICT} or {FALL}"),
    ),
    "two strata and a shortcut": (
        derive("a", HIGH, "VOLATILE"),
        derive("b", "market.regime == VOLATILE", '"true"', CONFLICT),
        derive("c", FALL, '"true"', CONFLICT),
        warn("w", f"{CONFLICT} and market.regime == NORMAL"),
    ),
    "read by a missing fact": (derive("a", HIGH, "VOLATILE"), warn("w", f"market.regime == VOLATILE and {FALL}")),
    "read beside a missing fact": (derive("a", HIGH, "VOLATILE"), warn("w", f"market.regime == VOLATILE or {FALL}")),
    "what CLIPS is told": (
        derive("a", "sum(position.after.quantity) >= 0 and " + HIGH, "VOLATILE"),
        warn("w", "market.regime == VOLATILE"),
    ),
}


def states() -> Iterator[dict[str, str]]:
    """Every state of the facts."""
    for values in product(*FACTS.values()):
        yield {name: value for name, value in zip(FACTS, values, strict=True) if value is not None}


def seen_with(facts: dict[str, str]) -> Projection:
    others = [{"symbol": s, "volatility": "1%", "volume_spike": "1", "return_10s": "0"} for s in ("BETA", "COCO")]
    document = world(market=[{"symbol": "ACME", **facts}, *others])
    return project(load_snapshot(document, VOCABULARY), VOCABULARY, "A", ())


@pytest.mark.parametrize("texts", BOOKS.values(), ids=BOOKS)
def test_every_state_of_the_facts(texts):
    """Who reacts, who cannot be known: the same as by the plain evaluator, and nothing stays for the next look."""
    book = rules(*texts)
    inference = Inference(book, VOCABULARY)
    kinds = set()
    for facts in states():
        seen = seen_with(facts)
        found, expected = inference.react(seen, Phase.MONITOR), react(book, seen, Phase.MONITOR)
        assert found.key == expected.key, facts
        kinds.add((bool(expected.acts), bool(expected.unknown)))
        for template in ("fired", "derived", "known", "doubt", "unsure", "unknown", "demand", "look"):
            assert list(inference.session.facts(template)) == []
    assert len(kinds) > 1
    inference.close()


@pytest.mark.parametrize("texts", BOOKS.values(), ids=BOOKS)
def test_what_is_derived_is_what_the_plain_evaluator_derives(texts):
    """Asked about the ordered name, as a check asks."""
    book = rules(*texts)
    inference = Inference(book, VOCABULARY)
    deriving = [r for r in book if r.derive]
    for facts in states():
        bare = seen_with(facts)
        seen = replace(bare, orders=({"order.id": "O", "order.symbol": "ACME"},))
        subject = Subject("market", "ACME", seen.snapshot.instruments["ACME"])
        look, _ = inference.look(seen, [(r, subject) for r in deriving])
        expected = {(d.name, d.value, d.rule) for d in derived_facts(book, seen)}
        found = {(d.name, d.value, d.rule) for d in look.derived if d.subject == "ACME"}
        if not look.unsure:
            assert found == expected, facts
    inference.close()


class TestDiffering:
    """Two rules, two values: nobody may act on either."""

    def book(self) -> tuple[Rule, ...]:
        book = rules(
            derive("a", HIGH, "VOLATILE"), derive("b", MANY, "VOLATILE"), warn("w", "market.regime == VOLATILE")
        )
        b = next(r for r in book if r.id == "b")
        normal = Literal(b.derive[0][1].unit, "NORMAL")
        return tuple(replace(r, derive=(("market.regime", normal),)) if r.id == "b" else r for r in book)

    def test_in_every_state(self):
        book = self.book()
        inference = Inference(book, VOCABULARY)
        for facts in states():
            seen = seen_with(facts)
            assert inference.react(seen, Phase.MONITOR).key == react(book, seen, Phase.MONITOR).key, facts

    def test_a_look_in_doubt_says_so(self):
        inference = Inference(self.book(), VOCABULARY)
        found = inference.react(seen_with({"volatility": "9%", "volume_spike": "3", "return_10s": "0"}), Phase.MONITOR)
        assert [fired.rule for fired in found.fired] == ["exact"]
        assert [(u.rule, u.subject) for u in found.unknown] == [("w", "ACME")]


class TestOrder:
    """A name is settled after those who derive it and before those who read it."""

    def test_saliences(self):
        book = rules(*BOOKS["two strata"])
        made = chain(book, VOCABULARY)
        salience = {
            match.group(1): int(match.group(2))
            for text in made.constructs
            if (match := re.match(r"\(defrule (\S+) \(declare \(salience (-?\d+)\)\)", text))
        }
        order = [salience[name] for name in ("a", "market.regime-one", "b", "market.signals_conflict-one", "w")]
        assert order == sorted(order, reverse=True)
        assert len(set(order)) == len(order)
        for name in ("market.regime", "market.signals_conflict"):
            assert len({salience[f"{name}-{how}"] for how in ("default", "one", "two", "doubt")}) == 1
        assert salience["look-done"] == min(salience.values())

    def test_makers_and_table(self):
        book = rules(*BOOKS["two strata and a shortcut"])
        made = chain(book, VOCABULARY)
        assert {name: [r.id for r in found] for name, found in made.makers.items()} == {
            name: [r.id for r in found] for name, found in derivations(book).items()
        }
        assert set(made.rules) == {"a", "b", "c", "w"}


class TestText:
    def test_a_condition_that_is_told_has_its_reason(self):
        made = chain(rules(*BOOKS["what CLIPS is told"]), VOCABULARY)
        assert made.rules["a"].why_not
        assert made.rules["a"].condition == f.YES
        assert not any(t.startswith("(deftemplate leaves-a ") for t in made.constructs)
        texts = [t for t in made.constructs if t.startswith("(deftemplate told-")]
        assert len(texts) == 2

    def test_an_amount_is_not_derived_by_clips(self):
        book = rules(derive("a", HIGH, "VOLATILE"))
        amount = tuple(
            replace(r, derive=(("market.regime", Literal(VOCABULARY.names["account.nav"].unit, 1)),))  # type: ignore[arg-type]
            for r in book
        )
        assert chain(amount, VOCABULARY).rules["a"].why_not == "it derives an amount"

    @pytest.mark.parametrize("name", ["9a", "a b", "a)", "", "a" * 121, "(halt)"])
    def test_a_name_that_is_no_symbol_is_refused(self, name):
        (rule,) = rules(derive("a", HIGH, "VOLATILE"))
        with pytest.raises(ExpertError, match="expert-construct"):
            chain((replace(rule, id=name),), VOCABULARY)

    def test_nothing_to_chain_is_an_empty_chain(self):
        (rule,) = rules("rule: r\ntitle: T\nrequire: order.quantity <= 5")
        made = chain((rule,), VOCABULARY)
        assert (made.rules, made.makers) == ({}, {})

    def test_no_value_can_be_taken_for_the_unknown_one(self):
        words = [w for n in VOCABULARY.names.values() for w in n.unit.values]
        assert UNKNOWN not in words


class TestStrangeKeys:
    """Keys are facts of users: they stand in slots, never in text."""

    @pytest.mark.parametrize("symbol", ["a b", "(halt)", "unknown-value", "TRUE", "?x", "\uff27"])
    def test_a_symbol_of_any_kind(self, symbol):
        book = rules(*BOOKS["one rule"])
        document: dict[str, Any] = world(market=[{"symbol": "ACME", "volatility": "9%"}])
        snapshot = load_snapshot(document, VOCABULARY)
        facts = {**snapshot.instruments["ACME"], "instrument.symbol": symbol, "market.symbol": symbol}
        seen = project(replace(snapshot, instruments={symbol: facts}), VOCABULARY, "A", ())
        found = Inference(book, VOCABULARY).react(seen, Phase.MONITOR)
        assert found.key == react(book, seen, Phase.MONITOR).key
        assert [a.subject for a in found.acts] == [symbol]
