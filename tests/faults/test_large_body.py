"""A body of 100 MB costs the service no memory: `python -m tests.faults.test_large_body` stores what it took."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.served import PATIENCE_S, Served, memory_of

RESULT = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "large-body.json"
SIZE = 100_000_000
PIECE = b"[" + b"1," * 32_000
LIMIT_MB = 10


class Watch(threading.Thread):
    """The most memory a process had (RSS, bytes) while this ran."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.before = self.peak = memory_of(self._pid)

    def run(self) -> None:
        while not self._ended.wait(0.002):
            self.peak = max(self.peak, memory_of(self._pid))

    def end(self) -> float:
        """Megabytes above where it began."""
        self._ended.set()
        self.join()
        return round((self.peak - self.before) / 1e6, 2)


def send(service: Served, path: str, *, chunked: bool) -> tuple[int, int]:
    """As much of the body as the service takes: status of the answer, bytes that were sent."""
    length = "transfer-encoding: chunked" if chunked else f"content-length: {SIZE}"
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {service.key}\r\n"
    head += f"content-type: application/json\r\n{length}\r\n\r\n"
    piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S) as wire:
        wire.sendall(head.encode())
        with contextlib.suppress(OSError):  # the service ends the connection when it has had enough
            while sent < SIZE:
                wire.sendall(piece)
                sent += len(PIECE)
        with contextlib.suppress(OSError):
            answer = wire.recv(65536)
    return (int(answer.split(b" ")[1]) if answer else 0), sent


def measured(service: Served) -> list[dict[str, Any]]:
    """Each way to send it: to a route of small bodies, to the largest one, with a length and without."""
    assert service.process is not None
    found = []
    for path in ("/v1/orders/check", "/v1/limits", "/v1/snapshot"):
        for chunked in (False, True):
            watch = Watch(service.process.pid)
            watch.start()
            status, sent = send(service, path, chunked=chunked)
            time.sleep(0.2)
            added = watch.end()
            found.append({"path": path, "chunked": chunked, "status": status, "bytes_sent": sent, "added_mb": added})
    return found


@pytest.mark.parametrize("path", ["/v1/orders/check", "/v1/limits"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused_and_takes_no_memory(served, path, chunked):
    assert served.check(id="first", trader="T").status_code == 200  # what a first request loads is loaded
    watch = Watch(served.process.pid)
    watch.start()
    status, _ = send(served, path, chunked=chunked)
    assert watch.end() < LIMIT_MB
    assert status in (0, 408, 413)  # 0: the connection was reset before the answer could be read
    assert served.check(id="next", trader="T").status_code == 200


def test_the_stored_run_took_little():
    stored = json.loads(RESULT.read_text())["bodies"]
    assert len(stored) == 6
    for row in stored:
        assert row["status"] in ((400, 408) if row["path"] == "/v1/snapshot" else (0, 413))
        if row["path"] != "/v1/snapshot":
            assert row["added_mb"] < LIMIT_MB


def main() -> int:
    """Measure and store."""
    with tempfile.TemporaryDirectory() as folder, Served(Path(folder)) as service:
        service.furnish()
        assert service.check(id="first", trader="T").status_code == 200
        found = measured(service)
    text = json.dumps({"command": "python -m tests.faults.test_large_body", "size": SIZE, "bodies": found}, indent=1)
    print(text)
    RESULT.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
