"""The path and its reason."""

import pytest

from lexorder.engine.errors import UsageError
from lexorder.optimizers.choose import choose
from tests.optimizers.books import conditional, realistic


def test_convex_rows_go_the_convex_way() -> None:
    route = choose(realistic(20, 1), ())
    assert (route.path, "convex" in route.reason) == ("convex", True)


def test_clauses_and_thresholds_need_integers_and_the_reason_says_which() -> None:
    problem = conditional(20, 1, pairs=2)
    (row,) = [r for r, row in enumerate(problem.rows) if row.id == "5/10/40"]
    route = choose(problem, (row,))
    assert route.path == "milp"
    assert "2 clauses and 1 rows that are not convex (first: `5/10/40`)" in route.reason


@pytest.mark.parametrize("wish", ["milp", "z3"])
def test_a_wish_is_followed(wish: str) -> None:
    assert choose(realistic(20, 1), (), wish).path == wish


@pytest.mark.parametrize(("wish", "code"), [("convex", "path-too-weak"), ("magic", "unknown-path")])
def test_a_wish_that_cannot_work_is_refused(wish: str, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        choose(conditional(20, 1), (), wish)
    assert refusal.value.code == code
