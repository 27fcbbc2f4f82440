"""Clients that send and read as slowly as they may: others are answered. `python -m tests.faults.test_slow_clients`
compares the latencies of 500 and of none in one run and stores them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.served import PATIENCE_S, Served
from tests.worlds import order

RESULT = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "slow-clients.json"
CALLS = 1000


def opening(kind: int, key: str) -> bytes:
    """What a slow client sends at once: half of the headers, half of a body, or what asks for a long answer."""
    head = f"host: x\r\nauthorization: Bearer {key}\r\n"
    if kind == 0:
        return f"POST /v1/orders/check HTTP/1.1\r\n{head}".encode()
    if kind == 1:
        return f"POST /v1/orders/check HTTP/1.1\r\n{head}content-length: 1000\r\n\r\n{{".encode()
    return f"GET /openapi.json HTTP/1.1\r\n{head}\r\n".encode() * 2


@contextlib.contextmanager
def slow_clients(service: Served, count: int) -> Iterator[list[int]]:
    """So many, a third of each kind, sending a byte a second and coming back when they are thrown out."""
    ended, opened = threading.Event(), [0]

    def drip() -> None:
        wires: dict[int, socket.socket] = {}
        while not ended.is_set():
            for number in range(count):
                try:
                    if number not in wires:
                        wires[number] = socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S)
                        wires[number].sendall(opening(number % 3, service.key))
                        opened[0] += 1
                    elif number % 3 < 2:
                        wires[number].sendall(b"x")
                except OSError:
                    wires.pop(number).close() if number in wires else None
            ended.wait(1)
        for wire in wires.values():
            wire.close()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield opened
    finally:
        ended.set()
        thread.join(PATIENCE_S)


def normal(service: Served, calls: int) -> list[float]:
    """Milliseconds of so many checks, one after the other; each must be answered."""
    body, taken = json.dumps(order(id="N", trader="T")), []
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        for _ in range(calls):
            began = time.perf_counter_ns()
            connection.request("POST", "/v1/orders/check?reserve=false", body, service.headers)
            response = connection.getresponse()
            text = response.read()
            taken.append((time.perf_counter_ns() - began) / 1e6)
            assert response.status == 200, text
    return sorted(taken)


def test_others_are_answered_beside_slow_clients(tmp_path, forge):
    with Served(tmp_path, forge, connections_per_client=200) as service:
        service.furnish()
        with slow_clients(service, 50) as opened:
            while opened[0] < 50:
                time.sleep(0.05)
            assert len(normal(service, 30)) == 30
        assert service.check(id="after", trader="T").status_code == 200


def figures(taken: list[float]) -> dict[str, float]:
    return {"p50_ms": round(taken[len(taken) // 2], 3), "p99_ms": round(taken[len(taken) * 99 // 100], 3)}


def main() -> int:
    """Measure and store."""
    with tempfile.TemporaryDirectory() as folder, Served(Path(folder), connections_per_client=2000) as service:
        service.furnish()
        normal(service, 200)
        found: dict[str, Any] = {"calls": CALLS, "without": figures(normal(service, CALLS))}
        with slow_clients(service, 500) as opened:
            while opened[0] < 500:
                time.sleep(0.05)
            found["slow_clients"] = 500
            found["beside"] = figures(normal(service, CALLS))
            found["connections_opened"] = opened[0]
    text = json.dumps({"command": "python -m tests.faults.test_slow_clients", **found}, indent=1)
    print(text)
    RESULT.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
