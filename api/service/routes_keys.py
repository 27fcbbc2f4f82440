"""`/v1/keys`: API keys, made, listed, revoked by an admin, and recorded.

In: role, owner, accounts, scopes, lifetime. Out: the key's text once; afterwards everything but its secret. Guaranteed:
a key that is answered works, a revoked one does not, from the answer on in this process and within a second in others;
that it happened is in the ledger, its secret nowhere; revoking works also while the ledger is down. Refused by
`Problem`: 422 `bad-key-field` (also for scopes the role never has), 404 `unknown-key`, 409 `own-key`.
Before: `keys.py`, `access.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.journal import unavailable
from lexorder.api.service.keys import ACCOUNTS_MAX, KeyRecord
from lexorder.api.service.paging import LISTED, Cursor, Limit, listed, page_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role, Scope
from lexorder.api.service.routes_state import place
from lexorder.api.service.service import Service
from lexorder.engine.errors import LexorderError, UsageError

KIND = "key"


class NewKey(BaseModel):
    """A key to be made. `owner` is the human who answers for it; without `lifetime_s` it does not expire."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    name: Annotated[str, Field(min_length=1, max_length=100)]
    owner: Annotated[str, Field(min_length=1, max_length=100)]
    accounts: Annotated[list[Annotated[str, Field(max_length=200)]] | None, Field(max_length=ACCOUNTS_MAX)] = None
    scopes: list[Scope] | None = None
    lifetime_s: Annotated[int | None, Field(ge=1, le=10 * 366 * 86400)] = None


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/keys", tags=["keys"])
    store = service.access.keys

    @routes.get("")
    async def get_keys(
        _who: Annotated[Principal, Depends(require("/v1/keys"))], cursor: Cursor = None, limit: Limit = LISTED
    ) -> dict[str, Any]:
        """All keys, revoked ones too, oldest first, without their secrets."""
        records = await _asked(store.records)
        keyed = (
            ((record.created.astimezone(UTC).isoformat(timespec="microseconds"), record.id), record)
            for record in records
        )
        return listed(page_of(keyed, cursor, limit), KeyRecord.to_json)

    @routes.post("", status_code=201)
    async def create(new: NewKey, who: Annotated[Principal, Depends(require("/v1/keys"))]) -> dict[str, Any]:
        """Make a key. `key` is shown in this answer and never again."""
        service.journal.require(KIND)
        fields = new.model_dump(exclude={"role", "name"})
        text, record = await _asked(partial(store.create, new.role, new.name, **fields))
        body = service.stamp(who, action="create", key=record.id, role=record.role.value)
        try:
            recorded = await service.step(KIND, record.id, "", body)
        except Problem:
            await _asked(partial(store.revoke, record.id))  # a key nobody can find in the record is none
            raise
        await _asked(service.access.refresh)
        return {**record.to_json(), "key": str(text), "recorded": place(service, recorded)}

    @routes.delete("/{id}")
    async def revoke(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/keys/{id}"))],
    ) -> dict[str, Any]:
        """Revoke a key. Nobody revokes the key they call with, so that somebody stays inside."""
        if who.kind == "key" and who.credential == id:
            raise Problem(409, "own-key", "Call with another key to revoke this one.")
        record: KeyRecord = await _asked(partial(store.revoke, id))
        await _asked(service.access.refresh)
        try:
            recorded = await service.step(KIND, record.id, "", service.stamp(who, action="revoke", key=record.id))
        except Problem:
            return {**record.to_json(), "recorded": None}
        return {**record.to_json(), "recorded": place(service, recorded)}

    return routes


async def _asked(work: Any) -> Any:
    """What the table of keys says, asked in a thread. Raises Problem."""
    try:
        return await asyncio.to_thread(work)
    except UsageError as error:
        status = 404 if error.code == "unknown-key" else 422
        raise Problem(status, error.code, error.message) from None
    except LexorderError:
        raise unavailable() from None
