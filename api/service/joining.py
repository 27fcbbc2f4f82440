"""A worker among others: what they tell each other so that none of them acts on what it missed.

In: what every worker says of itself, now and then. Out: halts taken over, feeds in doubt, or a worker set apart.
Guaranteed: a worker that was away when trading was halted halts when it is back, before it answers; a feed of which
others have heard more is in doubt; a worker whose rules differ from those of another decides nothing until they agree.
Refused: nothing; a worker that does not answer is passed by, since nothing can be approved there either. Before:
`peers.py`. After: `serving.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from lexorder.api.service.peers import Peers
from lexorder.api.service.problems import Problem
from lexorder.api.service.service import Service
from lexorder.api.service.trading_states import STATES

LOOK_S = 2.0
"""How often the others are looked at."""

SYSTEM = "system"
log = structlog.get_logger("lexorder.joining")


def state_of(service: Service) -> dict[str, Any]:
    """What a worker says of itself."""
    floor, feeds = service.floor, service.floor.feeds.feeds
    return {
        "shard": service.settings.shard,
        "book": floor.desk.book.hash if floor.desk is not None else "",
        "states": list(floor.states.known.values()),
        "feeds": {name: max(feed.last, feed.highest or 0) for name, feed in feeds.items() if feed.last is not None},
    }


async def join(service: Service, peers: Peers) -> None:
    """Before the first request: take over what was halted while this worker was away."""
    for state in await _states(peers):
        await _halts(service, state["states"])
    await look(service, peers, patient=False)


async def look(service: Service, peers: Peers, *, patient: bool = True) -> None:
    """Compare with every worker that answers, and act on the difference.

    Patient: rules must differ at two looks in a row, since they are not changed everywhere in the same instant.
    """
    found = await _states(peers)
    own = state_of(service)
    differs = any(state["book"] and own["book"] and state["book"] != own["book"] for state in found)
    service.apart = "rules" if differs and (service.differed or not patient) else ""
    service.differed = differs
    for state in found:
        await _gaps(service, state["feeds"])


async def _states(peers: Peers) -> list[dict[str, Any]]:
    """What the workers that answer say."""
    return [state for shard in peers.clients if (state := await peers.state(shard)) is not None]


async def _halts(service: Service, states: list[Mapping[str, Any]]) -> None:
    """Take stricter trading states over."""
    for entry in states:
        known = service.floor.states.state(entry["scope"], entry["id"])
        if STATES.index(entry["state"]) > STATES.index(known):
            now = service.floor.advance()
            words = ("scope", "id", "state", "reason")
            await service.halts.change({**{k: entry[k] for k in words}, "now": now, "by": entry["by"]})
            log.warning("halt-taken-over", scope=entry["scope"], state=entry["state"])


async def _gaps(service: Service, feeds: Mapping[str, int]) -> None:
    """A feed that others have further is in doubt here."""
    for name, last in feeds.items():
        feed = service.floor.feeds[name]
        behind = feed.last is not None and last > feed.last
        if behind and last > (feed.highest or -1):
            try:
                body = {"now": service.floor.advance(), "by": SYSTEM, "feed": name, "sequence": last}
                await service.step("gap", name, "", body)
            except Problem:
                return


async def keep_looking(service: Service, peers: Peers) -> None:
    """Look at the others until cancelled."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await look(service, peers)
        except Exception:  # whatever it is, the next look may be better; until then nothing changes
            log.exception("look-failed")
