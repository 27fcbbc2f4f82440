"""Reference prices and moves: the order of preference of the source, and nothing made up where nothing is known."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import strategies as st

from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures.prices import Prices, move, reference_of
from lexorder.engine.snapshot import MissingFactError, Subject
from lexorder.engine.terms import Value
from tests.rules.library import BREACH, NOT_APPLICABLE, PASS, forall, order, projected, status, ticks, world

price = st.one_of(st.none(), st.integers(1, 40))


@forall(bid=price, ask=price, last=price, settlement=price, close=price, preferred=price)
def test_the_order_of_preference(  # noqa: PLR0917  one for each price
    bid: int | None, ask: int | None, last: int | None, settlement: int | None, close: int | None, preferred: int | None
) -> None:
    known = [None if p is None else Fraction(p) for p in (bid, ask, last, settlement, close, preferred)]
    if preferred is not None:
        expected: Fraction | None = Fraction(preferred)
    elif bid is not None and ask is not None:
        inside = last is not None and bid <= last <= ask
        expected = Fraction(last) if inside and last is not None else Fraction(bid + ask, 2)
    else:
        expected = next((Fraction(p) for p in (ask, bid, settlement, close) if p is not None), None)
    assert reference_of(Prices(*known)) == expected


def measured(name: str, **facts: object) -> Value:
    market = facts.pop("market", [])
    seen = projected(world(instruments=[{"symbol": "ACME", **facts}], market=market))
    return REGISTRY[name](seen, Subject("instrument", "ACME", seen.snapshot.instruments["ACME"]))


def test_a_stale_quote_is_no_price() -> None:
    quoted: dict[str, object] = {"bid": "9", "ask": "11", "settlement": "8"}
    assert measured("instrument.reference_price", **quoted) == 10
    assert measured("instrument.reference_price", **quoted, mark_time="2026-06-15T11:44:59-04:00") == 8


def test_the_middle_is_rounded_half_up_to_a_price() -> None:
    assert measured("instrument.reference_price", bid="9.0001", ask="9.0002") == Fraction("9.0002")


def test_without_any_price_nothing_is_measured() -> None:
    with pytest.raises(MissingFactError):
        measured("instrument.reference_price")


@forall(start=st.integers(1, 10**6), end=st.integers(1, 10**6))
def test_a_move_is_rounded_half_up_to_a_ratio(start: int, end: int) -> None:
    # In 10⁻⁶, halves up: floor(x + 1/2) of x = (end - start) 10⁶ / start.
    assert move(Fraction(start), Fraction(end)) * 10**6 == (2 * (end - start) * 10**6 + start) // (2 * start)


@pytest.mark.parametrize(
    ("start", "end", "expected"), [("21.21", "19.94", "-0.059877"), ("64.07", "60.06", "-0.062588")]
)
def test_moves_of_2010_05_06(start: str, end: str, expected: str) -> None:
    assert move(Fraction(start), Fraction(end)) == Fraction(expected)


def test_the_window_is_from_its_start_to_the_last_trade() -> None:
    window = {"window_start_price": "100", "window_start_time": "2026-06-15T11:59:00.500-04:00", "symbol": "ACME"}
    traded = {"last_trade": "95", "last_trade_time": "2026-06-15T12:00:00-04:00", "market": [window]}
    assert measured("market.move", **traded) == Fraction(-5, 100)
    assert measured("market.window", **traded) == Fraction("59.5")


# ---- the collars -------------------------------------------------------------------------------

COLLARS = {"collar-needs-a-reference": "reference_price", "collar-over-time": "window_price"}


@forall(
    rule=st.sampled_from(sorted(COLLARS)),
    way=st.sampled_from(["buy", "sell", "sell_short"]),
    reference=st.integers(10_000, 2_000_000),
    off=st.integers(-3, 3),
    quantity=st.integers(1, 1_000),
)
def test_a_limit_is_at_most_10_percent_beyond(rule: str, way: str, reference: int, off: int, quantity: int) -> None:
    edge = reference * 110 // 100 if way == "buy" else -(-reference * 90 // 100)
    limit = edge + off
    beyond = 100 * limit > 110 * reference if way == "buy" else 100 * limit < 90 * reference
    document = world(instruments=[{"symbol": "ACME", COLLARS[rule]: ticks(reference)}])
    assert status(rule, document, order(way, quantity, price=ticks(limit))) is (BREACH if beyond else PASS)


def test_without_a_reference_the_order_is_refused_and_not_undecided() -> None:
    blind = world(instruments=[{"symbol": "ACME"}])
    assert status("collar-needs-a-reference", blind, order("buy", 1, price="100")) is BREACH
    assert status("collar-needs-a-reference", blind, order("buy", 1)) is NOT_APPLICABLE
