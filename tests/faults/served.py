"""`lexorder serve` as a process of its own, for tests that break it.

`Served(folder)` starts it on a free port with the small rule book of `tests/service/house.py`; `kill`, `stop` and
`start` do what they say, on the same folder and port. `settings` are settings by name, as the environment gives them.
With a `forge` the process is forked from one that has imported everything (see `forking.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.record import Record
from tests.faults.forking import Child, Forge
from tests.ports import free_port
from tests.service.house import RULES
from tests.worlds import order, world

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0
"""How long anything may take on a machine that has much else to do."""

COMMAND = [sys.executable, "-c", "from lexorder.api.cli import main; main()", "serve"]


def until(true: Callable[[], Any], seconds: float = PATIENCE_S, pause: float = 0.05) -> Any:
    """Wait until something is so, and return it; it must become so."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(pause)
    return found


class Served:
    """One service; a context manager that ends it."""

    def __init__(
        self, folder: Path, forge: Forge | None = None, environment: dict[str, str] | None = None, **settings: Any
    ) -> None:
        self.folder = folder
        self.forge = forge
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        rules = folder / "rules"
        rules.mkdir(parents=True, exist_ok=True)
        (rules / "house.yaml").write_text(RULES, encoding="utf-8")
        told = {"data_dir": self.data, "rules": rules, "port": self.port, "rate_per_key": 1_000_000, **settings}
        self.environment = {**os.environ, **{f"LEXORDER_{k.upper()}": str(v) for k, v in told.items()}}
        self.environment.update(environment or {})
        self.process: subprocess.Popen[bytes] | Child | None = None

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    # ---- life ------------------------------------------------------------------------------------

    def begin(self) -> subprocess.Popen[bytes] | Child:
        """Start the process and wait for nothing."""
        if self.forge is not None:
            self.process = self.forge.service(self.environment, self.log)
            return self.process
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(COMMAND, env=self.environment, cwd=ROOT, stdout=sink, stderr=sink)
        return self.process

    def start(self) -> None:
        """Start, until orders are decided."""
        process = self.begin()
        until(lambda: self.ready() or process.poll() is not None)
        assert process.poll() is None, f"the service ended: {self.log.read_text(errors='replace')[-1500:]}"

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.address}/readyz", timeout=PATIENCE_S).status_code == 200
        return False

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self) -> None:
        """As an operator stops it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait(PATIENCE_S)

    # ---- callers ---------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """The key of the first start."""
        return (self.data / "admin.key").read_text("ascii").strip()

    @property
    def headers(self) -> dict[str, str]:
        """What a caller with that key sends."""
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}

    def client(self) -> httpx.Client:
        """A caller with a connection of its own; close it."""
        return httpx.Client(base_url=self.address, headers=self.headers, timeout=PATIENCE_S)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """One request on a new connection."""
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return httpx.request(method, self.address + path, json=body, headers=given, timeout=PATIENCE_S)

    def check(self, **facts: Any) -> httpx.Response:
        """One order."""
        return self.call("POST", "/v1/orders/check", order(**facts))

    def furnish(self, accounts: int = 1) -> None:
        """A snapshot with accounts A0, A1, … of 100,000 each, and A."""
        document = furniture(accounts)
        answer = self.call("POST", "/v1/snapshot", document)
        assert answer.status_code == 200, answer.text

    def working(self) -> dict[str, str]:
        """Quantities of the working orders by id, as the service tells them."""
        answer = self.call("GET", "/v1/working-orders?limit=10000")
        assert answer.status_code == 200, answer.text
        rows = list(rows_of(answer.json()))
        assert len(rows) == answer.json()["count"]  # or some would look lost that are only not told
        return {row["id"]: row["quantity"] for row in rows}

    # ---- the ledger ------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The address of the records of a service with one worker."""
        return self.environment.get("LEXORDER_DATABASE") or f"sqlite:///{self.data / 'ledger.sqlite'}"

    def records(self, start: int = 0, kind: str | None = None) -> list[Record]:
        """What is in the ledger, read beside the service."""
        ledger = Ledger.open(self.url, read_only=True)
        try:
            return list(ledger.read(start, kind=kind))
        finally:
            ledger.close()


def memory_of(pid: int) -> int:
    """What a process holds in memory (RSS), in bytes; from /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, oldest first; from /proc."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rows_of(page: Any) -> Iterator[dict[str, Any]]:
    """The rows of a page of state."""
    yield from (page if isinstance(page, list) else page["items"])


def furniture(accounts: int) -> dict[str, Any]:
    """The snapshot of `furnish`."""
    document = world()
    first = document["accounts"][0]
    document["accounts"] += [{**first, "id": f"A{n}"} for n in range(accounts)]
    return document


def body_of(record: Record) -> dict[str, Any]:
    """The body of a record."""
    found: dict[str, Any] = json.loads(record.body)
    return found
