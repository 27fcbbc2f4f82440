"""Stricter trading states: in force at once, recorded as soon as anything can be recorded.

In: a change to a stricter state, stamped. Out: its record, or None while the ledger is down. Guaranteed: the floor
stops before anything else happens; a floor that is rebuilt stops before it is used; when the ledger is back, what it
does not hold yet is the first thing it gets, so that no decision stands in front of it; what cannot be recorded is kept
in a file, so that it outlives the process. Refused: nothing; whoever stops trading is never told to come back later.
Why milder states do not come this way: they are recorded first or not at all. Before: `journal.py`, `floor.py`.
After: `service.py`, `routes_trading.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from lexorder.api.service.journal import Journal
from lexorder.api.service.problems import Problem
from lexorder.engine.ledger.record import Record

if TYPE_CHECKING:
    from lexorder.api.service.floor import Floor

KIND = "trading-state"
FILE = "unrecorded-halts-{shard}.json"

KEEP_S = 1.0
"""How long an answer waits for the file; a disk that hangs must not keep the caller from knowing that it is halted."""

log = structlog.get_logger("lexorder.halting")

Body = dict[str, Any]


class Halts:
    """What is in force and not durable yet. `floor` gives the present floor; `folder` is where a shard's file goes."""

    def __init__(self, journal: Journal, floor: Callable[[], Floor], folder: Path, shard: int) -> None:
        self.journal = journal
        self.floor = floor
        self.path = folder / FILE.format(shard=shard)
        self.pending: dict[str, Body] = {}
        self._writing = threading.Lock()
        self._tasks: set[asyncio.Task[bool]] = set()

    async def change(self, body: Mapping[str, Any]) -> tuple[Record | None, bool]:
        """Take a stricter state over. Its record when it is durable; whether it outlives this process."""
        token = secrets.token_hex(8)
        marked = {**body, "token": token}
        self.floor().apply(KIND, marked)
        self.pending[token] = marked
        try:
            record, durable = self._record(marked)
            await asyncio.shield(durable)
        except Problem:
            return None, await self.keep()
        return record, True

    def hold(self, floor: Floor) -> None:
        """Let a floor that was rebuilt stop what is not in the ledger yet.

        What the ledger holds may be stricter: then a milder state had been tried in between, and was not recorded.
        """
        for token, body in list(self.pending.items()):
            if floor.states.is_milder(str(body["scope"]), str(body["id"]), str(body["state"])):
                del self.pending[token]
            else:
                floor.states.apply(body)

    def flush(self) -> None:
        """The ledger takes records again: these first. Never waits."""
        floor = self.floor()
        for token, body in list(self.pending.items()):
            told = {**body, "asked_at": body.get("asked_at", body["now"]), "now": floor.advance()}
            floor.apply(KIND, told)
            self.pending[token] = told
            try:
                self._record(told)
            except Problem:  # it is down again: everything stays as it is
                return

    async def start(self, recorded: Callable[[], Awaitable[Iterable[Record]]]) -> None:
        """Stop and record what an earlier process was told to stop and could not record.

        `recorded` gives the trading states in the ledger: a halt may have come into it after all, and been lifted.
        """
        found = await asyncio.to_thread(self._unrecorded)
        if not found:
            return
        known = {msgspec.json.decode(record.body).get("token") for record in await recorded()}
        for token, body in found.items():
            if token not in known:
                log.warning("halt-found", scope=body["scope"], state=body["state"])
                self.pending[token] = body
        self.hold(self.floor())
        self.flush()
        await self.keep()

    # ---- record and file -------------------------------------------------------------------------

    def _record(self, body: Mapping[str, Any]) -> tuple[Record, asyncio.Future[None]]:
        account = str(body["id"]) if body["scope"] == "account" else ""
        ref = f"{body['scope']}:{body['id']}"
        record, durable = self.journal.take(KIND, ref, account, msgspec.json.encode(body))
        durable.add_done_callback(partial(self._settled, str(body["token"])))
        return record, durable

    def _settled(self, token: str, durable: asyncio.Future[None]) -> None:
        """Durable: forget it. Not durable: it stays pending."""
        if durable.cancelled() or durable.exception() is not None:
            return
        self.pending.pop(token, None)
        if not self.pending and self.path.exists():
            task = asyncio.get_running_loop().create_task(self.keep())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def keep(self) -> bool:
        """Write what is pending to the file; whether it worked in time."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.to_thread(self._write), KEEP_S)
        return False

    def _write(self) -> bool:
        with self._writing:
            try:
                if not self.pending:
                    self.path.unlink(missing_ok=True)
                    return True
                partial_ = self.path.with_suffix(".partial")
                with partial_.open("w", encoding="ascii") as file:
                    json.dump(self.pending, file)
                    file.flush()
                    os.fsync(file.fileno())
                partial_.replace(self.path)
            except OSError as error:
                log.error("halt-not-kept", kind=type(error).__name__)
                return False
        return True

    def _unrecorded(self) -> dict[str, Body]:
        """The file's content. A file that cannot be read stops the start: it may hold a halt."""
        if not self.path.exists():
            return {}
        found: dict[str, Body] = json.loads(self.path.read_text("ascii"))
        return found
