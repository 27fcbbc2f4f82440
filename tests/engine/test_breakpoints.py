"""Which quantities of an order a rule admits: found by functions, compared with the reference at every quantity."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine import breakpoints
from lexorder.engine.breakpoints import ADMITTED, Sought, View, admitted, largest, with_quantity
from lexorder.engine.decision import Largest
from lexorder.engine.evaluate import Point
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.intervals import Intervals, contains
from lexorder.engine.judge import derivations, judge
from lexorder.engine.piecewise import InexpressibleError
from lexorder.engine.rule import Facts, Rule, Severity
from lexorder.engine.snapshot import Projection, Snapshot, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.worst import Prepared, prepared
from tests.optimizers.test_rows import DAY
from tests.worlds import VOCABULARY, book, order, position, working, world

CAP = 12


def rule(require: str, for_each: str = "order", name: str = "r", more: str = "") -> Rule:
    (found,) = book(f"rule: {name}\ntitle: A rule\nfor_each: {for_each}\nrequire: '{require}'\n{more}").on(DAY)
    return found


def seen(snapshot: Snapshot, quantity: int, **facts: Any) -> Projection:
    asked: Facts = load_order(order(**{"quantity": quantity, **facts}), VOCABULARY)
    return project(snapshot, VOCABULARY, "A", (asked,))


def by_trying(one: Rule, snapshot: Snapshot, cap: int, **facts: Any) -> set[int]:
    """The quantities at which the reference finds neither a breach nor anything undecided."""
    table = derivations((one,))
    good = set()
    for quantity in range(1, cap + 1):
        findings = judge(one, seen(snapshot, quantity, **facts), table)
        if all(f.status in ADMITTED for f in findings):
            good.add(quantity)
    return good


def found_for(one: Rule, snapshot: Snapshot, cap: int = CAP, given: int = 5, **facts: Any) -> set[int]:
    inside = admitted(prepared(one), (seen(snapshot, given, **facts), {}), derivations((one,)), cap)
    return {q for q in range(1, cap + 1) if contains(inside, q)}


WORLDS: dict[str, dict[str, Any]] = {
    "empty": {},
    "long": {"positions": [position("ACME", 6), position("BETA", 3)]},
    "short": {"positions": [position("ACME", -6)]},
    "over": {"positions": [position("ACME", 40)]},
    "busy": {
        "positions": [position("ACME", 4)],
        "working_orders": [working("W1", "ACME", "buy", 2), working("W2", "BETA", "buy", 1)],
    },
    "both ways": {
        "positions": [position("ACME", 4)],
        "working_orders": [working("W1", "ACME", "buy", 2), working("W2", "ACME", "sell", 3)],
    },
}
REQUIREMENTS = [
    ("order", "order.quantity <= 7"),
    ("order", "order.quantity < 7"),
    ("order", "order.quantity >= 4 and order.quantity <= 9"),
    ("order", "order.quantity != 6"),
    ("order", "order.quantity in {2, 3, 11}"),
    ("order", "order.quantity * order.quantity <= 50"),
    ("order", "abs(order.quantity - 8) >= 2"),
    ("order", "order.notional <= 700"),
    ("order", "order.notional < 700"),
    ("order", "order.quantity / 3 <= 2 or order.quantity == 12"),
    ("issuer", "sum(abs(position.after.value)) <= 1_000"),
    ("issuer", "sum(abs(position.after.value)) < 1_000"),
    ("issuer", "abs(sum(position.after.quantity)) <= 9"),
    ("position", "position.after.quantity >= -3 and position.after.quantity <= 8"),
    ("position", "position.after.quantity != 9"),
    ("position", "position.after.quantity <= max(0, position.before.quantity)"),
    ("account", "account.after.cash >= 99_200"),
    ("account", "sum(abs(position.after.value)) <= 1% * account.after.nav"),
    ("account", "sum(abs(position.after.value)) / account.after.nav <= 1%"),
    ("account", "sum(position.after.value where position.after.value > 500) <= 900"),
    ("account", "sum(position.after.quantity * position.after.quantity) <= 120"),
    ("account", "sum(position.after.quantity * (9 - position.after.quantity)) <= 15"),  # worst between the corners
    ("position", "position.after.quantity * (7 - position.after.quantity) <= 8"),
    ("account", "sum(order.quantity) + sum(working_order.filled) <= 11"),
    ("instrument", "sum(order.filled) + sum(working_order.filled) <= 10"),
]


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(("for_each", "require"), REQUIREMENTS)
def test_what_is_admitted_is_what_the_reference_admits_at_each_quantity(for_each, require, name):
    one, snapshot = rule(require, for_each), load_snapshot(world(**WORLDS[name]), VOCABULARY)
    for side in ("buy", "sell"):
        assert found_for(one, snapshot, side=side) == by_trying(one, snapshot, CAP, side=side), side


def test_most_are_found_by_functions_and_not_by_trying(monkeypatch):
    monkeypatch.setattr(breakpoints, "TRIED_MAX", 0)
    tried = []
    for for_each, require in REQUIREMENTS:
        one, snapshot = rule(require, for_each), load_snapshot(world(**WORLDS["long"]), VOCABULARY)
        try:
            assert found_for(one, snapshot) == by_trying(one, snapshot, CAP)
        except InexpressibleError:
            tried.append(require)
    assert tried == []


@pytest.mark.parametrize("given", [1, 5, CAP, CAP + 40])
def test_the_quantity_that_was_asked_for_changes_nothing(given):
    one = rule("sum(abs(position.after.value)) <= 1_000", "issuer")
    snapshot = load_snapshot(world(**WORLDS["long"]), VOCABULARY)
    assert found_for(one, snapshot, given=given) == by_trying(one, snapshot, CAP) == {1, 2, 3, 4}


# ---- old breaches ----------------------------------------------------------------------------------------------------

BETTER, FIRM = "if_already_breached: must_not_worsen", "if_already_breached: block"


@pytest.mark.parametrize(("side", "more", "good"), [("sell", BETTER, CAP), ("buy", BETTER, 0), ("sell", FIRM, 0)])
def test_an_old_breach_admits_what_makes_it_no_worse(side, more, good):
    snapshot = load_snapshot(world(**WORLDS["over"]), VOCABULARY)
    one = rule("sum(abs(position.after.value)) <= 1_000", "issuer", more=more)
    assert len(found_for(one, snapshot, side=side)) == good
    assert found_for(one, snapshot, side=side) == by_trying(one, snapshot, CAP, side=side)


def test_getting_better_may_not_go_through_nought():
    snapshot = load_snapshot(world(positions=[position("ACME", 6)]), VOCABULARY)
    one = rule("sum(abs(position.after.value)) <= 400", "issuer", more=BETTER)
    good = found_for(one, snapshot, cap=20, side="sell")
    assert good == by_trying(one, snapshot, 20, side="sell")
    assert good == {1, 2, 3, 4, 5, 6}, "four shares short would keep the limit, but not on the way from six long"


# ---- what is missing or not analysable -------------------------------------------------------------------------------


def test_nothing_is_admitted_where_a_fact_is_missing():
    one = rule("sum(order.filled) <= instrument.adv", "instrument")
    document = world()
    del document["instruments"][0]["adv"]
    snapshot = load_snapshot(document, VOCABULARY)
    assert found_for(one, snapshot) == by_trying(one, snapshot, CAP) == set()


def test_a_guard_that_does_not_apply_admits_everything():
    one = rule("order.quantity <= 2", more="when: order.side == sell_short\n")
    snapshot = load_snapshot(world(), VOCABULARY)
    assert found_for(one, snapshot) == set(range(1, CAP + 1))


def test_a_guard_on_the_quantity_applies_where_it_says():
    one = rule("order.price <= 50", more="when: order.quantity > 6\n")
    snapshot = load_snapshot(world(), VOCABULARY)
    assert found_for(one, snapshot) == by_trying(one, snapshot, CAP) == {1, 2, 3, 4, 5, 6}


def test_a_rule_without_a_function_is_tried_up_to_a_bound_and_not_beyond(monkeypatch):
    one = rule("order.quantity * order.quantity * order.quantity <= 500")
    snapshot = load_snapshot(world(), VOCABULARY)
    assert found_for(one, snapshot) == by_trying(one, snapshot, CAP) == {1, 2, 3, 4, 5, 6, 7}
    monkeypatch.setattr(breakpoints, "TRIED_MAX", CAP - 1)
    with pytest.raises(InexpressibleError, match="degree-above-two"):
        found_for(one, snapshot)


def test_the_point_at_another_quantity_differs_in_nothing_else():
    projection = seen(load_snapshot(world(), VOCABULARY), 5)
    at = Point(projection, (account_subject(projection),), {}, {})
    there = with_quantity(at, 9)
    (before,), (after,) = at.projection.orders, there.projection.orders
    assert {k for k in before if before[k] != after[k]} == {"order.quantity"}
    assert after["order.quantity"] == Fraction(9)


# ---- the search over rules -------------------------------------------------------------------------------------------


class Search:
    """A search over rules whose refusals the reference gives; counts how often it was asked."""

    def __init__(self, *rules: Rule, quick: Mapping[int, Intervals] | None = None) -> None:
        self.snapshot = load_snapshot(world(), VOCABULARY)
        self.rules: list[Prepared] = [prepared(r) for r in rules]
        self.quick = quick or {}
        self.asked: list[int] = []

    def refusing(self, quantity: int) -> frozenset[int]:
        self.asked.append(quantity)
        return frozenset(
            i
            for i, one in enumerate(self.rules)
            if one.rule.severity is not Severity.WARN
            and any(f.status not in ADMITTED for f in judge(one.rule, seen(self.snapshot, quantity), {}))
        )

    def largest(self, *first: int, cap: int = CAP) -> tuple[Largest, Mapping[str, int]]:
        view: View = (seen(self.snapshot, 5), {})
        sought = Sought(self.rules, {}, self.quick.get, lambda _: view, self.refusing)
        return largest(sought, frozenset(first), cap)


SEVEN, NINE = "order.quantity <= 7", "order.quantity <= 9"


def test_the_largest_is_what_all_admit_and_the_binding_rules_refuse_one_more():
    search = Search(rule(SEVEN, name="seven"), rule(NINE, name="nine"), rule("order.quantity < 8", name="eight"))
    found, tops = search.largest(0, 1, 2)
    assert found == Largest(7, ("eight", "seven"))
    assert tops == {"seven": 7, "nine": 9, "eight": 7}


def test_rules_that_turn_out_to_refuse_are_studied_too():
    search = Search(rule(NINE, name="nine"), rule(SEVEN, name="seven"), rule("order.quantity <= 99", name="idle"))
    found, tops = search.largest(0)
    assert found == Largest(7, ("seven",))
    assert tops == {"nine": 9, "seven": 7}, "the idle rule was never in the way"
    assert search.asked == [9, 7, 8]


@pytest.mark.parametrize(("cap", "binding"), [(6, ()), (7, ()), (8, ("seven",))])
def test_an_admitted_cap_binds_nobody(cap, binding):
    found, _ = Search(rule(SEVEN, name="seven")).largest(0, cap=cap)
    assert (found.quantity, found.binding) == (min(cap, 7), binding)


def test_where_nothing_is_admitted_the_largest_is_nought_and_one_share_is_refused():
    found, tops = Search(rule("order.quantity <= 0.5", name="none")).largest(0)
    assert (found.quantity, found.binding, found.note) == (0, ("none",), "")
    assert tops == {"none": 0}


def test_a_minimum_size_above_a_maximum_admits_nothing():
    found, tops = Search(rule("order.quantity >= 10", name="least"), rule(SEVEN, name="seven")).largest(0, 1)
    assert found.quantity == 0
    assert tops == {"least": CAP, "seven": 7}


def test_warnings_are_studied_and_stop_nobody():
    search = Search(rule(SEVEN, name="warned", more="severity: warn\n"), rule(NINE, name="nine"))
    found, tops = search.largest(0, 1)
    assert found == Largest(9, ("nine",))
    assert tops == {"warned": 7, "nine": 9}


def test_nothing_is_claimed_where_a_rule_is_not_analysable(monkeypatch):
    monkeypatch.setattr(breakpoints, "TRIED_MAX", 0)
    cube = "order.quantity * order.quantity * order.quantity <= 500"
    found, tops = Search(rule(cube, name="cube"), rule(SEVEN, name="seven")).largest(0, 1)
    assert found == Largest(0, (), "not analysable: cube")
    assert tops == {"seven": 7}
    warned, _ = Search(rule(cube, name="cube", more="severity: warn\n"), rule(SEVEN, name="seven")).largest(0, 1)
    assert warned == Largest(7, ("seven",)), "a warning that is not analysable stops nobody"


def test_what_is_known_without_a_study_is_taken():
    found, tops = Search(rule(SEVEN, name="seven"), quick={0: ((2, 4),)}).largest(0)
    assert found.quantity == 4
    assert tops == {"seven": 4}


def test_a_study_that_the_whole_decision_contradicts_claims_nothing():
    found, _ = Search(rule(SEVEN, name="seven"), quick={0: ((1, 9),)}).largest(0)
    assert found == Largest(0, (), "not analysable: 9 shares"), "the answer is judged once more as a whole"
