"""Deadlines for CLIPS: one thread that stops an environment which has been at it too long.

In: `Watched` things that say which piece of work they are at. Out: their `stop` is called once a piece of work has
lasted a whole number of ticks. Guaranteed: on the decision path the price is two attribute writes and one read; a stop
never leaks into the next piece of work (see `Watched.finish`). Refused: nothing. Why a thread: CLIPS does not come
back from a loop inside one right-hand side, and a Python signal handler only runs once it has. Why this is not a clock
of the engine: no decision depends on when the thread wakes, except that work far too slow becomes an error.
Before: `clipslib.py`. After: `session.py`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

TICK_MS = 20
"""How often the thread looks, in milliseconds: deadlines are kept to within two ticks."""


class Watched:
    """One environment's place in the watchdog's round.

    `stop(True)` halts the environment and `stop(False)` withdraws the halt; `ticks` is how many looks a piece of work
    may last. Work is bracketed by `work = next` and `finish()`.
    """

    __slots__ = ("__weakref__", "count", "looks", "seen", "stop", "ticks", "tripped", "work")

    def __init__(self, stop: Callable[[bool], None], ticks: int) -> None:
        self.stop = stop
        self.ticks = ticks
        self.count = 0
        self.work = 0
        self.seen = 0
        self.looks = 0
        self.tripped = 0

    def start(self) -> None:
        """A piece of work begins."""
        self.count += 1
        self.work = self.count

    def finish(self) -> bool:
        """The work is over; whether its deadline had passed.

        The order matters: `work` is cleared before `tripped` is read, and the thread sets `tripped` before it reads
        `work`. So either the thread sees that the work is over and does not halt, or this sees that it may have
        halted and, holding the lock, withdraws the halt. `tripped` says for which piece of work it is: the thread may
        come to set it only when that piece is over, and the next one must not be called late for it.
        """
        self.work = 0
        if not self.tripped:
            return False
        with _LOCK:
            late = self.tripped == self.count
            self.tripped = 0
            self.stop(False)
        return late

    def look(self) -> None:
        """The thread's visit, under the lock."""
        work = self.work
        if not work or work != self.seen:
            self.seen, self.looks = work, 0
            return
        self.looks += 1
        if self.looks >= self.ticks:
            self.tripped = work
            if self.work == work:
                self.stop(True)


_LOCK = threading.RLock()
_WATCHED: weakref.WeakSet[Watched] = weakref.WeakSet()
_WAKE = threading.Event()
_THREADS: list[threading.Thread] = []


def watch(stop: Callable[[bool], None], milliseconds: int) -> Watched:
    """Begin to watch an environment whose pieces of work may last `milliseconds` (at least two ticks)."""
    watched = Watched(stop, max(1, -(-milliseconds // TICK_MS)))
    with _LOCK:
        _WATCHED.add(watched)
        if not _THREADS or not _THREADS[0].is_alive():
            _THREADS[:] = [threading.Thread(target=_rounds, name="lexorder-watchdog", daemon=True)]
            _THREADS[0].start()
    return watched


def forget(watched: Watched) -> None:
    """Stop watching: the environment is about to go. Afterwards `stop` is never called again."""
    with _LOCK:
        _WATCHED.discard(watched)


def _rounds() -> None:
    while True:
        _WAKE.wait(TICK_MS / 1000)  # a float of the waiting primitive, not of any amount
        with _LOCK:
            for watched in tuple(_WATCHED):
                watched.look()
            if not _WATCHED:
                _THREADS.clear()
                return
