"""What is asked about orders besides the check itself, and the check's page in the API document.

In: orders. Out: decisions of many orders, projected states. Guaranteed: see `orders.py`, `batch.py`. Refused by
`Problem`. Before: `orders.py`. After: `app.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from lexorder.api.service.access import require
from lexorder.api.service.principal import Principal
from lexorder.api.service.service import Service


class Order(BaseModel):
    """An order, by the vocabulary's names of `order`."""

    id: str
    account: str
    symbol: str
    side: str
    quantity: str
    ord_type: str = "limit"
    price: str | None = None
    trader: str | None = None


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/orders", tags=["orders"])

    @routes.post("/check", operation_id="check_order")
    async def check(order: Order, _who: Annotated[Principal, Depends(require("/v1/orders/check"))]) -> dict[str, Any]:
        """May this order go out? Answered by `orders.py` before this route is asked."""
        raise NotImplementedError  # pragma: no cover

    return routes
