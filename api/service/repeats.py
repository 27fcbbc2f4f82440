"""Idempotency keys: the same key gives the same decision, whenever it is asked again.

In: who asks, the key, the fingerprint of the request. Out: the answer given before, or a promise of it while the first
request is still under way. Guaranteed: one decision for one key of one caller; recent answers come from memory, older
ones from the ledger, where the decision is kept with its key. Refused by `Problem`: 400 `idempotency-key-invalid`, 409
`idempotency-key-reused` when the key comes with another request, 400 `idempotency-key-not-taken` where none is kept.
Before: `journal.py`. After: `orders.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from lexorder.api.service.problems import Problem

REMEMBERED = 20_000
"""Answers kept in memory, and besides whatever is still under way behind the oldest of them.

Beyond them a key is looked up in the ledger, by the id of the order it comes with: the same order has the same answer,
another one of that id is refused. Only a key that comes again with another *id* is not noticed there; that order is
decided by itself and never answered with what was decided for the first.
"""

LENGTH_MAX = 128


@dataclass(slots=True)
class Repeat:
    """One key: what was asked, and its answer or the promise of it."""

    fingerprint: bytes
    answer: asyncio.Future[bytes]


def key_of(headers: list[tuple[bytes, bytes]]) -> str:
    """The `Idempotency-Key` header, empty when there is none. Raises Problem 400."""
    found = [value.decode("latin-1").strip() for name, value in headers if name == b"idempotency-key"]
    if not found:
        return ""
    text = found[0]
    if len(found) > 1 or not 1 <= len(text) <= LENGTH_MAX or not text.isascii() or not text.isprintable():
        words = f"A request has one key, of 1 to {LENGTH_MAX} printable ASCII characters."
        raise Problem(400, "idempotency-key-invalid", words)
    return text


def refuse_key(headers: list[tuple[bytes, bytes]]) -> None:
    """Nothing where there is no key. Raises Problem 400: a key that would be overlooked promises what is not kept."""
    if any(name == b"idempotency-key" for name, _ in headers):
        words = "Only a check of one order takes a key: in a batch the orders' own ids are what is not decided twice."
        raise Problem(400, "idempotency-key-not-taken", words)


def fingerprint(raw: bytes, *, reserve: bool) -> bytes:
    """What two requests have in common when they are the same; one that reserves is not one that does not."""
    return hashlib.sha256(b"%d" % reserve + raw).digest()


class Repeats:
    """Keys seen, by caller."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Repeat] = OrderedDict()

    def find(self, who: str, key: str, asked: bytes) -> asyncio.Future[bytes] | None:
        """The earlier answer. Raises Problem 409 when the key came with another request."""
        known = self._known.get((who, key))
        if known is None:
            return None
        if known.fingerprint != asked:
            raise reused()
        return known.answer

    def begin(self, who: str, key: str, asked: bytes) -> Repeat:
        """The first request with this key begins."""
        repeat = Repeat(asked, asyncio.get_running_loop().create_future())
        # An answer nobody waits for is no defect when it fails.
        repeat.answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._known[who, key] = repeat
        while len(self._known) > REMEMBERED and next(iter(self._known.values())).answer.done():
            self._known.popitem(last=False)  # what is under way is not in the ledger yet: forgotten, it would be again
        return repeat

    def forget(self, who: str, key: str) -> None:
        """The request came to nothing: the key may be used again."""
        self._known.pop((who, key), None)


def reused() -> Problem:
    """The key came with another request."""
    return Problem(409, "idempotency-key-reused", "This idempotency key was used with another request.")
