"""A reader gives what the specification gives: the same value, or the same words about what is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.errors import RuleFileError
from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import derivations
from lexorder.engine.readers import Readers
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import Aggregate, SetOf, Term
from lexorder.engine.typecheck import term_of
from tests.agreement import compare, rules, worlds

KINDS = ("order", "account", "position", "instrument", "market", "issuer", "sector", "trader", "strategy")
DERIVED = """
- {rule: calm, title: t, for_each: market, when: "market.volatility > 5%", derive: {market.regime: NORMAL}}
- {rule: wild, title: t, for_each: market, when: "market.volatility <= 5%", derive: {market.regime: VOLATILE}}
"""
DERIVATIONS = derivations(RuleBook.of(DERIVED, compare.VOCABULARY).on(compare.DAY))
READERS = Readers(compare.VOCABULARY, DERIVATIONS)


def said(read: object, at: Point) -> object:
    """The answer, or the words about what is missing."""
    assert callable(read)
    try:
        return ("value", read(at))
    except MissingFactError as error:
        return ("missing", str(error))


def points(random_: Random, kind: str) -> list[tuple[tuple[str, ...], Point]]:
    """Where a rule for each thing of a kind is read, some fills done, facts missing here and there."""
    snapshot = worlds.snapshot(random_, worlds.Rates())
    orders = (worlds.order(random_, 1, 9),)
    seen = project(snapshot, compare.VOCABULARY, worlds.ACCOUNT, orders)
    rule = RuleBook.of(f'- {{rule: r, title: t, for_each: {kind}, require: "account.nav > 0"}}', compare.VOCABULARY).on(
        compare.DAY
    )[0]
    fills = {("order", str(orders[0]["order.id"])): Fraction(random_.randint(0, 3))}
    account = account_subject(seen)
    return [(("account", kind), Point(seen, (account, s), fills, DERIVATIONS)) for s in subjects_of(rule, seen)]


def same(term: Term, kinds: tuple[str, ...], at: Point) -> None:
    """Both answer alike."""
    assert said(READERS.of(term, kinds), at) == said(lambda there: value(term, there), at)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(15))
def test_every_rule_of_a_random_book_is_read_as_the_specification_reads_it(kind, seed):
    random_ = Random(f"readers {kind} {seed}")
    places = points(random_, kind)
    for rule in compare.rules_of(random_.randrange(10**6), 12):
        for term in (rule.when, rule.require):
            if term is not None and rule.for_each == kind:
                for kinds, at in places:
                    for node in term.walk():
                        if not isinstance(node, SetOf) and not inside_a_sum(node, term):
                            same(node, kinds, at)


def inside_a_sum(node: Term, whole: Term) -> bool:
    """Whether a node needs a member of a collection bound around it."""
    return any(
        isinstance(a, Aggregate) and any(n is node for c in a.children() for n in c.walk()) for a in whole.walk()
    )


@pytest.mark.parametrize("seed", range(60))
def test_random_amounts(seed):
    random_ = Random(f"amounts {seed}")
    term = term_of(f"{rules.amount(random_, 3)} <= 0", compare.VOCABULARY, "account")
    for kinds, at in points(random_, "account"):
        same(term, kinds, at)


def named(name: str) -> str:
    """A condition that reads a name, whatever its type."""
    return f"{name} == {name}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_that_can_be_read_from_a_subject(kind):
    read = 0
    for seed in range(4):
        places = points(Random(f"names {kind} {seed}"), kind)
        for declared in compare.VOCABULARY.names.values():
            try:
                term = term_of(named(declared.name), compare.VOCABULARY, kind)
            except RuleFileError:
                continue
            read += 1
            for kinds, at in places:
                same(term, kinds, at)
    assert read > 100


@pytest.mark.parametrize("minutes", [-1, 0, 14, 15, 16])
def test_an_aged_fact_is_as_old_as_the_specification_says(minutes):
    random_ = Random("aged")
    snapshot = worlds.snapshot(random_, worlds.Rates(0, 0, 0))
    told = {"instrument.mark_time": snapshot.time - timedelta(minutes=minutes)}
    instruments = {s: {**facts, **told} for s, facts in snapshot.instruments.items()}
    seen = project(
        replace(snapshot, instruments=instruments),
        compare.VOCABULARY,
        worlds.ACCOUNT,
        (worlds.order(random_, 1, 3),),
    )
    subject = subjects_of_orders(seen)
    same(term_of("instrument.mark > 0", compare.VOCABULARY, "order"), ("account", "order"), subject)


def subjects_of_orders(seen: Projection) -> Point:
    """Where a rule for each order is read."""
    (order,) = seen.orders
    return Point(seen, (account_subject(seen), Subject("order", str(order["order.id"]), order)), {}, {})


def test_division_by_zero_is_not_known():
    term = term_of("account.nav / (account.cash - account.cash) > 1", compare.VOCABULARY, "account")
    ((kinds, at),) = points(Random("zero"), "account")
    same(term, kinds, at)
