"""A stand-in for the process that rebalances, which answers when the test says so.

`solver_of(house)` puts it in place. Each task waits at the worker, as it would for a solver; `answer` lets one go
on. `stubborn` is a solver that goes on to its answer although it was given up, as if both came in the same moment.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from lexorder.api.service.rebalance_worker import Result, Task, cancelled, undecided
from tests.service.house import House

ORDERS = {"outcome": "rebalanced", "orders": [{"Symbol": "ACME", "OrderQty": "7"}]}
DONE = Result("done", ORDERS, '{"certificate": "of seven"}', "<!doctype html>seven", "VALID")


class Solver:
    """Takes the place of `Worker`."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.begun: list[Task] = []
        self.given_up: list[threading.Event] = []
        self._answers: queue.Queue[Result] = queue.Queue()
        self._closed = False

    def run(
        self, task: Task, _timeout_s: float, progress: Callable[[str], None], given_up: threading.Event | None = None
    ) -> Result:
        """What `answer` says, or cancelled when it is given up before."""
        assert given_up is not None
        self.begun.append(task)
        progress("begun")
        while True:
            try:
                return self._answers.get(timeout=0.01)
            except queue.Empty:
                if given_up.is_set():
                    return DONE if self.stubborn else cancelled()
                if self._closed:
                    return undecided("not-ready", "The service is stopping.")

    def answer(self, result: Result = DONE) -> None:
        """Let a task end with this."""
        self._answers.put(result)

    def give_up(self, task: threading.Event) -> None:
        """Want no answer."""
        self.given_up.append(task)
        task.set()

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._closed = True


def solver_of(house: House, *, stubborn: bool = False) -> Solver:
    """A solver in place of the house's own, which never started."""
    solver = Solver(stubborn=stubborn)
    house.service.rebalancer.close()
    house.service.rebalancer = solver  # type: ignore[assignment]
    return solver
