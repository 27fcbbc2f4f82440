"""A worker among others: what they tell each other so that none of them acts on what it missed.

In: what every worker says of itself, now and then. Out: halts taken over, steps caught up with, feeds in doubt, or a
worker set apart. Guaranteed: a worker that was away when trading was halted halts when it is back, before it answers;
one that missed rules or facts takes them from worker 0 first, and decides nothing until it could ask; a feed of which
others have heard more is in doubt; a worker whose rules differ from those of another decides nothing until they agree;
of two trading states that stay different the stricter one holds everywhere. Refused: nothing. Before: `peers.py`,
`catching_up.py`. After: `serving.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from lexorder.api.service.catching_up import LEADER, CatchingUp
from lexorder.api.service.peers import Peers
from lexorder.api.service.problems import Problem
from lexorder.api.service.service import Service
from lexorder.api.service.trading_states import STATES

LOOK_S = 2.0
"""How often the others are looked at."""

SOON_S = 0.2
"""The same while worker 0 could not be asked yet: until then nothing is decided here."""

SYSTEM = "system"
log = structlog.get_logger("lexorder.joining")


def state_of(service: Service) -> dict[str, Any]:
    """What a worker says of itself."""
    floor, feeds = service.floor, service.floor.feeds.feeds
    return {
        "shard": service.settings.shard,
        "book": floor.desk.book.hash if floor.desk is not None else "",
        "chains": floor.agreed.ends(),
        "states": list(floor.states.known.values()),
        "feeds": {name: max(feed.last, feed.highest or 0) for name, feed in feeds.items() if feed.last is not None},
    }


async def join(service: Service, peers: Peers, catching: CatchingUp) -> None:
    """Before the first request: take over what was halted and what was told while this worker was away."""
    for state in await _states(peers):
        await _halts(service, list(_stricter(service, state["states"])))
    await look(service, peers, catching, patient=False)


async def look(service: Service, peers: Peers, catching: CatchingUp, *, patient: bool = True) -> None:
    """Compare with every worker that answers, and act on the difference.

    Patient: rules and trading states must differ at two looks in a row, since they are not changed everywhere in the
    same instant.
    """
    found = await _states(peers)
    missing = await _missing(service, catching, found, joins=not patient)
    own = state_of(service)
    differs = any(state["book"] and own["book"] and state["book"] != own["book"] for state in found)
    service.apart = missing or ("rules" if differs and (service.differed or not patient) else "")
    service.differed = differs
    if patient:
        stricter = [entry for state in found for entry in _stricter(service, state["states"])]
        await _halts(service, [entry for entry in stricter if _words(entry) in service.stricter])
        service.stricter = frozenset(map(_words, stricter))
    for state in found:
        await _gaps(service, state["feeds"])


async def _missing(service: Service, catching: CatchingUp, found: list[dict[str, Any]], *, joins: bool) -> str:
    """Catch up with worker 0; what is missing still, or may be because it does not answer."""
    if service.settings.shard == LEADER:
        return ""
    leader = next((state for state in found if state["shard"] == LEADER), None)
    if leader is None:
        return "facts" if joins or service.unheard else ""
    for name, (count, digest) in leader["chains"].items():
        if not await catching.agree(name, (count, digest), anew=joins or service.unheard):
            # A snapshot is not told everywhere in the same instant: once may be on its way.
            seen, service.missed = service.missed, name
            return str(name) if joins or name in (seen, service.apart) else ""
    service.unheard, service.missed = False, ""
    return ""


async def _states(peers: Peers) -> list[dict[str, Any]]:
    """What the workers that answer say."""
    return [state for shard in peers.clients if (state := await peers.state(shard)) is not None]


def _stricter(service: Service, states: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those of another worker's trading states that are stricter than here."""
    for entry in states:
        known = service.floor.states.state(entry["scope"], entry["id"])
        if STATES.index(entry["state"]) > STATES.index(known):
            yield entry


def _words(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return entry["scope"], entry["id"], entry["state"]


async def _halts(service: Service, states: list[Mapping[str, Any]]) -> None:
    """Take stricter trading states over."""
    for entry in states:
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


async def keep_looking(service: Service, peers: Peers, catching: CatchingUp) -> None:
    """Look at the others until cancelled."""
    while True:
        await asyncio.sleep(SOON_S if service.unheard and service.settings.shard != LEADER else LOOK_S)
        try:
            await look(service, peers, catching)
        except Exception:  # whatever it is, the next look may be better; until then nothing changes
            log.exception("look-failed")
