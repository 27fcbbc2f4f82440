"""Finding facts: which thing a name is read of, what stands for a fact that is not given, and exchange rates.

Rates are compared with plain division in Fractions over a table of what one unit of each currency is worth.
"""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.constituents import Constituents
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.records import Records
from lexorder.engine.snapshot import (
    MissingFactError,
    Projection,
    Snapshot,
    Subject,
    exchange_rate,
    find,
    project,
    read,
    signed,
    weight,
)
from tests.worlds import VOCABULARY, instrument, order, position, working, world


def snapshot(**sections: Any) -> Snapshot:
    return load_snapshot(world(**sections), VOCABULARY)


def seen_of(*orders: dict[str, Any], **sections: Any) -> Projection:
    facts = tuple(load_order(o, VOCABULARY) for o in orders)
    return project(snapshot(**sections), VOCABULARY, "A", facts)


def account(seen: Projection) -> Subject:
    return Subject("account", seen.account, seen.snapshot.accounts[seen.account])


# ---- what an account is seen to have ---------------------------------------------------------------------------


def test_a_projection_has_every_name_held_ordered_or_working_once_in_order():
    seen = seen_of(
        order("buy", 1, "BETA"),
        order("buy", 2, "ACME"),
        positions=[position("COCO", 3), position("ACME", 1)],
        working_orders=[working("W", "BETA", "buy", 1)],
    )
    assert list(seen.positions) == ["ACME", "BETA", "COCO"]
    assert [facts["position.before.quantity"] for facts in seen.positions.values()] == [1, 0, 3]
    assert all(facts["position.account"] == "A" for facts in seen.positions.values())


def test_other_accounts_are_not_in_it():
    plain = world()["accounts"][0]
    seen = seen_of(
        accounts=[plain, {**plain, "id": "B"}],
        positions=[position("ACME", 1, "B")],
        working_orders=[{**working("W", "BETA", "buy", 1), "account": "B"}],
        fills=[{"id": f"F{n}", "symbol": "ACME", "side": "buy", "quantity": "1", **own}
               for n, own in enumerate(({"account": "A"}, {"account": "B"}, {"account": "NONE"}))],
    )  # fmt: skip
    assert not seen.positions
    assert list(seen.members("position")) == list(seen.members("working_order")) == []
    assert [f["fill.account"] for f in seen.members("fill")] == ["A", "NONE"]


@pytest.mark.parametrize("kept", [False, True])
def test_records_are_the_same_whether_kept_by_account_or_in_a_row(kept):
    rows = [{"id": f"F{n}", "symbol": "ACME", "side": "buy", "quantity": "1", "account": a}
            for n, a in enumerate(("B", "A", "NONE", "A"))]  # fmt: skip
    plain = world()["accounts"][0]
    known = snapshot(accounts=[plain, {**plain, "id": "B"}], fills=rows)
    fills = Records("fill", known.fills) if kept else tuple(known.fills)
    seen = Projection(Snapshot(known.time, known.accounts, known.instruments, known.positions, fills=fills),
                      VOCABULARY, "A", (), (), {})  # fmt: skip
    assert [f["fill.id"] for f in seen.members("fill")] == ["F1", "F2", "F3"]


def test_groups_are_those_of_the_names_once_in_order_of_their_keys():
    seen = seen_of(
        order("buy", 1, "COCO"),
        instruments=[instrument(s, sector=x) for s, x in (("ACME", "Tech"), ("BETA", "Energy"), ("COCO", "Tech"))],
        positions=[position("ACME", 1), position("BETA", 1)],
    )
    assert [facts["sector.id"] for facts in seen.members("sector")] == ["Energy", "Tech"]
    assert seen.group_of("sector", "BETA") == "Energy"


@pytest.mark.parametrize("symbol", ["ACME", "GONE", ""])
def test_a_group_that_is_not_known_is_missing_and_never_a_group_of_its_own(symbol):
    bare = {k: v for k, v in instrument("ACME").items() if k != "sector"}
    seen = seen_of(instruments=[bare], positions=[position("ACME", 1)])
    with pytest.raises(MissingFactError, match=r"instrument\.sector"):
        seen.group_of("sector", symbol)
    with pytest.raises(MissingFactError):
        list(seen.members("sector"))


@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1), ("sell_short", -1), ("buy_to_cover", -1)])
def test_only_a_purchase_adds_to_a_holding(side, sign):
    """What is not spelt as a purchase counts as a sale, whatever it is."""
    assert signed(side, Fraction(7)) == sign * 7


# ---- which thing a name is read of -------------------------------------------------------------------------------


def test_the_innermost_thing_that_is_it_or_leads_to_it():
    seen = seen_of(order("buy", 1, "BETA", trader="T"), positions=[position("ACME", 1)])
    facts = seen.orders[0]
    stack = (account(seen), Subject("order", "o", facts), Subject("position", "ACME", seen.positions["ACME"]))
    assert find(seen, stack, "instrument", "")[1] == "ACME"
    assert find(seen, stack, "instrument", "order")[1] == "BETA"
    assert find(seen, stack[:2], "instrument", "")[1] == "BETA"
    assert find(seen, stack, "trader", "")[1] == "T"
    assert find(seen, stack, "account", "")[1] == "A"
    assert find(seen, stack, "clock", "") == (seen.snapshot.single, "")


def test_a_market_is_read_under_its_instrument_and_the_other_way_round():
    seen = seen_of(market=[{"symbol": "ACME", "luld_state": "PAUSED"}])
    for entity, other in (("instrument", "market"), ("market", "instrument")):
        found, key = find(seen, (account(seen), Subject(entity, "ACME")), other, "")
        assert (key, found) == ("ACME", seen.snapshot.instruments["ACME"])


@pytest.mark.parametrize("entity", ["instrument", "trader", "order", "position", "strategy"])
def test_what_nothing_leads_to_is_not_found(entity):
    seen = seen_of(positions=[position("ACME", 1)])
    assert find(seen, (account(seen),), entity, "") == (None, "")
    name = {"instrument": "instrument.mark", "trader": "trader.role", "order": "order.price"}.get(entity)
    if name:
        with pytest.raises(MissingFactError, match=name):
            read(seen, (account(seen),), name, "")


def test_a_link_to_a_thing_that_is_not_there_finds_no_facts():
    facts = {**load_order(order(), VOCABULARY), "order.trader": "STRANGER"}
    seen = seen_of()
    found = find(seen, (account(seen), Subject("order", "o", facts)), "trader", "")
    assert found == (None, "STRANGER")
    with pytest.raises(MissingFactError, match="STRANGER"):
        read(seen, (account(seen), Subject("order", "o", facts)), "trader.role", "")


# ---- what stands for a fact --------------------------------------------------------------------------------------


def test_a_default_stands_for_what_is_not_given_and_for_nothing_else():
    """Even of a thing that is not known: what the vocabulary says of a name holds for all."""
    seen = seen_of(instruments=[instrument("ACME"), instrument("BETA", multiplier="5")])
    for symbol, wanted in (("ACME", 1), ("BETA", 5), ("GONE", 1)):
        assert read(seen, (account(seen), Subject("instrument", symbol)), "instrument.multiplier", "") == wanted
    with pytest.raises(MissingFactError):
        read(seen, (account(seen), Subject("instrument", "GONE")), "instrument.adv", "")


def test_a_name_of_no_vocabulary_is_missing():
    seen = seen_of()
    with pytest.raises(MissingFactError):
        read(seen, (account(seen),), "account.nonsense", "")


@pytest.mark.parametrize(("age", "fresh"), [(899, True), (900, True), (900.000001, False), (901, False), (-5, True)])
def test_a_mark_is_good_for_fifteen_minutes_to_the_microsecond(age, fresh):
    """At its limit a fact is still good; one of the future is not old."""
    now = snapshot().time
    taken = now - timedelta(seconds=age)
    seen = seen_of(instruments=[instrument("ACME", mark_time=taken.isoformat())])
    at = (account(seen), Subject("instrument", "ACME", seen.snapshot.instruments["ACME"]))
    if fresh:
        assert read(seen, at, "instrument.mark", "") == 100
    else:
        with pytest.raises(MissingFactError, match="older than its age limit"):
            read(seen, at, "instrument.mark", "")
    assert read(seen, at, "instrument.adv", "") == 1_000_000, "no other fact ages with it"


# ---- exchange rates ----------------------------------------------------------------------------------------------

WORTH = {"USD": Fraction(1), "EUR": Fraction(27, 25), "JPY": Fraction(1, 150), "KWD": Fraction(13, 4)}
"""What one unit is worth in dollars; a third of a cent has no end in decimals, and need not."""


def rated(own: str, base: str, rates: dict[str, Fraction]) -> Projection:
    known = snapshot()
    single = {**known.single, "fx.base": base, **{f"fx.{c}": r for c, r in rates.items()}}
    accounts = {"A": {**known.accounts["A"], "account.currency": own}}
    return Projection(Snapshot(known.time, accounts, known.instruments, {}, single=single), VOCABULARY, "A", (), (), {})


@pytest.mark.parametrize(("own", "other", "base"), list(product(WORTH, WORTH, WORTH)))
def test_a_rate_is_the_quotient_of_what_both_are_worth(own, other, base):
    """Whatever the base is; exact, with no rate for the base itself, and one's own money is worth itself."""
    rates = {c: worth / WORTH[base] for c, worth in WORTH.items() if c != base}
    assert exchange_rate(rated(own, base, rates), other) == WORTH[other] / WORTH[own]


@pytest.mark.parametrize(("own", "other", "known"), [
    ("USD", "EUR", True), ("EUR", "USD", True), ("JPY", "EUR", False), ("EUR", "JPY", False), ("JPY", "JPY", True),
    ("JPY", "USD", False), ("USD", "", False), ("EUR", "XXX", False), ("USD", "base", False),
])  # fmt: skip
def test_a_rate_that_is_not_there_is_not_made_up(own, other, known):
    """Only dollars and euros are rated here."""
    found = exchange_rate(rated(own, "USD", {"EUR": WORTH["EUR"]}), other)
    assert (found is not None) == known


def test_without_a_base_no_currency_is_taken_for_it():
    assert exchange_rate(rated("USD", "", {"EUR": Fraction(2)}), "EUR") is None
    assert exchange_rate(rated("USD", "", {"EUR": Fraction(2), "USD": Fraction(4)}), "EUR") == Fraction(1, 2)


@given(st.lists(st.fractions(Fraction(1, 10**8), 10**6), min_size=3, max_size=3))
def test_rates_there_and_back_and_around_multiply_to_one(rates):
    given_rates = dict(zip(("EUR", "JPY", "KWD"), rates, strict=True))
    there = {(a, b): exchange_rate(rated(a, "USD", given_rates), b) for a in WORTH for b in WORTH}
    for a, b, c in product(WORTH, repeat=3):
        legs = there[a, b], there[b, c], there[c, a]
        assert None not in legs
        assert legs[0] * legs[1] * legs[2] == 1  # type: ignore[operator]


@pytest.mark.parametrize(("rate", "wanted"), [("1.5", Fraction(3, 2)), (None, Fraction(27, 25))])
def test_a_rate_told_with_the_instrument_counts_before_the_table(rate, wanted):
    facts = {} if rate is None else {"fx": rate}
    seen = seen_of(instruments=[instrument("ACME", currency="EUR", **facts)], fx={"base": "USD", "EUR": "1.08"})
    at = (account(seen), Subject("instrument", "ACME", seen.snapshot.instruments["ACME"]))
    assert read(seen, at, "instrument.fx", "") == wanted


# ---- weights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("issuer", "wanted"), [("ACME", 1), ("BETA", 0), ("NOBODY", 0)])
def test_a_share_is_wholly_its_issuer_s(issuer, wanted):
    seen = seen_of(positions=[position("ACME", 1)])
    stack = (account(seen), Subject("constituent", issuer), Subject("position", "ACME", seen.positions["ACME"]))
    assert weight(seen, stack) == wanted
    assert isinstance(seen.snapshot.constituents, Constituents)


def test_without_a_position_or_its_issuer_no_weight_is_known():
    bare = {k: v for k, v in instrument("ACME").items() if k != "issuer"}
    seen = seen_of(instruments=[bare], positions=[position("ACME", 1)])
    for stack in ((), (Subject("position", "ACME"),), (Subject("constituent", "ACME"),)):
        with pytest.raises(MissingFactError):
            weight(seen, stack)
