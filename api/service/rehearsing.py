"""Whether every worker would take a batch of a feed, asked before any of them does.

In: a batch as it came. Out: which of its rows remove a working order that is not kept here. Guaranteed: nothing
changes; what this worker would refuse for what only it knows (a fill larger than its working order) is refused here,
so that the others do not take what one will not. Refused: what `floor.events` refuses, `Problem` of `joint`: 422
`unknown-thing` for an order nobody has, 409 `ambiguous-order` for one that several have. A batch that is no batch, or
is not new, is left to the feed's own route to answer. Before: `feed_events.py`. After: `telling.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from lexorder.api.service.feed_events import strangers
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem, own_words
from lexorder.api.service.routes_state import Batch, offered, told_by
from lexorder.api.service.service import Service

REHEARSED = re.compile(r"/v1/(accounts|fills|working-orders)")
"""Feeds of which one worker may refuse what another takes."""


def rehearse(service: Service, path: str, data: Any, who: Principal) -> list[int] | None:
    """Rows that remove what is not kept here, None for what is not taken. Raises SnapshotError, Problem 403, 503."""
    service.access.permit(who, "POST", path)
    service.ready()
    feed = path.rpartition("/")[2]
    try:
        batch = Batch.model_validate(data)
    except ValidationError:
        return None
    if offered(service.floor.feeds[feed], batch) != "take":
        return None
    body = told_by(batch, service)
    service.floor.events(feed, body)
    return strangers(body, service.floor.known(body)) if feed == "working-orders" else []


def words() -> frozenset[str]:
    """Names that may be repeated when a row is refused: as at the feeds' own routes."""
    return own_words() | Batch.model_fields.keys() | {"action"}


def joint(rows: Sequence[Mapping[str, Any]], absent: Sequence[Sequence[int]]) -> None:
    """Nothing when each order to be removed is one worker's, given which rows are nothing to each. Raises Problem."""
    for n, row in enumerate(rows):
        if row.get("action") == "remove":
            known = sum(n not in nothing for nothing in absent)
            if known == 0:
                raise Problem(422, "unknown-thing", "is no working order", where=f"items[{n}]")
            if known > 1:
                words = "Orders of several accounts have this id: say `account` as well."
                raise Problem(409, "ambiguous-order", words, where=f"items[{n}]")
