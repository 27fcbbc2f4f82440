"""By how much an order keeps or breaks each rule: generated functions, one a rule, of the quantity.

In: their source, from `fastpath.py`. Out: for a rule its conjuncts' weights at one quantity, or the same code over
functions of the quantity. A weight is True or False for a condition, None for one that must be looked at by the general
path, else (excess, excess without the order or None where fills change nothing, and what each is to be divided by).
Guaranteed: the excess is the worst over all fill states, exactly; divisors are above zero. Where a fact is missing the
function raises. Refused: nothing. Why apart from the check and compiled late: only an order that is stopped needs them,
and of them the rules that stop it. Before: `along.py`. After: `checks.py`, `compile.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from lexorder.engine.along import Along, fewest, most

Weight = bool | tuple[Any, Any, Any, Any] | None
Weigh = Callable[[Any, Mapping[str, Any], list[Any], list[Any], Any], tuple[Weight, ...]]
"""(quantity, order facts, L, A, people) → the weights of a rule's conjuncts. Raises MissingFactError, KeyError."""
_VARYING = {"max": most, "min": fewest}


class Weights:
    """The functions of one generated check, by rule index."""

    def __init__(
        self, sources: Mapping[int, str] | None = None, scale: int = 1, space: Mapping[str, Any] | None = None
    ) -> None:
        self._sources = sources or {}
        self._space = space or {}
        self._scale = scale
        self._made: dict[tuple[int, bool], Weigh] = {}

    def at(self, index: int, order: Mapping[str, Any]) -> tuple[Weigh, Any] | None:
        """The function of a rule and the quantity to ask it for; None when there is none for this rule or order."""
        quantity = order["order.quantity"]
        if index not in self._sources or not isinstance(quantity, Fraction) or self._scale % quantity.denominator:
            return None
        return self._weigh(index, varying=False), quantity.numerator * (self._scale // quantity.denominator)

    def along(self, index: int, cap: int) -> tuple[Weigh, Any] | None:
        """The function of a rule and the quantity from 0 to `cap` shares to ask it for; None when there is none."""
        if index not in self._sources:
            return None
        return self._weigh(index, varying=True), Along.quantity(cap, self._scale)

    def _weigh(self, index: int, *, varying: bool) -> Weigh:
        key = (index, varying)
        if key not in self._made:
            space = {**self._space, **(_VARYING if varying else {})}
            code = compile(self._sources[index], "<generated weights>", "exec")
            exec(code, space)  # noqa: S102 - as in `fastpath.write`
            self._made[key] = space["weigh"]
        return self._made[key]
