"""Signed tree heads on a timer, into the second place.

In: a ledger, a folder, a key file. Out: heads. Guaranteed: a head is signed every few seconds while records come, and
once more at the end; a second place that does not answer, or a ledger that no longer holds what was signed, is logged
and told, and tried again; nothing is stopped by it. Refused by `LedgerError` at the start: a key others can read, heads
of another key. Why the service goes on without: a head is evidence, the decision is durable already; who watches
`problem` decides. Before: `engine/ledger/heads.py`. After: `service.py`, `routes_ledger.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger.heads import Head, HeadLog, signing_key
from lexorder.engine.ledger.reader import Reader
from lexorder.engine.ledger.record import instant

KEY_FILE = "heads.key.pem"

SHORTEST_S = 0.1
"""Heads are not signed more often, whatever the setting says."""

log = structlog.get_logger("lexorder.heads")


class HeadsTask:
    """The timer of one shard. `problem` is the code of why the last head could not be written, empty when it could."""

    def __init__(self, ledger: Reader, data: Path, place: Path, wall: Callable[[], datetime]) -> None:
        self.ledger = ledger
        self.folder = place
        self.wall = wall
        self.problem = ""
        self._key_file = data / KEY_FILE
        self._log: HeadLog | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def last(self) -> Head | None:
        """The newest head."""
        return self._log.last if self._log is not None else None

    async def start(self, every_s: float) -> None:
        """Open key and second place, sign what there is, and go on. Raises LedgerError."""
        self._log = await asyncio.to_thread(self._opened)
        await self.write()
        self._task = asyncio.create_task(self._run(every_s))

    async def stop(self) -> None:
        """The last head, with everything that was recorded."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.write()

    async def write(self) -> None:
        """One head now, when there is something new to sign."""
        try:
            await asyncio.to_thread(self._write)
        except LexorderError as error:
            self.problem = error.code
            log.error("head-not-written", code=error.code)
        except Exception as error:  # the timer outlives whatever this is
            self.problem = "head-failed"
            log.error("head-not-written", code="head-failed", kind=type(error).__name__)
        else:
            self.problem = ""

    async def _run(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(max(every_s, SHORTEST_S))
            await self.write()

    def _opened(self) -> HeadLog:
        return HeadLog(self.folder, self.ledger.shard, signing_key(self._key_file))

    def _write(self) -> None:
        assert self._log is not None
        self._log.write(self.ledger, instant(self.wall()))
