"""Slow work beside the event loop: joining rule books, measuring limits, verifying the ledger.

In: a function that changes nothing the loop reads. Out: its result. Guaranteed: in one lane one work at a time, so
that orders keep a processor; at most `WAITING_MAX` wait. Refused by `Problem`: 503 `busy`. Before: nothing.
After: `routes_rulebooks.py`, `routes_limits.py`, `routes_ledger.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from lexorder.api.service.problems import Problem

T = TypeVar("T")

WAITING_MAX = 8
"""Callers that may wait for their turn."""


WAY_S = 0.0001
"""How long slow work steps aside. Not 0: a thread that gives the interpreter's lock away for no time takes it back."""


def give_way() -> None:
    """Called by slow work every few milliseconds, so that the event loop need not wait for its turn."""
    time.sleep(WAY_S)


class Background:
    """One lane."""

    def __init__(self) -> None:
        self._lane = asyncio.Lock()
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in a thread. Raises what it raises, Problem 503."""
        if self._inside > WAITING_MAX:
            raise Problem(503, "busy", "Too much slow work is waiting: try again in a minute.")
        self._inside += 1
        try:
            async with self._lane:
                return await asyncio.to_thread(work)
        finally:
            self._inside -= 1
