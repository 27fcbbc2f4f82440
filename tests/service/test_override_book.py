"""Who may grant an override, by trying out every small crew: compared with a count made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from typing import Any

import pytest

from lexorder.api.service.override_book import Approval, Asked, Overrides
from lexorder.api.service.principal import Author, Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role, Scope

NOW = datetime(2026, 6, 15, 16, tzinfo=UTC)
ADA = Author("key:ada", "Ada")


def asked(needs: dict[str, dict[str, Any]], **parts: Any) -> Asked:
    """A request of Ada's that is good for ten minutes."""
    until = (NOW + timedelta(minutes=10)).isoformat()
    return Asked("o-1", "A", {"id": "O1"}, "mandate", needs, ADA, NOW.isoformat(), until, **parts)


def who(person: str, role: Role = Role.RISK_OFFICER, key: str = "", scope: Scope = Scope.APPROVE) -> Principal:
    """A caller."""
    return Principal(f"key:{key or person}", role, None, frozenset({scope}), None, person, "key", key or person)


def need(*roles: Role, approvers: int = 1) -> dict[str, Any]:
    """What a rule wants."""
    return {"roles": [role.value for role in roles], "approvers": approvers, "subjects": []}


def code_of(request: Asked, by: Principal, now: datetime = NOW) -> str:
    """The code with which an approval is refused, empty when it is taken."""
    try:
        request.approved_by(by, now)
    except Problem as refused:
        return refused.code
    return ""


CREW = [("bob", Role.RISK_OFFICER), ("cid", Role.RISK_OFFICER), ("dan", Role.APPROVER), ("eve", Role.APPROVER)]
BOTH = (Role.RISK_OFFICER, Role.APPROVER)
NEEDS = [
    {"x": need(Role.RISK_OFFICER)},
    {"x": need(Role.APPROVER, approvers=2)},
    {"x": need(*BOTH, approvers=3)},
    {"x": need(Role.RISK_OFFICER), "y": need(Role.APPROVER)},
    {"x": need(*BOTH, approvers=2), "y": need(Role.RISK_OFFICER, approvers=2)},
]


@pytest.mark.parametrize("needs", NEEDS, ids=str)
def test_every_crew_in_every_order_suffices_exactly_when_each_rule_has_its_number(needs: dict[str, dict[str, Any]]):
    for size in range(len(CREW) + 1):
        for crew in permutations(CREW, size):
            request, counted = asked(needs), []
            for person, role in crew:
                if not any(role.value in each["roles"] for each in needs.values()):
                    assert code_of(request, who(person, role)) == "not-an-approver"
                    continue
                request = request.approved_by(who(person, role), NOW)
                counted.append(role.value)
            expected = all(sum(r in n["roles"] for r in counted) >= n["approvers"] for n in needs.values())
            assert request.suffices() == expected, (crew, needs)
            assert len(request.approvals) == len(counted)


def test_zero_approvers_suffice_at_once_and_one_missing_does_not():
    assert asked({"x": need(Role.RISK_OFFICER, approvers=0)}).suffices()
    assert asked({}).suffices()
    assert not asked({"x": need(Role.RISK_OFFICER)}).suffices()
    assert asked({"x": need(*BOTH, approvers=5)}).missing("x") == 5


@pytest.mark.parametrize(
    ("by", "code"),
    [
        (who("Ada"), "second-person-required"),
        (who("ADA "), "second-person-required"),
        (who("Ａｄａ"), "second-person-required"),
        (who("Bob", key="ada"), "second-person-required"),
        (who(""), "second-person-required"),
        (who("Bob", scope=Scope.READ), "not-an-approver"),
        (who("Bob", Role.APPROVER), "not-an-approver"),
        (who("Bob", Role.ADMIN), "not-an-approver"),
        (who("Bob"), ""),
    ],
)
def test_the_second_person_is_another_one_in_a_role_that_is_wanted(by: Principal, code: str):
    assert code_of(asked({"x": need(Role.RISK_OFFICER)}), by) == code


@pytest.mark.parametrize(("person", "key", "code"), [
    ("bob", "bob", "already-approved"), ("BOB", "other", "already-approved"), ("x", "bob", "already-approved"),
    ("cid", "cid", ""),
])  # fmt: skip
def test_nobody_counts_twice_whichever_key_they_use(person: str, key: str, code: str):
    request = asked({"x": need(Role.RISK_OFFICER, approvers=2)}).approved_by(who("bob"), NOW)
    assert code_of(request, who(person, key=key)) == code


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (timedelta(0), ""),
        (timedelta(minutes=10) - timedelta(microseconds=1), ""),
        (timedelta(minutes=10), "override-expired"),
        (timedelta(days=400), "override-expired"),
    ],
)
def test_a_request_is_good_until_its_last_instant(after: timedelta, code: str):
    assert code_of(asked({"x": need(Role.RISK_OFFICER)}), who("bob"), NOW + after) == code


@pytest.mark.parametrize("until", ["", "soon", "2026-06-15", "2026-06-15T16:10:00"])
def test_an_end_that_cannot_be_read_has_passed(until: str):
    request = Asked("o", "A", {}, "r", {"x": need(Role.RISK_OFFICER)}, ADA, "", until)
    assert request.expired(NOW)
    assert code_of(request, who("bob")) == "override-expired"


@pytest.mark.parametrize("state", ["granted", "rejected"])
def test_what_is_decided_is_not_approved_again(state: str):
    assert code_of(asked({"x": need(Role.RISK_OFFICER)}, state=state), who("bob")) == "wrong-state"


# ---- steps -------------------------------------------------------------------------------------------


def step(action: str, person: str = "bob", **more: Any) -> dict[str, Any]:
    """A recorded step."""
    return {"id": "o-1", "action": action, "by": f"key:{person}", "person": person, "now": NOW.isoformat(), **more}


REQUEST = step(
    "request",
    "Ada",
    account="A",
    order={"id": "O1"},
    reason="mandate",
    needs={"x": need(Role.RISK_OFFICER, approvers=2), "y": need(Role.APPROVER)},
    expires=(NOW + timedelta(minutes=10)).isoformat(),
    withheld=["y"],
)


@pytest.mark.parametrize(
    ("steps", "state", "approvals", "decided", "refused"),
    [
        ([], "open", 0, None, ""),
        ([("approve", {"role": "risk_officer", "granted": False})], "open", 1, None, ""),
        ([("approve", {"role": "risk_officer", "granted": True})], "granted", 1, "bob", ""),
        ([("refuse", {"code": "still-breached"})], "open", 0, None, "still-breached"),
        (
            [("refuse", {"code": "still-breached"}), ("approve", {"role": "risk_officer", "granted": True})],
            "granted", 1, "bob", "",
        ),
        ([("reject", {})], "rejected", 0, "bob", ""),
    ],
)  # fmt: skip
def test_steps_end_as_they_were_recorded(
    steps: list[tuple[str, dict[str, Any]]], state: str, approvals: int, decided: str | None, refused: str
):
    overrides = Overrides()
    for body in (REQUEST, *(step(action, **more) for action, more in steps)):
        overrides.apply(body)
    found = overrides.find("o-1")
    shown = found.shown()
    assert (found.state, len(found.approvals), found.refused) == (state, approvals, refused)
    assert (shown["decided"] or {}).get("person") == decided
    assert found.withheld == {"y"}
    assert shown["requested"]["person"] == "Ada"


def test_what_is_missing_is_shown_rule_by_rule():
    request = asked({"x": need(Role.RISK_OFFICER, approvers=2), "y": need(Role.APPROVER)})
    for (first, x), (second, y) in product([("", 2), ("bob", 1)], [("", 1), ("dan", 0)]):
        made = request
        if first:
            made = made.approved_by(who(first), NOW)
        if second:
            made = made.approved_by(who(second, Role.APPROVER), NOW)
        assert {rule: each["missing"] for rule, each in made.shown()["needs"].items()} == {"x": x, "y": y}
        assert made.approvals == tuple(
            Approval(by.author, by.role.value, NOW.isoformat())
            for by in [*([who(first)] if first else []), *([who(second, Role.APPROVER)] if second else [])]
        )


def test_what_nobody_asked_for_is_unknown():
    with pytest.raises(Problem) as refused:
        Overrides().find("o-1")
    assert (refused.value.status, refused.value.code) == (404, "unknown-override")
