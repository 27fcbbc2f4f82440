"""A process that is killed, late, silent or talks nonsense: every job ends, and the next one is answered rightly."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lexorder.api.service import book_process, rebalance_worker
from lexorder.api.service.book_process import BookProcess, Job
from lexorder.api.service.child_process import ChildClosed, ChildGivenUp, ChildLate, ChildLost, ChildProcess
from lexorder.api.service.problems import Problem
from lexorder.api.service.rebalance_worker import Worker
from tests.faults.served import until
from tests.service.obeying import Answered, early, gone, never, nonsense, obey, silent, slow_to_start
from tests.worlds import VOCABULARY

PATIENCE_S = 120.0
TASK: Any = "what is asked does not matter here"


@pytest.fixture(scope="module")
def child() -> Any:
    made = ChildProcess("obedient", obey, 1000)
    yield made
    made.close()


def ask(child: ChildProcess, word: str, number: int = 0, seconds: float = PATIENCE_S, heard: Any = None) -> int:
    """The answer to a job."""
    return int(child.run((word, number), seconds, Answered, heard))


def well(child: ChildProcess, number: int) -> None:
    """The process answers, whatever was before."""
    assert ask(child, "plain", number) == 1000 + number


def test_an_answer_is_that_of_its_job_and_the_process_stays(child):
    well(child, 1)
    pid = child.process.pid
    for n in range(20):
        well(child, n)
    assert child.process.pid == pid


def test_words_on_the_way_are_heard_in_order_and_are_no_answer(child):
    heard: list[int] = []
    assert ask(child, "talk", 50, heard=heard.append) == 1050
    assert heard == list(range(50))


@pytest.mark.parametrize(
    ("word", "number"),
    [("exit", 0), ("exit", 9), ("raise", 3), ("garbage", 1), ("garbage", 50_000), ("other", 1), ("talk", 1)],
)
def test_a_process_that_ends_or_talks_nonsense_gives_no_answer(child, word, number):
    well(child, number)
    old = child.process
    with pytest.raises(ChildLost):
        ask(child, word, number)
    assert not old.is_alive()
    assert child.process.pid != old.pid, "another one starts at once"
    well(child, number)


@pytest.mark.parametrize(("word", "number"), [("sleep", 100), ("half", 0), ("half", 500)])
def test_a_late_process_is_killed_whatever_it_does(child, word, number):
    well(child, 0)
    process = child.process
    with pytest.raises(ChildLate):
        ask(child, word, number, seconds=0.3)
    assert not process.is_alive()
    well(child, number)


def test_a_process_that_stands_still_while_it_is_told_is_late_too(child):
    well(child, 0)
    os.kill(child.process.pid, signal.SIGSTOP)
    with pytest.raises(ChildLate):
        child.run(("plain", b"x" * 50_000_000), 0.3, Answered)  # more than the pipe holds: nobody reads it
    well(child, 2)


def test_a_process_killed_between_two_jobs_is_started_anew(child):
    well(child, 1)
    old = child.process.pid
    os.kill(old, signal.SIGKILL)
    until(lambda: not child.process.is_alive())
    well(child, 2)
    assert child.process.pid != old


def test_a_process_killed_during_a_job_gives_no_answer(child):
    well(child, 1)
    timer = threading.Timer(0.2, os.kill, (child.process.pid, signal.SIGKILL))
    timer.start()
    with pytest.raises(ChildLost):
        ask(child, "sleep", 100)
    timer.join()
    well(child, 2)


def test_a_job_that_cannot_be_sent_gives_no_answer(child):
    with pytest.raises(ChildLost):
        child.run(lambda: None, PATIENCE_S, Answered)
    well(child, 3)


def test_what_a_listener_raises_ends_the_job_and_its_words_reach_no_other(child):
    def deaf(_said: int) -> None:
        raise ValueError("deaf")

    with pytest.raises(ValueError, match="deaf"):
        ask(child, "talk", 5, heard=deaf)
    heard: list[int] = []
    assert ask(child, "talk", 2, heard=heard.append) == 1002
    assert heard == [0, 1]


def test_an_answer_too_many_is_not_that_of_the_next_job(child):
    """The process says two things to one job: the caller of the next one must not get the second."""
    assert ask(child, "twice", 7) == -1
    with pytest.raises(ChildLost):
        ask(child, "plain", 8)
    well(child, 9)


def test_a_process_that_cannot_be_started_gives_no_answer_and_the_next_one_does(child, monkeypatch):
    def full(_process: object) -> None:
        raise BlockingIOError("no more processes")

    child.process.kill()
    until(lambda: not child.process.is_alive())
    with monkeypatch.context() as patched:
        patched.setattr("multiprocessing.process.BaseProcess.start", full)
        for _ in range(2):
            with pytest.raises(ChildLost, match="BlockingIOError"):
                ask(child, "plain")
    well(child, 4)


def test_jobs_of_several_threads_wait_for_their_turn(child):
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: ask(child, "plain", n), range(40))) == [1000 + n for n in range(40)]


# ---- what it needs to start --------------------------------------------------------------------------

START_S = 1.5
"""What a process sleeps before it is ready, as if it imported solvers."""

LIMIT_S = 0.75
"""Of a job: shorter than the start, long enough to answer when the machine has much else to do."""


@pytest.fixture
def sluggish() -> Iterator[ChildProcess]:
    made = ChildProcess("sluggish", slow_to_start, START_S)
    yield made
    made.close()


def test_what_a_process_needs_to_start_is_not_part_of_a_job_s_time(sluggish):
    assert ask(sluggish, "plain", 7, seconds=LIMIT_S) == 7


def test_after_a_job_was_given_up_the_next_one_does_not_wait_for_the_start_in_its_own_time(sluggish):
    assert ask(sluggish, "plain", 1) == 1
    old, given_up = sluggish.process, threading.Event()
    assert old is not None
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(sluggish.run, ("sleep", 100), PATIENCE_S, Answered, None, given_up)
        until(lambda: sluggish._under_way is given_up)
        sluggish.give_up(given_up)
        with pytest.raises(ChildGivenUp):
            job.result(PATIENCE_S)
    begun = sluggish.process
    assert begun is not None, "before anybody asks"
    assert begun.pid != old.pid
    assert ask(sluggish, "plain", 8, seconds=LIMIT_S) == 8
    assert sluggish.process is begun


def test_a_job_can_be_given_up_while_its_process_starts(sluggish):
    given_up = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(sluggish.run, ("plain", 1), PATIENCE_S, Answered, None, given_up)
        until(lambda: sluggish._under_way is given_up)
        sluggish.give_up(given_up)
        with pytest.raises(ChildGivenUp):
            job.result(PATIENCE_S)
    assert ask(sluggish, "plain", 2) == 2


def test_a_process_that_is_never_ready_is_late_and_one_that_says_something_else_is_lost():
    for other, seconds, error in (
        (never, 0.2, ChildLate),
        (early, PATIENCE_S, ChildLost),
        (gone, PATIENCE_S, ChildLost),
    ):
        child = ChildProcess("odd", other, starting_s=seconds)
        for _ in range(2):
            with pytest.raises(error):
                ask(child, "plain")
        child.close()
        assert child.process is None, "closed is closed: nothing is started any more"


def test_closing_while_a_process_starts_starts_no_other():
    child = ChildProcess("closing", never)
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(ask, child, "plain")
        process = until(lambda: child.process)
        child.close()
        with pytest.raises(ChildClosed):
            job.result(PATIENCE_S)
    assert not process.is_alive()
    assert child.process is None


# ---- jobs that are given up --------------------------------------------------------------------------


def test_a_job_that_is_given_up_ends_at_once_and_so_does_its_process(child):
    well(child, 1)
    process, given_up = child.process, threading.Event()
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(child.run, ("sleep", 100), PATIENCE_S, Answered, None, given_up)
        until(lambda: child._under_way is given_up)
        child.give_up(given_up)
        with pytest.raises(ChildGivenUp):
            job.result(PATIENCE_S)
    assert not process.is_alive()
    well(child, 2)


def test_a_job_that_is_given_up_while_it_waits_is_never_begun(child):
    well(child, 1)
    process, given_up, heard = child.process, threading.Event(), list[int]()
    with ThreadPoolExecutor(2) as threads:
        child._turn.acquire()
        job = threads.submit(child.run, ("talk", 3), PATIENCE_S, Answered, heard.append, given_up)
        child.give_up(given_up)
        child._turn.release()
        with pytest.raises(ChildGivenUp):
            job.result(PATIENCE_S)
    assert heard == []
    assert child.process is process
    well(child, 2)
    assert child.process is process, "nobody was killed for a job that was not begun"


def test_giving_up_a_job_that_has_ended_harms_no_other(child):
    given_up = threading.Event()
    assert child.run(("plain", 3), PATIENCE_S, Answered, None, given_up) == 1003
    process = child.process
    child.give_up(given_up)
    assert process.is_alive()
    well(child, 4)
    assert child.process is process
    with pytest.raises(ChildGivenUp):
        child.run(("plain", 5), PATIENCE_S, Answered, None, given_up)


def test_giving_up_one_of_many_jobs_ends_that_one_alone(child):
    events = [threading.Event() for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        child._turn.acquire()
        jobs = [
            threads.submit(child.run, ("plain", n), PATIENCE_S, Answered, None, event) for n, event in enumerate(events)
        ]
        for event in events[::3]:
            child.give_up(event)
        child._turn.release()
        for n, job in enumerate(jobs):
            if n % 3:
                assert job.result(PATIENCE_S) == 1000 + n
            else:
                with pytest.raises(ChildGivenUp):
                    job.result(PATIENCE_S)


def test_a_rebalance_that_is_given_up_is_cancelled_and_has_no_orders(monkeypatch):
    monkeypatch.setattr(rebalance_worker, "_serve", silent)
    worker, given_up = Worker(), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(worker.run, TASK, PATIENCE_S, lambda _words: None, given_up)
        until(lambda: worker.child._under_way is given_up)
        worker.give_up(given_up)
        result = job.result(PATIENCE_S)
    assert (result.status, result.document["code"], result.certificate) == ("cancelled", "cancelled", "")
    worker.close()


def test_closing_ends_a_job_and_takes_no_other():
    child = ChildProcess("closing", obey)
    child.warm()
    process = child.process
    assert process is not None
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(ask, child, "sleep", 100)
        until(child._turn.locked)
        waiting = threads.submit(ask, child, "plain", 1)
        child.close()
        for job in (running, waiting):
            with pytest.raises(ChildClosed):
                job.result(PATIENCE_S)
    assert child.process is None
    with pytest.raises(ChildClosed):
        ask(child, "plain")
    with pytest.raises(ChildClosed):
        child.warm()
    child.close()  # once more does nothing


# ---- what the two that are kept so tell their callers ------------------------------------------------


@pytest.mark.parametrize(
    ("other", "seconds", "code"),
    [(nonsense, PATIENCE_S, "solver-lost"), (gone, PATIENCE_S, "solver-lost"), (silent, 0.2, "solver-timeout")],
)
def test_a_rebalance_without_an_answer_is_undecided(monkeypatch, other, seconds, code):
    monkeypatch.setattr(rebalance_worker, "_serve", other)
    worker = Worker()
    result = worker.run(TASK, seconds, lambda _words: None)
    assert (result.status, result.document["code"], result.certificate) == ("undecided", code, "")
    worker.close()
    closed = worker.run(TASK, seconds, lambda _words: None)
    assert (closed.status, closed.document["code"]) == ("undecided", "not-ready")


@pytest.mark.parametrize(
    ("other", "seconds", "code"),
    [
        (nonsense, PATIENCE_S, "rules-process-lost"),
        (gone, PATIENCE_S, "rules-process-lost"),
        (silent, 0.2, "rules-timeout"),
    ],
)
def test_a_rule_book_without_an_answer_is_no_rule_book(monkeypatch, other, seconds, code):
    monkeypatch.setattr(book_process, "_serve", other)
    process = BookProcess(VOCABULARY, longest_s=seconds)
    with pytest.raises(Problem) as none:
        process.run(Job({"a": ""}))
    assert (none.value.status, none.value.code) == (503, code)
    process.close()
