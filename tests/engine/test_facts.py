"""Facts at the border: exact, bounded, nothing unknown ignored, every refusal with its place and code."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_order, load_snapshot, plain, read_json
from lexorder.engine.quantity import exact, fits_scale
from lexorder.engine.sessions import session_facts, session_hours
from lexorder.engine.symbols import is_canonical
from tests.worlds import VOCABULARY, instrument, order, position, world


def refused(document: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(SnapshotError) as caught:
        load_snapshot(document, VOCABULARY)
    return caught.value.where, caught.value.code


def test_values_are_exact() -> None:
    taken = load_snapshot(world(instruments=[instrument("ACME", "0.1")]), VOCABULARY)
    assert taken.instruments["ACME"]["instrument.mark"] == Fraction(1, 10)
    assert taken.accounts["A"]["account.nav"] == 100_000


@pytest.mark.parametrize(
    ("change", "where", "code"),
    [
        ({"instruments": [{"symbol": "ACME", "mark": 1.5}]}, "instruments[0].mark", "bad-value"),
        ({"instruments": [instrument("ACME", mark="1e3")]}, "instruments[0].mark", "bad-value"),
        ({"instruments": [{**instrument("ACME"), "mark": True}]}, "instruments[0].mark", "bad-value"),
        ({"instruments": [instrument("ACME", issuer=True)]}, "instruments[0].issuer", "bad-value"),
        ({"instruments": [instrument("ACME", mark="NaN")]}, "instruments[0].mark", "bad-value"),
        ({"instruments": [instrument("ACME", mark="1.23456")]}, "instruments[0].mark", "too-fine"),
        ({"instruments": [instrument("ACME", mark="0")]}, "instruments[0].mark", "out-of-bounds"),
        ({"instruments": [instrument("ACME", mark="2000000.0001")]}, "instruments[0].mark", "out-of-bounds"),
        ({"instruments": [instrument("ACME"), instrument("ACME")]}, "instruments[1]", "duplicate-thing"),
        ({"instruments": [instrument("ACME ")]}, "instruments[0].symbol", "not-canonical"),
        ({"instruments": [instrument("\uff21CME")]}, "instruments[0].symbol", "not-canonical"),
        ({"instruments": [instrument("acme")]}, "instruments[0].symbol", "not-canonical"),
        ({"lists": {"restricted": ["gme"]}}, "lists.restricted", "not-canonical"),
        ({"lists": {"restricted": ["GME "]}}, "lists.restricted", "not-canonical"),
        ({"instruments": "ACME"}, "instruments", "wrong-shape"),
        ({"instruments": ["ACME"]}, "instruments[0]", "wrong-shape"),
        ({"instruments": [{"mark": "1"}]}, "instruments[0]", "missing-key"),
        ({"positions": [position("ACME", 1), position("ACME", 2)]}, "positions[1]", "duplicate-thing"),
        ({"positions": [{"symbol": "ACME", "quantity": "1"}]}, "positions[0]", "missing-key"),
        ({"positions": [position("BETA", 0), {"account": "A", "symbol": "ACME"}]}, "positions[1]", "missing-key"),
        ({"positions": [{**position("ACME", 1), "quantity": None}]}, "positions[0]", "missing-key"),
        ({"positions": [{**position("ACME", 1), "value": "5"}]}, "positions[0]", "unknown-name"),
        ({"positions": [{**position("ACME", 1), "after.value": "5"}]}, "positions[0].after.value", "not-given"),
        ({"positions": [{**position("ACME", 1), "quantity": "1.5"}]}, "positions[0].quantity", "too-fine"),
        ({"market": [{"symbol": "NOPE"}]}, "market[0]", "unknown-thing"),
        ({"lists": {"restricted": "ACME"}}, "lists.restricted", "bad-value"),
        ({"acounts": []}, "document", "unknown-section"),
        ({"time": "2026-06-15T12:00:00"}, "time", "missing-time"),
        ({"time": "yesterday"}, "time", "missing-time"),
    ],
)
def test_refused(change: dict[str, Any], where: str, code: str) -> None:
    assert refused(world(**change)) == (where, code)


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(SnapshotError, match="did you mean `issuer`"):
        load_snapshot(world(instruments=[{"symbol": "ACME", "isuer": "X"}]), VOCABULARY)


def test_hostile_text_is_cut_and_cleaned() -> None:
    evil = "\x1b[31m" + "x" * 10_000
    with pytest.raises(SnapshotError) as caught:
        load_snapshot(world(instruments=[instrument("ACME", mark=evil)]), VOCABULARY)
    assert len(str(caught.value)) < 250
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": Infinity}', "{", "[" * 100_000, b"\xff\xfe"])
def test_bad_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(SnapshotError):
        read_json(text)


def test_json_numbers_lose_no_digit() -> None:
    assert read_json('{"a": 0.1000000000000000055, "b": 123456789012345678901234567890}') == {
        "a": "0.1000000000000000055",
        "b": "123456789012345678901234567890",
    }


@pytest.mark.parametrize("short", ["id", "account", "symbol", "side", "quantity"])
def test_an_order_needs_its_five_names(short: str) -> None:
    with pytest.raises(SnapshotError, match=f"has no `{short}`"):
        load_order({k: v for k, v in order().items() if k != short}, VOCABULARY)


@pytest.mark.parametrize(
    "change",
    [{"quantity": "0"}, {"quantity": "-5"}, {"quantity": "1.5"}, {"side": "BUY"}, {"price": "-10000.0001"}, {"x": "1"}],
)
def test_bad_orders_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(SnapshotError):
        load_order({**order(), **change}, VOCABULARY)


def test_a_limit_order_needs_a_price_and_a_market_order_does_not() -> None:
    bare = {k: v for k, v in order().items() if k != "price"}
    with pytest.raises(SnapshotError, match="without `price`"):
        load_order(bare, VOCABULARY)
    taken = load_order({**bare, "ord_type": "market"}, VOCABULARY)
    assert taken["order.time_in_force"] == "DAY"


@given(st.fractions(), st.integers(0, 12))
def test_exact_text_round_trips(value: Fraction, scale: int) -> None:
    text = exact(value)
    assert Fraction(text) == value
    assert "e" not in text.lower()
    assert fits_scale(value, scale) == ((value * 10**scale) % 1 == 0)


@given(st.integers(-(10**12), 10**12))
def test_plain_facts_load_back(cents: int) -> None:
    value = Fraction(cents, 100)
    document = world(account={"cash": plain(value)})
    assert load_snapshot(document, VOCABULARY).accounts["A"]["account.cash"] == value


@given(st.integers(0, 10**9))
def test_durations_load_back_as_seconds(milliseconds: int) -> None:
    value = Fraction(milliseconds, 1000)
    document = world(market=[{"symbol": "ACME", "quote_age": plain(value)}])
    assert load_snapshot(document, VOCABULARY).instruments["ACME"]["market.quote_age"] == value


@given(st.text(max_size=20))
def test_canonical_identifiers_are_ascii_without_blanks(text: str) -> None:
    if is_canonical(text):
        assert text.isascii()
        assert not any(c.isspace() for c in text)
        assert text == text.strip()


def test_sessions_follow_the_exchange() -> None:
    early = session_hours(date(2026, 11, 27))
    assert early is not None
    assert [t.isoformat() for t in early] == ["2026-11-27T09:30:00-05:00", "2026-11-27T13:00:00-05:00"]
    assert session_hours(date(2026, 11, 26)) is None
    moment = load_snapshot(world(time="2026-06-16T01:00:00+00:00"), VOCABULARY).time
    facts = session_facts(moment)
    assert facts["clock.date"] == date(2026, 6, 15)


def test_the_hash_covers_every_fact() -> None:
    base = load_snapshot(world(), VOCABULARY).hash
    changes: list[dict[str, Any]] = [
        {"account": {"cash": "100000.0001"}},
        {"instruments": [instrument("ACME")]},
        {"positions": [position("ACME", 1)]},
        {"lists": {"restricted": ["ACME"], "watch": []}},
        {"time": "2026-06-15T12:00:01-04:00"},
    ]
    hashes = {load_snapshot(world(**change), VOCABULARY).hash for change in changes}
    assert base not in hashes
    assert len(hashes) == len(changes)
    assert load_snapshot(json.loads(json.dumps(world())), VOCABULARY).hash == base
