"""Circuit breaker and close-out of fails, from the wording of Regulation SHO Rules 201 and 204 and their releases."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures import short_sales
from lexorder.engine.snapshot import MissingFactError, Subject
from lexorder.engine.terms import Value
from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    UNDECIDED,
    forall,
    instrument,
    order,
    projected,
    status,
    ticks,
    world,
)


@forall(close=st.integers(1, 100_000), trade=st.integers(1, 100_000))
def test_a_decrease_of_10_percent_or_more_triggers(close: int, trade: int) -> None:
    assert short_sales.triggers(Fraction(close, 100), Fraction(trade, 100)) is (10 * trade <= 9 * close)


@pytest.mark.parametrize(("trade", "expected"), [("90.01", False), ("90", True), ("89.99", True)])
def test_exactly_10_percent_triggers(trade: str, expected: bool) -> None:
    assert short_sales.triggers(Fraction(100), Fraction(trade)) is expected


@pytest.mark.parametrize(
    ("failed", "of_long_sale", "due"),
    [
        ("2026-06-16", "false", "2026-06-17"),  # sold on Monday, settled on Tuesday: T+2
        ("2026-06-16", "true", "2026-06-22"),  # the third settlement day; Juneteenth is none
        ("2026-06-18", "false", "2026-06-22"),
        ("2026-10-09", "false", "2026-10-13"),  # Columbus Day: the exchange trades, nothing settles
        ("2026-11-25", "true", "2026-12-01"),  # Thanksgiving; the short Friday counts
    ],
)
def test_a_fail_is_closed_out_by_the_opening(failed: str, of_long_sale: str, due: str) -> None:
    stock = instrument(fail_since=failed, fail_of_long_sale=of_long_sale)
    seen = projected(world(instruments=[stock]), order("buy", 1))
    subject = Subject("instrument", "ACME", seen.snapshot.instruments["ACME"])
    found = REGISTRY["instrument.close_out_due"](seen, subject)
    assert str(found)[:16] == f"{due} 09:30"


@pytest.mark.parametrize("failed", [date(1, 1, 1), date(2200, 1, 2), date(9999, 12, 31)])
def test_a_fail_of_no_known_session_is_refused(failed: date) -> None:
    with pytest.raises(MissingFactError):
        short_sales.close_out(failed, later=True)


def test_a_fail_without_its_date_is_undecided() -> None:
    document = world(instruments=[instrument(fail_open="true")])
    assert status("short-sale-after-open-fail", document, order("sell_short", 1)) is UNDECIDED
    assert status("short-sale-after-open-fail", document, order("buy", 1)) is NOT_APPLICABLE


def test_a_locate_does_not_replace_a_borrowing() -> None:
    document = world(instruments=[instrument(fail_open="true", fail_since="2026-06-12")])
    for facts in ({"has_locate": "true"}, {"locate_exempt": "true"}, {"short_exempt": "true"}):
        assert status("short-sale-after-open-fail", document, order("sell_short", 1, **facts)) is BREACH
    assert status("short-sale-after-open-fail", document, order("sell_short", 1, borrowed="true")) is PASS


@pytest.mark.parametrize(
    ("trigger", "following"),
    [
        ("2026-06-15", "2026-06-16"),
        ("2026-06-12", "2026-06-15"),  # a Friday
        ("2026-06-18", "2026-06-22"),  # Juneteenth is a Friday
        ("2026-11-25", "2026-11-27"),  # Thanksgiving; the short day is a trading day
    ],
)
def test_it_holds_that_day_and_the_next_trading_day(trigger: str, following: str) -> None:
    first, second = date.fromisoformat(trigger), date.fromisoformat(following)
    assert short_sales.next_session(first) == second
    held = [d for d in range(12) if short_sales.restricted_on(date.fromordinal(first.toordinal() - 1 + d), [first])]
    assert [date.fromordinal(first.toordinal() - 1 + d) for d in held] == [first, second]


def test_a_second_trigger_starts_again() -> None:
    monday, tuesday = date(2026, 6, 1), date(2026, 6, 2)
    held = [day for day in range(1, 8) if short_sales.restricted_on(date(2026, 6, day), [monday, tuesday])]
    assert held == [1, 2, 3]


def measured(name: str, time: str = "2026-06-15T12:00:00-04:00", **facts: Any) -> Value:
    seen = projected(world(time=time, instruments=[{"symbol": "ACME", **facts}]))
    return REGISTRY[f"instrument.{name}"](seen, Subject("instrument", "ACME", seen.snapshot.instruments["ACME"]))


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("09:29:59", False), ("09:30:00", True), ("15:59:59", True), ("16:00:00", False), ("08:00:00", False)],
)
def test_only_trades_of_regular_hours_trigger(clock: str, expected: bool) -> None:
    at = f"2026-06-15T{clock}-04:00"
    assert measured("short_sale_triggered", at, previous_close="100", last_trade="85") is expected
    late = "2026-06-15T17:00:00-04:00"
    assert measured("short_sale_triggered", late, previous_close="100", last_trade="85", last_trade_time=at) is expected


def test_a_bid_never_triggers() -> None:
    assert measured("short_sale_triggered", previous_close="100", last_trade="90.01", bid="50") is False


def test_once_triggered_it_also_holds_outside_regular_hours() -> None:
    days = ["2026-06-15"]
    assert measured("short_sale_restricted", "2026-06-15T17:00:00-04:00", short_sale_trigger_days=days) is True
    assert measured("short_sale_restricted", "2026-06-16T08:00:00-04:00", short_sale_trigger_days=days) is True
    assert measured("short_sale_restricted", "2026-06-17T08:00:00-04:00", short_sale_trigger_days=days) is False


def test_trigger_days_and_the_last_trade_count_together() -> None:
    facts: dict[str, Any] = {"previous_close": "100", "last_trade": "90", "short_sale_trigger_days": []}
    assert measured("short_sale_restricted", **facts) is True
    assert measured("short_sale_restricted", **(facts | {"last_trade": "90.01"})) is False


@pytest.mark.parametrize("facts", [{}, {"previous_close": "100"}, {"last_trade": "50"}])
def test_without_facts_nothing_is_measured(facts: dict[str, str]) -> None:
    with pytest.raises(MissingFactError):
        measured("short_sale_restricted", **facts)


# ---- the price test ----------------------------------------------------------------------------


@pytest.mark.parametrize("day", ["2026-02-30", "20260612", "2026-W24-5", "yesterday", ""])
def test_a_trigger_day_that_is_none_is_not_passed_over(day: str) -> None:
    """A restriction that cannot be dated may hold today."""
    with pytest.raises(MissingFactError, match="is not a set of dates"):
        measured("short_sale_restricted", short_sale_trigger_days=["2026-06-01", day])


@forall(
    way=st.sampled_from(["sell", "sell_short"]),
    on=st.booleans(),
    exempt=st.booleans(),
    off=st.integers(-2, 2),
    quantity=st.integers(1, 1_000),
)
def test_a_restricted_short_sale_is_priced_above_the_bid(
    way: str, on: bool, exempt: bool, off: int, quantity: int
) -> None:
    restricted = world(instruments=[instrument(bid="89.5", short_sale_restricted=on)])
    sent = order(way, quantity, price=ticks(895_000 + off), short_exempt=exempt)
    applies = way == "sell_short" and on and not exempt
    expected = NOT_APPLICABLE if not applies else PASS if off > 0 else BREACH
    assert status("short-sale-price-test", restricted, sent) is expected
