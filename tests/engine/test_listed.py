"""The entries behind a finding: for every rule and subject exactly those in force that cover a name it is about."""

from __future__ import annotations

from typing import Any

import pytest

from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.listed import entries_behind, lists_of
from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import Projection, project
from lexorder.engine.subjects import subjects_of
from tests.worlds import VOCABULARY, book, instrument, order, position, world

TODAY, YESTERDAY, TOMORROW = "2026-06-15", "2026-06-14", "2026-06-16"
RESTRICTED: list[Any] = [
    "ACME",
    {"name": "ACMEB", "kind": "symbol", "from": TODAY, "reason": "deal"},
    {"name": "ACMEB", "kind": "symbol", "until": YESTERDAY, "reason": "over"},
    {"name": "ACMEB", "kind": "symbol", "from": TOMORROW, "reason": "not yet"},
    {"name": "ACMEB", "kind": "symbol", "until": TODAY, "reason": "its last day"},
]
LISTED = "order.symbol not in lists.restricted"


def seen_of(*orders: dict[str, Any]) -> Projection:
    document = world(
        instruments=[instrument("ACME", issuer="ACME"), instrument("ACMEB", issuer="ACME"), instrument("BETA")],
        positions=[position("BETA", 1)],
        lists={"restricted": RESTRICTED, "watch": ["BETA"]},
    )
    facts = tuple(load_order(o, VOCABULARY) for o in orders)
    return project(load_snapshot(document, VOCABULARY), VOCABULARY, "A", facts)


def rule(require: str, kind: str = "order", when: str = "") -> Rule:
    extra = f"\nwhen: {when}" if when else ""
    return book(f"rule: r\ntitle: T\nfor_each: {kind}\nrequire: {require}{extra}").on(seen_of().snapshot.time.date())[0]


def behind(one: Rule, subject: str, seen: Projection) -> list[tuple[str, str, str]]:
    return [(name, e.name, e.reason) for name, e in entries_behind(one, subject, seen, lists_of(one))]


@pytest.mark.parametrize(
    ("require", "when", "lists"),
    [
        ("order.quantity <= 5", "", ()),
        (LISTED, "", ("restricted",)),
        ("order.quantity <= 5", "order.symbol in lists.watch", ("watch",)),
        (f"{LISTED} and instrument.issuer not in lists.watch", "", ("restricted", "watch")),
        (LISTED, "instrument.issuer not in lists.restricted", ("restricted",)),
    ],
)
def test_the_lists_a_rule_reads(require, when, lists):
    """In its condition too; each once, by name."""
    assert lists_of(rule(require, when=when)) == lists


def test_only_entries_in_force_today_and_both_their_days_count():
    found = behind(rule(LISTED), "o", seen_of(order("buy", 1, "ACMEB", id="o")))
    assert found == [("restricted", "ACME", ""), ("restricted", "ACMEB", "deal"),
                     ("restricted", "ACMEB", "its last day")]  # fmt: skip


@pytest.mark.parametrize(("symbol", "names"), [("ACME", ["ACME"]), ("BETA", []), ("ACMEB", ["ACME", "ACMEB", "ACMEB"])])
def test_a_name_that_no_entry_covers_has_none(symbol, names):
    """`ACME` names an issuer as well as a symbol, so it covers both of the issuer's names."""
    assert [name for _, name, _ in behind(rule(LISTED), "o", seen_of(order("buy", 1, symbol, id="o")))] == names


def test_a_rule_that_reads_no_list_tells_of_none():
    seen = seen_of(order("buy", 1, "ACME", id="o"))
    assert behind(rule("order.quantity <= 5"), "o", seen) == []
    assert entries_behind(rule(LISTED), "o", seen, ()) == ()


def test_a_finding_on_one_order_is_about_its_name_alone():
    """In a basket the other order's name is nobody's business here; a finding on the account is about all of them."""
    seen = seen_of(order("buy", 1, "BETA", id="b"), order("buy", 1, "ACME", id="a"))
    one = rule(f"{LISTED} and instrument.issuer not in lists.watch")
    assert behind(one, "b", seen) == [("watch", "BETA", "")]
    assert behind(one, "a", seen) == [("restricted", "ACME", "")]
    whole = rule("count(order where order.symbol in lists.restricted) == 0", "account")
    assert behind(whole, "A", seen) == [("restricted", "ACME", "")]
    position_ = rule("position.symbol not in lists.watch or position.after.quantity <= 0", "position")
    assert behind(position_, "BETA", seen) == [("watch", "BETA", "")]
    assert behind(position_, "ACME", seen) == []


def test_every_subject_of_the_orders_gets_an_answer():
    seen = seen_of(order("buy", 1, "ACME", id="o"))
    for kind in ("order", "account", "position", "instrument", "issuer", "sector"):
        one = rule("account.nav > 0", kind, when="account.id not in lists.restricted")
        assert all(behind(one, s.key, seen) == [("restricted", "ACME", "")] for s in subjects_of(one, seen))
