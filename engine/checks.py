"""What the generated checks of a rule book are, and the places they share.

In: made by `fastpath.py`. Out: `Check`, the functions for one kind of order; `Layout`, the numbered places of facts and
the totals that all checks of a book read. Guaranteed: a layout only grows, and `size` says when it has. Refused:
nothing. Before: `slots.py`, `totals.py`. After: `fastpath.py`, `compile.py`, `vector_first.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from lexorder.engine.lowering import HEAD
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule
from lexorder.engine.slots import Table
from lexorder.engine.totals import Total
from lexorder.engine.weights import Weights

_SHARES = (
    "order.quantity",
    "order.filled",
    "position.before.quantity",
    "position.after.quantity",
    "working_order.filled",
)
People = Callable[..., list[Any]]
"""(key) → list T of a trader; (key, "strategy") → list S of a strategy."""
Function = Callable[[Mapping[str, Any], list[Any], list[Any], People], tuple[int, ...]]
"""(order facts, L, A, people) → indexes of rules that may not pass. Raises MissingFactError, KeyError."""
Excesses = dict[tuple[int, int], tuple[Fraction, Fraction]]
"""By rule and conjunct: the greatest excess over all states, and that without the order under test."""
Measure = Callable[[Mapping[str, Any], list[Any], list[Any], People], Excesses]


@dataclass(frozen=True, slots=True)
class Check:
    """The generated functions for one kind of order, and the indexes of the rules they judge and do not judge.

    `run` is all or nothing: it raises when any fact is missing. `careful` answers then: rules that miss a fact are
    among those that may not pass. `measure` gives exact excesses of the requirements that depend on fills, `weights`
    those of one rule. `guarded` are rules among the fast ones of which only the condition is looked at: where it holds,
    the general path judges them.
    """

    run: Function
    careful: Function
    measure: Measure
    fast: tuple[int, ...]
    slow: tuple[int, ...]
    source: str
    guarded: frozenset[int] = frozenset()
    weights: Weights = field(default_factory=Weights)


@dataclass(slots=True)
class Layout:
    """What all checks of one rule book share: tables of places and totals. It only grows."""

    vocabulary: Vocabulary
    derived: Mapping[str, Sequence[Rule]]
    account: Table = field(default_factory=lambda: Table("A", 0))
    line: Table = field(default_factory=lambda: Table("L", HEAD))
    trader: Table = field(default_factory=lambda: Table("T", 0))
    strategy: Table = field(default_factory=lambda: Table("S", 0))
    totals: list[Total] = field(default_factory=list)
    known: dict[object, Total] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, ...]:
        """Changes whenever lists built so far have become too short."""
        return (self.account.size, self.line.size, self.trader.size, self.strategy.size, len(self.totals))

    @property
    def share_scale(self) -> int:
        """The common scale of shares as a power of ten; 0 when the vocabulary's share names differ."""
        scales = {self.vocabulary.names[name].scale for name in _SHARES}
        return int(10 ** scales.pop()) if len(scales) == 1 else 0
