"""`GET /v1/breaches`: every requirement that does not hold now, and when each began and ended.

In: which accounts, or which part of the history. Out: what the monitor found, most severe first, with observed, limit
and margin, since when and because of what; or the records of beginnings and ends, oldest first. Guaranteed: what nobody
can judge is listed as undecided, not left out; rules for compliance alone are shown to compliance alone; an account
that was not looked at since it last changed is named under `behind` and never called sound. Refused by `Problem`: 403
`account-not-permitted`, 404 `no-ledger` (for the history), 422 `bad-time`, 503. Why it answers at once: the monitor has
looked already; whoever asks right after a change is waited for, `wait` seconds at most. Before: `monitoring.py`,
`breach_history.py`, `views.py`. After: `app.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from lexorder.api.service.access import require
from lexorder.api.service.breach_history import Wanted, history, time_of
from lexorder.api.service.paging import LISTED, Cursor, Key, Limit, listed, page_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.service import Service, visible
from lexorder.api.service.utilisation import Use
from lexorder.api.service.views import sees_all
from lexorder.engine.rule import Severity

RANK = {severity.value: number for number, severity in enumerate((Severity.HARD, Severity.SOFT, Severity.WARN))}
NAMED_MAX = 100
"""Accounts listed by name under `behind`; `behind_count` counts all of them."""

WAIT_S, WAIT_MAX_S = 1.0, 10.0

OPENED = ("account", "rule", "title", "severity", "subject", "reason", "observed", "limit", "margin")
"""What an item has from the record that began it, where nobody has looked since a start."""

Name = Annotated[str | None, Query(max_length=200)]


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/v1", tags=["limits"])

    @routes.get("/breaches")
    async def get_breaches(  # noqa: PLR0917  each is a name in the query
        who: Annotated[Principal, Depends(require("/v1/breaches"))],
        account: Name = None,
        rule: Name = None,
        undecided: bool = True,
        wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = WAIT_S,
        ended: Annotated[bool, Query(description="the history instead: records of beginnings and ends")] = False,
        since: Annotated[str | None, Query(alias="from", max_length=64)] = None,
        until: Annotated[str | None, Query(alias="to", max_length=64)] = None,
        cursor: Cursor = None,
        limit: Limit = LISTED,
    ) -> dict[str, Any]:
        """What is broken now, working orders counted in every fill state. `undecided=false` leaves those out.

        Accounts that changed a moment ago are looked at first, for `wait` seconds; those nobody has looked at since are
        `behind`. With `ended=true`, `from` or `to`: when breaches began and ended, oldest first.
        """
        service.ready()
        if account is not None:
            service.access.permit_account(who, account)
        if ended or since is not None or until is not None:
            wanted = Wanted(account, rule, time_of(since), time_of(until), who.accounts, who.role)
            return await history(service, wanted, cursor, limit)
        return await _now(service, who, account, wait, _Filter(rule, undecided, cursor, limit))

    return routes


class _Filter:
    """Which items are shown, on which page, and how many."""

    def __init__(self, rule: str | None, undecided: bool, cursor: str | None, limit: int) -> None:
        self.rule = rule
        self.undecided = undecided
        self.cursor = cursor
        self.limit = limit

    def takes(self, item: Mapping[str, Any]) -> bool:
        """Whether an item is one of them."""
        return (self.rule is None or item["rule"] == self.rule) and (self.undecided or item["status"] != "undecided")


async def _now(service: Service, who: Principal, account: str | None, wait: float, chosen: _Filter) -> dict[str, Any]:
    """What is open or undecided, and who is behind."""
    monitor = service.monitor
    number = monitor.told
    known = service.floor.standing.accounts
    accounts = [a for a in visible(who, known if account is None else [account]) if a in known and monitor.owns(a)]
    behind = await monitor.catch_up(accounts, number, wait)
    service.ready()  # it may have stopped meanwhile
    desk = service.floor.standing
    full = sees_all(who.role)
    items = (item for a in accounts for item in items_of(service, a, full=full) if chosen.takes(item))
    return {
        "time": desk.time.isoformat(),
        "snapshot_hash": desk.hash,
        "accounts": len(accounts) - len(behind),
        "behind": behind[:NAMED_MAX],
        "behind_count": len(behind),
        **listed(page_of(((_rank(item), item) for item in items), chosen.cursor, chosen.limit), dict),
    }


def items_of(service: Service, account: str, *, full: bool) -> Iterator[dict[str, Any]]:
    """What is broken or undecided of an account, as far as somebody in this role may know: from memory."""
    opened = service.floor.breaches.of.get(account, {})
    monitor = service.monitor
    found, rules = monitor.found.get(account), monitor.rules
    if found is None:
        yield from (_opened(body) for body in opened.values() if full or body["audience"] == "everyone")
        return
    for key, finding in found.items():
        rule = rules.get(key[0])
        if rule is not None and (full or rule.audience.value == "everyone"):
            shown = Use(account, rule, finding).shown()
            yield {**shown, **_begun(opened.get(key)), "as_of": monitor.looked[account].isoformat()}


def _opened(body: Mapping[str, Any]) -> dict[str, Any]:
    """An open breach that nobody has looked at since a start, as it was when it began."""
    nothing = {"status": "breach", "headroom": None, "used": None, "why": ""}
    return {**{key: body[key] for key in OPENED}, **nothing, **_begun(body), "as_of": body["now"]}


def _begun(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Since when, and because of what; nothing of what is only undecided."""
    if body is None:
        return {"since": None, "cause": None, "changes": []}
    changes: Sequence[str] = body["changes"]
    return {"since": body["now"], "cause": body["cause"], "changes": changes}


def _rank(item: Mapping[str, Any]) -> Key:
    undecided = str(int(item["status"] == "undecided"))
    return undecided, str(RANK[item["severity"]]), item["account"], item["rule"], item["subject"]
