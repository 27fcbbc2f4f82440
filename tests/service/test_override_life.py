"""The life of requests for an override through the running service, against a model with a clock of its own.

The model knows who asked, who agreed in which role, until when, and what must come of the next step; the order must be
working exactly when its request was granted, once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from tests.service.house import House
from tests.worlds import NOON, order, world

START = datetime.fromisoformat(NOON)
OPEN_FOR = {"ONE": timedelta(minutes=10), "TWO": timedelta(minutes=10)}
QUANTITY = {"ONE": 150, "TWO": 300}
"""One soft rule broken, or two: by the rules of the house an officer, and two of officers and approvers."""

TESS, RITA, ROB, ANA = "senior_trader/tess", "risk_officer/rita", "risk_officer/rob", "approver/ana"
CREW = (RITA, ROB, ROB, ANA, "approver/RITA", "risk_officer/tess", "approver/abe")
WHY = {"reason": "the client insists"}


def person(who: str) -> str:
    return who.partition("/")[2].casefold()


def role(who: str) -> str:
    return who.partition("/")[0]


@dataclass
class Request:
    """What must be so of one request."""

    kind: str
    until: datetime
    state: str = "open"
    agreed: list[str] = field(default_factory=list)

    def missing(self, kind: str = "") -> dict[str, int]:
        """By rule, how many still have to agree."""
        officers = sum(role(who) == "risk_officer" for who in self.agreed)
        found = {"large-order": max(0, 1 - officers)}
        if self.kind == "TWO":
            found["very-large-order"] = max(0, 2 - len(self.agreed))
        return found

    def foretold(self, who: str, now: datetime, asker: str) -> tuple[int, str]:
        """What an approval must be answered with."""
        if self.state != "open":
            return 409, "wrong-state"
        if now >= self.until:
            return 409, "override-expired"
        if person(who) == person(asker):
            return 409, "second-person-required"
        if person(who) in {person(other) for other in self.agreed}:
            return 409, "already-approved"
        if self.kind == "ONE" and role(who) != "risk_officer":
            return 403, "not-an-approver"
        self.agreed.append(who)
        self.state = "open" if any(self.missing().values()) else "granted"
        return 200, self.state


class Desk:
    """A service with a clock that is told, and requests by id."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.count = 0
        self.morning()

    def morning(self) -> None:
        """Nothing is working and it is noon."""
        self.now = START
        document = world()
        document["accounts"][0] |= {"nav": "1000000000", "cash": "1000000000", "equity": "1000000000"}
        self.house.post("/v1/snapshot", document)

    def later(self, gone: timedelta) -> None:
        self.now += gone
        self.count += 1
        told = {"event_id": f"t{self.count}", "time": self.now.isoformat(), "items": []}
        self.house.post("/v1/prices", told)

    def ask(self, kind: str, by: str = TESS) -> tuple[str, str, Request]:
        """An order that needs somebody, and its request: ids of both."""
        self.count += 1
        key = f"o{self.count}"
        decided = self.house.post("/v1/orders/check", order(id=key, quantity=QUANTITY[kind]), by=by)
        assert decided["outcome"] == "needs_override"
        asked = self.house.post(f"/v1/orders/{key}/override", WHY, by=by, status=202)
        return key, asked["id"], Request(kind, self.now + OPEN_FOR[kind])

    def answer(self, identifier: str, who: str, step: str = "approve") -> tuple[int, str]:
        """Status, and the code or what became of the request."""
        found = self.house.call("POST", f"/v1/overrides/{identifier}/{step}", by=who)
        told = found.json()
        if told.get("outcome") == "approve":
            return found.status_code, "granted"
        return found.status_code, told.get("code") or told["state"]

    def working(self) -> list[str]:
        return [row["id"] for row in self.house.get("/v1/working-orders")["items"]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), clock="feed", tick_s=0.0)
    yield house
    house.close()


@pytest.fixture
def desk(served: House) -> Desk:
    return Desk(served)


# ---- any order of steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_an_order_goes_out_once_and_only_when_its_approvers_agreed(desk: Desk, seed: int):
    dice = random.Random(seed)
    requests: dict[str, tuple[str, Request]] = {}
    granted: list[str] = []
    for _ in range(45):
        what = dice.choice(["ask", "approve", "approve", "approve", "approve", "reject", "later", "rebuild"])
        if what == "ask" or not requests:
            key, identifier, request = desk.ask(dice.choice(["ONE", "TWO"]))
            requests[identifier] = (key, request)
        elif what == "later":
            desk.later(timedelta(seconds=dice.choice([1, 30, 60, 301])))
        elif what == "rebuild":
            desk.house.run(desk.house.service.rebuild())
        else:
            identifier = dice.choice(list(requests)[-2:])
            key, request = requests[identifier]
            who = dice.choice(CREW)
            if what == "approve":
                expected = request.foretold(who, desk.now, TESS)
                assert desk.answer(identifier, who) == expected, (who, request)
                granted += [key] if expected == (200, "granted") else []
            elif request.state != "open" or desk.now >= request.until:
                code = "wrong-state" if request.state != "open" else "override-expired"
                assert desk.answer(identifier, who, "reject") == (409, code)
            else:
                request.state = "rejected"
                assert desk.answer(identifier, who, "reject") == (200, "rejected")
        assert sorted(desk.working()) == sorted(granted)
        for identifier, (_, request) in requests.items():
            shown = desk.house.get(f"/v1/overrides/{identifier}", by=RITA)
            late = request.state == "open" and desk.now >= request.until
            assert shown["state"] == ("expired" if late else request.state)
            assert {rule: need["missing"] for rule, need in shown["needs"].items()} == request.missing()
            assert [a["role"] for a in shown["approvals"]] == [role(who) for who in request.agreed]
    assert granted, "the model was tried"


@pytest.mark.parametrize("crew", list(permutations((RITA, ROB, ANA), 2)), ids="-".join)
def test_two_rules_are_satisfied_by_two_who_fit_both(desk: Desk, crew: tuple[str, str]):
    key, identifier, request = desk.ask("TWO")
    for who in crew:
        assert desk.answer(identifier, who) == request.foretold(who, desk.now, TESS)
    assert desk.working() == [key]


def test_two_of_the_wrong_role_do_not_let_it_out_and_the_right_one_does(desk: Desk):
    key, identifier, _ = desk.ask("TWO")
    assert [desk.answer(identifier, who) for who in (ANA, "approver/abe")] == [(200, "open")] * 2
    assert desk.working() == []
    assert desk.answer(identifier, ROB) == (200, "granted")
    assert desk.working() == [key]


# ---- time ------------------------------------------------------------------------------------------------

TICK = timedelta(milliseconds=1)


@pytest.mark.parametrize("step", ["approve", "reject"])
@pytest.mark.parametrize("beside", [-TICK, timedelta(0), TICK], ids=["before", "at", "after"])
def test_a_request_ends_at_its_instant(desk: Desk, step: str, beside: timedelta):
    key, identifier, _ = desk.ask("ONE")
    shown = desk.house.get(f"/v1/overrides/{identifier}")
    assert datetime.fromisoformat(shown["expires"]) == START + timedelta(minutes=10)
    desk.later(timedelta(minutes=10) + beside)
    good = beside < timedelta(0)
    outcome = {"approve": "granted", "reject": "rejected"}[step]
    assert desk.answer(identifier, RITA, step) == ((200, outcome) if good else (409, "override-expired"))
    assert desk.working() == ([key] if good and step == "approve" else [])
    assert desk.house.get(f"/v1/overrides/{identifier}")["state"] == (outcome if good else "expired")


@pytest.mark.parametrize("first_after", [timedelta(0), timedelta(minutes=9, seconds=59)])
def test_the_first_approval_does_not_make_a_request_last_longer(desk: Desk, first_after: timedelta):
    _, identifier, _ = desk.ask("TWO")
    desk.later(first_after)
    assert desk.answer(identifier, RITA) == (200, "open")
    desk.later(timedelta(minutes=10) - first_after)
    assert desk.answer(identifier, ROB) == (409, "override-expired")
    assert desk.working() == []


def test_a_snapshot_that_sets_the_time_back_does_not_bring_back_what_was_decided(desk: Desk):
    key, identifier, _ = desk.ask("ONE")
    desk.answer(identifier, RITA)
    assert desk.working() == [key]
    desk.morning()
    assert desk.answer(identifier, ROB) == (409, "wrong-state")
    assert desk.working() == []


# ---- once ------------------------------------------------------------------------------------------------


def at_once(house: House, *calls: tuple[str, str, str, Any]) -> list[tuple[int, Any]]:
    """Status and document of calls made at the same time: by, method, path, body."""
    for by, *_ in calls:
        house.key(*by.split("/"))

    async def all_of_them() -> list[Any]:
        return list(await asyncio.gather(*(house.calling(m, path, body, by) for by, m, path, body in calls)))

    return [(answer.status_code, answer.json()) for answer in house.run(all_of_them())]


def test_of_approvals_given_at_once_one_lets_the_order_out(desk: Desk):
    key, identifier, _ = desk.ask("ONE")
    path = f"/v1/overrides/{identifier}/approve"
    found = at_once(desk.house, *((who, "POST", path, None) for who in (RITA, ROB, "risk_officer/sue")))
    assert sorted(status for status, _ in found) == [200, 409, 409]
    assert desk.working() == [key]
    grants = [r for r in desk.house.run(desk.house.service.recorded(ref=identifier)) if b'"granted":true' in r.body]
    assert len(grants) == 1


def test_one_person_with_two_keys_at_once_counts_once(desk: Desk):
    _, identifier, _ = desk.ask("TWO")
    path = f"/v1/overrides/{identifier}/approve"
    found = at_once(desk.house, *((who, "POST", path, None) for who in (RITA, "approver/rita", "approver/RITA")))
    assert sorted(status for status, _ in found) == [200, 409, 409]
    assert {told["code"] for status, told in found if status == 409} == {"already-approved"}
    assert desk.working() == []


def test_of_requests_made_at_once_one_is_kept(desk: Desk):
    desk.house.check(id="twice", quantity=150)
    path = "/v1/orders/twice/override"
    found = at_once(desk.house, *((TESS, "POST", path, WHY) for _ in range(4)))
    assert sorted(status for status, _ in found) == [202, 409, 409, 409]
    assert {told["code"] for status, told in found if status == 409} == {"override-exists"}


def test_yes_and_no_at_once_leave_one_of_them(desk: Desk):
    key, identifier, _ = desk.ask("ONE")
    base = f"/v1/overrides/{identifier}"
    yes, no = at_once(desk.house, (RITA, "POST", f"{base}/approve", None), (ROB, "POST", f"{base}/reject", None))
    assert sorted([yes[0], no[0]]) == [200, 409]
    state = desk.house.get(base)["state"]
    assert state == ("granted" if yes[0] == 200 else "rejected")
    assert desk.working() == ([key] if state == "granted" else [])


def test_two_requests_about_one_order_let_it_out_once(desk: Desk):
    """Checked twice, asked about twice: the second grant meets the order at work."""
    key, first, _ = desk.ask("ONE")
    desk.house.check(id=key, quantity=150)
    second = desk.house.post(f"/v1/orders/{key}/override", WHY, by=TESS, status=202)["id"]
    assert first != second
    assert desk.answer(first, RITA) == (200, "granted")
    assert desk.answer(second, ROB) == (409, "override-not-covered")
    assert desk.working() == [key]
    shown = desk.house.get(f"/v1/overrides/{second}", by=RITA)
    assert (shown["state"], shown["approvals"], shown["refused"]) == ("open", [], "override-not-covered")


@pytest.mark.parametrize("gone", ["account", "instrument", "trader"])
def test_a_request_about_what_is_gone_is_shown_and_not_granted(desk: Desk, gone: str):
    key = f"gone-{gone}"
    facts = {"trader": "T"} if gone == "trader" else {}
    assert desk.house.check(id=key, quantity=150, **facts)["outcome"] == "needs_override"
    identifier = desk.house.post(f"/v1/orders/{key}/override", WHY, by=TESS, status=202)["id"]
    document = world()
    if gone == "account":
        document["accounts"][0]["id"] = "Z"
    document |= {"instrument": {"instruments": []}, "trader": {"traders": []}}.get(gone, {})
    desk.house.post("/v1/snapshot", document)
    shown = desk.house.get(f"/v1/overrides/{identifier}", by=RITA)
    assert shown["now"]["outcome"] == "reject"
    assert desk.answer(identifier, RITA) == (409, "override-not-covered")
    assert desk.working() == []


# ---- who sees it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["open", "granted", "rejected", "expired", "refused", ""])
def test_requests_are_found_by_their_state_and_newest_first(desk: Desk, state: str):
    made = [desk.ask("ONE")[1] for _ in range(4)]
    desk.answer(made[0], RITA)
    desk.answer(made[1], RITA, "reject")
    desk.later(timedelta(minutes=10))
    late = desk.ask("ONE")[1]
    expected = {"open": [late], "granted": [made[0]], "rejected": [made[1]], "expired": [made[3], made[2]]}
    listed = [row["id"] for row in desk.house.get(f"/v1/overrides?state={state}")["items"]]
    mine = [identifier for identifier in listed if identifier in {*made, late}]
    assert mine == expected.get(state, [])
