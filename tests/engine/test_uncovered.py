"""Where accounts must be covered, an order that no rule covers is undecided by every way of asking.

Accounts A to G differ only in what of the book covers them; what must come out of each is written down by hand.
"""

from __future__ import annotations

from typing import Any

import pytest

from lexorder.engine.decision import Decision, Outcome
from lexorder.engine.desk import Desk, Make, fast, shipped_rules, slow
from lexorder.engine.rule import SWITCHES, cover
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.vector import VectorBook
from lexorder.engine.what_if import what_if
from tests.worlds import VOCABULARY, book, order, world

RULES = (
    "rule: by-name\ntitle: At most 10\nscope: {accounts: [A]}\nrequire: order.quantity <= 10",
    "rule: by-tag\ntitle: At most 20\nscope: {accounts: {tag: covered}}\nseverity: warn\nrequire: order.quantity <= 20",
    "rule: watched\ntitle: W\nscope: {accounts: [C]}\nphases: [monitor]\nfor_each: account\nrequire: account.cash > 0",
    "rule: told\ntitle: T\nscope: {accounts: [D]}\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
    "rule: later\ntitle: Later\nscope: {accounts: [E]}\neffective: {from: 2026-06-16}\nrequire: order.quantity <= 10",
    "rule: exempt\ntitle: Not for G\nscope: {accounts: [X], except: [G]}\nrequire: order.quantity <= 10",
    "rule: kill-switch\ntitle: Switch\nrequire: account.trading_state != HALTED",
)
"""A is covered by its name, B by its tag; C is only watched, D only told facts, E covered from tomorrow on, F not.
G is excepted by its name, which is a decision about it too."""

COVERED = "ABG"
NAMES = "ABCDEFG"


def document() -> dict[str, Any]:
    found = world()
    plain = {**found["accounts"][0], "trading_state": "ACTIVE"}
    tags = {"B": ["covered"]}
    return {**found, "accounts": [{**plain, "id": name, "tags": tags.get(name, [])} for name in NAMES]}


def desk(make: Make = fast) -> Desk:
    return Desk(book(*RULES), document(), VOCABULARY, make, must_cover=True)


def asked(account: str, quantity: int = 1, **facts: Any) -> dict[str, Any]:
    return order(quantity=quantity, account=account, id=f"{account}-{quantity}", **facts)


def refused(decision: Decision) -> bool:
    (report,) = decision.reports
    assert decision.outcome is Outcome.UNDECIDED
    assert (decision.reason, report.rule, decision.verdicts) == ("NO_RULE", "lexorder", 0)
    return not decision.approved


@pytest.mark.parametrize("make", [fast, slow], ids=["production", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_an_order_alone(name: str, make: Make) -> None:
    decision = desk(make).check(asked(name))
    assert decision.approved is (name in COVERED)
    assert name in COVERED or refused(decision)


@pytest.mark.parametrize("make", [fast, slow], ids=["production", "reference"])
def test_orders_together_and_each(make: Make) -> None:
    orders = [asked(name, quantity) for name in NAMES for quantity in (1, 2)]
    basket = desk(make).check_basket(orders)
    assert [d.approved for d in basket] == [name in COVERED for name in NAMES]
    assert all(d.approved or refused(d) for d in basket)
    each = desk(make).check_each(orders)
    assert [d.approved for d in each] == [name in COVERED for name in NAMES for _ in range(2)]


def test_thousands_at_once_are_what_each_is_alone() -> None:
    one, many = desk(), VectorBook(desk(), small=1)
    orders = [asked(name, quantity) for name in NAMES for quantity in (1, 10, 11, 20, 21)]
    names = sorted({key for each in orders for key in each})
    answers = many.decide_columns({name: [each.get(name) for each in orders] for name in names})
    alone = [one.check(each) for each in orders]
    assert [a.to_json() for a in answers if not isinstance(a, Exception)] == [a.to_json() for a in alone]
    assert many.tally().approved == 2 + 4, "what the rules of the covered ones clear goes in bulk"


@pytest.mark.parametrize("name", NAMES)
def test_what_if_has_figures_only_where_rules_spoke(name: str) -> None:
    found = what_if(desk(), desk()._facts(asked(name)))
    assert found.decision.approved is (name in COVERED)
    assert bool(found.findings) is (name in COVERED)
    assert (found.headroom is None) is (name not in COVERED)


def test_taking_an_order_away_is_always_allowed() -> None:
    assert desk().check(asked("F", action="cancel")).approved
    assert not desk().check(asked("F", action="replace")).approved
    both = [asked("F", 1, action="cancel"), asked("F", 2)]
    assert [d.reason for d in desk().check_basket(both)] == ["NO_RULE"]


@pytest.mark.parametrize(
    ("facts", "reason"), [({"symbol": "GONE"}, "UNKNOWN_SYMBOL"), ({"trader": "X"}, "UNKNOWN_TRADER")]
)
def test_what_cannot_be_judged_at_all_leads(facts: dict[str, Any], reason: str) -> None:
    decision = desk().check(asked("F", **facts))
    assert (decision.outcome, decision.reason) == (Outcome.REJECT, reason)


def test_nobody_is_covered_by_no_rules_or_by_switches_alone() -> None:
    library = RuleBook.load(shipped_rules(), VOCABULARY)
    switches = library.only(SWITCHES)
    assert set(switches.ids()) == SWITCHES, "both are rules of the library"
    plain = Desk(library, world(), VOCABULARY).rules_of("A")
    assert cover(plain)
    assert not cover([rule for rule in plain if rule.id in SWITCHES])
    assert not cover([])
    for book_ in (switches, RuleBook.of("", VOCABULARY)):
        assert Desk(book_, world(), VOCABULARY, must_cover=True).check(order()).reason == "NO_RULE"


@pytest.mark.parametrize("make", [fast, slow], ids=["production", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_a_book_by_itself_says_nothing_of_whom_it_does_not_cover(name: str, make: Make) -> None:
    """The meaning of rules alone, as the commands show it: only what a rule forbids is forbidden."""
    plain = Desk(book(*RULES), document(), VOCABULARY, make)
    assert [plain.check(asked(name, quantity)).approved for quantity in (1, 11)] == [True, name != "A"]
