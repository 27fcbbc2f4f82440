"""Following a desk: every event it takes is kept until it is sorted to the accounts it can alter.

In: a desk, the events it tells. Out: the rules that are watched, what is due, the number up to which events are sorted.
Guaranteed: another desk, other rules or another date make everything due; so do events that could not be sorted, or
were too many to keep. Refused: nothing. Why sorted later: telling is on the path of every order, and must cost next to
nothing. Before: `due.py`, `pacing.py`. After: `monitoring.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from lexorder.api.service.due import Dues
from lexorder.api.service.pacing import short_turns
from lexorder.api.service.utilisation import today
from lexorder.api.service.watched import Watched, watched
from lexorder.engine.desk import Desk
from lexorder.engine.rulebook import RuleBook

SORTED_HERE = 8
"""Up to this many events are sorted in the event loop, since each may concern every account; more in a thread."""

EVENTS_MAX = 100_000
"""More events than that in one go, and everything is due."""


class Following:
    """One desk as it goes on. Events are numbered from 1; `told` is the number of the newest.

    `stir` is called when events come after a while without any. `known` and `dues` are there after the first `follow`.
    """

    def __init__(self, owns: Callable[[str], bool], stir: Callable[[], None]) -> None:
        self.owns = owns
        self.stir = stir
        self.desk: Desk | None = None
        self.known: Watched | None = None
        self.dues: Dues | None = None
        self.told = 0
        self._sorted = 0
        self._book: RuleBook | None = None
        self._day: date | None = None
        self._events: list[Any] = []
        self._at = 0.0
        self._lost = self._sorting = False

    def follow(self, desk: Desk) -> bool:
        """See whether desk, rules or date are others now; whether the desk is."""
        if desk is not self.desk:
            why = "start" if self.desk is None else "snapshot"
            self.desk, self._events, self._lost = desk, [], False
            self.told = self._sorted = 0
            desk.watchers.append(lambda event: self._tell(desk, event))
            known = self._know(desk)
            self.dues = Dues(desk.live, known, self.owns)
            self.dues.all(0, time.monotonic(), why)
            return True
        if desk.book is not self._book or today(desk.tables) != self._day:
            why = "rules" if desk.book is not self._book else "time"
            known = self._know(desk)
            assert self.dues is not None
            self.dues.known = known
            self.dues.all(self.told, time.monotonic(), why)
        return False

    def _know(self, desk: Desk) -> Watched:
        self._book, self._day = desk.book, today(desk.tables)
        self.known = watched(desk.book, self._day, desk.vocabulary)
        return self.known

    def _tell(self, desk: Desk, event: Any) -> None:
        """An event was taken. On the path of every order: as short as can be."""
        if desk is not self.desk:
            return
        self.told += 1
        if not self._events:
            self._at = time.monotonic()
            self.stir()
        elif len(self._events) >= EVENTS_MAX:
            self._events.clear()
            self._lost = True
        self._events.append(event)

    @property
    def waiting_since(self) -> float | None:
        """When the oldest event came that is not sorted."""
        return self._at if self._events else None

    def reached(self, number: int) -> bool:
        """Whether all events up to this one are sorted; a few are sorted now."""
        if self._sorted < number and not (self._sorting or self._lost) and len(self._events) <= SORTED_HERE:
            self._sort(self._taken())
        return self.dues is not None and self._sorted >= number

    async def sort(self) -> None:
        """Sort what has been told. Whatever goes wrong, everything is due then."""
        dues, number = self.dues, self.told
        if dues is None or len(self._events) <= SORTED_HERE or self._lost:
            self._sort(self._taken())
            return
        events, self._sorting = self._taken(), True
        try:
            await asyncio.to_thread(_sort_aside, dues, events, self._sorted + 1, self._at)
        except Exception:
            dues.all(self._sorted + 1, self._at, "accounts")
            raise
        finally:
            self._sorting = False
            if self.dues is dues:
                self._sorted = number

    def _taken(self) -> list[Any]:
        events, self._events = self._events, []
        return events

    def _sort(self, events: list[Any]) -> None:
        if self.dues is None:
            return
        first, lost, self._sorted, self._lost = self._sorted + 1, self._lost, self.told, False
        if lost:
            self.dues.all(first, self._at, "accounts")
            return
        try:
            self.dues.sort(events, first, self._at)
        except Exception:
            self.dues.all(first, self._at, "accounts")
            raise


def _sort_aside(dues: Dues, events: Sequence[Any], first: int, at: float) -> None:
    with short_turns():
        dues.sort(events, first, at)
