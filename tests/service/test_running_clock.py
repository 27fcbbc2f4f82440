"""What time it is for the desk, with the machine's clocks turned by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service.running_clock import EXCHANGE, RunningClock

NOON = datetime(2026, 6, 15, 12, tzinfo=EXCHANGE)
WALL = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Machine:
    """Its two clocks: the wall's, which anybody can set, and the running one, which nobody can."""

    def __init__(self) -> None:
        self.wall_time = WALL
        self.running_s = 1000.0

    def clock(self, source: str) -> RunningClock:
        return RunningClock(source, lambda: self.wall_time, lambda: self.running_s)

    def pass_by(self, seconds: float) -> None:
        self.wall_time += timedelta(seconds=seconds)
        self.running_s += seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_snapshots_time_runs_on_at_the_speed_of_the_running_clock(machine):
    clock = machine.clock("snapshot")
    clock.set(NOON)
    assert clock.now() == NOON
    machine.pass_by(61.5)
    assert clock.now() == NOON + timedelta(seconds=61.5)


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1), timedelta(days=4000), timedelta(hours=1)])
def test_a_jump_of_the_wall_does_not_move_it(machine, jump):
    clock = machine.clock("snapshot")
    clock.set(NOON)
    machine.wall_time += jump
    assert clock.now() == NOON
    machine.running_s += 1
    assert clock.now() == NOON + timedelta(seconds=1)


def test_it_tells_whole_milliseconds_and_never_one_too_many(machine):
    clock = machine.clock("snapshot")
    clock.set(NOON)
    for running, told in ((0.0004, 0), (0.0009, 0), (0.001953125, 1), (0.25, 250)):
        machine.running_s = 1000.0 + running
        assert clock.now() - NOON == timedelta(milliseconds=told)


def test_a_clock_of_feeds_moves_only_when_it_is_told(machine):
    clock = machine.clock("feed")
    clock.set(NOON)
    machine.pass_by(1000)
    assert clock.now() == NOON
    clock.set(NOON + timedelta(seconds=1))
    assert clock.now() == NOON + timedelta(seconds=1)


def test_the_walls_time_is_the_exchanges_and_never_runs_back(machine):
    clock = machine.clock("wall")
    assert clock.now() == WALL
    assert clock.now().tzinfo is EXCHANGE
    machine.pass_by(10)
    assert clock.now() == WALL + timedelta(seconds=10)
    machine.wall_time -= timedelta(hours=1)
    assert clock.now() == WALL + timedelta(seconds=10), "set back, it waits"
    machine.wall_time += timedelta(hours=1, seconds=1)
    assert clock.now() == WALL + timedelta(seconds=11)


def test_every_clock_begins_at_the_walls_time(machine):
    for source in ("snapshot", "wall", "feed"):
        assert machine.clock(source).now() == WALL


@pytest.mark.parametrize(("source", "gone"), [("snapshot", 3600), ("wall", None), ("feed", 0)])
def test_after_a_restart_time_has_gone_on_unless_only_feeds_move_it(machine, source, gone):
    clock = machine.clock(source)
    clock.resume(NOON, WALL - timedelta(hours=1))
    expected = WALL if gone is None else NOON + timedelta(seconds=gone)
    assert clock.now() == expected


def test_a_record_from_the_future_moves_no_clock_back(machine):
    """The wall was set back while the service was down: no time has passed, rather than less than none."""
    clock = machine.clock("snapshot")
    clock.resume(NOON, WALL + timedelta(hours=5))
    assert clock.now() == NOON


@given(
    source=st.sampled_from(["snapshot", "wall", "feed"]),
    turns=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e5)), max_size=20),
)
def test_however_the_wall_is_turned_time_never_runs_back(source, turns):
    machine = Machine()
    clock, seen = machine.clock(source), [datetime.min.replace(tzinfo=UTC)]
    for jump, passed in turns:
        machine.wall_time += timedelta(seconds=jump)
        machine.running_s += passed
        seen.append(clock.now())
        assert seen[-1] >= seen[-2]
