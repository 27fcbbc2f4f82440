"""How slow work in a thread leaves the event loop its turn: short spells, with rests as long as others need them.

In: calls of `step_aside` between small pieces of work. Out: nothing but time. Guaranteed: after at most `SPELL_S` of
work comes a rest, short where the process is otherwise idle, `BUSY` spells long where it is not and `FULL` where orders
want all of the processor, so that they keep it; while a spell lasts the interpreter changes threads every `SWITCH_S`,
so that an order which comes in the middle of a long piece waits no longer than that for its turn. Refused: nothing.
Why measured and not asked: how busy a process is shows in its processor time. Before: nothing. After: `monitoring.py`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SPELL_S = 0.002
"""Processor seconds of work between two rests."""

FULL, BUSY, IDLE = 99.0, 19.0, 0.5
"""Length of a rest in spells: a hundredth or a twentieth of the time is for this work when others work too, else two
thirds. More than a hundredth shows: at full load a twentieth cost a quarter of the orders, since each change of threads
makes an order wait and empties caches."""

FULL_SHARE, BUSY_SHARE = 0.7, 0.05
"""The shares of a processor that others must use for the process to count as full or busy."""

SWITCH_S = 0.0005


class Pace:
    """The pace of the thread that makes it; once `halt` is set the next `step_aside` raises."""

    def __init__(self, halt: threading.Event) -> None:
        self._halt = halt
        self._own = time.thread_time()
        self._all, self._wall = time.process_time(), time.perf_counter()

    def step_aside(self) -> None:
        """Rest when it is time to. Raises `InterruptedError` once halted."""
        if self._halt.is_set():
            raise InterruptedError
        own = time.thread_time()
        worked = own - self._own
        if worked < SPELL_S:
            return
        everyone, wall = time.process_time(), time.perf_counter()
        others = (everyone - self._all - worked) / max(wall - self._wall, SPELL_S)
        self._own, self._all, self._wall = own, everyone, wall
        time.sleep(worked * (FULL if others > FULL_SHARE else BUSY if others > BUSY_SHARE else IDLE))


@contextmanager
def short_turns() -> Iterator[None]:
    """While this lasts, threads change places often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
