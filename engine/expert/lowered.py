"""What lowering makes of a part: formulas, the leaves they read, and numbers with their scales.

Out: frozen data. Guaranteed: `Leaf`s compare by what they mean, so equal ones are prepared once. Before: `formula.py`,
`atoms.py`. After: `lower.py`, `emit.py`, `prepare.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as OneOf

from lexorder.engine.expert.atoms import Atom, Frame
from lexorder.engine.expert.formula import Number, Truth
from lexorder.engine.terms import Term

LeafKind = OneOf["number", "raw", "flag", "word"]
"""number: times `?d`; raw: an integer of its own scale; flag: TRUE or FALSE; word: a value of an enumeration."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One prepared value.

    `what` is `term` (the value of `term` in `frame`), `old` (the worst the old orders can bring to the fill-dependent
    atoms), `others` (the same without the ordered name; `others-mixed` where cash moves too), `still` (what the ordered
    name contributes now, while it has no old orders), `slope` (what one share more of it adds), `at-low`, `at-high`
    (what it contributes at the ends old orders can bring it to), `low`, `high` (these ends), `held` (what is filled
    now), `counted` (1 where it passes the aggregate's `where`, else 0).
    """

    kind: LeafKind
    what: OneOf[
        "term", "old", "others", "others-mixed", "still", "slope", "at-low", "at-high", "low", "high", "held", "counted"
    ]
    term: Term | None = None
    frame: Frame = "subject"
    atoms: tuple[Atom, ...] = ()


@dataclass(frozen=True, slots=True)
class Scaled:
    """A number times `?d` to the power `d` times the positive integer `k`."""

    node: Number
    d: int = 0
    k: int = 1


@dataclass(frozen=True, slots=True)
class Lowered:
    """One part for one side. `leaves[i]` is the variable `?k{i}`; `slots` the order's names read, by variable."""

    broken: Truth
    passive: Truth
    leaves: tuple[Leaf, ...]
    slots: tuple[str, ...]


DENOMINATOR = "d"
POWER_MAX = 2
"""How often the denominator may be a factor: each time costs the digits it has."""


def variable_of(name: str) -> str:
    """The CLIPS variable of an `order.*` name."""
    return "o-" + name.partition(".")[2].replace("_", "-")
