"""Between the event loop and the ledger: nothing is answered before its record is durable.

In: records as the floor writes them. Out: a future that is done when the record is committed; listeners hear of each
record then and not before. Guaranteed: when a commit fails, every waiting answer becomes 503 `ledger-unavailable`, and
nothing is decided until the ledger is back and the floor was rebuilt from what is really in it; what was refused in
between is counted and recorded then. Refused by `Problem` 503: everything while the ledger is down. Why the floor is
rebuilt: it had already taken over steps that nobody will ever find in the ledger. Before: `engine/ledger/`.
After: `orders.py`, the routes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import msgspec
import structlog

from lexorder.api.service.problems import Problem
from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger.record import Record, chained, instant

log = structlog.get_logger("lexorder.journal")

RING_MAX = 16
"""Decisions the ledger's writer is left asleep for while more are about to come: a commit costs as much as many."""

RETRY_S = 0.5
"""How often a ledger that is down is tried again."""

Listener = Callable[[Record], None]
Told = Callable[[Record, Problem | None], None]


class Keeper(Protocol):
    """What the journal needs of a ledger."""

    committed: int
    size: int
    on_batch: Callable[[list[Any], BaseException | None], None]

    def append(  # noqa: PLR0917  as the ledger's own
        self, kind: str, ref: str, account: str, body: bytes, at: str, done: Any = None, ring: bool = True, /
    ) -> Record:
        """Take a record; without `ring` it may wait until somebody rings."""
        ...

    def ring(self) -> None:
        """Begin to write what waits."""
        ...

    def recover(self) -> list[Record]:
        """Go on after a failure."""
        ...


class NoLedger:
    """A ledger that keeps nothing, for measuring what keeping costs. Answers at once, durable never."""

    def __init__(self) -> None:
        self.committed = self.size = 0
        self.on_batch: Callable[[list[Any], BaseException | None], None] = lambda _done, _error: None

    def append(
        self, kind: str, ref: str, account: str, body: bytes, at: str, _done: Any = None, _ring: bool = True, /
    ) -> Record:
        """A record that nobody will find again."""
        self.size = self.committed = self.size + 1
        return chained(self.size - 1, bytes(32), kind, at, ref, account, body)

    def ring(self) -> None:
        """Nothing waits."""

    def recover(self) -> list[Record]:
        """Nothing to do."""
        return []


class Journal:
    """The one way to the ledger. `wall` is the time of records, `rebuild` makes the floor anew after a failure.

    `back` is called when the ledger takes records again, before anybody else can record anything; `failing` with the
    code of a failure when it begins; `taken` with each record. `more` says whether decisions are about to come.
    """

    def __init__(
        self, ledger: Keeper, wall: Callable[[], datetime], rebuild: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.ledger = ledger
        self.wall = wall
        self.rebuild = rebuild
        self.listeners: list[Listener] = []
        self.back: Callable[[], None] = lambda: None
        self.failing: Callable[[str], None] = lambda _code: None
        self.taken: Callable[[], None] = lambda: None
        self.down = ""
        self.refused: Counter[str] = Counter()
        self._immediate = isinstance(ledger, NoLedger)
        self.more: Callable[[], bool] = lambda: False
        self._ringing, self._unrung = False, 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._recovery: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From within the event loop, before the first record."""
        self._loop = asyncio.get_running_loop()
        if not self._immediate:
            self.ledger.on_batch = self._from_writer

    def require(self, what: str) -> None:
        """Nothing while the ledger works. Raises Problem 503 and counts what was refused."""
        if self.down:
            self.refused[what] += 1
            raise unavailable()

    def take(self, kind: str, ref: str, account: str, body: bytes) -> tuple[Record, asyncio.Future[None]]:
        """A record and the future of its being durable. Raises Problem 503."""
        assert self._loop is not None
        durable = self._loop.create_future()
        return self.hand(kind, ref, account, body, partial(_settled, durable)), durable

    def hand(self, kind: str, ref: str, account: str, body: bytes, told: Told) -> Record:
        """A record; `told` is called with it in the event loop when it is durable, or with the refusal when it is lost.

        Without a ledger it is called before this returns. It must not raise. Raises Problem 503.
        """
        if self.down:
            self.require(kind)
        pending = _Pending(self, told)
        try:
            record = self.ledger.append(kind, ref, account, body, instant(self.wall()), pending, False)
        except LexorderError as error:
            self._failed(error)
            raise unavailable() from None
        pending.record = record
        self.taken()
        if self._immediate:
            pending(None)
            return record
        self._unrung += RING_MAX if kind != "decision" else 1  # whatever else it is waits for no orders
        if not self._ringing:
            assert self._loop is not None
            self._ringing = True
            self._loop.call_soon(self._ring)
        return record

    def _ring(self) -> None:
        """At the end of a turn of the loop: one commit for what was decided in it, and in the next while more wait."""
        if self._unrung < RING_MAX and self.more():
            assert self._loop is not None
            self._loop.call_soon(self._ring)
            return
        self._ringing, self._unrung = False, 0
        self.ledger.ring()

    async def write(self, kind: str, ref: str, account: str, body: Any) -> Record:
        """Record something and wait until it is durable. Raises Problem 503."""
        record, durable = self.take(kind, ref, account, msgspec.json.encode(body))
        await durable
        return record

    def tell(self, record: Record) -> None:
        """Let the listeners hear of a durable record."""
        for listener in self.listeners:
            listener(record)

    # ---- failure ---------------------------------------------------------------------------------

    def _from_writer(self, waiting: list[Any], error: BaseException | None) -> None:
        """From the writer's thread: one hop for a whole batch."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._settle, waiting, error)

    def _settle(self, waiting: list[Any], error: BaseException | None) -> None:
        try:
            if error is not None:
                self._failed(error)
        finally:
            for done in waiting:  # whatever goes wrong here: who waits is answered
                done(error)

    def _failed(self, error: BaseException) -> None:
        if self.down:
            return
        self.down = error.code if isinstance(error, LexorderError) else "ledger-unavailable"
        assert self._loop is not None
        self._recovery = self._loop.create_task(self._recover())  # before anything that could fail
        log.error("ledger-down", code=self.down)
        self.failing(self.down)

    async def _recover(self) -> None:
        """Try until the ledger is back, rebuild the floor from it, and record what was refused."""
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                await asyncio.to_thread(self.ledger.recover)
                if self.rebuild is not None:
                    await self.rebuild()
            except Exception as error:  # whatever it is, nothing may be decided without a ledger
                log.warning("ledger-still-down", kind=type(error).__name__)
                continue
            code, self.down = self.down, ""
            try:
                self.back()  # at once: no decision may be recorded before
            except Exception:  # then nobody may go on
                log.exception("ledger-back-failed")
                self.down = code
                continue
            refused, self.refused = dict(self.refused), Counter()
            log.info("ledger-back", refused=sum(refused.values()))
            try:
                await self.write("outage", code, "", {"code": code, "refused": refused})
            except Problem:
                self.refused.update(refused)
            return


class _Pending:
    """A record on its way: called once, in the event loop, in the order of the records."""

    __slots__ = ("journal", "record", "told")

    def __init__(self, journal: Journal, told: Told) -> None:
        self.journal = journal
        self.told = told
        self.record: Record | None = None

    def __call__(self, error: BaseException | None) -> None:
        """It is durable, or it is not."""
        record = self.record
        assert record is not None
        if error is None:
            try:
                self.journal.tell(record)
            except Exception:  # who listens is not who asked
                log.exception("listener-failed")
            self.told(record, None)
        else:
            self.told(record, unavailable())


def _settled(durable: asyncio.Future[None], _record: Record, problem: Problem | None) -> None:
    """Let who waits for the future go on."""
    if durable.done():  # the client has gone: its request was cancelled
        return
    if problem is None:
        durable.set_result(None)
    else:
        durable.set_exception(problem)


def unavailable() -> Problem:
    """The answer while nothing can be recorded."""
    return Problem(503, "ledger-unavailable", "Nothing can be recorded at the moment, so nothing is approved.")
