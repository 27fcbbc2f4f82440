"""The rule that needs two people, over every pair of keys and tokens of the same and of different humans."""

from __future__ import annotations

import pytest

from lexorder.api.service.principal import Author, Principal, folded, second_person
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role, Scope, shipped_matrix


def who(identifier: str, person: str, role: Role = Role.APPROVER, scopes: frozenset[Scope] | None = None) -> Principal:
    held = shipped_matrix().scopes_of(role) if scopes is None else scopes
    return Principal(identifier, role, None, held, None, person, "key", identifier)


def refusal(requested: Author, by: Principal) -> tuple[int, str] | None:
    try:
        second_person(requested, by)
    except Problem as problem:
        return problem.status, problem.code
    return None


SAME = (409, "second-person-required")


@pytest.mark.parametrize(
    ("requested", "by", "expected"),
    [
        (("key:a", "Alice"), ("key:b", "Bob"), None),
        (("key:a", "Alice"), ("key:a", "Alice"), SAME),
        (("key:a", "Alice"), ("key:a", "Bob"), SAME),
        (("key:a", "Alice"), ("key:b", "Alice"), SAME),
        (("key:a", "Alice"), ("oidc:alice", "alice"), SAME),
        (("oidc:7", "alice@desk.example"), ("key:b", " ALICE@desk.example "), SAME),
        (("oidc:7", "alice"), ("oidc:8", "alice"), SAME),
        (("oidc:7", "straße"), ("oidc:8", "STRASSE"), SAME),
        (("oidc:7", "ａｌｉｃｅ"), ("oidc:8", "alice"), SAME),  # full-width letters
        (("key:a", "Alice"), ("key:b", "Alicia"), None),
        (("key:a", ""), ("key:b", "Bob"), SAME),
        (("key:a", "Alice"), ("key:b", " "), SAME),
    ],
)
def test_two_people_are_needed(requested: tuple[str, str], by: tuple[str, str], expected: tuple[int, str] | None):
    assert refusal(Author(*requested), who(*by)) == expected
    assert refusal(Author(*by), who(*requested)) == expected, "whoever asks and whoever approves"


@pytest.mark.parametrize("role", list(Role))
def test_only_roles_that_decide_requests_are_a_second_person(role: Role):
    allowed = role in {Role.APPROVER, Role.RISK_OFFICER}
    assert refusal(Author("key:a", "Alice"), who("key:b", "Bob", role)) == (
        None if allowed else (403, "not-an-approver")
    )


def test_an_approver_whose_key_was_narrowed_decides_nothing():
    assert refusal(Author("key:a", "Alice"), who("key:b", "Bob", scopes=frozenset({Scope.READ}))) == (
        403,
        "not-an-approver",
    )


def test_the_author_is_what_a_principal_leaves_in_records():
    assert who("key:b", "Bob").author == Author("key:b", "Bob")


def test_folding_leaves_differences_that_mean_something():
    assert len({folded(name) for name in ("Bob", "Bo b", "Böb", "B0b")}) == 4
