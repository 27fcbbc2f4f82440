"""A process beside the service that works on one thing at a time, kept alive and given up together.

In: a function that reads jobs from a pipe, and jobs. Out: what it answers. Guaranteed: one job at a time, and every job
ends: with an answer of the kinds the caller knows, or with an error after which the process is gone and the next job
starts another one, so that no answer is ever taken for that of another job. The deadline holds whatever the process
does, also when it stops in the middle of reading a job or of writing an answer; what it needs to start is not part of
it and has a limit of its own. A process that had to be ended is replaced at once, so that the next job finds one that
has started, or nearly. Refused: `ChildLost` (it died, or answered what nobody can read), `ChildLate`, `ChildClosed`.
Why a process and not a thread: a thread that computes makes the event loop wait for the interpreter's lock, and one
that crashes takes the decisions with it. Before: nothing. After: `rebalance_worker.py`, `book_process.py`.
"""

from __future__ import annotations

import multiprocessing as mp
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

STARTING_S = 60.0
"""A process may take this long to import what it needs."""

T = TypeVar("T")
Target = Callable[..., None]
Say = Callable[[object], None]


class ChildError(Exception):
    """A job has no answer. ChildError ← ChildLost, ChildLate, ChildClosed, ChildGivenUp."""


class ChildLost(ChildError):  # noqa: N818  (what became of it is the name)
    """The process died, or what it said cannot be read."""


class ChildLate(ChildError):  # noqa: N818
    """It took too long, and was killed."""


class ChildClosed(ChildError):  # noqa: N818
    """No more jobs are taken."""


class ChildGivenUp(ChildError):  # noqa: N818
    """Nobody wants the answer any more: it was not begun, or the process was killed."""


class ChildProcess:
    """One process, started when first needed or by `warm`. Safe to call from several threads; jobs queue.

    `target` runs there with its end of the pipe and `given`; see `jobs_of`. `starting_s`: seconds until it is ready.
    """

    def __init__(self, name: str, target: Target, *given: object, starting_s: float = STARTING_S) -> None:
        self.name = name
        self._target, self._given = target, given
        self._starting_s = starting_s
        self._turn = threading.Lock()  # held for the whole of a job
        self._life = threading.Lock()  # held for a moment, by whoever starts or ends the process
        self._closed = False
        self._jobs = 0
        self._under_way: threading.Event | None = None  # of the job the process works on, where it can be given up
        self.process: mp.process.BaseProcess | None = None
        self._wire: Connection | None = None
        self._ready = False  # whether the process said so

    def warm(self) -> None:
        """Start the process. Raises ChildClosed, ChildLost."""
        with self._turn:
            self._started()

    def run(
        self,
        job: object,
        seconds: float,
        answer: type[T],
        heard: Callable[[Any], None] | None = None,
        given_up: threading.Event | None = None,
    ) -> T:
        """The answer to a job: the first thing said that is an `answer`; what is said before goes to `heard`.

        Waits for earlier jobs first. `given_up` belongs to this job alone and is set by `give_up`. Raises ChildLost,
        ChildLate, ChildClosed, ChildGivenUp, and what `heard` raises.
        """
        with self._turn:
            wire = self._started(given_up)
            late = threading.Event()
            try:
                self._greeted(wire, late)
                self._jobs += 1
                with self._within(seconds, late):
                    return _asked(wire, self._jobs, job, answer, heard)
            except ChildLost:
                self._end()
                if late.is_set():
                    raise ChildLate(self.name) from None
                if self._closed:
                    raise ChildClosed(self.name) from None
                if given_up is not None and given_up.is_set():
                    raise ChildGivenUp(self.name) from None
                raise
            except BaseException:  # whatever it still says belongs to this job and not to the next
                self._end()
                raise
            finally:
                with self._life:
                    self._under_way = None
                if late.is_set() or (given_up is not None and given_up.is_set()):
                    self._end()
                self._replaced()

    def give_up(self, job: threading.Event) -> None:
        """Want no answer to the job whose `given_up` this is: kill the process if it is at it, else never begin it."""
        with self._life:
            job.set()
            if self._under_way is job and self.process is not None:
                self.process.kill()

    def close(self) -> None:
        """End the process, whatever it is doing; no more jobs are taken."""
        with self._life:
            self._closed = True
            if self.process is not None:
                self.process.kill()
        with self._turn:
            self._end()

    @contextmanager
    def _within(self, seconds: float, late: threading.Event) -> Iterator[None]:
        """Kill the process, and say so, when what is done here takes longer."""
        timer = threading.Timer(seconds, self._too_late, (late,))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # or it could kill the process during the next job

    def _greeted(self, wire: Connection, late: threading.Event) -> None:
        """Wait until the process is ready for jobs. Raises ChildLost."""
        if not self._ready:
            with self._within(self._starting_s, late):
                _heard(wire, 0)
            self._ready = True

    def _replaced(self) -> None:
        """Start another process where there is none: its imports are over, or nearly, when the next job comes."""
        with self._life:
            if self.process is None and not self._closed:
                with suppress(ChildLost):  # there is no room for one now; the next job tries again
                    self.process, self._wire = self._begun()

    def _too_late(self, late: threading.Event) -> None:
        late.set()
        with self._life:
            if self.process is not None:
                self.process.kill()

    def _started(self, given_up: threading.Event | None = None) -> Connection:
        with self._life:
            if self._closed:
                raise ChildClosed(self.name)
            if given_up is not None and given_up.is_set():
                raise ChildGivenUp(self.name)
            self._under_way = given_up
            if self.process is not None and self._wire is not None and self.process.is_alive():
                return self._wire
            self._ended()
            self.process, self._wire = self._begun()
            return self._wire

    def _begun(self) -> tuple[mp.process.BaseProcess, Connection]:
        """A new process and our end of its pipe. Raises ChildLost when there is no room for one."""
        context = mp.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=self._target, args=(theirs, *self._given), daemon=True, name=self.name)
        try:
            process.start()
        except OSError as error:
            ours.close()
            raise ChildLost(type(error).__name__) from None
        finally:
            theirs.close()
        return process, ours

    def _end(self) -> None:
        with self._life:
            self._ended()

    def _ended(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
        if self._wire is not None:
            self._wire.close()
        self.process = self._wire = None
        self._ready = False


@dataclass(frozen=True, slots=True)
class _Said:
    """What the process says, and during which job: a word that comes late is never taken for one to the next job."""

    job: int
    what: object


def _asked(wire: Connection, number: int, job: object, answer: type[T], heard: Callable[[Any], None] | None) -> T:
    """The answer that comes over the pipe. Raises ChildLost, and what `heard` raises."""
    try:
        wire.send((number, job))
    except Exception as error:
        raise ChildLost(type(error).__name__) from None
    while True:
        said = _heard(wire, number)
        if isinstance(said.what, answer):
            return said.what
        if heard is None:
            raise ChildLost(f"a {type(said.what).__name__}")
        heard(said.what)


def _heard(wire: Connection, number: int) -> _Said:
    """The next word, which must belong to this job; 0 stands for before the first. Raises ChildLost."""
    try:
        said = wire.recv()
    except Exception as error:  # a pipe that ends, or bytes that are no pickle: those can raise anything
        raise ChildLost(type(error).__name__) from None
    if not isinstance(said, _Said) or said.job != number:
        raise ChildLost("words out of turn")
    return said


def ready(wire: Connection) -> None:
    """In the other process: say that jobs may come, once everything needed is imported."""
    wire.send(_Said(0, None))


def jobs_of(wire: Connection, work: Callable[[Any, Say], object]) -> None:
    """In the other process: say that it is ready, and answer jobs with `work` until the pipe closes.

    What `work` raises ends the process. It is given the job and a function that says something before the answer is
    there.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service ends it, not the terminal
    ready(wire)
    while True:
        try:
            number, job = wire.recv()
        except (EOFError, OSError):
            return

        def say(what: object, number: int = number) -> None:
            wire.send(_Said(number, what))

        say(work(job, say))
