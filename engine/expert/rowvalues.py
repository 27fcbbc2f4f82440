"""From exact values to what a row holds: integers at fixed scales, within proven bounds.

In: exact values, cell by cell. Out: integers, or nothing where a value does not fit. Guaranteed: whatever integers are
given out, no operation of any formula leaves 64 bits, for every combination of them; the proof is of `formula.py`, once
for each widening of the bounds, not for each order. Refused: FinerError when values need finer scales, which are in it
then: the row is to be planned anew; a value finer than `SCALE_MAX`, or beyond what can be proved, stays out, and its
rules are left to the exact verdict.
Why scales that grow: values are nearly always decimals, so they soon stand still. Before: `rowplan.py`, `formula.py`.
After: `rows.py`.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from math import lcm

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.lower import Scales
from lexorder.engine.expert.lowered import Leaf, variable_of
from lexorder.engine.expert.rowplan import Cell, Rowed, RowPlan
from lexorder.engine.terms import Value

SCALE_MAX = 10**8
"""A value finer than this is left to the exact evaluator."""


class FinerError(Exception):
    """Values came that need finer scales: all scales, as they must be. Never reaches users."""

    def __init__(self, scales: dict[Leaf, int]) -> None:
        super().__init__("finer scales are needed")
        self.scales = scales


class Bounds:
    """The scales and the ranges all formulas are proved for. `wanted` are finer scales asked for since."""

    def __init__(self, plan: RowPlan, scales: Scales) -> None:
        self.scales = {c.number: scales.get(c.leaf, 1) for c in plan.cells}
        self._leaves = {c.number: c.leaf for c in plan.cells}
        self._known = dict(scales)
        self.wanted: dict[Leaf, int] = {}
        self._readers: dict[int | str, list[Rowed]] = defaultdict(list)
        for rowed in plan.rowed:
            keys: list[int | str] = [*(c.number for c in rowed.cells), *rowed.variant.lowered.slots]
            for key in keys:
                self._readers[key].append(rowed)
        numbers: dict[int | str, f.Range] = {c.number: (0, 0) for c in plan.cells if c.leaf.kind in ("number", "raw")}
        self.ranges: dict[int | str, f.Range] = {**numbers, **{n.name: (0, 0) for n in plan.order}}
        self.limits: dict[int | str, dict[int, f.Range]] = {}
        """Narrower bounds of single variants."""
        self._refused: dict[int | str, int] = {}
        self._refused_of: dict[tuple[int | str, int], int] = {}

    def settle(self) -> None:
        """Raise FinerError when finer scales were asked for."""
        if self.wanted:
            raise FinerError({**self._known, **self.wanted})

    def scaled(self, cell: Cell, found: Fraction) -> int | None:
        """A number as the row's integer within its bounds; None where it has to stay out."""
        number = self.exact(cell, found)
        return number if number is not None and self.admits(cell.number, number) else None

    def exact(self, cell: Cell, found: Fraction) -> int | None:
        """A number at its cell's scale; None where it is too fine."""
        below = found.denominator
        if cell.leaf.kind == "raw":
            return found.numerator if below == 1 else None
        scale = self.scales[cell.number]
        if scale % below:
            self._want(cell.leaf, scale, below)
            return None
        return found.numerator * (scale // below)

    def _want(self, leaf: Leaf, scale: int, below: int) -> None:
        """Ask for a finer scale: the next power of a hundred for decimals, so that few steps are needed."""
        grown = lcm(self.wanted.get(leaf, scale), below)
        decimal = next((p for p in (10**2, 10**4, 10**6, 10**8) if p % grown == 0), grown)
        if decimal <= SCALE_MAX:
            self.wanted[leaf] = decimal

    def admits(self, key: int | str, number: int) -> bool:
        """Whether a slot may hold a number; its bounds are widened and proved anew where need be."""
        low, high = self.ranges[key]
        return low <= number <= high or self._widen(key, number)

    def _widen(self, key: int | str, number: int) -> bool:
        if abs(number) >= self._refused.get(key, f.INT64):
            return False
        old, bound = self.ranges[key], 1 << (abs(number).bit_length() + 1)
        failing: list[Rowed] = []
        for wide in (bound, abs(number)):
            self.ranges[key] = (min(old[0], -wide), old[1]) if number < 0 else (old[0], max(old[1], wide))
            failing = [rowed for rowed in self._readers[key] if not self.proved(rowed)]
            if not failing:
                return True
        if len(failing) < len(self._readers[key]):  # these keep what they were proved for; the others go on
            self.limits.setdefault(key, {}).update({rowed.number: old for rowed in failing})
            return True
        self.ranges[key] = old
        self._refused[key] = abs(number)
        return False

    def beyond(self, key: int | str, number: int) -> frozenset[int]:
        """The variants that cannot be proved for this value of a slot: they are to be switched off."""
        known = self.limits.get(key, {})
        outside = [n for n, (low, high) in known.items() if not low <= number <= high]
        return frozenset(n for n in outside if not self._extend(key, n, number))

    def _extend(self, key: int | str, variant: int, number: int) -> bool:
        """Widen the narrower bounds of one variant where that can be proved: what it had no room for may be far off."""
        known = self.limits[key]
        if abs(number) >= self._refused_of.get((key, variant), f.INT64):
            return False
        old, bound = known[variant], 1 << (abs(number).bit_length() + 1)
        rowed = next(r for r in self._readers[key] if r.number == variant)
        for wide in (bound, abs(number)):
            known[variant] = (min(old[0], -wide), old[1]) if number < 0 else (old[0], max(old[1], wide))
            if self.proved(rowed):
                return True
        known[variant] = old
        self._refused_of[key, variant] = abs(number)
        return False

    def proved(self, rowed: Rowed) -> bool:
        """Whether every operation of a variant stays within 64 bits for all values within its bounds."""
        ranges: dict[str, f.Range] = {
            f"k{n}": self._range(c.number, rowed) for n, c in enumerate(rowed.cells) if c.number in self.ranges
        }
        ranges |= {variable_of(name): self._range(name, rowed) for name in rowed.variant.lowered.slots}
        try:
            f.check(rowed.variant.lowered.broken, ranges)
            f.check(rowed.variant.lowered.passive, ranges)
        except f.WideError:
            return False
        return True

    def _range(self, key: int | str, rowed: Rowed) -> f.Range:
        return self.limits.get(key, {}).get(rowed.number, self.ranges[key])


def spelt(found: Value) -> str:
    """A flag or word as CLIPS's symbol."""
    return ("TRUE" if found else "FALSE") if isinstance(found, bool) else str(found)


def spelt_word(word: str) -> str:
    """The text of a fact as CLIPS's symbol."""
    return {"True": "TRUE", "False": "FALSE"}.get(word, word)
