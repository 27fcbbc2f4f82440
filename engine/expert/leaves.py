"""Leaf values as slots: exact values to integers over one denominator, and the proof that CLIPS may use them.

In: a formula's leaves and their exact values. Out: slot values, the denominator first. Guaranteed: every operation of
the formulas stays within 64 bits for all values the order's slots may take. Refused: `WideError` when one could leave
them. Before: `formula.py`, `lower.py`, `session.py`. After: `contexts.py`, `inference.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, cast

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.lowered import DENOMINATOR, Leaf, LeafKind
from lexorder.engine.expert.session import Builder, Session

SlotValues = tuple[int | str, ...]


def prepared(
    leaves: Sequence[Leaf], raw: Sequence[Any], nodes: Iterable[f.Node], ranges: Mapping[str, f.Range]
) -> SlotValues:
    """Slot values for exact leaf values. Raises WideError."""
    both = list(zip(raw, leaves, strict=True))
    scale = lcm(*(cast(Fraction, v).denominator for v, leaf in both if leaf.kind == "number"))
    found = [_slot_value(v, leaf.kind, scale) for v, leaf in both]
    known: dict[str, f.Range] = {**ranges, DENOMINATOR: (scale, scale)}
    known |= {f"k{i}": (v, v) for i, v in enumerate(found) if isinstance(v, int)}
    for node in nodes:
        f.check(node, known)
    return (scale, *found)


def _slot_value(found: Any, kind: LeafKind, scale: int) -> int | str:
    if kind == "flag":
        return "TRUE" if found else "FALSE"
    if kind == "word":
        return str(found)
    number = cast(Fraction, found) * (scale if kind == "number" else 1)
    if number.denominator != 1 or abs(number) > f.INT64:
        raise f.WideError
    return int(number)


def put_leaves(session: Session, builder: Builder, values: SlotValues) -> None:
    """Put the denominator and the leaves into the fact being built."""
    for place, item in enumerate(values):
        slot = f"k{place - 1}" if place else DENOMINATOR
        session.put(builder, slot.encode("ascii"), _value(session, item))


def _value(session: Session, item: int | str) -> Any:
    return session.integer(item) if isinstance(item, int) else session.symbol(item)


def leaf_slots(leaves: Sequence[Leaf]) -> str:
    """The slots of a template that holds these leaves."""
    types = {"number": "INTEGER", "raw": "INTEGER", "flag": "SYMBOL", "word": "SYMBOL"}
    slots = [f"(slot k{i} (type {types[leaf.kind]}))" for i, leaf in enumerate(leaves)]
    return " ".join([f"(slot {DENOMINATOR} (type INTEGER))", *slots])
