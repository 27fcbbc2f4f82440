"""The process that rebalances, so that no solver ever keeps an order waiting.

In: a `Task`. Out: progress words, then a `Result` of plain data. Guaranteed: one task at a time; a task that takes too
long, or a process that dies, ends as `undecided` and the process is started anew; what comes back went through the
stand-alone verifier, whose words are part of it. Refused: nothing raises for a user's input; it becomes `refused` with
the code of the error. Why a process and not a thread: solvers hold the interpreter's lock for seconds, and one that
crashes must not take the decisions with it. Before: `child_process.py`, `optimizers/rebalance.py`,
`api/rebalance_written.py`. After: `routes_rebalances.py`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lexorder.api.service.child_process import ChildClosed, ChildLate, ChildLost, ChildProcess, jobs_of
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Task:
    """What to rebalance: the book, the facts of one account and its names, and the aims.

    `returns`: columns and rows of past returns as decimal text, or None for names that move independently.
    """

    book: RuleBook
    snapshot: Snapshot
    account: str
    trader: str
    aims: dict[str, Any] = field(default_factory=dict)
    returns: tuple[list[str], list[list[str]]] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """`status`: done, infeasible, refused, undecided. `document` is the JSON of the outcome."""

    status: str
    document: dict[str, Any]
    certificate: str = ""
    report: str = ""
    verdict: str = ""


def undecided(code: str, why: str) -> Result:
    """No answer: nothing may be traded."""
    return Result("undecided", {"code": code, "message": why})


class Worker:
    """The process, started when first needed or by `warm`. Safe to call from several threads; tasks queue."""

    def __init__(self) -> None:
        self.child = ChildProcess("rebalance", _serve)

    def warm(self) -> None:
        """Start the process, which imports the solvers."""
        self.child.warm()

    def run(self, task: Task, timeout_s: float, progress: Callable[[str], None]) -> Result:
        """The result of a task. Raises only what `progress` raises; waits for earlier tasks first."""
        try:
            return self.child.run(task, timeout_s, Result, lambda said: progress(str(said)))
        except ChildClosed:
            return undecided("not-ready", "The service is stopping.")
        except ChildLate:
            return undecided("solver-timeout", "The rebalance took too long; nothing may be traded.")
        except ChildLost:
            return undecided("solver-lost", "The process that rebalances died; nothing may be traded.")

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.child.close()


def _serve(wire: Connection) -> None:
    """The other process."""
    import lexorder.api.rebalance_written
    import lexorder.optimizers.rebalance  # noqa: F401  so that the first task need not wait for it

    jobs_of(wire, _done)


def _done(task: Task, progress: Callable[[str], None]) -> Result:
    from lexorder.engine.errors import LexorderError, SolverError

    try:
        return _solved(task, progress)
    except SolverError as error:
        return undecided(error.code, error.message)
    except LexorderError as error:
        return Result("refused", {"code": error.code, "message": error.message})
    except Exception as error:  # a defect of ours: nothing may be traded
        return undecided("internal-defect", f"lexorder failed: {type(error).__name__}")


def _solved(task: Task, progress: Callable[[str], None]) -> Result:
    from lexorder.api.proof import verifier
    from lexorder.api.rebalance_written import written, written_conflict
    from lexorder.optimizers.outcome import Infeasible
    from lexorder.optimizers.rebalance import Aims, Request, rebalance
    from lexorder.optimizers.universe import Trading

    aims = replace(Aims(), **task.aims)
    request = Request(
        task.book,
        task.snapshot,
        task.account,
        _returns(task),
        Trading(trader=task.trader),
        aims,
        strict=task.strict,
        progress=progress,
    )
    result = rebalance(request)
    progress("the stand-alone verifier")
    with tempfile.TemporaryDirectory(prefix="lexorder-") as name:
        folder = Path(name)
        if isinstance(result, Infeasible):
            verdict = written_conflict(result, folder, verifier)
            status, file = "infeasible", "infeasible.json"
        else:
            verdict = written(result, folder, verifier)
            status, file = "done", "orders.json"
        return Result(
            status,
            json.loads((folder / file).read_text(encoding="utf-8")),
            (folder / "certificate.json").read_text(encoding="utf-8"),
            (folder / "report.html").read_text(encoding="utf-8"),
            verdict.replace(str(folder), "."),
        )


def _returns(task: Task) -> Any:
    """A DataFrame of returns, or independent names."""
    from lexorder.api.rebalance_files import PLAIN_VOLATILITY
    from lexorder.optimizers.rebalance import independent

    if task.returns is None:
        return independent(len(task.snapshot.instruments), PLAIN_VOLATILITY)
    import pandas as pd

    columns, rows = task.returns
    return pd.DataFrame([[float(cell) for cell in row] for row in rows], columns=columns)
