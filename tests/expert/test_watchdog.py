"""Deadlines: late work is stopped, work in time never is, and a stop never reaches the piece of work after it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from itertools import product

import pytest

from lexorder.engine.expert import watchdog
from lexorder.engine.expert.watchdog import TICK_MS, Watched, forget, watch


class Halts:
    """What an environment is told, in order; `halted` as it stands."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def __call__(self, halt: bool) -> None:
        self.told.append(halt)

    @property
    def halted(self) -> bool:
        return bool(self.told) and self.told[-1]


def watched(ticks: int = 2) -> tuple[Watched, Halts]:
    """A watched thing that no thread visits: tests do the visiting."""
    halts = Halts()
    return Watched(halts, ticks), halts


class TestLooks:
    @pytest.mark.parametrize("ticks", [1, 2, 3, 13])
    def test_work_is_stopped_once_it_has_lasted_whole_ticks(self, ticks):
        """The first look only notes the work: it may have begun just before."""
        one, halts = watched(ticks)
        one.start()
        for _ in range(ticks):
            one.look()
            assert not halts.told
        one.look()
        assert halts.told == [True]
        assert one.finish()
        assert halts.told == [True, False]

    def test_work_in_time_is_left_alone(self):
        one, halts = watched(2)
        for _ in range(50):
            one.start()
            one.look()
            one.look()
            assert not one.finish()
        assert not halts.told

    def test_two_short_pieces_are_not_one_long_one(self):
        one, halts = watched(1)
        for _ in range(50):
            one.start()
            one.look()
            assert not one.finish()
        assert not halts.told

    def test_rest_between_pieces_does_not_count(self):
        one, halts = watched(2)
        one.start()
        one.look()
        one.look()
        one.finish()
        for _ in range(20):
            one.look()
        one.start()
        one.look()
        one.look()
        assert not one.finish()
        assert not halts.told

    def test_late_work_is_told_late_once(self):
        one, _ = watched(1)
        one.start()
        one.look()
        one.look()
        assert one.finish()
        assert not one.finish()
        one.start()
        assert not one.finish()

    def test_work_without_end_is_stopped_again(self):
        """A halt may have been withdrawn by CLIPS itself on the way."""
        one, halts = watched(1)
        one.start()
        for _ in range(4):
            one.look()
        assert halts.told == [True, True, True]

    @pytest.mark.parametrize("late", [False, True])
    def test_starting_by_hand_is_starting(self, late):
        """`book.py` writes the two attributes itself."""
        one, _ = watched(1)
        one.count = one.work = one.count + 1
        one.look()
        if late:
            one.look()
        assert one.finish() is late


class Cut(Watched):
    """A watched thing whose worker does something just before or after the thread reads what it is working at."""

    __slots__ = ("after", "before", "reads", "working")

    def __init__(self, stop: Halts, ticks: int) -> None:
        self.working = self.reads = 0
        self.before: dict[int, Callable[[], None]] = {}
        self.after: dict[int, Callable[[], None]] = {}
        super().__init__(stop, ticks)

    @property
    def work(self) -> int:
        self.reads += 1
        self.before.pop(self.reads, lambda: None)()
        found = self.working
        self.after.pop(self.reads, lambda: None)()
        return found

    @work.setter
    def work(self, work: int) -> None:
        self.working = work


class TestInterleavings:
    """The worker's steps between the thread's: no halt is left standing, and nobody is late for somebody else."""

    def cut(self, read: int, when: str, step: Callable[[Cut], None]) -> tuple[Cut, Halts]:
        """A late piece of work, whose worker takes `step` around the n-th time the thread reads `work`."""
        halts = Halts()
        one = Cut(halts, 1)
        one.start()
        one.look()
        one.reads = 0
        getattr(one, when)[read] = lambda: step(one)
        one.look()
        return one, halts

    @pytest.mark.parametrize(("read", "when"), [(1, "before"), (1, "after")])
    def test_work_that_ends_before_the_thread_trips_is_not_late(self, read, when):
        """`finish` runs whole: it has nothing to wait for."""
        ends: list[bool] = []
        one, halts = self.cut(read, when, lambda one: ends.append(one.finish()))
        assert ends == [False]
        assert not halts.halted
        one.start()
        assert not one.finish(), "the next piece of work is called late for the last one"
        assert not halts.halted

    @pytest.mark.parametrize(("read", "when"), [(1, "before"), (1, "after")])
    def test_nor_is_the_work_after_it_halted(self, read, when):
        def go_on(one: Cut) -> None:
            one.finish()
            one.start()

        one, halts = self.cut(read, when, go_on)
        assert True not in halts.told
        assert not one.finish()

    @pytest.mark.parametrize(("read", "when"), [(2, "before"), (2, "after")])
    def test_work_that_ends_once_the_thread_has_tripped_waits_and_withdraws_the_halt(self, read, when):
        """Only the first half of `finish` fits between: the rest waits for the lock that the thread holds."""
        one, halts = self.cut(read, when, lambda one: setattr(one, "work", 0))
        assert one.finish()
        assert not halts.halted
        one.start()
        assert not one.finish()

    def test_finish_waits_for_the_thread(self):
        one, halts = watched(1)
        one.start()
        one.look()
        one.look()
        ended = threading.Event()

        def end() -> None:
            one.finish()
            ended.set()

        with watchdog._LOCK:
            worker = threading.Thread(target=end)
            worker.start()
            assert not ended.wait(TICK_MS / 500)
            assert halts.halted
        worker.join()
        assert not halts.halted

    def test_a_look_at_the_next_piece_does_not_stop_it_for_the_last(self):
        for ticks, looks in product((1, 2), range(1, 4)):
            one, halts = watched(ticks)
            one.start()
            for _ in range(looks):
                one.look()
            one.finish()
            before = len(halts.told)
            one.start()
            one.look()
            assert len(halts.told) == before
            assert not one.finish()


class TestThread:
    """The real thread; generous waits, so that a busy machine changes nothing."""

    def until(self, held: object, seconds: int = 20) -> bool:
        """Whether something came true in good time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if callable(held) and held():
                return True
            time.sleep(TICK_MS / 4_000)
        return False

    def test_late_work_is_stopped(self):
        halts = Halts()
        one = watch(halts, TICK_MS)
        one.start()
        assert self.until(lambda: halts.told)
        assert one.finish()
        assert not halts.halted
        forget(one)

    def test_nobody_is_stopped_for_another(self):
        mine, theirs = Halts(), Halts()
        busy, idle = watch(mine, TICK_MS), watch(theirs, TICK_MS)
        busy.start()
        assert self.until(lambda: mine.told)
        assert not theirs.told
        for one in (busy, idle):
            one.finish()
            forget(one)

    def test_what_is_forgotten_is_never_stopped(self):
        halts = Halts()
        one = watch(halts, TICK_MS)
        forget(one)
        one.start()
        for _ in range(4):
            time.sleep(TICK_MS / 1_000)
        assert not halts.told
        forget(one)  # twice does no harm

    def test_what_nobody_holds_is_forgotten(self):
        one = watch(Halts(), TICK_MS)
        gone = weakref.ref(one)
        del one
        assert self.until(lambda: gc.collect() is not None and gone() is None)

    def test_one_thread_watches_all(self):
        many = [watch(Halts(), 1_000)]
        before = threading.enumerate()  # a thread that another test left behind may be among them
        many += [watch(Halts(), 1_000) for _ in range(19)]
        assert {t for t in threading.enumerate() if t.name == "lexorder-watchdog"} <= set(before)
        assert any(t.name == "lexorder-watchdog" for t in before)
        for one in many:
            forget(one)

    def test_a_thread_that_went_is_begun_anew(self, monkeypatch):
        monkeypatch.setattr(watchdog, "_WATCHED", weakref.WeakSet())
        monkeypatch.setattr(watchdog, "_THREADS", [])
        first = watch(Halts(), TICK_MS)
        (thread,) = watchdog._THREADS
        forget(first)
        assert self.until(lambda: not thread.is_alive())
        assert not watchdog._THREADS
        halts = Halts()
        second = watch(halts, TICK_MS)
        second.start()
        assert self.until(lambda: halts.told)
        forget(second)

    @pytest.mark.parametrize(("milliseconds", "ticks"), [(1, 1), (TICK_MS, 1), (TICK_MS + 1, 2), (250, 13), (0, 1)])
    def test_time_is_rounded_up_to_ticks(self, milliseconds, ticks):
        one = watch(Halts(), milliseconds)
        assert one.ticks == ticks
        forget(one)
