"""Microseconds the border adds to a request: who calls, may they, is the JSON strict, and the whole guard.

`python -m benchmarks.border [--store]`. The guard is measured around an app that only answers, with the request of an
order check as uvicorn hands it over; the app alone is measured beside it. The fastest of several rounds counts, because
the rest is other programs. Writes results/border.json when told `--store`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import tempfile
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec

from lexorder.api.service.access import Access
from lexorder.api.service.guard import Guard
from lexorder.api.service.keys import KeyStore
from lexorder.api.service.roles import Role
from lexorder.api.service.strict_json import loads
from lexorder.engine.ledger.database import Database

RESULT = Path(__file__).resolve().parent / "results" / "border.json"
CALLS, ROUNDS = 400, 200
PATH = "/v1/orders/check"
ORDER = {
    "id": "order-000001",
    "account": "ACC-0001",
    "symbol": "SYM042",
    "side": "buy",
    "quantity": "100",
    "ord_type": "limit",
    "price": "101.25",
    "time_in_force": "day",
    "trader": "T-07",
    "strategy": "momentum",
}

Message = MutableMapping[str, Any]


def best(call: Callable[[], Any], calls: int = CALLS, rounds: int = ROUNDS) -> float:
    """Microseconds of one call."""
    fastest = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest / calls * 1e6


async def best_request(app: Any, headers: list[tuple[bytes, bytes]], body: bytes) -> float:
    """Microseconds of one request through an ASGI app."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message: Message) -> None:
        pass

    fastest = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CALLS):
            scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers, "scheme": "http"}
            await app(scope, receive, send)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest / CALLS * 1e6


async def answers(_scope: Message, _receive: Any, send: Any) -> None:
    """An app that only answers."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


def pairs(body: bytes) -> Any:
    """Duplicate keys as the standard library finds them."""

    def once(found: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in found}) == len(found)
        return dict(found)

    return json.loads(body, object_pairs_hook=once)


def measured(folder: Path) -> dict[str, float]:
    """All figures."""
    database = Database(f"sqlite:///{folder / 'keys.sqlite'}")
    database.create()
    store = KeyStore(database)
    text, _ = store.create(Role.SENIOR_TRADER, "benchmark")
    access = Access(store)
    access.refresh()
    access.refresh = lambda: None  # type: ignore[method-assign]
    access._trusted_until = float("inf")
    header = f"Bearer {text}".encode()
    who = access.principal(header)
    order = msgspec.json.encode(ORDER)
    batch = msgspec.json.encode([ORDER] * 10_000)
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"authorization", header),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(order)),
    ]
    guard = Guard(answers, access, rate_per_key=1_000_000)
    figures = {
        "known key": best(lambda: access.principal(header)),
        "permission": best(lambda: access.permit(who, "POST", PATH)),
        f"msgspec alone, {len(order)} bytes": best(lambda: msgspec.json.decode(order)),
        f"strict JSON, {len(order)} bytes": best(lambda: loads(order)),
        f"pair by pair, {len(order)} bytes": best(lambda: pairs(order)),
        "app alone": asyncio.run(best_request(answers, headers, order)),
        "app behind the guard": asyncio.run(best_request(guard, headers, order)),
    }
    for name, read in (("msgspec alone", msgspec.json.decode), ("strict JSON", loads)):
        figures[f"{name}, {len(batch):,} bytes"] = best(lambda read=read: read(batch), calls=1, rounds=20)  # type: ignore[misc]
    database.close()
    return figures


def main() -> None:
    """Measure, print, and store if told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", action="store_true")
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder))
    for name, microseconds in figures.items():
        print(f"{name:<34} {microseconds:10,.2f} µs")
    if parser.parse_args().store:
        document = {"machine": platform.machine(), "python": platform.python_version(), "microseconds": figures}
        RESULT.write_text(json.dumps(document, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
