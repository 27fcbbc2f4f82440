"""`/v1/limits`: dated figures set by risk staff, each version approved by a second person; and how much is used.

In: limits as plain data. Out: their versions, their history, their use now. Guaranteed: what decides changes only with
the second person's approval; a version can be measured against the present state before it is approved. Refused by
`Problem`: what `limit_book.py` refuses; 422 with findings for a limit that does not lint; 409 `limit-exists`,
`other-version`, `rule-exists`, `too-many-limits`, `second-person-required`; 403 `not-an-approver`; 404
`unknown-account`. Before: `limit_book.py`, `utilisation.py`. After: `app.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.background import Background, give_way
from lexorder.api.service.limit_book import Limit as Version
from lexorder.api.service.limit_kinds import KINDS, rule_id
from lexorder.api.service.paging import LISTED, Cursor, Limit, listed, number, page_beside, page_of
from lexorder.api.service.principal import Principal, second_person
from lexorder.api.service.problems import Problem
from lexorder.api.service.routes_state import place
from lexorder.api.service.service import Service, visible
from lexorder.api.service.utilisation import Use, covering, today, uses

KIND = "limit"
LIMITS_MAX = 500
"""Limits that may decide at once: each is a rule judged for every order."""

ACCOUNTS_MAX = 1000

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=60)]
Words = Annotated[str, Field(max_length=500)]
Expression = Annotated[str, Field(min_length=1, max_length=2000)]
Read = Annotated[int | None, Query(ge=1, description="the version that was read; another one is refused")]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class Value(BaseModel):
    """A dated figure with its source."""

    model_config = ConfigDict(extra="forbid")

    value: Annotated[str, Field(min_length=1, max_length=200)]
    cite: Words = ""


class Figure(BaseModel):
    """A limit: a `kind` or a `require` that uses `limit`, and `values` by the day from which they hold.

    The other fields are those of a rule (`docs/language.md`); `reason_code` is the rule's `reason`.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str | None, Field(max_length=60)] = None
    require: Expression | None = None
    values: Annotated[dict[Day, Annotated[str, Field(max_length=200)] | Value], Field(min_length=1, max_length=100)]
    title: Words | None = None
    severity: Literal["hard", "soft", "warn"] | None = None
    for_each: Annotated[str | None, Field(max_length=60)] = None
    when: Expression | None = None
    let: dict[str, Any] | None = None
    scope: dict[str, Any] | None = None
    override: dict[str, Any] | None = None
    if_already_breached: Literal["block", "must_not_worsen"] | None = None
    phases: Annotated[list[str] | None, Field(max_length=4)] = None
    message: Words | None = None
    reason_code: Annotated[str | None, Field(max_length=60)] = None
    owner: Words | None = None
    cite: Words | None = None

    def body(self) -> dict[str, Any]:
        """What is kept: everything that was said."""
        return self.model_dump(exclude_none=True)


class NewLimit(Figure):
    """A limit under a name of its own."""

    id: Identifier

    def body(self) -> dict[str, Any]:
        """What is kept, without the name."""
        return {k: v for k, v in super().body().items() if k != "id"}


class Reason(BaseModel):
    """Why something is asked for or refused."""

    model_config = ConfigDict(extra="forbid")

    reason: Words = ""


class Asked(BaseModel):
    """Which accounts and which version to measure; by default all the caller may see, and the one that decides."""

    model_config = ConfigDict(extra="forbid")

    accounts: Annotated[list[Annotated[str, Field(max_length=200)]] | None, Field(max_length=ACCOUNTS_MAX)] = None
    version: Annotated[int | None, Field(ge=1)] = None


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/limits", tags=["limits"])
    desk = _Desk(service)
    desk.reading(routes)
    desk.writing(routes)
    desk.deciding(routes)
    return routes


class _Desk:
    """The work behind the routes."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.background = Background()

    # ---- routes ----------------------------------------------------------------------------------

    def reading(self, routes: APIRouter) -> None:
        """What is there, and how much of it is used."""

        @routes.get("")
        async def get_limits(
            _who: Annotated[Principal, Depends(require("/v1/limits"))],
            state: Annotated[str | None, Query(max_length=20)] = None,
            cursor: Cursor = None,
            limit: Limit = LISTED,
        ) -> dict[str, Any]:
            """The latest version of every limit, or all versions in a state; the kinds there are."""
            versions = self.service.floor.limits.versions
            if state is None:
                found = [self.service.floor.limits.find(name) for name in versions]
            else:
                found = [v for each in versions.values() for v in each if v.state == state]
            keyed = (((v.id, number(v.version)), v) for v in found)
            return {
                **listed(page_of(keyed, cursor, limit), Version.shown),
                "kinds": {name: asdict(kind) for name, kind in KINDS.items()},
            }

        @routes.get("/{id}")
        async def get_limit(
            id: str,  # noqa: A002
            _who: Annotated[Principal, Depends(require("/v1/limits/{id}"))],
            version: Annotated[int | None, Query(ge=1)] = None,
        ) -> dict[str, Any]:
            """One version, by default the one that decides, else the latest."""
            return self.service.floor.limits.find(id, version).shown()

        @routes.get("/{id}/history")
        async def get_history(
            id: str,  # noqa: A002
            _who: Annotated[Principal, Depends(require("/v1/limits/{id}/history"))],
            cursor: Cursor = None,
            limit: Limit = LISTED,
        ) -> dict[str, Any]:
            """Every step with who took it, oldest first, and the versions that the steps of the page are about."""
            limits = self.service.floor.limits
            limits.find(id)
            page = page_of((((number(n),), step) for n, step in enumerate(limits.history[id])), cursor, limit)
            about = {step["version"] for step in page.things}
            versions = [v.shown() for v in limits.versions[id] if v.version in about]
            return {"id": id, **listed(page, dict), "versions": versions}

        @routes.post("/{id}/check")
        async def check(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/limits/{id}/check"))],
            asked: Asked | None = None,
            cursor: Cursor = None,
            limit: Limit = LISTED,
        ) -> dict[str, Any]:
            """How much of a limit is used now, by account and subject; `breaches` counts those of all pages."""
            told, found = await self._measured(id, who, asked or Asked())
            page = await page_beside((((use.account, use.finding.subject), use) for use in found), cursor, limit)
            return {**told, **listed(page, Use.shown)}

    def writing(self, routes: APIRouter) -> None:
        """What risk staff ask for."""

        @routes.post("", status_code=202)
        async def create(limit: NewLimit, who: Annotated[Principal, Depends(require("/v1/limits"))]) -> dict[str, Any]:
            """Propose a new limit."""
            if limit.id in self.service.floor.limits.versions:
                raise Problem(409, "limit-exists", "PUT /v1/limits/{id} proposes a new version.")
            return await self._propose(limit.id, limit.body(), who)

        @routes.put("/{id}", status_code=202)
        async def update(
            id: str,  # noqa: A002
            limit: Figure,
            who: Annotated[Principal, Depends(require("/v1/limits/{id}"))],
        ) -> dict[str, Any]:
            """Propose a new version; the old one decides until it is approved."""
            self.service.floor.limits.find(id)
            return await self._propose(id, limit.body(), who)

        @routes.delete("/{id}", status_code=202)
        async def retire(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/limits/{id}"))],
            why: Reason | None = None,
        ) -> dict[str, Any]:
            """Ask for a limit to be retired; it decides until that is approved."""
            limits = self.service.floor.limits
            limits.unasked(id)
            found = limits.find(id)
            if found.state != "approved":
                raise Problem(409, "wrong-state", "The limit decides nothing, so it cannot be retired.")
            return await self._step(found, who, action="retire-request", reason=(why or Reason()).reason)

    def deciding(self, routes: APIRouter) -> None:
        """What the second person says."""

        @routes.post("/{id}/approve")
        async def approve(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/limits/{id}/approve"))],
            version: Read = None,
        ) -> dict[str, Any]:
            """Agree as the second person, to a version or to its end."""
            second_person(self._pending(id, version).requested, who)
            await self._prepared(id)
            asked = self._pending(id, version)
            second_person(asked.requested, who)
            if asked.state == "retiring":
                return await self._step(asked, who, action="retire")
            _room(id, self.service.floor.limits.alive())
            return await self._step(asked, who, action="approve")

        @routes.post("/{id}/reject")
        async def reject(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/limits/{id}/reject"))],
            version: Read = None,
            why: Reason | None = None,
        ) -> dict[str, Any]:
            """Refuse what was asked for; who asked may do so as well."""
            asked = self._pending(id, version)
            return await self._step(asked, who, action="reject", reason=(why or Reason()).reason)

    # ---- work ------------------------------------------------------------------------------------

    def _pending(self, identifier: str, version: int | None) -> Version:
        """What waits for an approver, if it is the version that was read. Raises Problem 404, 409."""
        asked = self.service.floor.limits.pending(identifier)
        if version is not None and asked.version != version:
            words = "Another version waits for an approver than the one named: read it first."
            raise Problem(409, "other-version", words, version=asked.version)
        return asked

    async def _propose(self, identifier: str, body: dict[str, Any], who: Principal) -> dict[str, Any]:
        limits = self.service.floor.limits
        limits.unasked(identifier)
        await self.background.run(lambda: limits.lint(identifier, body))
        floor = self.service.floor
        floor.limits.unasked(identifier)
        _room(identifier, floor.limits.alive())
        if not floor.limits.versions.get(identifier) and rule_id(identifier) in floor.standing.book.ids():
            raise Problem(409, "rule-exists", "The active rule book has a rule of this limit's name.")
        told = self.service.stamp(who, id=identifier, action="propose", limit=body)
        return await self._recorded(identifier, len(floor.limits.versions.get(identifier, ())) + 1, told)

    async def _prepared(self, identifier: str) -> None:
        """Join what would decide: then the step that follows at once cannot fail."""
        while True:
            floor = self.service.floor
            active, limits = floor.books.active, floor.limits.after(floor.limits.pending(identifier))
            await self.background.run(lambda f=floor, a=active, n=limits: f.books.joined(a, f.limits.book_of(n)))  # type: ignore[misc]
            if self.service.floor is floor and self._wanted(identifier) == (active, limits):
                return

    def _wanted(self, identifier: str) -> tuple[str, tuple[Version, ...]]:
        floor = self.service.floor
        return floor.books.active, floor.limits.after(floor.limits.pending(identifier))

    async def _step(self, concerned: Version, who: Principal, **told: Any) -> dict[str, Any]:
        body = self.service.stamp(who, id=concerned.id, **told)
        return await self._recorded(concerned.id, concerned.version, body)

    async def _recorded(self, identifier: str, version: int, body: dict[str, Any]) -> dict[str, Any]:
        """Record a step; what became of the version it is about, which need not be the latest."""
        record = await self.service.step(KIND, identifier, "", body)
        shown = self.service.floor.limits.find(identifier, version).shown()
        return {**shown, "recorded": place(self.service, record)}

    async def _measured(self, identifier: str, who: Principal, asked: Asked) -> tuple[dict[str, Any], list[Use]]:
        """What was measured, and what was found. Raises Problem."""
        floor, desk = self.service.floor, self.service.floor.standing
        limit = floor.limits.find(identifier, asked.version)
        for account in asked.accounts or ():
            self.service.access.permit_account(who, account)
        snapshot, book = desk.snapshot, desk.book
        accounts = visible(who, set(asked.accounts) if asked.accounts is not None else snapshot.accounts)
        if not snapshot.accounts.keys() >= set(accounts):  # an account left out would look like one within its limits
            raise Problem(404, "unknown-account", "Not all of these accounts are known here.")
        accounts = [account for account in accounts if self.service.owns(account)]  # the others' orders they know

        def measured() -> tuple[str, int, list[Use]]:
            rule = floor.limits.lint(identifier, limit.body).rule(rule_id(identifier), today(snapshot))
            if rule is None:
                return "not in force on this day", 0, []
            known = book.on(today(snapshot))
            found: list[Use] = []
            for account in covering(rule, snapshot, accounts):
                found += uses(snapshot, self.service.vocabulary, account, [rule], known)
                give_way()
            note = "judged order by order" if rule.for_each == "order" else ""
            return note, sum(1 for use in found if use.broken), found

        note, breaches, found = await self.background.run(measured)
        told = {"id": identifier, "version": limit.version, "state": limit.state, "breaches": breaches, "note": note}
        return {**told, "time": snapshot.time.isoformat(), "snapshot_hash": snapshot.hash}, found


def _room(identifier: str, alive: Iterable[Version]) -> None:
    """Nothing when a version of this limit may decide beside the others. Raises Problem 409 `too-many-limits`."""
    if len({version.id for version in alive} | {identifier}) > LIMITS_MAX:
        raise Problem(409, "too-many-limits", f"At most {LIMITS_MAX} limits decide at once.")
