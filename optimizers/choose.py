"""Chooses how to look for whole holdings, and says why.

In: a `Problem`'s rows after the continuous relaxation was built, and what the caller asked for. Out: a `Route`.
Guaranteed: the reason names what decided. Refused, by `UsageError`: a path that does not exist, and the
convex path where clauses or non-convex rows would be ignored by it. Why HiGHS first for clauses and
thresholds too: on six books of 50 and 100 names with a 5/10/40 rule, 8 excluding pairs and 8 combined limits it
took 0.3 to 4.4 s and ended 0.05 to 77 bp of NAV from the certified bound, Z3 2 to 7 s and 30 to 270 bp
(the bound knows neither clauses nor thresholds, so part of the gap is its own).
Z3 is the last resort, where neither holdings nor a proof were found.
Before: `conic.py`. After: `solve.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lexorder.engine.certificate import Problem
from lexorder.engine.errors import UsageError

PATHS = ("auto", "convex", "milp", "z3")


@dataclass(frozen=True, slots=True)
class Route:
    """The path that was taken (`convex`, `milp`, `z3`) and why, in words."""

    path: str
    reason: str


def choose(problem: Problem, left_out: tuple[int, ...], wish: str = "auto") -> Route:
    """Return the route for `problem`, whose rows `left_out` (indexes) are not convex.

    `wish`: one of `PATHS`; anything but `auto` is followed where it can state the problem.
    Refused by `UsageError`: see the module.
    """
    if wish not in PATHS:
        raise UsageError("unknown-path", f"the path must be one of {', '.join(PATHS)}")
    integral = _integral(problem, left_out)
    if wish == "convex" and integral:
        raise UsageError("path-too-weak", f"the convex path cannot state {integral}")
    if wish != "auto":
        return Route(wish, "asked for by the caller")
    if integral:
        return Route("milp", f"{integral}: HiGHS states them with binaries, Z3 if it finds nothing")
    return Route("convex", "every row is convex: continuous optimum, then whole units beside it")


def _integral(problem: Problem, left_out: tuple[int, ...]) -> str:
    parts = []
    if problem.clauses:
        parts.append(f"{len(problem.clauses)} clauses")
    if left_out:
        first = problem.rows[left_out[0]].id
        parts.append(f"{len(left_out)} rows that are not convex (first: `{first}`)")
    return " and ".join(parts)
