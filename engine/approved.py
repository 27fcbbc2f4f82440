"""A plain pass, as light as it can be made: a decision with nothing in it but who, what and under which rules.

In: what a batch of approvals has in common, and an order's account and identifier. Out: `Approved`, which stands for a
`Decision`. Guaranteed: `decision()` is the decision the single path would give; `body`, `hash` and `to_json` are its
own, and `encoded` are the canonical bytes of its `to_json` (tested byte by byte). Refused: nothing. Why: a decision of
thirteen fields and its hash cost more than judging the order did. Before: `decision.py`. After: `vector.py`, `api/`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property

from lexorder.engine.decision import Decision, Outcome, Report
from lexorder.engine.facts import canonical_bytes

_PLAIN = re.compile(r"[A-Za-z0-9._/:#@^=+-]*")
_ACCOUNT, _ORDER, _HASH = "\x00account\x00", "\x00order\x00", "\x00hash\x00"


class Ground:
    """What approvals of one moment and one set of rules have in common."""

    def __init__(
        self,
        time: datetime,
        verdicts: int,
        rulebook_hash: str,
        snapshot_hash: str,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        self.time = time
        self.verdicts = verdicts
        self.rulebook_hash = rulebook_hash
        self.snapshot_hash = snapshot_hash
        self.withheld = withheld
        self._accounts: dict[str, bytes] = {}
        self._starts: dict[str, tuple[bytes, bytes]] = {}

    def decision(self, account: str, order: str) -> Decision:
        """The whole decision on one order."""
        return Decision(
            outcome=Outcome.APPROVE,
            account=account,
            orders=(order,),
            time=self.time,
            reports=(),
            derived=(),
            fired=(),
            largest=None,
            verdicts=self.verdicts,
            rulebook_hash=self.rulebook_hash,
            snapshot_hash=self.snapshot_hash,
            withheld=self.withheld,
        )

    @cached_property
    def body(self) -> tuple[bytes, bytes, bytes]:
        """The canonical bytes of a decision's body, cut where the account and the order stand."""
        head, middle, tail = _cut(canonical_bytes(self.decision(_ACCOUNT, _ORDER).body()), _ACCOUNT, _ORDER)
        return head, middle, tail

    @cached_property
    def whole(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The same of the decision with its hash, cut where account, hash and order stand."""
        document = {**self.decision(_ACCOUNT, _ORDER).body(), "hash": _HASH}
        head, middle, after, tail = _cut(canonical_bytes(document), _ACCOUNT, _HASH, _ORDER)
        return head, middle + b'"', b'"' + after, tail

    def account(self, account: str) -> bytes:
        """An account as JSON, written once for all its orders."""
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = quoted(account)
        return found

    def encoded(self, accounts: Sequence[str], orders: Sequence[str]) -> list[bytes]:
        """What `Approved.encoded` gives for each of many orders, for less: what they have in common is written once."""
        _, _, tail = self.body
        _, _, after, end = self.whole
        known, sha256, found = self._starts, hashlib.sha256, []
        for account in set(accounts).difference(known):
            known[account] = self._start(self.account(account))
        for (body, whole), order in zip(map(known.__getitem__, accounts), quoted_each(orders), strict=True):
            digest = sha256(body + order + tail).hexdigest().encode("ascii")
            found.append(b"".join((whole, digest, after, order, end)))
        return found

    def _start(self, account: bytes) -> tuple[bytes, bytes]:
        """What stands before the order in the bytes that are hashed, and before the hash in those that are sent."""
        (head, middle, _), (first, second, _, _) = self.body, self.whole
        return head + account + middle, first + account + second


def _cut(text: bytes, *marks: str) -> tuple[bytes, ...]:
    """The text between some marks, which stand in it in this order."""
    parts = []
    for mark in marks:
        before, found, text = text.partition(json.dumps(mark).encode("ascii"))
        assert found, "a canonical decision has another order than expected"
        parts.append(before)
    return (*parts, text)


class Approved:
    """One order approved in bulk. Reads like the `Decision` it stands for."""

    __slots__ = ("_hash", "account", "ground", "order")

    outcome = Outcome.APPROVE
    approved = True
    reason = ""
    reports: tuple[Report, ...] = ()

    def __init__(self, ground: Ground, account: str, order: str) -> None:
        self.ground = ground
        self.account = account
        self.order = order

    @property
    def orders(self) -> tuple[str, ...]:
        """The one order it is about."""
        return (self.order,)

    def decision(self) -> Decision:
        """The decision it stands for."""
        return self.ground.decision(self.account, self.order)

    def body(self) -> dict[str, object]:
        """Plain data without the hash."""
        return self.decision().body()

    def to_json(self) -> Mapping[str, object]:
        """Plain data with its hash."""
        return {**self.body(), "hash": self.hash}

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical bytes of `body`, worked out once."""
        try:
            return self._hash
        except AttributeError:
            head, middle, tail = self.ground.body
            text = head + self.ground.account(self.account) + middle + quoted(self.order) + tail
            self._hash: str = hashlib.sha256(text).hexdigest()
            return self._hash

    def encoded(self) -> bytes:
        """The canonical bytes of `to_json`."""
        ground = self.ground
        account, order = ground.account(self.account), quoted(self.order)
        head, middle, tail = ground.body
        digest = hashlib.sha256(head + account + middle + order + tail).hexdigest().encode("ascii")
        head, middle, after, tail = ground.whole
        return head + account + middle + digest + after + order + tail


def quoted(text: str) -> bytes:
    """A text as JSON in ASCII."""
    if _PLAIN.fullmatch(text):
        return b'"' + text.encode("ascii") + b'"'
    return json.dumps(text, ensure_ascii=True).encode("ascii")


def quoted_each(texts: Sequence[str]) -> list[bytes]:
    """`quoted` of each; all at once where they are plainly written."""
    if texts and _PLAIN.fullmatch("".join(texts)):
        lines = '"\n"'.join(texts)
        return f'"{lines}"'.encode("ascii").split(b"\n")
    return [quoted(text) for text in texts]
