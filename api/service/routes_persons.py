"""`/v1/accounts/{id}/person` and `/v1/traders/{id}/person`: who the human is, kept apart and sealed.

In: name, e-mail address, tax id; null takes a field away. Out: the same, for the two roles that may read them.
Guaranteed: they reach the disk only as `personal.py` seals them, bound to this account or trader; they are no fact of
the desk, so that no rule, message, decision or stream can show them; that they were changed, and by whom, is in the
ledger. Refused by `Problem`: 409 `no-personal-key`, 404 `unknown-person`. What was recorded once stays in the ledger,
sealed: forgetting somebody for good means taking away the key it was sealed with. Before: `personal.py`, `service.py`.
After: `app.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.personal import Vault
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.routes_state import place
from lexorder.api.service.service import Service

KIND = "person"

Of = Literal["account", "trader"]
Identifier = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[!-~]+$")]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Person(BaseModel):
    """What is known of the human. It replaces what was known before."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None
    email: Text | None = None
    tax_id: Text | None = None


def router(service: Service) -> APIRouter:
    """The routes. Raises UsageError when the key of the settings is none."""
    routes = APIRouter(prefix="/v1", tags=["persons"])
    vault = Vault(service.settings.pii_key)
    _routes_of(routes, service, vault, "account")
    _routes_of(routes, service, vault, "trader")
    return routes


def _routes_of(routes: APIRouter, service: Service, vault: Vault, of: Of) -> None:
    endpoint = f"/{of}s/{{id}}/person"
    allowed = Depends(require(f"/v1{endpoint}"))  # a default: an annotation cannot see this function's variables

    async def put(id: Identifier, person: Person, who: Principal = allowed) -> dict[str, Any]:  # noqa: A002
        if of == "account":
            service.access.permit_account(who, id)
        sealed = vault.sealed(person.model_dump(exclude_none=True), _owner(of, id))
        body = service.stamp(who, of=of, id=id, sealed=sealed)
        record = await service.journal.write(KIND, _owner(of, id), id if of == "account" else "", body)
        return {"recorded": place(service, record)}

    async def get(id: Identifier, who: Principal = allowed) -> dict[str, Any]:  # noqa: A002
        if of == "account":
            service.access.permit_account(who, id)
        records = await service.recorded(kind=KIND, ref=_owner(of, id))
        if not records:
            raise Problem(404, "unknown-person", "Nobody is recorded here.")
        return vault.shown(msgspec.json.decode(records[-1].body)["sealed"], _owner(of, id), who.role)

    routes.add_api_route(
        endpoint, put, methods=["PUT"], summary=f"Say who a {of} is", operation_id=f"put_person_of_{of}"
    )
    routes.add_api_route(endpoint, get, methods=["GET"], summary=f"Who a {of} is", operation_id=f"get_person_of_{of}")


def _owner(of: Of, identifier: str) -> str:
    """What sealed values are bound to, and the record's reference."""
    return f"{of}:{identifier}"
