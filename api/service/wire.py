"""Orders from the wire and decisions to it, at the speed of the hot path.

In: a decoded JSON object; a `Decision`. Out: the facts of an order, exactly what `facts.load_order` gives; the bytes of
`Decision.to_json()`. Guaranteed: equality with the plain functions (tests compare them); values seen before are not
read again, within a bound. Refused by SnapshotError: what `load_order` refuses, with its messages. Why not only the
plain functions: they cost more than the decision itself. Before: `engine/facts.py`, `engine/decision.py`.
After: `floor.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from lexorder.engine.decision import Decision, Outcome
from lexorder.engine.facts import canonical_bytes, fact, load_order
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.symbols import is_canonical, is_symbol
from lexorder.engine.terms import Value
from lexorder.engine.units import Kind

REMEMBERED = 4096
"""Values kept for each name; beyond it the memory starts anew, so that hostile input cannot fill it."""

NEEDED = ("order.id", "order.account", "order.symbol", "order.side", "order.quantity")
PRICED = ("limit", "stop_limit")
CHECKED = {"symbol": is_symbol, "id": is_canonical, "account": is_canonical}
"""Names whose text must be canonical, as `facts.record` checks."""

encode = msgspec.json.encode


class OrderReader:
    """Reads orders of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._names: dict[str, tuple[str, Name, dict[Any, Value]]] = {}
        for declared in vocabulary.of_entity("order"):
            if declared.means is None and declared.supplied_by != "engine" and declared.name.count(".") == 1:
                short = declared.name.removeprefix("order.")
                self._names[short] = (declared.name, declared, {})
        given = (n for n in vocabulary.of_entity("order") if n.default is not None)
        self._defaults: dict[str, Value] = {n.name: n.default for n in given if n.default is not None}

    def read(self, raw: Mapping[str, Any]) -> Facts:
        """The facts of one order. Raises SnapshotError."""
        facts: dict[str, Value] = self._defaults.copy()
        names = self._names
        try:
            for short, value in raw.items():
                name, declared, known = names[short]
                read = known.get(value)
                if read is None or value.__class__ is bool:
                    read = self._read(short, declared, value, known)
                facts[name] = read
            for name in NEEDED:
                facts[name]
        except (KeyError, TypeError, _Unusual):
            return load_order(raw, self.vocabulary)
        if facts["order.ord_type"] in PRICED and "order.price" not in facts:
            return load_order(raw, self.vocabulary)
        return facts

    @staticmethod
    def _read(short: str, declared: Name, value: Any, known: dict[Any, Value]) -> Value:
        admitted = CHECKED.get(short)
        if short == "id" and value.__class__ is str and is_canonical(value) and declared.unit.kind is Kind.TEXT:
            return str(value)  # each is another one: nothing to remember, nothing to convert
        if value is None or (admitted is not None and not (isinstance(value, str) and admitted(value))):
            raise _Unusual
        read = fact(declared, value, f"order.{short}")
        if value.__class__ is str and short != "id":
            if len(known) >= REMEMBERED:
                known.clear()
            known[value] = read
        return read


class _Unusual(Exception):  # noqa: N818
    """The plain reader shall say what this is."""


def decision_bytes(decision: Decision) -> bytes:
    """The JSON of `decision.to_json()` with sorted keys, as `Approved.encoded` writes it."""
    if decision.withheld or not plain_approval(decision):
        return sorted_json(decision.to_json())
    account, order = encode(decision.account), encode(decision.orders[0])
    if not (account.isascii() and order.isascii()):
        return canonical_bytes(decision.to_json())
    # The canonical bytes a decision's hash is taken of: sorted keys, no blanks.
    head = b'{"account":%b,"derived":[],"fired":[],' % account
    tail = b'"largest_compliant":null,"orders":[%b],%b' % (order, _ending.of(decision))
    digest = hashlib.sha256(head + tail).hexdigest()
    return b'%b"hash":"%b",%b' % (head, digest.encode("ascii"), tail)


class _Ending:
    """The last part of a plain approval's bytes, which is the same for many in a row: kept until it differs."""

    __slots__ = ("_bytes", "_rulebook", "_snapshot", "_time", "_verdicts")

    def __init__(self) -> None:
        self._time: datetime | None = None
        self._rulebook = self._snapshot = ""
        self._verdicts = -1
        self._bytes = b""

    def of(self, decision: Decision) -> bytes:
        """The bytes from the outcome on. Times must be the same object: equal ones may be written differently."""
        if (
            decision.time is not self._time
            or decision.verdicts != self._verdicts
            or decision.snapshot_hash != self._snapshot
            or decision.rulebook_hash != self._rulebook
        ):
            self._time, self._verdicts = decision.time, decision.verdicts
            self._rulebook, self._snapshot = decision.rulebook_hash, decision.snapshot_hash
            self._bytes = (
                '"outcome":"approve","passive":[],"reason":"",'
                f'"rulebook_hash":"{decision.rulebook_hash}","snapshot_hash":"{decision.snapshot_hash}",'
                f'"time":"{decision.time.isoformat()}","undecided":[],"verdicts":{decision.verdicts},'
                '"violations":[],"warnings":[]}'
            ).encode("ascii")
        return self._bytes


_ending = _Ending()


def plain_approval(decision: Decision) -> bool:
    """Whether one order is approved and there is nothing more to say."""
    return (
        decision.outcome is Outcome.APPROVE
        and not (decision.reports or decision.derived or decision.fired or decision.largest is not None)
        and len(decision.orders) == 1
    )


def sorted_json(document: object) -> bytes:
    """JSON with sorted keys, text as UTF-8."""
    return msgspec.json.encode(document, order="sorted")
