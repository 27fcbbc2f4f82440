"""The check of rows against rules at every release notices each way in which a row could be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.certificate import Clause, Function, Row
from lexorder.optimizers.board import Board
from lexorder.optimizers.confirm import RowsMismatch, confirm, fills_at, random_vertex, worst_vertex
from lexorder.optimizers.row_units import unit_of
from lexorder.optimizers.rows import RowSet
from tests.optimizers.test_rows import lowered, rule, small

CAP = rule("sum(position.after.value) <= 50")
CASH = rule("account.after.cash >= 400")
EITHER = rule("sum(position.after.quantity) <= 2 or sum(position.after.quantity) >= 5")
FORTY = rule("sum(position.after.value where position.after.value > 50) <= 120")
BUSY = (("A", "buy", 4), ("A", "sell", 2))


def counted(found: RowSet, board: Board) -> int:
    return confirm(found, board, vertices=12)


def with_row(found: RowSet, change: Callable[[Row], Row], index: int = 0) -> None:
    found.rows[index] = change(found.rows[index])


def bent(row: Row, by: Callable[[Function], Function]) -> Row:
    (name, function), *rest = row.functions
    return replace(row, functions=((name, by(function)), *rest))


def late(function: Function) -> Function:
    """The same pieces, each a share further up."""
    return Function(tuple(b + 1 for b in function.breaks), function.polys)


# ---- honest rows are confirmed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [CAP, CASH, EITHER, FORTY])
@pytest.mark.parametrize("working", [(), (("A", "sell", 1),), BUSY])
def test_honest_rows_pass_and_the_comparisons_are_counted(text, working):
    found, board = lowered(text, small(3, 1, working=working))
    rows, judged, vertices = len(found.rows), len(found.judged), 12
    assert counted(found, board) == rows + judged * vertices
    again = confirm(found, board, vertices=0, also=[board.held()])
    assert again == rows + judged


def test_without_rules_there_is_nothing_to_compare():
    _, board = lowered(CAP, small(3))
    assert confirm(RowSet(), board, vertices=5) == 0


def test_what_is_left_to_the_orders_is_not_compared():
    found, board = lowered(rule("order.quantity >= 3", for_each="order", phases="[pre_trade]"), small(5))
    assert found.left_to_orders
    assert confirm(found, board, vertices=5) == 0


# ---- each mistake is noticed -----------------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[str, Callable[[RowSet], None]]] = {
    "limit one higher": (CAP, lambda f: with_row(f, lambda r: replace(r, limit=r.limit + 1))),
    "limit one lower": (CAP, lambda f: with_row(f, lambda r: replace(r, limit=r.limit - 1))),
    "a name left out": (CAP, lambda f: with_row(f, lambda r: replace(r, functions=r.functions[1:]))),
    "a name's slope doubled": (CAP, lambda f: with_row(f, lambda r: bent(r, lambda g: g.scaled(2)))),
    "a name's sign turned": (CAP, lambda f: with_row(f, lambda r: bent(r, lambda g: g.scaled(-1)))),
    "two names exchanged": (
        rule("sum(position.after.value * (if position.symbol == \"A\" then 3 else 1)) <= 90"),
        lambda f: with_row(f, lambda r: replace(r, functions=tuple((1 - n, g) for n, g in r.functions))),
    ),
    "costs on the wrong side of the holding": (
        CASH,
        lambda f: with_row(f, lambda r: bent(r, lambda g: Function((), g.polys[:1]))),
    ),
    "a threshold one share late": (FORTY, lambda f: with_row(f, lambda r: bent(r, late))),
    "a row that binds nobody": (CAP, lambda f: with_row(f, lambda r: replace(r, asserted=False))),
    "an alternative that always holds": (EITHER, lambda f: with_row(f, lambda r: replace(r, limit=10**9))),
    "an alternative that never holds": (EITHER, lambda f: with_row(f, lambda r: replace(r, limit=-(10**9)), 1)),
    "an alternative left out": (EITHER, lambda f: f.clauses.__setitem__(0, Clause("c", f.clauses[0].alternatives[:1]))),
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_row_is_noticed(what):
    text, spoil = MISTAKES[what]
    found, board = lowered(text, small(3, 1))
    counted(found, board)
    spoil(found)
    with pytest.raises(RowsMismatch, match="rule `r` for") as noticed:
        confirm(found, board, vertices=60)  # the vertices are drawn: a mistake must show soon
    assert noticed.value.code == "rows-mismatch"
    assert (noticed.value.rule, noticed.value.subject) == ("r", "ACC-1")


@pytest.mark.parametrize(
    ("asserted", "words"), [(False, "its rows hold .* would break"), (True, "its rows break .* would hold")]
)
def test_the_words_say_which_of_the_two_is_too_lenient(asserted, words):
    found, board = lowered(CAP if not asserted else EITHER, small(3, 1))
    with_row(found, lambda r: replace(r, asserted=asserted))
    with pytest.raises(RowsMismatch, match=words):
        confirm(found, board, also=[[6, 0], [5, 0]], vertices=0)


@pytest.mark.parametrize("limit", ["50", "50.5", "59.99"])
@pytest.mark.parametrize("strict", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("by", [1, -1])
def test_a_limit_one_unit_off_is_noticed_wherever_it_is_looked_at(strict, by, limit):
    found, board = lowered(rule(f"sum(position.after.value) {strict} {limit}"), small(3, 1))
    assert confirm(found, board, vertices=0, also=[board.held()])
    with_row(found, lambda r: replace(r, limit=r.limit + by))
    with pytest.raises(RowsMismatch, match="in whole units"):
        confirm(found, board, vertices=0)


def test_a_wrong_fill_coefficient_is_noticed():
    text = rule("account.after.cash >= 400")
    found, board = lowered(text, small(3, 2, working=BUSY))
    (row,) = [r for r in found.rows if r.working]
    index = found.rows.index(row)
    counted(found, board)
    found.rows[index] = replace(row, working=tuple((k, -c) for k, c in row.working))
    with pytest.raises(RowsMismatch):
        confirm(found, board, vertices=60)


def test_an_atom_that_measures_something_else_is_noticed_though_its_row_holds():
    found, board = lowered(rule("sum(position.after.value) <= 5_000"), small(3, 1))
    (source,) = found.sources
    assert source.direct
    halved = replace(source.atom, sum=source.atom.sum.scaled(Fraction(1, 2)))
    found.sources[0] = replace(source, atom=halved, scale=2 * source.scale)
    with pytest.raises(RowsMismatch, match="excess is not the rule's"):
        counted(found, board)


# ---- vertices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lot", [1, 3])
@pytest.mark.parametrize("working", [(), BUSY, (("B", "sell", 1),)])
def test_vertices_are_reachable_and_on_whole_lots(working, lot):
    found, board = lowered(rule("sum(abs(position.after.value)) <= 80"), small(4, 3, 0, working=working, lot=lot))
    random, count = Random(1), len(board.candidates)
    vertices = [random_vertex(board, random) for _ in range(200)] + [
        worst_vertex(s, board, random) for s in found.sources
    ]
    for x in vertices:
        fills = x[count:]
        assert all(f in (0, q) for f, q in zip(fills, board.quantities, strict=True))
        for n, candidate in enumerate(board.candidates):
            own = sum(fills[k] for k in board.working_of(n))
            step, rest = unit_of(board, n)
            assert candidate.lower <= x[n] - own <= candidate.upper
            assert (x[n] - own - rest) % step == 0
    for n in range(count):
        if not board.working_of(n):
            low, high = board.candidates[n].lower, board.candidates[n].upper
            assert {low, high} <= {x[n] for x in vertices}, "both ends are visited"


def test_a_row_stands_worst_at_its_worst_vertex():
    found, board = lowered(rule("sum(abs(position.after.value - 20)) <= 80"), small(4, 3))
    (source,) = found.sources
    x = worst_vertex(source, board, Random(3))
    assert source.atom.sum.value(x) == source.atom.sum.range()[1]


def test_orders_are_filled_whole_and_working_orders_as_the_vertex_says():
    _, board = lowered(CAP, small(4, 3, working=BUSY))
    x = [6, 5, 4, -2]
    orders = board.orders_at(x)
    assert fills_at(board, orders, x) == {
        ("order", "R-B-B"): 2,
        ("working_order", "W-0"): 4,
        ("working_order", "W-1"): 2,
    }
