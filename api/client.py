"""The typed client: `Client` waits, `AsyncClient` is awaited; both send the calls of `client_calls` and its sister.

In: an address and a key. Out: typed answers. Guaranteed: an order check carries an idempotency key, so that sending it
again after a lost connection gives the same decision; a call is only sent again when that does no more than sending it
once; with several workers the owner of an account is asked itself. Refused: `ServiceError` with the service's code,
`UnreachableError` when nobody answers. Before: `client_calls.py`, `client_risk_calls.py`. After: OMS, notebooks, bots.

    with Client("http://127.0.0.1:8000", key) as desk:
        if desk.check(order).approved: ...
        print(desk.send(risk.breaches(account="ACC-1")))
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from zlib import crc32

import httpx
import msgspec

from lexorder.api import client_calls as calls
from lexorder.api import client_risk_calls as risk
from lexorder.api.client_calls import Call, Row
from lexorder.api.client_models import (
    Batch,
    Decision,
    Finding,
    Message,
    Place,
    Rebalance,
    ServiceError,
    Taken,
    UnreachableError,
)

__all__ = [
    "AsyncClient",
    "Batch",
    "Call",
    "Client",
    "Decision",
    "Finding",
    "Message",
    "Place",
    "Rebalance",
    "ServiceError",
    "Taken",
    "UnreachableError",
    "calls",
    "risk",
]

T = TypeVar("T")

TRIES = 4
"""Times a call is sent that may be sent again."""

PAUSE_S = 0.1
"""Pause before the second try; it doubles."""

SHARDS = risk.shards()
BUSY = frozenset({429, 503})
"""Answers that mean: later."""


class _Common:
    """What both clients do alike."""

    def __init__(self, address: str, key: str, shards: Mapping[int, str] | None = None) -> None:
        self.address = address.rstrip("/")
        self.headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        self.shards = dict(shards or {})

    def base(self, call: Call[Any]) -> str:
        """The address to ask: the owner's where it is known; a worker that is asked wrongly forwards."""
        if not call.account or len(self.shards) < 2:
            return self.address
        return self.shards[crc32(call.account.encode()) % len(self.shards)]

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of an HTTP request."""
        headers = dict(self.headers)
        if call.key:
            headers["idempotency-key"] = call.key
        found: dict[str, Any] = {"method": call.method, "url": self.base(call) + call.path, "params": dict(call.query)}
        if call.body is not None:
            headers["content-type"] = "application/json"
            found["content"] = msgspec.json.encode(call.body)
        return {**found, "headers": headers}

    @staticmethod
    def read(call: Call[T], answer: httpx.Response) -> T:
        """The typed answer. Raises ServiceError."""
        if answer.status_code >= 400:
            raise problem_of(answer)
        wanted: Any = call.answer
        if wanted is bytes:
            return cast("T", answer.content)
        return cast("T", msgspec.json.decode(answer.content, type=Any if wanted is None else wanted))

    @staticmethod
    def pause(number: int, answer: httpx.Response | None) -> float:
        """Seconds before the next try."""
        told = "" if answer is None else answer.headers.get("retry-after", "")
        return float(told) if told.isdigit() else PAUSE_S * 2**number

    @staticmethod
    def again(call: Call[Any], number: int, answer: httpx.Response | None) -> bool:
        """Whether to try again: after no answer only what may be repeated, after 429 and 503 everything."""
        if number + 1 >= TRIES:
            return False
        return call.repeatable if answer is None else answer.status_code in BUSY


class Client(_Common):
    """The client that waits. Use it in a `with` block, or close it."""

    def __init__(self, address: str, key: str, *, timeout_s: float = 30.0, direct: bool = True, **options: Any) -> None:
        super().__init__(address, key)
        self._http = httpx.Client(timeout=timeout_s, **options)
        if direct:
            self.shards = _direct(self.address, self.send(SHARDS))

    def send(self, call: Call[T]) -> T:
        """The answer of a call. Raises ServiceError, UnreachableError."""
        request = self.request(call)
        for number in range(TRIES):
            answer: httpx.Response | None = None
            try:
                answer = self._http.request(**request)
            except httpx.HTTPError as error:
                if not self.again(call, number, None):
                    raise unreachable(error) from None
            if answer is not None and not self.again(call, number, answer):
                return self.read(call, answer)
            time.sleep(self.pause(number, answer))
        raise UnreachableError("unreachable", "The service did not answer.")

    def check(self, order: Row, *, reserve: bool = True, key: str = "") -> Decision:
        """May this order go out?"""
        return self.send(calls.check_order(order, reserve=reserve, key=key or new_key()))

    def check_batch(self, orders: Sequence[Row], mode: str = "cumulative") -> Batch:
        """Many orders in one request."""
        return self.send(calls.check_batch(orders, mode))

    def what_if(self, order: Row) -> dict[str, Any]:
        """What an order would do."""
        return self.send(calls.what_if(order))

    def kill(self, scope: str = "firm", identifier: str | None = None, reason: str = "kill switch") -> dict[str, Any]:
        """Stop at once."""
        return self.send(risk.kill(scope, identifier, reason))

    def rebalance(self, account: str, trader: str, **options: Any) -> Rebalance:
        """Rebalance and wait for the result."""
        return self.send(calls.rebalance(account, trader, wait=True, **options))

    def follow(self, identifier: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Progress of a rebalance as it is made: (`progress`, step), at last (`result`, rebalance)."""
        request = self.request(calls.follow_rebalance(identifier))
        with self._http.stream(**request) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise problem_of(answer)
            yield from _events(answer.iter_lines())

    def stream(self, topics: Sequence[str] = ("decisions",), start: int | None = None) -> Iterator[Message]:
        """Records of these topics, from a number on or from now on; goes on by itself after a broken connection."""
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        following = start
        while True:
            with connect(_socket(self.address), additional_headers=_key(self.headers)) as socket:
                socket.send(hello(topics, following))
                try:
                    for text in socket:
                        message = read_message(text)
                        if isinstance(message, int):
                            following = message
                            break
                        following = message.seq + 1
                        yield message
                except ConnectionClosed:
                    pass
            if following is None:
                raise UnreachableError("unreachable", "The stream broke before its first message.")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        """The client itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()


class AsyncClient(_Common):
    """The client that is awaited. Use it in an `async with` block, or close it."""

    def __init__(self, address: str, key: str, *, timeout_s: float = 30.0, **options: Any) -> None:
        super().__init__(address, key)
        self._http = httpx.AsyncClient(timeout=timeout_s, **options)

    async def find_shards(self) -> None:
        """Learn the workers, so that owners are asked themselves; `async with` does it."""
        self.shards = _direct(self.address, await self.send(SHARDS))

    async def send(self, call: Call[T]) -> T:
        """The answer of a call. Raises ServiceError, UnreachableError."""
        request = self.request(call)
        for number in range(TRIES):
            answer: httpx.Response | None = None
            try:
                answer = await self._http.request(**request)
            except httpx.HTTPError as error:
                if not self.again(call, number, None):
                    raise unreachable(error) from None
            if answer is not None and not self.again(call, number, answer):
                return self.read(call, answer)
            await asyncio.sleep(self.pause(number, answer))
        raise UnreachableError("unreachable", "The service did not answer.")

    async def check(self, order: Row, *, reserve: bool = True, key: str = "") -> Decision:
        """May this order go out?"""
        return await self.send(calls.check_order(order, reserve=reserve, key=key or new_key()))

    async def check_batch(self, orders: Sequence[Row], mode: str = "cumulative") -> Batch:
        """Many orders in one request."""
        return await self.send(calls.check_batch(orders, mode))

    async def what_if(self, order: Row) -> dict[str, Any]:
        """What an order would do."""
        return await self.send(calls.what_if(order))

    async def kill(
        self, scope: str = "firm", identifier: str | None = None, reason: str = "kill switch"
    ) -> dict[str, Any]:
        """Stop at once."""
        return await self.send(risk.kill(scope, identifier, reason))

    async def rebalance(self, account: str, trader: str, **options: Any) -> Rebalance:
        """Rebalance and wait for the result."""
        return await self.send(calls.rebalance(account, trader, wait=True, **options))

    async def follow(self, identifier: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Progress of a rebalance as it is made: (`progress`, step), at last (`result`, rebalance)."""
        request = self.request(calls.follow_rebalance(identifier))
        async with self._http.stream(**request) as answer:
            if answer.status_code >= 400:
                await answer.aread()
                raise problem_of(answer)
            event = ""
            async for line in answer.aiter_lines():
                event = line.removeprefix("event: ") if line.startswith("event: ") else event
                if line.startswith("data: "):
                    yield event, msgspec.json.decode(line.removeprefix("data: "))

    async def stream(self, topics: Sequence[str] = ("decisions",), start: int | None = None) -> AsyncIterator[Message]:
        """Records of these topics, from a number on or from now on; goes on by itself after a broken connection."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed

        following = start
        while True:
            async with connect(_socket(self.address), additional_headers=_key(self.headers)) as socket:
                await socket.send(hello(topics, following))
                try:
                    async for text in socket:
                        message = read_message(text)
                        if isinstance(message, int):
                            following = message
                            break
                        following = message.seq + 1
                        yield message
                except ConnectionClosed:
                    pass
            if following is None:
                raise UnreachableError("unreachable", "The stream broke before its first message.")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        """The client, knowing the workers."""
        await self.find_shards()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it."""
        await self.close()


def new_key() -> str:
    """An idempotency key nobody else makes."""
    return secrets.token_urlsafe(18)


def hello(topics: Sequence[str], start: int | None) -> bytes:
    """The first message of a stream."""
    return msgspec.json.encode({"topics": list(topics), **({} if start is None else {"from": start})})


def read_message(text: str | bytes) -> Message | int:
    """A message of the stream, or the number to go on from when the reader was too slow. Raises ServiceError."""
    document = msgspec.json.decode(text)
    if document.get("error") == "slow-reader":
        return int(document["resume_from"])
    if "status" in document and "code" in document:
        raise ServiceError(document["status"], document["code"], document.get("detail", ""), document)
    return msgspec.convert(document, Message)


def problem_of(answer: httpx.Response) -> ServiceError:
    """The refusal an answer holds; `http-502` and the like for one that is not the service's."""
    try:
        document = msgspec.json.decode(answer.content)
        code, detail = str(document["code"]), str(document.get("detail", document.get("title", "")))
    except (msgspec.DecodeError, KeyError, TypeError):
        return ServiceError(answer.status_code, f"http-{answer.status_code}", answer.reason_phrase, {})
    return ServiceError(answer.status_code, code, detail, document)


def unreachable(error: httpx.HTTPError) -> UnreachableError:
    """No answer: whether the service did what was asked is not known."""
    return UnreachableError("unreachable", f"The service did not answer: {type(error).__name__}.")


def _events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    event = ""
    for line in lines:
        event = line.removeprefix("event: ") if line.startswith("event: ") else event
        if line.startswith("data: "):
            yield event, msgspec.json.decode(line.removeprefix("data: "))


def _direct(address: str, told: dict[str, Any]) -> dict[int, str]:
    """The address of each worker."""
    host = httpx.URL(address)
    return {int(row["shard"]): str(host.copy_with(port=row["port"])).rstrip("/") for row in told["shards"]}


def _socket(address: str) -> str:
    return "ws" + address.removeprefix("http") + "/v1/stream"


def _key(headers: Mapping[str, str]) -> dict[str, str]:
    return {"Authorization": headers["authorization"]}
