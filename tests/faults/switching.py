"""The kill switch under load: callers that check orders without a pause, and one who stops and resumes trading.

`measure(address, key, ...)` is used by the test and by `benchmarks/kill_switch.py`. Each caller notes when it sent a
request (the clock all share is the machine's monotonic one), what came back and when. An approval whose request was
sent after the kill was answered, and which came before anybody asked to resume, must not be. (One that came later may
have been decided after trading was resumed: of those the order of the records tells, see `approved_in_a_halt`.)
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lexorder.engine.ledger.record import Record

PATIENCE_S = 120


@dataclass
class Seen:
    """When approvals were asked for and came (nanoseconds), how many answers came, and what came that never may."""

    approvals: list[tuple[int, int]] = field(default_factory=list)
    refused: int = 0
    other: list[str] = field(default_factory=list)


@dataclass
class Switched:
    """One kill: when it was asked for and answered, and when trading was asked to be resumed; nanoseconds."""

    asked: int
    answered: int
    resumed: int = 0

    def wrong(self, approvals: list[tuple[int, int]]) -> int:
        """Approvals that were asked for and came while trading was surely off."""
        return sum(self.answered < sent and came < self.resumed for sent, came in approvals)

    @property
    def ms(self) -> float:
        """How long the kill took, seen by who called it."""
        return (self.answered - self.asked) / 1e6


class Caller:
    """A connection with a key."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self.headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        self.connection.request("POST", path, json.dumps(body), self.headers)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read())

    def close(self) -> None:
        """End the connection."""
        self.connection.close()


def ask(caller: Caller, order: dict[str, Any], seen: Seen, ended: threading.Event) -> None:
    """One order over and over."""
    while not ended.is_set():
        sent = time.monotonic_ns()
        status, answer = caller.post("/v1/orders/check?reserve=false", order)
        if status == 200 and answer["outcome"] == "approve":
            seen.approvals.append((sent, time.monotonic_ns()))
        elif status == 200:
            seen.refused += 1
        else:
            seen.other.append(f"{status} {answer.get('code')}")
    caller.close()


def switch(caller: Caller, cycles: int, pause_s: float) -> list[Switched]:
    """Stop and resume trading so many times; each state stays for the pause."""
    found = []
    for _ in range(cycles):
        time.sleep(pause_s)
        asked = time.monotonic_ns()
        status, told = caller.post("/v1/kill", {})
        done = Switched(asked, time.monotonic_ns())
        assert (status, told["state"]) == (200, "HALTED"), told
        time.sleep(pause_s)
        done.resumed = time.monotonic_ns()
        status, told = caller.post("/v1/trading-state", {"scope": "firm", "state": "ACTIVE", "reason": "on"})
        assert status == 200, told
        found.append(done)
    return found


def approved_in_a_halt(records: Iterable[Record]) -> tuple[int, int]:
    """In the order of the records: approvals between HALTED and ACTIVE, and decisions there at all."""
    halted, approved, decided = False, 0, 0
    for record in records:
        if record.kind == "trading-state":
            halted = json.loads(record.body)["state"] == "HALTED"
        elif record.kind == "decision" and halted:
            decided += 1
            approved += json.loads(record.body)["decision"]["outcome"] == "approve"
    return approved, decided


def measure(
    port: int, key: str, orders: list[dict[str, Any]], cycles: int, pause_s: float
) -> tuple[list[Switched], list[Seen]]:
    """As many callers as orders, and the switch beside them."""
    ended, seen = threading.Event(), [Seen() for _ in orders]
    threads = [
        threading.Thread(target=ask, args=(Caller(port, key), order, mine, ended))
        for order, mine in zip(orders, seen, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        with contextlib.closing(Caller(port, key)) as caller:
            switched = switch(caller, cycles, pause_s)
    finally:
        ended.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    return switched, seen
