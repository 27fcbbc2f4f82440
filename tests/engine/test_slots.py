"""What a term reads, and the places its value is kept in.

`names_read` is what decides whether an event refreshes a value. A name it forgot would leave a stale value in every
list, in both evaluators alike, so it is tried the hard way: every fact whose name it does not say is taken away, and no
term may notice.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexorder.engine.books import Books
from lexorder.engine.desk import Desk, fast
from lexorder.engine.evaluate import Point, value
from lexorder.engine.events import SingleChanged
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.slots import ABSENT, Slot, Table, load, names_in_time, names_read, touches, whole_at
from lexorder.engine.snapshot import MissingFactError, Snapshot, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Term
from lexorder.engine.totals import Book, Line
from lexorder.engine.typecheck import term_of
from tests import strategies_terms
from tests.engine import vector_cases as cases
from tests.worlds import NOON, VOCABULARY, book, order, position, world

LINKS = frozenset(f"{entity}.{field}" for entity in VOCABULARY.entities for field in ("id", "symbol", "account"))
"""What says which thing is which: no event changes these of a thing that is there."""
TERMS = strategies_terms.terms(VOCABULARY, "order", 3)
CONDITIONS = strategies_terms.conditions(VOCABULARY, "order", 3)
QUIET = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


# ---- names ---------------------------------------------------------------------------------------------------


def _read(names: frozenset[str], name: str) -> bool:
    """Whether a fact stays: it is said to be read, or says what a thing is."""
    return name in LINKS or touches(names, frozenset({name})) or f"{name.partition('.')[0]}.*" in names


def _left(facts: Facts, names: frozenset[str]) -> Facts:
    return {name: found for name, found in facts.items() if _read(names, name)}


def _table(table: Mapping[str, Facts], names: frozenset[str]) -> dict[str, Facts]:
    return {key: _left(facts, names) for key, facts in table.items()}


def stripped(snapshot: Snapshot, names: frozenset[str]) -> Snapshot:
    """Only the facts with these names."""
    return replace(
        snapshot,
        accounts=_table(snapshot.accounts, names),
        instruments=_table(snapshot.instruments, names),
        traders=_table(snapshot.traders, names),
        strategies=_table(snapshot.strategies, names),
        single=_left(snapshot.single, names),
        fills=tuple(_left(f, names) for f in snapshot.fills),
    )


def said(term: Term, snapshot: Snapshot, order: Facts) -> Any:
    """A term's value for an order, or that it is missing."""
    seen = project(snapshot, VOCABULARY, str(order["order.account"]), (order,))
    at = Point(seen, (account_subject(seen), Subject("order", str(order["order.id"]), order)), {}, {})
    try:
        return value(term, at)
    except MissingFactError:
        return "missing"


def _worlds() -> list[tuple[Snapshot, Facts]]:
    found: list[tuple[Snapshot, Facts]] = []
    for seed in range(4):
        random_ = Random(seed)
        orders = [cases.plain(random_, n) for n in range(8)]
        order = load_order({k: v for k, v in orders[-1].items() if v is not None}, VOCABULARY)
        found.append((load_snapshot(cases.document(random_, rare=10), VOCABULARY), order))
    return found


WORLDS = _worlds()


@given(term=st.one_of(TERMS, CONDITIONS))
@QUIET
def test_no_term_notices_that_facts_it_is_not_said_to_read_are_gone(term):
    names = names_read(term, VOCABULARY, {})
    for snapshot, asked in WORLDS:
        assert said(term, stripped(snapshot, names), asked) == said(term, snapshot, asked)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("order.price", {"order.price"}),
        ("instrument.mark", {"instrument.mark", "instrument.mark_time"}),
        ("instrument.fx", {"instrument.fx", "instrument.currency", "account.currency", "fx.*"}),
        ("fx.EUR", {"fx.EUR", "instrument.currency", "account.currency", "fx.*"}),
        ("count(position)", {"position.*"}),
        ("sum(fill.quantity where fill.date == clock.date)", {"fill.*", "fill.quantity", "fill.date", "clock.date"}),
        ("1 + 2", set()),
    ],
)
def test_a_name_brings_what_stands_behind_it(text, read):
    assert names_read(term_of(text, VOCABULARY, "order"), VOCABULARY, {}) == read


def test_a_derived_name_brings_what_its_rules_read():
    """Also the condition under which it is derived, and names derived in turn."""
    rules = RuleBook.of(
        "- {rule: a, title: A, for_each: market, when: instrument.adv < 5, derive: {market.regime: VOLATILE}}\n"
        "- {rule: b, title: B, for_each: market, when: instrument.halted, derive: {market.regime: VOLATILE}}\n",
        VOCABULARY,
    ).on(date(2026, 6, 15))
    term = term_of("market.regime == VOLATILE", VOCABULARY, "order")
    assert names_read(term, VOCABULARY, {}) == {"market.regime"}
    assert names_read(term, VOCABULARY, {"market.regime": rules}) == {
        "market.regime",
        "instrument.adv",
        "instrument.halted",
    }


@pytest.mark.parametrize(
    ("text", "timed"),
    [
        ("instrument.mark", True),
        ("sum(position.after.value)", True),
        ("order.price", False),
        ("instrument.adv", False),
        ("count(fill)", False),
        ("1 + 2", False),
    ],
)
def test_the_clock_is_named_apart_where_a_fact_may_grow_old(text, timed):
    """By the vocabulary's age limits: a mark has one."""
    term = term_of(text, VOCABULARY, "order")
    names = names_read(term, VOCABULARY, {})
    assert "clock.now" not in names
    assert names_in_time(term, VOCABULARY, {}) == (names | {"clock.now"} if timed else names)


@pytest.mark.parametrize(("later", "refreshed"), [(0, 0), (1, 0), (900, 0), (901, 3)])
def test_a_second_that_passes_refreshes_a_line_only_when_its_facts_grow_old(later, refreshed, monkeypatch):
    """Marks are good for 15 minutes; three names are held. That is why the clock is not among the names read."""
    lines: list[str] = []
    real = Books.refresh

    def counted(books: Books, book: Book, line: Line, changed: frozenset[str] | None) -> None:
        lines.append(line.symbol)
        real(books, book, line, changed)

    monkeypatch.setattr(Books, "refresh", counted)
    plain = world(positions=[position(s, 5) for s in ("ACME", "BETA", "COCO")])
    listed = [{**i, "mark_time": NOON} for i in plain["instruments"]]
    rules = book("rule: r\ntitle: R\nfor_each: account\nrequire: sum(position.after.value) <= 2 * account.nav")
    desk = Desk(rules, {**plain, "instruments": listed}, VOCABULARY, fast)
    assert desk.check(order("buy", 1)).approved
    lines.clear()
    desk.apply(SingleChanged({"clock.now": desk.time + timedelta(seconds=later)}))
    assert desk.check(order("buy", 1)).approved is not bool(refreshed)
    assert len(set(lines)) == refreshed


@pytest.mark.parametrize(
    ("names", "changed", "touched"),
    [
        ({"a.x"}, {"a.x"}, True),
        ({"a.x"}, {"a.y"}, False),
        ({"a.x"}, {"a.*"}, False),
        ({"fill.*"}, {"fill.*"}, True),
        ({"fx.*"}, {"fx.EUR"}, True),
        ({"fx.*"}, {"fx.base"}, True),
        ({"fx.*"}, {"a.x", "fx.JPY"}, True),
        ({"fx.EUR"}, {"fx.JPY"}, False),
        (set(), {"a.x"}, False),
        ({"a.x"}, set(), False),
    ],
)
def test_a_change_touches_what_reads_it(names, changed, touched):
    assert touches(frozenset(names), frozenset(changed)) is touched


# ---- a fact that is not known ----------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [
    operator.neg, abs, bool, hash, iter, operator.not_, *(
        lambda x, op=op, turn=turn: op(5, x) if turn else op(x, 5)
        for turn in (False, True)
        for op in (operator.add, operator.sub, operator.mul, operator.lt, operator.le, operator.gt, operator.ge,
                   operator.eq, operator.ne)
    ),
    lambda x: 5 in x, lambda x: x in (1, 2), lambda x: x in {1: 2}, lambda x: x[0], lambda x: max(x, 1),
    lambda x: min(1, x), lambda x: 1 if x else 2, lambda x: x and 1, lambda x: x == "buy", lambda x: x != "buy",
])  # fmt: skip
def test_whatever_is_done_with_an_absent_fact_raises(use):
    """`None == "buy"` would be False and let an order pass a rule that forbids purchases."""
    with pytest.raises(MissingFactError):
        use(ABSENT)


def test_looking_at_it_for_a_message_does_not():
    assert repr(ABSENT) == "ABSENT"
    assert ABSENT is ABSENT  # noqa: PLR0124 - identity alone is how it may be asked for


# ---- places ----------------------------------------------------------------------------------------------------


@given(
    number=st.one_of(st.fractions(), st.sampled_from((Fraction(2**63 - 1), Fraction(-(2**63), 10**4), Fraction(1, 3)))),
    scale=st.sampled_from((1, 10, 10**4, 10**8, 3)),
)
def test_a_number_is_an_integer_of_its_scale_or_absent(number, scale):
    """Never rounded: what is finer than its scale is not known."""
    found = whole_at(number, scale)
    assert found == number * scale if (number * scale).denominator == 1 else found is ABSENT


@pytest.mark.parametrize("odd", [5, 5.0, "5", None, True, ABSENT, datetime(2026, 6, 15)])  # noqa: DTZ001 - any object
def test_what_is_no_exact_number_is_absent(odd):
    assert whole_at(odd, 1) is ABSENT


def slot(index: int, scale: int | None) -> Slot:
    return Slot(index, term_of("order.price", VOCABULARY, "order"), ("account", "order"), scale, frozenset())


@pytest.mark.parametrize(
    ("scale", "found", "wanted"),
    [
        (None, "buy", ["buy", 7]),
        (None, MissingFactError("x", ""), [ABSENT, 7]),
        (100, Fraction(3, 4), [75, 7]),
        (2, Fraction(3, 4), [ABSENT, 7]),
        (100, MissingFactError("x", ""), [ABSENT, 7]),
        (0, Fraction(-3, 4), [-3, 4]),
        (0, MissingFactError("x", ""), [ABSENT, ABSENT]),
        (0, "buy", [ABSENT, ABSENT]),
    ],
)
def test_a_place_takes_a_value_or_says_that_it_is_absent(scale, found, wanted):
    """A quotient takes two places; when it is not known neither may keep what was there."""

    def read(_at: Point) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    into: list[Any] = [9, 7]
    load(slot(0, scale), read, None, into)  # type: ignore[arg-type]
    assert all(got is want or (want is not ABSENT and got == want) for got, want in zip(into, wanted, strict=True))


@given(asked=st.lists(st.tuples(st.integers(0, 3), st.sampled_from((None, 0, 1, 100)), st.booleans()), max_size=12))
def test_places_do_not_overlap_and_going_back_frees_them(asked):
    """Half of them are given back, as when a rule turns out to have no place; the others stay where they are."""
    names = [term_of(f"order.quantity + {n}", VOCABULARY, "order") for n in range(4)]
    table = Table("L", reserved=3)
    kept: dict[tuple[int, int | None], int] = {}
    for which, scale, stays in asked:
        mark = table.mark()
        index = table.take(names[which], ("account",), scale, frozenset()).index
        assert index == kept.get((which, scale), index)
        if stays or (which, scale) in kept:
            kept[which, scale] = index
        else:
            table.back_to(mark)
    taken = [n for (_, scale), index in kept.items() for n in range(index, index + (2 if scale == 0 else 1))]
    assert sorted(taken) == list(range(3, table.size))
    assert table.place() == len(taken) + 3
    assert [s.index for s in table.slots] == sorted(kept.values())
