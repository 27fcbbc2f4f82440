"""How often a caller may call.

In: a caller's name, its rate, a clock that never goes back. Out: zero, or how long to wait. Guaranteed: whole
nanoseconds only; memory is bounded, and forgetting a caller never makes it wait longer. Why this form of the token
bucket (GCRA): one number for each caller says when its bucket is full again. Before: nothing. After: `guard.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SECOND = 1_000_000_000


class Rates:
    """One bucket for each caller, filled at its rate, holding `burst_s` seconds' worth."""

    def __init__(
        self, burst_s: int = 1, callers_max: int = 10_000, since: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._burst = burst_s * SECOND
        self._callers_max = callers_max
        self._since = since
        self._full_at: dict[str, int] = {}

    def wait(self, caller: str, spacing: int) -> int:
        """Nanoseconds to wait, 0 when the call is within the rate (and then it is counted).

        `spacing` is the rate turned over: nanoseconds from one call to the next.
        """
        now = self._since()
        full_at = self._full_at.get(caller, now)
        full_at = max(full_at, now)
        full_at += spacing
        late = full_at - now - self._burst
        if late > 0:
            return late
        if len(self._full_at) >= self._callers_max and caller not in self._full_at:
            self._forget(now)
        self._full_at[caller] = full_at
        return 0

    def _forget(self, now: int) -> None:
        """Drop full buckets, which say nothing; if all are in use, the oldest tenth."""
        kept = {caller: at for caller, at in self._full_at.items() if at > now}
        for caller in list(kept)[: max(0, len(kept) - self._callers_max * 9 // 10)]:
            del kept[caller]
        self._full_at = kept
