"""Whole holdings for problems with clauses and thresholds, by Z3; each answer is checked again.

In: a `RowTable`, a `Scope`, a continuous proposal. Out: accepted holdings near the proposal, `REFUTED`, or
None where the budget ended. Guaranteed: holdings were accepted by exact integers outside Z3; only the
answer `sat` is taken for a model and only `unsat` for a refutation (`unknown` is neither). Refused:
nothing. How: one solver in a context of its own (a shared one crashes under threads), limited in time and in
steps (`rlimit`, repeatable); terms are linear with `If` at the breaks; a square is kept above its
tangents, which are added where a model needs them. Then the sum of distances to the proposal is
halved while that succeeds: never `z3.Optimize`, which times out on integers and has been wrong.
Before: `rowtable.py`. After: `solve.py`.
"""

from __future__ import annotations

from math import gcd
from time import monotonic
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lexorder.engine.certificate import Function
from lexorder.optimizers.functiontable import Ints, from_floats
from lexorder.optimizers.lots import accepts
from lexorder.optimizers.milp import Scope
from lexorder.optimizers.rowtable import RowTable

STEPS_MAX: Final = 200_000_000
"""Z3's own count of steps for one question."""

TANGENT_ROUNDS = 30
IMPROVEMENTS = 12
DISTANCE_PARTS = 1000
"""A name's whole range counts this much in the distance to the proposal."""


class Refuted:
    """Z3 answered `unsat`: its word, for information; a certificate needs `infeasible.py`."""


REFUTED: Final = Refuted()


def find(rows: RowTable, scope: Scope, target: NDArray[np.float64], *, seconds: float) -> Ints | Refuted | None:
    """Return accepted holdings near `target` (shape (N,), units), `REFUTED`, or None.

    `seconds`: wall time for everything. The first model counts; improvement ends with the budget.
    """
    question = _Question(rows, scope, target, monotonic() + seconds)
    first = question.accepted()
    if first is None or isinstance(first, Refuted):
        return first
    return question.improved(first)


class _Question:
    """The rows of `scope` in one Z3 context."""

    def __init__(self, rows: RowTable, scope: Scope, target: NDArray[np.float64], deadline: float) -> None:
        import z3

        self.z3, self.rows, self.scope, self.deadline = z3, rows, scope, deadline
        self.context = z3.Context()
        self.patience = max(200, int(1000 * (deadline - monotonic())) // 20)
        self.solver = z3.SolverFor("QF_LIA", ctx=self.context)
        self.x = [z3.Int(f"x{n}", self.context) for n in range(len(rows.held))]
        self.low, self.high = scope.low.tolist(), scope.high.tolist()
        self.target = np.clip(from_floats(np.rint(target)), scope.low, scope.high).tolist()
        self.squares: dict[int, Any] = {}
        for n, x in enumerate(self.x):
            self.solver.add(x >= self.low[n], x <= self.high[n])
        self._state_rows()
        self.distance = self._distance()

    def _state_rows(self) -> None:
        z3, problem = self.z3, self.rows.problem
        for row in np.flatnonzero(self.scope.wanted).tolist():
            self.solver.add(self._row(row))
        for clause in self.scope.clauses:
            cases = [z3.And([self._row(r) for r in a]) for a in problem.clauses[clause].alternatives]
            self.solver.add(z3.Or(cases))

    def _row(self, row: int) -> Any:
        room = int(self.scope.limit[row]) - int(self.rows.constant[row])
        entries = [(n, _clipped(f, self.low[n], self.high[n])) for n, f in self.rows.entries_of(row)]
        # Smaller coefficients make Z3's arithmetic faster; the division changes nothing.
        common = gcd(room, *(a for _, f in entries for poly in f.polys for a in poly)) or 1
        total = self.z3.IntVal(0, self.context)
        for n, function in entries:
            total = total + self._function(n, function, common)
        return total <= self.z3.IntVal(room // common, self.context)

    def _function(self, name: int, function: Function, common: int) -> Any:
        x = self.x[name]
        pieces = [self._poly(name, poly, common) for poly in function.polys]
        value = pieces[-1]
        for at, piece in zip(reversed(function.breaks), reversed(pieces[:-1]), strict=True):
            value = self.z3.If(x < at, piece, value)
        return value

    def _poly(self, name: int, poly: tuple[int, int, int], common: int) -> Any:
        a0, a1, a2 = (a // common for a in poly)
        line = self.z3.IntVal(a1, self.context) * self.x[name] + self.z3.IntVal(a0, self.context)
        return line if a2 == 0 else line + self.z3.IntVal(a2, self.context) * self._square(name)

    def _square(self, name: int) -> Any:
        """A variable kept above tangents of x*x; exact at every holding a tangent touches."""
        if name not in self.squares:
            self.squares[name] = self.z3.Int(f"square{name}", self.context)
            for at in {self.low[name], self.target[name], self.high[name]}:
                self._touch(name, at)
        return self.squares[name]

    def _touch(self, name: int, at: int) -> None:
        # x*x >= (2*at+1)*x - at*(at+1) holds for all integers and is exact at `at` and `at + 1`.
        line = (2 * at + 1) * self.x[name] - at * (at + 1)
        self.solver.add(self.squares[name] >= line)

    def _distance(self) -> Any:
        z3, parts = self.z3, []
        for n, (x, at) in enumerate(zip(self.x, self.target, strict=True)):
            width = self.high[n] - self.low[n]
            if width:
                away = z3.Int(f"away{n}", self.context)
                self.solver.add(away >= x - at, away >= at - x)
                parts.append(max(1, DISTANCE_PARTS // width) * away)
        return z3.Sum(parts) if parts else z3.IntVal(0, self.context)

    def accepted(self, *more: Any) -> Ints | Refuted | None:
        """Holdings that also satisfy `more`, accepted exactly; tangents are added as needed."""
        for _ in range(TANGENT_ROUNDS):
            answer = self._check(more)
            if answer != self.z3.sat:
                return REFUTED if answer == self.z3.unsat else None
            found = self._model()
            if accepts(self.rows, self.scope, found):
                return found
            if not self.squares:
                return None  # a model the exact check refuses: never an answer
            for name in self.squares:
                self._touch(name, int(found[name]))
        return None

    def _check(self, more: tuple[Any, ...]) -> Any:
        left = int(1000 * (self.deadline - monotonic()))
        if more:  # an improvement: no single one may take all the time
            left = min(left, self.patience)
        if left <= 0:
            return self.z3.unknown
        self.solver.set("timeout", left)
        self.solver.set("rlimit", STEPS_MAX)
        return self.solver.check(*more)

    def _model(self) -> Ints:
        model = self.solver.model()
        values = [model.eval(x, model_completion=True).as_long() for x in self.x]
        return np.array(values, dtype=self.rows.held.dtype)

    def _away(self, holdings: Ints) -> int:
        total = 0
        for n, (x, at) in enumerate(zip(holdings.tolist(), self.target, strict=True)):
            width = self.high[n] - self.low[n]
            total += max(1, DISTANCE_PARTS // width) * abs(x - at) if width else 0
        return total

    def improved(self, best: Ints) -> Ints:
        """The nearest holdings to the target that repeated halving of the distance finds."""
        reached, floor = self._away(best), -1
        for _ in range(IMPROVEMENTS):
            wanted = (reached + floor) // 2
            if wanted <= floor:
                break
            found = self.accepted(self.distance <= wanted)
            if found is None or isinstance(found, Refuted):
                floor = wanted  # refuted, or too hard: either way, ask for less
            else:
                best, reached = found, self._away(found)
        return best


def _clipped(function: Function, low: int, high: int) -> Function:
    """The same function on `low..high`, without breaks outside."""
    pieces = function.pieces(low, high)
    return Function(tuple(first for first, _, _ in pieces[1:]), tuple(p for _, _, p in pieces))
