"""Why no answer is given: one class per cause, all of them `SolverError`.

    SolverError (engine/errors.py)
      +-- ModelError           returns, marks or weights from which no model can be built
      +-- ProposalError        a solver ended with any status but its best one
      +-- UndecidedError       neither whole-unit holdings nor a proof that there are none, in the time given
      +-- UnsafeStartError     a row that is no passive breach is broken before the first order
      +-- UnsafePathError      the end state is fine, and no sequence of waves to it is safe
      +-- CertificateRefused   the stand-alone verifier refused what was about to be returned

In: facts about the failure. Out: an exception with a stable `code`. Guaranteed: each code below is raised
by exactly one class. Refused: nothing. Why exceptions here and values elsewhere: an infeasible problem is
an answer (`solve.Conflict`), these are the absence of one, and an absent answer must not be mistaken for
permission to trade. Before: `engine/errors.py`. After: every file of this folder.
"""

from __future__ import annotations

from lexorder.engine.errors import SolverError


class ModelError(SolverError):
    """A risk model or objective cannot be built from these inputs; the message names the column."""

    def __init__(self, message: str) -> None:
        super().__init__("model-input", message)


class ProposalError(SolverError):
    """A solver's final status was not its best one; `solver` and `status` say which."""

    def __init__(self, solver: str, status: str) -> None:
        super().__init__("solver-status", f"{solver} ended with status `{status}`")
        self.solver = solver
        self.status = status


class UndecidedError(SolverError):
    """The time or node budget ended before an answer or a proof; `what` says what was looked for."""

    def __init__(self, what: str) -> None:
        super().__init__("undecided", f"{what}: neither found nor refuted within the budget")
        self.what = what


class UnsafeStartError(SolverError):
    """Rows broken now that may not stay so while orders fill; `rows` are their ids."""

    def __init__(self, rows: tuple[str, ...]) -> None:
        shown = ", ".join(f"`{row}`" for row in rows[:5])
        super().__init__("unsafe-start", f"broken before the first order, and not passive: {shown}")
        self.rows = rows


class UnsafePathError(SolverError):
    """No next wave is safe; `names` are the ids whose orders are left, `rows` those in the way."""

    def __init__(self, names: tuple[str, ...], rows: tuple[str, ...]) -> None:
        shown, by = ", ".join(names[:5]), ", ".join(f"`{row}`" for row in rows[:5])
        super().__init__("unsafe-path", f"no safe wave can trade {shown} because of {by}")
        self.names = names
        self.rows = rows


class CertificateRefused(SolverError):  # noqa: N818  (names what happened, like a FIX reject)
    """The verifier said INVALID: a mistake in this folder, never returned as an answer."""

    def __init__(self, reason: str) -> None:
        super().__init__("certificate-refused", f"the verifier refused the certificate: {reason}")
        self.reason = reason
