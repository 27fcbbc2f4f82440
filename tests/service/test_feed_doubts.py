"""Which rules a doubtful feed leaves undecided: every one that could have read what was lost."""

from __future__ import annotations

from datetime import date

import pytest

from lexorder.api.service.feeds import EVERY_FEED, FEEDS, reads
from lexorder.api.service.floor import names_behind
from tests.worlds import VOCABULARY, book


def depends(*texts: str) -> set[str]:
    """The feeds the first of these rules depends on."""
    rules = book(*texts).on(date(2026, 6, 15))
    first = next(rule for rule in rules if rule.id == "one")
    names = names_behind(first, rules, VOCABULARY)
    return {feed for feed in FEEDS if reads(feed, names)}


@pytest.mark.parametrize(
    ("requirement", "feeds"),
    [
        ("order.quantity <= 5", set()),
        ("order.symbol not in lists.restricted", {"lists"}),
        ("firm.exposure <= firm.capital_limit", {"prices"}),
        ("account.cash >= 0", {"accounts", "fills"}),
    ],
)
def test_a_rule_depends_on_the_feeds_of_the_names_it_reads(requirement, feeds):
    assert depends(f"rule: one\ntitle: One\nfor_each: order\nrequire: {requirement}") == feeds


@pytest.mark.parametrize("measured", ["not order.crosses_own", "order.identical <= 3", "order.worst_position <= 100"])
def test_a_rule_that_reads_a_measure_depends_on_every_feed(measured):
    assert depends(f"rule: one\ntitle: One\nfor_each: order\nrequire: {measured}") == set(FEEDS)


def test_a_rule_for_issuers_depends_on_who_issues_what():
    text = "rule: one\ntitle: One\nfor_each: issuer\nrequire: sum(abs(position.after.quantity)) <= 5"
    assert {"prices", "positions", "fills", "working-orders"} <= depends(text)


def test_what_a_derived_fact_was_derived_from_counts():
    deriving = """
    rule: two
    title: Two
    for_each: market
    when: account.nav > 0
    derive: {market.regime: VOLATILE}
    """
    reading = "rule: one\ntitle: One\nfor_each: order\nrequire: market.regime != VOLATILE"
    assert "accounts" not in depends(reading)
    assert "accounts" in depends(reading, deriving)


def test_the_names_of_every_feed_are_names_of_every_feed():
    assert all(reads(feed, EVERY_FEED) for feed in FEEDS)
