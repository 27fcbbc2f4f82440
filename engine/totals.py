"""Sums over an account's names, and the lists of facts that the generated check reads: what they are made of.

In: `Total`s (what each name contributes, as compiled integer code). Out: for each account a `Book` with a list `A` of
facts, and for each of its names a `Line` with a list `L`: facts of the instrument, the holding and its reachable
interval, the name's own contribution, and the cell with the sum of its group. Guaranteed: a sum with a member whose
contribution is not known reads as `ABSENT`, and using that raises. Refused: nothing. Why cells: a check then costs the
same for ten names as for ten thousand. Before: `slots.py`. After: `fastpath.py`; `books.py` keeps them up to date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from lexorder.engine.rule import Facts
from lexorder.engine.slots import ABSENT, Slot, whole_at
from lexorder.engine.terms import Term, Value

CORNERS_MAX = 6
"""Up to this many working orders of one name are combined in a sum that is convex in fills and reads cash."""

Contribution = Callable[[int, list[Any], list[Any]], int]
"""What a name adds, from its holding and the lists L and A."""


@dataclass(frozen=True, slots=True)
class Share:
    """A sum over working orders inside a total: `coefficient · body` for those with `where`."""

    coefficient: Fraction
    body: Term
    where: Term | None


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over names.

    `scope` is `all`, `line` (the name alone) or the instrument field that groups. `mode` says which state a name is
    taken in: `still` (now), `linear` (each working order filled if that adds), `ends` (the worse end of the reachable
    holdings), `corners` (the worst combination). Values are integers of `1/scale`. `cell` and `own` are places in L;
    `reads` are the places of A and L that `holding` reads, as code writes them.
    """

    scope: str
    mode: str
    scale: int
    holding: Contribution
    working: tuple[Share, ...]
    kinds: tuple[str, ...]
    names: frozenset[str]
    cell: int
    own: int
    reads: frozenset[str] = frozenset("A")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A place in L that holds a plain fact of the instrument; it reads what `snapshot.read` would."""

    index: int
    name: str
    scale: int | None
    default: Value | None
    as_of: str
    limit: timedelta | None

    def read(self, facts: Facts, now: datetime) -> Any:
        """The fact at its scale; ABSENT where it is missing, too old or too fine."""
        found = facts.get(self.name)
        if found is None:
            found = self.default
        if found is None:
            return ABSENT
        if self.limit is not None:
            taken = facts.get(self.as_of, now)
            if now - taken > self.limit:  # type: ignore[operator]
                return ABSENT
        return found if self.scale is None else whole_at(found, self.scale)


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change makes necessary in a line: places to read again, totals to add anew, whether the holding moved."""

    leaves: tuple[Leaf, ...]
    slots: tuple[Slot, ...]
    totals: tuple[int, ...]
    moved: bool


@dataclass(slots=True)
class Cell:
    """One sum. `seen` is what checks read: the sum, or ABSENT while a member is not known."""

    seen: list[Any] = field(default_factory=lambda: [0])
    known: int = 0
    unknown: int = 0

    def change(self, old: Any, new: Any) -> None:
        """Replace one member's contribution (None: no member)."""
        for amount, sign in ((old, -1), (new, 1)):
            if amount is ABSENT:
                self.unknown += sign
            elif amount is not None:
                self.known += sign * amount
        self.seen[0] = ABSENT if self.unknown else self.known


@dataclass(slots=True)
class Line:
    """One name in one account. `counted` is what its cells hold of it, by total.

    `worked` has for each working order its facts and, by total, what it adds unfilled and filled: kept while nothing
    but the holding or the set of orders changes.
    """

    symbol: str
    values: list[Any]
    counted: list[Any]
    groups: list[str | None]
    worked: dict[str, tuple[Facts, dict[int, tuple[int, int]]]] = field(default_factory=dict)


@dataclass(slots=True)
class Book:
    """One account: its list A, its lines by symbol, its cells by (total, group).

    What has happened since it was last looked at: `seen` says how much of the common log is in it; `told` are names of
    the account that changed, `moved` its names with a new holding or working order; `common` are the values of what
    all accounts share that are in `values`. `flat` lists lines of names that were neither held nor worked
    when last looked at. `needed` is how many cells there were when those of no line were last given up.
    """

    account: str
    values: list[Any]
    lines: dict[str, Line] = field(default_factory=dict)
    cells: dict[tuple[int, str], Cell] = field(default_factory=dict)
    seen: int = 0
    told: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    common: object = None
    flat: dict[str, None] = field(default_factory=dict)
    needed: int = 0

    def cell(self, total: int, group: str) -> Cell:
        """The cell of a group, made when first asked for."""
        found = self.cells.get((total, group))
        if found is None:
            found = self.cells[total, group] = Cell()
        return found
