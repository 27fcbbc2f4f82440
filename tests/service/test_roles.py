"""The matrix: its form, what breaks it, and what the shipped one promises."""

from __future__ import annotations

from itertools import product

import pytest

from lexorder.api.service.roles import METHODS, Matrix, Role, Scope, matrix, shipped_matrix
from lexorder.engine.errors import UsageError

RATES = "rates: {" + ", ".join(f"{role}: 10" for role in Role) + "}\n"
OPEN = "open: [GET /healthz]\n"
LINE = "matrix:\n  GET /v1/limits: {scope: read, roles: [analyst]}\n"


def test_the_smallest_file_is_read():
    made = matrix(OPEN + RATES + LINE)
    assert made.open == {("GET", "/healthz")}
    assert made.allows(Role.ANALYST, frozenset({Scope.READ}), "GET", "/v1/limits")
    assert made.scopes_of(Role.ANALYST) == {Scope.READ}
    assert made.scopes_of(Role.ADMIN) == frozenset()
    assert made.rates[Role.OBSERVER] == 10


def test_whatever_is_not_written_is_refused():
    """Over every role, scope, method and some paths, only the one line opens."""
    made = matrix(OPEN + RATES + LINE)
    paths = ("/v1/limits", "/v1/limits/", "/V1/limits", "/v1/keys", "/healthz", "", "*")
    opened = {
        (role, scope, method, path)
        for role, scope, method, path in product(Role, Scope, [*METHODS, "HEAD", "OPTIONS", "TRACE", "get"], paths)
        if made.allows(role, frozenset({scope}), method, path)
    }
    line = (Role.ANALYST, Scope.READ)
    assert opened == {(*line, "GET", "/v1/limits"), (*line, "HEAD", "/v1/limits")}
    assert not made.allows(Role.ANALYST, frozenset(), "GET", "/v1/limits")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "exactly"),
        ("[]", "exactly"),
        (OPEN + RATES, "exactly"),
        (OPEN + RATES + LINE + "more: 1\n", "exactly"),
        (OPEN + RATES + "matrix: {GET /a: {scope: read, roles: [analist]}}", "`analyst`"),
        (OPEN + RATES + "matrix: {GET /a: {scope: reed, roles: [analyst]}}", "`read`"),
        (OPEN + RATES + "matrix: {GET /a: {scope: read, roles: []}}", "once"),
        (OPEN + RATES + "matrix: {GET /a: {scope: read, roles: [admin, admin]}}", "once"),
        (OPEN + RATES + "matrix: {GET /a: {scope: read, roles: admin}}", "list"),
        (OPEN + RATES + "matrix: {GET /a: {scope: read}}", "exactly"),
        (OPEN + RATES + "matrix: {GET /a: {scope: read, roles: [admin], extra: 1}}", "exactly"),
        (OPEN + RATES + "matrix: {FETCH /a: {scope: read, roles: [admin]}}", "method and a path"),
        (OPEN + RATES + "matrix: {GET a: {scope: read, roles: [admin]}}", "method and a path"),
        (OPEN + RATES + LINE + "  GET /v1/limits: {scope: read, roles: [admin]}\n", "twice"),
        ("open: [GET /v1/limits]\n" + RATES + LINE, "open"),
        (OPEN + "rates: {admin: 10}\n" + LINE, "every role"),
        (OPEN + RATES.replace("admin: 10", "admin: 0") + LINE, "rate"),
        (OPEN + RATES.replace("admin: 10", "admin: 1.5") + LINE, "rate"),
        (OPEN + RATES.replace("admin: 10", "admin: true") + LINE, "rate"),
        (OPEN + RATES.replace("admin: 10", "admin: 1000001") + LINE, "rate"),
        ("open: [\n", "YAML"),
    ],
)
def test_a_file_with_a_mistake_stops_the_start(text: str, hint: str):
    with pytest.raises(UsageError) as caught:
        matrix(text)
    assert caught.value.code == "bad-roles"
    assert hint in caught.value.message


@pytest.fixture(scope="module")
def shipped() -> Matrix:
    return shipped_matrix()


def allowed(made: Matrix, role: Role) -> set[tuple[str, str]]:
    return {place for place, line in made.lines.items() if role in line.roles}


def test_every_role_can_do_something(shipped: Matrix):
    assert all(allowed(shipped, role) for role in Role)


def test_an_observer_only_reads(shipped: Matrix):
    assert shipped.scopes_of(Role.OBSERVER) == {Scope.READ}
    writes = {place for place in allowed(shipped, Role.OBSERVER) if place[0] not in {"GET", "WEBSOCKET"}}
    assert writes == {("POST", "/v1/certificates/verify")}, "which keeps nothing"


def test_orders_are_sent_by_who_trades_and_by_nobody_else(shipped: Matrix):
    for path in ("/v1/orders/check", "/v1/orders/check-batch", "/v1/orders/{id}/override"):
        roles = shipped.lines["POST", path].roles
        assert roles == {Role.ADMIN, Role.SENIOR_TRADER, Role.JUNIOR_TRADER, Role.PORTFOLIO_MANAGER}


def test_who_makes_keys_approves_nothing_and_who_approves_makes_no_keys(shipped: Matrix):
    """Otherwise one person could make the second person."""
    for role in Role:
        scopes = shipped.scopes_of(role)
        assert not {Scope.KEYS, Scope.APPROVE} <= scopes, role


def test_who_trades_writes_no_rules_and_approves_nothing(shipped: Matrix):
    for role in (Role.SENIOR_TRADER, Role.JUNIOR_TRADER, Role.PORTFOLIO_MANAGER):
        assert not shipped.scopes_of(role) & {Scope.RULES, Scope.APPROVE, Scope.KEYS}


def test_whatever_decides_a_request_needs_the_scope_to_approve(shipped: Matrix):
    for (_, path), line in shipped.lines.items():
        assert path.endswith(("/approve", "/reject")) == (line.scope is Scope.APPROVE), path


def test_reading_needs_no_more_than_read(shipped: Matrix):
    for (method, path), line in shipped.lines.items():
        if method in {"GET", "WEBSOCKET"} and path != "/v1/keys":
            assert line.scope is Scope.READ, path


def test_only_probes_and_the_description_are_open(shipped: Matrix):
    assert {path for _, path in shipped.open} <= {"/healthz", "/readyz", "/openapi.json", "/docs"}
    assert {method for method, _ in shipped.open} == {"GET"}
