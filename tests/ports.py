"""Ports for services that tests start: nobody else on this machine gets them meanwhile.

A port that the kernel names and that is given back at once may be anybody's by the time the service listens: every
outgoing connection takes one of the same range, and so does the next test. Each process of a test run therefore locks
a region below that range for as long as it lives, and hands its ports out in turn. A service of several workers takes
the ports after its own too.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST, REGIONS, REGION = 12_000, 80, 250
"""The regions end below 32,768, where Linux begins to name ports by itself."""

BLOCK = 8
"""Ports in a row for one service."""

_locks: list[int] = []


def free_port() -> int:
    """A port nobody listens on, nor on the seven after it."""
    for first in itertools.islice(_blocks, REGION // BLOCK):
        if all(_unused(first + ahead) for ahead in range(BLOCK)):
            return first
    raise AssertionError("all ports of this process are in use")


def _unused(port: int) -> bool:
    with socket.socket() as door:
        try:
            door.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _region() -> int:
    """The first port of a region that no other process holds; the lock ends with this process."""
    folder = Path(tempfile.gettempdir()) / f"lexorder-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in range(REGIONS):
        lock = os.open(folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        _locks.append(lock)
        return FIRST + number * REGION
    raise AssertionError("every region of ports is held by another process")


def _endless() -> Iterator[int]:
    first = _region()
    yield from itertools.cycle(range(first, first + REGION - BLOCK + 1, BLOCK))


_blocks = _endless()
