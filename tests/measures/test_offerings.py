"""The restricted period of Rule 105, from its wording, and what it bars."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from lexorder.engine.measures.offerings import restricted_from
from lexorder.engine.snapshot import MissingFactError
from tests.rules.library import BREACH, PASS, UNDECIDED, instrument, order, status, world

RULE = "offering-purchase-after-short-sale"
LONG_AGO = date(1900, 1, 1)


@pytest.mark.parametrize(
    ("priced", "first"),
    [
        ("2026-06-15", "2026-06-08"),  # Monday to Monday
        ("2026-06-17", "2026-06-10"),
        ("2026-06-22", "2026-06-12"),  # Juneteenth in between
        ("2026-12-01", "2026-11-23"),  # Thanksgiving; the short Friday counts
        ("2026-06-14", "2026-06-08"),  # priced on a Sunday
    ],
)
def test_five_business_days_before_the_pricing(priced: str, first: str) -> None:
    assert restricted_from(date.fromisoformat(priced), LONG_AGO) == date.fromisoformat(first)


def test_the_shorter_period_begins_with_the_filing() -> None:
    priced = date(2026, 6, 15)
    assert restricted_from(priced, date(2026, 6, 8)) == date(2026, 6, 8)
    assert restricted_from(priced, date(2026, 6, 11)) == date(2026, 6, 11)
    assert restricted_from(priced, date(2026, 6, 7)) == date(2026, 6, 8)


@pytest.mark.parametrize("priced", [date(1, 1, 1), date(1934, 6, 5), date(2200, 1, 2), date(9999, 12, 31)])
def test_a_pricing_of_no_known_session_is_refused(priced: date) -> None:
    with pytest.raises(MissingFactError):
        restricted_from(priced, LONG_AGO)


def sold_short(day: str, **facts: str) -> dict[str, Any]:
    """An offering priced on Monday the 15th, and one short sale before it."""
    fill = {"id": "F", "account": "A", "symbol": "ACME", "side": "sell_short", "quantity": "1", "price": "100"}
    return world(
        instruments=[instrument(offering_priced_on="2026-06-15", **facts)],
        fills=[{**fill, "time": f"{day}T15:59:59-04:00"}],
    )


@pytest.mark.parametrize(
    ("day", "filed", "found"),
    [
        ("2026-06-05", "1900-01-01", PASS),
        ("2026-06-08", "1900-01-01", BREACH),
        ("2026-06-15", "1900-01-01", BREACH),
        ("2026-06-10", "2026-06-11", PASS),
        ("2026-06-11", "2026-06-11", BREACH),
    ],
)
def test_a_short_sale_in_the_period_bars_from_buying(day: str, filed: str, found: object) -> None:
    document = sold_short(day, offering_filed_on=filed)
    assert status(RULE, document, order("buy", 1, in_offering="true")) is found


def test_without_the_day_of_pricing_a_short_sale_leaves_it_open() -> None:
    document = sold_short("2026-06-12")
    del document["instruments"][0]["offering_priced_on"]
    assert status(RULE, document, order("buy", 1, in_offering="true")) is UNDECIDED
