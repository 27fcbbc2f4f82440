"""`/v1/trading-state` and `/v1/kill`: who may trade at all.

In: a scope and a state. Out: what is in force. Guaranteed: once a halt is answered no check approves in its scope, also
after a restart, also while the ledger is down; only a risk officer or an admin makes a state milder, and only with a
record. Refused by `Problem`: 403 `not-permitted` for a milder state, `account-not-permitted`; 422 `scope-without-id`;
503 for a milder state while the ledger is down. Why an unknown id is taken: orders of an account, trader or strategy
that comes to be known later must stop as well; the answer says that it is not known. Before: `halting.py`.
After: `app.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.halting import KIND
from lexorder.api.service.metrics import Metrics
from lexorder.api.service.paging import LISTED, Cursor, Key, Limit, listed, page_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role
from lexorder.api.service.routes_state import place
from lexorder.api.service.service import Service
from lexorder.api.service.trading_states import FIRM, SCOPES, STATES

RESUMING = frozenset({Role.ADMIN, Role.RISK_OFFICER})
"""Who may make a state milder."""

UNRECORDED = "In force, but not recorded yet: the ledger is down. It will be recorded as soon as the ledger is back."
FORGETFUL = "It could not be kept outside the process either: do not restart the service before the ledger is back."
UNKNOWN = "This id is not known here. Orders that carry it will be stopped, but look whether it is spelled right."

Named = Annotated[str, Field(max_length=200, pattern=r"^[!-~]+( [!-~]+)*$")]
Words = Annotated[str, Field(max_length=500)]


class Halt(BaseModel):
    """What to stop. Without a scope, the whole firm."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["firm", "account", "strategy", "trader"] = "firm"
    id: Named | None = None
    reason: Words = "kill switch"


class Change(Halt):
    """A trading state for a scope."""

    state: Literal["ACTIVE", "REDUCING", "HALTED"]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["trading state"])
    service.metrics.before_render(lambda metrics: _counted(service, metrics))

    @routes.get("/trading-state")
    async def get_states(
        who: Annotated[Principal, Depends(require("/v1/trading-state"))], cursor: Cursor = None, limit: Limit = LISTED
    ) -> dict[str, Any]:
        """Every state that is not ACTIVE, strictest first, and whether the ledger knows of all."""
        unrecorded = {(b["scope"], b["id"]) for b in service.halts.pending.values()}
        states = [
            {**{k: v for k, v in entry.items() if k != "now"}, "since": entry["now"], "recorded": key not in unrecorded}
            for key, entry in service.floor.states.known.items()
            if key[0] != "account" or service.access.may_see(who, key[1])
        ]
        page = listed(page_of(((_strictest_first(s), s) for s in states), cursor, limit), dict)
        return {"firm": service.floor.states.state("firm", FIRM), "states": page.pop("items"), **page}

    @routes.post("/trading-state")
    async def set_state(
        change: Change, who: Annotated[Principal, Depends(require("/v1/trading-state"))]
    ) -> dict[str, Any]:
        """Set a state. ACTIVE takes it away."""
        return await _set(service, change, change.state, who)

    @routes.post("/kill")
    async def kill(who: Annotated[Principal, Depends(require("/v1/kill"))], halt: Halt | None = None) -> dict[str, Any]:
        """The kill switch: HALTED, for the firm unless a scope is given. Works without a body."""
        return await _set(service, halt or Halt(), "HALTED", who)

    return routes


def _counted(service: Service, metrics: Metrics) -> None:
    """How many subjects are in each state now."""
    found = Counter((s["scope"], s["state"]) for s in service.floor.states.known.values())
    for scope in SCOPES:
        for state in STATES[1:]:
            metrics.trading_state(scope, state, found[scope, state])


async def _set(service: Service, change: Halt, state: str, who: Principal) -> dict[str, Any]:
    key = _key(change)
    _permit_scope(service, who, change.scope, key)
    told = {"scope": change.scope, "id": key, "state": state, "reason": change.reason}
    # ACTIVE is never in force without a record, whatever the state is now.
    if state == "ACTIVE" or service.floor.states.is_milder(change.scope, key, state):
        if who.role not in RESUMING:
            raise Problem(403, "not-permitted", "Only a risk officer or an admin lets trading go on.")
        account = key if change.scope == "account" else ""
        record = await service.step(KIND, f"{change.scope}:{key}", account, service.stamp(who, **told))
        return _answer(service, told, place(service, record), [])
    found, kept = await service.halts.change(service.stamp(who, **told))
    if found is None:
        return _answer(service, told, None, [UNRECORDED, *([] if kept else [FORGETFUL])])
    return _answer(service, told, place(service, found), [])


def _answer(
    service: Service, told: dict[str, Any], recorded: dict[str, int] | None, warnings: list[str]
) -> dict[str, Any]:
    known = _known(service, told["scope"], told["id"])
    return {**told, "known": known, "recorded": recorded, "warnings": warnings + ([] if known else [UNKNOWN])}


def _key(change: Halt) -> str:
    """The id of what is meant; the firm has none of its own."""
    if change.scope == "firm":
        if change.id not in (None, FIRM):
            raise Problem(422, "scope-without-id", "The scope `firm` takes no id.")
        return FIRM
    if change.id is None:
        raise Problem(422, "scope-without-id", "Say which one: every scope but `firm` needs its `id`.")
    return change.id


def _strictest_first(state: Mapping[str, Any]) -> Key:
    return str(len(STATES) - STATES.index(state["state"])), str(SCOPES.index(state["scope"])), str(state["id"])


def _permit_scope(service: Service, who: Principal, scope: str, key: str) -> None:
    """A key for some accounts may stop these and nothing else."""
    if scope == "account":
        service.access.permit_account(who, key)
    elif who.accounts is not None:
        raise Problem(403, "account-not-permitted", "This key covers some accounts: it may stop these.")


def _known(service: Service, scope: str, key: str) -> bool:
    desk = service.floor.desk
    if scope == "firm":
        return True
    if desk is None:
        return False
    tables = {"account": desk.accounts, "trader": desk.traders, "strategy": desk.strategies}
    return key in tables[scope]
