"""Services that start fast: a process that has imported everything and forks one whenever it is told to.

`Forge()` starts it; `forge.service(environment, log)` is a new process that runs `lexorder serve` as the command line
would, with everything that a start does (settings, ledger, floor, doors) but the imports, which take seconds on a busy
machine. What is forked holds no thread, no socket and no file of the forge.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """A forked service, with those methods of `subprocess.Popen` that tests use. Its number is never another's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)
        self._poll = select.poll()  # `select.select` takes no handle beyond 1023
        self._poll.register(self._handle, select.POLLIN)
        self._gone = False

    def poll(self) -> int | None:
        """None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float) -> int:
        """Until it has ended. Raises `subprocess.TimeoutExpired`."""
        ended = self._ended(timeout)
        if ended is None:
            raise subprocess.TimeoutExpired("a forked service", timeout)
        return ended

    def send_signal(self, number: int) -> None:
        """A signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float) -> int | None:
        if not self._gone and self._poll.poll(1000 * seconds):
            os.close(self._handle)
            self._gone = True
        return 0 if self._gone else None


class Forge:
    """The process that forks; close it at the end. `more` are variables of its environment."""

    def __init__(self, **more: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forking"],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **more},  # a pool of threads would not survive the fork
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def service(self, environment: dict[str, str], log: Path) -> Child:
        """A new service."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"environment": environment, "log": str(log)}) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End it. Services that still run are the caller's to end."""
        self._process.communicate(timeout=60)


def _become(told: dict[str, Any]) -> None:
    """In the child: no other than `lexorder serve`."""
    from lexorder.api.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv = ["lexorder", "serve"]
    main()


def _forge() -> None:
    import lexorder.api.cli
    import lexorder.api.cli_serve
    import lexorder.api.service.serving  # noqa: F401  (imported for the children)
    from lexorder.engine.desk import shipped_vocabulary

    shipped_vocabulary()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who ends is gone at once
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            try:
                _become(json.loads(line))
            except SystemExit:
                pass
            finally:
                sys.stdout.flush()
                os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    _forge()
