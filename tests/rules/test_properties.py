"""Every rule against three promises: exact at its figure, no kinder to a larger order, not taken in by splitting.

The tables are `properties_*.py`; both pairs of evaluators answer. A rule or a rule file without an entry fails here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.catalogue import latest
from lexorder.engine.decide import ENGINE
from lexorder.engine.desk import Desk, Make, fast, slow
from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import derivations
from lexorder.engine.react import react
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.rulebook import rule_files
from lexorder.engine.snapshot import Projection
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.verdict import Status
from tests.rules import properties_firm, properties_reactions, properties_regulatory, properties_ucits
from tests.rules.library import LIBRARY, book, held, only, order, projected, status, words
from tests.rules.properties import Count, Entry, Fact, Facts, Limit, Shape, Standing, Trigger

ENTRIES: tuple[Entry, ...] = (
    *properties_regulatory.ENTRIES,
    *properties_ucits.ENTRIES,
    *properties_firm.ENTRIES,
    *properties_reactions.ENTRIES,
)
NO = (Status.BREACH, Status.UNDECIDED)
FREE = {"beneficial-ownership-five-percent"}
"""Rules of purchases alone: they have no figure for a position that the test may make up."""

both = pytest.mark.parametrize("make", [fast, slow])


def of(kind: type[Entry]) -> pytest.MarkDecorator:
    """A parameter for every entry of a kind."""
    chosen = [e for e in ENTRIES if isinstance(e, kind)]
    names = [f"{e.rule}-{getattr(e, 'order', {}).get('side', 'buy')}" for e in chosen]
    return pytest.mark.parametrize("entry", chosen, ids=names)


def sent(facts: Facts, *quantities: int) -> list[dict[str, object]]:
    """Orders of these quantities, with the facts of an entry."""
    plain: dict[str, Any] = {"side": "buy", **facts}
    side = str(plain.pop("side"))
    return [order(side, quantity, **{**plain, "id": f"O-{n}"}) for n, quantity in enumerate(quantities, 1)]


def goes(desk: Desk, rule: str, orders: Sequence[Mapping[str, object]]) -> bool:
    """Whether the rule, and the engine before any rule, lets the orders go, all together."""
    (found,) = desk.check_basket(orders)
    assert not {r.reason for r in found.reports} & {"ENGINE_FAULT", "EVALUATORS_DISAGREE", "VERDICT_MISSING"}
    return not any(r.status in NO for r in found.reports if r.rule in (rule, ENGINE))


def desk_of(rule: str, document: Mapping[str, Any], make: Make) -> Desk:
    return Desk(only(rule), document, words(), make)


# ---- nothing is left out -------------------------------------------------------------------------


def test_every_rule_has_an_entry() -> None:
    assert sorted({e.rule for e in ENTRIES}) == sorted(book().ids())


def test_every_rule_file_has_an_entry() -> None:
    rules = [latest(version) for version in book().versions]
    tested = {str(rule.span.file) for rule in rules if rule.id in {e.rule for e in ENTRIES}}
    assert tested == {str(path) for path in rule_files([LIBRARY])}


# ---- limits that grow with the order ---------------------------------------------------------------


@of(Limit)
@both
def test_the_figure_itself_goes_and_one_share_more_does_not(entry: Limit, make: Make) -> None:
    desk = desk_of(entry.rule, entry.world, make)
    assert goes(desk, entry.rule, sent(entry.order, entry.most))
    assert not goes(desk, entry.rule, sent(entry.order, entry.most + 1))


def moved(entry: Limit, quantity: int) -> Mapping[str, Any]:
    """The world of an entry with another holding of ACME."""
    if entry.rule in FREE:
        return entry.world
    others = [p for p in entry.world.get("positions", ()) if p["symbol"] != "ACME"]
    return {**entry.world, "positions": [held(quantity), *others]}


FEW, MANY = settings(max_examples=3, deadline=None), settings(max_examples=40, deadline=None)


@of(Limit)
@FEW
@given(data=st.data())
def test_a_larger_order_is_never_judged_better(entry: Limit, data: st.DataObject) -> None:
    larger_is_no_better(entry, data)


@pytest.mark.slow
@of(Limit)
@MANY
@given(data=st.data())
def test_many_larger_orders_are_never_judged_better(entry: Limit, data: st.DataObject) -> None:
    larger_is_no_better(entry, data)


def larger_is_no_better(entry: Limit, data: st.DataObject) -> None:
    """Of two orders in one direction the larger one goes only where the smaller one goes, whatever is held."""
    before = data.draw(st.sampled_from([0, entry.most]) | st.integers(-2 * entry.most, 2 * entry.most), "before")
    sizes = data.draw(st.lists(st.integers(1, 2 * entry.most + 1), min_size=2, max_size=2), "sizes")
    document = moved(entry, before)
    for make in (fast, slow):
        desk = desk_of(entry.rule, document, make)
        smaller, larger = (goes(desk, entry.rule, sent(entry.order, quantity)) for quantity in sorted(sizes))
        assert smaller or not larger


@of(Limit)
@FEW
@given(data=st.data())
def test_an_order_in_two_parts_is_judged_as_its_source_says(entry: Limit, data: st.DataObject) -> None:
    parts_are_judged(entry, data)


@pytest.mark.slow
@of(Limit)
@MANY
@given(data=st.data())
def test_many_orders_in_two_parts_are_judged_as_their_source_says(entry: Limit, data: st.DataObject) -> None:
    parts_are_judged(entry, data)


def parts_are_judged(entry: Limit, data: st.DataObject) -> None:
    """Two parts in one list are judged like the whole order, or each by itself where single orders are controlled."""
    whole = data.draw(st.integers(2, entry.most + 1) | st.just(entry.most + 1), "whole")
    first = data.draw(st.integers(1, whole - 1), "first")
    document = moved(entry, data.draw(st.integers(0, entry.most), "before"))
    for make in (fast, slow):
        desk = desk_of(entry.rule, document, make)
        parts = sent(entry.order, first, whole - first)
        if entry.split == "each":
            expected = all(goes(desk, entry.rule, [part]) for part in parts)
        else:
            expected = goes(desk, entry.rule, sent(entry.order, whole))
        assert goes(desk, entry.rule, parts) is expected


# ---- facts, counts and shapes ----------------------------------------------------------------------


@of(Fact)
@both
def test_a_fact_is_judged_at_its_figure_whatever_the_quantity(entry: Fact, make: Make) -> None:
    inside, outside = (desk_of(entry.rule, document, make) for document in (entry.inside, entry.outside))
    beyond = entry.order if entry.order_outside is None else entry.order_outside
    for quantities in ((1,), (90,), (7, 83), (83, 7)):
        assert goes(inside, entry.rule, sent(entry.order, *quantities))
        assert not goes(outside, entry.rule, sent(beyond, *quantities))


@of(Count)
@both
def test_orders_are_counted_whatever_their_quantity(entry: Count, make: Make) -> None:
    desk = desk_of(entry.rule, entry.world, make)
    for quantity in (1, 77):
        assert goes(desk, entry.rule, sent(entry.order, *[quantity] * entry.most))
        assert not goes(desk, entry.rule, sent(entry.order, *[quantity] * (entry.most + 1)))
    # The parts of an order are orders: the count takes no notice of how much they ask for.
    assert goes(desk, entry.rule, sent(entry.order, *range(1, entry.most + 1)))


@of(Shape)
@both
def test_a_size_is_asked_for_part_by_part(entry: Shape, make: Make) -> None:
    desk = desk_of(entry.rule, entry.world, make)
    for quantity, expected in entry.judged:
        assert goes(desk, entry.rule, sent(entry.order, quantity)) is expected
        for other, admitted in entry.judged:
            assert goes(desk, entry.rule, sent(entry.order, quantity, other)) is (expected and admitted)
    # That is why the promise about larger orders is not for this rule.
    kinder = any(not a and b for (m, a) in entry.judged for (n, b) in entry.judged if m < n)
    assert kinder
    assert entry.why


@of(Standing)
def test_an_account_is_watched_at_its_figure(entry: Standing) -> None:
    assert status(entry.rule, entry.inside) is Status.PASS
    assert status(entry.rule, entry.outside) is Status.BREACH


# ---- derived facts and reactions -------------------------------------------------------------------


def fires(rule: Rule, seen: Projection, rules: Sequence[Rule]) -> bool:
    """Whether a rule derives something, or reacts, for anyone."""
    if rule.then:
        phase = next(iter(rule.phases))
        told = react([rule, *(r for r in rules if r.derive)], seen, phase)
        assert not [u for u in told.unknown if u.rule == rule.id and "ACME" in u.subject]
        return any(act.rule == rule.id for act in told.acts)
    table = derivations(rules)
    at = [Point(seen, (account_subject(seen), s), {}, table) for s in subjects_of(rule, seen) if s.key != "BETA"]
    if rule.when is not None:
        at = [point for point in at if value(rule.when, point)]
    return any(value(term, point) is not False for point in at for _, term in rule.derive)


@of(Trigger)
def test_a_trigger_fires_from_its_figure_on(entry: Trigger) -> None:
    for documents, expected in ((entry.silent, False), (entry.firing, True)):
        for document in documents:
            seen = projected(document)
            day = seen.snapshot.single["clock.date"]
            assert isinstance(day, date)
            named = book().rule(entry.rule, day)
            assert (named is not None and fires(named, seen, book().on(day))) is expected


@pytest.mark.parametrize("phase", [Phase.MONITOR, Phase.SIGNAL])
def test_triggers_of_a_phase_are_in_the_table(phase: Phase) -> None:
    reacting = {r.id for r in map(latest, book().versions) if r.then and phase in r.phases}
    assert reacting <= {e.rule for e in ENTRIES if isinstance(e, Trigger)}
