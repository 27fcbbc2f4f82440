"""A process beside the service that works on one thing at a time, kept alive and given up together.

In: a function that reads jobs from a pipe, and jobs. Out: what it answers. Guaranteed: one job at a time, and every job
ends: with an answer of the kinds the caller knows, or with an error after which the process is gone and the next job
starts another one, so that no answer is ever taken for that of another job. The deadline holds whatever the process
does, also when it stops in the middle of reading a job or of writing an answer. Refused: `ChildLost` (it died, or
answered what nobody can read), `ChildLate`, `ChildClosed`. Why a process and not a thread: a thread that computes makes
the event loop wait for the interpreter's lock, and one that crashes takes the decisions with it. Before: nothing.
After: `rebalance_worker.py`, `book_process.py`.
"""

from __future__ import annotations

import multiprocessing as mp
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

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

    `target` runs there with its end of the pipe and `given`; see `jobs_of`.
    """

    def __init__(self, name: str, target: Target, *given: object) -> None:
        self.name = name
        self._target, self._given = target, given
        self._turn = threading.Lock()  # held for the whole of a job
        self._life = threading.Lock()  # held for a moment, by whoever starts or ends the process
        self._closed = False
        self._jobs = 0
        self._under_way: threading.Event | None = None  # of the job the process works on, where it can be given up
        self.process: mp.process.BaseProcess | None = None
        self._wire: Connection | None = None

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
            timer = threading.Timer(seconds, self._too_late, (late,))
            timer.start()
            try:
                self._jobs += 1
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
                timer.cancel()
                timer.join()  # or it could kill the process during the next job
                with self._life:
                    self._under_way = None
                if late.is_set() or (given_up is not None and given_up.is_set()):
                    self._end()

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
        try:
            said = wire.recv()
        except Exception as error:  # a pipe that ends, or bytes that are no pickle: those can raise anything
            raise ChildLost(type(error).__name__) from None
        if not isinstance(said, _Said) or said.job != number:
            raise ChildLost("words out of turn")
        if isinstance(said.what, answer):
            return said.what
        if heard is None:
            raise ChildLost(f"a {type(said.what).__name__}")
        heard(said.what)


def jobs_of(wire: Connection, work: Callable[[Any, Say], object]) -> None:
    """In the other process: answer jobs with `work` until the pipe closes. What `work` raises ends the process.

    `work` is given the job and a function that says something before the answer is there.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service ends it, not the terminal
    while True:
        try:
            number, job = wire.recv()
        except (EOFError, OSError):
            return

        def say(what: object, number: int = number) -> None:
            wire.send(_Said(number, what))

        say(work(job, say))
