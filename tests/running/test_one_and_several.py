"""One worker beside two and three: the same day at whichever door, and every answer the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults.forking import Forge
from tests.ledger.postgres_server import Server
from tests.running.sequences import ACCOUNTS, Day, Step, beginning
from tests.running.several import MORE, Workers, gist
from tests.service.house import RULES


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Iterator[list[Workers]]:
    """Of one, two and three workers."""
    with ExitStack() as stack:
        made = [Workers(tmp_path_factory.mktemp(f"of{count}"), forge, count) for count in (1, 2, 3)]
        for service in made:
            stack.enter_context(service)
            service.persons()
        yield made


def asked(service: Workers, step: Step, door: int, overrides: dict[int, str]) -> tuple[int, Any]:
    """Status and document of a step at a door; what an override is called is kept."""
    path = step.path.replace("{override}", overrides.get(service.count, "none"))
    answer = service.at(door, step.method, path, step.body, step.by, **step.headers)
    told = answer.json()
    if step.path.endswith("/override") and answer.status_code == 202:
        overrides[service.count] = told["id"]
    return answer.status_code, told


def lived(services: list[Workers], seed: int, turns: int) -> list[int]:
    """A day at all of them; the statuses. Every answer is compared when it comes."""
    day, doors, overrides, seen = Day(seed), random.Random(seed), dict[int, str](), list[int]()
    for number, step in enumerate(day.steps(turns)):
        status, told = asked(services[0], step, 0, overrides)
        for service in services[1:]:
            door = doors.randrange(service.count)
            theirs = asked(service, step, door, overrides)
            where = f"seed {seed}, step {number}, {service.count} workers, door {door}: {step}"
            assert (theirs[0], gist(theirs[1])) == (status, gist(told)), where
        day.heard(step, told)
        seen.append(status)
    return seen


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 12))])
def test_a_random_day_is_answered_by_several_workers_as_by_one(services, seed):
    seen = lived(services, seed, 40)
    assert {200, 422} <= set(seen), "something was refused as well"


@pytest.mark.slow
def test_on_postgresql_as_well(tmp_path, forge, server: Server):
    with ExitStack() as stack:
        made = [Workers(tmp_path / f"of{count}", forge, count, database=server.url()) for count in (1, 2)]
        for service in made:
            stack.enter_context(service)
            service.persons()
        lived(made, 12, 40)


def compared(services: list[Workers], step: Step, overrides: dict[int, str] | None = None) -> tuple[int, Any]:
    """What all answer to a step, each at each of its doors in turn for what changes nothing."""
    status, told = asked(services[0], step, 0, overrides or {})
    for service in services[1:]:
        for door in range(service.count) if step.method == "GET" else (service.count - 1,):
            theirs = asked(service, step, door, overrides or {})
            assert (theirs[0], gist(theirs[1])) == (status, gist(told)), (service.count, door, step)
    return status, told


def test_a_rule_book_from_its_upload_to_its_end(services):
    """The book allows half as much; then the first one decides again."""
    assert compared(services, Step("POST", "/v1/snapshot", beginning()))[0] == 200
    texts = {"name": "halves", "files": {"house.yaml": (RULES + MORE).replace("<= 50% *", "<= 25% *")}}
    first = services[0].at(0, "GET", "/v1/rulebooks/active").json()["id"]
    made = compared(services, Step("POST", "/v1/rulebooks", texts, "rita"))[1]["id"]
    small = {"id": "b", "account": "A4", "symbol": "BETA", "side": "buy", "quantity": "251", "ord_type": "limit"}
    row = {**small, "price": "100", "trader": "T"}
    for name, largest in ((made, "250"), (first, "500")):
        steps = [
            Step("POST", "/v1/rulebooks", texts, "rita"),
            Step("POST", f"/v1/rulebooks/{name}/approve", by="rob"),
            Step("POST", f"/v1/rulebooks/{name}/lint", by="rita"),
            Step("POST", f"/v1/rulebooks/{name}/test", by="rita"),
            Step("POST", f"/v1/rulebooks/{name}/activate", {"reason": "t"}, "rita"),
            Step("POST", f"/v1/rulebooks/{name}/approve", by="rita"),
            Step("POST", f"/v1/rulebooks/{name}/approve", by="rob"),
            Step("GET", "/v1/rulebooks"),
            Step("GET", "/v1/rulebooks/history"),
        ]
        answered = [compared(services, step)[0] for step in steps]
        assert answered == [200, 409, 200, 200, 202, 409, 200, 200, 200]
        told = [service.at(0, "POST", "/v1/orders/what-if", row).json() for service in services]
        assert len({str(gist(each)) for each in told}) == 1
        weights = [rule["limit"] for rule in told[0]["rules"] if rule["rule"] == "issuer-weight"]
        assert weights == ["0.25" if largest == "250" else "0.5"]
        for service in services:
            hashes = {service.at(k, "GET", "/v1/rulebooks/active").json()["in_force"] for k in range(service.count)}
            assert len(hashes) == 1


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("path", ["decisions", "working-orders", "accounts"])
def test_pages_of_all_workers_are_what_one_lists(services, path, limit):
    compared(services, Step("POST", "/v1/snapshot", beginning()))
    for n, account in enumerate(ACCOUNTS * 2):
        name = f"page-{path}-{limit}-{n}"
        row = {"id": name, "account": account, "symbol": "BETA", "side": "buy", "quantity": "1", "ord_type": "limit"}
        compared(services, Step("POST", "/v1/orders/check", {**row, "price": "100", "trader": "T"}))
    whole = [pages(service, door, path, limit) for service in services for door in range(service.count)]
    mine = [[row for row in rows if f"page-{path}-{limit}-" in str(row) or path == "accounts"] for rows in whole]
    assert len(mine[0]) == (6 if path == "accounts" else 12)
    assert all(gist(each) == gist(mine[0]) for each in mine)
    assert all(len(rows) == len({str(row) for row in rows}) for rows in whole), "nothing twice"


def pages(service: Workers, door: int, path: str, limit: int) -> list[Any]:
    """All rows, page by page, as the manual says: from each worker its own next page."""
    found: list[Any] = []
    ahead = [("", "")]
    while ahead:
        shard, cursor = ahead.pop()
        told = service.at(door, "GET", f"/v1/{path}?limit={limit}{shard}{cursor}").json()
        found += told["items"]
        ahead += [(f"&shard={k}", f"&cursor={each}") for k, each in told.get("next_by_worker", {}).items()]
        ahead += [(shard, f"&cursor={told['next']}")] if told["next"] else []
    return found


@pytest.mark.parametrize("door", range(3))
def test_records_and_figures_are_asked_of_one_worker_by_its_number(services, door):
    service = services[2]
    for shard in range(3):
        assert service.at(door, "GET", f"/v1/ledger/head?shard={shard}").json()["shard"] == shard
        assert service.at(door, "GET", f"/v1/ledger/proof?seq=1&shard={shard}").json()["shard"] == shard
        verified = service.at(door, "POST", f"/v1/ledger/verify?shard={shard}").json()
        assert (verified["shard"], verified["ok"], verified["findings"]) == (shard, True, [])
        assert f'shard="{shard}"' in service.at(door, "GET", f"/metrics?shard={shard}").text
    for method, path in (("GET", "/v1/ledger/head"), ("POST", "/v1/ledger/verify")):
        assert service.at(door, method, f"{path}?shard=3").json()["code"] == "unknown-shard"
