"""`/v1/rebalances` and `/v1/certificates/verify`.

In: an account and aims; the signals, holdings and rules are those the service has. Out: orders with their certificate
and report, or the smallest set of rules that makes it impossible; each result is a record. Guaranteed: no order appears
without a certificate that the stand-alone verifier accepted; small requests are answered at once, others with 202 and a
place where progress is told as server-sent events; who is not of compliance reads nothing of rules that are for
compliance alone. Refused by `Problem`: what `rebalancing.py` refuses; 409 `still-running`, 404 `no-certificate`, 403
`for-compliance` for a certificate or report in which such a rule stands. Before: `rebalancing.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from lexorder.api.proof import verifier
from lexorder.api.service.access import require
from lexorder.api.service.paging import LISTED, Cursor, Limit, listed, page_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.rebalance_asked import Asked
from lexorder.api.service.rebalancing import Job, Rebalances
from lexorder.api.service.service import Service
from lexorder.api.service.views import sees_all
from lexorder.engine.errors import SolverError

HEARTBEAT_S = 5.0


class Certificate(BaseModel):
    """A certificate as text, exactly as it was given out."""

    model_config = ConfigDict(extra="forbid")

    certificate: Annotated[str, Field(max_length=64 * 1024 * 1024)]


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["rebalances"])
    rebalances = Rebalances(service)
    _wishes(routes, rebalances)
    _results(routes, rebalances)
    return routes


def _wishes(routes: APIRouter, rebalances: Rebalances) -> None:
    """What begins a rebalance, follows it and takes it back."""

    @routes.post("/rebalances")
    async def post(
        asked: Asked, response: Response, who: Annotated[Principal, Depends(require("/v1/rebalances"))]
    ) -> dict[str, Any]:
        """Turn signals and holdings into orders that keep the rules, or learn which rules exclude each other."""
        job, small = rebalances.begin(asked, who)
        response.headers["location"] = f"/v1/rebalances/{job.id}"
        if asked.wait or (asked.wait is None and small):
            await job.ended()
        else:
            response.status_code = 202
        return job.shown(sees_all(who.role))

    @routes.get("/rebalances")
    async def get_rebalances(
        who: Annotated[Principal, Depends(require("/v1/rebalances"))], cursor: Cursor = None, limit: Limit = LISTED
    ) -> dict[str, Any]:
        """Running and recent rebalances; older ones are in the ledger, by their ids."""
        seen = (job for job in rebalances.jobs.values() if rebalances.service.access.may_see(who, job.account))
        return listed(page_of((((job.id,), job) for job in seen), cursor, limit), _line)

    @routes.get("/rebalances/{id}")
    async def get(id: str, who: Annotated[Principal, Depends(require("/v1/rebalances/{id}"))]) -> dict[str, Any]:  # noqa: A002
        """One rebalance: its status, and its outcome when there is one."""
        return (await rebalances.find(id, who)).shown(sees_all(who.role))

    @routes.delete("/rebalances/{id}")
    async def cancel(id: str, who: Annotated[Principal, Depends(require("/v1/rebalances/{id}"))]) -> dict[str, Any]:  # noqa: A002
        """Take a rebalance back: it ends without orders and is recorded as cancelled. 409 once it has ended."""
        return (await rebalances.cancel(id, who)).shown(sees_all(who.role))

    @routes.get("/rebalances/{id}/events")
    async def events(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/rebalances/{id}/events"))],
    ) -> StreamingResponse:
        """Progress as server-sent events; the last one is `result`."""
        job = await rebalances.find(id, who)
        told = _events(job, sees_all(who.role))
        return StreamingResponse(told, media_type="text/event-stream", headers={"cache-control": "no-store"})


def _line(job: Job) -> dict[str, Any]:
    """What a list says of one."""
    return {"id": job.id, "account": job.account, "status": job.result.status if job.result else "running"}


def _results(routes: APIRouter, rebalances: Rebalances) -> None:
    """What convinces others."""

    @routes.get("/rebalances/{id}/certificate")
    async def certificate(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/rebalances/{id}/certificate"))],
    ) -> Response:
        """The certificate, for `engine/verify.py`."""
        return Response(_proof(await rebalances.find(id, who), who, "certificate"), media_type="application/json")

    @routes.get("/rebalances/{id}/report")
    async def report(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/rebalances/{id}/report"))],
    ) -> Response:
        """The report as one HTML page that fetches nothing."""
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
        page = _proof(await rebalances.find(id, who), who, "report")
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    @routes.post("/certificates/verify")
    async def verify_certificate(
        given: Certificate, _who: Annotated[Principal, Depends(require("/v1/certificates/verify"))]
    ) -> dict[str, Any]:
        """What the stand-alone verifier says about a certificate."""
        valid, said = await asyncio.to_thread(_verified, given.certificate)
        return {"valid": valid, "verifier": said}


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


def _proof(job: Job, who: Principal, what: str) -> str:
    """Certificate or report, as the caller may read it. Raises Problem 403, 404 and 409."""
    result = job.result
    if result is None:
        raise Problem(409, "still-running", "The rebalance is not finished.")
    if not result.certificate:
        raise Problem(404, "no-certificate", "This rebalance came to no result with a certificate.")
    told = str(getattr(result if sees_all(who.role) else result.shown, what))
    if not told:
        raise Problem(403, "for-compliance", "A rule for compliance alone stands in it. Ask compliance.")
    return told


async def _events(job: Job, full: bool) -> AsyncIterator[bytes]:
    """Progress as it comes, a comment now and then so that nobody closes the connection, and the result."""
    told = 0
    while True:
        while told < len(job.progress):
            yield b"event: progress\ndata: " + msgspec.json.encode({"step": job.progress[told]}) + b"\n\n"
            told += 1
        if job.result is not None:
            yield b"event: result\ndata: " + msgspec.json.encode(job.shown(full)) + b"\n\n"
            return
        job.changed.clear()
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await job.changed.wait()
        except TimeoutError:
            yield b": still running\n\n"
