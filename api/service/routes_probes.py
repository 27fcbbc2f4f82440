"""`/healthz`, `/readyz`, `/metrics`: what the machinery around the service asks.

In: nothing. Out: whether the process lives, whether it decides, what it counted. Guaranteed: `/healthz` answers as long
as the event loop turns; `/readyz` is 200 only when an order would be decided and recorded now, and says `empty` while
no account is known, so that all of them would be refused. Refused: nothing. Before: `service.py`. After: `app.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from lexorder.api.service.access import require
from lexorder.api.service.metrics import CONTENT_TYPE
from lexorder.api.service.principal import Principal
from lexorder.api.service.service import Service


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["probes"])

    @routes.get("/healthz")
    async def alive() -> dict[str, str]:
        """The process lives."""
        return {"status": "alive"}

    @routes.get("/readyz")
    async def ready() -> dict[str, Any]:
        """Orders are decided and recorded, 503 otherwise; `empty`: no account is known yet, so all are refused."""
        service.ready()
        desk = service.floor.standing
        return {
            "status": "ready",
            "empty": not desk.accounts,  # told nothing yet: 200 all the same, for the snapshot comes by this door
            "shard": service.settings.shard,
            "time": desk.time.isoformat(),
            "rulebook": desk.book.hash,
            "doubts": service.floor.doubts,
            "monitor": service.monitor.status(),
            "warm": service.warming is not None and service.warming.done(),
        }

    @routes.get("/v1/shards")
    async def shards(_who: Annotated[Principal, Depends(require("/v1/shards"))]) -> dict[str, Any]:
        """The workers: an account's orders are decided by one of them, which answers fastest when asked itself."""
        count, port = service.settings.workers, service.settings.port
        direct = [{"shard": k, "port": port if count == 1 else port + 1 + k} for k in range(count)]
        return {"count": count, "owner": "crc32(beneficial owner or account) mod count", "shards": direct}

    if service.settings.open_metrics:

        @routes.get("/metrics")
        async def open_metrics() -> Response:
            """Counts for Prometheus."""
            return Response(await service.metrics.paced(), media_type=CONTENT_TYPE)

    else:

        @routes.get("/metrics")
        async def metrics(_who: Annotated[Principal, Depends(require("/metrics"))]) -> Response:
            """Counts for Prometheus."""
            return Response(await service.metrics.paced(), media_type=CONTENT_TYPE)

    return routes
