"""How a follower of the stream goes on: against a service of a few lines that breaks off wherever it likes.

The service numbers its messages, starts where it is asked to, and ends a connection in every way there is; the follower
must have told every message once and in order when it is through.
"""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Response

from lexorder.api.client_models import Message, ServiceError, UnreachableError
from lexorder.api.client_stream import BUSY, PAUSE_S, TRIES, Following, problem_in

GONE = ConnectionClosedError(None, None)


def message(seq: int, topic: str = "decisions") -> str:
    """One record as the stream tells it."""
    told = {"topic": topic, "seq": seq, "shard": 0, "at": "2026-06-15T12:00:00-04:00", "kind": "decision", "ref": "o"}
    return json.dumps({**told, "account": "A", "body": {"n": seq}})


def cut(resume: int) -> str:
    """What a reader is told that is too slow."""
    return json.dumps({"error": "slow-reader", "resume_from": resume})


def refused(status: int, code: str = "", body: bytes | None = None) -> InvalidStatus:
    """A handshake that was answered with a problem document, or with anything else."""
    document = {"code": code, "status": status, "detail": "words"}
    content = json.dumps(document).encode() if body is None else body
    return InvalidStatus(Response(status, "Reason", Headers(), content))


def hello(reader: Following) -> dict[str, Any]:
    """What a reader asks for now."""
    found: dict[str, Any] = msgspec.json.decode(reader.hello())
    return found


# ---- the first message ---------------------------------------------------------------------------------


@pytest.mark.parametrize("topics", [["decisions"], ["a", "b"], []])
@pytest.mark.parametrize("start", [None, 0, 5, 2**53])
@pytest.mark.parametrize("shard", [None, 0, 3])
def test_a_reader_asks_for_what_it_was_told_and_for_nothing_else(
    topics: list[str], start: int | None, shard: int | None
):
    wanted = {"topics": topics, "from": start, "shard": shard}
    assert hello(Following(topics, start, shard)) == {k: v for k, v in wanted.items() if v is not None}


def test_topics_changed_afterwards_change_nothing():
    topics = ["decisions"]
    reader = Following(topics, None)
    topics.append("breaches")
    assert hello(reader)["topics"] == ["decisions"]


@pytest.mark.parametrize("seq", [0, 1, 2**53])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_after_a_message_reading_goes_on_behind_it(seq: int, *, as_bytes: bool):
    reader = Following(["decisions"], None, 2)
    text = message(seq)
    told = reader.took(text.encode() if as_bytes else text)
    assert isinstance(told, Message)
    assert told.seq == seq
    assert hello(reader) == {"topics": ["decisions"], "from": seq + 1, "shard": 2}


@pytest.mark.parametrize("start", [None, 3])
@pytest.mark.parametrize("resume", [0, 7])
def test_who_is_cut_goes_on_where_the_service_says(start: int | None, resume: int):
    reader = Following(["decisions"], start)
    hello(reader)
    assert reader.took(cut(resume)) is None
    assert hello(reader)["from"] == resume
    assert reader.ended() > 0, "and it may connect again at once"


# ---- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(403, "not-permitted"), (422, "unknown-topic"), (500, "internal-defect")])
def test_a_problem_within_the_stream_is_raised_with_its_code(status: int, code: str):
    reader = Following(["decisions"], 4)
    with pytest.raises(ServiceError) as told:
        reader.took(json.dumps({"status": status, "code": code, "detail": "words", "extra": 1}))
    assert (told.value.status, told.value.code, told.value.detail) == (status, code, "words")
    assert hello(reader)["from"] == 4


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"code": "c", "detail": "d"}', "c"),
        (b'{"code": "c", "title": "t"}', "c"),
        (b'{"code": 7}', "7"),
        (b"", "http-418"),
        (b"<html>", "http-418"),
        (b"\xff", "http-418"),
        (b"[]", "http-418"),
        (b'"c"', "http-418"),
        (b"null", "http-418"),
        (b'{"detail": "d"}', "http-418"),
    ],
)
def test_a_refusal_has_the_services_code_or_one_of_its_status(body: bytes, code: str):
    found = problem_in(418, body, "a teapot")
    assert (found.status, found.code) == (418, code)
    if code.startswith("http-"):
        assert found.detail == "a teapot"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500, 502])
def test_a_handshake_that_is_refused_for_good_is_not_tried_again(status: int):
    reader = Following(["decisions"], None)
    with pytest.raises(ServiceError) as told:
        reader.ended(refused(status, "no"))
    assert (told.value.status, told.value.code, told.value.detail) == (status, "no", "words")


@pytest.mark.parametrize("status", sorted(BUSY))
@pytest.mark.parametrize("listened", [False, True])
def test_a_busy_service_is_asked_a_few_times_and_then_quoted(status: int, *, listened: bool):
    """Also a reader that has heard nothing yet: a refused handshake loses no message."""
    reader = Following(["decisions"], None)
    if listened:
        hello(reader)
    for _ in range(TRIES - 1):
        assert reader.ended(refused(status, "later")) > 0
    with pytest.raises(ServiceError) as told:
        reader.ended(refused(status, "later"))
    assert told.value.code == "later"


@pytest.mark.parametrize("error", [OSError("x"), ConnectionRefusedError(), GONE, None])
@pytest.mark.parametrize("start", [None, 3])
def test_a_service_that_does_not_answer_is_tried_a_few_times(error: Exception | None, start: int | None):
    reader = Following(["decisions"], start)
    for _ in range(TRIES - 1):
        reader.ended(error)
    with pytest.raises(UnreachableError) as told:
        reader.ended(error)
    assert ("closes the stream" if error is None else type(error).__name__) in str(told.value)


@pytest.mark.parametrize("error", [GONE, OSError(), None])
def test_a_stream_that_breaks_before_its_first_message_from_now_on_says_so(error: Exception | None):
    """Nobody knows which messages came meanwhile, so going on in silence would lose some."""
    reader = Following(["decisions"], None)
    hello(reader)
    with pytest.raises(UnreachableError, match="before its first message"):
        reader.ended(error)


def test_pauses_double_from_the_first_and_a_message_starts_them_anew():
    reader = Following(["decisions"], 0)
    first = [reader.ended(GONE) for _ in range(TRIES - 1)]
    assert first == [PAUSE_S * 2**n for n in range(TRIES - 1)]
    reader.took(message(0))
    assert [reader.ended(GONE) for _ in range(TRIES - 1)] == first
    reader.took(cut(5))
    assert reader.ended(GONE) == first[0]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "5", '"text"', "{}", '{"seq": 1}', '{"error": "slow-reader"}',
             '{"error": "slow-reader", "resume_from": "soon"}', '{"topic": 1, "seq": "x"}', "\x00"],
)  # fmt: skip
def test_what_is_no_message_is_an_error_of_the_service(text: str):
    """Something between has changed it; a caller has to catch no error of a parser."""
    reader = Following(["decisions"], 4)
    with pytest.raises(ServiceError) as told:
        reader.took(text)
    assert told.value.code == "unreadable-answer"
    assert hello(reader)["from"] == 4


# ---- a service that breaks off -------------------------------------------------------------------------


class Broken:
    """A service with `size` messages that ends connections as it is told, and then answers to the end."""

    def __init__(self, size: int, ends: list[tuple[str, int]]) -> None:
        self.size, self.ends = size, list(ends)

    def connection(self, asked: dict[str, Any]) -> tuple[list[str], Exception | None]:
        """What is sent to a reader that asks from a number on, and how that ends."""
        start = int(asked["from"])
        how, many = self.ends.pop(0) if self.ends else ("whole", self.size)
        if how == "busy":
            return [], refused(503, "not-ready")
        sent = [message(seq) for seq in range(start, min(start + many, self.size))]
        if how == "slow":
            return [*sent, cut(start + len(sent))], None
        return sent, GONE if how == "broken" else None


def followed(service: Broken, reader: Following) -> list[int]:
    """What a reader has told when everything is read, as `Client.stream` does it."""
    told: list[int] = []
    while not told or told[-1] < service.size - 1:
        sent, why = service.connection(hello(reader))
        for text in sent:
            found = reader.took(text)
            if found is None:
                break
            told.append(found.seq)
        if not told or told[-1] < service.size - 1:
            reader.ended(why)
    return told


ENDS = st.tuples(st.sampled_from(["broken", "slow", "closed", "busy"]), st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(ends=st.lists(ENDS, max_size=12), size=st.integers(1, 12), start=st.integers(0, 3))
def test_every_message_comes_once_and_in_order_however_connections_end(
    ends: list[tuple[str, int]], size: int, start: int
):
    """Unless the service is down for longer than it is tried."""
    service = Broken(start + size, ends)
    reader = Following(["decisions"], start)
    empty = "".join("." if how == "busy" or (how != "slow" and not many) else "x" for how, many in ends)
    try:
        assert followed(service, reader) == list(range(start, start + size))
    except (UnreachableError, ServiceError):
        assert "." * (TRIES - 1) in empty, "only after as many failures in a row"


def test_a_long_day_of_breaks_loses_nothing():
    dice = random.Random(7)
    ends = [(dice.choice(["broken", "slow", "closed"]), dice.randint(1, 5)) for _ in range(300)]
    assert followed(Broken(500, ends), Following(["decisions"], 0)) == list(range(500))
