"""The evidence of a finding whose excess is known: both sides and the facts behind them, read by closures.

In: prepared rules, readers; then a point that sees the ordered name, and the weight of the conjunct that decides. Out:
a `Finding`, equal to that of `worst.py`. Guaranteed: exact. Refused: MissingFactError where a side cannot be read; the
general path then says why. Why beside `worst.py`: what it looks for in a term is settled here once a rule.
Before: `readers.py`, `worst.py`. After: `stopped.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

from lexorder.engine.evaluate import Point
from lexorder.engine.judge import base_of
from lexorder.engine.readers import Reader, Readers
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import Compare, Value, depends_on_fills
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.weights import Weight
from lexorder.engine.worst import Part, Prepared


class Evidence:
    """How the findings of one rule are worded in figures."""

    def __init__(self, prepared: Prepared, readers: Readers) -> None:
        kinds = ("account", prepared.rule.for_each)
        self.rule = prepared.rule.id
        self._sides = [_Sides(part, readers, kinds) for part in prepared.parts]

    def finding(self, at: Point, status: Status, place: int, weight: Weight) -> Finding:
        """The finding for the innermost subject of `at`. Raises MissingFactError."""
        sides, subject = self._sides[place], at.stack[-1].key
        inputs = sides.inputs(at)
        if not isinstance(weight, tuple):
            return Finding(self.rule, subject, status, inputs=inputs)
        over, _, below, _ = weight
        worst = Fraction(over, below)
        observed, limit = sides.of(at, worst)
        return Finding(self.rule, subject, status, observed, limit, -worst, inputs=inputs)


class _Sides:
    """The two sides of a conjunct: one is read, the other follows from the excess; see `judge.evidence`."""

    def __init__(self, part: Part, readers: Readers, kinds: Sequence[str]) -> None:
        self._inputs = [(given.name, readers.of(given, kinds)) for given in part.inputs]
        self._base: Reader | None = None
        term = part.term
        if isinstance(term, Compare) and part.measured:
            self._right = depends_on_fills(term.left)
            self._still = readers.of(term.right if self._right else term.left, kinds)
            self._sign = 1 if term.op in ("<", "<=") else -1
            base = base_of(term.right)
            self._base = None if base is None else readers.of(base, kinds)

    def of(self, at: Point, worst: Fraction) -> tuple[Value, Value]:
        """(observed, limit) in the worst state, as ratios of the limit's base where it has one."""
        difference = worst if self._sign == 1 else -worst
        still: Any = self._still(at)
        left, right = (still + difference, still) if self._right else (still, still - difference)
        size: Any = 1 if self._base is None else self._base(at)
        return (left, right) if size == 0 or self._base is None else (left / size, right / size)

    def inputs(self, at: Point) -> dict[str, Value]:
        """The given facts the conjunct reads outside its sums; see `judge.inputs_of`."""
        found: dict[str, Value] = {}
        for name, read in self._inputs:
            with suppress(MissingFactError):  # in the branch of an `if` that was not taken
                found[name] = read(at)
        return dict(sorted(found.items()))
