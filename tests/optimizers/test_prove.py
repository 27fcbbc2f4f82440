"""Z3 beside enumeration; its answers are compared with `sat` and checked again."""

import random
import threading

import numpy as np
import pytest
import z3

from lexorder.optimizers.milp import Scope
from lexorder.optimizers.prove import Refuted, find
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import conditional, meets, points, small


def ask(problem, seconds: float = 5):
    rows = RowTable(problem)
    clauses = tuple(range(len(problem.clauses)))
    scope = Scope(rows.lower, rows.upper, rows.limit, rows.asserted, clauses)
    return find(rows, scope, rows.held.astype(float), seconds=seconds)


@pytest.mark.parametrize("seed", range(60))
def test_found_or_refuted_as_enumeration_says(seed: int) -> None:
    problem = small(random.Random(seed), names=3, rows=3, clauses=seed % 3, working=seed % 5 == 0)
    feasible = [x for x in points(problem) if meets(problem, x)]
    found = ask(problem)
    if feasible:
        assert isinstance(found, np.ndarray)
        assert tuple(found.tolist()) in feasible
    else:
        assert isinstance(found, Refuted)


def test_fifty_names_with_thresholds_and_pairs_in_seconds() -> None:
    problem = conditional(50, 1)
    found = ask(problem, seconds=8)
    assert isinstance(found, np.ndarray)
    assert meets(problem, tuple(found.tolist()))


def test_unknown_is_no_answer(monkeypatch) -> None:
    monkeypatch.setattr(z3.Solver, "check", lambda *_: z3.unknown)
    assert ask(small(random.Random(1))) is None


def test_no_time_is_no_answer() -> None:
    assert ask(conditional(20, 1), seconds=0.0) is None


def test_a_model_the_exact_check_refuses_is_no_answer(monkeypatch) -> None:
    from lexorder.optimizers import prove

    monkeypatch.setattr(prove, "accepts", lambda *_: False)
    assert ask(conditional(20, 1)) is None


def test_threads_each_have_their_own_context() -> None:
    found: list[object] = []
    problem = conditional(20, 1)
    threads = [threading.Thread(target=lambda: found.append(ask(problem, 3))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(meets(problem, tuple(x.tolist())) for x in found)  # type: ignore[attr-defined]
    assert len(found) == 3
