"""Who is let in, for how long, and what happens when keys change or cannot be read."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket

from lexorder.api.service import access as access_module
from lexorder.api.service import problems
from lexorder.api.service.access import HEADER_MAX, REREAD_S, TRUST_S, Access, authorization_of, require
from lexorder.api.service.guard import Guard
from lexorder.api.service.keys import KeyRecord, KeyStore, new_key
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role, Scope, shipped_matrix
from lexorder.engine.ledger.errors import LedgerError
from tests.service.border import Border, Message, asked, border, scope_of


def refused(access: Access, authorization: str | bytes) -> Problem:
    raw = authorization.encode() if isinstance(authorization, str) else authorization
    with pytest.raises(Problem) as caught:
        access.principal(raw)
    return caught.value


def code(access: Access, authorization: str | bytes) -> str:
    problem = refused(access, authorization)
    assert problem.status == 401
    assert any(name == b"www-authenticate" for name, _ in problem.headers)
    return problem.code


def principal(made: Border, authorization: str) -> Principal:
    return made.access.principal(authorization.encode())


def test_a_key_names_its_principal_first_and_again(guarded: Border):
    key, record = guarded.record(Role.APPROVER, owner="Bob")
    first = principal(guarded, key)
    assert (first.id, first.role, first.person) == (f"key:{record.id}", Role.APPROVER, "Bob")
    assert principal(guarded, key) is first, "the second time it comes from memory"


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {}", "Bearer {} "])
def test_the_scheme_is_read_as_http_says(guarded: Border, form: str):
    key = guarded.key().removeprefix("Bearer ")
    assert principal(guarded, form.format(key)).role is Role.ADMIN


@pytest.mark.parametrize("form", ["{}", "Bearer{}", "Basic {}", "Token {}", "Bearer\t{}", "Bearer {} x", "Bearer x{}"])
def test_a_right_key_in_a_wrong_header_opens_nothing(guarded: Border, form: str):
    key = guarded.key().removeprefix("Bearer ")
    assert code(guarded.access, form.format(key)) == "bad-credentials"


def test_nothing_is_no_credential(guarded: Border):
    assert code(guarded.access, b"") == "no-credentials"


def test_a_wrong_secret_and_an_unknown_key_look_the_same(guarded: Border):
    key = guarded.key()
    wrong_secret = key[:-1] + ("0" if key[-1] != "0" else "1")
    unknown = refused(guarded.access, f"Bearer {new_key()}")
    wrong = refused(guarded.access, wrong_secret)
    assert unknown.to_bytes("x") == wrong.to_bytes("x")
    assert unknown.headers == wrong.headers


@pytest.mark.parametrize(
    "junk", [b"\xff" * 20, b"Bearer \xff\xfe", b"Bearer " + b"x" * HEADER_MAX, b"Bearer ", b" ", b"Bearer"]
)
def test_junk_is_refused_and_not_repeated(guarded: Border, junk: bytes):
    assert code(guarded.access, junk) == "bad-credentials"


def test_a_key_ends_at_its_second_and_not_before(guarded: Border):
    made = datetime.fromtimestamp(guarded.clock.now, UTC)
    key, _ = guarded.record(Role.ADMIN, lifetime_s=100, now=made)
    fresh, _ = guarded.record(Role.ADMIN, lifetime_s=100, now=made)
    principal(guarded, key)
    guarded.clock.now += 99.999
    guarded.access.refresh()
    principal(guarded, key)
    guarded.clock.now += 0.001
    assert code(guarded.access, key) == "key-expired", "also when it is in memory"
    assert code(guarded.access, fresh) == "key-expired"


def test_an_expired_key_is_only_told_so_to_who_has_it(guarded: Border):
    made = datetime.fromtimestamp(guarded.clock.now - 1000, UTC)
    key, record = guarded.record(Role.ADMIN, lifetime_s=100, now=made)
    assert code(guarded.access, key) == "key-expired"
    assert code(guarded.access, f"Bearer lx_{record.id}_{'0' * 64}") == "bad-credentials"


def test_a_revoked_key_is_out_at_the_next_reading(guarded: Border):
    key, record = guarded.record()
    other = guarded.key()
    principal(guarded, key)
    guarded.store.revoke(record.id)
    guarded.access.refresh()
    assert code(guarded.access, key) == "key-revoked"
    assert principal(guarded, other).role is Role.ADMIN


def test_a_key_made_elsewhere_works_after_the_next_reading(guarded: Border):
    text, _ = guarded.store.create(Role.ADMIN, "made by another process")
    assert code(guarded.access, f"Bearer {text}") == "bad-credentials"
    guarded.access.refresh()
    assert principal(guarded, f"Bearer {text}").role is Role.ADMIN


def test_a_running_access_follows_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access_module, "REREAD_S", 0.01)
    made = border(tmp_path)
    access = Access(made.store)
    text, record = made.store.create(Role.ADMIN, "n")
    access.start()
    try:
        access.principal(f"Bearer {text}".encode())
        made.store.revoke(record.id)
        for _ in range(3000):
            if not access.current(record.principal(access.matrix)):
                break
            threading.Event().wait(0.01)
        assert code(access, f"Bearer {text}") == "key-revoked"
    finally:
        access.stop()
        made.database.close()


class Broken(KeyStore):
    """A table that stops answering."""

    def __init__(self, good: KeyStore) -> None:
        super().__init__(good._database)
        self.broken = False

    def records(self) -> tuple[KeyRecord, ...]:
        if self.broken:
            raise LedgerError("ledger-unavailable", "gone")
        return super().records()


def test_when_keys_cannot_be_read_nobody_is_let_in_any_more(guarded: Border):
    store = Broken(guarded.store)
    access = Access(store, now=guarded.clock, since=guarded.clock)
    text, _ = store.create(Role.ADMIN, "n")
    access.refresh()
    header = f"Bearer {text}".encode()
    who = access.principal(header)
    store.broken = True
    with pytest.raises(LedgerError):
        access.refresh()
    guarded.clock.now += TRUST_S
    assert access.principal(header) is who, "for a while it goes on"
    assert access.current(who)
    guarded.clock.now += 0.001
    problem = refused(access, header)
    assert (problem.status, problem.code) == (503, "keys-unreadable")
    assert not access.current(who)
    store.broken = False
    access.refresh()
    assert access.principal(header) == who


def test_a_reading_that_fails_once_is_tried_again(guarded: Border, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access_module, "REREAD_S", 0.01)
    store = Broken(guarded.store)
    access = Access(store)
    access.start()
    try:
        store.broken = True
        text, _ = guarded.store.create(Role.ADMIN, "made meanwhile")
        threading.Event().wait(0.1)
        assert code(access, f"Bearer {text}") == "bad-credentials"
        store.broken = False
        for _ in range(3000):
            if access._records:
                break
            threading.Event().wait(0.01)
        assert access.principal(f"Bearer {text}".encode()).role is Role.ADMIN
    finally:
        access.stop()


def test_before_the_first_reading_nobody_is_let_in(guarded: Border):
    text, _ = guarded.store.create(Role.ADMIN, "n")
    assert refused(Access(guarded.store), f"Bearer {text}").code == "keys-unreadable"


def test_trust_outlasts_several_missed_readings():
    assert TRUST_S >= 5 * REREAD_S


def test_the_memory_of_credentials_is_bounded(guarded: Border, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access_module, "HELD_MAX", 5)
    keys = [guarded.key() for _ in range(9)]
    for key in keys * 2:
        principal(guarded, key)
        assert len(guarded.access._held) <= 5


def test_refused_credentials_are_not_remembered(guarded: Border):
    for _ in range(20):
        refused(guarded.access, f"Bearer {new_key()}")
    assert guarded.access._held == {}


def test_a_reading_during_a_lookup_does_not_leave_the_old_key_in_memory(
    guarded: Border, monkeypatch: pytest.MonkeyPatch
):
    """The thread that reads may run between finding a key and remembering it."""
    key, record = guarded.record()
    identify = guarded.access._identify

    def interrupted(authorization: bytes) -> Principal:
        found = identify(authorization)
        guarded.store.revoke(record.id)
        guarded.access.refresh()
        return found

    monkeypatch.setattr(guarded.access, "_identify", interrupted)
    principal(guarded, key)  # it was right when it was looked up
    monkeypatch.setattr(guarded.access, "_identify", identify)
    assert code(guarded.access, key) == "key-revoked"


def test_a_slow_reading_does_not_bring_a_revoked_key_back(guarded: Border):
    key, record = guarded.record()
    began, go_on = threading.Event(), threading.Event()
    records = guarded.store.records

    def slow() -> tuple[KeyRecord, ...]:
        old = records()
        began.set()
        go_on.wait(30)
        return old

    guarded.store.records = slow  # type: ignore[method-assign]
    first = threading.Thread(target=guarded.access.refresh)
    first.start()
    assert began.wait(30)
    guarded.store.revoke(record.id)
    guarded.store.records = records  # type: ignore[method-assign]
    second = threading.Thread(target=guarded.access.refresh)
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert code(guarded.access, key) == "key-revoked"


def test_accounts_of_a_key(guarded: Border):
    some = principal(guarded, guarded.key(accounts=["A1", "A2"]))
    every = principal(guarded, guarded.key())
    access = guarded.access
    assert access.may_see(some, "A1")
    assert not access.may_see(some, "A3")
    assert not access.may_see(some, "a1")
    assert not access.may_see(some, "")
    assert access.may_see(every, "A3")
    access.permit_account(some, "A2")
    with pytest.raises(Problem) as caught:
        access.permit_account(some, "MARKER")
    assert (caught.value.status, caught.value.code) == (403, "account-not-permitted")
    assert b"MARKER" not in caught.value.to_bytes("")


def test_permission_is_role_and_scope(guarded: Border):
    access = guarded.access
    trader = principal(guarded, guarded.key(Role.SENIOR_TRADER))
    reader = principal(guarded, guarded.key(Role.SENIOR_TRADER, scopes=[Scope.READ]))
    access.permit(trader, "POST", "/v1/orders/check")
    access.permit(reader, "GET", "/v1/decisions")
    access.permit(reader, "HEAD", "/v1/decisions")
    for who, method, path in (
        (reader, "POST", "/v1/orders/check"),
        (trader, "GET", "/v1/orders/check"),
        (trader, "POST", "/v1/orders/check/"),
        (trader, "POST", "/v1/keys"),
        (trader, "POST", "/healthz"),
        (trader, "DELETE", "/v1/decisions"),
        (trader, "post", "/v1/orders/check"),
    ):
        with pytest.raises(Problem) as caught:
            access.permit(who, method, path)
        assert (caught.value.status, caught.value.code) == (403, "not-permitted")


def app_with(made: Border) -> FastAPI:
    app = FastAPI()
    app.state.access = made.access
    problems.install(app)

    @app.get("/v1/limits/{id}")
    def limit(id: str, who: Annotated[Principal, Depends(require("/v1/limits/{id}"))]) -> dict[str, str]:  # noqa: A002
        return {"who": who.id, "limit": id}

    @app.get("/v1/unlisted")
    def unlisted(who: Annotated[Principal, Depends(require("/v1/unlisted"))]) -> dict[str, str]:
        return {"who": who.id}

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket, who: Annotated[Principal, Depends(require("/v1/stream"))]) -> None:
        await socket.accept()
        await socket.send_text(who.id)
        await socket.close()

    return app


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_route_gets_its_principal_with_and_without_the_guard(guarded: Border, wrapped: bool):
    app: Any = app_with(guarded)
    asked_app = Guard(app, guarded.access) if wrapped else app
    key, record = guarded.record(Role.ANALYST)
    reply = asked(asked_app, "GET", "/v1/limits/7", {"authorization": key})
    assert reply.json == {"who": f"key:{record.id}", "limit": "7"}
    reply = asked(asked_app, "GET", "/v1/limits/7", {"authorization": guarded.key(Role.OBSERVER)})
    assert (reply.status, reply.code) == (403, "not-permitted")
    assert asked(asked_app, "GET", "/v1/limits/7").status == 401


def test_a_route_that_is_not_in_the_matrix_is_closed_to_everyone(guarded: Border):
    app = app_with(guarded)
    for role in Role:
        reply = asked(app, "GET", "/v1/unlisted", {"authorization": guarded.key(role)})
        assert (reply.status, reply.code) == (403, "not-permitted")


@pytest.mark.parametrize("role", list(Role))
def test_a_stream_is_for_who_may_open_it_and_others_are_told_why(guarded: Border, role: Role):
    narrowed = guarded.key(role, scopes=sorted(shipped_matrix().scopes_of(role) - {Scope.READ}))
    for key, expected in ((guarded.key(role), "websocket.accept"), (narrowed, "websocket.http.response.start")):
        scope = scope_of("GET", "/v1/stream", {"authorization": key})
        scope.update(type="websocket", subprotocols=[], extensions={"websocket.http.response": {}})
        del scope["method"]
        sent: list[Message] = []

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        asyncio.run(Guard(app_with(guarded), guarded.access)(scope, connecting, send))
        assert sent[0]["type"] == expected
        if expected != "websocket.accept":
            assert sent[0]["status"] == 403
            assert json.loads(sent[1]["body"])["code"] == "not-permitted"


async def connecting() -> Message:
    return {"type": "websocket.connect"}


def test_the_header_is_taken_when_there_is_one():
    assert authorization_of([(b"accept", b"x"), (b"authorization", b"y")]) == b"y"
    assert authorization_of([]) == b""
    with pytest.raises(Problem):
        authorization_of([(b"authorization", b"y"), (b"authorization", b"y")])
