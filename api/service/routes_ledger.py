"""`/v1/ledger`: what the record holds, and proofs of it for those who trust nobody.

In: record numbers and tree sizes. Out: the head with its signature, inclusion and consistency proofs that
`verify_ledger.py` accepts, the verdict of a full verification. Guaranteed: proofs are over committed records only; a
verification reads the database anew and believes nothing in memory. Refused by `Problem`: 404 `no-ledger` and
`ledger-no-record`, 503 `busy`, `ledger-unavailable`. Before: `engine/ledger/audit.py`, `heads_task.py`.
After: `app.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from lexorder.api.service.access import require
from lexorder.api.service.background import Background
from lexorder.api.service.journal import unavailable
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.service import Service
from lexorder.engine.ledger import audit
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import PUBLIC_KEY
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.verify_ledger import Result

FINDINGS_MAX = 100
Number = Annotated[int, Query(ge=0, le=10**18)]


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/ledger", tags=["ledger"])
    background = Background()

    @routes.get("/head")
    async def head(_who: Annotated[Principal, Depends(require("/v1/ledger/head"))]) -> dict[str, Any]:
        """What the ledger holds now, the newest signed head, and the key to verify it with."""
        return await background.run(partial(_head, service, _ledger(service)))

    @routes.get("/proof")
    async def proof(
        _who: Annotated[Principal, Depends(require("/v1/ledger/proof"))], seq: Number, size: Number | None = None
    ) -> dict[str, Any]:
        """That a record is among the first `size`: leaf, path and root (RFC 6962)."""
        return await background.run(partial(_proof, _ledger(service), seq, size))

    @routes.get("/consistency")
    async def consistency(
        _who: Annotated[Principal, Depends(require("/v1/ledger/consistency"))], old: Number, new: Number | None = None
    ) -> dict[str, Any]:
        """That the first `old` records were unchanged when there were `new`."""
        ledger = _ledger(service)
        document = await background.run(partial(_consistency, ledger, old, new))
        return dict(json.loads(document))

    @routes.post("/verify")
    async def verify(_who: Annotated[Principal, Depends(require("/v1/ledger/verify"))]) -> dict[str, Any]:
        """Recompute chain and tree of the whole shard and compare them with the signed heads. Takes its time."""
        _ledger(service)
        result = await background.run(partial(_verified, service))
        return {
            "shard": service.settings.shard,
            "ok": not result.findings,
            "records": result.size,
            "covered_by_signed_head": result.covered,
            "findings": list(result.findings[:FINDINGS_MAX]),
            "count": len(result.findings),
        }

    return routes


def _ledger(service: Service) -> Ledger:
    if service.ledger is None:
        raise Problem(404, "no-ledger", "This service runs without a ledger.")
    return service.ledger


def _head(service: Service, ledger: Ledger) -> dict[str, Any]:
    heads = service.heads
    assert heads is not None
    try:
        size, chain = ledger.committed, ledger.committed_hash
        root = ledger.root(size)
        key = (heads.folder / PUBLIC_KEY).read_text("ascii")
    except (LedgerError, OSError):
        raise unavailable() from None
    return {
        "shard": ledger.shard,
        "size": size,
        "hash": chain.hex(),
        "root": root.hex(),
        "signed": None if heads.last is None else asdict(heads.last),
        "public_key": key,
        "problem": heads.problem,
    }


def _proof(ledger: Ledger, seq: int, size: int | None) -> dict[str, Any]:
    try:
        wanted = ledger.committed if size is None else size
        path = ledger.inclusion(seq, wanted)
        record = next(ledger.read(seq, seq + 1))
        root = ledger.root(wanted)
    except LedgerError as error:
        raise _refused(error) from None
    return {
        "shard": ledger.shard,
        "seq": seq,
        "size": wanted,
        "hash": record.hash.hex(),
        "root": root.hex(),
        "path": [node.hex() for node in path],
    }


def _consistency(ledger: Ledger, old: int, new: int | None) -> str:
    try:
        return audit.consistency(ledger, old, ledger.committed if new is None else new)
    except LedgerError as error:
        raise _refused(error) from None


def _verified(service: Service) -> Result:
    settings = service.settings
    database = Database(settings.url, read_only=True)
    try:
        heads, key = audit.trusted_heads(settings.second_place, settings.shard)
        return audit.audit(database, settings.shard, heads, key)
    except LedgerError as error:
        raise _refused(error) from None
    finally:
        database.close()


def _refused(error: LedgerError) -> Problem:
    if error.code == "ledger-no-record":
        return Problem(404, error.code, "There is no such record or tree size.")
    return Problem(503, error.code, "The ledger could not tell.")
