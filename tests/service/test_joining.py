"""A worker that was away beside others that went on: halts are taken over, gaps doubted, other rules decide nothing.

The other workers are neighbours over real sockets (`neighbours.py`) that say of themselves what each test needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.service import joining
from lexorder.api.service.catching_up import CatchingUp
from lexorder.api.service.joining import join, look, state_of
from lexorder.api.service.peers import Peers
from lexorder.api.service.trading_states import STATES
from tests.service.house import House, Outage
from tests.service.neighbours import Neighbour
from tests.worlds import order


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path).furnished()
    yield made
    made.close()


def beside(house: House, *others: dict[str, Any] | None, patient: bool = False, joined: bool = False) -> None:
    """Look at (or join) other workers that say this of themselves; None does not answer."""

    async def done() -> None:
        peers = Peers(house.folder / "socks", 0, len(others) + 1)
        try:
            catching = CatchingUp(house.service, peers)
            await (
                join(house.service, peers, catching)
                if joined
                else look(house.service, peers, catching, patient=patient)
            )
        finally:
            await peers.close()

    with ExitStack() as stack:
        for shard, state in enumerate(others, 1):
            if state is not None:
                stack.enter_context(Neighbour(house.folder / "socks", shard, lambda _s, _b, told=state: (200, told)))  # type: ignore[misc]
        house.run(done())


def like(house: House, **parts: Any) -> dict[str, Any]:
    """A worker that knows what this one knows, but for these parts."""
    return {**state_of(house.service), "shard": 1, **parts}


def halted(scope: str, identifier: str = "", state: str = "HALTED") -> dict[str, Any]:
    """A trading state as another worker tells it."""
    return {"scope": scope, "id": identifier, "state": state, "reason": "elsewhere", "by": "key:other", "at": "T"}


def outcome(house: House, number: str, account: str = "A") -> str:
    """Of one share more."""
    return str(house.check(id=number, account=account, quantity=1)["outcome"])


# ---- halts -------------------------------------------------------------------------------------------


def test_the_stricter_of_two_states_holds_whoever_knew_it(home):
    for number, (own, theirs) in enumerate(product(STATES, STATES)):
        told = {"scope": "account", "id": "A", "state": own, "reason": "t"}
        home.post("/v1/trading-state", told, by="risk_officer/rita")
        beside(home, like(home, states=[halted("account", "A", theirs)]), joined=True)
        known = home.service.floor.states.state("account", "A")
        assert known == max(own, theirs, key=STATES.index)
        assert (outcome(home, f"O{number}") == "approve") == (known == "ACTIVE")
        assert outcome(home, f"B{number}", "B") == "approve", "nobody halted B"


def test_what_is_taken_over_is_in_the_ledger_and_outlives_a_restart(home):
    beside(home, like(home, states=[halted("firm")]), joined=True)
    records = home.run(home.service.recorded(kind="trading-state"))
    assert [record.kind for record in records] == ["trading-state"]
    home.reopen()
    assert outcome(home, "O1") == "reject"


def test_the_strictest_of_several_workers_holds(home):
    others = [like(home, states=[halted("account", "A", state)]) for state in ("ACTIVE", "HALTED", "REDUCING")]
    beside(home, *others, joined=True)
    assert home.service.floor.states.state("account", "A") == "HALTED"


def test_only_joining_takes_halts_over_since_later_ones_are_told(home):
    beside(home, like(home, states=[halted("firm")]))
    assert outcome(home, "O1") == "approve"


# ---- rules -------------------------------------------------------------------------------------------


def ready(house: House) -> tuple[int, str]:
    """What `/readyz` and an order are answered."""
    probe = house.call("GET", "/readyz")
    return probe.status_code, probe.json().get("code", "")


def test_a_worker_with_other_rules_decides_nothing_until_they_agree(home):
    beside(home, like(home, book="ff" * 32), joined=True)
    assert ready(home) == (503, "shard-apart")
    assert home.refused("POST", "/v1/rebalances", {"account": "A", "trader": "T"}) == (503, "shard-apart")
    beside(home, like(home))
    assert ready(home)[0] == 200
    assert outcome(home, "O1") == "approve"


def test_while_running_a_difference_must_be_seen_twice(home):
    other = like(home, book="ff" * 32)
    beside(home, other, patient=True)
    assert ready(home)[0] == 200, "rules are not changed everywhere in the same instant"
    beside(home, other, patient=True)
    assert ready(home) == (503, "shard-apart")
    beside(home, like(home), patient=True)
    assert ready(home)[0] == 200
    beside(home, other, patient=True)
    assert ready(home)[0] == 200, "counted anew"


def test_one_of_several_with_other_rules_is_enough(home):
    beside(home, like(home), like(home, book="ff" * 32), like(home))
    assert ready(home) == (503, "shard-apart")


def test_workers_that_do_not_answer_are_passed_by(home):
    for count in range(3):
        beside(home, *([None] * count), joined=True)
        assert ready(home)[0] == 200


def test_a_worker_without_rules_yet_is_no_other_rules(home):
    beside(home, like(home, book=""), joined=True)
    assert ready(home)[0] == 200


# ---- feeds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("theirs", "doubted"), [(1, False), (2, False), (3, True), (2**62, True)])
def test_a_feed_of_which_others_heard_more_is_in_doubt(home, theirs, doubted):
    for sequence in (1, 2):
        body: dict[str, Any] = {"event_id": f"e{sequence}", "sequence": sequence, "items": []}
        assert home.call("POST", "/v1/prices", body).status_code == 200
    beside(home, like(home, feeds={"prices": theirs}))
    assert bool(home.service.floor.doubts) == doubted
    assert outcome(home, "O1") == ("undecided" if doubted else "approve")
    gaps = [record.ref for record in home.run(home.service.recorded(kind="gap"))]
    assert gaps == (["prices"] if doubted else [])
    beside(home, like(home, feeds={"prices": theirs}))
    again = home.run(home.service.recorded(kind="gap"))
    assert len(again) == len(gaps), "told once, not at every look"


def test_a_feed_that_was_never_numbered_here_is_not_doubted(home):
    beside(home, like(home, feeds={"prices": 7}))
    assert home.service.floor.doubts == {}


def test_a_gap_is_closed_by_what_was_missing(home):
    home.call("POST", "/v1/prices", {"event_id": "e1", "sequence": 1, "items": []})
    beside(home, like(home, feeds={"prices": 2}))
    assert outcome(home, "O1") == "undecided"
    assert home.call("POST", "/v1/prices", {"event_id": "e2", "sequence": 2, "items": []}).status_code == 200
    assert outcome(home, "O2") == "approve"


def test_while_nothing_can_be_recorded_looking_changes_nothing_and_does_not_fail(home):
    home.call("POST", "/v1/prices", {"event_id": "e1", "sequence": 1, "items": []})
    with Outage(home):
        assert home.call("POST", "/v1/orders/check", order(id="O1"), by="senior_trader/tess").status_code == 503
        beside(home, like(home, feeds={"prices": 9}))
    home.until(lambda: not home.service.journal.down)
    assert home.service.floor.doubts == {}
    beside(home, like(home, feeds={"prices": 9}))
    assert set(home.service.floor.doubts) == {"prices"}, "the next look finds it"


# ---- going on ----------------------------------------------------------------------------------------


def test_a_look_that_fails_is_not_the_last_one(home, monkeypatch):
    looked = 0

    async def fails(*_arguments: object, **_more: object) -> None:
        nonlocal looked
        looked += 1
        raise RuntimeError("this time")

    async def watched() -> None:
        task = asyncio.create_task(joining.keep_looking(home.service, None, None))  # type: ignore[arg-type]
        async with asyncio.timeout(20):
            while looked < 3:
                await asyncio.sleep(0.01)
        task.cancel()

    monkeypatch.setattr(joining, "LOOK_S", 0.01)
    monkeypatch.setattr(joining, "look", fails)
    home.run(watched())


def test_what_a_worker_says_of_itself_is_what_the_others_compare(home):
    home.post("/v1/trading-state", {"scope": "account", "id": "B", "state": "REDUCING", "reason": "t"})
    home.call("POST", "/v1/fills", {"event_id": "e", "sequence": 41, "items": []})
    state = state_of(home.service)
    assert (state["shard"], state["book"]) == (0, home.service.floor.standing.book.hash)
    assert [(s["scope"], s["id"], s["state"]) for s in state["states"]] == [("account", "B", "REDUCING")]
    assert state["feeds"] == {"fills": 41}


# ---- states that stay different ----------------------------------------------------------------------


def test_of_two_states_that_stay_different_the_stricter_one_holds(home):
    other = like(home, states=[halted("account", "A")])
    beside(home, other, patient=True)
    assert outcome(home, "O1") == "approve", "it may just have been lifted"
    beside(home, like(home, states=[]), patient=True)
    beside(home, other, patient=True)
    assert outcome(home, "O2") == "approve", "counted anew"
    beside(home, other, patient=True)
    assert outcome(home, "O3") == "reject"
    assert outcome(home, "B3", "B") == "approve"


def test_a_milder_state_elsewhere_changes_nothing(home):
    home.post("/v1/kill", {"scope": "account", "id": "A", "reason": "t"}, by="risk_officer/rita")
    for _ in range(3):
        beside(home, like(home, states=[halted("account", "A", "REDUCING")]), patient=True)
    assert home.service.floor.states.state("account", "A") == "HALTED"
