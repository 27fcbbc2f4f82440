"""A worker that missed steps of worker 0 takes them in their order, or decides nothing: two services side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.service.agreed import BEGINNING, RULES, WORLD
from lexorder.api.service.catching_up import CatchingUp, steps_after
from lexorder.api.service.joining import look, state_of
from lexorder.api.service.peers import Answer
from lexorder.api.service.problems import Problem
from tests.service.house import House
from tests.worlds import position, world

NAMES = (RULES, WORLD)


class Leader:
    """Worker 0 as the peers of another one; `silent`, it does not answer."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.silent = False
        self.clients = {0: None}

    async def steps(self, shard: int, name: str, count: int, digest: str) -> Any:
        """As over the socket."""
        assert shard == 0
        work = steps_after(self.house.service, name, count, digest)
        if self.silent:
            work.close()
            return None
        return await asyncio.to_thread(self.house.run, work)

    async def state(self, _shard: int) -> dict[str, Any] | None:
        """As over the socket."""
        return None if self.silent else state_of(self.house.service)


class Two:
    """Worker 0, and worker 1 that hears only what a test lets it hear."""

    def __init__(self, folder: Path) -> None:
        self.first = House(folder / "0", workers=2, shard=0)
        self.second = House(folder / "1", workers=2, shard=1)
        self.share()
        self.leader = Leader(self.first)
        self.catching = CatchingUp(self.second.service, self.leader)  # type: ignore[arg-type]
        self.both("/v1/snapshot", world())

    def share(self) -> None:
        """Workers share the table of keys: who said something is the same for both."""
        for role, owner in (("admin", ""), ("risk_officer", "rita"), ("approver", "otto")):
            self.first.key(role, owner)
        self.second.service.access.keys, self.second._keys = self.first.service.access.keys, self.first._keys
        self.second.service.access.refresh()

    def both(self, path: str, body: Any) -> None:
        """Told to both."""
        for house in (self.first, self.second):
            house.post(path, body)

    def ends(self) -> list[dict[str, list[Any]]]:
        """The chains of both."""
        return [house.service.floor.agreed.ends() for house in (self.first, self.second)]

    def agree(self, name: str, *, anew: bool = False) -> bool:
        """Let the second come to where the first is."""
        count, digest = self.ends()[0][name]
        return self.second.run(self.catching.agree(name, (count, digest), anew=anew))

    def look(self, *, patient: bool = True) -> str:
        """Let the second look at the first; why it is apart."""
        self.second.run(look(self.second.service, self.leader, self.catching, patient=patient))  # type: ignore[arg-type]
        return self.second.service.apart


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    made = Two(tmp_path)
    yield made
    made.first.close()
    made.second.close()


def told(event: str, quantity: int, **more: Any) -> dict[str, Any]:
    """A holding."""
    return {"event_id": event, "items": [position("ACME", quantity)], **more}


def held(house: House) -> list[str]:
    """What is known to be held."""
    return [row["quantity"] for row in house.get("/v1/positions")["items"]]


def limit(house: House, name: str, *, approved: bool = True) -> None:
    """A limit of one worker's."""
    body = {"id": name, "kind": "order-quantity", "values": {"2026-01-01": "7"}}
    house.post("/v1/limits", body, by="risk_officer/rita", status=202)
    if approved:
        house.post(f"/v1/limits/{name}/approve", by="approver/otto")


# ---- facts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missed", [1, 2, 5])
def test_missed_events_are_taken_in_their_order(two, missed):
    for n in range(missed):
        two.first.post("/v1/positions", told(f"e{n}", n + 1))
    assert held(two.second) == []
    assert two.agree(WORLD)
    assert held(two.second) == held(two.first) == [str(missed)]
    assert two.ends()[0] == two.ends()[1]


def test_what_was_caught_up_with_is_recorded_and_outlives_a_restart(two):
    two.first.post("/v1/positions", told("e", 5))
    two.agree(WORLD)
    two.second.reopen()
    two.share()
    assert held(two.second) == ["5"]
    assert two.second.service.floor.agreed.ends() == two.ends()[0]


def test_an_event_that_was_caught_up_with_is_a_repetition_when_it_is_told(two):
    two.first.post("/v1/positions", told("e", 5, sequence=1))
    two.agree(WORLD)
    assert two.second.post("/v1/positions", told("e", 5, sequence=1))["status"] == "repeated"


def test_a_missed_snapshot_is_taken_by_who_comes_back_and_by_nobody_who_went_on(two):
    two.first.post("/v1/snapshot", world(positions=[position("BETA", 3)]))
    two.first.post("/v1/positions", told("e", 5))
    assert not two.agree(WORLD)
    assert held(two.second) == []
    assert two.agree(WORLD, anew=True)
    assert sorted(held(two.second)) == ["3", "5"]


def test_each_keeps_the_working_orders_of_its_accounts_only(two):
    rows = [
        {"id": f"w{n}", "account": f"A{n}", "symbol": "ACME", "side": "buy", "quantity": "1", "price": "100"}
        for n in range(12)
    ]
    accounts = [{**world()["accounts"][0], "id": f"A{n}"} for n in range(12)]
    two.first.post("/v1/snapshot", world(accounts=accounts))
    two.first.post("/v1/working-orders", {"event_id": "w", "items": rows})
    assert two.agree(WORLD, anew=True)
    parts = [{row["id"] for row in house.get("/v1/working-orders")["items"]} for house in (two.first, two.second)]
    assert parts[0] | parts[1] == {row["id"] for row in rows}
    assert not parts[0] & parts[1]
    assert all(parts)


# ---- rules -------------------------------------------------------------------------------------------


def test_missed_limits_are_taken_with_who_approved_them(two):
    limit(two.first, "small")
    limit(two.first, "waiting", approved=False)
    assert two.agree(RULES)
    shown = [{k: v for k, v in house.get("/v1/limits/small").items() if k != "proposed"} for house in (two.first, two.second)]  # fmt: skip # noqa: E501
    assert shown[0]["decided"]["person"] == shown[1]["decided"]["person"]
    assert two.second.get("/v1/limits/waiting")["state"] == "proposed"
    books = [house.get("/v1/rulebooks/active")["in_force"] for house in (two.first, two.second)]
    assert books[0] == books[1]


def test_a_limit_the_second_made_up_itself_is_not_overwritten(two):
    limit(two.first, "small")
    limit(two.second, "other")
    assert not two.agree(RULES)
    assert [row["id"] for row in two.second.get("/v1/limits")["items"]] == ["other"]


# ---- before anything else is taken -------------------------------------------------------------------


def after(two: Two, name: str, end: list[Any], body: dict[str, Any]) -> Answer:
    """Let the second take a batch behind an end of the chain of worker 0."""

    async def work() -> Answer:
        answer = await two.second.calling("POST", "/v1/positions", body)
        return Answer(answer.status_code, (), answer.content)

    count, digest = end
    return two.second.run(two.catching.after(name, count, digest, work))


def test_who_is_behind_catches_up_before_it_takes_more(two):
    two.first.post("/v1/positions", told("e1", 5))
    end = two.ends()[0][WORLD]
    assert after(two, WORLD, end, told("e2", 9)).status == 200
    assert held(two.second) == ["9"]
    two.first.post("/v1/positions", told("e2", 9))
    assert two.ends()[0][WORLD] == two.ends()[1][WORLD]


def test_what_came_with_what_was_missing_is_not_taken_twice(two):
    two.first.post("/v1/positions", told("e1", 5))
    end = two.ends()[0][WORLD]
    two.first.post("/v1/positions", told("e2", 9))
    answer = after(two, WORLD, end, {"event_id": "never", "items": [position("ACME", 77)]})
    assert (answer.status, held(two.second)) == (200, ["9"])


def test_who_cannot_ask_takes_nothing(two):
    two.first.post("/v1/positions", told("e1", 5))
    two.leader.silent = True
    with pytest.raises(Problem) as refused:
        after(two, WORLD, two.ends()[0][WORLD], told("e2", 9))
    assert (refused.value.status, refused.value.code) == (503, "shard-apart")
    assert held(two.second) == []


# ---- looks -------------------------------------------------------------------------------------------


def test_nothing_is_decided_before_worker_0_was_asked(two):
    two.leader.silent = True
    assert two.look(patient=False) == "facts"
    assert two.second.refused("POST", "/v1/positions", told("e", 1)) == (503, "shard-apart")
    assert two.look() == "facts", "still nobody"
    two.leader.silent = False
    assert two.look() == ""
    two.leader.silent = True
    assert two.look() == "", "who was heard once may be away for a while"


def test_a_look_catches_up(two):
    assert two.look(patient=False) == ""
    limit(two.first, "small")
    two.first.post("/v1/positions", told("e", 5))
    assert two.look() == ""
    assert two.ends()[0] == two.ends()[1]


def test_what_cannot_be_caught_up_with_is_seen_twice_and_then_decides_nothing(two):
    assert two.look(patient=False) == ""
    document = world(positions=[position("BETA", 3)])
    two.first.post("/v1/snapshot", document)
    assert two.look() == "", "it may be on its way"
    assert two.look() == "facts"
    assert two.look() == "facts"
    two.second.post("/v1/snapshot", document)
    assert two.look() == "", "told anew"


def test_the_first_of_all_asks_nobody(two):
    catching = CatchingUp(two.first.service, None)  # type: ignore[arg-type]
    none = Leader(two.second)
    none.silent = True
    two.first.run(look(two.first.service, none, catching, patient=False))  # type: ignore[arg-type]
    assert two.first.service.apart == ""


@pytest.mark.parametrize(("name", "count", "digest"), [("rules", 99, BEGINNING), ("rules", 0, "f" * 64), ("x", 0, BEGINNING)])  # fmt: skip # noqa: E501
def test_steps_that_do_not_follow_are_not_told(two, name, count, digest):
    assert two.first.run(steps_after(two.first.service, name, count, digest)) is None
