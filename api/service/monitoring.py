"""The monitor: it notices by itself that a holding breaks a rule, and that it no longer does, and records both once.

In: every event the desk takes. Out: records of the kinds `breach-begun` and `breach-ended`, what is broken now by
account, and how far behind it is. Guaranteed: an account counts as looked at only when no change that could alter a
finding came after its look; only records change what is open (`open_breaches.py`), so a restart begins none anew; looks
happen in a thread on copies, in short spells (`pacing.py`), accounts that events touched first; a monitor that fails or
is behind says so and calls nobody sound. Refused: nothing. With several workers each watches the accounts it owns.
The desk's time moves only with records, so where nothing else is recorded a `monitor-round` is, once a minute: it also
says afterwards that somebody looked. Before: `following.py`, `looking.py`, `noticing.py`. After: `service.py`,
`routes_breaches.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog

from lexorder.api.service.due import Due, Dues
from lexorder.api.service.floor import Floor
from lexorder.api.service.following import Following
from lexorder.api.service.journal import Journal
from lexorder.api.service.looking import Found, Job, Seen, common_view, look, view_of
from lexorder.api.service.noticing import MONITOR, Step, ended, steps
from lexorder.api.service.open_breaches import BEGUN, ENDED
from lexorder.api.service.pacing import Pace, short_turns
from lexorder.api.service.problems import Problem
from lexorder.api.service.watched import Watched
from lexorder.engine.ledger.record import Record
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule

ROUND = "monitor-round"
"""Kind of the record that says that everything was looked at."""

ROUND_S = 60.0
"""How often rules that the time alone may change are looked at, and a `monitor-round` is recorded."""

AT_ONCE, AT_ONCE_S = 8, 0.25
"""Accounts looked at between two turns of the loop, and for how long at most; at least one."""

TOGETHER_S, POLL_S, RETRY_S, FAILED_S = 0.02, 0.5, 1.0, 5.0
"""Time for events to come together; between looks for a new desk; after a failure; after a failed look."""

RECORDS = 100
"""Breaches recorded in one go."""

TIMED = sys.maxsize
"""The number of no event: what is due because of it is not behind anything but the clock."""

log = structlog.get_logger("lexorder.monitor")


class Served(Protocol):
    """What the monitor needs of the service it watches for."""

    floor: Floor
    journal: Journal
    standing: bool
    vocabulary: Vocabulary

    async def step(self, kind: str, ref: str, account: str, body: Mapping[str, Any]) -> Record:
        """Take a step over and record it."""
        ...


class Monitor:
    """Watches the floor of one service; everything but the looks themselves happens in its event loop.

    `found` is what was broken or undecided at the last look of each account, `looked` the desk's time then; `failed`
    are the accounts of which the look failed, with the code and when to try again.
    """

    def __init__(self, service: Served, owns: Callable[[str], bool] = lambda _account: True) -> None:
        self.service = service
        self.owns = owns
        self.found: dict[str, Found] = {}
        self.looked: dict[str, datetime] = {}
        self.failed: dict[str, tuple[str, float]] = {}
        self.problem = ""
        self.begun = self.ended = self.looks = 0
        self.task: asyncio.Task[None] | None = None
        self._stirred, self._turned = asyncio.Event(), asyncio.Event()
        self._follows = Following(owns, self._stirred.set)
        self._halt = threading.Event()
        self._looking: dict[str, Due] = {}
        self._wanted: dict[str, None] = {}
        self._again = time.monotonic() + ROUND_S

    # ---- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """From within the event loop, with the floor as the ledger made it."""
        self.task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        self._halt.set()
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    def stir(self) -> None:
        """Something other than an event may have changed: rules, limits, the desk itself."""
        self._stirred.set()

    def _attach(self) -> None:
        """Follow the desk there is now; what was seen of another one is forgotten."""
        desk = self.service.floor.desk
        if desk is not None and self._follows.follow(desk):
            for kept in (self.found, self.looked, self.failed, self._looking):
                kept.clear()
            self._again = time.monotonic() + ROUND_S

    # ---- what it knows ---------------------------------------------------------------------------

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules that are watched, by id."""
        known = self._follows.known
        return {} if known is None else {watch.rule.id: watch.rule for watch in known.watches}

    @property
    def told(self) -> int:
        """The number of the newest event; to be asked `behind` about."""
        self._attach()
        return self._follows.told

    def behind(self, accounts: Iterable[str], number: int) -> list[str]:
        """Those of these accounts that were not looked at since event `number`, or whose look failed."""
        if not self._follows.reached(number):
            return list(accounts)
        return [a for a in accounts if not self._current(a, number)]

    def _current(self, account: str, number: int) -> bool:
        dues = self._follows.dues
        if account not in self.looked or account in self.failed or dues is None:
            return False
        waiting = (dues.touched.get(account), dues.waiting.get(account), self._looking.get(account))
        return all(each is None or each.since > number for each in waiting)

    async def catch_up(self, accounts: Sequence[str], number: int, seconds: float) -> list[str]:
        """Look at these accounts first, for at most some seconds; those still behind event `number`."""
        end = time.monotonic() + seconds
        while left := self.behind(accounts, number):
            remaining = end - time.monotonic()
            if remaining <= 0 or not self._running:
                break
            self._wanted.update(dict.fromkeys(left))
            self._turned.clear()
            self._stirred.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await self._turned.wait()
        for account in accounts:
            self._wanted.pop(account, None)
        return left

    def status(self) -> dict[str, Any]:
        """For probes and figures: `watching`, `behind`, `failed` or `starting`, why, counts, seconds behind."""
        number = self.told
        desk = self._follows.desk
        mine = [] if desk is None else [a for a in desk.accounts if self.owns(a)]
        late = self.behind(mine, number) if mine else []
        state = "starting" if desk is None else "behind" if late else "watching"
        if self.problem or self.failed or not self._running:
            state = "failed"
        return {
            "state": state,
            "reason": self.problem or next((code for code, _ in self.failed.values()), ""),
            "accounts": len(mine),
            "behind": len(late),
            "lag_s": round(self._lag(), 3),
            "open": len(self.service.floor.breaches),
        }

    @property
    def _running(self) -> bool:
        return self.task is not None and not self.task.done()

    def _lag(self) -> float:
        """Seconds since the oldest change that was not looked at."""
        dues, since = self._follows.dues, self._follows.waiting_since
        times = [] if since is None else [since]
        if dues is not None:
            waiting = (*dues.touched.values(), *dues.waiting.values(), *self._looking.values())
            times += [due.at for due in waiting if due.since != TIMED]
        return time.monotonic() - min(times) if times else 0.0

    # ---- rounds ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                worked = await self._round()
                self.problem = ""
            except Problem as problem:  # the ledger is down: it rebuilds the floor when it is back
                self.problem, worked = problem.code, False
            except Exception:  # whatever it is, nobody is called sound, and the next round may be better
                log.exception("monitor-failed")
                self.problem, worked = "monitor-failed", False
                await asyncio.sleep(RETRY_S)
            self._turned.set()
            if not worked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._stirred.wait()
            self._stirred.clear()
            await asyncio.sleep(0 if worked and self._wanted else TOGETHER_S)

    async def _round(self) -> bool:
        """Look at some accounts; whether there may be more to do."""
        service, follows = self.service, self._follows
        if not service.standing or service.journal.down or service.floor.desk is None:
            return False
        self._attach()
        await self._end_orphans()
        await follows.sort()
        dues, known = follows.dues, follows.known
        if dues is None or known is None:
            return False
        accounts = self._next(dues)
        if not accounts:
            return await self._time_passes(dues, known)
        await self._look_at(accounts, dues, known)
        return True

    async def _look_at(self, accounts: Sequence[str], dues: Dues, known: Watched) -> None:
        """Look at accounts, and record what began and ended."""
        live = dues.live
        moment = live.snapshot.time
        jobs = self._jobs(accounts, dues, known)
        try:
            seen = await asyncio.to_thread(self._look, jobs, known)
        except BaseException:
            self._return(dues, jobs)
            raise
        self._attach()
        if self._follows.dues is not dues:
            return  # of another desk everything is due
        if self._follows.known is not known:
            self._return(dues, jobs)
            return
        noticed = [
            step for job, what in zip(jobs, seen, strict=True) for step in self._settled(dues, job, what, moment)
        ]
        await self._record(noticed)
        for job in jobs:  # not before: who counts as looked at is recorded too
            self._looking.pop(job.account, None)

    def _next(self, dues: Dues) -> list[str]:
        """Whom to look at: those somebody waits for, then those events touched, then those that wait."""
        found: dict[str, None] = {}
        now = time.monotonic()
        for account in (*self._wanted, *dues.touched, *dues.waiting):
            again = self.failed.get(account, ("", 0.0))[1]
            if account not in found and again <= now and dues.of(account) is not None:
                found[account] = None
                if len(found) == AT_ONCE:
                    break
        return list(found)

    def _jobs(self, accounts: Sequence[str], dues: Dues, known: Watched) -> list[Job]:
        live = dues.live
        common, jobs = common_view(live), []
        for account in accounts:
            due = dues.take(account)
            if due is not None:
                self._looking[account] = due
                watches = known.covering(account, live.accounts.get(account, {}))
                view = view_of(live, common, account)
                jobs.append(Job(account, view, due, watches, self.found.get(account, {})))
        return jobs

    def _look(self, jobs: Sequence[Job], known: Watched) -> list[Seen | Exception | None]:
        """In a thread: what is seen of each account; an error where the look failed, None where there was no time."""
        found: list[Seen | Exception | None] = []
        pace, end = Pace(self._halt), time.monotonic() + AT_ONCE_S
        with short_turns():
            for job in jobs:
                if found and time.monotonic() > end:
                    found.append(None)
                    continue
                try:
                    found.append(look(job, known, self.service.vocabulary, pace.step_aside))
                except InterruptedError:
                    found.append(None)
                except Exception as error:  # one account that cannot be looked at must not hide the others
                    found.append(error)
        return found

    def _settled(self, dues: Dues, job: Job, seen: Seen | Exception | None, moment: datetime) -> Iterable[Step]:
        """Keep what was seen; what it begins and ends."""
        if not isinstance(seen, Seen):
            self._return(dues, [job])
            if seen is not None:
                self.failed[job.account] = ("look-failed", time.monotonic() + FAILED_S)
                log.error("look-failed", kind=type(seen).__name__)
            return ()
        self.failed.pop(job.account, None)
        dues.depends(job.account, seen.read, everything=seen.all_read)
        self.found[job.account], self.looked[job.account] = seen.found, moment
        self.looks += 1
        known = self.service.floor.breaches.of.get(job.account, {})
        rules = {watch.rule.id: watch.rule for watch in job.watches}
        return list(steps(job.account, rules, seen.found, known, job.due.changes))

    def _return(self, dues: Dues, jobs: Iterable[Job]) -> None:
        """These were not looked at after all."""
        for job in jobs:
            self._looking.pop(job.account, None)
            dues.give_back(job.account, job.due)

    # ---- records ---------------------------------------------------------------------------------

    async def _record(self, noticed: Sequence[Step]) -> None:
        """Record what began and ended. Raises Problem 503, and then the accounts are due again."""
        for start in range(0, len(noticed), RECORDS):
            try:
                await asyncio.gather(*(self._step(*step) for step in noticed[start : start + RECORDS]))
            except BaseException:
                self._looking.clear()
                if self._follows.dues is not None:
                    again = {str(body["account"]) for _, body in noticed[start:]}
                    self._follows.dues.all(0, time.monotonic(), "start", accounts=again)
                raise

    async def _step(self, kind: str, body: Mapping[str, Any]) -> None:
        service = self.service
        whole = {"now": service.floor.advance(), "by": MONITOR, **body}
        await service.step(kind, str(body["rule"]), str(body["account"]), whole)
        if kind == BEGUN:
            self.begun += 1
        else:
            self.ended += 1

    async def _end_orphans(self) -> None:
        """End what nobody here can judge any more: the account is gone, or another worker's."""
        of, there = self.service.floor.breaches.of, self.service.floor.standing.accounts
        gone = [a for a in of if a not in there or not self.owns(a)]
        if gone:
            await self._record([(ENDED, ended(begun, "not watched here")) for a in gone for begun in of[a].values()])

    async def _time_passes(self, dues: Dues, known: Watched) -> bool:
        """Once a minute: say that everything was looked at, and look again at what the time alone may change."""
        if time.monotonic() < self._again or not self.looked:
            return False
        self._again = time.monotonic() + ROUND_S
        service = self.service
        body = {"now": service.floor.advance(), "by": MONITOR, "accounts": len(self.looked)}
        await service.step(ROUND, ROUND, "", {**body, "open": len(service.floor.breaches), "failed": len(self.failed)})
        if any(watch.timed for watch in known.watches):
            dues.all(TIMED, time.monotonic(), "time", timed=True)
        return True
