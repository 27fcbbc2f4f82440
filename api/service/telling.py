"""Whatever changes the world, the rules or a trading state, told to every worker in one order.

In: such a request, at any worker. Out: one answer. Guaranteed: worker 0 leads: it takes one after the other of the same
kind, itself first, so that two that come at once at two workers cannot end differently; a batch that one worker would
refuse is taken by none; what could not be told to all is 503, and a repetition reaches who missed it. Halts wait for
nobody: they are told by whoever is asked to all at once. Refused by `Problem`: 503 `shard-unavailable`, what
`rehearsing.py` refuses. Why two queues: activating rules takes seconds in which prices must go on, and neither changes
what the other is. Before: `peers.py`, `rehearsing.py`. After: `sharding.py`.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import msgspec

from lexorder.api.service.agreed import RULES, WORLD
from lexorder.api.service.catching_up import LEADER, CatchingUp
from lexorder.api.service.guard import URGENT
from lexorder.api.service.peers import Answer, App, Peers, Receive, Scope
from lexorder.api.service.problems import Problem, of_error, request_id
from lexorder.api.service.rehearsing import REHEARSED, joint, rehearse, words
from lexorder.engine.errors import LexorderError

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

WORKING = "/v1/working-orders"

LEAD, TRY, AFTER = "/peer/lead", "/peer/try", "/peer/after"
"""Beginnings of paths among workers: tell this to everybody; would you take this; take this behind that."""

TO = re.compile(r"/peer/(?:lead|try|after/(rules|facts)/([0-9]{1,18})/([0-9a-f]{64}))(?=/v1/)")

OF_RULES = re.compile(r"/v1/(limits|rulebooks)(/.*)?")
"""What waits in the queue of rules; everything else is about the world."""

UNCHAINED = re.compile(r"/v1/(snapshot|(accounts|traders)/.*)")
"""What follows from nothing before: the whole world, and who the humans are."""


class Telling:
    """What one worker does about it."""

    def __init__(self, app: App, service: Service, peers: Peers, catching: CatchingUp) -> None:
        self.app = app
        self.service = service
        self.peers = peers
        self.catching = catching
        self.own = service.settings.shard
        self.others = [k for k in range(service.settings.workers) if k != self.own]
        self.queues = {RULES: asyncio.Lock(), WORLD: asyncio.Lock()}

    async def tell(self, scope: Scope, receive: Receive) -> Answer:
        """Tell every worker. Raises Problem."""
        if scope["path"] in URGENT:
            return await self._everyone(scope, receive)
        if self.own != LEADER:
            return await self.peers.ask(LEADER, scope, to=LEAD)
        return await self.lead(scope, receive)

    async def lead(self, scope: Scope, receive: Receive) -> Answer:
        """At worker 0: one after the other. Raises Problem."""
        path = scope["path"]
        name = RULES if OF_RULES.fullmatch(path) else WORLD
        async with self.queues[name]:
            rehearsed = scope["method"] == "POST" and REHEARSED.fullmatch(path)
            refused = await self._rehearsed(scope) if rehearsed else None
            chain = self.service.floor.agreed.chains[name]
            behind = "" if UNCHAINED.fullmatch(path) else f"{AFTER}/{name}/{chain.count}/{chain.digest}"
            return refused or await self._everyone(scope, receive, behind)

    async def hear(self, scope: Scope, receive: Receive) -> Answer:
        """At another worker: take what worker 0 tells, behind all it told before. Raises Problem."""
        _, _, _, name, count, digest = scope["to"].split("/")
        return await self.catching.after(name, int(count), digest, lambda: Answer.of(self.app, scope, receive))

    async def _everyone(self, scope: Scope, receive: Receive, to: str = "") -> Answer:
        """Tell every worker, this one first; the strictest answer wins."""
        own = await Answer.of(self.app, scope, receive)
        if own.status >= 400 and not may_differ(own):
            return own
        answers = await asyncio.gather(*(self._asked(k, scope, to) for k in self.others))
        return next((answer for answer in answers if answer.status >= 400), own)

    async def _asked(self, shard: int, scope: Scope, to: str) -> Answer:
        """The answer of a worker, or that it cannot be reached: the others are told all the same."""
        try:
            return await self.peers.ask(shard, scope, to=to)
        except Problem as problem:
            return refusal(problem, scope)

    # ---- rehearsals ------------------------------------------------------------------------------

    async def _rehearsed(self, scope: Scope) -> Answer | None:
        """Nothing when every worker would take it, else the refusal. Raises Problem."""
        absent = [self.rehearse(scope)]
        for answer in await asyncio.gather(*(self.peers.ask(k, scope, to=TRY) for k in self.others)):
            if answer.status >= 400:
                return answer
            absent.append(msgspec.json.decode(answer.body))
        known = [rows for rows in absent if rows is not None]
        if len(known) == len(absent) and scope["path"] == WORKING:
            joint(scope["json"].get("items", []), known)
        return None

    def rehearse(self, scope: Scope) -> list[int] | None:
        """What this worker says of a batch. Raises Problem."""
        try:
            return rehearse(self.service, scope["path"], scope.get("json"), scope["principal"])
        except LexorderError as error:
            raise of_error(error, words()) from None


def refusal(problem: Problem, scope: Scope) -> Answer:
    """A problem as the answer of a worker."""
    return Answer(
        problem.status, ((b"content-type", b"application/problem+json"),), problem.to_bytes(request_id(scope))
    )


def may_differ(own: Answer) -> bool:
    """Whether others must hear what this worker refuses: what it took before they were back, or that something is lost.

    A gap is nobody's own: whoever does not hear of it would go on believing the feed.
    """
    return own.status == 409 and (b'"sequence-behind"' in own.body or b'"sequence-gap"' in own.body)
