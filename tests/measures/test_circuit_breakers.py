"""Market-wide circuit breakers: levels cut to cents, times from the close, in integers of our own."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import strategies as st

from lexorder.engine.desk import Desk
from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures import circuit_breakers as breakers
from lexorder.engine.sessions import ZONE
from lexorder.engine.snapshot import MissingFactError, Subject
from lexorder.engine.terms import Value
from tests.rules.library import NOON, book, forall, order, projected, words, world

LEFT = {1: 93, 2: 87, 3: 80}
CLOSE = datetime(2026, 6, 15, 16, tzinfo=ZONE)
index = st.integers(min_value=100, max_value=2_000_000)


@forall(close=index, level=st.sampled_from([1, 2, 3]))
def test_levels_are_cut_to_cents(close: int, level: int) -> None:
    assert breakers.level_value(Fraction(close, 100), level) * 100 == close * LEFT[level] // 100


@pytest.mark.parametrize(("level", "value"), [(1, "4972.30"), (2, "4651.50"), (3, "4277.24")])
def test_published_levels_of_2024_08_05(level: int, value: str) -> None:
    assert breakers.level_value(Fraction("5346.56"), level) == Fraction(value)


@forall(close=index, lowest=index)
def test_the_level_reached_is_the_highest_at_or_below(close: int, lowest: int) -> None:
    reached = [level for level, left in LEFT.items() if lowest <= close * left // 100]
    assert breakers.level_reached(Fraction(close, 100), Fraction(lowest, 100)) == max(reached, default=0)


@pytest.mark.parametrize(("off", "level"), [(0, 2), (1, 1), (-1, 2)])
def test_exactly_at_a_level_it_is_reached(off: int, level: int) -> None:
    assert breakers.level_reached(Fraction(1_000), Fraction(87_000 + off, 100)) == level


@pytest.mark.parametrize(
    ("level", "clock", "expected"),
    [
        (0, "12:00:00", "NONE"),
        (1, "09:30:01", "HALT_15_MIN"),
        (1, "15:24:59", "HALT_15_MIN"),
        (1, "15:25:00", "NONE"),
        (2, "15:24:59", "HALT_15_MIN"),
        (2, "15:25:00", "NONE"),
        (3, "09:30:01", "HALT_REST_OF_DAY"),
        (3, "15:25:00", "HALT_REST_OF_DAY"),
        (3, "15:59:59", "HALT_REST_OF_DAY"),
    ],
)
def test_what_a_level_does(level: int, clock: str, expected: str) -> None:
    assert breakers.action(level, datetime.fromisoformat(f"2026-06-15T{clock}-04:00"), CLOSE) == expected


@pytest.mark.parametrize(("minute", "expected"), [(24, "HALT_15_MIN"), (25, "NONE")])
def test_on_a_short_day_the_last_halt_is_before_12_25(minute: int, expected: str) -> None:
    closes = datetime(2026, 11, 27, 13, tzinfo=ZONE)
    assert breakers.action(1, datetime(2026, 11, 27, 12, minute, tzinfo=ZONE), closes) == expected


@forall(level=st.sampled_from([1, 2]), seconds=st.integers(0, 2_000))
def test_trading_resumes_after_exactly_15_minutes(level: int, seconds: int) -> None:
    reached = datetime(2026, 6, 15, 10, tzinfo=ZONE)
    what = breakers.action(level, reached, CLOSE)
    assert breakers.stopped(what, reached, reached + timedelta(seconds=seconds)) is (seconds < 900)
    assert breakers.stopped("HALT_REST_OF_DAY", reached, reached + timedelta(seconds=seconds))


TEN = datetime(2026, 6, 15, 10, tzinfo=ZONE)


@forall(first=st.sampled_from([1, 2]), level=st.sampled_from([1, 2, 3]), seconds=st.integers(-1, 1))
def test_after_a_halt_only_a_higher_level_stops_trading_again(first: int, level: int, seconds: int) -> None:
    again = TEN + timedelta(seconds=seconds)
    if level == 3:
        expected = "HALT_REST_OF_DAY"
    else:
        # The same decline, reported twice, is the halt that runs; a later one of that level or a lower one is none.
        expected = "HALT_15_MIN" if level > first or seconds <= 0 else "NONE"
    assert breakers.action(level, again, CLOSE, [(first, TEN)]) == expected


def test_after_both_levels_only_level_3_is_left() -> None:
    both = [(1, TEN), (2, TEN + timedelta(minutes=20))]
    found = [breakers.action(level, TEN + timedelta(hours=1), CLOSE, both) for level in (0, 1, 2, 3)]
    assert found == ["NONE", "NONE", "NONE", "HALT_REST_OF_DAY"]


def measured(name: str, **session: str) -> Value:
    seen = projected(world(session=session))
    return REGISTRY[name](seen, Subject("session", "", seen.snapshot.single))


def test_levels_and_the_level_reached_are_measured_from_the_index() -> None:
    found = [measured(f"session.decline_level_{n}", index_previous_close="1000") for n in (1, 2, 3)]
    assert found == [930, 870, 800]
    assert measured("session.decline_level", index_previous_close="1000", index_low="869.99") == 2
    assert measured("session.decline_action", index_previous_close="1000", index_low="799.99") == "HALT_REST_OF_DAY"
    assert measured("session.market_wide_halt", index_previous_close="1000", index_low="930.01") is False


def test_a_level_given_wins_over_the_index() -> None:
    assert measured("session.decline_level", decline_level="3", index_previous_close="1000", index_low="999") == 3


@pytest.mark.parametrize("name", ["decline_level", "decline_level_1", "market_wide_halt", "decline_action"])
def test_without_the_index_nothing_is_measured(name: str) -> None:
    with pytest.raises(MissingFactError):
        measured(f"session.{name}")


LOW = {"index_previous_close": "1000", "index_low": "930"}


@pytest.mark.parametrize(
    ("session", "outcome"),
    [
        ({"index_previous_close": "1000", "index_low": "930.01"}, "approve"),
        ({"index_previous_close": "1000", "index_low": "930"}, "reject"),
        ({"index_previous_close": "1000", "index_low": "930", "decline_time": "2026-06-15T11:45:00-04:00"}, "approve"),
        ({"index_previous_close": "1000", "index_low": "930", "decline_time": "2026-06-15T11:45:01-04:00"}, "reject"),
        ({"market_wide_halt": "true"}, "reject"),
        ({}, "approve"),
        # The halt of 11:50 runs until 12:05, whatever the index says now.
        ({"level_1_time": "2026-06-15T11:50:00-04:00"}, "reject"),
        ({"level_1_time": "2026-06-15T11:45:00-04:00"}, "approve"),
        ({**LOW, "level_1_time": "2026-06-15T10:00:00-04:00"}, "approve"),
        ({**LOW, "level_2_time": "2026-06-15T10:00:00-04:00"}, "approve"),
        ({**LOW, "index_low": "870", "level_1_time": "2026-06-15T10:00:00-04:00"}, "reject"),
        ({**LOW, "index_low": "800", "level_2_time": "2026-06-15T10:00:00-04:00"}, "reject"),
    ],
)
def test_a_desk_stops_while_the_market_is_stopped(session: dict[str, str], outcome: str) -> None:
    trading = Desk(book(), world(session=session, account={"kind": "margin"}), words())
    assert trading.snapshot.time.isoformat() == NOON
    found = trading.check(order("buy", 1))
    stopped = {r.rule for r in found.reports if r.rule == "market-wide-halt" and r.status.value == "breach"}
    assert bool(stopped) is (outcome == "reject")
