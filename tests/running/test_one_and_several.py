"""One worker beside two and three: the same day at whichever door, and every answer the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults.forking import Forge
from tests.running.sequences import Day, Step
from tests.running.several import Workers, gist


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
    seen = lived(services, seed, 60)
    assert {200, 422} <= set(seen), "something was refused as well"
