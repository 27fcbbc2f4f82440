"""One record of the ledger, its bytes and its place in the hash chain.

In: what was decided, as bytes, and when. Out: `Record`, with the hash of the record before it. Guaranteed: two records
with equal hashes are equal (SHA-256 over an encoding in which every field has its length in front, so that no two
records share an encoding). Refused with `ledger-refused`: what some database could not give back byte for byte.
Why JSON stays bytes: whoever recomputes the hash needs no JSON library that agrees with ours.
Before: `errors.py`. After: `ledger.py`, the stores. `verify_ledger.py` states the encoding a second time, on purpose.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from lexorder.engine.ledger.errors import LedgerError

GENESIS = bytes(32)
"""What the first record of a shard names as the hash before it."""

TAG = b"lexorder-record-1\0"
"""First bytes of every encoding: no other thing that lexorder hashes starts so."""

TEXT_MAX = 255
"""Characters of `kind`, `ref` and `account` together, at most."""

BODY_MAX = 16 * 1024 * 1024
"""Bytes of a body, at most."""

AT_LENGTH = 27
"""Characters of `YYYY-MM-DDTHH:MM:SS.ffffffZ`: one form only, so that the order of texts is the order of times."""

LENGTHS = struct.Struct(">QIIIII")
"""Sequence number, then the bytes of kind, at, ref, account and body, big-endian."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of one shard.

    Attributes:
        seq: 0, 1, 2, … within its shard, without gaps.
        kind: What it is: `decision`, `event`, `snapshot`, `override`, `rulebook`, …
        at: Wall time in UTC, `YYYY-MM-DDTHH:MM:SS.ffffffZ`, given by the caller (`instant` writes it).
        ref: What it is about: a decision id, an event id, …; need not be unique.
        account: The account it concerns, or empty.
        body: JSON, stored as given.
        prev: Hash of the record before, 32 bytes; zeros for the first.
        hash: SHA-256 of `encoded(...)`, 32 bytes.
    """

    seq: int
    kind: str
    at: str
    ref: str
    account: str
    body: bytes
    prev: bytes
    hash: bytes


def encoded(  # noqa: PLR0917 (in the order of the fields)
    seq: int, kind: str, at: str, ref: str, account: str, body: bytes, prev: bytes
) -> bytes:
    """The bytes that are hashed: tag, sequence number, five lengths, the hash before, then the five fields."""
    kind_, at_, ref_, account_ = kind.encode(), at.encode(), ref.encode(), account.encode()
    lengths = LENGTHS.pack(seq, len(kind_), len(at_), len(ref_), len(account_), len(body))
    return b"".join((TAG, lengths, prev, kind_, at_, ref_, account_, body))


def chained(  # noqa: PLR0917 (in the order of the fields)
    seq: int, prev: bytes, kind: str, at: str, ref: str, account: str, body: bytes
) -> Record:
    """The record that follows the one whose hash is `prev`.

    Raises:
        LedgerError: `ledger-refused` for a text that is too long, not Unicode or holds a NUL, for a body above
            `BODY_MAX` and for a time in another form.
    """
    texts = kind + ref + account
    if len(texts) > TEXT_MAX or "\0" in texts or len(at) != AT_LENGTH or at[26] != "Z" or len(body) > BODY_MAX:
        raise LedgerError("ledger-refused", _reason(texts, at, body))
    try:
        digest = sha256(encoded(seq, kind, at, ref, account, body, prev)).digest()
    except UnicodeEncodeError:
        raise LedgerError("ledger-refused", "kind, ref or account holds half of a surrogate pair") from None
    return Record(seq, kind, at, ref, account, body, prev, digest)


def _reason(texts: str, at: str, body: bytes) -> str:
    if len(texts) > TEXT_MAX:
        return f"kind, ref and account have {len(texts)} characters together, at most {TEXT_MAX}"
    if "\0" in texts:
        return "kind, ref and account may not hold a NUL character"
    if len(body) > BODY_MAX:
        return f"a body has {len(body)} bytes, at most {BODY_MAX}"
    return f"a time has {len(at)} characters, not the {AT_LENGTH} of `2026-11-21T09:30:00.000000Z`"


def follows(record: Record, before: Record | None) -> bool:
    """Whether `record` is intact and comes right after `before` (`None`: it is the first of its shard)."""
    seq, prev = (0, GENESIS) if before is None else (before.seq + 1, before.hash)
    return record.seq == seq and record.prev == prev and intact(record)


def intact(record: Record) -> bool:
    """Whether the record's hash is that of its fields."""
    r = record
    return sha256(encoded(r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev)).digest() == r.hash


def instant(moment: datetime) -> str:
    """A moment as records write it.

    Raises:
        LedgerError: `ledger-refused` when the moment has no timezone.
    """
    if moment.tzinfo is None:
        raise LedgerError("ledger-refused", "a moment needs a timezone")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
