"""A batch body read as columns, as strictly as `strict_json.loads` reads it, for less.

In: the bytes of a body. Out: the columns of its orders; None for a body that is written in any unusual way, which
`loads` then reads or refuses. Guaranteed: what is given here `loads` would give; no key stands twice in an object (a
text has two quotes for each string, and data that lost a string has too few). Refused: nothing here. Why typed objects
and not mappings: ten thousand orders as mappings, and a walk over them, take as long as deciding them.
Before: `strict_json.py`. After: `batch.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec

from lexorder.engine.vector_orders import written

NAMES_MAX = 40
"""Facts of an order that are read here; more are unusual."""
SHAPES_MAX = 64
"""Sets of names remembered: whoever sends ever new ones has them read anew."""


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["independent"]
    orders: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Columns:
    """The orders of an independent batch by name, None where an order lacks one, and the bytes they came in."""

    size: int
    columns: Mapping[str, Sequence[Any]]
    raw: list[msgspec.Raw]

    def part(self, places: range) -> dict[str, Sequence[Any]]:
        """The columns of some orders in a row."""
        return {name: column[places.start : places.stop] for name, column in self.columns.items()}


def columns_of(body: bytes) -> Columns | None:
    """The columns of a plainly written independent batch; the first order has every name that any has."""
    if b"\\" in body:
        return None
    try:
        raw = msgspec.json.decode(body, type=_Head).orders
        names = tuple(msgspec.json.decode(raw[0], type=dict[str, msgspec.Raw])) if raw else ()
        if not 0 < len(names) <= NAMES_MAX:
            return None
        orders = _decoder(names).decode(body).orders
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    columns = dict(zip(names, zip(*map(msgspec.structs.astuple, orders), strict=True), strict=True))
    strings = 3 + sum(map(_strings, columns.values()))  # the two keys of the body, its mode, and those of the orders
    return Columns(len(orders), columns, raw) if strings * 2 == body.count(b'"') else None


@lru_cache(maxsize=SHAPES_MAX)
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Reads batches whose orders have no other facts than these: texts and truth values."""
    places = {f"f{n}": name for n, name in enumerate(names)}
    fields = [(place, str | bool | None, None) for place in places]
    order = msgspec.defstruct("Order", fields, rename=places, forbid_unknown_fields=True, gc=False)
    whole = [("mode", str), ("orders", list[order])]  # type: ignore[valid-type]
    return msgspec.json.Decoder(msgspec.defstruct("Batch", whole, forbid_unknown_fields=True))


def _strings(column: Sequence[Any]) -> int:
    """The strings a column was written with, its keys included; a `null` counts as not given, and then shows."""
    if written(column):
        return 2 * len(column)
    kinds = list(map(type, column))
    return len(column) - kinds.count(type(None)) + kinds.count(str)
