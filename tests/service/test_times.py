"""Times that are told: an impossible one is refused before anything changes, and none moves the desk a year on."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lexorder.api.service.routes_state import AHEAD_MAX
from tests.service.house import House
from tests.worlds import NOON, world

IMPOSSIBLE = ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "2026-02-30T12:00:00Z")
FEEDS = ("accounts", "positions", "prices", "fills", "working-orders", "lists", "signals")


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path, clock="feed").furnished()
    yield made
    made.close()


def told(house, moment, name="e", feed="prices"):
    return house.call("POST", f"/v1/{feed}", {"event_id": name, "time": moment})


def now(house):
    return datetime.fromisoformat(house.get("/v1/snapshot")["time"])


@pytest.mark.parametrize("moment", IMPOSSIBLE)
def test_no_time_of_an_event_stops_the_desk(house, moment):
    for feed in FEEDS:
        answer = told(house, moment, feed=feed)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-time"), feed
    assert now(house) == datetime.fromisoformat(NOON)
    assert house.check(id="after")["outcome"] == "approve"


@pytest.mark.parametrize("moment", IMPOSSIBLE)
def test_no_time_of_a_snapshot_does(house, moment):
    status, code = house.refused("POST", "/v1/snapshot", world(time=moment))
    assert (status, code) == (422, "missing-time")
    assert house.check(id="after")["outcome"] == "approve"


@pytest.mark.parametrize("year", [2, 1000, 1899, 2200, 2261, 2300, 9998])
def test_a_year_without_a_calendar_decides_nothing_but_breaks_nothing(house, year):
    house.post("/v1/snapshot", world(time=f"{year:04d}-06-15T12:00:00-04:00"))
    assert house.check(id="then")["outcome"] in {"approve", "undecided"}
    house.post("/v1/snapshot", world())
    assert house.check(id="again")["outcome"] == "approve"
    assert now(house) == datetime.fromisoformat(NOON)


def test_an_event_moves_the_desk_a_month_at_most(house):
    start = datetime.fromisoformat(NOON)
    beyond = told(house, (start + AHEAD_MAX + timedelta(microseconds=1)).isoformat())
    assert (beyond.status_code, beyond.json()["code"]) == (422, "time-too-far-ahead")
    assert beyond.json()["now"] == NOON
    assert now(house) == start
    assert told(house, (start + AHEAD_MAX).isoformat(), "limit").json()["status"] == "taken"
    assert now(house) == start + AHEAD_MAX
    assert told(house, NOON, "back").json()["status"] == "taken"
    assert now(house) == start + AHEAD_MAX, "never back"


def test_a_batch_that_is_refused_moves_no_time(house):
    later = (datetime.fromisoformat(NOON) + timedelta(hours=1)).isoformat()
    refused = {"event_id": "e", "time": later, "items": [{"symbol": "ACME", "mark": "none"}]}
    assert house.refused("POST", "/v1/prices", refused) == (422, "bad-value")
    house.check(id="o")
    assert now(house) == datetime.fromisoformat(NOON)


def test_a_time_that_is_refused_is_no_event_after_a_restart(house):
    for n, moment in enumerate(IMPOSSIBLE):
        told(house, moment, f"e{n}")
    house.reopen()
    assert house.check(id="after")["outcome"] == "approve"
    assert told(house, NOON, "e0").json()["status"] == "taken"
