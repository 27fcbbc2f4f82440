"""The whole way: every answer is certified, none contradicts enumeration, failures are refusals."""

import random
from collections import Counter

import pytest

from lexorder.engine.certificate import Bound, End, Function, Name, Objective, Problem, Row
from lexorder.engine.errors import SolverError
from lexorder.engine.verify import verify
from lexorder.optimizers import solve as module
from lexorder.optimizers.refusals import (
    CertificateRefused,
    ProposalError,
    UndecidedError,
    UnsafePathError,
    UnsafeStartError,
)
from lexorder.optimizers.solve import Conflict, Settings, Solution, solve
from tests.optimizers.books import conditional, meets, points, realistic, small


def check_against_enumeration(problem: Problem) -> str:
    """Solve and compare; returns what came out."""
    feasible = [x for x in points(problem) if meets(problem, x)]
    try:
        answer = solve(problem)
    except (UnsafeStartError, UnsafePathError) as refusal:
        return type(refusal).__name__
    assert verify(answer.text).valid
    if isinstance(answer, Conflict):
        assert not feasible
        return "conflict"
    assert problem.objective is not None
    best = min((problem.objective.value(x) for x in feasible), default=None)
    if any(isinstance(c, End) for c in answer.certificate.claims):
        assert answer.holdings in feasible
        assert best is not None
        assert answer.value is not None
        assert answer.value >= best
    if answer.bound is not None and best is not None:
        assert answer.bound <= best
    return "solution"


@pytest.mark.parametrize("part", range(10))
def test_small_boxes_agree_with_enumeration(part: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(part * 40, part * 40 + 40):
        rng = random.Random(seed)
        clauses, working = rng.choice([0, 0, 1, 2]), rng.random() < 0.4
        names, rows = rng.randint(1, 4), rng.randint(1, 4)
        problem = small(rng, names=names, rows=rows, clauses=clauses, working=working)
        seen[check_against_enumeration(problem)] += 1
    assert seen["solution"] >= 10
    assert seen["conflict"] >= 2


def tight(limit: int) -> Problem:
    """Wants as much as it can get; the limit is met exactly by 3 * 10**6 + 7 at 13 and 11."""
    names = (Name("A", 0, 0, 10**6), Name("B", 0, 0, 10**6))
    line = ((0, Function.linear(13)), (1, Function.linear(11)))
    goal = Objective("1", ((0, Function.linear(-13)), (1, Function.linear(-11))))
    return Problem(names, (), (Row("tight", limit, line),), (), goal)


@pytest.mark.parametrize("limit", [24, 25, 10**7, 10**7 + 1, 10**7 - 1])
def test_a_limit_is_never_passed_and_nearly_reached(limit: int) -> None:
    answer = solve(tight(limit))
    assert isinstance(answer, Solution)
    used = 13 * answer.holdings[0] + 11 * answer.holdings[1]
    assert limit - 10 <= used <= limit
    assert answer.gap is not None
    assert 0 <= answer.gap <= 12


@pytest.mark.parametrize("seed", range(210))
def test_realistic_books_are_always_certified(seed: int) -> None:
    answer = solve(realistic(20 + seed % 41, seed, turnover=10 + seed % 30))
    assert isinstance(answer, Solution)
    assert verify(answer.text).valid
    assert any(isinstance(c, Bound) for c in answer.certificate.claims)
    assert answer.gap is not None
    assert answer.gap >= 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_a_thousand_rebalances(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        answer = solve(realistic(20 + (seed * 37) % 181, 10_000 + seed, turnover=5 + seed % 40))
        assert isinstance(answer, Solution)
        assert verify(answer.text).valid


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_and_clauses_are_certified(seed: int) -> None:
    try:
        answer = solve(conditional(25, seed), settings=Settings(seconds=5))
    except UnsafePathError:
        return
    assert isinstance(answer, Solution)
    assert answer.route.path in ("milp", "z3")
    assert verify(answer.text).valid


def test_all_paths_lead_to_certified_answers() -> None:
    problem = realistic(20, 5)
    values: dict[str, int] = {}
    for route in ("convex", "milp", "z3"):
        answer = solve(problem, settings=Settings(route=route, seconds=4))
        assert isinstance(answer, Solution)
        assert answer.route.path == route
        values[route] = answer.value or 0
    # Roundings differ by what a unit is worth; the continuous optimum is the common guide.
    assert values["convex"] == pytest.approx(values["milp"], rel=1e-6)
    assert values["convex"] <= values["z3"] * (1 - 1e-6)


def test_cvxpy_and_clarabel_end_at_equal_value() -> None:
    problem = realistic(30, 8)
    first, second = solve(problem), solve(problem, settings=Settings(solver="cvxpy"))
    assert isinstance(first, Solution)
    assert isinstance(second, Solution)
    assert first.value == pytest.approx(second.value, rel=1e-4)


def test_the_same_problem_gives_the_same_certificate() -> None:
    assert solve(realistic(30, 9)).text == solve(realistic(30, 9)).text


def passive_book(held: int) -> Problem:
    names = (Name("A", held, 0, 100), Name("B", 0, 0, 100))
    goal = Objective("1", ((0, Function.linear(-1)), (1, Function.linear(-1))))
    rows = (
        Row("cap/A", 50, ((0, Function.linear(1)),), passive=True),
        Row("keep/A", -held, ((0, Function.linear(-1)),)),
    )
    return Problem(names, (), rows, (), goal)


def test_a_breach_that_cannot_be_cured_may_stay_and_is_named() -> None:
    answer = solve(passive_book(60))
    assert isinstance(answer, Solution)
    assert answer.uncured == (0,)
    assert [type(c).__name__ for c in answer.certificate.claims] == ["Safe", "Bound"]


def test_a_breach_is_cured_where_that_is_possible_and_wanted() -> None:
    names = (Name("A", 60, 0, 100),)
    goal = Objective("1", ((0, Function.absolute(1, 60)),))
    problem = Problem(names, (), (Row("cap", 50, ((0, Function.linear(1)),), passive=True),), (), goal)
    cured, left = solve(problem), solve(problem, settings=Settings(cure=False))
    assert isinstance(cured, Solution)
    assert isinstance(left, Solution)
    assert (cured.holdings, left.holdings) == ((50,), (60,))


def test_a_conflict_names_its_rows_and_what_would_cure_it() -> None:
    names = (Name("A", 0, 0, 100), Name("B", 0, 0, 100))
    both = ((0, Function.linear(2)), (1, Function.linear(3)))
    least = ((0, Function.linear(-2)), (1, Function.linear(-3)))
    other = ((1, Function.linear(1)),)
    rows = (Row("most", 40, both), Row("apart", 90, other), Row("least", -50, least))
    answer = solve(Problem(names, (), rows))
    assert isinstance(answer, Conflict)
    assert answer.rows == (0, 2)
    assert [(r.verdict, r.by) for r in answer.relaxations] == [("enough", 10), ("enough", 10)]


def test_no_names_or_nothing_to_do_is_an_answer() -> None:
    still = Problem((Name("A", 5, 5, 5),), (), (Row("cap", 9, ((0, Function.linear(1)),)),))
    answer = solve(still)
    assert isinstance(answer, Solution)
    assert (answer.holdings, answer.waves) == ((5,), ())


def test_a_certificate_the_verifier_refuses_is_never_returned(monkeypatch) -> None:
    verdict = type("Verdict", (), {"valid": False, "code": "row-broken", "reason": "x"})()
    monkeypatch.setattr(module, "verify", lambda _: verdict)
    with pytest.raises(CertificateRefused, match="row-broken"):
        solve(realistic(20, 1))


def test_a_wrong_bound_is_caught_by_the_verifier(monkeypatch) -> None:
    from lexorder.optimizers.bound import bound as honest

    def boastful(*arguments):
        claim = honest(*arguments)
        return Bound(claim.scale, claim.multipliers, claim.points, claim.objective, claim.objective)

    monkeypatch.setattr(module, "bound", boastful)
    with pytest.raises(CertificateRefused, match="bound-not-proved"):
        solve(realistic(20, 1))


def test_time_spent_is_a_refusal(monkeypatch) -> None:
    def late(*_, **__):
        raise ProposalError("Clarabel", "MaxTime")

    monkeypatch.setattr(module, "propose", late)
    with pytest.raises(ProposalError, match="MaxTime"):
        solve(realistic(20, 1))


def test_another_solver_takes_over_where_one_fails_and_the_exact_check_still_decides(monkeypatch) -> None:
    def failing(*_, **__):
        raise ProposalError("Clarabel", "NumericalError")

    monkeypatch.setattr(module, "propose", failing)
    answer = solve(realistic(20, 1))
    assert isinstance(answer, Solution)
    assert answer.bound is None
    assert verify(answer.text).valid


def test_all_solvers_failing_is_a_refusal(monkeypatch) -> None:
    from lexorder.optimizers import discrete, milp, prove

    def failing(*_, **__):
        raise ProposalError("any", "failed")

    monkeypatch.setattr(module, "propose", failing)
    monkeypatch.setattr(discrete, "propose", failing)
    monkeypatch.setattr(milp.RowProgram, "solve", failing)
    monkeypatch.setattr(prove, "find", lambda *_, **__: None)
    problem = Problem(
        (Name("A", 0, 0, 9), Name("B", 0, 0, 9)), (),
        (Row("least", -5, ((0, Function.linear(-1)), (1, Function.linear(-2)))),
         Row("odd", 5, ((0, Function.linear(1)), (1, Function.linear(2)))),
         Row("rest", -3, ((0, Function.linear(1)), (1, Function.linear(-1))))),
    )  # fmt: skip
    with pytest.raises((UndecidedError, UnsafeStartError)) as refusal:
        solve(problem)
    assert isinstance(refusal.value, SolverError)


@pytest.mark.parametrize(
    ("names", "rows", "kind"),
    [
        ((), (), "Solution"),
        ((), (Row("never", -1),), "Conflict"),
        ((Name("A", 50, 0, 9),), (), "Solution"),
        ((Name("A", 50, 0, 9),), (Row("keep", -60, ((0, Function.linear(-1)),)),), "Conflict"),
        ((Name("A", 0, 0, 10**30),), (Row("r", 10**40, ((0, Function.linear(10**12)),)),), "Solution"),
    ],
)
def test_odd_problems_have_answers(names, rows, kind: str) -> None:
    answer = solve(Problem(names, (), rows))
    assert type(answer).__name__ == kind
    assert verify(answer.text).valid


def banded(room: int, *, gain: int) -> Problem:
    """Ten A for ten B with `room` to spare above and below; B is worth `gain` more than A."""
    names = (Name("A", 10, 0, 10), Name("B", 0, 0, 10))
    line = ((0, Function.linear(1)), (1, Function.linear(1)))
    back = ((0, Function.linear(-1)), (1, Function.linear(-1)))
    goal = Objective("1", ((0, Function.linear(-1)), (1, Function.linear(-1 - gain))))
    rows = (Row("cash", 10 + room, line), Row("invested", room - 10, back))
    return Problem(names, (), rows, (), goal)


def test_a_list_cut_short_is_returned_where_it_is_worth_it() -> None:
    answer = solve(banded(2, gain=5), settings=Settings(waves_max=2))
    assert isinstance(answer, Solution)
    assert answer.trimmed == ("A", "B")
    assert len(answer.waves) == 2


def test_a_list_that_cannot_begin_is_refused() -> None:
    with pytest.raises(UnsafePathError) as refusal:
        solve(banded(0, gain=5))
    assert refusal.value.rows == ("cash", "invested")


def test_the_search_for_a_proof_may_meet_holdings_instead(monkeypatch) -> None:
    monkeypatch.setattr(module, "whole_units", lambda *_, **__: None)
    answer = solve(tight(10**4))
    assert isinstance(answer, Solution)
    assert "search for a proof" in answer.route.reason
    assert verify(answer.text).valid


def test_z3_is_the_last_resort(monkeypatch) -> None:
    monkeypatch.setattr(module, "whole_units", lambda *_, **__: None)
    monkeypatch.setattr(module, "prove", lambda *_, **__: None)
    answer = solve(conditional(20, 1, pairs=2), settings=Settings(seconds=3))
    assert isinstance(answer, Solution)
    assert answer.route.path == "z3"
    with pytest.raises(UndecidedError):
        solve(realistic(20, 1), settings=Settings(route="convex"))
