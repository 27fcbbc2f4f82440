"""How measures read facts: the promised type, or a missing fact."""

from __future__ import annotations

from datetime import date, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.measures import reading
from lexorder.engine.snapshot import MissingFactError
from tests.vectors import asking


def document() -> dict[str, object]:
    return asking.document(
        account={"kind": "margin", "cash": "12.5"},
        instruments=[asking.instrument("ACME", "100")],
        positions=[{"account": "A", "symbol": s, "quantity": q} for s, q in (("ACME", "5"), ("BETA", "0"))],
    )


def test_each_type_is_read_as_declared() -> None:
    seen = asking.seen(document())
    account = reading.account(seen)
    assert reading.number(seen, account, "account.cash") == Fraction(25, 2)
    assert reading.word(seen, account, "account.kind") == "margin"
    assert reading.day(seen, account, "account.day_trade_restricted_until") == date(1900, 1, 1)
    assert reading.moment(seen, account, "clock.now") == datetime.fromisoformat(asking.NOON)
    assert reading.today(seen) == date(2026, 6, 15)
    assert list(reading.holdings(seen)) == [("ACME", Fraction(5))]
    assert reading.instrument_of(seen, "NONE").facts == {}


@pytest.mark.parametrize("read", [reading.number, reading.day, reading.moment])
def test_another_type_is_a_missing_fact(read: object) -> None:
    seen = asking.seen(document())
    with pytest.raises(MissingFactError):
        read(seen, reading.account(seen), "account.kind")  # type: ignore[operator]
    with pytest.raises(MissingFactError):
        reading.word(seen, reading.account(seen), "account.cash")
    with pytest.raises(MissingFactError):
        reading.day(seen, reading.account(seen), "clock.now")


def test_what_is_absent_is_none_or_missing() -> None:
    seen = asking.seen(document())
    assert reading.number_or_none(seen, reading.account(seen), "account.equity") is None
    with pytest.raises(MissingFactError):
        reading.signed_quantity({"fill.side": "buy"}, "fill")


def test_a_given_number_wins_over_what_is_measured() -> None:
    seen = asking.seen(document())
    account = reading.account(seen)
    assert reading.given_or(account, "account.cash", lambda: Fraction(0)) == Fraction(25, 2)
    assert reading.given_or(account, "account.equity", lambda: Fraction(7)) == 7
    with pytest.raises(MissingFactError):
        reading.given_or(account, "account.kind", lambda: Fraction(0))


@given(value=st.fractions(-100, 100), places=st.integers(0, 6))
def test_rounding_is_half_up(value: Fraction, places: int) -> None:
    found = reading.rounded_half_up(value, places)
    step = Fraction(1, 10**places)
    assert (found / step).denominator == 1
    assert -step / 2 < found - value <= step / 2
