"""`/v1/rebalances` and `/v1/certificates/verify`.

In: an account and aims; the signals, holdings and rules are those the service has. Out: orders with their certificate
and report, or the smallest set of rules that makes it impossible; each result is a record. Guaranteed: no order appears
without a certificate that the stand-alone verifier accepted; small requests are answered at once, others with 202 and a
place where progress is told as server-sent events. Refused by `Problem`: an unknown account, more than a few requests
at a time. Before: `rebalance_worker.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from lexorder.api.proof import verifier
from lexorder.api.service.access import require
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.rebalance_worker import Result, Task
from lexorder.api.service.service import Service
from lexorder.engine.errors import SolverError
from lexorder.engine.snapshot import Snapshot

WAITING_MAX = 8
"""Rebalances that may be under way or wait."""

KEPT = 50
"""Results kept in memory; older ones are read from the ledger."""

HEARTBEAT_S = 5.0

NUMBER = r"^\d{1,9}(\.\d{1,12})?$"
SIGNED = re.compile(r"-?\d{1,6}(\.\d{1,18})?")


class Aims(BaseModel):
    """What is optimised; see the documentation of `lexorder rebalance`."""

    model_config = ConfigDict(extra="forbid")

    aversion: Annotated[str | None, Field(pattern=NUMBER)] = None
    periods: Annotated[str | None, Field(pattern=NUMBER)] = None
    cost: Annotated[str | None, Field(pattern=NUMBER)] = None


class Returns(BaseModel):
    """Past returns: a column for each symbol, a row for each period, as decimal text."""

    model_config = ConfigDict(extra="forbid")

    symbols: Annotated[list[str], Field(max_length=3000)]
    rows: Annotated[list[list[str]], Field(min_length=2, max_length=2000)]


class Asked(BaseModel):
    """One rebalance. `symbols` adds names to those held, worked on or signalled."""

    model_config = ConfigDict(extra="forbid")

    account: Annotated[str, Field(min_length=1, max_length=128)]
    trader: Annotated[str, Field(min_length=1, max_length=128)]
    aims: Aims = Aims()
    returns: Returns | None = None
    symbols: Annotated[list[str], Field(max_length=3000)] = []
    strict: bool = False
    wait: bool | None = None


class Certificate(BaseModel):
    """A certificate as text, exactly as it was given out."""

    certificate: Annotated[str, Field(max_length=64 * 1024 * 1024)]


@dataclass(slots=True)
class Job:
    """One rebalance: where it stands, who may see it, its result when there is one."""

    id: str
    account: str
    progress: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    result: Result | None = None

    def shown(self) -> dict[str, Any]:
        """Plain data."""
        found: dict[str, Any] = {"id": self.id, "account": self.account, "progress": list(self.progress)}
        if self.result is None:
            return {**found, "status": "running"}
        return {**found, "status": self.result.status, "verdict": self.result.verdict, "outcome": self.result.document}


class _Kept(msgspec.Struct):
    """A recorded rebalance."""

    id: str
    account: str
    status: str
    outcome: dict[str, Any]
    certificate: str = ""
    report: str = ""
    verdict: str = ""


class Rebalances:
    """Running and recent rebalances of one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

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
        seen = narrowed(desk.snapshot, asked)
        job = Job(f"r-{secrets.token_hex(8)}", asked.account)
        self.jobs[job.id] = job
        while len(self.jobs) > KEPT:
            oldest = next((k for k, j in self.jobs.items() if j.result is not None), None)
            if oldest is None:
                break
            del self.jobs[oldest]
        task = Task(
            desk.book,
            seen,
            asked.account,
            asked.trader,
            {k: float(v) for k, v in asked.aims.model_dump(exclude_none=True).items()},
            _columns(asked.returns),
            asked.strict,
        )
        running = asyncio.create_task(self._run(job, task, who))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return job, len(seen.instruments) <= service.settings.rebalance_sync_names

    async def _run(self, job: Job, task: Task, who: Principal) -> None:
        service, loop = self.service, asyncio.get_running_loop()

        def progress(words: str) -> None:
            loop.call_soon_threadsafe(_tell, job, words)

        started = loop.time()
        service.metrics.rebalances_running += 1
        try:
            with service.traces.rebalance(job.id) as ended:
                limit = service.settings.rebalance_timeout_s
                result = await asyncio.to_thread(service.rebalancer.run, task, limit, progress)
                ended.word = result.status
        finally:
            service.metrics.rebalances_running -= 1
        body = service.stamp(
            who,
            id=job.id,
            account=job.account,
            status=result.status,
            rulebook_hash=task.book.hash,
            snapshot_hash=task.snapshot.hash,
            outcome=result.document,
            certificate=result.certificate,
            report=result.report,
            verdict=result.verdict,
        )
        try:
            await service.step("rebalance", job.id, job.account, body)
            job.result = result
        except Problem:
            words = "The result could not be recorded; nothing may be traded."
            job.result = Result("undecided", {"code": "ledger-unavailable", "message": words})
        service.metrics.rebalance(job.result.status, loop.time() - started)
        job.changed.set()

    async def find(self, identifier: str, who: Principal) -> Job:
        """A rebalance by id, from memory or the ledger. Raises Problem 404."""
        job = self.jobs.get(identifier)
        if job is None:
            for record in await self.service.recorded(ref=identifier, kind="rebalance"):
                kept = msgspec.json.decode(record.body, type=_Kept)
                result = Result(kept.status, kept.outcome, kept.certificate, kept.report, kept.verdict)
                job = Job(kept.id, kept.account, result=result)
        if job is None or not self.service.access.may_see(who, job.account):
            raise Problem(404, "unknown-rebalance", "No such rebalance.")
        return job


def _tell(job: Job, words: str) -> None:
    job.progress.append(words)
    job.changed.set()


def _columns(returns: Returns | None) -> tuple[list[str], list[list[str]]] | None:
    """The table, checked. Raises Problem 422."""
    if returns is None:
        return None
    width = len(returns.symbols)
    if any(len(row) != width or not all(SIGNED.fullmatch(cell) for cell in row) for row in returns.rows):
        raise Problem(422, "bad-returns", "`rows` are decimal texts, one for each of `symbols`.")
    return returns.symbols, returns.rows


def narrowed(snapshot: Snapshot, asked: Asked) -> Snapshot:
    """The facts one account's rebalance is about: its holdings, working orders, signals, and their instruments."""
    account = asked.account
    held = snapshot.positions.get(account, {})
    working = tuple(w for w in snapshot.working_orders if w["working_order.account"] == account)
    signals = tuple(s for s in snapshot.signals if s.get("signal.account", "NONE") in (account, "NONE"))
    names = {*held, *asked.symbols, *(str(w["working_order.symbol"]) for w in working)}
    names |= {str(s["signal.symbol"]) for s in signals}
    return replace(
        snapshot,
        accounts={account: snapshot.accounts[account]},
        positions={account: held},
        working_orders=working,
        signals=signals,
        instruments={s: facts for s, facts in snapshot.instruments.items() if s in names},
        fills=tuple(f for f in snapshot.fills if f["fill.account"] == account),
    )


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["rebalances"])
    rebalances = Rebalances(service)

    @routes.post("/rebalances")
    async def post(
        asked: Asked, response: Response, who: Annotated[Principal, Depends(require("/v1/rebalances"))]
    ) -> dict[str, Any]:
        """Turn signals and holdings into orders that keep the rules, or learn which rules exclude each other."""
        job, small = rebalances.begin(asked, who)
        response.headers["location"] = f"/v1/rebalances/{job.id}"
        if asked.wait or (asked.wait is None and small):
            while job.result is None:
                job.changed.clear()
                await job.changed.wait()
        else:
            response.status_code = 202
        return job.shown()

    @routes.get("/rebalances")
    async def listed(who: Annotated[Principal, Depends(require("/v1/rebalances"))]) -> list[dict[str, Any]]:
        """Running and recent rebalances."""
        seen = [job for job in rebalances.jobs.values() if service.access.may_see(who, job.account)]
        return [{"id": j.id, "account": j.account, "status": j.shown()["status"]} for j in seen]

    @routes.get("/rebalances/{id}")
    async def get(id: str, who: Annotated[Principal, Depends(require("/v1/rebalances/{id}"))]) -> dict[str, Any]:  # noqa: A002
        """One rebalance: its status, and its outcome when there is one."""
        return (await rebalances.find(id, who)).shown()

    @routes.get("/rebalances/{id}/events")
    async def events(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/rebalances/{id}/events"))],
    ) -> StreamingResponse:
        """Progress as server-sent events; the last one is `result`."""
        job = await rebalances.find(id, who)
        return StreamingResponse(_events(job), media_type="text/event-stream", headers={"cache-control": "no-store"})

    @routes.get("/rebalances/{id}/certificate")
    async def certificate(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/rebalances/{id}/certificate"))],
    ) -> Response:
        """The certificate, for `engine/verify.py`."""
        return Response(_finished(await rebalances.find(id, who)).certificate, media_type="application/json")

    @routes.get("/rebalances/{id}/report")
    async def report(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/rebalances/{id}/report"))],
    ) -> Response:
        """The report as one HTML page that fetches nothing."""
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
        page = _finished(await rebalances.find(id, who)).report
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    @routes.post("/certificates/verify")
    async def verify_certificate(
        given: Certificate, _who: Annotated[Principal, Depends(require("/v1/certificates/verify"))]
    ) -> dict[str, Any]:
        """What the stand-alone verifier says about a certificate."""
        valid, said = await asyncio.to_thread(_verified, given.certificate)
        return {"valid": valid, "verifier": said}

    return routes


def _verified(certificate: str) -> tuple[bool, str]:
    """The verifier's answer, from an interpreter of its own: a large certificate must not slow decisions down."""
    with tempfile.TemporaryDirectory(prefix="lexorder-") as folder:
        file = Path(folder) / "certificate.json"
        file.write_text(certificate, encoding="utf-8")
        try:
            return True, verifier(file)
        except SolverError as error:
            return False, error.message.removeprefix("the verifier refused certificate.json: ")
        except subprocess.TimeoutExpired:
            return False, "the verifier took too long"


def _finished(job: Job) -> Result:
    """The result with a certificate. Raises Problem 404 and 409."""
    if job.result is None:
        raise Problem(409, "still-running", "The rebalance is not finished.")
    if not job.result.certificate:
        raise Problem(404, "no-certificate", "This rebalance came to no result with a certificate.")
    return job.result


async def _events(job: Job) -> AsyncIterator[bytes]:
    """Progress as it comes, a comment now and then so that nobody closes the connection, and the result."""
    told = 0
    while True:
        while told < len(job.progress):
            yield b"event: progress\ndata: " + msgspec.json.encode({"step": job.progress[told]}) + b"\n\n"
            told += 1
        if job.result is not None:
            yield b"event: result\ndata: " + msgspec.json.encode(job.shown()) + b"\n\n"
            return
        job.changed.clear()
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await job.changed.wait()
        except TimeoutError:
            yield b": still running\n\n"
