"""Problem documents: their form, and that nothing a caller sent comes back in one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from lexorder.api.service import problems
from lexorder.api.service.problems import Problem, of_error, own_words
from lexorder.engine.desk import shipped_vocabulary
from lexorder.engine.errors import (
    ExpertError,
    LexorderError,
    RuleFileError,
    SnapshotError,
    SolverError,
    UsageError,
    shown,
)
from lexorder.engine.errors import Problem as Finding
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.parse import parse
from tests.service.border import asked, exchange, feed, scope_of

MARKER = "MARKER7"
WORDS = frozenset({"order.side", "side", "positions", "quantity"})


def test_a_document_has_the_members_of_the_standard_and_the_facts():
    problem = Problem(409, "second-person-required", "why", instance_of="x", count=2)
    assert json.loads(problem.to_bytes("id-7")) == {
        "type": "/problems/second-person-required",
        "title": "Conflict",
        "status": 409,
        "code": "second-person-required",
        "detail": "why",
        "instance": "id-7",
        "instance_of": "x",
        "count": 2,
    }


def test_facts_cannot_replace_the_members():
    document = Problem(400, "a", "b", type="x", instance="forged").to_json("mine")
    assert (document["type"], document["instance"]) == ("/problems/a", "mine")


def test_what_is_empty_is_left_out():
    assert set(Problem(404, "not-found").to_json()) == {"type", "title", "status", "code"}


def test_it_can_be_sent_by_a_raw_route():
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Problem(429, "slow", headers=[(b"retry-after", b"3")]).send(send, "x"))
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 429
    assert headers[b"retry-after"] == b"3"
    assert headers[b"content-length"] == str(len(sent[1]["body"])).encode()
    assert headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("unknown-rule", "x"), 400),
        (SnapshotError("unknown-name", "positions[3].quantity", "x"), 422),
        (RuleFileError((Finding("syntax", "x"),)), 422),
        (ExpertError("clips", "x"), 503),
        (SolverError("solver", "x"), 503),
        (LedgerError("ledger-full", "x"), 503),
        (LexorderError("other", "x"), 422),
    ],
)
def test_each_kind_of_error_has_its_status_and_keeps_its_code(error: LexorderError, status: int):
    problem = of_error(error, WORDS)
    assert (problem.status, problem.code) == (status, error.code)


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("must be one of BUY, SELL", "must be one of BUY, SELL"),
        ("there is no `order.side`", "there is no `order.side`"),
        (f"there is no `{MARKER}`", "there is no (not repeated)"),
        (f"no `{MARKER}`; did you mean `order.side`?", "no (not repeated)?"),
        (f"no `a`{MARKER}`b` here", "no (not repeated) here"),
        (f"`order.side` and `x` {MARKER} `y`.", "`order.side` and (not repeated)."),
    ],
)
def test_quotations_are_dropped_unless_every_word_is_ours(message: str, kept: str):
    assert of_error(UsageError("c", message), WORDS).detail == kept


@settings(deadline=None)
@given(st.text(st.sampled_from("`a.\\` …"), max_size=20))
def test_a_quotation_with_backticks_of_its_own_cannot_break_out(noise: str):
    problem = of_error(UsageError("c", f"there is no {shown(noise + MARKER + noise)} here"), WORDS)
    assert MARKER not in problem.detail


def test_where_keeps_numbers_and_known_names_only():
    error = SnapshotError("c", f"positions[3].quantity.{MARKER}[12][{MARKER}]", "x")
    assert of_error(error, WORDS).extra["where"] == "positions[3].quantity.*[12].*"


def test_findings_of_a_rule_file_keep_their_place_and_code():
    found = tuple(Finding("unknown-name", f"no `{MARKER}`", f"{MARKER}.yaml", n, 5) for n in range(150))
    problem = of_error(RuleFileError(found), WORDS)
    assert problem.extra["count"] == 150
    assert len(problem.extra["findings"]) == problems.FINDINGS_MAX
    assert problem.extra["findings"][1] == {
        "line": 1,
        "column": 5,
        "code": "unknown-name",
        "message": "no (not repeated)",
    }
    assert MARKER not in problem.to_bytes().decode()


VOCABULARY = shipped_vocabulary()
ORDER = {"id": "o1", "account": "A1", "symbol": "ABC", "side": "buy", "quantity": "100"}


@pytest.mark.parametrize("field", [*ORDER, MARKER])
@pytest.mark.parametrize(
    "value", [MARKER, f"`{MARKER}`", f" {MARKER}", [MARKER], {MARKER: MARKER}, f"1{MARKER}", "NaN"]
)
def test_errors_the_engine_really_raises_repeat_nothing_of_an_order(field: str, value: Any):
    try:
        load_order({**ORDER, field: value}, VOCABULARY)
    except LexorderError as error:
        answer = of_error(error, own_words()).to_bytes().decode()
    else:  # an id, an account or a symbol may be called so
        answer = ""
        assert field in {"id", "account", "symbol"}
    assert MARKER not in answer


@pytest.mark.parametrize(
    "document",
    [
        {MARKER: 1},
        {"accounts": {MARKER: {MARKER: "1"}}},
        {"accounts": [{"id": "A1", MARKER: "1"}]},
        {"accounts": [{"id": MARKER, "nav": MARKER}]},
        {"positions": [{"account": MARKER, "symbol": "ABC", "quantity": MARKER}]},
        {"lists": {MARKER: [MARKER]}},
        {"clock": {"now": MARKER}},
    ],
)
def test_errors_the_engine_really_raises_repeat_nothing_of_a_snapshot(document: Any):
    with pytest.raises(LexorderError) as caught:
        load_snapshot(document, VOCABULARY)
    assert MARKER not in of_error(caught.value, own_words()).to_bytes().decode()


@pytest.mark.parametrize(
    "text", [MARKER, f"rules: [{MARKER}", f"rule: {MARKER}\nrequire: `{MARKER}` > 1", f"{MARKER}: &x 1"]
)
def test_errors_the_engine_really_raises_repeat_nothing_of_an_expression(text: str):
    with pytest.raises(LexorderError) as caught:
        parse(text + " >")
    assert MARKER not in of_error(caught.value, own_words()).to_bytes().decode()


def test_lexorders_own_words_are_names_and_not_accounts():
    words = own_words()
    assert {"order.side", "positions", "quantity", "account"} <= words
    assert not {MARKER, "", "A1"} & words


# --- installed in an app ---------------------------------------------------------------------------------------------


class Limit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: str
    values: dict[str, int]


def app_that(raises: Callable[[], Any] = lambda: None) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/raise")
    def _raise() -> None:
        raises()

    @app.post("/limits/{number}")
    def _limits(number: int, limit: Limit, page: int = 0) -> dict[str, int]:
        return {"number": number + page + len(limit.values)}

    return app


def raising(error: Exception) -> FastAPI:
    def fail() -> None:
        raise error

    return app_that(fail)


def posted(body: Any, path: str = "/limits/1") -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asked(app_that(), "POST", path, {"content-type": "application/json"}, [raw])


def test_a_good_request_is_not_disturbed():
    assert posted({"rule": "a", "values": {"x": 1}}).json == {"number": 2}


def test_wrong_fields_are_named_by_path_and_not_repeated():
    reply = posted({"rule": [MARKER], "values": {MARKER: MARKER}, MARKER: MARKER}, f"/limits/{MARKER}")
    assert (reply.status, reply.code) == (422, "invalid-request")
    assert MARKER.encode() not in reply.body
    paths = {field["path"] for field in reply.json["fields"]}
    assert paths == {"path.number", "body.rule", "body.values.*", "body.*"}


def test_a_wrong_query_is_named():
    scope = scope_of("POST", "/limits/1", {"content-type": "application/json"})
    scope["query_string"] = f"page={MARKER}".encode()
    reply = asyncio.run(exchange(app_that(), scope, feed([b'{"rule":"a","values":{}}'])))
    assert reply.json["fields"] == [{"path": "query.page", "code": "int-parsing"}]


def test_very_many_wrong_fields_do_not_make_a_long_answer():
    reply = posted({"rule": "a", "values": {f"k{n}": MARKER for n in range(5000)}})
    assert len(reply.json["fields"]) == problems.FINDINGS_MAX


@pytest.mark.parametrize("body", [b"{", b"", MARKER.encode()])
def test_a_body_that_is_no_json(body: bytes):
    reply = posted(body)
    assert (reply.status, reply.code) in {(400, "json-malformed"), (422, "invalid-request")}
    assert MARKER.encode() not in reply.body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", f"/{MARKER}", 404, "not-found"), ("DELETE", "/raise", 405, "method-not-allowed")],
)
def test_the_frameworks_refusals_are_problems_too(method: str, path: str, status: int, code: str):
    reply = asked(app_that(), method, path)
    assert (reply.status, reply.code) == (status, code)
    assert MARKER.encode() not in reply.body
    assert status != 405 or reply.headers["allow"] == "GET"


def test_what_a_framework_says_is_not_passed_on():
    reply = asked(raising(HTTPException(418, MARKER)), "GET", "/raise")
    assert (reply.status, reply.code) == (418, "http-418")
    assert MARKER.encode() not in reply.body


def test_a_problem_raised_in_a_route_is_its_answer():
    problem = Problem(429, "too-many", "slow down", headers=[(b"retry-after", b"3")], limit="5")
    reply = asked(raising(problem), "GET", "/raise")
    assert (reply.status, reply.code, reply.json["limit"]) == (429, "too-many", "5")
    assert reply.headers["retry-after"] == "3"


def test_an_error_of_lexorder_raised_in_a_route_is_a_problem():
    reply = asked(raising(SnapshotError("unknown-name", "order.side", f"no `{MARKER}`")), "GET", "/raise")
    assert (reply.status, reply.code, reply.json["where"]) == (422, "unknown-name", "order.side")
    assert MARKER.encode() not in reply.body


def test_a_defect_says_nothing_of_itself(capsys: pytest.CaptureFixture[str]):
    app = raising(RuntimeError(MARKER))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        with pytest.raises(RuntimeError):  # the framework answers first and raises then; the guard takes it
            await app(scope_of("GET", "/raise"), feed([b""]), send)

    asyncio.run(run())
    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"])["code"] == "internal-defect"
    assert MARKER.encode() not in sent[1]["body"]
    assert MARKER not in capsys.readouterr().out
