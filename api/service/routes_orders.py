"""What is asked about orders besides the checks themselves, and the checks' pages in the API document.

In: orders. Out: projected states; documentation of `orders.py` and `batch.py`. Guaranteed: what-if records nothing and
moves nothing, not even the desk's time; a trader sees of it what a trader may see. Refused by `Problem`, and
SnapshotError for an order that does not read. Before: `engine/what_if.py`, `document.py`. After: `app.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query

from lexorder.api.service.access import require
from lexorder.api.service.document import answers, body
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.service import Service
from lexorder.api.service.views import sees_all
from lexorder.engine.audience import for_trader
from lexorder.engine.rule import Audience
from lexorder.engine.what_if import what_if

RESERVE = "Whether an approved order counts as working from now on."
KEY = "The same key gives the same decision."
REPLAYED = "Sent when the decision was given before for the same key: it says what held then."
DECIDED = answers("Decision", "The decision")
DECIDED[200]["headers"] = {
    "Idempotent-Replayed": {"description": REPLAYED, "schema": {"type": "string", "enum": ["true"]}}
}


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/orders", tags=["orders"])

    @routes.post("/check", openapi_extra=body("Order"), responses=DECIDED)
    async def check(
        _who: Annotated[Principal, Depends(require("/v1/orders/check"))],
        reserve: Annotated[bool, Query(description=RESERVE)] = True,  # noqa: ARG001
        idempotency_key: Annotated[str | None, Header(description=KEY)] = None,  # noqa: ARG001
    ) -> None:
        """May this order go out? The answer leaves when its record is durable."""
        raise Problem(500, "internal-defect")  # answered by `orders.py` before this route is asked

    @routes.post("/check-batch", openapi_extra=body("OrderBatch"), responses=answers("BatchDecision", "Decisions"))
    async def check_batch(_who: Annotated[Principal, Depends(require("/v1/orders/check-batch"))]) -> None:
        """Up to 10,000 orders: one after the other, each by itself, or all of an account together."""
        raise Problem(500, "internal-defect")  # answered by `batch.py` before this route is asked

    @routes.post("/what-if", openapi_extra=body("Order"))
    async def ask(
        order: Annotated[dict[str, Any], Body()],
        who: Annotated[Principal, Depends(require("/v1/orders/what-if"))],
    ) -> dict[str, Any]:
        """Every rule with its figures, holdings and cash in every fill state, the headroom; nothing is recorded."""
        service.ready()
        facts = service.floor.reader.read(order)
        account = str(facts["order.account"])
        service.access.permit_account(who, account)
        found = what_if(service.floor.standing, facts)
        decision, hidden = service.floor.heeding((facts,), found.decision), frozenset[str]()
        if not sees_all(who.role):
            rules = service.floor.standing.rules_of(account)
            hidden = frozenset(rule.id for rule in rules if rule.audience is not Audience.EVERYONE)
            decision = for_trader(decision)
        shown = decision.body()
        return {**found.to_json(hidden), "decision": {k: v for k, v in shown.items() if v != ""}}

    return routes
