"""A histogram that costs a fraction of a microsecond to add to.

In: durations in seconds. Out: cumulative counts per bucket and their sum, the way Prometheus wants them. Guaranteed: a
duration exactly on a bound belongs to that bound's bucket (`le`); a duration that is negative or not a number, which a
clock that was set back can give, counts as 0. Why not `prometheus_client.Histogram`: its `observe` takes a lock for
each bucket and costs several microseconds, here it is one search in a list and two additions. Not for two threads that
add at the same time: each histogram has one writer. Before: nothing. After: `metric_families.py`, `metrics.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from prometheus_client.utils import floatToGoString

CHECK_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds; 100 µs to 1 s, for decisions, requests and commits."""

REBALANCE_BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds; 10 ms to 5 min, for what a solver works on."""


class Histogram:
    """Counts of durations per bucket; `bounds` are upper limits in seconds, ascending, without infinity."""

    __slots__ = ("_counts", "bounds", "sum_seconds")

    def __init__(self, bounds: tuple[float, ...] = CHECK_BOUNDS) -> None:
        self.bounds = bounds
        self.sum_seconds = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        if not seconds > 0.0:  # also true of a value that is not a number
            seconds = 0.0
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_seconds += seconds

    @property
    def count(self) -> int:
        """How many durations were added."""
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, int]]:
        """Upper limit as text and the number of durations up to it; the last one is `+Inf` and holds all."""
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))
