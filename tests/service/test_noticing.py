"""What begins and what ends: every combination of what was found and what was open."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from lexorder.api.service.noticing import cause_of, ended, steps
from lexorder.api.service.open_breaches import BEGUN, ENDED, WITHHELD, OpenBreaches
from lexorder.engine.verdict import Finding, Status
from tests.worlds import book

RULE = "small"
RULES = {
    rule.id: rule
    for rule in book(
        """
        rule: small
        title: At most 100 shares
        for_each: position
        require: abs(position.after.quantity) <= 100
        """
    ).on(date(2026, 6, 15))
}
KEY = (RULE, "ACME")
OPEN = {
    "now": "then",
    "account": "A",
    "rule": RULE,
    "subject": "ACME",
    "audience": "everyone",
    "severity": "hard",
    "title": "At most 100 shares",
}


def finding(status: Status) -> Finding:
    """A hundred and one shares."""
    return Finding(RULE, "ACME", status, Fraction(101), Fraction(100), Fraction(-1))


FOUND = {
    "nothing": {},
    "breach": {KEY: finding(Status.BREACH)},
    "passive": {KEY: finding(Status.PASSIVE)},
    "undecided": {KEY: finding(Status.UNDECIDED)},
}
EXPECTED = {
    ("nothing", False): [],
    ("nothing", True): [ENDED],
    ("breach", False): [BEGUN],
    ("breach", True): [],
    ("passive", False): [BEGUN],
    ("passive", True): [],
    ("undecided", False): [],  # nobody can tell that it began,
    ("undecided", True): [],  # nor that it ended
}


@pytest.mark.parametrize(("found", "was_open"), list(EXPECTED))
def test_what_is_found_against_what_was_open(found, was_open):
    known = {KEY: OPEN} if was_open else {}
    kinds = [kind for kind, _ in steps("A", RULES, FOUND[found], known, {"prices"})]
    assert kinds == EXPECTED[found, was_open]


def test_a_beginning_says_all_that_an_end_and_a_list_need():
    ((_, body),) = steps("A", RULES, FOUND["breach"], {}, {"prices", "accounts"})
    assert body == {
        "account": "A",
        "rule": RULE,
        "subject": "ACME",
        "audience": "everyone",
        "cause": "passive",
        "changes": ["accounts", "prices"],
        "severity": "hard",
        "title": "At most 100 shares",
        "reason": "LIMIT_EXCEEDED",
        "observed": "101",
        "limit": "100",
        "margin": "-1",
    }
    assert ended({**body, "now": "then"}, "holds")["since"] == "then"


def test_a_rule_that_is_not_watched_any_more_ends_what_it_began():
    ((kind, body),) = steps("A", {}, {}, {KEY: OPEN}, {"rules"})
    assert (kind, body["why"], body["since"]) == (ENDED, "no longer judged", "then")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"prices"}, "passive"),
        ({"accounts", "lists", "rules", "time"}, "passive"),
        ({"fills"}, "active"),
        ({"positions", "prices"}, "active"),
        ({"working-orders"}, "active"),
        ({"start"}, "unknown"),
        ({"snapshot", "fills"}, "unknown"),
    ],
)
def test_the_cause_is_that_of_what_changed(changes, cause):
    assert cause_of(changes) == cause


# ---- what is open ----------------------------------------------------------------------------------


def test_a_breach_begins_once_and_ends_once_whatever_is_told_twice():
    breaches = OpenBreaches()
    breaches.begin(OPEN)
    breaches.begin({**OPEN, "now": "later"})
    assert breaches.of == {"A": {KEY: OPEN}}
    breaches.end({**OPEN, "subject": "BETA"})
    assert len(breaches) == 1
    for _ in range(2):
        breaches.end(OPEN)
        assert (len(breaches), dict(breaches.of)) == (0, {})


def test_counts_are_by_rule_and_severity_and_name_no_rule_for_compliance():
    breaches = OpenBreaches()
    quiet = {**OPEN, "rule": "quiet", "audience": "compliance"}
    for body in (OPEN, {**OPEN, "subject": "BETA"}, {**OPEN, "account": "B", "severity": "soft"}, quiet):
        breaches.begin(body)
    assert breaches.counts() == {(RULE, "hard"): 2, (RULE, "soft"): 1, (WITHHELD, "hard"): 1}
