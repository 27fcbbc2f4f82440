"""The pace of slow work: it rests, it stops when told to, and it leaves the interpreter as it was."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from lexorder.api.service import pacing
from lexorder.api.service.pacing import BUSY, FULL, IDLE, SPELL_S, SWITCH_S, Pace, short_turns


@pytest.fixture
def clocks(monkeypatch):
    """Clocks that the test turns: own, all processor time, wall; and the rests that were taken."""

    class Clocks:
        own = everyone = wall = 0.0

        def __init__(self):
            self.rests = []

        def thread_time(self):
            return self.own

        def process_time(self):
            return self.everyone

        def perf_counter(self):
            return self.wall

        def sleep(self, seconds):
            self.rests.append(seconds)

        def work(self, own, others=0.0):
            self.own += own
            self.everyone += own + others
            self.wall += own + others

    found = Clocks()
    monkeypatch.setattr(pacing, "time", found)
    return found


def test_a_spell_is_worked_before_a_rest(clocks):
    pace = Pace(threading.Event())
    clocks.work(SPELL_S * 0.99)
    pace.step_aside()
    assert clocks.rests == []
    clocks.work(SPELL_S * 0.01)
    pace.step_aside()
    assert clocks.rests == [pytest.approx(SPELL_S * IDLE)]


@pytest.mark.parametrize(
    ("others", "length"), [(0.0, IDLE), (0.05, IDLE), (0.06, BUSY), (0.5, BUSY), (2.0, BUSY), (3.0, FULL), (10.0, FULL)]
)
def test_a_rest_is_long_where_others_work(clocks, others, length):
    pace = Pace(threading.Event())
    clocks.work(SPELL_S, others * SPELL_S)
    pace.step_aside()
    assert clocks.rests == [pytest.approx(SPELL_S * length)]


def test_a_long_piece_is_rested_for_in_proportion(clocks):
    pace = Pace(threading.Event())
    clocks.work(10 * SPELL_S)
    pace.step_aside()
    assert clocks.rests == [pytest.approx(10 * SPELL_S * IDLE)]


def test_it_stops_when_halted(clocks):
    halt = threading.Event()
    pace = Pace(halt)
    pace.step_aside()
    halt.set()
    with pytest.raises(InterruptedError):
        pace.step_aside()


def test_turns_are_short_only_meanwhile():
    before = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(min(before, SWITCH_S), rel=0.01)
    assert sys.getswitchinterval() == pytest.approx(before, rel=0.01)
    with pytest.raises(KeyError), short_turns():
        raise KeyError
    assert sys.getswitchinterval() == pytest.approx(before, rel=0.01)


def test_real_work_really_rests():
    pace, began, own = Pace(threading.Event()), time.perf_counter(), time.thread_time()
    while time.thread_time() - own < 0.05:
        pace.step_aside()
    assert time.perf_counter() - began >= 0.05 * (1 + IDLE) * 0.5  # generous: a spell is not exact
