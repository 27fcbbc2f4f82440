"""`/v1/orders/{id}/override` and `/v1/overrides`: soft breaches, asked about and granted.

In: the id of an order that needs an override, a reason; approvals. Out: the request; with the last approval the answer
an order check would give, outcome `approve`, with what was overridden by whom. Guaranteed: a granted order is recorded
with its new decision and counts as working before anything else is decided; requests survive restarts. Refused by
`Problem`: what `override_book.py` and `overriding.py` refuse; 403 `account-not-permitted`. Before: `overriding.py`.
After: `app.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.override_book import Asked, unknown
from lexorder.api.service.overriding import Decided, expires, needs_of, standing
from lexorder.api.service.paging import Cursor, Limit, latest_first, listed, page_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.routes_state import place
from lexorder.api.service.service import Service
from lexorder.api.service.views import sees_all, view_of
from lexorder.engine.decision import Decision, Report
from lexorder.engine.ledger.record import Record
from lexorder.engine.rule import Audience

KIND = "override"


class Request(BaseModel):
    """Why the order should go out although a soft rule speaks against it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Reason(BaseModel):
    """Why a request is refused."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=500)] = ""


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["overrides"])
    desk = _Desk(service)
    desk.asking(routes)
    desk.deciding(routes)
    return routes


class _Desk:
    """The work behind the routes."""

    def __init__(self, service: Service) -> None:
        self.service = service

    # ---- routes ----------------------------------------------------------------------------------

    def asking(self, routes: APIRouter) -> None:
        """Requests."""

        @routes.post("/orders/{id}/override", status_code=202)
        async def ask(
            id: str,  # noqa: A002
            request: Request,
            who: Annotated[Principal, Depends(require("/v1/orders/{id}/override"))],
        ) -> dict[str, Any]:
            """Ask for an override of the newest decision about an order."""
            return await self._ask(id, request.reason, who)

        @routes.get("/overrides")
        async def get_overrides(
            who: Annotated[Principal, Depends(require("/v1/overrides"))],
            state: Annotated[str | None, Query(max_length=20)] = None,
            cursor: Cursor = None,
            limit: Limit = 100,
        ) -> dict[str, Any]:
            """Requests about accounts the caller may see, newest first."""
            now = self.service.floor.standing.time
            may_see, asked = self.service.access.may_see, self.service.floor.overrides.asked.values()
            shown = (
                (latest_first(n), self._shown(each, who)) for n, each in enumerate(asked) if may_see(who, each.account)
            )
            wanted = (((place,), each) for place, each in shown if state is None or each["state"] == state)
            return {"time": now.isoformat(), **listed(page_of(wanted, cursor, limit), dict)}

        @routes.get("/overrides/{id}")
        async def get_override(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/overrides/{id}"))],
        ) -> dict[str, Any]:
            """One request; while it is open, what the order would be told now."""
            asked = self._find(id, who)
            shown = self._shown(asked, who)
            if shown["state"] != "open":
                return shown
            floor = self.service.floor
            now = floor.decide((floor.reader.read(asked.order),))
            return {**shown, "now": now.to_json() if sees_all(who.role) else view_of(now)}

    def deciding(self, routes: APIRouter) -> None:
        """Answers."""

        @routes.post("/overrides/{id}/approve")
        async def approve(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/overrides/{id}/approve"))],
        ) -> dict[str, Any]:
            """Approve as another person. With the last approval the order is decided again, and goes out."""
            return await self._approve(id, who)

        @routes.post("/overrides/{id}/reject")
        async def reject(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/overrides/{id}/reject"))],
            why: Reason | None = None,
        ) -> dict[str, Any]:
            """Refuse the request."""
            asked = self._find(id, who)
            asked.be_open(self.service.clock.now())
            told = {"action": "reject", "reason": (why or Reason()).reason}
            record = await self._step(asked, self.service.stamp(who, id=asked.id, **told))
            return self._told(asked.id, who, record)

    # ---- work ------------------------------------------------------------------------------------

    async def _ask(self, order: str, reason: str, who: Principal) -> dict[str, Any]:
        service = self.service
        decided = await self._decided(order, who)
        identifier = f"{service.settings.shard}-{decided.record.seq}"
        floor = service.floor
        if identifier in floor.overrides.asked:
            raise Problem(409, "override-exists", "This decision was asked about already.", override=identifier)
        account = str(decided.decision["account"])
        rules = {rule.id: rule for rule in floor.standing.rules_of(account)}
        needs = needs_of(decided, rules)
        body = service.stamp(who, action="request", id=identifier, account=account, order=decided.order, reason=reason)
        until = expires(needs, rules, floor.standing.time)
        withheld = sorted(rule for rule in needs if rules[rule].audience is not Audience.EVERYONE)
        if withheld and not sees_all(who.role):
            raise Problem(409, "referred", "This order was referred: ask compliance.")
        asked = {**body, "needs": needs, "withheld": withheld, "expires": until.isoformat()}
        record = await service.step(KIND, identifier, account, asked)
        return self._told(identifier, who, record)

    async def _decided(self, order: str, who: Principal) -> Decided:
        """The newest decision about an order that the caller may see."""
        self.service.journal.require("override")
        records = await self.service.recorded(ref=order, kind="decision")
        mine = [r for r in records if self.service.access.may_see(who, r.account)]
        if not mine:
            raise Problem(404, "unknown-order", "No decision about this order is recorded here.")
        return Decided.of(mine[-1])

    def _find(self, identifier: str, who: Principal) -> Asked:
        asked = self.service.floor.overrides.find(identifier)
        if not self.service.access.may_see(who, asked.account):
            raise unknown()
        return asked

    async def _approve(self, identifier: str, who: Principal) -> dict[str, Any]:
        service, floor = self.service, self.service.floor
        asked = self._find(identifier, who)
        service.ready()
        body = service.stamp(who, id=asked.id, action="approve", role=who.role.value, granted=False)
        approved = asked.approved_by(who, floor.standing.time)
        if not approved.suffices():
            record = await self._step(asked, body)
            return self._told(asked.id, who, record)
        decision = floor.decide((floor.reader.read(asked.order),))
        try:
            broken = standing(decision, asked.needs)
        except Problem as problem:
            await self._step(asked, {**body, "action": "refuse", "code": problem.code, **_told(decision)})
            raise
        granted = {"granted": True, "reserved": True, "order": asked.order, **_told(decision)}
        record = await self._step(asked, {**body, **granted})
        return _granted(service, record, decision, broken, approved)

    async def _step(self, asked: Asked, body: Mapping[str, Any]) -> Record:
        return await self.service.step(KIND, asked.id, asked.account, body)

    # ---- views -----------------------------------------------------------------------------------

    def _told(self, identifier: str, who: Principal, record: Record) -> dict[str, Any]:
        """A request after a step about it."""
        shown = self._shown(self.service.floor.overrides.find(identifier), who)
        return {**shown, "recorded": place(self.service, record)}

    def _shown(self, asked: Asked, who: Principal) -> dict[str, Any]:
        """A request as the caller may see it; one that is too old is called expired."""
        shown = asked.shown()
        if asked.state == "open" and asked.expired(self.service.clock.now()):
            shown["state"] = "expired"
        if not sees_all(who.role):
            shown["needs"] = {rule: need for rule, need in shown["needs"].items() if rule not in asked.withheld}
        return shown


def _told(decision: Decision) -> dict[str, Any]:
    """A decision as records hold it: in full, and the view of it for traders."""
    return {"decision": decision.to_json(), "shown": view_of(decision)}


def _granted(
    service: Service, record: Record, decision: Decision, broken: tuple[Report, ...], asked: Asked
) -> dict[str, Any]:
    approvals = [{"by": a.by.id, "role": a.role, "at": a.at} for a in asked.approvals]
    return {
        "outcome": "approve",
        "reason": "",
        "account": decision.account,
        "orders": list(decision.orders),
        "time": decision.time.isoformat(),
        "overridden": [{"rule": r.rule, "subject": r.subject, "message": r.message} for r in broken],
        "approvals": approvals,
        "override": asked.id,
        "decision": decision.to_json(),
        "id": f"{service.settings.shard}-{record.seq}",
        "recorded": place(service, record),
    }
