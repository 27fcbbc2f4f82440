"""What one working order adds to a sum over an account's names, unfilled and filled.

In: a total, readers, then the facts of an order. Out: two integers of the total's scale. Guaranteed: the values that
`evaluate.value` gives with nothing and with all of the order filled. Refused: MissingFactError where a fact is absent,
or an amount finer than the scale. Why not one look for both: most parts are the filled shares times something, which
unfilled is nothing, or do not depend on fills at all.
Before: `readers.py`, `totals.py`. After: `books.py`.
"""

from __future__ import annotations

from fractions import Fraction

from lexorder.engine.evaluate import Fills, Point
from lexorder.engine.readers import Readers
from lexorder.engine.rule import Facts
from lexorder.engine.slots import whole_at
from lexorder.engine.snapshot import Subject
from lexorder.engine.terms import Binary, Field, Negate, Term, depends_on_fills
from lexorder.engine.totals import Total

NOTHING = Fraction(0)


class Amounts:
    """The parts of one total that run over working orders."""

    def __init__(self, total: Total, readers: Readers) -> None:
        self.kinds = total.kinds
        self.scale = total.scale
        stack = ("account", *(kind for kind in total.kinds if kind != "account"), "working_order")
        self.parts = [
            (s.coefficient, readers.of(s.body, stack), None if s.where is None else readers.of(s.where, stack))
            for s in total.working
        ]
        terms = [t for s in total.working for t in (s.body, s.where) if t is not None]
        self._steady = not any(map(depends_on_fills, terms))
        plain = all(s.where is None or not depends_on_fills(s.where) for s in total.working)
        self._nothing_unfilled = plain and all(times_filled(s.body) for s in total.working)

    def of(self, outer: Point, order: str, facts: Facts) -> tuple[int, int]:
        """(unfilled, filled) of an order; `outer` is where the sum stands. Raises MissingFactError."""
        quantity: Fraction = facts["working_order.quantity"]  # type: ignore[assignment]
        stack = (*outer.stack, Subject("working_order", order, facts))
        full = self._at(outer, stack, {("working_order", order): quantity})
        if self._steady:
            return full, full
        if self._nothing_unfilled:
            return 0, full
        return self._at(outer, stack, {("working_order", order): NOTHING}), full

    def _at(self, outer: Point, stack: tuple[Subject, ...], fills: Fills) -> int:
        at = Point(outer.projection, stack, fills, outer.derivations)
        amount = NOTHING
        for coefficient, body, where in self.parts:
            if where is None or where(at):
                amount += coefficient * body(at)
        found: int = whole_at(amount, self.scale) + 0  # ABSENT raises here
        return found


def times_filled(term: Term) -> bool:
    """Whether a term is the filled shares of a working order times facts, and so nothing while it is not filled."""
    match term:
        case Field(name="working_order.filled"):
            return True
        case Negate(operand=x):
            return times_filled(x)
        case Binary(op="*", left=left, right=right):
            return times_filled(left) or times_filled(right)
        case Binary(op="/", left=left):
            return times_filled(left)
    return False
