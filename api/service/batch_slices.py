"""A batch in parts: what was asked, what was decided so far, and the record of one slice.

In: the orders of a request, decisions as they are made. Out: slices to decide in one go, the bytes of records and of
the answer. Guaranteed: the orders of a record stand there byte for byte as they came; what a trader may see of a
decision that says more than a plain approval is kept beside it. Refused: nothing. Before: `order_columns.py`,
`views.py`.
After: `batch.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lexorder.api.service.order_columns import Columns
from lexorder.api.service.strict_json import loads
from lexorder.api.service.views import approval_view, view_bytes
from lexorder.api.service.wire import decision_bytes, encode, plain_approval
from lexorder.engine.approved import quoted_each
from lexorder.engine.decision import Decision
from lexorder.engine.rule import Facts
from lexorder.engine.vector import Cleared


@dataclass(frozen=True, slots=True)
class Batch:
    """What was asked: the mode, the orders as the bytes they came in, and as data, or as columns if plainly written."""

    mode: str
    raw: Sequence[msgspec.Raw]
    data: Sequence[Any] = ()
    columns: Columns | None = None

    @property
    def size(self) -> int:
        """How many orders there are."""
        return len(self.raw)

    def accounts(self) -> set[str]:
        """The accounts they are for."""
        if self.columns is None:
            return {str(row.get("account")) for row in self.data}
        return set(map(str, self.columns.columns.get("account", (None,))))

    def rows(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Some orders as data."""
        if self.columns is None:
            return [self.data[n] for n in places]
        return [loads(bytes(self.raw[n])) for n in places]

    def part(self, places: range) -> Mapping[str, Sequence[Any]]:
        """Some orders in a row as columns."""
        if self.columns is not None:
            return self.columns.part(places)
        rows = self.rows(places)
        return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def cut(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Places in parts of at most this many."""
    return (places[start : start + size] for start in range(0, len(places), size))


def by_account(orders: Sequence[Facts]) -> Iterator[Sequence[int]]:
    """The places of the orders of each account."""
    found: dict[str, list[int]] = {}
    for n, order in enumerate(orders):
        found.setdefault(str(order["order.account"]), []).append(n)
    yield from found.values()


class Written:
    """The decisions of a batch as bytes: in full, and the traders' views of those that are more than an approval.

    Unless the caller sees all (`in_full`), `views` has what it sees of each.
    """

    def __init__(self, size: int, in_full: bool) -> None:
        self.full: list[bytes] = [b""] * size
        self.seen: dict[int, bytes] = {}
        self.views: list[bytes] | None = None if in_full else [b""] * size
        self.approved = 0

    def put(self, place: int, decision: Decision) -> None:
        """One decision."""
        self.approved += decision.approved
        self.full[place] = decision_bytes(decision)
        plain = plain_approval(decision)
        if not plain:
            self.seen[place] = view_bytes(decision)
        if self.views is not None:
            self.views[place] = view_bytes(decision) if plain else self.seen[place]

    def put_all(self, start: int, cleared: Cleared) -> list[int]:
        """Plain approvals of a part that begins at `start`; their places in the batch."""
        places = [start + place for place in cleared.places]
        for place, answer in zip(places, cleared.encoded(), strict=True):
            self.full[place] = answer
        if self.views is not None:
            for place, answer in zip(places, views_of(cleared), strict=True):
                self.views[place] = answer
        self.approved += len(places)
        return places

    @property
    def answers(self) -> list[bytes]:
        """What the caller is told of each order."""
        return self.full if self.views is None else self.views


_ACCOUNT, _ORDER = "\x00account\x00", "\x00order\x00"


def views_of(cleared: Cleared) -> list[bytes]:
    """The traders' view of each approval, from the one they have in common."""
    ground = cleared.ground
    common = approval_view(_ACCOUNT, _ORDER, ground.time.isoformat(), ground.rulebook_hash)
    head, _, rest = common.partition(_ACCOUNT.encode())
    middle, _, tail = rest.partition(_ORDER.encode())
    accounts = map(ground.account, cleared.accounts)
    each = zip(accounts, quoted_each(cleared.orders), strict=True)
    return [b"".join((head, account, middle, order, tail)) for account, order in each]


def record_of(head: Mapping[str, str], batch: Batch, places: Sequence[int], written: Written) -> bytes:
    """The body of a slice's record: `now`, `by` and `reserved` as JSON texts, the orders as they came, the decisions.

    A basket has one decision, which is that of its first order.
    """
    kept = places[:1] if batch.mode == "basket" else places
    start = f'{{"now":{head["now"]},"by":{head["by"]},"mode":"{batch.mode}","reserved":{head["reserved"]},"orders":['
    raw = b",".join([bytes(batch.raw[n]) for n in places])
    decisions = b",".join([written.full[n] for n in kept])
    seen = ((n, written.seen.get(place)) for n, place in enumerate(kept)) if written.seen else ()
    shown = b",".join(b'"%d":%b' % (n, view) for n, view in seen if view is not None)
    views = (b',"shown":{', shown, b"}") if shown else ()
    return b"".join((start.encode(), raw, b'],"decisions":[', decisions, b"]", *views, b"}"))


def head_of(now: str, by: str, reserved: Sequence[int]) -> dict[str, str]:
    """What stands first in a record: the desk's time, who asked, which orders of the slice now work."""
    return {"now": f'"{now}"', "by": encode(by).decode(), "reserved": str(list(reserved))}
