"""The process that rebalances, so that no solver ever keeps an order waiting.

In: a `Task`. Out: progress words, then a `Result` of plain data. Guaranteed: one task at a time; a task that takes too
long, or a process that dies, ends as `undecided`, and another process is started at once; one that is given up ends as
`cancelled`, at once, without orders, and the next task finds the imports done or under way; what comes back went
through the stand-alone verifier, whose words are part of it; beside it stands what somebody outside compliance may read
of it (`rebalance_shown.py`). Refused: nothing raises for a user's input; it becomes `refused` with the code of the
error. Why a process and not a thread: solvers hold the interpreter's lock for seconds, and one that crashes must not
take the decisions with it. Before: `child_process.py`, `optimizers/rebalance.py`, `api/rebalance_written.py`,
`api/rebalance_shown.py`. After: `rebalancing.py`.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexorder.api.service.child_process import (
    ChildClosed,
    ChildGivenUp,
    ChildLate,
    ChildLost,
    ChildProcess,
    jobs_of,
)
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from lexorder.optimizers.models import Model

if TYPE_CHECKING:
    from lexorder.engine.errors import LexorderError
    from lexorder.optimizers.outcome import Infeasible, Rebalanced


@dataclass(frozen=True, slots=True)
class Task:
    """What to rebalance: the book, the facts of one account and its names, the model and the aims.

    `returns`: columns and rows of past returns as decimal text, or None for names that move independently.
    """

    book: RuleBook
    snapshot: Snapshot
    account: str
    trader: str
    aims: dict[str, Any] = field(default_factory=dict)
    returns: tuple[list[str], list[list[str]]] | None = None
    strict: bool = False
    model: Model = field(default_factory=Model)


@dataclass(frozen=True, slots=True)
class Result:
    """`status`: done, infeasible, refused, undecided, cancelled. `document` is the JSON of the outcome.

    `others`: the same as somebody outside compliance may read it, None where there is no difference.
    """

    status: str
    document: dict[str, Any]
    certificate: str = ""
    report: str = ""
    verdict: str = ""
    others: Result | None = None

    @property
    def shown(self) -> Result:
        """The same for who is not of compliance."""
        return self.others or self


def undecided(code: str, why: str) -> Result:
    """No answer: nothing may be traded."""
    return Result("undecided", {"code": code, "message": why})


def cancelled() -> Result:
    """Somebody took it back before there was an answer: there is nothing to trade."""
    return Result("cancelled", {"code": "cancelled", "message": "The rebalance was cancelled; nothing may be traded."})


class Worker:
    """The process, started when first needed or by `warm`. Safe to call from several threads; tasks queue."""

    def __init__(self) -> None:
        self.child = ChildProcess("rebalance", _serve)

    def warm(self) -> None:
        """Start the process, which imports the solvers."""
        self.child.warm()

    def run(
        self, task: Task, timeout_s: float, progress: Callable[[str], None], given_up: threading.Event | None = None
    ) -> Result:
        """The result of a task. Raises only what `progress` raises; waits for earlier tasks first."""
        try:
            return self.child.run(task, timeout_s, Result, lambda said: progress(str(said)), given_up)
        except ChildGivenUp:
            return cancelled()
        except ChildClosed:
            return undecided("not-ready", "The service is stopping.")
        except ChildLate:
            return undecided("solver-timeout", "The rebalance took too long; nothing may be traded.")
        except ChildLost:
            return undecided("solver-lost", "The process that rebalances died; nothing may be traded.")

    def give_up(self, task: threading.Event) -> None:
        """Want no result of the task that was given this: it ends now, or is never begun."""
        self.child.give_up(task)

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
        return _failed("undecided", error, task)
    except LexorderError as error:
        return _failed("refused", error, task)
    except Exception as error:  # a defect of ours: nothing may be traded
        return undecided("internal-defect", f"lexorder failed: {type(error).__name__}")


def _failed(status: str, error: LexorderError, task: Task) -> Result:
    """No orders; the message may name a rule that not everyone may know of."""
    from lexorder.api.rebalance_shown import withheld_rules, words_shown

    message = words_shown(error.message, withheld_rules(task.book))
    others = Result(status, {"code": error.code, "message": message})
    return Result(status, {"code": error.code, "message": error.message}, others=others)


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
        model=task.model,
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
        whole = Result(
            status,
            json.loads((folder / file).read_text(encoding="utf-8")),
            (folder / "certificate.json").read_text(encoding="utf-8"),
            (folder / "report.html").read_text(encoding="utf-8"),
            verdict.replace(str(folder), "."),
        )
    return replace(whole, others=_for_others(result, whole, task.book))


def _for_others(result: Rebalanced | Infeasible, whole: Result, book: RuleBook) -> Result:
    """What somebody outside compliance may read of it."""
    from lexorder.api import rebalance_shown as shown
    from lexorder.api.rebalance_written import report_of
    from lexorder.optimizers.outcome import Infeasible

    withheld = shown.withheld_rules(book)
    certificate = shown.certificate_shown(whole.certificate, result.snapshot_hash, withheld)
    verdict = shown.words_shown(whole.verdict.replace(result.snapshot_hash, shown.ZEROS), withheld)
    seen: Rebalanced | Infeasible
    if isinstance(result, Infeasible):
        seen = shown.conflict_shown(result, withheld)
        told = bool(seen.clashes)
    else:
        seen, told = shown.orders_shown(result, withheld), True
    document = json.loads(json.dumps(shown.data_shown(seen)))
    return Result(whole.status, document, certificate, report_of(seen, verdict) if told else "", verdict)


def _returns(task: Task) -> Any:
    """A DataFrame of returns, or independent names."""
    from lexorder.api.rebalance_files import PLAIN_VOLATILITY
    from lexorder.optimizers.rebalance import independent

    if task.returns is None:
        return independent(len(task.snapshot.instruments), PLAIN_VOLATILITY)
    import pandas as pd

    columns, rows = task.returns
    return pd.DataFrame([[float(cell) for cell in row] for row in rows], columns=columns)
