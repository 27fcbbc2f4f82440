"""Solves the continuous relaxation: raw Clarabel for speed, or CVXPY with parameters.

In: a `Relaxation`. Out: a `Proposal`. Guaranteed: only a solver's best status proposes; an answer at
an iteration limit or "almost solved" is refused. Refused, by `ProposalError`: every other status, with
its name; `Infeasible` statuses too, for a float's word is no proof (`infeasible.py` looks for one).
Why two ways: CVXPY checks the modelling (its rules prove convexity) and opens other solvers; Clarabel
called directly skips 5 to 30 ms of set-up. Both get the same form and tests hold them against each other.
Before: `conic.py`. After: `lots.py`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from importlib import import_module
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from lexorder.optimizers.conic import ConicForm, Proposal, Relaxation
from lexorder.optimizers.refusals import ProposalError

SOLVERS = ("clarabel", "cvxpy")

COMPILED_MAX = 8
"""Compiled CVXPY problems kept, least recently used first out."""


class Compiled(NamedTuple):
    """A CVXPY problem compiled once for a structure, and the parameters that fill it."""

    problem: Any
    variable: Any
    root: Any
    linear: Any
    matrices: tuple[Any, ...]
    sides: tuple[Any, ...]


_compiled: OrderedDict[bytes, Compiled] = OrderedDict()
_filling = Lock()  # parameters of a compiled problem belong to one caller until it has its answer


def propose(relaxation: Relaxation, *, seconds: float, solver: str = "clarabel") -> Proposal:
    """Return the proposal of `solver` (`clarabel` or `cvxpy`) for `relaxation`.

    `seconds`: wall time allowed. Refused by `ProposalError`: any status but the best one.
    """
    if not len(relaxation.free):
        return relaxation.read(np.zeros(0), np.zeros(len(relaxation.form.rhs)))
    ask = {"clarabel": ask_clarabel, "cvxpy": ask_cvxpy}[solver]
    z, duals = ask(relaxation.form, seconds)
    if not (np.isfinite(z).all() and np.isfinite(duals).all()):
        raise ProposalError(solver, "solved, but with values that are not finite")
    return relaxation.read(z, duals)


def ask_clarabel(form: ConicForm, seconds: float) -> tuple[Any, Any]:
    """Return solution and duals from Clarabel, one thread; refused as `propose`.

    First without iterative refinement, which takes a third of the time and is rarely needed; a status
    other than solved is asked again with it. The solver tests its residuals either way.
    """
    try:
        return _ask_clarabel(form, seconds, refine=False)
    except ProposalError:
        return _ask_clarabel(form, seconds, refine=True)


def _ask_clarabel(form: ConicForm, seconds: float, *, refine: bool) -> tuple[Any, Any]:
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.time_limit = seconds
    settings.presolve_enable = False
    settings.iterative_refinement_enable = refine
    cones = [clarabel.ZeroConeT(form.zeros)] if form.zeros else []
    cones.append(clarabel.NonnegativeConeT(form.nonnegatives))
    cones += [clarabel.SecondOrderConeT(size) for size in form.cones]
    hessian = sparse.csc_matrix(sparse.diags_array(2 * form.quadratic, format="csc"))
    matrix = sparse.csc_matrix(form.matrix)
    answer = clarabel.DefaultSolver(hessian, form.linear, matrix, form.rhs, cones, settings).solve()
    if answer.status != clarabel.SolverStatus.Solved:
        raise ProposalError("Clarabel", str(answer.status))
    return np.array(answer.x), np.array(answer.z)


def ask_cvxpy(form: ConicForm, seconds: float) -> tuple[Any, Any]:
    """Return solution and duals from CVXPY (Clarabel below it); refused as `propose`.

    The structure is compiled once and kept; later calls only fill parameters, one caller at a time.
    """
    with _filling:
        return _ask_compiled(form, seconds)


def _ask_compiled(form: ConicForm, seconds: float) -> tuple[Any, Any]:
    import cvxpy

    compiled = _compile(form)
    _fill(compiled, form)
    try:
        with warnings.catch_warnings():
            # CVXPY reads its own sparse parameters in the way it warns about.
            warnings.filterwarnings("ignore", message="Reading from a sparse CVXPY expression")
            # Each solve starts afresh: equal inputs must give equal bytes, whatever was solved before.
            compiled.problem.solve(warm_start=False, solver=cvxpy.CLARABEL, time_limit=seconds, max_threads=1)
    except cvxpy.error.SolverError as error:
        raise ProposalError("CVXPY", type(error).__name__) from None
    if compiled.problem.status != cvxpy.OPTIMAL:
        raise ProposalError("CVXPY", str(compiled.problem.status))
    duals = [_dual(constraint) for constraint in compiled.problem.constraints]
    return np.array(compiled.variable.value), np.concatenate(duals)


def _dual(constraint: Any) -> Any:
    value = constraint.dual_value
    if isinstance(value, list):  # a second-order cone: the part of the bound, then of the vector
        return np.concatenate([np.atleast_1d(np.asarray(part, dtype=float)).ravel() for part in value])
    return np.asarray(value, dtype=float).ravel()


def _blocks(form: ConicForm) -> list[tuple[int, int]]:
    sizes = [form.zeros, form.nonnegatives, *form.cones]
    ends = np.cumsum(sizes).tolist()
    return [(end - size, end) for size, end in zip(sizes, ends, strict=True) if size]


def _compile(form: ConicForm) -> Compiled:
    key = _structure(form)
    if key not in _compiled:
        _compiled[key] = _build(form)
        while len(_compiled) > COMPILED_MAX:
            _compiled.popitem(last=False)
    _compiled.move_to_end(key)
    return _compiled[key]


def _structure(form: ConicForm) -> bytes:
    matrix = form.matrix
    sizes = np.array([form.zeros, form.nonnegatives, *form.cones, *matrix.shape], dtype=np.int64)
    digest = hashlib.sha256(sizes.tobytes())
    digest.update(matrix.indptr.astype(np.int64).tobytes())
    digest.update(matrix.indices.astype(np.int64).tobytes())
    return digest.digest()


def _build(form: ConicForm) -> Compiled:
    cvxpy: Any = import_module("cvxpy")
    width = form.matrix.shape[1]
    z = cvxpy.Variable(width)
    root, linear = cvxpy.Parameter(width, nonneg=True), cvxpy.Parameter(width)
    matrices, sides, constraints = [], [], []
    for number, (first, last) in enumerate(_blocks(form)):
        block = form.matrix[first:last].tocoo()
        matrix = cvxpy.Parameter(block.shape, sparsity=(block.row, block.col))
        side = cvxpy.Parameter(last - first)
        slack = side - matrix @ z
        matrices.append(matrix)
        sides.append(side)
        constraints.append(_constraint(slack, number, zeros=form.zeros))
    goal = cvxpy.sum_squares(cvxpy.multiply(root, z)) + linear @ z
    problem = cvxpy.Problem(cvxpy.Minimize(goal), constraints)
    return Compiled(problem, z, root, linear, tuple(matrices), tuple(sides))


def _constraint(slack: Any, number: int, *, zeros: int) -> Any:
    import cvxpy

    kind = number + (0 if zeros else 1)
    if kind == 0:
        return slack == 0
    return slack >= 0 if kind == 1 else cvxpy.SOC(slack[0], slack[1:])


def _fill(compiled: Compiled, form: ConicForm) -> None:
    compiled.root.value = np.sqrt(form.quadratic)
    compiled.linear.value = form.linear
    for (first, last), matrix, side in zip(_blocks(form), compiled.matrices, compiled.sides, strict=True):
        block = form.matrix[first:last].tocoo()
        matrix.value_sparse = sparse.coo_array((block.data, (block.row, block.col)), shape=block.shape)
        side.value = form.rhs[first:last]
