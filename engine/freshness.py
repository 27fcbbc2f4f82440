"""Which instruments' facts become too old, or fresh again, when the time moves.

In: the live facts and the vocabulary's age limits. Out: the symbols whose facts change state between two times.
Guaranteed: a symbol is reported whenever `snapshot.read` would answer differently for one of its facts. Refused:
nothing. Why apart: a clock event must cost nothing while no age limit passes. Before: `live.py`. After: `compile.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

from lexorder.engine.live import Live
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts


class Freshness:
    """Keeps for each instrument when the first of its facts becomes too old."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.aging = tuple((n.as_of, n.max_age) for n in vocabulary.names.values() if n.max_age is not None and n.as_of)
        self.names = frozenset(n.name for n in vocabulary.names.values() if n.max_age is not None)
        self.limits: dict[str, tuple[datetime, ...]] = {}
        self.earliest: datetime | None = None
        self.time: datetime | None = None

    def watch(self, live: Live) -> None:
        """Start anew with all instruments."""
        self.time = live.snapshot.time
        for symbol in live.instruments:
            self.note(live, symbol)
        self._next()

    def note(self, live: Live, symbol: str) -> None:
        """The facts of an instrument have changed."""
        limits = self._limits(live.instruments[symbol])
        self.limits[symbol] = limits
        ahead = [limit for limit in limits if self.time is not None and limit >= self.time]
        if ahead and (self.earliest is None or min(ahead) < self.earliest):
            self.earliest = min(ahead)

    def turned(self, live: Live) -> list[str]:
        """The symbols with a fact that has become too old, or fresh again, since the last call."""
        before, now = self.time, live.snapshot.time
        self.time = now
        if before is not None and before <= now and (self.earliest is None or now <= self.earliest):
            return []
        turned = [s for s, limits in self.limits.items() if any((before > x) != (now > x) for x in limits if before)]
        self._next()
        return turned

    def _limits(self, facts: Facts) -> tuple[datetime, ...]:
        """The last moments at which facts are still fresh; none for facts without a time of their own."""
        found = set()
        for as_of, age in self.aging:
            taken = facts.get(as_of)
            if isinstance(taken, datetime) and age is not None:
                found.add(taken + duration(age))
        return tuple(found)

    def _next(self) -> None:
        ahead = [x for limits in self.limits.values() for x in limits if self.time is not None and x >= self.time]
        self.earliest = min(ahead, default=None)


def duration(seconds: Fraction) -> timedelta:
    """An age limit as a difference of times; these have whole microseconds, so a finer limit is cut down to one."""
    return timedelta(microseconds=int(seconds * 10**6))
