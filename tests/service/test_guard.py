"""The border as a whole, around small apps: who gets in, what the app is given, what never shows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lexorder.api.service.bodies import LARGE, BodyLimit
from lexorder.api.service.guard import STREAMS_PER_KEY, Guard
from lexorder.api.service.problems import Problem
from tests.service.border import Border, Message, asked, exchange, feed, headers_of, scope_of

CHECK = "/v1/orders/check"
SECRET = "MARKER-that-must-not-show"


class App:
    """Answers 200 with what it was given; remembers the scopes."""

    def __init__(self) -> None:
        self.scopes: list[Message] = []

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = b""
        message = await receive() if scope["method"] == "POST" else {}
        while message:
            body += message["body"]
            message = await receive() if message["more_body"] else {}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})


def guard(border: Border, app: Any = None, **options: Any) -> Guard:
    return Guard(app or App(), border.access, **options)


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"authorization": key, **{name.replace("_", "-"): value for name, value in more.items()}}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "no-credentials"),
        ({"authorization": "Bearer nonsense"}, "bad-credentials"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, "bad-credentials"),
    ],
)
def test_a_stranger_gets_no_further_whatever_the_path(guarded: Border, header: dict[str, str], code: str):
    app = App()
    for method, path in (
        ("GET", "/v1/keys"),
        ("POST", CHECK),
        ("GET", "/unknown"),
        ("PURGE", "/"),
        ("POST", "/healthz"),
    ):
        reply = asked(guard(guarded, app), method, path, header)
        assert (reply.status, reply.code) == (401, code)
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert app.scopes == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs"])
def test_probes_and_the_description_need_no_key(guarded: Border, path: str):
    assert asked(guard(guarded), "GET", path).status == 200
    assert asked(guard(guarded), "HEAD", path).status == 200
    assert asked(guard(guarded), "GET", path + "/").status == 401


def test_metrics_need_a_key_unless_the_settings_open_them(guarded: Border):
    assert asked(guard(guarded), "GET", "/metrics").status == 401
    assert asked(guard(guarded, open_metrics=True), "GET", "/metrics").status == 200


def test_the_app_is_given_the_principal_the_body_and_an_id(guarded: Border):
    app = App()
    body = b'{"symbol":"ABC"}'
    reply = asked(
        guard(guarded, app), "POST", "/v1/limits", bearer(guarded.key(), content_type="application/json"), [body]
    )
    assert (reply.status, reply.body) == (200, body)
    scope = app.scopes[0]
    assert scope["principal"].role == "admin"
    assert scope["body"] == body
    assert scope["json"] == {"symbol": "ABC"}
    assert scope["request_id"] == reply.headers["x-request-id"]


def test_a_body_in_pieces_is_whole_for_the_app(guarded: Border):
    app = App()
    chunks = [b'{"a":', b"", b'"b', b'"}']
    reply = asked(guard(guarded, app), "POST", CHECK, bearer(guarded.key()), chunks)
    assert reply.body == b'{"a":"b"}' == app.scopes[0]["body"]


def test_a_request_without_a_body_keeps_its_receive(guarded: Border):
    app = App()
    asked(guard(guarded, app), "GET", "/v1/limits", bearer(guarded.key()))
    assert "body" not in app.scopes[0]


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 64])
def test_a_decent_request_id_is_kept(guarded: Border, given: str):
    reply = asked(guard(guarded), "GET", "/healthz", {"x-request-id": given})
    assert reply.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\n", "é", "<script>", "a;b", "{}"])
def test_any_other_request_id_is_replaced(guarded: Border, given: str):
    reply = asked(guard(guarded), "GET", "/healthz", {"x-request-id": given})
    assert reply.headers["x-request-id"].isalnum()


def test_request_ids_of_ours_do_not_repeat(guarded: Border):
    made = guard(guarded)
    ids = {asked(made, "GET", "/healthz").headers["x-request-id"] for _ in range(50)}
    ids |= {asked(guard(guarded), "GET", "/healthz").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 55


def test_a_refusal_names_its_request(guarded: Border):
    reply = asked(guard(guarded), "GET", "/v1/keys", {"x-request-id": "mine"})
    assert reply.json["instance"] == "mine" == reply.headers["x-request-id"]


def test_two_authorization_headers_are_refused_even_when_both_are_right(guarded: Border):
    key = guarded.key()
    reply = asked(guard(guarded), "GET", "/v1/keys", [("authorization", key), ("authorization", key)])
    assert (reply.status, reply.code) == (401, "bad-credentials")
    assert (
        asked(guard(guarded), "GET", "/v1/keys", [("accept", "a"), ("accept", "b"), ("authorization", key)]).status
        == 200
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a":"MARKER","a":"2"}', "json-duplicate-key"),
        (b'{"a":1.5}', "json-number"),
        (b"{", "json-malformed"),
        (b'"\xff"', "json-encoding"),
        (b"[" * 50 + b"]" * 50, "json-too-deep"),
    ],
)
def test_json_is_read_strictly_for_every_ordinary_route(guarded: Border, body: bytes, code: str):
    app = App()
    reply = asked(
        guard(guarded, app), "POST", "/v1/limits", bearer(guarded.key(), content_type="application/json"), [body]
    )
    assert (reply.status, reply.code) == (400, code)
    assert b"MARKER" not in reply.body
    assert app.scopes == []


def test_routes_that_read_for_themselves_get_the_bytes(guarded: Border):
    app = App()
    asked(guard(guarded, app), "POST", CHECK, bearer(guarded.key(), content_type="application/json"), [b"{"])
    assert app.scopes[0]["body"] == b"{"
    assert "json" not in app.scopes[0]


def test_an_ordinary_body_ends_at_a_mebibyte(guarded: Border):
    made, key = guard(guarded), guarded.key()
    assert asked(made, "POST", CHECK, bearer(key), [b"x" * (1 << 20)]).status == 200
    for chunks in ([b"x" * ((1 << 20) + 1)], [b"x" * (1 << 20), b"x"]):
        reply = asked(made, "POST", CHECK, bearer(key), chunks)
        assert (reply.status, reply.code) == (413, "body-too-large")
        assert reply.headers["connection"] == "close"
        assert reply.json["bytes_max"] == 1 << 20
    assert made.bodies.held == 0


def test_larger_limits_are_for_paths_of_the_matrix(guarded: Border):
    """Whole templates: anything else would never be permitted, or be permitted unasked."""
    for path in LARGE:
        assert ("POST", path) in guarded.access.matrix.lines


def test_a_path_with_a_larger_limit_asks_the_matrix_before_reading(guarded: Border):
    large = {"/v1/snapshot": BodyLimit(10_000_000)}
    made = guard(guarded, large=large)
    body = [b"x" * 2_000_000]
    assert asked(made, "POST", "/v1/snapshot", bearer(guarded.key("risk_officer")), body).status == 200
    reply = asked(made, "POST", "/v1/snapshot", bearer(guarded.key("observer")), body)
    assert (reply.status, reply.code) == (403, "not-permitted")
    assert reply.headers["connection"] == "close"


def test_a_refusal_before_the_body_closes_the_connection_and_otherwise_not(guarded: Border):
    assert asked(guard(guarded), "POST", CHECK, {}, [b"abc"]).headers["connection"] == "close"
    assert asked(guard(guarded), "POST", CHECK, {}, [b"a", b"b"]).headers["connection"] == "close"
    assert "connection" not in asked(guard(guarded), "GET", "/v1/keys").headers


@pytest.mark.parametrize("length", ["abc", "-1", "+5", "1e3", ""])
def test_a_length_that_is_no_number_is_counted_instead(guarded: Border, length: str):
    scope = scope_of("POST", CHECK, [*bearer(guarded.key()).items(), ("content-length", length)])
    reply = asyncio.run(exchange(guard(guarded), scope, feed([b"x" * (1 << 20), b"x"])))
    assert (reply.status, reply.code) == (413, "body-too-large")


def test_a_key_is_held_to_its_rate_and_told_when_to_return(guarded: Border):
    made, key, other = guard(guarded, rate_per_key=5), guarded.key(), guarded.key()
    replies = [asked(made, "GET", "/v1/keys", bearer(key)) for _ in range(40)]
    late = [reply for reply in replies if reply.status == 429]
    assert len(late) >= 20
    assert {reply.code for reply in late} == {"too-many-requests"}
    assert {reply.headers["retry-after"] for reply in late} == {"1"}
    assert asked(made, "GET", "/v1/keys", bearer(other)).status == 200


def test_rates_come_from_the_matrix_by_role(guarded: Border):
    made = guard(guarded)
    rates = {role: 1_000_000_000 // spacing for role, spacing in made._spacing.items()}
    assert rates == dict(guarded.access.matrix.rates)


def test_every_answer_carries_the_headers_of_the_house(guarded: Border):
    for path in ("/healthz", "/v1/keys"):
        headers = asked(guard(guarded), "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers


def test_pages_may_not_run_or_be_framed_and_tls_is_insisted_on(guarded: Border):
    key = bearer(guarded.key())
    policy = asked(guard(guarded), "GET", "/v1/rebalances/7/report", key).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in asked(guard(guarded), "GET", "/docs").headers["content-security-policy"]
    scope = {**scope_of("GET", "/healthz"), "scheme": "https"}
    reply = asyncio.run(exchange(guard(guarded), scope, feed([b""])))
    assert reply.headers["strict-transport-security"].startswith("max-age=")


async def failing(scope: Message, receive: Any, send: Any) -> None:
    raise RuntimeError(SECRET)


def test_a_defect_is_a_500_without_its_text(guarded: Border, capsys: pytest.CaptureFixture[str]):
    reply = asked(guard(guarded, failing), "GET", "/healthz")
    assert (reply.status, reply.code) == (500, "internal-defect")
    assert SECRET.encode() not in reply.body
    logged = capsys.readouterr()
    assert "RuntimeError" in logged.out + logged.err
    assert SECRET not in logged.out + logged.err


def test_a_problem_of_the_app_is_its_answer(guarded: Border):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        raise Problem(409, "some-code", "why", fact="7")

    reply = asked(guard(guarded, app), "GET", "/healthz")
    assert (reply.status, reply.code, reply.json["fact"]) == (409, "some-code", "7")


def test_a_defect_after_the_answer_began_breaks_the_connection(guarded: Border):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(SECRET)

    with pytest.raises(RuntimeError):  # which the server answers by closing
        asked(guard(guarded, app), "GET", "/healthz")


def test_a_defect_after_the_answer_is_complete_changes_nothing(guarded: Border):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await App()(scope, receive, send)
        raise RuntimeError(SECRET)

    assert asked(guard(guarded, app), "GET", "/healthz").status == 200


def test_a_refusal_after_the_answer_began_breaks_the_connection(guarded: Border):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise Problem(409, "some-code")

    with pytest.raises(Problem):
        asked(guard(guarded, app), "GET", "/healthz")


def test_a_caller_that_leaves_within_its_body_is_not_answered(guarded: Border):
    app, sent = App(), list[Message]()
    made = guard(guarded, app)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = scope_of("POST", CHECK, {**bearer(guarded.key()), "content-length": "10"})
    asyncio.run(made(scope, receive, send))
    assert (sent, app.scopes) == ([], [])


def test_a_long_answer_ends_when_its_key_does(guarded: Border):
    key, record = guarded.record("observer")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(10):
            if n == 3:
                guarded.store.revoke(record.id)
                guarded.access.refresh()
            await send({"type": "http.response.body", "body": b"%d" % n, "more_body": True})

    assert asked(guard(guarded, app), "GET", "/metrics", bearer(key)).body == b"012"


def test_requests_are_observed_with_status_and_time(guarded: Border):
    seen: list[tuple[str, int]] = []

    def observed(scope: Message, status: int, nanoseconds: int) -> None:
        assert nanoseconds > 0
        seen.append((scope["path"], status))

    made = guard(guarded, observed=observed)
    asked(made, "GET", "/healthz")
    asked(made, "GET", "/v1/keys")
    assert seen == [("/healthz", 200), ("/v1/keys", 401)]


def test_the_lifespan_passes_through(guarded: Border):
    seen: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(guard(guarded, app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]


# --- streams ---------------------------------------------------------------------------------------------------------


def stream(made: Guard, headers: dict[str, str], denial: bool = True) -> list[Message]:
    """Open a WebSocket and collect what the server is told."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Message = {"type": "websocket", "path": "/v1/stream", "headers": headers_of(headers), "scheme": "ws"}
    scope["extensions"] = {"websocket.http.response": {}} if denial else {}
    asyncio.run(made(scope, feed([]), send))
    return sent


async def greeting(scope: Message, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})
    await send({"type": "websocket.close", "code": 1000})


def test_a_stream_needs_a_key(guarded: Border):
    start, body = stream(guard(guarded, greeting), {})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["code"] == "no-credentials"
    assert stream(guard(guarded, greeting), {}, denial=False) == [
        {"type": "websocket.close", "code": 1008, "reason": "no-credentials"}
    ]
    kinds = [m["type"] for m in stream(guard(guarded, greeting), bearer(guarded.key()))]
    assert kinds == ["websocket.accept", "websocket.send", "websocket.close"]


def test_a_stream_ends_before_the_next_message_once_its_key_is_revoked(guarded: Border):
    key, record = guarded.record("observer")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "one"})
        guarded.store.revoke(record.id)
        guarded.access.refresh()
        await send({"type": "websocket.send", "text": "two"})
        raise AssertionError("the app must not get this far")

    sent = stream(guard(guarded, app), bearer(key))
    assert [m.get("text") for m in sent] == [None, "one", None]
    assert sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "not-welcome"}


def test_a_stream_sends_nothing_after_its_end(guarded: Border):
    tried: list[bool] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await greeting(scope, receive, send)
        tried.append(True)
        await send({"type": "websocket.send", "text": "more"})
        tried.append(False)

    sent = stream(guard(guarded, app), bearer(guarded.key()))
    assert [m["type"] for m in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert tried == [True]


def test_a_problem_of_a_stream_closes_it_with_its_code(guarded: Border):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        raise Problem(422, "unknown-topic")

    sent = stream(guard(guarded, app), bearer(guarded.key()))
    assert sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "unknown-topic"}


def test_a_defect_of_a_stream_closes_it_without_its_text(guarded: Border, capsys: pytest.CaptureFixture[str]):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        raise RuntimeError(SECRET)

    sent = stream(guard(guarded, app), bearer(guarded.key()))
    assert sent[-1] == {"type": "websocket.close", "code": 1011, "reason": "internal-defect"}
    start, body = stream(guard(guarded, failing), bearer(guarded.key()))
    assert start["status"] == 500
    assert SECRET.encode() not in body["body"]
    assert SECRET not in capsys.readouterr().out


def test_streams_of_one_key_are_counted_and_given_back(guarded: Border):
    opened: list[asyncio.Event] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        opened.append(asyncio.Event())
        await opened[-1].wait()

    made, key = guard(guarded, app), guarded.key()
    scope = {"type": "websocket", "path": "/v1/stream", "headers": headers_of(bearer(key)), "extensions": {}}

    async def run() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        tasks = [asyncio.create_task(made(dict(scope), feed([]), send)) for _ in range(STREAMS_PER_KEY)]
        while len(opened) < STREAMS_PER_KEY:
            await asyncio.sleep(0)
        await made(dict(scope), feed([]), send)
        refused = sent[-1:]
        for event in opened:
            event.set()
        await asyncio.gather(*tasks)
        return refused

    assert asyncio.run(run()) == [{"type": "websocket.close", "code": 1008, "reason": "too-many-streams"}]
    assert made._streams == {}
