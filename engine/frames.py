"""Snapshots from pandas DataFrames, for notebooks and pipelines.

In: one DataFrame for each section (`positions`, `instruments`, `accounts`, …), columns named as in the vocabulary
relative to the entity; single sections (`lists`, `clock`, `fx`, …) as mappings. Out: `Snapshot`. Guaranteed: a binary
float in a column is taken as the shortest decimal that prints as it does (`repr`), so `0.1` means 1/10, and is then
held to the declared scale like text; an empty cell is an absent fact. Refused by SnapshotError: everything `facts.py`
refuses, with `section[row]` as the place. Before: `facts.py`. After: notebooks, `optimizers/rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import BESIDE, SECTIONS, load_snapshot
from lexorder.engine.names import Vocabulary
from lexorder.engine.snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd


def snapshot_from_frames(
    vocabulary: Vocabulary, time: datetime | str, frames: Mapping[str, pd.DataFrame], **single: Mapping[str, Any]
) -> Snapshot:
    """A snapshot at `time` (aware) of the sections in `frames`, and of the single sections given as keywords.

    An index with a name counts as a column. Raises SnapshotError.
    """
    unknown = [name for name in frames if name not in (*SECTIONS, *BESIDE)]
    if unknown:
        raise SnapshotError(
            "unknown-section", "frames", f"`{unknown[0]}` is not one of {', '.join((*SECTIONS, *BESIDE))}"
        )
    moment = time.isoformat() if isinstance(time, datetime) else time
    document: dict[str, Any] = {"time": moment, **single}
    for section, frame in frames.items():
        document[section] = rows_of(frame)
    return load_snapshot(document, vocabulary)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a DataFrame as plain mappings of text, truth values and lists; empty cells are left out."""
    table = frame.reset_index() if frame.index.name is not None else frame
    names = [str(column) for column in table.columns]
    return [
        {name: text_of(cell) for name, cell in zip(names, row, strict=True) if not _empty(cell)}
        for row in table.itertuples(index=False, name=None)
    ]


def text_of(cell: Any) -> Any:
    """A cell as `facts.py` takes it: numbers as decimal text without exponent, times in ISO 8601, others unchanged."""
    plain = cell.item() if hasattr(cell, "item") and not isinstance(cell, str) else cell
    if isinstance(plain, bool | str | list | tuple | set | frozenset):
        return plain
    if isinstance(plain, datetime | date):
        return plain.isoformat()
    if isinstance(plain, int):
        return str(plain)
    number = plain if isinstance(plain, Decimal) else Decimal(repr(plain))
    return format(number, "f")


def _empty(cell: Any) -> bool:
    return cell is None or cell != cell or str(cell) == "NaT"  # noqa: PLR0124  a missing number differs from itself
