"""Keys over HTTP: made, shown once, used, narrowed, revoked, recorded."""

from __future__ import annotations

import msgspec
import pytest

from lexorder.api.service.roles import Role, Scope, shipped_matrix
from tests.service.house import House, Outage

NEW = {"role": "analyst", "name": "reports", "owner": "alice"}


def made(house, **fields):
    return house.post("/v1/keys", {**NEW, **fields}, status=201)


def with_key(house, text, method="GET", path="/v1/limits"):
    """A request with a key given by its text."""
    return house.run(house.asking(method, path, None, text))


# ---- made -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [r.value for r in Role])
def test_a_key_of_every_role_works_at_once(shared, role):
    answer = made(shared, role=role)
    assert (answer["role"], answer["owner"], answer["revoked"]) == (role, "alice", None)
    assert answer["key"].startswith(f"lx_{answer['id']}_")
    allowed = shared.service.access.matrix.lines["GET", "/v1/limits"].roles
    assert with_key(shared, answer["key"]).status_code == (200 if Role(role) in allowed else 403)


def test_the_secret_is_shown_once_and_kept_nowhere(house):
    text = made(house)["key"]
    secret = text.rpartition("_")[2]
    assert secret not in house.call("GET", "/v1/keys").text
    house.close()
    for file in house.folder.rglob("*"):
        if file.is_file() and file.name != "admin.key":
            assert secret.encode() not in file.read_bytes()


def test_a_key_may_be_narrowed_to_accounts_and_scopes(shared):
    answer = made(shared, role="risk_officer", accounts=["B"], scopes=["read"], lifetime_s=3600)
    assert (answer["accounts"], answer["scopes"]) == (["B"], ["read"])
    assert answer["expires"] > answer["created"]
    assert with_key(shared, answer["key"]).status_code == 200
    assert with_key(shared, answer["key"], path="/v1/breaches?account=A").json()["code"] == "account-not-permitted"
    assert with_key(shared, answer["key"], "POST", "/v1/limits").json()["code"] == "not-permitted"


def test_making_a_key_is_recorded_without_name_or_secret(house):
    answer = made(house, name="quarterly reports")
    (record,) = house.run(house.service.recorded(kind="key"))
    body = msgspec.json.decode(record.body)
    assert (record.ref, body["action"], body["key"], body["role"]) == (answer["id"], "create", answer["id"], "analyst")
    assert answer["recorded"] == {"shard": 0, "seq": record.seq}
    assert b"quarterly" not in record.body
    assert answer["key"].encode() not in record.body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "king"),
        ("role", None),
        ("name", ""),
        ("name", "x" * 101),
        ("owner", ""),
        ("accounts", [1]),
        ("scopes", ["fly"]),
        ("lifetime_s", 0),
        ("lifetime_s", 10**10),
        ("secret", "mine"),
    ],
)
def test_a_key_that_is_none_is_refused(shared, field, value):
    assert shared.refused("POST", "/v1/keys", {**NEW, field: value}) == (422, "invalid-request")


@pytest.mark.parametrize(("field", "value"), [("name", "a\nb"), ("owner", "   "), ("accounts", []), ("accounts", [""])])
def test_a_key_field_the_store_refuses(shared, field, value):
    assert shared.refused("POST", "/v1/keys", {**NEW, field: value}) == (422, "bad-key-field")


@pytest.mark.parametrize("role", [r.value for r in Role])
def test_a_scope_that_the_role_never_has_makes_no_key(shared, role):
    own = shipped_matrix().scopes_of(Role(role))
    before = shared.get("/v1/keys")["count"]
    for scope in sorted(set(Scope) - own):
        body = {**NEW, "role": role, "scopes": [scope, *sorted(own)]}
        answer = shared.call("POST", "/v1/keys", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-key-field")
        assert f"never has {scope}; its scopes are {', '.join(sorted(own))}" in answer.json()["detail"]
    assert shared.get("/v1/keys")["count"] == before
    made = shared.post("/v1/keys", {**NEW, "role": role, "scopes": sorted(own)}, status=201)
    assert made["scopes"] == sorted(own)


@pytest.mark.parametrize("role", sorted({r.value for r in Role} - {"admin"}))
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("DELETE", "/x")])
def test_only_an_admin_handles_keys(shared, role, method, path):
    body = NEW if method == "POST" else None
    assert shared.refused(method, f"/v1/keys{path}", body, role) == (403, "not-permitted")


def test_no_key_is_made_that_cannot_be_recorded(house):
    known = {k["id"] for k in house.get("/v1/keys")["items"]}
    with Outage(house):
        assert house.refused("POST", "/v1/keys", NEW) == (503, "ledger-unavailable")
        assert house.refused("POST", "/v1/keys", NEW) == (503, "ledger-unavailable")
    found = [k for k in house.get("/v1/keys")["items"] if k["id"] not in known]
    assert len(found) == 1  # the first one was made before anybody knew; it is revoked
    assert found[0]["revoked"] is not None


# ---- revoked ----------------------------------------------------------------------------------


def test_a_revoked_key_opens_nothing_from_the_answer_on(house):
    answer = made(house)
    assert with_key(house, answer["key"]).status_code == 200
    gone = house.call("DELETE", f"/v1/keys/{answer['id']}").json()
    assert gone["revoked"] is not None
    assert with_key(house, answer["key"]).json()["code"] == "key-revoked"
    actions = [msgspec.json.decode(r.body)["action"] for r in house.run(house.service.recorded(kind="key"))]
    assert actions == ["create", "revoke"]
    house.reopen()
    assert with_key(house, answer["key"]).json()["code"] == "key-revoked"


def test_a_key_is_revoked_also_while_nothing_can_be_recorded(house):
    answer = made(house)
    with Outage(house):
        gone = house.call("DELETE", f"/v1/keys/{answer['id']}")
        assert (gone.status_code, gone.json()["recorded"]) == (200, None)
        assert with_key(house, answer["key"]).json()["code"] == "key-revoked"


def test_nobody_locks_themselves_out(shared):
    house: House = shared
    mine = house.key("admin").split("_")[1]
    assert house.refused("DELETE", f"/v1/keys/{mine}") == (409, "own-key")
    assert house.get("/v1/limits")["items"] == []


def test_a_key_that_never_was(shared):
    assert shared.refused("DELETE", "/v1/keys/aaaaaaaaaa") == (404, "unknown-key")


def test_the_list_has_revoked_keys_and_no_secrets(shared):
    answer = made(shared)
    shared.call("DELETE", f"/v1/keys/{answer['id']}")
    found = {k["id"]: k for k in shared.get("/v1/keys")["items"]}
    assert found[answer["id"]]["revoked"] is not None
    assert all(set(k) == set(answer) - {"key", "recorded"} for k in found.values())
