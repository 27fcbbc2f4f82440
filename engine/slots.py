"""Where the generated check finds each fact: numbered places in plain lists.

In: terms that depend on one thing only (the account, one line of the account, the trader). Out: a `Slot` for each, with
the names it reads, so that an event refreshes only what it touches. Guaranteed: a slot's value is that of
`evaluate.value`, as an integer of its fixed scale, or `ABSENT` where it cannot be known or is finer than the scale;
using `ABSENT` in any way raises, so the check that does is judged anew by the general path. Refused: nothing.
Why a raising value and not None: `None == "buy"` is False and `not None` is True; both would let an order pass.
Before: `evaluate.py`. After: `lowering.py`, `totals.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NoReturn

from lexorder.engine.evaluate import Point
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import Aggregate, Field, Term

CELLS = "cells"
"""Stands among the names of slots that no fact event touches."""


class _Absent:
    """A fact that is not known. Whatever is done with it raises MissingFactError."""

    def _raise(self, *_others: object) -> NoReturn:
        raise MissingFactError("a fact", "")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __abs__ = _raise
    __lt__ = __le__ = __gt__ = __ge__ = _raise
    __eq__ = __ne__ = __bool__ = __hash__ = __contains__ = __iter__ = __getitem__ = _raise

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()


@dataclass(frozen=True, slots=True)
class Slot:
    """One place: the term, the entities bound around it, its scale and the names whose change refreshes it.

    `scale` None keeps the value as it is (texts, conditions, sets); 0 takes two places, numerator and denominator.
    """

    index: int
    term: Term
    kinds: tuple[str, ...]
    scale: int | None
    names: frozenset[str]


@dataclass(slots=True)
class Table:
    """The slots of one kind of list; `reserved` places at its front are used otherwise."""

    letter: str
    reserved: int
    slots: list[Slot] = field(default_factory=list)
    size: int = 0
    _known: dict[tuple[Term, tuple[str, ...], int | None], Slot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = self.reserved

    def take(self, term: Term, kinds: tuple[str, ...], scale: int | None, names: frozenset[str]) -> Slot:
        """The place of a term, the same one when asked again."""
        key = (term, kinds, scale)
        if key not in self._known:
            self._known[key] = Slot(self.size, term, kinds, scale, names)
            self.slots.append(self._known[key])
            self.size += 2 if scale == 0 else 1
        return self._known[key]

    def place(self) -> int:
        """A further place without a term."""
        self.size += 1
        return self.size - 1

    def now(self) -> Table:
        """The table as it is now: lists of this length stay right when another book of the same plan makes it grow."""
        found = Table(self.letter, self.reserved, list(self.slots), _known=dict(self._known))
        found.size = self.size
        return found

    def mark(self) -> tuple[int, int]:
        """The state to go back to when a rule turns out to have no place in the generated check."""
        return len(self.slots), self.size

    def back_to(self, mark: tuple[int, int]) -> None:
        """Give the places taken since `mark` back."""
        for slot in self.slots[mark[0] :]:
            del self._known[(slot.term, slot.kinds, slot.scale)]
        del self.slots[mark[0] :]
        self.size = mark[1]


def load(slot: Slot, read: Callable[[Point], Any], at: Point, into: list[Any]) -> None:
    """Refresh one place of a list; `read` gives the value of the slot's term, as `readers.py` makes it."""
    try:
        found = read(at)
    except MissingFactError:
        found = ABSENT
    if slot.scale == 0:
        known = isinstance(found, Fraction)
        into[slot.index] = found.numerator if known else ABSENT
        into[slot.index + 1] = found.denominator if known else ABSENT
    elif slot.scale is None or found is ABSENT:
        into[slot.index] = found
    else:
        into[slot.index] = whole_at(found, slot.scale)


def whole_at(number: object, scale: int) -> Any:
    """A number as an integer of `1/scale` units; ABSENT when it is finer."""
    if type(number) is not Fraction and not isinstance(number, Fraction):
        return ABSENT
    denominator = number._denominator  # type: ignore[attr-defined]  # the property is slow, and this is asked all the time
    if scale % denominator:
        return ABSENT
    return number._numerator * (scale // denominator)  # type: ignore[attr-defined]


def names_read(term: Term, vocabulary: Vocabulary, derived: Mapping[str, Sequence[Rule]]) -> frozenset[str]:
    """Every name whose change can change the term: also times of supply, rates behind rates, rules behind facts.

    Not the clock by which facts grow old: whose did is told by `freshness.py` and `vector_tables.py`, and a second that
    passes must not refresh every line of every account. What nobody tells of takes `names_in_time`.
    """
    found: set[str] = set()
    pending: list[Term] = [term]
    while pending:
        for node in pending.pop().walk():
            if isinstance(node, Aggregate):
                found.add(f"{node.collection}.*")
            if isinstance(node, Field) and node.name not in found:
                found |= _behind(node.name, vocabulary)
                for rule in derived.get(node.name, ()):
                    pending += [t for t in (rule.when, *(v for _, v in rule.derive)) if t is not None]
    return frozenset(found)


def names_in_time(term: Term, vocabulary: Vocabulary, derived: Mapping[str, Sequence[Rule]]) -> frozenset[str]:
    """The same with the clock, where one of the facts may grow old."""
    names = names_read(term, vocabulary, derived)
    aging = any(vocabulary.names[name].max_age is not None for name in names & vocabulary.names.keys())
    return names | {"clock.now"} if aging else names


def _behind(name: str, vocabulary: Vocabulary) -> set[str]:
    declared = vocabulary.names[name]
    found = {name, declared.as_of} if declared.as_of else {name}
    if name == "instrument.fx" or name.startswith("fx."):
        found |= {"instrument.currency", "account.currency", "fx.*"}
    return found


def touches(names: frozenset[str], changed: frozenset[str]) -> bool:
    """Whether a change of some facts can change what reads these names."""
    if not names.isdisjoint(changed):
        return True
    return "fx.*" in names and any(c.startswith("fx.") for c in changed)
