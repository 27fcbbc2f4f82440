"""Every order of a rebalance decided like any other, wave by wave.

In: the board, the accepted waves, a fresh desk. Out: `Released`: the orders with the decision of each wave, or the
names whose orders were refused. Guaranteed: a wave is decided as a basket, in every fill state, on a desk where all
earlier waves are filled at their limit prices (the dearest they can be); what is not approved is refused with the
first rule's words. Refused: nothing is raised. Why decide again what the certificate proves: the certificate speaks
of compiled rows, the desk of the rules themselves, by two evaluators. Before: `rows.py`, `solve.py`. After:
`rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.certificate import Wave
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk
from lexorder.engine.events import Fill
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot
from lexorder.optimizers.board import Board
from lexorder.optimizers.row_units import unit_of
from lexorder.optimizers.rows import Refusal
from lexorder.optimizers.universe import money_of_price


@dataclass(frozen=True, slots=True)
class Released:
    """Order facts by wave, one decision per wave, the snapshot once all is filled; or names refused.

    `confirmed`: comparisons of rows with the evaluator made before.
    """

    waves: tuple[tuple[Facts, ...], ...]
    decisions: tuple[Decision, ...]
    after: Snapshot
    confirmed: int
    refused: tuple[Refusal, ...] = ()


def release(board: Board, waves: Sequence[Wave], desk: Desk, confirmed: int) -> Released:
    """Decide the waves in turn; stops at the first wave that is not approved."""
    done: list[tuple[Facts, ...]] = []
    decisions: list[Decision] = []
    for number, wave in enumerate(waves, 1):
        orders = orders_of(board, wave, number)
        (decision,) = desk.check_basket(orders)
        if not decision.approved:
            refused = tuple(_refused(orders, desk)) or _whole(orders, decision)
            return Released((), (), desk.snapshot, confirmed, refused)
        done.append(orders)
        decisions.append(decision)
        for order in orders:
            desk.apply(fill_of(order, board))
    return Released(tuple(done), tuple(decisions), desk.snapshot, confirmed)


def orders_of(board: Board, wave: Wave, number: int) -> tuple[Facts, ...]:
    """The facts of a wave's orders: the candidates with their quantity in shares and an identifier of their own."""
    found = []
    for order in wave:
        candidate = board.candidates[order.name]
        template = candidate.buy if order.quantity > 0 else candidate.sell
        assert template is not None, "the bounds admit no order without a candidate"
        shares = abs(order.quantity) * unit_of(board, order.name)[0]
        prefix = str(template["order.id"]).split("-")[0]
        name = f"{prefix}{number}-{candidate.symbol}"
        found.append({**template, "order.id": name, "order.quantity": Fraction(shares)})
    return tuple(found)


def fill_of(order: Facts, board: Board) -> Fill:
    """A complete fill at the limit price, fee included."""
    symbol, side, projection = str(order["order.symbol"]), str(order["order.side"]), board.projection
    multiplier, fx = money_of_price(projection, symbol)
    price, fee = Fraction(order["order.price"]), Fraction(order["order.fee_per_share"])  # type: ignore[arg-type]
    quantity = Fraction(order["order.quantity"])  # type: ignore[arg-type]
    received = price * multiplier * (-1 if side == "buy" else 1)
    return Fill(projection.account, symbol, side, quantity, (received - fee) * fx * quantity)


def _refused(orders: Sequence[Facts], desk: Desk) -> list[Refusal]:
    """The orders that by themselves are not approved."""
    found = []
    for order, decision in zip(orders, desk.check_each(orders), strict=True):
        if not decision.approved:
            found.append(Refusal(_rule(decision), str(order["order.symbol"]), _words(decision)))
    return found


def _whole(orders: Sequence[Facts], decision: Decision) -> tuple[Refusal, ...]:
    """Each order passes alone and the wave does not: all of it is refused."""
    return tuple(Refusal(_rule(decision), str(o["order.symbol"]), _words(decision)) for o in orders)


def _rule(decision: Decision) -> str:
    return decision.reports[0].rule if decision.reports else ""


def _words(decision: Decision) -> str:
    return decision.reports[0].message if decision.reports else decision.outcome.value
