"""Fill states: which parts of which orders are filled.

In: orders with their quantities. Out: every state, or only the corners. Guaranteed: each order may stand at any whole
number from 0 to its quantity, independently of the others. Refused: more states than can be looked at one by one, by
MissingFactError, so the rule is undecided. Before: `evaluate.py`. After: `judge.py`, `worst.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from math import prod

from lexorder.engine.evaluate import Fills
from lexorder.engine.snapshot import MissingFactError

STATES_MAX = 4_096
"""At most this many fill states are looked at one by one."""


def states(orders: Sequence[tuple[tuple[str, str], Fraction]], corners: bool) -> Iterator[Fills]:
    """Every fill state of these (order key, quantity) pairs, or only those where each is filled whole or not at all.

    Raises MissingFactError when there are more than `STATES_MAX`, or when fills are not of whole shares.
    """
    choices: list[Sequence[Fraction | int]] = [(0, q) if corners else range(int(q) + 1) for _, q in orders]
    if prod(len(c) for c in choices) > STATES_MAX or not (corners or all(q.denominator == 1 for _, q in orders)):
        raise MissingFactError("the set of fill states", "", f"is larger than {STATES_MAX}")
    for filled in product(*choices):
        yield {key: Fraction(f) for (key, _), f in zip(orders, filled, strict=True)}
