"""CLIPS chains derived facts and fires reactions as the plain evaluator does."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.desk import shipped_rules
from lexorder.engine.errors import ExpertError
from lexorder.engine.events import InstrumentChanged
from lexorder.engine.expert import chain as chain_module
from lexorder.engine.expert.chain import chain
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.expert.inference import Inference
from lexorder.engine.expert.live import Live
from lexorder.engine.facts import load_snapshot
from lexorder.engine.react import Reactions, react
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import project
from tests.expert.books import rules
from tests.worlds import VOCABULARY, world

SHIPPED = RuleBook.load(shipped_rules(), VOCABULARY).on(date(2026, 6, 15))


def both(book: tuple[Rule, ...], document: dict[str, Any], phase: Phase = Phase.MONITOR) -> Reactions:
    """What CLIPS answers, which must be what the plain evaluator says."""
    seen = project(load_snapshot(document, VOCABULARY), VOCABULARY, "A", ())
    inference = Inference(book, VOCABULARY)
    found, expected = inference.react(seen, phase), react(book, seen, phase)
    assert found.key == expected.key
    assert inference.react(seen, phase) == found, "a second look must start from nothing"
    inference.close()
    return found


def market(**facts: str) -> dict[str, Any]:
    plain = {"volatility": "1%", "volume_spike": "1", "return_10s": "0", "quote_age": "1 s", "venue_gap": "0"}
    return world(market=[{"symbol": s, **plain, **(facts if s == "ACME" else {})} for s in ("ACME", "BETA", "COCO")])


CHAIN = rules(
    "rule: regime\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
    "rule: agreement\ntitle: T\nfor_each: market\nphases: [monitor]\nwhen: market.regime == VOLATILE\n"
    'derive: {market.signals_conflict: "true"}',
    "rule: warned\ntitle: T\nfor_each: instrument\nphases: [monitor]\nwhen: market.signals_conflict\n"
    "then: [{alert: warning}]",
)


class TestChaining:
    def test_through_two_strata(self):
        found = both(CHAIN, market(volatility="6%"))
        assert [(a.rule, a.subject, a.kind) for a in found.acts] == [("warned", "ACME", "alert")]
        assert [f.rule for f in found.fired] == ["regime", "agreement", "warned"]
        assert found.fired[0].why == "market.volatility = 0.06"
        assert {(d.name, d.value) for d in found.derived} == {
            ("market.regime", "VOLATILE"),
            ("market.signals_conflict", True),
        }

    def test_defaults_where_nothing_is_derived(self):
        assert both(CHAIN, market()).acts == ()

    def test_a_missing_fact_makes_all_above_unknown(self):
        document = market()
        del document["market"][0]["volatility"]
        found = both(CHAIN, document)
        assert [(u.rule, u.subject) for u in found.unknown] == [("warned", "ACME")]
        assert found.fired[0].rule == "exact"

    def test_two_rules_that_differ_make_it_unknown(self):
        book = rules(
            "rule: one\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
            "rule: two\ntitle: T\nfor_each: market\nwhen: market.volume_spike > 2\nderive: {market.regime: VOLATILE}",
            "rule: warned\ntitle: T\nfor_each: instrument\nphases: [monitor]\nwhen: market.regime == VOLATILE\n"
            "then: [{alert: warning}]",
        )
        (one, two) = (r for r in book if r.derive)
        from dataclasses import replace

        from lexorder.engine.terms import Literal

        normal = Literal(two.derive[0][1].unit, "NORMAL")
        differing = tuple(replace(r, derive=(("market.regime", normal),)) if r.id == "two" else r for r in book)
        assert both(differing, market(volatility="6%")).acts
        found = both(differing, market(volatility="6%", volume_spike="3"))
        assert [(u.rule, u.subject) for u in found.unknown] == [("warned", "ACME")]
        assert one.id == "one"

    def test_two_rules_that_agree_are_one_fact(self):
        book = rules(
            "rule: one\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
            "rule: two\ntitle: T\nfor_each: market\nwhen: market.volume_spike > 2\nderive: {market.regime: VOLATILE}",
            "rule: warned\ntitle: T\nfor_each: instrument\nphases: [monitor]\nwhen: market.regime == VOLATILE\n"
            "then: [{alert: warning}]",
        )
        found = both(book, market(volatility="6%", volume_spike="3"))
        assert len(found.acts) == 1
        assert not found.unknown

    def test_only_what_is_asked_for_is_derived(self):
        seen = project(load_snapshot(market(volatility="6%"), VOCABULARY), VOCABULARY, "A", ())
        inference = Inference(CHAIN, VOCABULARY)
        assert inference.react(seen, Phase.MONITOR, only={"BETA"}).derived == ()
        assert inference.react(seen, Phase.MONITOR, only={"ACME"}).acts


class TestReactions:
    def test_arguments_are_exact(self):
        found = both(SHIPPED, market(return_10s="-3%"))
        exit_ = next(a for a in found.acts if a.kind == "exit")
        assert (exit_.rule, exit_.subject, exit_.argument("price")) == ("flash-crash-exit", "ACME", 99)
        assert exit_.argument("participation") == Fraction(1, 10)

    def test_exactly_at_the_threshold(self):
        assert both(SHIPPED, market(return_10s="-2%")).acts == ()

    def test_a_missing_argument_is_unknown(self):
        document = market(return_10s="-3%")
        del document["instruments"][0]["bid"]
        assert [(u.rule, u.subject) for u in both(SHIPPED, document).unknown] == [("flash-crash-exit", "ACME")]

    def test_highest_priority_first(self):
        assert both(SHIPPED, market(return_10s="-3%", venue_gap="1%")).acts[-1].rule == "cross-venue-gap"

    def test_nearly_all_shipped_rules_are_clips_own(self):
        found = chain(SHIPPED, VOCABULARY).rules
        assert sum(bool(c.why_not) for c in found.values()) * 10 <= len(found)

    def test_what_is_not_lowered_chains_by_the_exact_answer(self):
        book = rules(
            "rule: sized\ntitle: T\nfor_each: instrument\nphases: [monitor]\n"
            "when: sum(position.after.value) > 500\nthen: [{reduce: {to: 500 USD}}]"
        )
        assert chain(book, VOCABULARY).rules["sized"].why_not
        document = market()
        document["positions"] = [{"account": "A", "symbol": "ACME", "quantity": "6"}]
        (act,) = both(book, document).acts
        assert dict(act.arguments) == {"to": 500, "unit": "money"}


def signals_world(random: Random) -> dict[str, Any]:
    symbols = ("ACME", "BETA")
    listed = [
        {
            "id": f"G{n}",
            "symbol": random.choice(symbols),
            "timeframe": random.choice(("1m", "5m", "15m", "1h", "1d")),
            "direction": random.choice(("long", "long", "short", "flat")),
            "confidence": random.choice(("60%", "70%", "0.5")),
            "reward_risk": random.choice(("1", "2", "3")),
        }
        for n in range(random.randint(0, 8))
    ]
    for signal in listed:
        if random.random() < 0.05:
            del signal["confidence"]
    document = market(volatility=random.choice(("5%", "6%")), return_10s=random.choice(("-2%", "-3%")))
    for facts in document["market"]:
        if random.random() < 0.1:
            facts.pop(random.choice(("volatility", "volume_spike", "quote_age")), None)
    pair = {"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": random.choice(("0.8", "0.9"))}
    return {**document, "signals": listed, "pairs": [pair]}


@pytest.mark.parametrize("seed", range(40))
def test_the_library_reacts_as_the_plain_evaluator_says(seed):
    document = signals_world(Random(seed))
    for phase in (Phase.MONITOR, Phase.SIGNAL):
        both(SHIPPED, document, phase)


class TestFaults:
    def test_a_dropped_rule_is_a_difference(self):
        seen = project(load_snapshot(market(return_10s="-3%"), VOCABULARY), VOCABULARY, "A", ())
        inference = Inference(SHIPPED, VOCABULARY)
        environment = inference.session.environment
        assert lib.Undefrule(lib.FindDefrule(environment, b"flash-crash-exit"), environment)
        assert inference.react(seen, Phase.MONITOR).key != react(SHIPPED, seen, Phase.MONITOR).key

    def test_a_changed_comparison_is_a_difference(self, monkeypatch):
        real = chain_module._texts
        monkeypatch.setattr(chain_module, "_texts", lambda c: tuple(t.replace("(< ", "(<= ") for t in real(c)))
        seen = project(load_snapshot(market(return_10s="-2%"), VOCABULARY), VOCABULARY, "A", ())
        assert Inference(SHIPPED, VOCABULARY).react(seen, Phase.MONITOR).key != react(SHIPPED, seen, Phase.MONITOR).key

    def test_a_halt_is_an_error(self):
        seen = project(load_snapshot(market(return_10s="-3%"), VOCABULARY), VOCABULARY, "A", ())
        inference = Inference(SHIPPED, VOCABULARY)
        lib.Build(inference.session.environment, b"(defrule stop (declare (salience 9999)) (look) => (halt))")
        with pytest.raises(ExpertError, match="stopped before all rules had fired"):
            inference.react(seen, Phase.MONITOR)
        assert not list(inference.session.facts("look"))

    def test_names_used_twice_are_refused(self):
        with pytest.raises(ExpertError, match="used twice"):
            chain((CHAIN[0], CHAIN[0]), VOCABULARY)


def test_reactions_follow_events():
    live, inference = Live(load_snapshot(market(), VOCABULARY), VOCABULARY), Inference(SHIPPED, VOCABULARY)
    assert inference.react(live.projection("A", ()), Phase.MONITOR).acts == ()
    live.apply(InstrumentChanged("BETA", {"market.return_10s": Fraction(-3, 100)}))
    found = inference.react(live.projection("A", ()), Phase.MONITOR, only={"BETA"})
    assert {a.subject for a in found.acts} == {"BETA"}
    inference.close()
