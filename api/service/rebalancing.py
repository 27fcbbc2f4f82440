"""Rebalances under way and lately ended: begun, followed, taken back, found again.

In: what is asked, by whom. Out: a `Job`, whose result is a record before anybody reads it. Guaranteed: few at a time;
no orders without a certificate that the stand-alone verifier accepted; one that is cancelled ends without orders, also
when its answer arrives in the same moment, and is recorded as cancelled, by whom; what is recorded as ended is never
cancelled. Refused by `Problem`: 403 `account-not-permitted`, 404 `unknown-account` and `unknown-rebalance`, 409
`feeds-in-doubt` and `already-ended`, 422 as `rebalance_asked.py`, 429 `too-many-rebalances`, 503 when nothing can be
recorded. Before: `rebalance_asked.py`, `rebalance_record.py`. After: `routes_rebalances.py`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from lexorder.api.service.journal import unavailable
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.rebalance_asked import Asked, task_of
from lexorder.api.service.rebalance_record import asked_for, recorded, result_of
from lexorder.api.service.rebalance_worker import Result, Task, cancelled, undecided
from lexorder.api.service.service import Service

KIND = "rebalance"

WAITING_MAX = 8
"""Rebalances that may be under way or wait."""

KEPT = 50
"""Results kept in memory; older ones are read from the ledger."""


@dataclass(slots=True, eq=False)
class Job:
    """One rebalance: where it stands, who took it back if anybody did, its result when it is recorded.

    `given_up` is what its worker looks at; `settled` says that its record is being written, so that nothing changes it.
    """

    id: str
    account: str
    progress: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: threading.Event = field(default_factory=threading.Event)
    cancelled_by: Principal | None = None
    settled: bool = False
    result: Result | None = None

    def shown(self, full: bool) -> dict[str, Any]:
        """Plain data: in full for compliance, else as everyone may read it."""
        found: dict[str, Any] = {"id": self.id, "account": self.account, "progress": list(self.progress)}
        if self.result is None:
            return {**found, "status": "running"}
        told = self.result if full else self.result.shown
        return {**found, "status": told.status, "verdict": told.verdict, "outcome": told.document}

    def tell(self, words: str) -> None:
        """One step further."""
        self.progress.append(words)
        self.changed.set()

    def end(self, result: Result) -> None:
        """It has its result."""
        self.result = result
        self.changed.set()

    async def ended(self) -> Result:
        """The result, when there is one."""
        while self.result is None:
            self.changed.clear()
            await self.changed.wait()
        return self.result


class Rebalances:
    """Running and recent rebalances of one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        # Of their own: while they wait for the solver nobody else must wait for a thread, least of all who cancels.
        self._threads = ThreadPoolExecutor(WAITING_MAX, "rebalance")

    def begin(self, asked: Asked, who: Principal) -> tuple[Job, bool]:
        """Start a rebalance; with whether it is small. Raises Problem."""
        service = self.service
        service.ready()
        service.access.permit_account(who, asked.account)
        if sum(1 for job in self.jobs.values() if job.result is None) >= WAITING_MAX:
            raise Problem(429, "too-many-rebalances", "Too many rebalances are under way.")
        desk = service.floor.standing
        if asked.account not in desk.accounts:
            raise Problem(404, "unknown-account", "The account is not known here.")
        doubts = service.floor.doubts
        if doubts:
            raise Problem(409, "feeds-in-doubt", "Some feeds cannot be relied on: " + "; ".join(doubts.values()))
        task = task_of(asked, desk.book, desk.snapshot)
        job = self._kept(Job(f"r-{secrets.token_hex(8)}", asked.account))
        running = asyncio.create_task(self._run(job, task, who))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return job, len(task.snapshot.instruments) <= service.settings.rebalance_sync_names

    async def cancel(self, identifier: str, who: Principal) -> Job:
        """Take a rebalance back; returns when that is recorded. Twice is once. Raises Problem."""
        job = await self.find(identifier, who)
        if job.result is None and not job.settled and job.cancelled_by is None:
            job.cancelled_by = who
            await asyncio.to_thread(self.service.rebalancer.give_up, job.given_up)
        result = await job.ended()
        if result.status == "cancelled":
            return job
        if job.cancelled_by is not None:  # it ended without orders, but nobody will find out why
            raise unavailable()
        raise Problem(409, "already-ended", "The rebalance has ended already; its orders are proposals only.")

    async def find(self, identifier: str, who: Principal) -> Job:
        """A rebalance by id, from memory or the ledger. Raises Problem 404."""
        job = self.jobs.get(identifier)
        if job is None:
            for record in await self.service.recorded(ref=identifier, kind=KIND):
                body = msgspec.json.decode(record.body)
                job = Job(body["id"], body["account"], result=result_of(body))
        if job is None or not self.service.access.may_see(who, job.account):
            raise Problem(404, "unknown-rebalance", "No such rebalance.")
        return job

    def _kept(self, job: Job) -> Job:
        """The job, remembered in place of the oldest that has ended."""
        self.jobs[job.id] = job
        while len(self.jobs) > KEPT:
            oldest = next((k for k, j in self.jobs.items() if j.result is not None), None)
            if oldest is None:
                break
            del self.jobs[oldest]
        return job

    async def _run(self, job: Job, task: Task, who: Principal) -> None:
        metrics, loop = self.service.metrics, asyncio.get_running_loop()
        started = loop.time()
        metrics.rebalances_running += 1
        try:
            result = await self._solved(job, task)
        finally:
            metrics.rebalances_running -= 1
        ended = await self._recorded(job, result, task, who)
        metrics.rebalance(ended.status, loop.time() - started)
        job.end(ended)

    async def _solved(self, job: Job, task: Task) -> Result:
        service, loop = self.service, asyncio.get_running_loop()

        def progress(words: str) -> None:
            loop.call_soon_threadsafe(job.tell, words)

        with service.traces.rebalance(job.id) as ended:
            limit = service.settings.rebalance_timeout_s
            run = partial(service.rebalancer.run, task, limit, progress, job.given_up)
            found = await loop.run_in_executor(self._threads, run)
            # Whatever the worker still said: who cancelled was promised that there are no orders.
            result = found if job.cancelled_by is None else cancelled()
            ended.word = result.status
        return result

    async def _recorded(self, job: Job, result: Result, task: Task, who: Principal) -> Result:
        """The result, once it is durable; from the first line on it is too late to cancel."""
        job.settled = True
        by = job.cancelled_by
        body = self.service.stamp(
            by or who,
            id=job.id,
            account=job.account,
            rulebook_hash=task.book.hash,
            snapshot_hash=task.snapshot.hash,
            asked=asked_for(task),
            **recorded(result),
            **({} if by is None else {"asked_by": who.id}),
        )
        try:
            await self.service.step(KIND, job.id, job.account, body)
        except Problem:
            return undecided("ledger-unavailable", "The result could not be recorded; nothing may be traded.")
        return result
