"""Generated books of reactions: the plain evaluator and CLIPS both do what a model of three truth values says."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.compose import compose
from lexorder.engine.events import InstrumentChanged
from lexorder.engine.expert.chain import chain
from lexorder.engine.expert.inference import Inference
from lexorder.engine.expert.live import Live
from lexorder.engine.facts import load_snapshot
from lexorder.engine.react import Act, Reactions, react
from lexorder.engine.rule import Phase
from lexorder.engine.rule import Rule as Loaded
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Projection, project
from tests.expert import reaction_model as model
from tests.worlds import VOCABULARY

DAY = date(2026, 6, 15)
VALUE = {
    "alert": "level",
    "skip": "reason",
    "cancel": "what",
    "scale": "factor",
    "exit": "fraction",
    "set": "trading_state",
}


def loaded(rules: tuple[model.Rule, ...]) -> tuple[Loaded, ...]:
    return RuleBook.of("".join(rule.text() for rule in rules), VOCABULARY).on(DAY)


def seen(facts: model.Market) -> Projection:
    return project(load_snapshot(model.document(facts), VOCABULARY), VOCABULARY, "A", ())


def told(found: Reactions) -> model.Expected:
    """An answer in the model's words."""
    plain = [(a.rule, a.subject, a.number, a.kind, a.argument(VALUE[a.kind])) for a in found.acts]
    return plain, {(u.rule, u.subject) for u in found.unknown}


class TestAgainstTheModel:
    @pytest.mark.parametrize("seed", range(60))
    def test_both_evaluators_do_what_the_model_says(self, seed):
        random_ = Random(f"reactions {seed}")
        rules = model.book(random_)
        book = loaded(rules)
        inference = Inference(book, VOCABULARY)
        for _ in range(4):
            facts = model.market(random_)
            expected = model.acts(rules, facts)
            assert told(react(book, seen(facts), Phase.MONITOR)) == expected
            assert told(inference.react(seen(facts), Phase.MONITOR)) == expected
        inference.close()

    def test_the_cases_are_worth_looking_at(self):
        """Enough of everything: acts, silence, what is unknown, what is derived, amounts cut off at both ends."""
        acts = unknown = silent = 0
        amounts: set[Any] = set()
        for seed in range(60):
            random_ = Random(f"reactions {seed}")
            rules = model.book(random_)
            for _ in range(4):
                done, in_doubt = model.acts(rules, model.market(random_))
                acts, unknown, silent = acts + len(done), unknown + len(in_doubt), silent + (not done)
                amounts |= {(kind, what) for _, _, _, kind, what in done}
        assert acts > 800
        assert unknown > 200
        assert silent > 10
        assert {("exit", 0), ("exit", 1), ("scale", 0), ("scale", Fraction(3, 2))} <= amounts

    def test_clips_answers_most_of_them_itself(self):
        """Conditions that are not lowered would be the exact evaluator's answers compared with themselves."""
        books = [loaded(model.book(Random(f"reactions {seed}"))) for seed in range(60)]
        chained = [c for book in books for c in chain(book, VOCABULARY).rules.values()]
        assert not [c.rule.id for c in chained if c.why_not]

    @pytest.mark.parametrize("seed", range(10))
    def test_what_is_asked_for_alone_is_what_it_is_among_all(self, seed):
        """`only` restricts the subjects, it changes nothing about them."""
        random_ = Random(f"only {seed}")
        rules, facts = model.book(random_), model.market(random_)
        book, inference = loaded(rules), Inference(loaded(rules), VOCABULARY)
        everything, in_doubt = model.acts(rules, facts)
        for wanted in ({"ACME"}, {"BETA", "COCO"}, set[str](), {"NOSUCH"}):
            expected = [a for a in everything if a[1] in wanted], {u for u in in_doubt if u[1] in wanted}
            assert told(react(book, seen(facts), Phase.MONITOR, wanted)) == expected
            assert told(inference.react(seen(facts), Phase.MONITOR, wanted)) == expected
        inference.close()

    def test_other_phases_are_silent(self):
        random_ = Random("phases")
        rules, facts = model.book(random_), model.market(random_)
        inference = Inference(loaded(rules), VOCABULARY)
        for phase in (Phase.SIGNAL, Phase.PRE_TRADE, Phase.REBALANCE):
            assert told(react(loaded(rules), seen(facts), phase)) == ([], set())
            assert told(inference.react(seen(facts), phase)) == ([], set())
        inference.close()


class TestFollowingEvents:
    @pytest.mark.parametrize("seed", range(10))
    def test_one_session_follows_changing_facts(self, seed):
        """The session is emptied after each look: nothing of an earlier market stays behind."""
        random_ = Random(f"following {seed}")
        rules = model.book(random_)
        facts: model.Market = {s: dict.fromkeys(model.FACTS, Fraction(0)) for s in model.SYMBOLS}
        live = Live(load_snapshot(model.document(facts), VOCABULARY), VOCABULARY)
        inference = Inference(loaded(rules), VOCABULARY)
        for _ in range(12):
            symbol, name = random_.choice(model.SYMBOLS), random_.choice(model.FACTS)
            facts[symbol][name] = random_.choice(model.LEVELS)
            live.apply(InstrumentChanged(symbol, {f"market.{name}": facts[symbol][name]}))
            found = inference.react(live.projection("A", ()), Phase.MONITOR)
            assert told(found) == model.acts(rules, facts)
        inference.close()


class TestAmounts:
    """What is worked out never turns a holding or a signal round."""

    @pytest.mark.parametrize(
        ("then", "argument", "cases"),
        [
            ("scale: {target: signal.confidence, factor: 1 - 20 * market.volatility}", "factor",
             {"0": "1", "0.049999": "0.00002", "0.05": "0", "0.050001": "0", "1": "0"}),
            ("exit: {fraction: 20 * market.volatility}", "fraction",
             {"0": "0", "0.049999": "0.99998", "0.05": "1", "0.050001": "1", "1": "1"}),
            ("exit: {fraction: 50%, participation: 5% - market.volatility}", "participation",
             {"0": "0.05", "0.05": "0", "0.06": "0"}),
            ("cap: {target: position.after.quantity, at: instrument.adv * (5% - market.volatility)}", "at",
             {"0": "50000", "0.049999": "1", "0.05": "0", "0.050001": "0"}),
            ("reduce: {to: instrument.adv * (5% - market.volatility)}", "to",
             {"0": "50000", "0.049999": "1", "0.05": "0", "0.050001": "0"}),
            ("halt: {for: '15 min * (1 - 20 * market.volatility)'}", "for", {"0": "900", "0.05": "0", "0.06": "0"}),
        ],
        ids=["factor", "fraction", "participation", "cap", "reduce", "for"],
    )  # fmt: skip
    def test_an_amount_below_zero_is_zero_and_a_fraction_at_most_one(self, then, argument, cases):
        book = RuleBook.of(
            f"- {{rule: r, title: R, phases: [monitor], for_each: instrument, then: [{{{then}}}]}}\n", VOCABULARY
        ).on(DAY)
        inference = Inference(book, VOCABULARY)
        for volatility, amount in cases.items():
            facts = {s: {"volatility": Fraction(volatility)} for s in model.SYMBOLS}
            for found in (react(book, seen(facts), Phase.MONITOR), inference.react(seen(facts), Phase.MONITOR)):
                assert {a.argument(argument) for a in found.acts} == {Fraction(amount)}, volatility
        inference.close()

    def test_a_cap_below_zero_sells_nothing_short(self):
        """Composed as it was, 7 bought under a cap of -5 became 5 sold."""
        for cap in (0, -5):
            act = Act("r", "ACME", 0, "cap", (("target", "order.quantity"), ("at", Fraction(cap))))
            for amount in (7, 0, -7):
                assert compose([act]).applied("order.quantity", Fraction(amount)) == 0
