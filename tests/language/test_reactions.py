"""Reactions: the arguments each takes, with their units."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.engine.errors import RuleFileError
from lexorder.engine.reactions import KINDS, action
from lexorder.engine.source import Mapping, Sequence, nodes
from lexorder.engine.terms import Literal, Term
from lexorder.engine.typecheck import Checker


def made(text: str, words, for_each: str = "instrument"):
    root = nodes(f"- {text}", "f")
    assert isinstance(root, Sequence)
    return action(root.items[0], Checker(words, for_each))


@pytest.mark.parametrize(
    ("text", "kind", "arguments"),
    [
        ("alert: critical", "alert", {"level": "critical"}),
        ("cancel: working_orders", "cancel", {"what": "working_orders"}),
        ("skip: some words, with commas", "skip", {"reason": "some words, with commas"}),
        ("set: {trading_state: REDUCING}", "set", {"trading_state": "REDUCING"}),
        ("set: {trading_state: HALTED, for: 15 min}", "set", {"trading_state": "HALTED", "for": Fraction(900)}),
        ("halt: {for: 1 h}", "halt", {"for": Fraction(3600)}),
        ("halt: {}", "halt", {}),
        ("exit: {fraction: 50%}", "exit", {"fraction": Fraction(1, 2)}),
        ("exit: {fraction: 0.5, style: market}", "exit", {"fraction": Fraction(1, 2), "style": "market"}),
        (
            "scale: {target: signal.confidence, factor: 50%}",
            "scale",
            {"target": "signal.confidence", "factor": Fraction(1, 2)},
        ),
        ("cap: {target: signal.confidence, at: 80%}", "cap", {"target": "signal.confidence", "at": Fraction(4, 5)}),
        ("cap: {target: order.quantity, at: 500}", "cap", {"target": "order.quantity", "at": Fraction(500)}),
        ("reduce: {to: 0}", "reduce", {"to": Fraction(0)}),
    ],
)
def test_reactions(text, kind, arguments, words):
    found = made(text, words)
    given = {k: v.value if isinstance(v, Literal) else v for k, v in found.arguments}
    assert (found.kind, given) == (kind, arguments)


@pytest.mark.parametrize(
    "text",
    [
        "exit: {fraction: 50%, style: limit, price: instrument.bid * 99%, participation: 10%}",
        "reduce: {to: 5% * account.nav}",
        "cap: {target: order.quantity, at: 10% * instrument.adv}",
        "halt: {for: '2 * 15 min'}",
    ],
)
def test_arguments_are_expressions(text, words):
    assert any(isinstance(value, Term) for _, value in made(text, words).arguments)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sell: everything", "unknown-action"),
        ("alarm: critical", "unknown-action"),
        ("alert: loud", "bad-choice"),
        ("alert: {level: critical}", "wrong-shape"),
        ("alert:", "missing-key"),
        ("cancel: orders", "bad-choice"),
        ("set: {trading_state: PAUSED}", "bad-choice"),
        ("set: {}", "missing-key"),
        ("set: {trading_state: HALTED, until: 15 min}", "unknown-key"),
        ("set: HALTED", "wrong-shape"),
        ("exit: {style: market}", "missing-key"),
        ("exit: {fraction: 50%, style: stop}", "bad-choice"),
        ("exit: {fraction: 50 USD}", "unit-mismatch"),
        ("exit: {fraction: 50%, price: 5%}", "unit-mismatch"),
        ("exit: {fraction: '50% %'}", "wrong-operator"),
        ("exit: {fraction: [50%]}", "wrong-shape"),
        ("scale: {target: order.price, factor: 50%}", "bad-choice"),
        ("scale: {target: signal.confidence}", "missing-key"),
        ("scale: {target: signal.confidence, factor: 5 min}", "unit-mismatch"),
        ("cap: {target: order.quantity, at: 5%}", "unit-mismatch"),
        ("cap: {target: signal.confidence, at: account.nav}", "unit-mismatch"),
        ("reduce: {to: 5%}", "unit-mismatch"),
        ("reduce: {to: 15 min}", "unit-mismatch"),
        ("halt: {for: 15}", "unit-mismatch"),
        ("halt: {for: 15 minutes}", "unknown-duration"),
        ("exit: {fraction: order.quantity}", "no-subject"),
        ("just words", "wrong-shape"),
        ("{alert: info, cancel: working_orders}", "wrong-shape"),
    ],
)
def test_refused(text, code, words):
    with pytest.raises(RuleFileError) as caught:
        made(text, words)
    assert caught.value.code == code, caught.value


def test_every_kind_is_tried_above():
    tried = {"alert", "cancel", "skip", "set", "halt", "exit", "scale", "cap", "reduce"}
    assert set(KINDS) == tried


def test_the_place_of_a_reaction_is_its_word(words):
    root = nodes("- alert: info\n- cancel: working_orders", "f")
    assert isinstance(root, Sequence)
    assert isinstance(root.items[1], Mapping)
    assert action(root.items[1], Checker(words, "instrument")).span.line == 2
