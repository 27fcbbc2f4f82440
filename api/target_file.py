"""Target weights from a file: `symbol,weight`, exact.

In: a CSV file, or a JSON list of objects, with the columns `symbol` and `weight` (`0.05` or `5%`), and the symbols that
have a price. Out: weights in NAV by symbol. Guaranteed: a weight is the number that is written; a row `CASH` is
the weight of cash, and then all rows together are exactly 1. Refused (`SnapshotError`), naming file, row and column:
what `tabular.py` refuses, a weight that is missing or no number from -1 to 1, a symbol twice or without a price,
weights that do not sum to 1 where cash is given. Before: `tabular.py`. After: `cli_rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

from lexorder.api.rebalance_files import CASH
from lexorder.api.tabular import Table, read_table
from lexorder.engine import literals
from lexorder.engine.codes import nearest_name
from lexorder.engine.errors import SnapshotError, shown
from lexorder.engine.quantity import exact
from lexorder.engine.units import RATIO

COLUMNS = ("symbol", "weight")


def target_weights(file: Path, symbols: Collection[str]) -> dict[str, Fraction]:
    """The weights in a file, without the row of cash. Raises UsageError, SnapshotError."""
    table = read_table(file, required=COLUMNS, known=COLUMNS)
    found: dict[str, Fraction] = {}
    for n, row in enumerate(table.rows):
        symbol = str(row.get("symbol", ""))
        if symbol in found:
            raise SnapshotError("listed-twice", table.place(n, "symbol"), "stands in another row already")
        if symbol != CASH and symbol not in symbols:
            near = nearest_name(symbol[:60], symbols)
            hint = f"; did you mean {shown(near)}?" if near else ""
            raise SnapshotError("no-price", table.place(n, "symbol"), f"has no price in the prices file{hint}")
        found[symbol] = _weight(table, n)
    cash = found.pop(CASH, None)
    total = sum(found.values(), cash or Fraction(0))
    if cash is not None and total != 1:
        why = f"has weights that sum to {exact(total)} with cash; with a row `{CASH}` they sum to 1"
        raise SnapshotError("bad-targets", str(file), why)
    return found


def _weight(table: Table, n: int) -> Fraction:
    """The weight in a row. Raises SnapshotError."""
    found = literals.told(str(table.rows[n].get("weight", "")), RATIO)
    if not isinstance(found, Fraction) or abs(found) > 1:
        raise SnapshotError(
            "bad-targets", table.place(n, "weight"), "is not a share of NAV from -1 to 1, such as 0.05 or 5%"
        )
    return found
