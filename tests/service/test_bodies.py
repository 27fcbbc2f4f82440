"""Bodies: limits on the byte, pieces, slowness, and that nothing stays counted."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.bodies import MIB, Bodies, BodyLimit, Gone, Message, Replay
from lexorder.api.service.problems import Problem
from tests.service.border import feed

Receive = Callable[[], Awaitable[Message]]
LIMIT = BodyLimit(100)


def at_once(body: bytes) -> Receive:
    """A server whose body is there before it is asked for."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    return receive


def read(bodies: Bodies, receive: Receive, length: int = -1, limit: BodyLimit = LIMIT) -> bytes:
    return asyncio.run(bodies.read(receive, length, limit))


def refused(bodies: Bodies, receive: Receive, length: int = -1, limit: BodyLimit = LIMIT) -> Problem:
    with pytest.raises(Problem) as caught:
        read(bodies, receive, length, limit)
    assert bodies.held == 0, "a refused body is not held"
    assert (b"connection", b"close") in caught.value.headers, "the rest of the body is still on its way"
    return caught.value


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8), st.booleans())
def test_a_body_is_what_was_sent_or_refused_for_its_size(chunks: list[bytes], immediate: bool):
    whole = b"".join(chunks)
    bodies = Bodies()
    receive = at_once(whole) if immediate else feed(chunks)
    if len(whole) > LIMIT.bytes_max:
        assert refused(bodies, receive).code == "body-too-large"
    else:
        body = read(bodies, receive)
        assert body == whole
        assert bodies.held == len(whole)
        bodies.release(body)
        assert bodies.held == 0


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_the_limit_is_the_last_size_that_passes(pieces: int):
    def cut(size: int) -> list[bytes]:
        step = -(-size // pieces)
        return [b"x" * min(step, size - start) for start in range(0, size, step)]

    assert len(read(Bodies(), feed(cut(100)))) == 100
    assert refused(Bodies(), feed(cut(101))).status == 413


def test_a_length_beyond_the_limit_is_refused_before_a_byte_is_read():
    async def receive() -> Message:
        raise AssertionError("the body must not be asked for")

    problem = refused(Bodies(), receive, length=101)
    assert (problem.status, problem.code, problem.extra) == (413, "body-too-large", {"bytes_max": 100})


def test_an_endless_body_costs_the_limit_and_not_its_size():
    sent = 0

    async def receive() -> Message:
        nonlocal sent
        sent += 64 * 1024
        return {"type": "http.request", "body": bytes(64 * 1024), "more_body": True}

    tracemalloc.start()
    assert refused(Bodies(), receive, limit=BodyLimit(MIB)).code == "body-too-large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent <= MIB + 64 * 1024, "reading stops at the limit"
    assert peak < 3 * MIB


def trickle(pieces: int, pause: float) -> Receive:
    left = pieces

    async def receive() -> Message:
        nonlocal left
        await asyncio.sleep(pause)
        left -= 1
        return {"type": "http.request", "body": b"x", "more_body": left > 0}

    return receive


async def silence() -> Message:
    await asyncio.sleep(3600)
    raise AssertionError


def test_silence_ends_in_408():
    problem = refused(Bodies(pause_s=0.05), silence)
    assert (problem.status, problem.code) == (408, "body-too-slow")


def test_silence_after_the_first_piece_ends_in_408():
    started = False

    async def receive() -> Message:
        nonlocal started
        if started:
            return await silence()
        started = True
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert refused(Bodies(pause_s=0.05), receive).code == "body-too-slow"


def test_a_trickle_without_long_silence_still_ends_at_its_time():
    limit = BodyLimit(100_000, seconds_max=0.3)
    assert refused(Bodies(pause_s=0.25), trickle(100_000, 0.001), limit=limit).code == "body-too-slow"


def test_a_slow_body_within_its_time_is_taken():
    assert read(Bodies(pause_s=30), trickle(5, 0.01), limit=BodyLimit(100, 60.0)) == b"xxxxx"


def test_a_caller_that_leaves_is_not_answered_and_not_held():
    bodies = Bodies()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(Gone):
        read(bodies, receive)
    parts: list[Message] = [{"type": "http.request", "body": b"abc", "more_body": True}, {"type": "http.disconnect"}]

    async def two() -> Message:
        await asyncio.sleep(0)
        return parts.pop(0)

    with pytest.raises(Gone):
        read(bodies, two)
    assert bodies.held == 0


def test_all_bodies_together_are_bounded():
    bodies = Bodies(held_max=150)
    first = read(bodies, at_once(b"x" * 100))
    with pytest.raises(Problem) as caught:
        read(bodies, feed([b"x" * 30, b"x" * 30]))
    assert (caught.value.status, caught.value.code) == (503, "server-busy")
    assert (b"retry-after", b"1") in caught.value.headers
    assert bodies.held == 100
    assert len(read(bodies, at_once(b"x" * 50))) == 50
    with pytest.raises(Problem):
        read(bodies, at_once(b"x"))
    bodies.release(first)
    assert len(read(bodies, at_once(b"x" * 100))) == 100


def test_cancelling_the_request_gives_its_bytes_back():
    bodies = Bodies()

    async def run() -> None:
        async def receive() -> Message:
            if bodies.held:
                return await silence()
            return {"type": "http.request", "body": b"x" * 50, "more_body": True}

        task = asyncio.create_task(bodies.read(receive, -1, LIMIT))
        while not bodies.held:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert bodies.held == 0


def test_cancelling_reaches_a_receive_that_waits():
    """Its first step was taken by hand; the cancellation must still arrive inside it."""
    seen: list[str] = []

    async def receive() -> Message:
        try:
            return await silence()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        task = asyncio.create_task(Bodies().read(receive, -1, LIMIT))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert seen == ["cancelled"]


def test_an_error_of_the_server_comes_through():
    async def late() -> Message:
        await asyncio.sleep(0)
        raise OSError

    async def early() -> Message:
        raise OSError

    for receive in (late, early):
        with pytest.raises(OSError):  # noqa: PT011
            read(Bodies(), receive)


def test_replay_gives_the_body_once_and_then_the_connection():
    async def run() -> list[Any]:
        replay = Replay(b"abc", feed([]))
        return [await replay(), await replay(), await replay()]

    first, *others = asyncio.run(run())
    assert first == {"type": "http.request", "body": b"abc", "more_body": False}
    assert others == [{"type": "http.disconnect"}] * 2
