"""Limit Up-Limit Down bands in cents of our own, from the wording of the Plan and of Amendment 18."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import strategies as st

from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures import bands
from lexorder.engine.measures.bands import Stock
from lexorder.engine.sessions import ZONE, session_hours
from lexorder.engine.snapshot import MissingFactError, Subject
from tests.rules.library import BREACH, PASS, forall, order, projected, status, ticks, world

cents = st.integers(min_value=1, max_value=50_000)
tiers = st.sampled_from([1, 2])


def width_in_ten_thousandths(tier: int, close: int, reference: int, *, doubled: bool) -> int:
    """Appendix A in units of 10⁻⁴ dollars, for prices in cents."""
    if close > 300:
        return reference * (5 if tier == 1 else 10) * (2 if doubled else 1)
    if close >= 75:
        return reference * 20 * (2 if doubled else 1)
    return min(1_500, reference * 75) * (2 if doubled else 1)


@forall(tier=tiers, close=cents, reference=cents, doubled=st.booleans())
def test_bands_are_those_of_appendix_a(tier: int, close: int, reference: int, doubled: bool) -> None:
    away = width_in_ten_thousandths(tier, close, reference, doubled=doubled)
    stock = Stock(tier, Fraction(close, 100))
    lower, upper = bands.bands(stock, Fraction(reference, 100), doubled)
    assert lower * 10_000 == max(0, reference * 100 - away)
    assert upper * 10_000 == reference * 100 + away


@pytest.mark.parametrize(
    ("close", "tier", "lower", "upper"),
    [
        ("3.01", 1, "2.8595", "3.1605"),
        ("3.00", 1, "2.4", "3.6"),
        ("2.99", 2, "2.392", "3.588"),
        ("0.76", 1, "0.608", "0.912"),
        ("0.75", 1, "0.6", "0.9"),
        ("0.74", 2, "0.59", "0.89"),
        # 75% of 0.20 is exactly 0.15; below it the share is the lesser.
        ("0.20", 1, "0.05", "0.35"),
        ("0.19", 1, "0.0475", "0.3325"),
    ],
)
def test_the_buckets_change_exactly_at_their_figures(close: str, tier: int, lower: str, upper: str) -> None:
    found = bands.bands(Stock(tier, Fraction(close)), Fraction(close), False)
    assert found == (Fraction(lower), Fraction(upper))


def test_the_bucket_is_that_of_the_previous_close_and_not_of_the_reference() -> None:
    assert bands.bands(Stock(1, Fraction(3)), Fraction(4), False) == (Fraction("3.2"), Fraction("4.8"))
    assert bands.bands(Stock(1, Fraction("3.01")), Fraction(2), False) == (Fraction("1.9"), Fraction("2.1"))


@forall(close=cents, reference=cents, more=st.integers(1, 1_000), doubled=st.booleans())
def test_bands_widen_with_the_reference(close: int, reference: int, more: int, doubled: bool) -> None:
    stock = Stock(1, Fraction(close, 100))
    one, other = (bands.width(stock, Fraction(r, 100), doubled) for r in (reference, reference + more))
    assert one <= other
    assert bands.width(stock, Fraction(reference, 100), True) == 2 * bands.width(stock, Fraction(reference, 100), False)


@forall(reference=st.integers(1, 10**9))
def test_a_band_is_never_finer_than_a_price_and_halves_go_up(reference: int) -> None:
    lower, upper = bands.bands(Stock(1, Fraction(10)), Fraction(reference, 10**6), False)
    for band, share in ((lower, 95), (upper, 105)):
        exact = reference * share  # in 10⁻⁸
        assert band * 10_000 == (2 * exact + 10_000) // 20_000


def test_leverage_widens_tier_2_only() -> None:
    assert bands.width(Stock(2, Fraction(10), Fraction(3)), Fraction(10), False) == 3
    assert bands.width(Stock(1, Fraction(10), Fraction(3)), Fraction(10), False) == Fraction(1, 2)


def doubled_at(day: date, hour: int, minute: int, second: int, *, tier: int = 1, close: str = "100") -> bool:
    hours = session_hours(day)
    assert hours is not None
    moment = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=ZONE)
    return bands.doubled(Stock(tier, Fraction(close)), moment, *hours)


NOW, BEFORE_18, DAY_OF_18 = date(2026, 11, 20), date(2020, 2, 21), date(2020, 2, 24)


@pytest.mark.parametrize(
    ("day", "clock", "tier", "close", "expected"),
    [
        (NOW, (9, 30, 0), 1, "100", False),
        (NOW, (12, 0, 0), 1, "100", False),
        (NOW, (15, 34, 59), 1, "100", False),
        (NOW, (15, 35, 0), 1, "100", True),
        (NOW, (15, 59, 59), 1, "100", True),
        (NOW, (15, 35, 0), 2, "3.01", False),
        (NOW, (15, 35, 0), 2, "3.00", True),
        (DAY_OF_18, (9, 30, 0), 1, "100", False),
        (DAY_OF_18, (15, 35, 0), 2, "3.01", False),
        (BEFORE_18, (9, 30, 0), 1, "100", True),
        (BEFORE_18, (9, 44, 59), 2, "100", True),
        (BEFORE_18, (9, 45, 0), 1, "100", False),
        (BEFORE_18, (15, 35, 0), 2, "3.01", True),
        # The day after Thanksgiving closes at 13:00.
        (date(2026, 11, 27), (12, 34, 59), 1, "100", False),
        (date(2026, 11, 27), (12, 35, 0), 1, "100", True),
    ],
)
def test_when_parameters_are_doubled(
    day: date, clock: tuple[int, int, int], tier: int, close: str, expected: bool
) -> None:
    assert doubled_at(day, *clock, tier=tier, close=close) is expected


@pytest.mark.parametrize("clock", [(9, 29, 59), (16, 0, 0), (3, 0, 0)])
def test_there_are_no_bands_outside_the_session(clock: tuple[int, int, int]) -> None:
    with pytest.raises(MissingFactError):
        doubled_at(NOW, *clock)


def test_there_are_no_bands_before_the_plan() -> None:
    assert bands.regime_on(date(2013, 4, 8)).opening
    with pytest.raises(MissingFactError):
        bands.regime_on(date(2013, 4, 8) - timedelta(days=1))


@pytest.mark.parametrize("missing", ["luld_tier", "previous_close", "luld_reference"])
def test_without_a_fact_there_is_no_band(missing: str) -> None:
    facts = {"luld_tier": "1", "previous_close": "100", "luld_reference": "100"}
    del facts[missing]
    seen = projected(world(instruments=[{"symbol": "ACME", **facts}]))
    with pytest.raises(MissingFactError, match=missing):
        REGISTRY["instrument.luld_upper"](seen, Subject("instrument", "ACME", seen.snapshot.instruments["ACME"]))


# ---- the rule ----------------------------------------------------------------------------------


@forall(
    way=st.sampled_from(["buy", "sell", "sell_short"]),
    price=st.integers(940_000, 1_060_000),
    quantity=st.integers(1, 10_000),
)
def test_only_a_price_beyond_the_band_on_its_harmful_side_is_refused(way: str, price: int, quantity: int) -> None:
    banded = world(instruments=[{"symbol": "ACME", "luld_lower": "95", "luld_upper": "105"}])
    beyond = price > 1_050_000 if way == "buy" else price < 950_000
    sent = order(way, quantity, price=ticks(price))
    assert status("price-inside-limit-bands", banded, sent) is (BREACH if beyond else PASS)


def test_splitting_an_order_does_not_move_its_price() -> None:
    banded = world(instruments=[{"symbol": "ACME", "luld_lower": "95", "luld_upper": "105"}])
    parts = [order("buy", 1, price="105.0001", id=f"P-{n}") for n in range(3)]
    assert status("price-inside-limit-bands", banded, *parts) is BREACH
