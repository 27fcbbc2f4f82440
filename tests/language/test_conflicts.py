"""Rules together: strata, circles, contradictions, and conditions that exclude each other."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lexorder.engine.conflicts import exclusive
from lexorder.engine.errors import RuleFileError
from lexorder.engine.evaluate import value
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.typecheck import term_of
from tests.language.test_classify import AT, SEARCHED, supplied
from tests.strategies_terms import written
from tests.worlds import VOCABULARY

DAY = date(2026, 6, 15)


def derive(rule: str, when: str, sets: str, extra: str = "") -> str:
    return f"- rule: {rule}\n  title: {rule}\n  when: '{when}'\n  derive: {{{sets}}}\n{extra}"


def react(rule: str, when: str, then: str, extra: str = "") -> str:
    return f"- rule: {rule}\n  title: {rule}\n  for_each: instrument\n  when: '{when}'\n  then: [{then}]\n{extra}"


def codes(text: str, words) -> list[str]:
    try:
        RuleBook.of(text, words)
    except RuleFileError as error:
        return [problem.code for problem in error.problems]
    return []


# ---- strata --------------------------------------------------------------------------------------


def test_strata_count_the_facts_below(words):
    text = (
        derive("one", "market.volatility > 5%", "market.regime: VOLATILE")
        + derive("two", "market.regime == VOLATILE", "signal.strength: STRONG")
        + "- rule: three\n  title: T\n  for_each: signal\n  when: signal.strength == STRONG\n  then: [{alert: info}]\n"
        + "- rule: none\n  title: N\n  require: order.quantity <= 5\n"
    )
    strata = {rule.id: rule.stratum for rule in RuleBook.of(text, words).on(DAY)}
    assert strata == {"one": 0, "two": 1, "three": 2, "none": 0}


def test_a_rule_that_reads_what_it_derives_is_a_circle(words):
    text = derive("self", "market.regime == NORMAL", "market.regime: VOLATILE")
    assert codes(text, words) == ["derive-cycle"]


def test_a_circle_is_named_once(words):
    text = derive("one", "market.regime == VOLATILE", "signal.strength: STRONG") + derive(
        "two", "any(signal.strength == STRONG)", "market.regime: VOLATILE"
    )
    with pytest.raises(RuleFileError) as caught:
        RuleBook.of(text, words)
    (found,) = caught.value.problems
    assert "one → two → one" in found.message


def test_circles_are_looked_for_on_every_date(words):
    dated = "  effective: {from: 2030-01-01}\n"
    text = derive("one", "market.regime == VOLATILE", "signal.strength: STRONG") + derive(
        "two", "any(signal.strength == STRONG)", "market.regime: VOLATILE", dated
    )
    assert codes(text, words) == ["derive-cycle"]


# ---- contradictions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("market.volatility > 5%", "market.volatility < 2%", False),
        ("market.volatility > 5%", "market.volatility <= 5%", False),
        ("market.volatility >= 5%", "market.volatility <= 5%", True),
        ("market.volatility > 5%", "market.volatility > 2%", True),
        ("market.volatility > 5%", "market.volume_spike < 2", True),
        ("market.luld_state == PAUSED", "market.luld_state == LIMIT", False),
        ("market.luld_state == PAUSED", "market.luld_state != PAUSED", False),
        ("market.luld_state in {PAUSED, LIMIT}", "market.luld_state == NORMAL", False),
        ("market.luld_state in {PAUSED, LIMIT}", "market.luld_state == LIMIT", True),
        ("market.volatility > 5% and market.luld_state == LIMIT", "market.luld_state == NORMAL", False),
        ("market.volatility > 5% or market.luld_state == LIMIT", "market.luld_state == NORMAL", True),
    ],
)
def test_different_values_need_exclusive_conditions(one, other, clash, words):
    text = derive("a", one, "market.regime: VOLATILE") + derive("b", other, "market.regime: NORMAL")
    assert codes(text, words) == (["derive-conflict"] if clash else [])


def test_the_same_value_twice_is_no_contradiction(words):
    text = derive("a", "market.volatility > 5%", "market.regime: VOLATILE") + derive(
        "b", "market.volume_spike > 3", "market.regime: VOLATILE"
    )
    assert codes(text, words) == []


def test_accounts_listed_apart_do_not_meet(words):
    a = derive("a", "market.volatility > 5%", "market.regime: VOLATILE", "  scope: {accounts: [A]}\n")
    b = derive("b", "market.volume_spike > 3", "market.regime: NORMAL", "  scope: {accounts: [B]}\n")
    assert codes(a + b, words) == []
    assert codes(a + b.replace("[B]", "[A, B]"), words) == ["derive-conflict"]
    assert codes(a + b.replace("[B]", "{tag: t}"), words) == ["derive-conflict"]


def test_rules_of_different_times_do_not_meet(words):
    a = derive("a", "market.volatility > 5%", "market.regime: VOLATILE", "  effective: {until: 2026-01-01}\n")
    b = derive("b", "market.volume_spike > 3", "market.regime: NORMAL", "  effective: {from: 2026-01-01}\n")
    assert codes(a + b, words) == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("exit: {fraction: 50%, style: market}", "exit: {fraction: 20%, style: limit}", True),
        ("exit: {fraction: 50%, style: market}", "exit: {fraction: 20%}", True),
        ("exit: {fraction: 50%}", "exit: {fraction: 20%, style: limit}", False),
        ("set: {trading_state: ACTIVE}", "set: {trading_state: HALTED}", True),
        ("set: {trading_state: REDUCING}", "set: {trading_state: HALTED}", False),
        ("set: {trading_state: ACTIVE}", "set: {trading_state: ACTIVE}", False),
        ("set: {trading_state: ACTIVE}", "halt: {for: 1 h}", True),
        ("halt: {for: 1 h}", "halt: {for: 2 h}", False),
        ("alert: info", "alert: critical", False),
        ("scale: {target: signal.confidence, factor: 50%}", "scale: {target: signal.confidence, factor: 20%}", False),
    ],
)
def test_reactions_that_contradict_each_other(one, other, clash, words):
    a, b = (react(name, "market.volatility > 5%", f"{{{then}}}") for name, then in (("a", one), ("b", other)))
    assert codes(a + b, words) == (["reaction-conflict"] if clash else [])


@pytest.mark.parametrize(
    "extra",
    ["  priority: 5\n", "  phases: [signal]\n", "  scope: {accounts: [B]}\n", "  effective: {until: 2000-01-01}\n"],
)
def test_what_keeps_reactions_apart(extra, words):
    here = "  scope: {accounts: [A]}\n" if "scope" in extra else ""
    a = react("a", "market.volatility > 5%", "{exit: {fraction: 50%, style: market}}", here)
    a = a + "  effective: {from: 2000-01-01}\n" if "effective" in extra else a
    b = react("b", "market.volatility > 5%", "{exit: {fraction: 50%, style: limit}}", extra)
    assert codes(a + b, words) == []


# ---- exclusion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("order.quantity < 5", "order.quantity > 5", True),
        ("order.quantity < 5", "order.quantity >= 5", True),
        ("order.quantity <= 5", "order.quantity >= 5", False),
        ("order.quantity == 5", "order.quantity > 5", True),
        ("order.quantity == 5", "order.quantity >= 5", False),
        ("order.quantity < 5", "order.quantity == 7", True),
        ("order.quantity == 5", "order.quantity < 5", True),
        ("5 > order.quantity", "order.quantity > 6", True),
        ("order.quantity == 5", "order.quantity == 6", True),
        ("order.quantity != 5", "order.quantity == 5", False),
        ("order.has_locate", "not order.has_locate", True),
        ("not order.has_locate", "order.has_locate", True),
        ("order.side == buy", "order.side in {sell, sell_short}", True),
        ("order.side != buy", "order.side == buy", True),
        ("order.side != buy", "order.side != sell", False),
        ('order.symbol == "A"', 'order.symbol == "B"', True),
        ('order.symbol in {"A", "B"}', 'order.symbol in {"B", "C"}', False),
        ("order.notional > account.nav", "order.notional <= account.nav", True),
        ("order.notional >= account.nav", "order.notional <= account.nav", False),
        ("order.notional > account.nav", "order.notional < account.equity", False),
        ("clock.time < 09:30", "clock.time > 16:00", False),
        ("true", "true", False),
    ],
)
def test_exclusive(one, other, apart, words):
    first, second = term_of(one, words), term_of(other, words)
    assert exclusive(first, second) is apart
    assert exclusive(second, first) is apart


def test_no_condition_excludes_nothing(words):
    assert not exclusive(None, term_of("true", words))
    assert not exclusive(term_of("true", words), None)


SMALL = written(VOCABULARY, "account", depth=1, names=supplied).filter(lambda t: len(t) < 200)


@SEARCHED
@given(st.lists(SMALL, min_size=2, max_size=2), st.booleans())
def test_exclusive_conditions_never_hold_together(texts, opposed):
    """Whatever is called exclusive is false together in a concrete world."""
    first = f"({texts[0]}) and {texts[1]}" if opposed else texts[0]
    second = f"not ({texts[0]})" if opposed else texts[1]
    one, other = (term_of(text, VOCABULARY, "account") for text in (first, second))
    assume(exclusive(one, other))
    assert not (value(one, AT) and value(other, AT))
