"""A worker that missed something takes it from worker 0, which tells everything and so misses nothing.

In: how far worker 0 is. Out: the steps that were missing, taken in their order and recorded like any other. Guaranteed:
a step is only ever taken behind the same steps as at worker 0; while something is missing nothing else of its kind is
taken, and the worker decides nothing. Refused by `Problem`: 503 `shard-apart` for what does not follow from what this
worker has, such as a snapshot it missed while it decided: only a new snapshot tells what works since. Before:
`agreed.py`, `peers.py`. After: `telling.py`, `joining.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from lexorder.api.service.agreed import BEGINNING, CHAINS, RULES, WORLD, Chain
from lexorder.api.service.peers import Answer, Peers
from lexorder.api.service.problems import Problem
from lexorder.api.service.shards import PART
from lexorder.engine.errors import LexorderError

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

LEADER = 0

log = structlog.get_logger("lexorder.catching-up")

Step = tuple[str, str, dict[str, Any]]
"""Kind, reference and body, as in a record."""


async def steps_after(service: Service, name: str, count: int, digest: str) -> list[Step] | None:
    """At worker 0: the steps of a chain behind these; None when it never had these, or has forgotten."""
    chain = service.floor.agreed.chains.get(name)
    if chain is None or chain.at(count) != digest:
        return None
    latest = await service.recorded(ref="snapshot", kind="snapshot") if name == WORLD else []
    start = latest[-1].seq if latest else 0
    found = [r for kind, own in CHAINS.items() if own == name for r in await service.recorded(start=start, kind=kind)]
    steps = [(r.kind, r.ref, msgspec.json.decode(r.body)) for r in sorted(found, key=lambda r: r.seq)]
    return [step for step in steps if name == RULES or PART in step[2]][count:]


class CatchingUp:
    """What one worker does about it. `turns`: one after the other takes what belongs to a chain."""

    def __init__(self, service: Service, peers: Peers) -> None:
        self.service = service
        self.peers = peers
        self.turns = {RULES: asyncio.Lock(), WORLD: asyncio.Lock()}

    def chain(self, name: str) -> Chain:
        """A chain as it is now."""
        return self.service.floor.agreed.chains[name]

    async def after(self, name: str, count: int, digest: str, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Take what comes behind these steps of worker 0. Raises Problem 503 while something else is missing."""
        async with self.turns[name]:
            if self.chain(name).at(count) != digest:
                await self._fetch(name)
            if self.chain(name).at(count) != digest:
                raise Problem(503, "shard-apart", f"This worker and the others have different {name}.")
            if self.chain(name).count > count:
                return Answer.json({})  # it came with what was missing
            return await work()

    async def agree(self, name: str, end: tuple[int, str], *, anew: bool) -> bool:
        """Come to where worker 0 is; whether that was possible. `anew`: from its latest snapshot on, if need be."""
        async with self.turns[name]:
            if [self.chain(name).count, self.chain(name).digest] != list(end):
                await self._fetch(name, anew=anew)
            return self.chain(name).at(end[0]) == end[1]

    async def _fetch(self, name: str, *, anew: bool = False) -> None:
        """Take from worker 0 what is missing here."""
        chain = self.chain(name)
        steps = await self.peers.steps(LEADER, name, chain.count, chain.digest)
        if steps is None and anew and name == WORLD:
            steps = await self.peers.steps(LEADER, name, 0, BEGINNING)
        try:
            for kind, ref, body in steps or ():
                told = {**body, **(self.service.part.told() if name == WORLD else {})}
                await self.service.step(kind, ref, "", {**told, "now": self.service.floor.advance()})
                log.warning("caught-up", kind=kind, chain=name)
        except (LexorderError, Problem) as error:
            log.error("not-caught-up", chain=name, kind=type(error).__name__)
