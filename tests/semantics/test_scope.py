"""A rule for others decides, derives and reacts nothing here: whoever reads the rule book, and however it is said.

The rule under test reads a derived fact; the rule that derives it has a scope. Where the scope covers the account the
fact is `VOLATILE` and the holding too large; where it does not, the fact has the vocabulary's default and all is well.
Every reader of a rule book is asked: a reader that forgot the scope would answer for an account by others' rules.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from lexorder.api.service.utilisation import uses
from lexorder.engine.desk import Desk, fast, slow
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import AccountChanged
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.subjects import covering_rules
from lexorder.engine.vector import VectorBook
from lexorder.engine.what_if import what_if
from lexorder.optimizers.outcome import Rebalanced
from lexorder.optimizers.rebalance import Aims, Request, independent, rebalance
from lexorder.optimizers.signal_rules import agreed, by_reference
from lexorder.optimizers.signals import through_rules
from lexorder.optimizers.universe import Trading
from tests.engine import vector_cases as cases
from tests.service.test_due import Watcher
from tests.worlds import VOCABULARY, book, order, position, world

DAY = date(2026, 6, 15)
SCOPES: dict[str, tuple[str, bool]] = {
    "everyone": ("", True),
    "this account": ("{accounts: [A]}", True),
    "its tag": ("{accounts: {tag: long}}", True),
    "one of its tags": ("{accounts: {tags: [short, long]}}", True),
    "its tag, but not it": ("{accounts: {tag: long}, except: [A]}", False),
    "all but it": ("{except: [A]}", False),
    "another account": ("{accounts: [OTHER]}", False),
    "another tag": ("{accounts: {tag: short}}", False),
}
CASES = pytest.mark.parametrize(("scope", "covered"), SCOPES.values(), ids=SCOPES)


def regime(scope: str) -> str:
    return f"""
    rule: regime
    title: Volatile markets
    {f"scope: {scope}" if scope else "owner: risk"}
    for_each: market
    when: market.volatility > 5%
    derive: {{market.regime: VOLATILE}}
    """


HELD = """
rule: held
title: At most 10 shares in volatile markets
for_each: instrument
phases: [pre_trade, monitor, rebalance]
require: market.regime != VOLATILE or sum(position.after.quantity) <= 10
"""


def document(**more: Any) -> dict[str, Any]:
    """Account A, tagged `long`, holds 50 shares of a name whose price moves by 6%."""
    markets = [{"symbol": s, "volatility": "6%"} for s in ("ACME", "BETA", "COCO")]
    return world(account={"tags": ["long"]}, market=markets, positions=[position("ACME", 50)], **more)


# ---- derived facts -------------------------------------------------------------------------------------------------


@CASES
@pytest.mark.parametrize("make", [slow, fast], ids=["slow", "fast"])
def test_orders_are_decided_by_the_facts_derived_for_their_account(make, scope, covered):
    desk = Desk(book(regime(scope), HELD), document(), VOCABULARY, make)
    decision = desk.check(order("buy", 1))
    assert decision.approved is not covered
    assert {d.value for d in decision.derived} == ({"VOLATILE"} if covered else set())
    assert desk.check(order("buy", 10, "BETA")).approved, "exactly at the limit"
    assert desk.check(order("buy", 11, "BETA")).approved is not covered


@CASES
def test_a_what_if_says_the_same(scope, covered):
    desk = Desk(book(regime(scope), HELD), document(), VOCABULARY, fast)
    found = what_if(desk, load_order(order("buy", 1), VOCABULARY))
    assert [f.status.value for f in found.findings] == ["breach" if covered else "pass"]


@CASES
def test_many_orders_at_once_are_decided_alike(scope, covered):
    """Columns clear what they are sure of: nothing that is refused one by one."""
    vector = VectorBook(Desk(book(regime(scope), HELD), document(), VOCABULARY, fast), small=0)
    found = vector.decide_columns(cases.columns([order("buy", n, "BETA", id=f"{n}") for n in (10, 11)]))
    assert [f.outcome.value for f in found if not isinstance(f, SnapshotError)] == [
        "approve",
        "reject" if covered else "approve",
    ]


@CASES
def test_the_monitor_and_the_use_of_limits_say_the_same(scope, covered):
    watcher = Watcher(book(regime(scope), HELD), document())
    broken = {("A", "held", "ACME")} if covered else set()
    assert watcher.broken().keys() == broken
    rules = watcher.desk.book.on(DAY)
    found = uses(watcher.desk.snapshot, VOCABULARY, "A", [r for r in rules if r.require], rules)
    assert {(u.account, u.rule.id, u.finding.subject) for u in found if u.broken} == broken


def test_the_monitor_follows_a_tag_that_is_put_on_and_taken_off():
    watcher = Watcher(book(regime("{accounts: {tag: long}}"), HELD), document())
    for tags, broken in ((set(), False), ({"long"}, True), ({"short"}, False)):
        watcher.desk.apply(AccountChanged("A", {"account.tags": frozenset[str](tags)}))
        watcher.catch_up()
        assert bool(watcher.broken()) is broken, tags


@CASES
def test_a_rebalance_holds_what_the_facts_of_its_account_allow(scope, covered):
    """The signal asks for all it can get: 10 shares where the limit is for this account, else 20% of net assets."""
    told = [{"id": "S", "account": "A", "symbol": "BETA", "direction": "long", "expected_return": "5%"}]
    given = {**document(signals=[{**told[0], "confidence": "1"}]), "positions": []}
    snapshot = load_snapshot(given, VOCABULARY)
    aims, model = Aims(aversion=1.0, periods=1.0), independent(3, 0.02)
    asked = Request(book(regime(scope), HELD), snapshot, "A", model, Trading(trader="T", cap=Fraction(1, 5)), aims)
    found = rebalance(asked)
    assert isinstance(found, Rebalanced)
    assert [(o.symbol, o.quantity) for o in found.orders] == [("BETA", 10 if covered else 200)]


# ---- reactions -----------------------------------------------------------------------------------------------------

THEN: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "a skip": ("skip: not today", lambda r: r.signals[0].skipped == "not today"),
    "a factor": ("scale: {target: signal.confidence, factor: 50%}", lambda r: r.signals[0].after == Fraction(1, 2)),
    "a size": ("scale: {target: position.after.quantity, factor: 50%}", lambda r: bool(r.sizes)),
    "a cap": ("cap: {target: position.after.quantity, at: 7}", lambda r: r.most == {"BETA": 7}),
    "what is refused": ("halt: {}", lambda _: False),
}


@CASES
@pytest.mark.parametrize(("then", "acted"), THEN.values(), ids=THEN)
def test_signal_rules_for_others_do_nothing_to_the_signals_of_an_account(scope, covered, then, acted):
    """Not even refuse a rebalance that they have no part in."""
    line = f"scope: {scope}" if scope else "owner: risk"
    text = f"- {{rule: r, title: R, {line}, phases: [signal], for_each: signal, then: [{{{then}}}]}}\n"
    signal = {"id": "S", "symbol": "BETA", "direction": "long", "expected_return": "5%", "confidence": "1"}
    snapshot = load_snapshot(document(signals=[signal]), VOCABULARY)
    rules = RuleBook.of(text, VOCABULARY).on(DAY)
    for run in (agreed, by_reference):
        if covered and then.startswith("halt"):
            with pytest.raises(Exception, match="no matter of signals"):
                through_rules(rules, VOCABULARY, snapshot, "A", react=run)
            continue
        found = through_rules(rules, VOCABULARY, snapshot, "A", react=run)
        assert acted(found) is covered
        assert bool(found.reactions) is covered


# ---- the scope itself ----------------------------------------------------------------------------------------------


@CASES
def test_a_scope_covers_what_it_says(scope, covered):
    rules = book(regime(scope)).on(DAY)
    assert bool(covering_rules(rules, "A", {"account.tags": frozenset({"long"})})) is covered


def test_an_account_that_is_not_there_has_no_tags():
    rules = book(regime("{accounts: {tag: long}}"), HELD).on(DAY)
    assert [r.id for r in covering_rules(rules, "NOBODY", {})] == ["held"]
