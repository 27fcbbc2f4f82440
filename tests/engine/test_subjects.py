"""Subjects of a rule: whoever an order can affect is listed, and nobody's amount moves who is not.

The reference is a walk over all subjects there could be: each one's amount without the order and with it, in every
state, by `evaluate.value`.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.evaluate import Point, value
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError, Projection, Snapshot, Subject, project
from lexorder.engine.states import states
from lexorder.engine.subjects import (
    account_subject,
    belongs,
    counted_for,
    reaches_everything,
    subjects_of,
)
from lexorder.engine.terms import Aggregate, Term
from lexorder.engine.typecheck import term_of
from tests.worlds import VOCABULARY, book, instrument, order, position, working, world

GROUPS = ("issuer", "sector", "country", "currency", "group")
NAMES = {"ACME": ("ACME", "Tech"), "ACMEB": ("ACME", "Tech"), "BETA": ("BETA", "Tech"), "COCO": ("COCO", "Energy")}


def snapshot(**sections: Any) -> Snapshot:
    """Four names, two of one issuer; three of one sector."""
    plain = {"instruments": [instrument(s, issuer=i, sector=x) for s, (i, x) in NAMES.items()]}
    return load_snapshot(world(**{**plain, **sections}), VOCABULARY)


def seen_of(*orders: dict[str, Any], **sections: Any) -> Projection:
    return project(snapshot(**sections), VOCABULARY, "A", tuple(load_order(o, VOCABULARY) for o in orders))


def rule(kind: str, require: str = "account.nav > 0") -> Rule:
    return book(f"rule: r\ntitle: T\nfor_each: {kind}\nrequire: {require}").on(snapshot().time.date())[0]


def keys(kind: str, seen: Projection, require: str = "account.nav > 0") -> list[str]:
    return [subject.key for subject in subjects_of(rule(kind, require), seen)]


HELD = {"positions": [position("BETA", 2), position("COCO", 3)]}


@pytest.mark.parametrize(
    ("kind", "touched", "all_of_them"),
    [
        ("account", ["A"], ["A"]),
        ("order", ["o1", "o2"], []),
        ("position", ["ACME", "ACMEB"], ["BETA", "COCO"]),
        ("instrument", ["ACME", "ACMEB"], list(NAMES)),
        ("market", ["ACME", "ACMEB"], list(NAMES)),
        ("issuer", ["ACME"], ["BETA", "COCO"]),
        ("sector", ["Tech"], ["Energy", "Tech"]),
        ("country", ["US"], ["US"]),
        ("trader", ["T"], ["T", "U"]),
        ("strategy", ["S"], ["S"]),
        ("working_order", ["W"], ["W"]),
    ],
)
def test_with_orders_those_they_touch_and_without_all_of_the_account(kind, touched, all_of_them):
    """Each once, in the order of its key."""
    sections: dict[str, Any] = {
        **HELD,
        "traders": [{"id": t, "role": "junior_trader"} for t in ("U", "T")],
        "strategies": [{"id": "S"}],
    }
    orders = [order("buy", 1, s, id=f"o{n}", trader="T", strategy="S") for n, s in ((2, "ACMEB"), (1, "ACME"))]
    with_orders = keys(kind, seen_of(*orders, **{**sections, "working_orders": [working("W", "BETA", "buy", 1)]}))
    assert (with_orders if kind != "order" else sorted(with_orders)) == touched
    alone = seen_of(**{**sections, "working_orders": [working("W", "BETA", "buy", 1)]})
    assert keys(kind, alone) == all_of_them


@pytest.mark.parametrize("kind", GROUPS)
def test_a_name_without_a_group_has_a_subject_without_a_key(kind):
    """Judged undecided, never dropped: a rule that nobody is judged by would pass."""
    field = VOCABULARY.entities[kind].groups.split(".")[1]
    bare = {k: v for k, v in instrument("ACME").items() if k != field}
    assert keys(kind, seen_of(order("buy", 1), instruments=[bare])) == [""]


@pytest.mark.parametrize("kind", ["issuer", "sector", "position", "instrument"])
def test_a_rule_that_reads_cash_after_fills_is_for_every_name_of_the_account(kind):
    """An order in one name moves the cash that every other's limit is measured by."""
    seen = seen_of(order("buy", 1, "ACME"), **HELD)
    limit = "account.after.cash >= 0"
    assert set(keys(kind, seen, limit)) > set(keys(kind, seen))
    assert set(keys(kind, seen, limit)) == {
        "issuer": {"ACME", "BETA", "COCO"},
        "sector": {"Tech", "Energy"},
    }.get(kind, {"ACME", "BETA", "COCO"})


@pytest.mark.parametrize(
    ("require", "reaches"),
    [
        ("account.nav > 0", False),
        ("account.cash >= 0", False),
        ("account.after.cash >= 0", True),
        ("account.after.nav > 0 USD or account.nav > 5", True),
        ("sum(position.after.value) <= 5", False),
        ("account.sum(abs(position.after.value)) <= 5", True),
        ("account.sum(abs(position.before.value)) <= 5", False),
    ],
)
def test_what_reaches_everything(require, reaches):
    assert reaches_everything(rule("issuer", require)) is reaches
    assert reaches_everything(rule("issuer", require)) is reaches, "the same when asked again"


# ---- members -------------------------------------------------------------------------------------------------


def member(entity: str, symbol: str | None, **facts: str) -> Facts:
    found: dict[str, Any] = {f"{entity}.{name}": text for name, text in facts.items()}
    return found if symbol is None else {**found, f"{entity}.symbol": symbol}


PAIR = {"pair.id": "P", "pair.first": "ACME", "pair.second": "BETA"}
COUNTED: tuple[tuple[Subject, str | None, dict[str, str], bool], ...] = (
    (Subject("account", "A"), "ACME", {}, True),
    (Subject("order", "o"), "ACME", {}, True),
    (Subject("trader", "T"), "ACME", {}, True),
    (Subject("position", "ACME"), "ACME", {}, True),
    (Subject("position", "ACME"), "ACMEB", {}, False),
    (Subject("instrument", "ACME"), "ACME", {}, True),
    (Subject("market", "ACME"), "BETA", {}, False),
    (Subject("position", "ACME"), None, {}, True),
    (Subject("issuer", "ACME"), "ACMEB", {}, True),
    (Subject("issuer", "ACME"), "BETA", {}, False),
    (Subject("issuer", ""), "GONE", {}, False),
    (Subject("sector", "Tech"), "BETA", {}, True),
    (Subject("sector", "Tech"), "COCO", {}, False),
    (Subject("sector", "Tech"), "GONE", {}, False),
    (Subject("sector", "Tech"), None, {}, True),
    (Subject("pair", "P", PAIR), "ACME", {}, True),
    (Subject("pair", "P", PAIR), "BETA", {}, True),
    (Subject("pair", "P", PAIR), "COCO", {}, False),
    (Subject("strategy", "S"), "ACME", {"strategy": "S"}, True),
    (Subject("strategy", "S"), "ACME", {"strategy": "R"}, False),
    (Subject("strategy", "S"), "ACME", {}, True),
)


@pytest.mark.parametrize(("subject", "symbol", "facts", "counted"), COUNTED)
def test_who_is_counted_for_whom(subject, symbol, facts, counted):
    seen = seen_of()
    assert belongs(seen, subject, "position", member("position", symbol, **facts)) is counted


@pytest.mark.parametrize("kind", GROUPS)
def test_every_name_with_a_group_is_counted_in_exactly_one(kind):
    """Sums over all groups are the account's: nothing is left out and nothing is counted twice."""
    seen = seen_of(positions=[position(s, n) for n, s in enumerate(NAMES, 1)])
    subjects = subjects_of(rule(kind), seen)
    for symbol in NAMES:
        mine = [s.key for s in subjects if belongs(seen, s, "position", member("position", symbol))]
        assert mine == [seen.group_of(kind, symbol)]


def test_an_amount_of_the_account_counts_all_whatever_it_is_read_for():
    inner = term_of("account.sum(position.before.quantity)", VOCABULARY, "issuer")
    own = term_of("sum(position.before.quantity)", VOCABULARY, "issuer")
    assert isinstance(inner, Aggregate)
    assert isinstance(own, Aggregate)
    seen = seen_of(**HELD)
    stack = (account_subject(seen), Subject("issuer", "BETA"), Subject("position", "COCO"))
    assert counted_for(inner, stack).entity == "account"
    assert counted_for(own, stack).key == "BETA"
    assert counted_for(own, stack[:1]).entity == "account"
    here = Point(seen, stack[:2], {}, {})
    assert (value(inner, here), value(own, here)) == (5, 2)


# ---- nobody else's amount moves --------------------------------------------------------------------------------

AMOUNTS = (
    "sum(abs(position.after.value))",
    "sum(position.after.quantity)",
    "sum(order.filled) + sum(working_order.filled)",
    "sum(order.notional where order.side == buy)",
    "sum(abs(position.after.value)) / account.nav",
    "sum(account.nav * (if position.after.quantity > 0 then 1 else 0))",
    "account.sum(abs(position.after.value)) - sum(abs(position.after.value))",
)


def amounts(term: Term, seen: Projection, subject: Subject) -> set[Any]:
    """What an amount can come to in any state."""
    able = [(("order", str(o["order.id"])), o["order.quantity"]) for o in seen.orders]
    found: set[Any] = set()
    for fills in states(able, corners=False):  # type: ignore[arg-type]
        try:
            found.add(value(term, Point(seen, (account_subject(seen), subject), fills, {})))
        except MissingFactError as error:
            found.add(str(error))
    return found


@pytest.mark.parametrize("kind", ["position", "instrument", *GROUPS])
@pytest.mark.parametrize("text", AMOUNTS)
@pytest.mark.parametrize("seed", range(2))
def test_an_order_moves_nobody_s_amount_who_is_not_listed(kind, text, seed):
    random_ = Random(seed)
    held = [position(s, random_.randint(-3, 3)) for s in random_.sample(list(NAMES), 3)]
    one = order("buy", random_.randint(1, 3), random_.choice(list(NAMES)), id="o")
    without, with_it = seen_of(positions=held), seen_of(one, positions=held)
    everyone = subjects_of(rule(kind), without)
    judged = subjects_of(_compared(kind, text), with_it)
    term = term_of(text, VOCABULARY, kind)
    for subject in everyone:
        if subject.key not in {s.key for s in judged}:
            assert amounts(term, with_it, subject) == amounts(term, without, subject)
    assert judged


def _compared(kind: str, text: str) -> Rule:
    """A rule that reads the amount, whatever its unit is."""
    return RuleBook.of(f"- {{rule: r, title: T, for_each: {kind}, require: '{text} == {text}'}}", VOCABULARY).on(
        snapshot().time.date()
    )[0]


def test_the_account_s_facts_are_its_own():
    seen = seen_of()
    assert account_subject(seen).facts["account.nav"] == Fraction(100_000)
    other = Projection(seen.snapshot, VOCABULARY, "NOBODY", (), (), {})
    assert (account_subject(other).key, account_subject(other).facts) == ("NOBODY", {})
