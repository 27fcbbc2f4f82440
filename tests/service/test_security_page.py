"""The page about the border says what the code does: every code, limit and role."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lexorder.api.service import bodies, connections, guard, key_sets, strict_json
from lexorder.api.service.access import REREAD_S, TRUST_S
from lexorder.api.service.oidc import REASONS, Issuer
from lexorder.api.service.roles import Role, Scope, shipped_matrix
from lexorder.api.service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
FILES = (
    "access",
    "answers",
    "bodies",
    "connections",
    "guard",
    "key_sets",
    "oidc",
    "personal",
    "principal",
    "problems",
    "rates",
    "strict_json",
)
FRAMEWORK = {"not-found", "method-not-allowed", "not-acceptable", "unsupported-media-type"}


def raised() -> dict[str, int]:
    """Every code that the files of the border raise with its status, read from their syntax."""
    found = {code: 401 for code, _ in REASONS.values()}
    for name in FILES:
        for node in ast.walk(ast.parse((ROOT / f"api/service/{name}.py").read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            codes = [text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(-[a-z]+)+", text)]
            if node.func.id == "Problem" and codes:
                (status,) = (text for text in texts if isinstance(text, int))
                found[codes[0]] = status
            elif node.func.id == "_refused" and codes:
                found[codes[0]] = 401
    return found | {"internal-defect": 500}


def written() -> dict[str, int]:
    return {code: int(status) for code, status in re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", PAGE, re.M)}


def test_the_table_of_codes_is_what_the_code_raises():
    found = raised()
    assert len(found) > 30, "the walk itself works"
    assert written() == found


def test_a_code_that_is_raised_is_not_found_in_words_only():
    for code in FRAMEWORK:
        assert f"`{code}`" in PAGE
        assert code not in written()


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_described(role: Role):
    assert re.search(rf"^\| `{role}` \|", PAGE, re.M)


def test_every_scope_is_described():
    line = next(part for part in PAGE.split("\n\n") if part.startswith("Scopes:"))
    assert set(re.findall(r"`([a-z]+)`", line)) == set(Scope)


def test_what_roles_are_said_to_do_is_so():
    matrix = shipped_matrix()
    trade = {role for role in Role if Scope.TRADE in matrix.scopes_of(role)}
    assert trade == {Role.ADMIN, Role.SENIOR_TRADER, Role.JUNIOR_TRADER, Role.PORTFOLIO_MANAGER}
    assert {role for role in Role if Scope.APPROVE in matrix.scopes_of(role)} == {Role.RISK_OFFICER, Role.APPROVER}
    assert {role for role in Role if Scope.KEYS in matrix.scopes_of(role)} == {Role.ADMIN}


def test_the_limits_are_those_of_the_code():
    limits = {path: limit.bytes_max >> 20 for path, limit in bodies.LARGE.items()}
    assert bodies.ORDINARY.bytes_max == 1 << 20
    assert set(limits.values()) == {16, 64, 256}
    assert bodies.ORDINARY.seconds_max == bodies.PAUSE_S == 2
    assert {limit.seconds_max for limit in bodies.LARGE.values()} == {2.0, 15.0, 60.0}
    for said in (
        "1 MiB; batches, feeds, rebalances, rule books 16 MiB; certificates 64 MiB; snapshots 256 MiB",
        "2 s in all; certificates 15 s and snapshots 60 s, with no silence above 2 s",
        f"{bodies.HELD_MAX >> 20} MiB",
        f"{connections.HEAD_BYTES >> 10} KiB, complete within {connections.HEAD_S:.0f} s",
        f"| {Settings().connections_per_client} |",
        f"| {connections.TOTAL_MAX:,} |",
        f"after {connections.STALLED_S:.0f} s without",
        f"{guard.STREAMS_PER_KEY}, messages from the client up to {connections.MESSAGE_MAX >> 10} KiB",
        f"{strict_json.DEPTH_MAX} levels, integers of {strict_json.DIGITS_MAX} digits",
    ):
        assert said in PAGE, said


def test_the_times_are_those_of_the_code():
    issuer = Issuer("", "")
    assert (REREAD_S, TRUST_S) == (1.0, 10.0)
    assert (key_sets.REFETCH_S, key_sets.ASKED_S, key_sets.TRUST_S) == (300.0, 10.0, 3600.0)
    assert (issuer.leeway_s, issuer.lifetime_max_s) == (30, 86_400)
    assert key_sets.RSA_BITS_MIN == 2048


def test_the_settings_it_names_are_settings():
    named = {name.lower() for name in re.findall(r"`LEXORDER_([A-Z_]+)`", PAGE)}
    assert named
    assert named <= set(Settings.__dataclass_fields__)
