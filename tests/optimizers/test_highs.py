"""The strict door to HiGHS: textbook answers, signs of duals, and every status that is no answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import highspy
import numpy as np
import pytest

from lexorder.optimizers.highs import LinearProgram
from lexorder.optimizers.refusals import ProposalError

INF = np.inf


def wyndor() -> LinearProgram:
    """Hillier & Lieberman's Wyndor Glass: max 3x + 5y, x <= 4, 2y <= 12, 3x + 2y <= 18; 36 at (2, 6)."""
    program = LinearProgram()
    x, y = program.columns([0.0, 0.0], INF, cost=[-3.0, -5.0])
    program.rows(([0], [x], [1.0]), -INF, [4.0])
    program.rows(([0, 1, 1], [y, x, y], [2.0, 3.0, 2.0]), -INF, [12.0, 18.0])
    return program


def test_a_textbook_program_has_its_textbook_answer_and_shadow_prices():
    answer = wyndor().solve(seconds=5)
    assert answer.values == pytest.approx([2, 6])
    # Of a minimisation: one more unit of room lowers the cost by 0, 3/2 and 1.
    assert answer.duals == pytest.approx([0, -1.5, -1])


def test_blocks_of_rows_and_columns_get_consecutive_indexes():
    program = LinearProgram()
    assert program.columns([0.0] * 3, 1.0).tolist() == [0, 1, 2]
    assert program.columns(0.0, 1.0).tolist() == [3]
    assert program.rows(([0, 1], [0, 3], [1.0, 1.0]), -INF, [1.0, 1.0]).tolist() == [0, 1]
    assert program.rows(([0], [2], [1.0]), -INF, [1.0]).tolist() == [2]
    assert (program.width, program.height) == (4, 3)


def test_whole_columns_are_whole_and_their_duals_are_nought():
    program = LinearProgram()
    x, y = program.columns([0.0, 0.0], INF, cost=[-5.0, -4.0], integer=True)
    program.rows(([0, 0, 1, 1], [x, y, x, y], [6.0, 4.0, 1.0, 2.0]), -INF, [24.0, 6.0])
    answer = program.solve(seconds=5, gap=0.0)
    # The relaxation ends at (3, 3/2) with 21; the best whole point is (4, 0) with 20.
    assert answer.values.tolist() == [4, 0]
    assert answer.duals.tolist() == [0, 0]


def test_a_row_may_have_two_sides():
    program = LinearProgram()
    (x,) = program.columns(0.0, 10.0, cost=1.0)
    program.rows(([0], [x], [2.0]), 3.0, [8.0])
    assert program.solve(seconds=5).values == pytest.approx([1.5])


@pytest.mark.parametrize(
    ("low", "high", "row_high", "status"),
    [(0.0, 1.0, -1.0, "Infeasible"), (-INF, INF, INF, "Unbounded")],
)
def test_infeasible_and_unbounded_are_refused_by_name(low, high, row_high, status):
    program = LinearProgram()
    (x,) = program.columns(low, high, cost=1.0)
    program.rows(([0], [x], [1.0]), -INF, [row_high])
    with pytest.raises(ProposalError, match=status) as refused:
        program.solve(seconds=5)
    assert refused.value.code == "solver-status"
    assert refused.value.solver == "HiGHS"


def test_a_model_that_is_none_is_refused():
    program = LinearProgram()
    (x,) = program.columns(0.0, 1.0)
    program.rows(([0], [x], [1e20]), -INF, [1.0])  # beyond what HiGHS takes for a coefficient
    with pytest.raises(ProposalError, match="model refused"):
        program.solve(seconds=5)


STATUSES = [s for s in highspy.HighsModelStatus.__members__ if s not in ("kOptimal", "kMax", "kMin")]


def spoiled(monkeypatch: pytest.MonkeyPatch, status: str, *, feasible: bool) -> LinearProgram:
    """A program that HiGHS solves and then reports another status for."""
    kinds = highspy.SolutionStatus
    point = kinds.kSolutionStatusFeasible if feasible else kinds.kSolutionStatusInfeasible
    monkeypatch.setattr(highspy.Highs, "getModelStatus", lambda _: getattr(highspy.HighsModelStatus, status))
    monkeypatch.setattr(highspy.Highs, "getInfo", lambda _: SimpleNamespace(primal_solution_status=point))
    return wyndor()


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("feasible", [True, False])
def test_no_other_status_answers_whatever_values_are_there(status, feasible, monkeypatch):
    with pytest.raises(ProposalError):
        spoiled(monkeypatch, status, feasible=feasible).solve(seconds=5)


@pytest.mark.parametrize("status", STATUSES)
def test_a_caller_that_wants_a_mere_proposal_gets_a_feasible_point_at_the_time_limit_only(status, monkeypatch):
    program = spoiled(monkeypatch, status, feasible=True)
    if status == "kTimeLimit":
        assert program.solve(seconds=5, incumbent=True).values == pytest.approx([2, 6])
    else:
        with pytest.raises(ProposalError):
            program.solve(seconds=5, incumbent=True)


def test_a_point_at_the_time_limit_that_is_not_feasible_is_no_proposal(monkeypatch):
    with pytest.raises(ProposalError):
        spoiled(monkeypatch, "kTimeLimit", feasible=False).solve(seconds=5, incumbent=True)


def test_options_that_make_answers_repeatable_are_set(monkeypatch):
    told: dict[str, Any] = {}
    honest = highspy.Highs.setOptionValue

    def heard(solver: Any, name: str, value: Any) -> Any:
        told[name] = value
        return honest(solver, name, value)

    monkeypatch.setattr(highspy.Highs, "setOptionValue", heard)
    wyndor().solve(seconds=7, gap=0.25)
    assert (told["threads"], told["random_seed"], told["output_flag"]) == (1, 0, False)
    assert (told["time_limit"], told["mip_rel_gap"]) == (7.0, 0.25)
