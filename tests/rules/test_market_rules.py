"""Sessions, order types and repurchases against the wording of their sources, in seconds and cents of our own."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st

from lexorder.engine.sessions import ZONE
from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    UNDECIDED,
    forall,
    instrument,
    order,
    status,
    ticks,
    working,
    world,
)

types = st.sampled_from(["market", "limit", "stop", "stop_limit"])
forces = st.sampled_from(["DAY", "GTC", "IOC", "FOK", "OPG", "CLS", "GTD"])
OPEN, CLOSE = datetime(2026, 6, 15, 9, 30, tzinfo=ZONE), datetime(2026, 6, 15, 16, tzinfo=ZONE)


# ---- sessions ----------------------------------------------------------------------------------


@forall(ord_type=types, force=forces, extended=st.booleans(), quantity=st.integers(1, 10_000))
def test_extended_hours_take_limit_orders_good_for_the_day(
    ord_type: str, force: str, extended: bool, quantity: int
) -> None:
    sent = order("buy", quantity, ord_type=ord_type, time_in_force=force, extended_hours=extended, price="100")
    admitted = ord_type == "limit" and force == "DAY"
    expected = NOT_APPLICABLE if not extended else PASS if admitted else BREACH
    assert status("extended-hours-order", world(), sent) is expected


@forall(ord_type=types, force=forces)
def test_a_stop_is_neither_immediate_nor_for_an_auction(ord_type: str, force: str) -> None:
    sent = order("buy", 1, ord_type=ord_type, time_in_force=force, price="100", stop_price="100")
    governed = force in {"IOC", "FOK", "OPG", "CLS"}
    expected = NOT_APPLICABLE if not governed else BREACH if "stop" in ord_type else PASS
    assert status("order-type-fits-time-in-force", world(), sent) is expected


@forall(seconds=st.integers(-7_200, 30_000), extended=st.booleans(), force=forces)
def test_outside_the_session_orders_say_what_they_are_for(seconds: int, extended: bool, force: str) -> None:
    now = world(time=(OPEN + timedelta(seconds=seconds)).isoformat())
    outside = seconds < 0 or seconds >= 23_400
    meant = extended or force in {"OPG", "CLS", "GTC", "GTD"}
    expected = NOT_APPLICABLE if not outside else PASS if meant else BREACH
    sent = order("buy", 1, time_in_force=force, extended_hours=extended)
    assert status("outside-regular-hours", now, sent) is expected


@pytest.mark.parametrize(("clock", "expected"), [("12:59:59", NOT_APPLICABLE), ("13:00:00", BREACH)])
def test_a_short_day_ends_at_13(clock: str, expected: object) -> None:
    short = world(time=f"2026-11-27T{clock}-05:00")
    assert status("outside-regular-hours", short, order("buy", 1)) is expected


def test_on_a_day_without_a_session_the_answer_is_not_yes() -> None:
    assert status("outside-regular-hours", world(time="2026-06-14T12:00:00-04:00"), order("buy", 1)) is UNDECIDED


@pytest.mark.parametrize(("halted", "expected"), [("true", BREACH), ("false", PASS)])
def test_a_market_wide_halt_stops_closing_too(halted: str, expected: object) -> None:
    document = world(session={"market_wide_halt": halted, "decline_level": "1"})
    assert status("market-wide-halt", document, order("sell", 1)) is expected


# ---- repurchases -------------------------------------------------------------------------------

RULES = ("buyback-volume", "buyback-not-at-the-close", "buyback-not-the-opening", "buyback-price")


def bought(quantity: int, side: str = "buy", name: str = "F-1") -> dict[str, str]:
    return {"id": name, "account": "A", "symbol": "ACME", "side": side, "quantity": str(quantity), "price": "100"}


@forall(
    adv=st.integers(0, 1_000),
    filled=st.integers(0, 200),
    at_work=st.integers(0, 200),
    sold=st.integers(0, 200),
    quantity=st.integers(1, 250),
)
def test_a_day_s_repurchases_are_at_most_a_quarter_of_volume(
    adv: int, filled: int, at_work: int, sold: int, quantity: int
) -> None:
    done = ([bought(filled)] if filled else []) + ([bought(sold, "sell", "F-2")] if sold else [])
    rows = [working("buy", at_work)] if at_work else []
    document = world(instruments=[instrument(adv=str(adv))], fills=done, working_orders=rows)
    total = filled + at_work + quantity
    expected = PASS if 4 * total <= adv else BREACH
    assert status("buyback-volume", document, order("buy", quantity, buyback=True)) is expected


@forall(parts=st.lists(st.integers(1, 60), min_size=2, max_size=4), adv=st.integers(0, 1_000))
def test_splitting_a_repurchase_changes_nothing(parts: list[int], adv: int) -> None:
    document = world(instruments=[instrument(adv=str(adv))])
    slices = [order("buy", part, buyback=True, id=f"P-{n}") for n, part in enumerate(parts)]
    whole = status("buyback-volume", document, order("buy", sum(parts), buyback=True))
    assert status("buyback-volume", document, *slices) is whole


@forall(
    seconds=st.sampled_from([599, 600, 601, 1_799, 1_800, 1_801]),
    adtv=st.sampled_from(["999999.9999", "1000000"]),
    public=st.sampled_from(["149999999.9999", "150000000"]),
)
def test_the_last_30_minutes_or_10_of_an_actively_traded_issuer(seconds: int, adtv: str, public: str) -> None:
    liquid = adtv == "1000000" and public == "150000000"
    stock = instrument(adtv_value=adtv, public_float_value=public)
    document = world(time=(CLOSE - timedelta(seconds=seconds)).isoformat(), instruments=[stock])
    expected = PASS if seconds > (600 if liquid else 1_800) else BREACH
    assert status("buyback-not-at-the-close", document, order("buy", 1, buyback=True)) is expected


@forall(bid=st.integers(-2, 2), last=st.integers(-2, 2), limit=st.integers(-4, 4), quantity=st.integers(1, 1_000))
def test_a_repurchase_pays_at_most_the_higher_independent_price(bid: int, last: int, limit: int, quantity: int) -> None:
    prices = {"highest_independent_bid": ticks(200_000 + bid), "last_independent_price": ticks(200_000 + last)}
    document = world(instruments=[instrument(**prices)])
    sent = order("buy", quantity, price=ticks(200_000 + limit), buyback=True)
    assert status("buyback-price", document, sent) is (PASS if limit <= max(bid, last) else BREACH)


@pytest.mark.parametrize(("second", "expected"), [(-1, BREACH), (0, BREACH), (1, PASS)])
def test_a_repurchase_is_not_the_opening(second: int, expected: object) -> None:
    document = world(time=(OPEN + timedelta(seconds=second)).isoformat())
    assert status("buyback-not-the-opening", document, order("buy", 1, buyback=True)) is expected
    auction = order("buy", 1, buyback=True, time_in_force="OPG")
    assert status("buyback-not-the-opening", document, auction) is BREACH


@pytest.mark.parametrize("rule", RULES)
def test_only_repurchases_are_held_to_the_safe_harbour(rule: str) -> None:
    assert status(rule, world(), order("buy", 1, price="100")) is NOT_APPLICABLE


@pytest.mark.parametrize("rule", ["buyback-price", "buyback-not-at-the-close"])
def test_without_its_facts_a_repurchase_does_not_pass(rule: str) -> None:
    assert status(rule, world(), order("buy", 1, price="100", buyback=True)) is UNDECIDED


def test_a_repurchase_at_the_market_is_refused() -> None:
    stock = instrument(highest_independent_bid="100", last_independent_price="100")
    assert status("buyback-price", world(instruments=[stock]), order("buy", 1, buyback=True)) is BREACH
