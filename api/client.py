"""The typed client: `Client` waits, `AsyncClient` is awaited; both send the calls of `client_calls` and its sister.

In: an address and a key. Out: typed answers. Guaranteed: an order check carries an idempotency key, so that sending it
again after a lost connection gives the same decision; a call is only sent again when that does no more than sending it
once; with several workers the owner of an account is asked itself. Refused: `ServiceError` with the service's code,
`UnreachableError` when nobody answers. Before: `client_calls.py`, `client_risk_calls.py`, `client_stream.py`. After:
OMS, notebooks, bots.

    with Client("http://127.0.0.1:8000", key) as desk:
        if desk.check(order).approved: ...
        print(desk.send(risk.breaches(account="ACC-1")))
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, TypeVar, Unpack, cast
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
    RebalanceOptions,
    ServiceError,
    Taken,
    UnreachableError,
)
from lexorder.api.client_stream import BROKEN, BUSY, OPTIONS, PAUSE_S, TRIES, Following, problem_in
from lexorder.engine.errors import UsageError

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
    "RebalanceOptions",
    "ServiceError",
    "Taken",
    "UnreachableError",
    "calls",
    "risk",
]

T = TypeVar("T")

SHARDS = risk.shards()

PAUSE_MAX_S = 30.0
"""The longest a service may make its caller wait between two tries."""

NOTHING_DONE = frozenset(
    {
        "busy",
        "issuer-keys-unreadable",
        "keys-unreadable",
        "not-ready",
        "rules-process-lost",
        "rules-timeout",
        "server-busy",
        "shard-apart",
    }
)
"""Codes of 503 that say that nothing was done. Others leave it open: the ledger, another worker, a proxy between."""


class _Common:
    """What both clients do alike."""

    def __init__(self, address: str, key: str, timeout_s: float) -> None:
        if not key.isascii() or not key.isprintable() or not key.strip():
            raise UsageError("bad-key", "A key is the text that was shown when it was made: `lx_…`.")
        self.address = address.rstrip("/")
        self.timeout_s = timeout_s
        self.headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        self.shards: dict[int, str] = {}

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
        if call.longest_s > self.timeout_s:
            found["timeout"] = httpx.Timeout(self.timeout_s, read=call.longest_s)
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
        try:
            found: Any = msgspec.json.decode(answer.content, type=Any if wanted is None else wanted)
            if isinstance(found, Decision) and answer.headers.get("idempotent-replayed") == "true":
                found = msgspec.structs.replace(found, replayed=True)
            return cast("T", found)
        except (msgspec.DecodeError, UnicodeDecodeError):
            words = "The answer is none of this service's: something between changed it."
            raise ServiceError(answer.status_code, "unreadable-answer", words, {}) from None

    @staticmethod
    def pause(number: int, answer: httpx.Response | None) -> float:
        """Seconds before the next try: what the service asks for, within reason."""
        told = "" if answer is None else answer.headers.get("retry-after", "")
        asked = float(told) if told.isdecimal() and told.isascii() else PAUSE_S * 2**number
        return min(asked, PAUSE_MAX_S)

    @staticmethod
    def again(call: Call[Any], number: int, answer: httpx.Response | None) -> bool:
        """Whether to try again: what may be repeated, and whatever was not even begun."""
        if number + 1 >= TRIES:
            return False
        if answer is None:
            return call.repeatable
        if answer.status_code not in BUSY:
            return False
        return call.repeatable or answer.status_code == 429 or problem_of(answer).code in NOTHING_DONE

    def door(self, shard: int | None) -> str:
        """The address of the stream of a worker. Raises UsageError when there are several and none is named."""
        if shard is None and len(self.shards) > 1:
            words = f"Each worker numbers its own records: name one of the shards 0 to {len(self.shards) - 1}."
            raise UsageError("shard-needed", words)
        base = self.address if shard is None or shard not in self.shards else self.shards[shard]
        return "ws" + base.removeprefix("http") + "/v1/stream"

    @property
    def credentials(self) -> dict[str, str]:
        """What opens a stream."""
        return {"Authorization": self.headers["authorization"]}


class Client(_Common):
    """The client that waits. Use it in a `with` block, or close it."""

    def __init__(self, address: str, key: str, *, timeout_s: float = 30.0, direct: bool = True, **options: Any) -> None:
        super().__init__(address, key, timeout_s)
        self._http = httpx.Client(timeout=timeout_s, **options)
        if direct:
            try:
                self.shards = _direct(self.address, self.send(SHARDS))
            except BaseException:
                self.close()
                raise

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

    def every(self, call: Call[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Everything a list has, page by page: `client.every(calls.positions())`. Raises ServiceError."""
        ahead = [call]
        while ahead:
            page = self.send(ahead[0])
            yield from page[_rows(page)]
            ahead = [*ahead[0].following(page), *ahead[1:]]

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

    def rebalance(self, account: str, trader: str, **options: Unpack[RebalanceOptions]) -> Rebalance:
        """Rebalance and wait for the result."""
        return self.send(calls.rebalance(account, trader, wait=True, **options))

    def cancel(self, identifier: str) -> Rebalance:
        """Take a rebalance back; it has no orders then."""
        return self.send(calls.cancel_rebalance(identifier))

    def follow(self, identifier: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Progress of a rebalance as it is made: (`progress`, step), at last (`result`, rebalance)."""
        request = self.request(calls.follow_rebalance(identifier))
        event = ""
        try:
            with self._http.stream(**request) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise problem_of(answer)
                for line in answer.iter_lines():
                    event = line.removeprefix("event: ") if line.startswith("event: ") else event
                    if line.startswith("data: "):
                        yield event, msgspec.json.decode(line.removeprefix("data: "))
        except httpx.HTTPError as error:
            raise unreachable(error) from None

    def stream(
        self, topics: Sequence[str] = ("decisions",), start: int | None = None, shard: int | None = None
    ) -> Iterator[Message]:
        """Records of these topics, from a number on or from now on; goes on by itself after a broken connection.

        Numbers are those of one worker: with several, name its `shard`. Raises ServiceError, UnreachableError.
        """
        from websockets.sync.client import connect

        reader, address = Following(topics, start, shard), self.door(shard)
        while True:
            why: Exception | None = None
            try:
                with connect(address, additional_headers=self.credentials, **OPTIONS) as socket:
                    socket.send(reader.hello())
                    for text in socket:
                        message = reader.took(text)
                        if message is None:
                            break
                        yield message
            except BROKEN as error:
                why = error
            time.sleep(reader.ended(why))

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
        super().__init__(address, key, timeout_s)
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

    async def every(self, call: Call[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        """Everything a list has, page by page: `client.every(calls.positions())`. Raises ServiceError."""
        ahead = [call]
        while ahead:
            page = await self.send(ahead[0])
            for row in page[_rows(page)]:
                yield row
            ahead = [*ahead[0].following(page), *ahead[1:]]

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

    async def rebalance(self, account: str, trader: str, **options: Unpack[RebalanceOptions]) -> Rebalance:
        """Rebalance and wait for the result."""
        return await self.send(calls.rebalance(account, trader, wait=True, **options))

    async def cancel(self, identifier: str) -> Rebalance:
        """Take a rebalance back; it has no orders then."""
        return await self.send(calls.cancel_rebalance(identifier))

    async def follow(self, identifier: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Progress of a rebalance as it is made: (`progress`, step), at last (`result`, rebalance)."""
        request = self.request(calls.follow_rebalance(identifier))
        event = ""
        try:
            async with self._http.stream(**request) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise problem_of(answer)
                async for line in answer.aiter_lines():
                    event = line.removeprefix("event: ") if line.startswith("event: ") else event
                    if line.startswith("data: "):
                        yield event, msgspec.json.decode(line.removeprefix("data: "))
        except httpx.HTTPError as error:
            raise unreachable(error) from None

    async def stream(
        self, topics: Sequence[str] = ("decisions",), start: int | None = None, shard: int | None = None
    ) -> AsyncIterator[Message]:
        """Records of these topics, from a number on or from now on; goes on by itself after a broken connection.

        Numbers are those of one worker: with several, name its `shard`. Raises ServiceError, UnreachableError.
        """
        from websockets.asyncio.client import connect

        reader, address = Following(topics, start, shard), self.door(shard)
        while True:
            why: Exception | None = None
            try:
                async with connect(address, additional_headers=self.credentials, **OPTIONS) as socket:
                    await socket.send(reader.hello())
                    async for text in socket:
                        message = reader.took(text)
                        if message is None:
                            break
                        yield message
            except BROKEN as error:
                why = error
            await asyncio.sleep(reader.ended(why))

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


def _rows(page: dict[str, Any]) -> str:
    """Where the things of a page stand in an answer."""
    return "states" if "states" in page else "items"


def problem_of(answer: httpx.Response) -> ServiceError:
    """The refusal an answer holds; `http-502` and the like for one that is not the service's."""
    return problem_in(answer.status_code, answer.content, answer.reason_phrase)


def unreachable(error: httpx.HTTPError) -> UnreachableError:
    """No answer: whether the service did what was asked is not known."""
    return UnreachableError("unreachable", f"The service did not answer: {type(error).__name__}.")


def _direct(address: str, told: dict[str, Any]) -> dict[int, str]:
    """The address of each worker."""
    host = httpx.URL(address)
    return {int(row["shard"]): str(host.copy_with(port=row["port"])).rstrip("/") for row in told["shards"]}
