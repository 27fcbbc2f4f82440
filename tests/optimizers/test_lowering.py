"""Terms lowered to sums and trees say in every state what the reference evaluator says there."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import pytest

from lexorder.engine.evaluate import Point, value
from lexorder.engine.facts import load_snapshot
from lexorder.engine.judge import derivations
from lexorder.engine.piecewise import InexpressibleError
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Term
from lexorder.engine.typecheck import term_of
from lexorder.optimizers.board import Board
from lexorder.optimizers.confirm import fills_at
from lexorder.optimizers.lowering import Lowering
from lexorder.optimizers.rows import holds
from lexorder.optimizers.separable import FALSE, TRUE, Known, LoweringError
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rows import DAY, small

SELLING = (("A", "sell", 2),)
BOTH_WAYS = (("A", "buy", 2), ("A", "sell", 1))


def board(*holdings: int, working: Any = (), rules: str = "", **facts: Any) -> Board:
    """Names at 10 and a NAV of 1,000 that may reach four shares each."""
    given: dict[str, Any] = small(*holdings, working=working, **facts)
    known = RuleBook.of(rules, VOCABULARY).on(DAY) if rules else ()
    trading = Trading(trader="T-1", cap=Fraction(4, 100))
    return board_of(load_snapshot(given, VOCABULARY), VOCABULARY, ACCOUNT, known, trading)


def states(found: Board) -> list[list[int]]:
    """Every holding of the names that can move, every fill of every working order."""
    count = len(found.candidates)
    fills = [range(min(0, q), max(0, q) + 1) for q in found.quantities]
    free = [range(c.lower, c.upper + 1) for c in found.candidates]
    every = []
    for x in product(*free, *fills):
        moved = list(x)
        for k, name in enumerate(found.names_of_working):
            moved[name] += x[count + k]
        every.append(moved)
    return every


def seen_at(found: Board, x: list[int]) -> Point:
    """The evaluator's view of a state: the orders that lead there, filled; working orders as far as x says."""
    old, orders = found.projection, found.orders_at(x)
    projection = project(old.snapshot, old.vocabulary, old.account, orders)
    return Point(projection, (account_subject(projection),), fills_at(found, orders, x), found.derived)


def term(text: str) -> Term:
    return term_of(text, VOCABULARY, "account")


NUMBERS = [
    "sum(position.after.quantity)",
    "-sum(position.after.value) / 3 + 7",
    "sum(abs(position.after.value - 20))",
    "sum(max(position.after.quantity, 2) - min(position.after.quantity, 3))",
    "sum(position.after.quantity * position.after.quantity)",
    "sum((if position.after.quantity > 2 then 5 else position.after.quantity))",
    "sum(position.after.value where position.after.quantity >= 2 and position.after.quantity != 3)",
    "count(position where position.after.quantity > 1)",
    "count(position)",
    "count(order)",
    "sum(order.quantity)",
    "sum(order.filled * order.cash_per_share)",
    "sum(order.notional where order.side == buy)",
    "sum(working_order.filled)",
    "account.after.cash",
    "account.after.nav",
    "(if sum(order.quantity where order.symbol == \"A\") > 1 then 2 else 7)",
    "sum(position.after.quantity where position.symbol == \"B\") * 3 / 7",
]  # fmt: skip
WORLDS = {
    "plain": ((2, 0), ()),
    "selling": ((3, 1), SELLING),
    "both ways": ((3, 1), BOTH_WAYS),
    "flat": ((0, 0), ()),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_has_in_every_state_the_value_of_the_reference(text, world):
    holdings, working = WORLDS[world]
    found = board(*holdings, working=working)
    lowering = Lowering(found)
    total = lowering.number(term(text), lowering.at())
    for x in states(found):
        assert total.value(x) == value(term(text), seen_at(found, x)), x


CONDITIONS = [
    "sum(position.after.value) <= 40",
    "sum(position.after.value) < 40",
    "not (sum(position.after.value) >= 40)",
    "sum(position.after.quantity) == 3",
    "sum(position.after.quantity) != 3",
    "sum(position.after.quantity) in {1, 4, 6}",
    "not (sum(position.after.quantity) in {1, 4})",
    "abs(sum(position.after.quantity) - 3) >= 1",
    "max(sum(position.after.quantity), sum(order.quantity)) <= 3",
    "min(sum(position.after.quantity), sum(order.quantity)) > 1",
    "2 * max(sum(position.after.value), 30) - min(account.after.cash, 480) <= -390",
    "sum(position.after.value) / account.after.nav <= 3%",
    "sum(position.after.value) / account.after.nav > 3%",
    "any(position.after.quantity > 2)",
    "all(position.after.quantity >= 1)",
    "all(position.after.quantity >= 2 where position.after.quantity != 0)",
    "any(order.quantity > 2) or account.after.cash >= 490",
    "any(order.side == sell) and count(order) == 2",
    "(if sum(position.after.quantity) > 3 then account.after.cash >= 470 else count(order) <= 1)",
    "(if sum(position.after.quantity) > 3 then account.after.cash else account.nav) >= 470",
    "abs(max(sum(position.after.quantity), sum(order.quantity)) - 3) <= 1",
    "-abs(sum(position.after.quantity) - sum(order.quantity)) >= -2",
]


@pytest.mark.parametrize("world", ["plain", "selling", "both ways"])
@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_holds_in_every_state_where_the_reference_says_so(text, world):
    holdings, working = WORLDS[world]
    found = board(*holdings, working=working)
    lowering = Lowering(found)
    tree = lowering.condition(term(text), lowering.at())
    for x in states(found):
        assert holds(tree, x) is value(term(text), seen_at(found, x)), x


def test_most_conditions_are_true_in_some_states_and_false_in_others():
    found = board(2, 0)
    lowering, both = Lowering(found), 0
    for text in CONDITIONS:
        tree = lowering.condition(term(text), lowering.at())
        both += {holds(tree, x) for x in states(found)} == {True, False}
    assert both >= len(CONDITIONS) - 2


def test_a_position_is_there_when_it_is_held_ordered_or_traded():
    found = board(2, 0)
    lowering = Lowering(found)
    for symbol, name in (("A", 0), ("B", 1)):
        (member,) = [m for m in lowering.members(term("count(position)"), lowering.at()) if m.stack[-1].key == symbol]  # type: ignore[arg-type]
        tree = lowering.presence(member.stack[-1])
        for x in states(found):
            assert holds(tree, x) is (symbol in seen_at(found, x).projection.positions), (symbol, x)
        assert (tree == TRUE) is (name == 0)


# ---- what cannot be known ------------------------------------------------------------------------------------------

UNKNOWN = "sum(position.after.value) <= account.equity"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (f"{UNKNOWN} and 1 > 2", FALSE),
        (f"1 > 2 and {UNKNOWN}", FALSE),
        (f"{UNKNOWN} or 1 < 2", TRUE),
        (f"not ({UNKNOWN} and 1 > 2)", TRUE),
    ],
)
def test_a_decisive_half_decides_where_the_other_is_missing(text, known):
    lowering = Lowering(board(2, 0))
    assert lowering.condition(term(text), lowering.at()) == known


@pytest.mark.parametrize(
    "text",
    [
        UNKNOWN,
        f"{UNKNOWN} or sum(position.after.value) >= 0",
        f"{UNKNOWN} and sum(position.after.value) >= 0",
        "sum(position.after.value) * account.equity <= 5 * account.nav * account.nav",
        "all(position.after.value <= account.equity)",
        "sum(position.after.value) / (account.nav - account.nav) <= 1",
    ],
)
def test_a_missing_fact_is_raised_where_nothing_else_decides(text):
    lowering = Lowering(board(2, 0))
    with pytest.raises(MissingFactError):
        lowering.condition(term(text), lowering.at())


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sum(position.after.quantity) * sum(order.quantity) <= 5", "multiplies holdings of different names"),
        ("1 / sum(position.after.quantity) + 1 <= 5", "divides by something that depends"),
        ("sum(position.after.value) / sum(position.after.value) <= 1", "can reach zero"),
        ("sum(position.after.value) / account.after.cash == 1", "divides by something that depends"),
        (
            "sum((if account.sum(position.after.quantity) > 2 then position.after.quantity else 0)) <= 1",
            "several names",
        ),
        ("count(position where account.sum(position.after.quantity) > 2) <= 1", "condition on several names"),
        ("abs(sum(position.after.quantity)) * sum(order.quantity) <= 5", "of several names together|different names"),
    ],
)
def test_what_is_no_sum_is_refused_with_the_reason(text, words):
    lowering, wanted = Lowering(board(2, 1)), term(text)  # the front end admits it
    with pytest.raises((LoweringError, InexpressibleError), match=words):
        lowering.condition(wanted, lowering.at())


def test_a_cube_of_one_name_is_refused():
    lowering = Lowering(board(2))
    cube = "sum(position.after.quantity * position.after.quantity * position.after.quantity) <= 5"
    with pytest.raises(InexpressibleError, match="degree-above-two"):
        lowering.condition(term(cube), lowering.at())


DERIVED = """
- rule: regime
  title: Volatile
  phases: [signal]
  for_each: market
  when: {when}
  derive: {{market.regime: VOLATILE}}
"""


@pytest.mark.parametrize(
    ("when", "refused"), [("market.volatility > 5%", False), ("account.sum(position.after.quantity) > 3", True)]
)
def test_a_derived_fact_may_not_depend_on_the_trade(when, refused):
    given: dict[str, Any] = small(2, 0)
    given["market"] = [{"symbol": s, "volatility": "0.06", "volume_spike": "3"} for s in "AB"]
    rules = RuleBook.of(DERIVED.format(when=when), VOCABULARY).on(DAY)
    found = board_of(load_snapshot(given, VOCABULARY), VOCABULARY, ACCOUNT, rules, Trading())
    assert "market.regime" in derivations(rules)
    lowering = Lowering(found)
    reads = term_of("market.regime == VOLATILE", VOCABULARY, "market")
    if refused:
        with pytest.raises(LoweringError, match=r"rule regime derives from holdings"):
            lowering.moving(reads)
    else:
        assert lowering.moving(reads) is False


def test_what_is_measured_for_each_order_is_not_lowered():
    lowering = Lowering(board(2, 0))
    with pytest.raises(LoweringError, match=r"order\.on_lot.*measured for each order"):
        lowering.condition(term("any(order.on_lot)"), lowering.at())


def test_what_the_trade_does_not_change_is_read_once():
    lowering = Lowering(board(2, 0))
    assert lowering.condition(term("account.nav > 5"), lowering.at()) == Known(True)
    assert lowering.number(term("sum(position.before.quantity)"), lowering.at()).constant == 2
    assert not lowering.moving(term("account.nav / 3 > sum(working_order.notional)"))
    assert lowering.moving(term("count(order) > 1"))
