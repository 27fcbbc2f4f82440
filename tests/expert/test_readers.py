"""The expert's readers against the specification: the same value, or the same words about what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.desk import shipped_rules
from lexorder.engine.evaluate import Fills, Point, value
from lexorder.engine.expert.readers import Readers
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import Aggregate, SetOf, Term
from lexorder.engine.typecheck import term_of
from tests.agreement import compare, worlds
from tests.expert.books import DAY
from tests.worlds import VOCABULARY, instrument, order, world

READERS = Readers(VOCABULARY)
LIBRARY = tuple(RuleBook.load(shipped_rules(), VOCABULARY).on(DAY))


def said(read: Callable[[Point], object], at: Point) -> tuple[str, object]:
    """The value, or the words about what is missing."""
    try:
        return "value", read(at)
    except MissingFactError as error:
        return "missing", str(error)


def same(term: Term, at: Point, seen: Counter[str]) -> None:
    """Both say the same; counts which of the two it was."""
    kind, expected = said(lambda p: value(term, p), at)
    assert said(lambda p: READERS.value(term, p), at) == (kind, expected), term
    seen[kind] += 1


def bare(term: Term) -> Iterator[Term]:
    """The nodes of a term that can be read where it stands: not those inside a sum."""
    if not isinstance(term, SetOf):
        yield term
    if not isinstance(term, Aggregate):
        for child in term.children():
            yield from bare(child)


def places(rule: Rule, seen: Projection, fills: Fills) -> Iterator[Point]:
    """Where a rule is read."""
    try:
        subjects = subjects_of(rule, seen)
    except MissingFactError:
        return
    for subject in subjects[:4]:
        stack = (account_subject(seen), subject) if subject.entity != "account" else (subject,)
        yield Point(seen, stack, fills, {})


def against(rules: tuple[Rule, ...], seen: Projection, fills: Fills, counts: Counter[str]) -> None:
    """Every node of every rule, everywhere it is judged."""
    for rule in rules:
        for at in places(rule, seen, fills):
            for term in (rule.when, rule.require, *(t for _, t in rule.derive)):
                for node in bare(term) if term is not None else ():
                    same(node, at, counts)


@pytest.mark.parametrize("seed", range(8))
def test_every_rule_of_the_library(seed):
    random, counts = Random(f"library {seed}"), Counter[str]()
    seen, fills = surroundings(random)
    against(LIBRARY, seen, fills, counts)
    assert counts["value"] > 1_000
    assert counts["missing"] > 100


@pytest.mark.parametrize("seed", range(25))
def test_random_rule_books(seed):
    random, counts = Random(f"books {seed}"), Counter[str]()
    rules = compare.rules_of(random.randrange(10**6), 12)
    for _ in range(3):
        seen, fills = surroundings(random)
        against(rules, seen, fills, counts)
    assert counts["value"] > 100


def surroundings(random: Random) -> tuple[Projection, Fills]:
    """A random world with an order under test, some of it and of the working orders filled or nothing at all."""
    snapshot = worlds.snapshot(random, worlds.Rates())
    orders = (worlds.order(random, 1, 9),)
    seen = project(snapshot, VOCABULARY, worlds.ACCOUNT, orders)
    fills: dict[tuple[str, str], Fraction] = {}
    if random.random() < 0.7:
        fills["order", str(orders[0]["order.id"])] = Fraction(random.randint(0, 9))
        for working in seen.working:
            if random.random() < 0.5:
                fills["working_order", str(working["working_order.id"])] = Fraction(random.randint(0, 3))
    return seen, fills


AGE = 900
"""Seconds after which the shipped vocabulary takes a mark for too old."""


@pytest.mark.parametrize(("seconds", "known"), [(-1, True), (0, True), (AGE - 1, True), (AGE, True), (AGE + 1, False)])
def test_a_fact_is_known_up_to_its_age_limit(seconds, known):
    assert VOCABULARY.names["instrument.mark"].max_age == AGE
    snapshot = load_snapshot(world(), VOCABULARY)
    facts = {**snapshot.instruments["ACME"], "instrument.mark_time": snapshot.time - timedelta(seconds=seconds)}
    snapshot = replace(snapshot, instruments={**snapshot.instruments, "ACME": facts})
    at = of_order(project(snapshot, VOCABULARY, "A", (load_order(order(), VOCABULARY),)))
    term = term_of("instrument.mark == 100", VOCABULARY, "order")
    same(term, at, Counter())
    assert said(lambda p: READERS.value(term, p), at)[0] == ("value" if known else "missing")


@pytest.mark.parametrize(
    ("currency", "rates", "rate"),
    [
        ("USD", {}, Fraction(1)),
        ("EUR", {"base": "USD", "EUR": "1.25"}, Fraction(5, 4)),
        ("EUR", {"base": "EUR", "USD": "0.8"}, Fraction(5, 4)),
        ("EUR", {}, None),
    ],
)
def test_the_exchange_rate_of_an_instrument(currency, rates, rate):
    document = (
        world(instruments=[instrument("ACME", currency=currency)], fx=rates)
        if rates
        else world(instruments=[instrument("ACME", currency=currency)])
    )
    seen = project(load_snapshot(document, VOCABULARY), VOCABULARY, "A", (load_order(order(), VOCABULARY),))
    term = term_of("order.notional == 1", VOCABULARY, "order")
    for node in bare(term):
        same(node, of_order(seen), Counter())
    (field,) = {n for n in term.walk() if getattr(n, "name", "") == "instrument.fx"}
    found = said(lambda p: READERS.value(field, p), of_order(seen))
    assert found == ("value", rate) if rate is not None else found[0] == "missing"


def of_order(seen: Projection) -> Point:
    """Where a rule for each order is read."""
    (one,) = seen.orders
    return Point(seen, (account_subject(seen), Subject("order", str(one["order.id"]), one)), {}, {})


def test_a_division_by_zero_is_not_known():
    seen = project(load_snapshot(world(), VOCABULARY), VOCABULARY, "A", ())
    at = Point(seen, (account_subject(seen),), {}, {})
    term = term_of("account.nav / (account.cash - account.cash) > 1", VOCABULARY, "account")
    same(term, at, Counter())
    assert said(lambda p: READERS.value(term, p), at)[0] == "missing"


def test_a_decisive_half_decides_beside_a_missing_one():
    seen = project(load_snapshot(world(), VOCABULARY), VOCABULARY, "A", ())
    at = Point(seen, (account_subject(seen),), {}, {})
    for text, expected in (
        ("account.peak_nav > 0 and account.nav < 0", ("value", False)),
        ("account.peak_nav > 0 or account.nav > 0", ("value", True)),
    ):
        term = term_of(text, VOCABULARY, "account")
        same(term, at, Counter())
        assert said(READERS.of(term, ("account",)), at) == expected
    undecided = term_of("account.peak_nav > 0 and account.nav > 0", VOCABULARY, "account")
    assert said(lambda p: READERS.value(undecided, p), at)[0] == "missing"


def test_a_function_is_written_once():
    readers = Readers(VOCABULARY)
    term = term_of("account.nav > 0", VOCABULARY, "account")
    assert readers.of(term, ("account",)) is readers.of(term, ("account",))
    assert readers.of(term, ("account",)) is not readers.of(term, ("account", "order"))
