"""`DELETE /v1/rebalances/{id}`: what is taken back has no orders, whatever else happens in the same moment.

The solver is a stand-in (`solving.py`) that answers when the test lets it; the real one is killed in
`test_child_process.py` and `tests/running/test_rebalances.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lexorder.api.service.rebalancing import WAITING_MAX
from tests.service.house import House, Outage
from tests.service.solving import DONE, ORDERS, Solver, solver_of

ASKED = {"account": "A", "trader": "T"}
TESS, PAT = "senior_trader/tess", "portfolio_manager/pat"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path).furnished()
    yield made
    made.close()


def begun(house: House, solver: Solver) -> str:
    """The id of a rebalance that the solver works on."""
    count = len(solver.begun)
    identifier = str(house.post("/v1/rebalances", {**ASKED, "wait": False}, by=TESS, status=202)["id"])
    house.until(lambda: len(solver.begun) > count)
    return identifier


def ended(house: House, identifier: str) -> None:
    """Wait for its result, as its followers do."""
    assert "event: result" in house.call("GET", f"/v1/rebalances/{identifier}/events").text


def records(house: House) -> list[dict[str, Any]]:
    """Bodies of the recorded rebalances."""
    return [json.loads(record.body) for record in house.run(house.service.recorded(kind="rebalance"))]


def without_orders(house: House, identifier: str) -> None:
    """Whoever asks, and wherever: cancelled, and nothing to trade."""
    path = f"/v1/rebalances/{identifier}"
    for by in ("admin", TESS, "analyst", "risk_officer"):
        found = house.get(path, by=by)
        assert (found["status"], found["outcome"]["code"], found["verdict"]) == ("cancelled", "cancelled", "")
        for what in ("certificate", "report"):
            assert house.refused("GET", f"{path}/{what}", by=by) == (404, "no-certificate")
        told = house.call("GET", f"{path}/events", by=by).text
        assert told.count("event: result") == 1
        assert '"status":"cancelled"' in told
        assert "orders" not in found["outcome"]
        assert "ACME" not in told
    (body,) = [body for body in records(house) if body["id"] == identifier]
    assert (body["status"], body["certificate"], body["report"]) == ("cancelled", "", "")
    assert "ACME" not in json.dumps({key: body[key] for key in ("outcome", "shown", "verdict")})


def test_a_rebalance_that_is_taken_back_ends_at_once_and_for_everybody(home):
    solver = solver_of(home)
    identifier = begun(home, solver)
    assert home.get(f"/v1/rebalances/{identifier}")["status"] == "running"
    answer = home.call("DELETE", f"/v1/rebalances/{identifier}", by=PAT)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    without_orders(home, identifier)
    assert home.get("/v1/rebalances")["items"][0] == {"id": identifier, "account": "A", "status": "cancelled"}
    assert home.service.metrics.rebalances_running == 0


def test_the_record_says_who_took_it_back_and_who_had_asked(home):
    identifier = begun(home, solver_of(home))
    home.call("DELETE", f"/v1/rebalances/{identifier}", by=PAT)
    (body,) = records(home)
    keys = {row["owner"]: f"key:{row['id']}" for row in home.get("/v1/keys")["items"]}
    assert (body["by"], body["person"], body["asked_by"]) == (keys["pat"], "pat", keys["tess"])


def test_an_answer_that_comes_all_the_same_is_thrown_away(home):
    identifier = begun(home, solver_of(home, stubborn=True))
    assert home.call("DELETE", f"/v1/rebalances/{identifier}", by=TESS).json()["status"] == "cancelled"
    without_orders(home, identifier)


def test_an_answer_that_waits_to_be_taken_when_it_is_taken_back_is_thrown_away(home):
    solver = solver_of(home)
    identifier = begun(home, solver)

    async def both() -> httpx.Response:
        solver.answer()
        await asyncio.sleep(0)
        answer: httpx.Response = await home.calling("DELETE", f"/v1/rebalances/{identifier}", by=TESS)
        return answer

    answer = home.run(both())
    (body,) = records(home)
    if answer.status_code == 200:
        without_orders(home, identifier)
    else:  # it was recorded before anybody heard of the wish
        assert (answer.json()["code"], body["status"], body["outcome"]) == ("already-ended", "done", ORDERS)


def test_who_waits_for_the_result_is_told_that_there_is_none(home):
    solver = solver_of(home)

    async def both() -> tuple[httpx.Response, httpx.Response]:
        waiting = asyncio.create_task(home.calling("POST", "/v1/rebalances", {**ASKED, "wait": True}, by=TESS))
        while not solver.begun:
            await asyncio.sleep(0.01)
        (row,) = (await home.calling("GET", "/v1/rebalances", by=TESS)).json()["items"]
        return await home.calling("DELETE", f"/v1/rebalances/{row['id']}", by=TESS), await waiting

    taken_back, waited = home.run(both())
    assert taken_back.json() == waited.json()
    assert (waited.status_code, waited.json()["status"]) == (200, "cancelled")


def test_what_has_ended_is_not_taken_back(home):
    solver = solver_of(home)
    identifier = begun(home, solver)
    solver.answer()
    ended(home, identifier)
    before = home.get(f"/v1/rebalances/{identifier}")
    assert before["outcome"] == ORDERS
    for _ in range(2):
        assert home.refused("DELETE", f"/v1/rebalances/{identifier}", by=TESS) == (409, "already-ended")
    assert home.get(f"/v1/rebalances/{identifier}") == before
    assert len(records(home)) == 1


def test_while_the_result_is_on_its_way_to_the_ledger_it_is_too_late(home, monkeypatch):
    solver = solver_of(home)
    identifier = begun(home, solver)
    arrived, go_on = asyncio.Event(), asyncio.Event()
    step = home.service.step

    async def slow(*arguments: Any) -> Any:
        arrived.set()
        await go_on.wait()
        return await step(*arguments)

    async def late() -> httpx.Response:
        solver.answer()
        await arrived.wait()
        asking: asyncio.Task[httpx.Response] = asyncio.create_task(
            home.calling("DELETE", f"/v1/rebalances/{identifier}", by=TESS)
        )
        await asyncio.sleep(0.05)
        go_on.set()
        return await asking

    monkeypatch.setattr(home.service, "step", slow)
    answer = home.run(late())
    assert (answer.status_code, answer.json()["code"]) == (409, "already-ended")
    assert solver.given_up == []
    assert home.get(f"/v1/rebalances/{identifier}")["outcome"] == ORDERS


def test_twice_is_once_and_so_is_two_at_a_time(home):
    identifier = begun(home, solver_of(home))

    async def two() -> list[httpx.Response]:
        path = f"/v1/rebalances/{identifier}"
        return list(await asyncio.gather(*(home.calling("DELETE", path, by=by) for by in (TESS, PAT, TESS))))

    answers = [*home.run(two()), home.call("DELETE", f"/v1/rebalances/{identifier}", by=PAT)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(records(home)) == 1


def test_after_a_restart_it_is_still_cancelled_and_the_other_still_done(home):
    solver = solver_of(home)
    first, second = begun(home, solver), begun(home, solver)
    home.call("DELETE", f"/v1/rebalances/{first}", by=TESS)
    solver.answer()
    ended(home, second)
    home.reopen()
    without_orders(home, first)
    assert home.call("DELETE", f"/v1/rebalances/{first}", by=PAT).json()["status"] == "cancelled"
    assert home.refused("DELETE", f"/v1/rebalances/{second}", by=TESS) == (409, "already-ended")
    assert home.get(f"/v1/rebalances/{second}")["outcome"] == ORDERS
    assert home.call("GET", f"/v1/rebalances/{second}/certificate").text == DONE.certificate


@pytest.mark.parametrize("identifier", ["r-0000", "none", "%00", "r-0000%2Fevents"])
def test_what_nobody_began_is_unknown(home, identifier):
    status, code = home.refused("DELETE", f"/v1/rebalances/{identifier}", by=TESS)
    assert (status, code) in {(404, "unknown-rebalance"), (404, "not-found"), (405, "method-not-allowed")}


def test_a_key_for_another_account_does_not_even_learn_that_it_is_there(home):
    solver = solver_of(home)
    identifier = begun(home, solver)
    refused = home.refused("DELETE", f"/v1/rebalances/{identifier}", by=PAT, accounts=["B"])
    assert refused == (404, "unknown-rebalance")
    assert not any(event.is_set() for event in solver.given_up)
    assert home.get(f"/v1/rebalances/{identifier}")["status"] == "running"
    home.call("DELETE", f"/v1/rebalances/{identifier}", by=PAT, accounts=["A", "B"])
    without_orders(home, identifier)


def test_while_nothing_can_be_recorded_it_ends_without_orders_all_the_same(home):
    identifier = begun(home, solver_of(home, stubborn=True))
    with Outage(home):
        assert home.refused("DELETE", f"/v1/rebalances/{identifier}", by=TESS) == (503, "ledger-unavailable")
        found = home.get(f"/v1/rebalances/{identifier}")
        assert (found["status"], found["outcome"]["code"]) == ("undecided", "ledger-unavailable")
        assert home.refused("GET", f"/v1/rebalances/{identifier}/certificate") == (404, "no-certificate")
    home.until(lambda: not home.service.journal.down)
    assert records(home) == []


def test_what_is_taken_back_makes_room_for_another(home):
    solver = solver_of(home)
    made = [begun(home, solver) for _ in range(WAITING_MAX)]
    assert home.refused("POST", "/v1/rebalances", ASKED, by=TESS) == (429, "too-many-rebalances")
    home.call("DELETE", f"/v1/rebalances/{made[3]}", by=TESS)
    made.append(begun(home, solver))
    states = {row["id"]: row["status"] for row in home.get("/v1/rebalances")["items"]}
    assert [states[identifier] for identifier in made] == [
        "cancelled" if n == 3 else "running" for n in range(WAITING_MAX + 1)
    ]
    told, query = [], "limit=3"
    while query:
        page = home.get(f"/v1/rebalances?{query}")
        assert page["count"] == len(made)
        told += [row["id"] for row in page["items"]]
        query = f"limit=3&cursor={page['next']}" if page["next"] else ""
    assert told == sorted(made)
    for identifier in made:
        home.call("DELETE", f"/v1/rebalances/{identifier}", by=TESS)
    assert home.service.metrics.rebalances_running == 0
