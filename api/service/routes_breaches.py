"""`GET /v1/breaches`: every requirement that does not hold now, over all accounts the caller may see.

In: which accounts. Out: findings, most severe first, with observed, limit and margin. Guaranteed: requirements that
nobody can judge are listed as undecided, not left out; rules for compliance alone are shown to compliance alone.
Refused by `Problem`: 403 `account-not-permitted`, 503. Before: `utilisation.py`, `views.py`. After: `app.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from lexorder.api.service.access import require
from lexorder.api.service.background import Background
from lexorder.api.service.principal import Principal
from lexorder.api.service.service import Service, visible
from lexorder.api.service.utilisation import Use, covering, today, uses
from lexorder.api.service.views import sees_all
from lexorder.engine.rule import Audience, Phase, Rule, Severity
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.verdict import Status

RANK = {Severity.HARD: 0, Severity.SOFT: 1, Severity.WARN: 2}
LISTED_MAX = 10_000


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/v1", tags=["limits"])
    background = Background()

    @routes.get("/breaches")
    async def get_breaches(
        who: Annotated[Principal, Depends(require("/v1/breaches"))],
        account: Annotated[str | None, Query(max_length=200)] = None,
        rule: Annotated[str | None, Query(max_length=200)] = None,
        undecided: bool = True,
        limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 1000,
    ) -> dict[str, Any]:
        """What is broken now, working orders counted in every fill state. `undecided=false` leaves those out."""
        service.ready()
        if account is not None:
            service.access.permit_account(who, account)
        desk = service.floor.standing
        snapshot, book = desk.snapshot, desk.book
        accounts = visible(who, snapshot.accounts if account is None else [account])
        found = await background.run(lambda: _broken(service, snapshot, book, accounts))
        wanted = [u for u in found if _wanted(u, rule, undecided=undecided, full=sees_all(who.role))]
        return {
            "time": snapshot.time.isoformat(),
            "snapshot_hash": snapshot.hash,
            "accounts": len(accounts),
            "count": len(wanted),
            "items": [use.shown() for use in wanted[:limit]],
        }

    return routes


def _wanted(use: Use, rule: str | None, *, undecided: bool, full: bool) -> bool:
    if not full and use.rule.audience is not Audience.EVERYONE:
        return False
    return (rule is None or use.rule.id == rule) and (undecided or use.finding.status is not Status.UNDECIDED)


def _broken(service: Service, snapshot: Snapshot, book: RuleBook, accounts: Sequence[str]) -> list[Use]:
    rules = book.on(today(snapshot))
    watched = [r for r in rules if r.require is not None and r.for_each != "order" and _is_watched(r)]
    found = [
        use
        for account in accounts
        for use in uses(
            snapshot,
            service.vocabulary,
            account,
            [r for r in watched if covering(r, snapshot, [account])],
            [r for r in rules if covering(r, snapshot, [account])],
        )
        if use.broken
    ]
    undecided = Status.UNDECIDED
    return sorted(found, key=lambda u: (u.finding.status is undecided, RANK[u.rule.severity], u.account, u.rule.id))


def _is_watched(rule: Rule) -> bool:
    """Whether a rule says something about a book that nobody trades in: all but those for rebalances or signals."""
    return bool(rule.phases & {Phase.MONITOR, Phase.PRE_TRADE})
