"""`GET /v1/breaches`: every requirement that does not hold now, over all accounts the caller may see.

In: which accounts. Out: findings, most severe first, with observed, limit and margin. Guaranteed: requirements that
nobody can judge are listed as undecided, not left out; rules for compliance alone are shown to compliance alone; what
was not looked at within `LONGEST_S` is never called sound: `next` names the account to go on after. Refused by
`Problem`: 403 `account-not-permitted`, 503. Before: `utilisation.py`, `views.py`. After: `app.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from lexorder.api.service.access import require
from lexorder.api.service.background import Background, give_way
from lexorder.api.service.principal import Principal
from lexorder.api.service.service import Service, visible
from lexorder.api.service.utilisation import Use, covering, today, uses
from lexorder.api.service.views import sees_all
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Audience, Phase, Rule, Severity
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.verdict import Status

RANK = {Severity.HARD: 0, Severity.SOFT: 1, Severity.WARN: 2}
LISTED_MAX = 10_000
LONGEST_S = 10.0
"""Seconds one answer looks for breaches; at least one account is always looked at."""

Name = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, and the last account looked at when there are more."""

    found: tuple[Use, ...]
    accounts: int
    last: str | None


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/v1", tags=["limits"])
    background = Background()

    @routes.get("/breaches")
    async def get_breaches(  # noqa: PLR0917  each is a name in the query
        who: Annotated[Principal, Depends(require("/v1/breaches"))],
        account: Name = None,
        rule: Name = None,
        after: Name = None,
        undecided: bool = True,
        limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 1000,
    ) -> dict[str, Any]:
        """What is broken now, working orders counted in every fill state. `undecided=false` leaves those out.

        Accounts are looked at in the order of their ids, for ten seconds; `after` goes on where `next` says.
        """
        service.ready()
        if account is not None:
            service.access.permit_account(who, account)
        desk = service.floor.standing
        snapshot, book = desk.snapshot, desk.book
        accounts = visible(who, snapshot.accounts if account is None else [account])
        ahead = [a for a in accounts if after is None or a > after]
        looked = await background.run(lambda: look(snapshot, service.vocabulary, book, ahead))
        full = sees_all(who.role)
        wanted = [u for u in looked.found if _wanted(u, rule, undecided=undecided, full=full)]
        return {
            "time": snapshot.time.isoformat(),
            "snapshot_hash": snapshot.hash,
            "accounts": looked.accounts,
            "count": len(wanted),
            "items": [use.shown() for use in wanted[:limit]],
            "next": looked.last,
        }

    return routes


def _wanted(use: Use, rule: str | None, *, undecided: bool, full: bool) -> bool:
    if not full and use.rule.audience is not Audience.EVERYONE:
        return False
    return (rule is None or use.rule.id == rule) and (undecided or use.finding.status is not Status.UNDECIDED)


def look(snapshot: Snapshot, vocabulary: Vocabulary, book: RuleBook, accounts: Sequence[str]) -> Looked:
    """The breaches of accounts in their order, most severe first, for as long as there is time."""
    rules = book.on(today(snapshot))
    watched = [r for r in rules if r.require is not None and r.for_each != "order" and _is_watched(r)]
    found: list[Use] = []
    number, last, end = 0, None, time.monotonic() + LONGEST_S
    for number, account in enumerate(accounts, start=1):
        mine = [_covering(each, snapshot, account) for each in (watched, rules)]
        found += _broken(snapshot, vocabulary, account, mine)
        if time.monotonic() >= end and number < len(accounts):
            last = account
            break
    return Looked(tuple(sorted(found, key=_rank)), number, last)


def _broken(snapshot: Snapshot, vocabulary: Vocabulary, account: str, rules: Iterable[Sequence[Rule]]) -> Iterable[Use]:
    for use in uses(snapshot, vocabulary, account, *rules):
        give_way()
        if use.broken:
            yield use


def _covering(rules: Iterable[Rule], snapshot: Snapshot, account: str) -> list[Rule]:
    return [rule for rule in rules if covering(rule, snapshot, [account])]


def _rank(use: Use) -> tuple[bool, int, str, str, str]:
    undecided = use.finding.status is Status.UNDECIDED
    return undecided, RANK[use.rule.severity], use.account, use.rule.id, use.finding.subject


def _is_watched(rule: Rule) -> bool:
    """Whether a rule says something about a book that nobody trades in: all but those for rebalances or signals."""
    return bool(rule.phases & {Phase.MONITOR, Phase.PRE_TRADE})
