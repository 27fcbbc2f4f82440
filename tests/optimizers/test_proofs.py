"""Proofs that nothing meets some rows: true by brute force, accepted by the verifier, minimal, bounded in effort."""

from __future__ import annotations

import json
from random import Random

import pytest

from lexorder.engine.certificate import (
    Cases,
    Certificate,
    Clause,
    Function,
    Infeasible,
    Leaf,
    Name,
    Problem,
    Row,
    Split,
    Tree,
    Working,
)
from lexorder.engine.verify import verify
from lexorder.optimizers import infeasible
from lexorder.optimizers.infeasible import FoundHoldings, minimal, prove
from lexorder.optimizers.milp import RowProgram
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable
from lexorder.optimizers.solve import NO_HASH
from tests.certificate.truth import Truth
from tests.optimizers.books import meets, points, small

LINE, BACK = ((0, Function.linear(1)),), ((0, Function.linear(-1)),)


def proof(problem: Problem, **options: int) -> Infeasible | tuple[int, ...] | None:
    """A claim, None, or holdings that meet everything."""
    rows = RowTable(problem)
    try:
        return prove(rows, rows.asserted, tuple(range(len(problem.clauses))), seconds=5, **options)
    except FoundHoldings as found:
        return tuple(found.holdings.tolist())


def certified(problem: Problem, claim: Infeasible) -> bool:
    """Whether the claim is true, by brute force; the verifier must agree."""
    text = Certificate(NO_HASH, NO_HASH, problem, (), (claim,)).text()
    document = json.loads(text)
    true = Truth(document).infeasible(document["claims"][0])
    assert verify(text).valid is true, verify(text)
    return true


def a_problem(seed: int) -> Problem:
    return small(Random(seed), names=3, rows=4, clauses=seed % 3, working=seed % 4 == 0)


@pytest.mark.parametrize("seed", range(100))
def test_every_claim_is_true_and_every_refusal_to_prove_has_its_reason(seed):
    problem = a_problem(seed)
    answer = proof(problem)
    feasible = [x for x in points(problem) if meets(problem, x)]
    if isinstance(answer, Infeasible):
        assert not feasible
        assert certified(problem, answer)
    else:
        assert answer in feasible, "with so few holdings the search comes to an end"


def test_all_kinds_of_steps_occur():
    kinds: set[type] = set()

    def walk(tree: Tree) -> None:
        kinds.add(type(tree))
        for part in tree.cases if isinstance(tree, Cases) else (tree.low, tree.high) if isinstance(tree, Split) else ():
            walk(part)

    for seed in range(100):
        answer = proof(a_problem(seed))
        if isinstance(answer, Infeasible):
            walk(answer.tree)
    assert kinds == {Leaf, Split, Cases}


@pytest.mark.parametrize("seed", range(60))
def test_a_minimal_claim_needs_each_of_its_rows_and_clauses(seed):
    problem = a_problem(seed)
    claim = proof(problem)
    if not isinstance(claim, Infeasible):
        return
    least = minimal(RowTable(problem), claim, seconds=5)
    assert certified(problem, least)
    assert set(least.rows) <= set(claim.rows)
    assert set(least.clauses) <= set(claim.clauses)
    for kind, index in [("rows", r) for r in least.rows] + [("clauses", c) for c in least.clauses]:
        rest = {"rows": set(least.rows), "clauses": set(least.clauses)}
        rest[kind].discard(index)
        rows = tuple(
            Row(r.id, r.limit, r.functions, r.working, asserted=n in rest["rows"]) for n, r in enumerate(problem.rows)
        )
        clauses = tuple(c for n, c in enumerate(problem.clauses) if n in rest["clauses"])
        bare = Problem(problem.names, problem.working, rows, clauses)
        assert any(meets(bare, x) for x in points(bare)), f"{kind} {index} could be left out"


def test_a_minimal_set_may_be_a_clause_alone():
    rows = (
        Row("fine", 9, LINE),
        Row("below", -1, LINE, asserted=False),
        Row("above", -10, BACK, asserted=False),
    )
    problem = Problem((Name("A", 0, 0, 9),), (), rows, (Clause("nowhere", ((1,), (2,))),))
    claim = proof(problem)
    assert isinstance(claim, Infeasible)
    least = minimal(RowTable(problem), claim, seconds=5)
    assert (least.rows, least.clauses) == ((), (0,))
    assert certified(problem, least)


# ---- effort ----------------------------------------------------------------------------------------------------------


def parity(names: int) -> Problem:
    """An odd sum of even numbers: every linear combination misses it, so that the box must be cut."""
    listed = tuple(Name(f"n{i}", 0, 0, 3) for i in range(names))
    up = tuple((i, Function.linear(2)) for i in range(names))
    down = tuple((i, Function.linear(-2)) for i in range(names))
    return Problem(listed, (), (Row("most", 2 * names + 1, up), Row("least", -2 * names - 1, down)))


def test_a_proof_that_needs_many_cuts_is_found_or_given_up_but_never_wrong():
    for names in (1, 2):
        claim = proof(parity(names))
        assert isinstance(claim, Infeasible)
        assert certified(parity(names), claim)
    for nodes in range(4):
        assert proof(parity(3), nodes=nodes) is None


@pytest.mark.parametrize("nodes", [0, 1])
def test_the_first_look_is_a_node(nodes):
    problem = Problem((Name("A", 0, 0, 9),), (), (Row("never", -1, LINE),))
    assert isinstance(proof(problem, nodes=nodes), Infeasible) is (nodes == 1)


def test_depth_is_bounded(monkeypatch):
    monkeypatch.setattr(infeasible, "DEPTH_MAX", 0)
    assert proof(parity(2)) is None


def test_a_solver_that_fails_proves_nothing(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ProposalError("HiGHS", "x")

    monkeypatch.setattr(RowProgram, "solve", fail)
    assert proof(parity(2)) is None
    alone = Problem((Name("A", 0, 0, 9),), (), (Row("never", -1, LINE),))
    assert isinstance(proof(alone), Infeasible), "a row that nothing meets needs no solver"


# ---- rows that may serve in no proof ---------------------------------------------------------------------------------


def mixed(limit: int) -> Problem:
    """A row that reads a holding and the fill of an order in it: its worst value is an upper bound only."""
    names = (Name("A", 5, 5, 5), Name("B", 0, 0, 3))
    orders = (Working(0, 2), Working(0, -1))
    return Problem(names, orders, (Row("mixed", limit, ((0, Function.linear(1)), (1, Function.linear(1))), ((0, 1),)),))


@pytest.mark.parametrize("limit", [0, 5, 8])
def test_a_mixed_row_that_looks_broken_proves_nothing(limit):
    assert proof(mixed(limit)) is None


def test_a_mixed_row_that_holds_is_met():
    assert proof(mixed(9)) == (5, 0)


def test_a_box_of_one_point_is_decided():
    names = (Name("A", 4, 4, 4),)
    assert proof(Problem(names, (), (Row("r", 4, LINE),))) == (4,)
    assert isinstance(proof(Problem(names, (), (Row("r", 3, LINE),))), Infeasible)


def test_no_rows_at_all_are_met():
    problem = Problem((Name("A", 4, 0, 9),), (), ())
    assert proof(problem) in points(problem)
