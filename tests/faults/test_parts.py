"""A part of the service fails: an evaluator that takes for ever, a solver that hangs or dies, a clock, a worker."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest

from tests.expert.test_session import order, session_of
from tests.faults.served import Served, body_of, children_of, furniture, until
from tests.service.house import House
from tests.worlds import NOON, world

DAY = timedelta(days=1)


# ---- CLIPS ---------------------------------------------------------------------------------------


class Endless:
    """An evaluator whose rule never ends, in a CLIPS of its own with a deadline."""

    def __init__(self) -> None:
        self.session = session_of("(defrule loop (order (quantity 1)) => (while TRUE do (bind ?x 1)))")

    def apply(self, *_event):
        """Nothing to know."""

    def check(self, _account, _orders, _first):
        order(self.session, 1)
        self.session.run()
        raise AssertionError("it ended")


@pytest.fixture
def slow(tmp_path):
    """A service where the second evaluator never ends."""
    house = House(tmp_path).furnished()
    desk = house.service.floor.standing
    make = desk._make
    desk._make = lambda *given: replace(make(*given), second=Endless())
    desk._seats.clear()  # what was made before anybody asked
    desk._of_account.clear()
    yield house
    house.close()


def test_an_evaluator_that_runs_out_of_time_approves_nothing(slow):
    for n in range(3):
        answer = slow.check(id=f"S{n}", trader="T")
        assert (answer["outcome"], answer["reason"]) == ("undecided", "ENGINE_FAULT")
    recorded = slow.run(slow.service.recorded(kind="decision"))
    assert [body_of(r)["decision"]["outcome"] for r in recorded] == ["undecided"] * 3
    assert not any(body_of(r)["reserved"] for r in recorded)
    assert slow.get("/v1/working-orders")["items"] == []


# ---- solvers -------------------------------------------------------------------------------------


def rebalancing(house):
    """A rebalance of account A, whatever becomes of it."""
    signal_ = {"id": "S1", "symbol": "ACME", "account": "A", "direction": "long"}
    house.post(
        "/v1/snapshot",
        world(
            account={"start_of_day_nav": "100000", "peak_nav": "100000"},
            signals=[{**signal_, "expected_return": "3%", "confidence": "90%", "timeframe": "1d"}],
        ),
    )
    return house.post("/v1/rebalances", {"account": "A", "trader": "T", "wait": True})


def ended(house, answer):
    """Its code, and that nothing was put to work."""
    assert answer["status"] == "undecided", answer
    assert house.get("/v1/working-orders")["items"] == []
    (record,) = house.run(house.service.recorded(kind="rebalance"))
    assert body_of(record)["status"] == "undecided"
    assert house.check(id="after", trader="T")["outcome"] == "approve"
    return answer["outcome"]["code"]


def test_a_solver_that_takes_too_long_decides_nothing(tmp_path):
    house = House(tmp_path, rebalance_timeout_s=0.01)
    try:
        assert ended(house, rebalancing(house)) == "solver-timeout"
    finally:
        house.close()


def test_a_solver_that_is_killed_decides_nothing(tmp_path):
    house = House(tmp_path)
    try:
        worker = house.service.rebalancer
        worker.warm()
        process = worker.child.process
        assert process is not None
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)  # so that it has the task and not finished it
        timer = threading.Timer(2, process.kill)
        timer.start()
        assert ended(house, rebalancing(house)) == "solver-lost"
        timer.join()
    finally:
        house.close()


# ---- clocks --------------------------------------------------------------------------------------


class Turned:
    """The machine's wall clock, which tests turn; its running clock, which nobody can."""

    def __init__(self, house: House) -> None:
        self.clock = house.service.clock
        self._wall = self.clock.wall
        self.by = timedelta(0)
        self.clock.wall = lambda: self._wall() + self.by
        house.service.journal.wall = lambda: self._wall() + self.by


def moments(house, turned, jumps):
    """The desk's time as decisions tell it, one before and one after each jump."""
    found = []
    for n, by in enumerate((timedelta(0), *jumps)):
        turned.by = by
        answer = house.check(id=f"C{n}", trader="T")
        assert answer["outcome"] == "approve"
        found.append(datetime.fromisoformat(answer["time"]))
    return found


@pytest.mark.parametrize("jumps", [(DAY, timedelta(0)), (-DAY, timedelta(0)), (DAY, -DAY)])
def test_a_jump_of_the_wall_clock_does_not_move_a_snapshot_clock(tmp_path, jumps):
    house = House(tmp_path, clock="snapshot").furnished()
    try:
        found = moments(house, Turned(house), jumps)
        assert found == sorted(found)
        assert found[-1] - datetime.fromisoformat(NOON) < timedelta(hours=1)
    finally:
        house.close()


def test_a_wall_clock_that_goes_back_stands_still(tmp_path):
    house = House(tmp_path, clock="wall", tick_s=0.0).furnished()
    try:
        found = moments(house, Turned(house), (DAY, -DAY, timedelta(0)))
        assert found == sorted(found)
        assert found[1] - found[0] >= DAY - timedelta(seconds=1)
        assert found[3] == found[1]  # yesterday again: time waits
    finally:
        house.close()


# ---- workers -------------------------------------------------------------------------------------


def both_ready(service: Served) -> bool:
    """Whether each of two workers, asked at its own door, would decide."""
    for shard in (0, 1):
        try:
            if httpx.get(f"http://127.0.0.1:{service.port + 1 + shard}/readyz", timeout=60).status_code != 200:
                return False
        except httpx.HTTPError:
            return False
    return True


def asked(service: Served, identifier: str, account: str) -> str:
    """The outcome of an order, or that it was not decided: 503, or no answer where the worker died."""
    try:
        answer = service.check(id=identifier, account=account, trader="T")
    except httpx.HTTPError:
        return "none"
    assert answer.status_code in (200, 503), answer.text
    return str(answer.json()["outcome"]) if answer.status_code == 200 else "none"


def test_a_killed_worker_comes_back_with_what_it_held(tmp_path):
    """Two workers; while one is away none of its orders is decided, and afterwards it knows what is working."""
    with Served(tmp_path, workers=2) as service:
        assert service.process is not None
        until(lambda: both_ready(service))
        told = service.call("POST", "/v1/snapshot", furniture(8))
        assert told.status_code == 200, told.text
        outcomes = {f"W{n}": asked(service, f"W{n}", f"A{n}") for n in range(8)}
        assert set(outcomes.values()) == {"approve"}
        assert set(service.working()) == set(outcomes)
        supervisor = service.process.pid
        (first, second) = children_of(supervisor)
        os.kill(first, signal.SIGKILL)
        outcomes |= {f"D{n}": asked(service, f"D{n}", f"A{n}") for n in range(8)}
        until(lambda: first not in children_of(supervisor) and len(children_of(supervisor)) == 2)
        assert second in children_of(supervisor)
        until(lambda: both_ready(service))
        working = set(until(lambda: working_of_both(service)))
        assert {name for name, outcome in outcomes.items() if outcome == "approve"} <= working
        assert working <= set(outcomes)
        assert {asked(service, f"L{n}", f"A{n}") for n in range(8)} == {"approve"}


def working_of_both(service: Served) -> dict[str, str]:
    """The working orders, once both workers tell of theirs."""
    answer = service.call("GET", "/v1/working-orders")
    return service.working() if answer.status_code == 200 else {}
