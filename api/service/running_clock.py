"""What time it is for the desk, and how the machine's own clocks may and may not move it.

In: the snapshot's time, the wall clock and the monotonic clock (as functions, so that tests turn them). Out: `now()`.
Guaranteed: time never runs backwards between snapshots; a jump of the wall clock does not move a `snapshot` clock,
which runs by the monotonic clock. Refused: nothing. Why a running clock at all: a price that nobody renews must become
too old even when no event arrives. Before: `settings.py`. After: `floor.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EXCHANGE = ZoneInfo("America/New_York")


def wall_now() -> datetime:
    """The machine's time, in UTC."""
    return datetime.now(UTC)


class RunningClock:
    """The desk's time. `source` is `snapshot`, `wall` or `feed` (see `settings.py`)."""

    def __init__(
        self,
        source: str,
        wall: Callable[[], datetime] = wall_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.wall = wall
        self.monotonic = monotonic
        self._start: datetime = wall().astimezone(EXCHANGE)
        self._since = monotonic()

    def set(self, moment: datetime) -> None:
        """A snapshot or an event says what time it is: run on from there."""
        self._start, self._since = moment, self.monotonic()

    def resume(self, moment: datetime, recorded: datetime) -> None:
        """After a restart: the desk's time when the last record was made, and the wall time of that record."""
        gone = max(self.wall() - recorded, timedelta(0))
        self.set(moment if self.source == "feed" else moment + gone)

    def now(self) -> datetime:
        """The desk's time, in whole milliseconds, never before what was last set."""
        if self.source == "feed":
            return self._start
        if self.source == "wall":
            moment = self.wall().astimezone(EXCHANGE)
            self._start = max(self._start, moment)
            return self._start
        gone = int((self.monotonic() - self._since) * 1000)
        return self._start + timedelta(milliseconds=gone)
