"""`/v1/rulebooks`: uploaded, linted, tested, asked for, activated by a second person.

In: texts of rule files. Out: findings, results of examples, what changed, who did what. Guaranteed: only a book that
loads is kept, only one whose examples all pass is asked for or activated, and only by two persons; until the second
agrees the old book decides. Refused by `Problem`: what `rule_books.py` refuses; 422 with findings for texts that are no
rules, `bad-file-name`; 409 `tests-fail` naming the examples, `second-person-required`; 403 `not-an-approver`.
Before: `rule_books.py`, `book_process.py`. After: `app.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.background import Background
from lexorder.api.service.book_process import Found, Job, process_for
from lexorder.api.service.book_tests import Tested, findings_of
from lexorder.api.service.limit_book import Limit as Version
from lexorder.api.service.paging import LISTED, Cursor, Limit, latest_first, listed, number, page_of
from lexorder.api.service.principal import Principal, second_person
from lexorder.api.service.problems import Problem
from lexorder.api.service.routes_state import place
from lexorder.api.service.rule_books import Uploaded, read_folder
from lexorder.api.service.service import Service
from lexorder.api.service.views import sees_all
from lexorder.engine.desk import shipped_rules
from lexorder.engine.errors import RuleFileError

KIND = "rulebook"
FILES_MAX = 200
LIBRARY = "library"
ASKABLE = ("uploaded", "retired", "rejected")
"""States in which a book may be asked for."""

REMEMBERED = 64
"""Books whose results are kept; a book never changes."""

FileName = Annotated[str, Field(max_length=120, pattern=r"^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*$")]
Words = Annotated[str, Field(max_length=500)]


class Texts(BaseModel):
    """Rule files by name. `base: library` adds the shipped library, whose files are then called `library/…`."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=120)] = "rule book"
    files: Annotated[dict[FileName, str], Field(max_length=FILES_MAX)]
    base: Literal["library"] | None = None


class Reason(BaseModel):
    """Why something is asked for or refused."""

    model_config = ConfigDict(extra="forbid")

    reason: Words = ""


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/rulebooks", tags=["rule books"])
    desk = _Desk(service)
    desk.reading(routes)
    desk.trying(routes)
    desk.deciding(routes)
    service.metrics.before_render(lambda metrics: metrics.rulebook(*desk.active()))
    return routes


class _Desk:
    """The work behind the routes."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process = process_for(service.vocabulary)
        self.reading_lane = Background()
        self.background = Background()
        self._results: OrderedDict[str, Found] = OrderedDict()

    # ---- routes ----------------------------------------------------------------------------------

    def reading(self, routes: APIRouter) -> None:
        """What is there."""

        @routes.get("")
        async def get_books(
            _who: Annotated[Principal, Depends(require("/v1/rulebooks"))], cursor: Cursor = None, limit: Limit = LISTED
        ) -> dict[str, Any]:
            """All books, newest first, without their texts."""
            books = self.service.floor.books
            keyed = (((latest_first(n),), book) for n, book in enumerate(books.uploaded.values()))
            return {"active": books.active, **listed(page_of(keyed, cursor, limit), Uploaded.shown)}

        @routes.get("/active")
        async def get_active(_who: Annotated[Principal, Depends(require("/v1/rulebooks/active"))]) -> dict[str, Any]:
            """The active book without its texts, and the hash of everything that decides (limits included)."""
            floor = self.service.floor
            return {**floor.books.find("active").shown(), "in_force": floor.standing.book.hash}

        @routes.get("/history")
        async def get_history(
            _who: Annotated[Principal, Depends(require("/v1/rulebooks/history"))],
            cursor: Cursor = None,
            limit: Limit = LISTED,
        ) -> dict[str, Any]:
            """Every step, oldest first."""
            keyed = (((number(n),), step) for n, step in enumerate(self.service.floor.books.history))
            return listed(page_of(keyed, cursor, limit), dict)

        @routes.get("/{id}")
        async def get_book(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/rulebooks/{id}"))],
        ) -> dict[str, Any]:
            """One book with its texts, and what it would change in the active one.

            Who is not of compliance reads the texts only of books without rules for compliance alone.
            """
            books = self.service.floor.books
            found = books.find(id)
            job = Job(found.files, against=books.find("active").files)
            known = await self._read(job)
            told = known.changes or {}
            if sees_all(who.role):
                return {**found.shown(), "texts": dict(found.files), "changes": told}
            shown = {kind: [rule for rule in rules if rule in known.open_rules] for kind, rules in told.items()}
            return {**found.shown(), "texts": dict(found.files) if known.all_open else None, "changes": shown}

    def trying(self, routes: APIRouter) -> None:
        """What changes nothing but the shelf."""

        @routes.post("")
        async def upload(texts: Texts, who: Annotated[Principal, Depends(require("/v1/rulebooks"))]) -> dict[str, Any]:
            """Keep a book. The same rules again are the same book. 422 with findings for texts that are no rules."""
            return await self._upload(texts, who)

        @routes.post("/lint")
        async def lint(
            texts: Texts, _who: Annotated[Principal, Depends(require("/v1/rulebooks/lint"))]
        ) -> dict[str, Any]:
            """Findings of texts, without keeping them."""
            return await self._lint(_all_texts(texts))

        @routes.post("/{id}/lint")
        async def lint_known(
            id: str,  # noqa: A002
            _who: Annotated[Principal, Depends(require("/v1/rulebooks/{id}/lint"))],
        ) -> dict[str, Any]:
            """Findings of a kept book: none, unless the vocabulary has changed since."""
            return await self._lint(self.service.floor.books.find(id).files)

        @routes.post("/{id}/test")
        async def test(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/rulebooks/{id}/test"))],
        ) -> dict[str, Any]:
            """Run every example of every rule."""
            known = await self._tested(self.service.floor.books.find(id))
            return _tests(known).shown(None if sees_all(who.role) else known.open_rules)

    def deciding(self, routes: APIRouter) -> None:
        """What two persons do."""

        @routes.post("/{id}/activate", status_code=202)
        async def activate(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/rulebooks/{id}/activate"))],
            why: Reason | None = None,
        ) -> dict[str, Any]:
            """Ask for a book to become active. Runs its tests first."""
            return await self._ask(id, who, (why or Reason()).reason)

        @routes.post("/{id}/approve")
        async def approve(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/rulebooks/{id}/approve"))],
        ) -> dict[str, Any]:
            """Agree as the second person: from now on this book decides."""
            return await self._approve(id, who)

        @routes.post("/{id}/reject")
        async def reject(
            id: str,  # noqa: A002
            who: Annotated[Principal, Depends(require("/v1/rulebooks/{id}/reject"))],
            why: Reason | None = None,
        ) -> dict[str, Any]:
            """Refuse what was asked for; who asked may do so as well."""
            found = self.service.floor.books.find(id, "requested")
            return await self._step(found.id, who, action="reject", reason=(why or Reason()).reason)

    # ---- work ------------------------------------------------------------------------------------

    def active(self) -> tuple[str, int]:
        """Hash and number of the rules in force, for the figures."""
        desk = self.service.floor.desk
        return ("", 0) if desk is None else (desk.book.hash, len(desk.book.versions))

    async def _upload(self, texts: Texts, who: Principal) -> dict[str, Any]:
        files = _all_texts(texts)
        known = await self._read(Job(files))
        books = self.service.floor.books
        if known.hash in books.uploaded:
            return {**books.find(known.hash).shown(), "status": "known"}
        books.room()  # only now: others were uploaded while this one was read
        told = {"name": texts.name, "files": files, "rules": known.rules}
        return {**await self._step(known.hash, who, action="upload", **told), "status": "uploaded"}

    async def _lint(self, files: Mapping[str, str]) -> dict[str, Any]:
        try:
            known = await self._read(Job(files))
        except RuleFileError as error:
            return {"ok": False, "findings": findings_of(error), "count": len(error.problems), "rules": 0}
        return {"ok": True, "findings": [], "count": 0, "rules": known.rules, "id": known.hash}

    async def _read(self, job: Job) -> Found:
        return await self.reading_lane.run(partial(self.process.run, job))

    async def _tested(self, uploaded: Uploaded) -> Found:
        """The book with the results of its examples, run once for a book."""
        known = self._results.get(uploaded.id)
        if known is None:
            known = self._results[uploaded.id] = await self._read(Job(uploaded.files, examples=True))
            while len(self._results) > REMEMBERED:
                self._results.popitem(last=False)
        return known

    async def _ask(self, identifier: str, who: Principal, reason: str) -> dict[str, Any]:
        found = self.service.floor.books.find(identifier, *ASKABLE)
        results = _tests(await self._tested(found))
        results.require()
        await self._prepared(found.id)
        found = self.service.floor.books.find(found.id, *ASKABLE)
        return await self._step(found.id, who, action="request", reason=reason, tests=results.passed)

    async def _approve(self, identifier: str, who: Principal) -> dict[str, Any]:
        found = self.service.floor.books.find(identifier, "requested")
        self._second(found, who)
        await self._prepared(found.id)
        self._second(self.service.floor.books.find(found.id, "requested"), who)
        return await self._step(found.id, who, action="activate")

    @staticmethod
    def _second(found: Uploaded, who: Principal) -> None:
        if found.requested is None:
            raise Problem(409, "wrong-state", "Nobody has asked for this book.", state=found.state)
        second_person(found.requested, who)

    async def _prepared(self, identifier: str) -> None:
        """Join the book with the limits as they are: then the step that follows at once cannot fail on them."""
        while True:
            floor = self.service.floor
            limits: tuple[Version, ...] = floor.limits.alive()
            await self.background.run(lambda f=floor, a=limits: f.books.joined(identifier, f.limits.book_of(a)))  # type: ignore[misc]
            if self.service.floor is floor and floor.limits.alive() == limits:
                return

    async def _step(self, identifier: str, who: Principal, **told: Any) -> dict[str, Any]:
        record = await self.service.step(KIND, identifier, "", self.service.stamp(who, id=identifier, **told))
        shown = self.service.floor.books.find(identifier).shown()
        return {**shown, "recorded": place(self.service, record)}


def _tests(known: Found) -> Tested:
    """The results of a job that asked for them."""
    assert known.tested is not None
    return known.tested


def _all_texts(texts: Texts) -> dict[str, str]:
    """The files with those of the library, where it is asked for. Raises Problem 422."""
    if any(not name.endswith((".yaml", ".yml")) for name in texts.files):
        raise Problem(422, "bad-file-name", "Rule files are called something.yaml.")
    if texts.base is None:
        if not texts.files:
            raise Problem(422, "no-files", "A rule book has at least one file.")
        return dict(texts.files)
    library = {f"{LIBRARY}/{name}": text for name, text in read_folder(shipped_rules()).items()}
    return {**library, **texts.files}
