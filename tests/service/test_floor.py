"""A floor made of the ledger alone is the floor that wrote it, whatever the day was like."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from lexorder.api.service.wire import decision_bytes
from lexorder.engine.facts import load_order
from tests.service.house import RULES, House, state_of
from tests.service.stepping import begin, days, rebuilt, snapshot, take, tell
from tests.worlds import VOCABULARY, order, world

PROBES = [
    load_order(order(side, quantity, symbol, id=f"p-{account}-{side}-{symbol}-{quantity}", account=account), VOCABULARY)
    for account in ("A", "B")
    for side in ("buy", "sell")
    for symbol in ("ACME", "BETA")
    for quantity in (1, 100, 101, 499, 501)
]


def everything(floor):
    """All that decides: the state, the feeds, the facts themselves and not only their hash."""
    feeds = {f.name: (f.last, f.highest, f.heard, set(f.seen)) for f in floor.feeds.feeds.values()}
    facts = floor.standing.snapshot
    tables = (facts.accounts, facts.positions, facts.instruments, facts.traders, facts.single, facts.fills)
    return {**state_of(floor), "feeds": feeds, "doubts": floor.doubts, "tables": tables}


def answers(floor):
    return [decision_bytes(floor.decide((probe,))) for probe in PROBES]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=days())
def test_a_floor_of_the_ledger_alone_is_the_one_that_wrote_it(shared, steps):
    begin(shared)
    take(shared, steps)
    again = rebuilt(shared)
    assert everything(again) == everything(shared.service.floor)
    assert answers(again) == answers(shared.service.floor)


def test_the_probes_can_tell_two_floors_apart(house):
    before = answers(house.service.floor)
    assert house.check(id="o1", quantity=100, trader="T")["outcome"] == "approve"
    assert answers(house.service.floor) != before


def test_the_next_process_goes_on_where_this_one_stopped(house):
    begin(house)
    assert tell(house, "prices", sequence=4, items=[{"symbol": "ACME", "mark": "101"}]).status_code == 200
    assert tell(house, "prices", sequence=9, items=[]).json()["code"] == "sequence-gap"
    assert house.check(id="o1", quantity=100, symbol="BETA", trader="T")["outcome"] == "undecided"
    before = everything(house.service.floor)
    house.reopen()
    # Its clock runs on while it is away; the desk is told with the next step.
    assert everything(house.service.floor) == before
    assert house.service.clock.now() >= before["time"]


def test_event_ids_count_from_the_snapshot_on_with_or_without_a_restart(house):
    told = {"event_id": "once-a-snapshot", "items": [{"symbol": "ACME", "mark": "120"}]}
    for _ in range(2):
        assert house.post("/v1/prices", told)["status"] == "taken"
        assert house.post("/v1/prices", told)["status"] == "repeated"
        house.reopen()
        assert house.post("/v1/prices", told)["status"] == "repeated"
        snapshot(house)
        house.reopen()


def test_a_reservation_holds_until_the_snapshot_that_does_not_know_it(house):
    assert house.check(id="o1", quantity=100)["outcome"] == "approve"
    assert list(house.service.floor.standing.working) == ["o1"]
    house.reopen()
    assert list(house.service.floor.standing.working) == ["o1"]
    house.post("/v1/snapshot", world())
    assert not house.service.floor.standing.working
    house.reopen()
    assert not house.service.floor.standing.working


def test_time_moves_by_ticks_and_only_with_a_record(tmp_path):
    house = House(tmp_path, RULES, tick_s=3600.0, clock="feed").furnished()
    floor = house.service.floor
    noon = floor.standing.time
    tell(house, "prices", time="2026-06-15T12:59:59-04:00", items=[])
    assert floor.standing.time == noon
    tell(house, "prices", time="2026-06-15T13:00:00-04:00", items=[])
    assert (floor.standing.time - noon).total_seconds() == 3600
    tell(house, "prices", time="2026-06-15T12:30:00-04:00", items=[])  # never back
    assert (floor.standing.time - noon).total_seconds() == 3600
    assert rebuilt(house).standing.time == floor.standing.time
    house.close()


def test_a_refused_batch_moves_nothing_not_even_time(tmp_path):
    house = House(tmp_path, RULES, tick_s=0.0, clock="feed").furnished()
    before = everything(house.service.floor), house.service.clock.now()
    late = {"event_id": "bad", "time": "2026-06-15T15:00:00-04:00", "items": [{"symbol": "ACME", "mark": "cheap"}]}
    assert house.refused("POST", "/v1/prices", late)[0] == 422
    assert (everything(house.service.floor), house.service.clock.now()) == before
    house.close()
