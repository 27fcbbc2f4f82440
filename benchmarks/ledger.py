"""Records per second and microseconds of the ledger.

`python -m benchmarks.ledger --out benchmarks/results/ledger.json`. Measured on SQLite and PostgreSQL: what `append`
costs its caller (processor time of the calling thread, with the writer held back), records per second appended and
committed with a backlog, and how long one record, or 32 together, take to be durable. Bodies have 300 bytes. A
PostgreSQL server is started on loopback where its programs are installed. Every round starts with an empty ledger; the
median and the best of the rounds are given, since other work on the machine only makes them worse. `disk_sync_us` is
the floor: what the disk itself takes to sync 4 KiB.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from lexorder.engine.ledger.ledger import Ledger, Record
from lexorder.engine.ledger.store import Store
from lexorder.engine.ledger.tree import Node
from tests.ledger.entries import AT, WAIT_S
from tests.ledger.postgres_server import Server, binaries

BODY = os.urandom(150).hex().encode()
BACKLOG = 30_000
LONE = 300
BURST = 32


class HeldBack:
    """A store that writes nothing until the gate is opened."""

    def __init__(self, store: Store) -> None:
        self.gate = threading.Event()
        self._store = store

    def write(self, records: Sequence[Record], nodes: Sequence[Node]) -> None:
        """Wait, then write."""
        self.gate.wait(WAIT_S)
        self._store.write(records, nodes)

    def close(self) -> None:
        """Give everything back."""
        self._store.close()


def append_us(ledger: Ledger, count: int) -> float:
    """Microseconds of processor time that `append` takes from its caller."""
    assert ledger._store is not None
    held = ledger._store = HeldBack(ledger._store)
    append = ledger.append
    refs = [f"R-{i}" for i in range(count)]
    begun = time.thread_time_ns()
    for ref in refs:
        append("decision", ref, "ACC-1", BODY, AT)
    taken = time.thread_time_ns() - begun
    held.gate.set()
    ledger.wait(ledger.size - 1, WAIT_S)
    return taken / count / 1e3


def backlog_per_s(ledger: Ledger, count: int) -> float:
    """Records per second from the first `append` to the last commit, with a callback for each."""
    told = 0

    def done(error: BaseException | None) -> None:
        nonlocal told
        told += error is None

    begun = time.perf_counter()
    for i in range(count):
        ledger.append("decision", f"R-{i}", "ACC-1", BODY, AT, done)
    ledger.wait(ledger.size - 1, WAIT_S)
    taken = time.perf_counter() - begun
    while told < count:
        time.sleep(0.001)
    return count / taken


def burst_ms(ledger: Ledger, size: int, count: int) -> list[float]:
    """Milliseconds until so many records appended together are durable, sorted."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        for i in range(size):
            ledger.append("decision", f"R-{i}", "ACC-1", BODY, AT)
        ledger.wait(ledger.size - 1, WAIT_S)
        times.append((time.perf_counter() - begun) * 1e3)
    return sorted(times)


def measured(address: Callable[[], str], durability: str, rounds: int) -> dict[str, float]:
    """The figures of one setting."""
    costs, rates, lone, burst = [], [], [], []
    for _ in range(rounds):
        ledger = Ledger.open(address(), durability=durability)
        costs.append(append_us(ledger, BACKLOG))
        rates.append(backlog_per_s(ledger, BACKLOG))
        lone += burst_ms(ledger, 1, LONE)
        burst += burst_ms(ledger, BURST, LONE)
        ledger.close()
    lone.sort()
    burst.sort()
    return {
        "append_cpu_us_median": round(median(costs), 2),
        "append_cpu_us_best": round(min(costs), 2),
        "committed_per_s_median": round(median(rates)),
        "committed_per_s_best": round(max(rates)),
        "lone_ms_p50": round(lone[len(lone) // 2], 3),
        "lone_ms_p99": round(lone[len(lone) * 99 // 100], 3),
        f"burst_of_{BURST}_ms_p50": round(burst[len(burst) // 2], 3),
        f"burst_of_{BURST}_ms_p99": round(burst[len(burst) * 99 // 100], 3),
    }


def sync_us(folder: Path) -> float:
    """Microseconds of the disk's own sync after a write of 4 KiB: the floor of every durable commit."""
    times = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(300):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begun) * 1e6)
    return round(median(times), 1)


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        numbers = iter(range(1000))

        def file() -> str:
            return f"sqlite:///{place}/{next(numbers)}.db"

        table["disk_sync_us"] = sync_us(Path(place))
        for durability in ("full", "normal"):
            table[f"sqlite, {durability}"] = measured(file, durability, options.rounds)
    programs = binaries()
    if programs is None:
        print("no PostgreSQL server is installed: not measured")
    else:
        server = Server(programs)
        try:
            server.start()
            table["postgresql, full"] = measured(server.url, "full", options.rounds)
        finally:
            server.remove()
    text = json.dumps(table, indent=2) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
