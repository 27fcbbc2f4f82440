"""Formulas over columns as numbered steps: equal ones are one step, and each runs where it costs least.

In: steps added by `vector_terms.py`, `vector_first.py` and `vector_second.py`. Out: the columns of wanted steps in a
frame. Guaranteed: a step is an operation of `vector_columns.py` on earlier steps or the reading of a fact; what depends
on instruments (or accounts, or traders) alone is worked out once for each of these and kept until their facts change,
then only looked up for each order. Refused: `NotVectorError` where a formula has no place here; never reaches users.
Why steps and not closures: two rules that read the same value must not work it out twice.
Before: `vector_columns.py`. After: `vector_tables.py`, `vector_terms.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import reduce
from typing import Any, Protocol

from lexorder.engine import vector_columns as vc
from lexorder.engine.vector_columns import Column, Ints


class NotVectorError(Exception):
    """A rule has no place in the vectorised form; the text says why. The single path decides then."""


class Level(IntEnum):
    """Where a step is worked out: once, for each instrument, account, trader or strategy, or for each row."""

    ONCE = 0
    INSTRUMENT = 1
    ACCOUNT = 2
    TRADER = 3
    STRATEGY = 4
    ROW = 5


class Facts(Protocol):
    """Where facts are read (`vector_tables.Tables`)."""

    def word(self, text: str) -> int:
        """The code of a text."""
        ...

    def stamp(self, level: Level) -> object:
        """Changes whenever a fact of this level has."""
        ...

    def read(self, level: Level, what: tuple[Any, ...]) -> Column:
        """A fact for all things of a level."""
        ...


class Frame(Protocol):
    """The rows asked about: orders, or names held."""

    def index(self, level: Level) -> Ints:
        """For each row its instrument, account, trader or strategy."""
        ...

    def read(self, what: tuple[Any, ...]) -> Column:
        """A fact of the rows themselves."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """`operate` on the results of earlier steps, or, where it is None, the reading of `what`."""

    level: Level
    operate: Callable[..., Column] | None
    operands: tuple[int, ...]
    what: tuple[Any, ...] = ()


@dataclass(slots=True)
class _Kept:
    """A column above the rows, what it was made of, and when it was last known to be up to date."""

    stamp: object
    operands: tuple[Column, ...]
    column: Column


@dataclass(slots=True)
class Code:
    """All steps of one evaluator, and what is kept of those above the rows."""

    facts: Facts
    steps: list[Step] = field(default_factory=list)
    _known: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _kept: dict[int, _Kept] = field(default_factory=dict)
    _schedules: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)

    # ---- putting together ----------------------------------------------------------------------------

    def read(self, level: Level, *what: Any) -> int:
        """The step that reads a fact."""
        return self._add((level, *what), Step(level, None, (), what))

    def constant(self, value: int) -> int:
        """The step that is an integer."""
        column = vc.constant(value)
        return self._add(("constant", value), Step(Level.ONCE, lambda: column, ()))

    def truth(self, value: bool) -> int:
        """The step that is true or false."""
        return self._add(("truth", value), Step(Level.ONCE, lambda: vc.Truths(value), ()))

    def word(self, code: int) -> int:
        """The step that is a text, by its code."""
        return self._add(("word", code), Step(Level.ONCE, lambda: vc.Words(code), ()))

    def apply(self, name: str, *operands: int) -> int:
        """The step that operates on others; `name` is one of `OPERATIONS`, or a comparison."""
        level = reduce(_common, (self.steps[o].level for o in operands), Level.ONCE)
        return self._add((name, *operands), Step(level, OPERATIONS[name], operands))

    def divided(self, one: int, divisor: int) -> int:
        """The step that divides by a positive constant without rest."""
        if divisor == 1:
            return one
        step = Step(self.steps[one].level, lambda column: vc.whole_part(column, divisor), (one,))
        return self._add(("divided", one, divisor), step)

    def row_facts(self, *wanted: int) -> set[str]:
        """What some steps read of the rows themselves, by the first word of it."""
        steps = [self.steps[number] for number in self._needed(wanted)]
        return {str(step.what[0]) for step in steps if step.level is Level.ROW and step.operate is None}

    def _add(self, key: tuple[Any, ...], step: Step) -> int:
        if key not in self._known:
            self._known[key] = len(self.steps)
            self.steps.append(step)
        return self._known[key]

    # ---- running -------------------------------------------------------------------------------------

    def run(self, frame: Frame, wanted: Iterable[int]) -> list[Column]:
        """The columns of some steps for the rows of a frame."""
        asked = tuple(wanted)
        if asked not in self._schedules:
            self._schedules[asked] = self._needed(asked)
        rows: dict[int, Column] = {}
        for number in self._schedules[asked]:
            step = self.steps[number]
            if step.level is not Level.ROW:
                found = self.settled(number)
                rows[number] = found if step.level is Level.ONCE else vc.taken(found, frame.index(step.level))
            elif step.operate is None:
                rows[number] = frame.read(step.what)
            else:
                rows[number] = step.operate(*[rows[o] for o in step.operands])
        return [rows[number] for number in asked]

    def settled(self, number: int) -> Column:
        """The column of a step above the rows; worked out again only when what it is made of is another column."""
        step = self.steps[number]
        stamp = self.facts.stamp(step.level)
        kept = self._kept.get(number)
        if kept is not None and kept.stamp == stamp:
            return kept.column
        if step.operate is None:
            found = self.facts.read(step.level, step.what)
            self._kept[number] = _Kept(stamp, (), found)
            return found
        operands = tuple(self.settled(o) for o in step.operands)
        if kept is not None and all(a is b for a, b in zip(operands, kept.operands, strict=True)):
            kept.stamp = stamp
            return kept.column
        found = step.operate(*operands)
        self._kept[number] = _Kept(stamp, operands, found)
        return found

    def _needed(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """The steps to look at for the rows: those of the rows, and the last ones above them."""
        found: set[int] = set()
        pending = list(wanted)
        while pending:
            number = pending.pop()
            if number not in found:
                found.add(number)
                step = self.steps[number]
                if step.level is Level.ROW:
                    pending += step.operands
        return tuple(sorted(found))


def _common(one: Level, other: Level) -> Level:
    """The level at which two steps meet."""
    if Level.ONCE in (one, other):
        return max(one, other)
    return one if one is other else Level.ROW


def _less(one: vc.Numbers, other: vc.Numbers) -> vc.Numbers:
    return vc.plus(one, vc.negated(other))


def _different(one: vc.Words, other: vc.Words) -> vc.Truths:
    return vc.opposite(vc.same(one, other))


def _counted(one: vc.Truths) -> vc.Numbers:
    return vc.picked(one, vc.constant(1), vc.constant(0))  # type: ignore[return-value]


OPERATIONS: dict[str, Callable[..., Column]] = {
    "+": vc.plus,
    "-": _less,
    "*": vc.times,
    "negated": vc.negated,
    "abs": vc.absolute,
    "max": vc.greatest,
    "min": vc.least,
    "not": vc.opposite,
    "and": vc.both,
    "or": vc.either,
    "if": vc.picked,
    "same": vc.same,
    "different": _different,
    "counted": _counted,
    "positive": vc.positive,
    "given": vc.given,
    "evenly": vc.evenly,
    **{op: (lambda one, other, op=op: vc.compared(op, one, other)) for op in ("==", "!=", "<", "<=", ">", ">=")},
}
"""What steps can do, by name."""
