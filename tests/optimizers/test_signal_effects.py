"""What a signal rule asks for is done or refused, whatever it is about: nothing is silently without effect."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest

from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.optimizers.rebalance import Aims, Request, independent
from lexorder.optimizers.rows import RowsRefused
from lexorder.optimizers.signal_rules import Reacted, Reaction, agreed, by_reference
from lexorder.optimizers.signals import LOOKED_AT, SignalReport, through_rules
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rebalance import CAP, done
from tests.optimizers.test_rows import DAY, small
from tests.optimizers.test_signals import world

RULE = """
- rule: {name}
  title: A signal rule
  phases: [signal]
  for_each: {entity}
  when: {when}
  then: [{then}]
"""
ALWAYS = {
    "signal": "signal.confidence > 0",
    "pair": "pair.correlation > 0",
    "instrument": "instrument.mark > 0",
    "market": "market.volatility > 0",
    "account": "account.nav > 0",
}
TWO: tuple[dict[str, str], ...] = ({}, {"symbol": "BETA"})


def reported(text: str, document: dict[str, Any] | None = None) -> SignalReport:
    """By both evaluators, which must say the same."""
    rules = RuleBook.of(text, VOCABULARY).on(DAY) if text else ()
    snapshot = load_snapshot(document or world(*TWO), VOCABULARY)
    both, alone = (through_rules(rules, VOCABULARY, snapshot, ACCOUNT, react=run) for run in (agreed, by_reference))
    assert both == alone
    return both


def one(entity: str, then: str, *, when: str = "", name: str = "r") -> str:
    return RULE.format(name=name, entity=entity, when=when or ALWAYS[entity], then=then)


# ---- whoever the rule is about ---------------------------------------------------------------------------------------


def test_every_subject_a_rule_may_have_is_tried_here():
    assert set(ALWAYS) == set(LOOKED_AT)


@pytest.mark.parametrize("entity", LOOKED_AT)
def test_a_skip_skips(entity):
    found = reported(one(entity, "skip: not today"))
    assert [s.skipped for s in found.signals] == ["not today", "not today"]
    assert set(found.expected.values()) == {0}
    assert [s.rules for s in found.signals] == [("r",), ("r",)]


@pytest.mark.parametrize("entity", LOOKED_AT)
def test_a_rule_that_cannot_be_decided_skips_in_so_many_words(entity):
    found = reported(one(entity, "scale: {target: signal.confidence, factor: 50%}", when="account.equity > 5"))
    assert all(s.skipped == "undecided, account.equity of ACC-1 is missing" for s in found.signals)


@pytest.mark.parametrize("entity", LOOKED_AT)
def test_a_factor_on_confidence_acts_once_on_each_signal(entity):
    found = reported(one(entity, "scale: {target: signal.confidence, factor: 50%}"))
    assert [s.after for s in found.signals] == [Fraction(1, 4)] * 2


@pytest.mark.parametrize("entity", LOOKED_AT)
def test_a_factor_on_size_acts_on_every_name_concerned(entity):
    found = reported(one(entity, "scale: {target: position.after.quantity, factor: 50%}"))
    assert found.sizes == {"ACME": Fraction(1, 2), "BETA": Fraction(1, 2)}
    assert found.expected["ACME"] == found.raw["ACME"] / 2


@pytest.mark.parametrize("entity", LOOKED_AT)
@pytest.mark.parametrize("target", ["position.after.quantity", "order.quantity"])
def test_a_cap_in_shares_is_kept_for_every_name_concerned(entity, target):
    found = reported(one(entity, f"cap: {{target: {target}, at: 7}}"))
    caps = found.most if target.startswith("position") else found.ordered
    assert caps == {"ACME": 7, "BETA": 7}


def test_a_rule_about_one_name_leaves_the_others_alone():
    text = one("signal", "skip: that one", when='signal.symbol == "ACME"')
    assert [s.skipped for s in reported(text).signals] == ["that one", ""]


@pytest.mark.parametrize("entity", ["issuer", "sector", "position", "strategy", "trader", "order"])
def test_a_rule_that_no_signal_leads_to_is_refused_by_name(entity):
    with pytest.raises(RowsRefused, match=f"`r` for {entity} is not looked at for signals") as refused:
        reported(one(entity, "skip: never", when="account.nav > 0"))
    assert refused.value.code == "rows-refused"


def test_a_factor_on_the_order_is_refused_with_what_to_write_instead():
    with pytest.raises(RowsRefused, match=r"`r` for S-0 \(and 1 more\).*scale `position\.after\.quantity`"):
        reported(one("signal", "scale: {target: order.quantity, factor: 50%}"))


@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        ("halt: {for: 5 min}", "halt"),
        ("set: {trading_state: REDUCING}", "set"),
        ("exit: {fraction: 50%}", "exit"),
        ("reduce: {to: 5}", "reduce"),
        ("cancel: working_orders", "cancel"),
    ],
)
def test_what_is_no_matter_of_signals_is_refused_once_it_is_asked_for(deed, kind):
    with pytest.raises(RowsRefused, match=f"asks for `{kind}`.*phase monitor"):
        reported(one("instrument", deed))
    calm = reported(one("instrument", deed, when="instrument.mark > 1_000"))
    assert calm.reactions == (), "a rule that does not fire stops nobody"


def test_an_alert_is_told_and_changes_nothing():
    found = reported(one("signal", "alert: critical"))
    assert [r.kind for r in found.reactions] == ["alert", "alert"]
    assert found.expected == reported("").expected


# ---- whose signals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("owner", "counted"), [(ACCOUNT, True), ("NONE", True), (None, True), ("OTHER", False)])
def test_signals_of_another_account_are_not_followed(owner, counted):
    document = world({})
    document["accounts"].append({**document["accounts"][0], "id": "OTHER"})
    if owner is None:
        del document["signals"][0]["account"]
    else:
        document["signals"][0]["account"] = owner
    found = reported(one("signal", "scale: {target: signal.confidence, factor: 50%}"), document)
    assert len(found.signals) == int(counted)
    assert found.expected["ACME"] == (Fraction("0.02") / 4 if counted else 0)
    if counted:
        assert found.signals[0].rules == ("r",), "what is followed has passed the rules"


def test_a_signal_on_an_unknown_name_for_another_account_is_not_ours_to_refuse():
    document = world({}, {"symbol": "NOPE"})
    document["accounts"].append({**document["accounts"][0], "id": "OTHER"})
    document["signals"][1]["account"] = "OTHER"
    assert len(reported("", document).signals) == 1


# ---- several rules ---------------------------------------------------------------------------------------------------


def test_caps_take_the_least_and_factors_multiply_over_rules():
    text = "".join(
        one("signal", then, name=f"r{n}")
        for n, then in enumerate(
            (
                "cap: {target: position.after.quantity, at: 9}",
                "cap: {target: position.after.quantity, at: 4}",
                "cap: {target: signal.confidence, at: 30%}",
                "scale: {target: signal.confidence, factor: 80%}",
                "scale: {target: position.after.quantity, factor: 50%}",
                "scale: {target: position.after.quantity, factor: 40%}",
            )
        )
    )
    found = reported(text)
    assert found.most == {"ACME": 4, "BETA": 4}
    assert found.signals[0].after == Fraction(3, 10), "80% of one half is above the cap"
    assert found.sizes["ACME"] == Fraction(1, 5)


@pytest.mark.parametrize(
    ("then", "after", "expected"),
    [
        ("scale: {target: signal.confidence, factor: 199%}", "199/200", "199/10000"),
        ("scale: {target: signal.confidence, factor: 200%}", "1", "1/50"),
        ("scale: {target: signal.confidence, factor: 201%}", "1", "1/50"),
        ("scale: {target: signal.confidence, factor: 1 - 100 * market.volatility}", "0", "0"),
        ("scale: {target: signal.confidence, factor: 1 - 101 * market.volatility}", "0", "0"),
        ("cap: {target: signal.confidence, at: 1% - 2 * market.volatility}", "0", "0"),
        ("scale: {target: position.after.quantity, factor: 1 - 101 * market.volatility}", "1/2", "0"),
    ],
)
def test_no_factor_and_no_cap_turns_a_signal_round_or_makes_it_more_than_certain(then, after, expected):
    """A confidence above 100% would expect more than the model told, one below 0 the opposite of it."""
    found = reported(one("signal", then), world({}))
    assert found.signals[0].after == Fraction(after)
    assert found.expected["ACME"] == Fraction(expected)


def test_the_order_in_which_reactions_come_does_not_matter():
    def act(kind: str, subject: str, rule: str, **arguments: Any) -> Reaction:
        return Reaction(rule, "R", "signal", subject, kind, tuple(arguments.items()))

    size = "position.after.quantity"
    acts = [
        act("scale", "S-0", "x", target=size, factor=Fraction(1, 2)),
        act("scale", "S-2", "x", target=size, factor=Fraction(1, 5)),
        act("scale", "S-0", "y", target=size, factor=Fraction(3, 4)),
        act("cap", "S-0", "x", target=size, at=Fraction(3)),
    ]
    snapshot = load_snapshot(world({}, {"symbol": "BETA"}, {}), VOCABULARY)
    for order in permutations(acts):
        found = through_rules((), VOCABULARY, snapshot, ACCOUNT, react=lambda *_, o=order: Reacted(tuple(o)))
        assert found.sizes == {"ACME": Fraction(1, 5) * Fraction(3, 4)}, "once a rule, by its least factor"
        assert found.most == {"ACME": 3}


# ---- in the rebalance ------------------------------------------------------------------------------------------------


def asked(extra: str, *holdings: int, returns: str = "0.05") -> Request:
    given = small(*holdings)
    way = "short" if returns.startswith("-") else "long"
    told = {"id": "S-A", "account": ACCOUNT, "symbol": "A", "direction": way, "expected_return": returns}
    snapshot = load_snapshot({**given, "signals": [{**told, "confidence": "1"}]}, VOCABULARY)
    model = independent(len(holdings), 0.02)
    book = RuleBook.of(CAP + extra, VOCABULARY)
    return Request(book, snapshot, ACCOUNT, model, Trading(trader="T-1"), Aims(aversion=1.0, periods=1.0))


@pytest.mark.parametrize(
    ("held", "cap", "bought"),
    [(0, "7", 7), (0, "0", 0), (3, "7", 4), (0, "100", 20), (12, "7", 0)],  # CAP itself admits 20 shares
)
def test_a_capped_holding_grows_to_the_cap_and_no_further(held, cap, bought):
    text = one("signal", f"cap: {{target: position.after.quantity, at: {cap}}}", name="capped")
    result = done(asked(text, held, 0))
    assert sum(o.quantity for o in result.orders if o.symbol == "A") == bought
    assert all(o.side == "buy" for o in result.orders)


@pytest.mark.parametrize(("held", "cap", "traded"), [(0, "7", 7), (30, "4", 4), (0, "0", 0)])
def test_a_capped_order_is_no_larger_either_way(held, cap, traded):
    text = one("signal", f"cap: {{target: order.quantity, at: {cap}}}", name="capped")
    result = done(asked(text, held, 0, returns="0.05" if held == 0 else "-0.05"))
    assert sum(o.quantity for o in result.orders if o.symbol == "A") == traded


@pytest.mark.parametrize(("cap", "bounds"), [("2.5", (0, 5)), ("5", (0, 5)), ("9.99", (0, 9)), ("-3", (0, 5))])
def test_caps_that_are_no_whole_numbers_are_rounded_down(cap, bounds):
    request = asked("", 5)
    trading = replace(request.trading, most={"A": Fraction(cap)})
    found = board_of(request.snapshot, VOCABULARY, ACCOUNT, (), trading).candidates[0]
    assert (found.lower, found.upper) == bounds


def test_a_cap_on_shorts_holds_without_its_sign():
    request = asked("", 0)
    trading = replace(request.trading, most={"A": Fraction(5)}, long_only=False)
    found = board_of(request.snapshot, VOCABULARY, ACCOUNT, (), trading).candidates[0]
    assert (found.lower, found.upper) == (-5, 5)
