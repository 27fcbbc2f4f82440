"""Records as lines of JSON, to carry them elsewhere and to verify them there.

In: a record, or a line. Out: a line, or the record. Guaranteed: one record has exactly one line and comes back byte for
byte, whatever its body holds; `verify_ledger.py` refuses every other spelling, so that no bit of an export can change
unseen. Refused with `ledger-broken`: a line that is not one. Bytes of a body that are no UTF-8 become lone surrogates,
as Python's `surrogateescape` has it.
Before: `record.py`. After: the commands.
"""

from __future__ import annotations

import json
from typing import Any

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import Record

KEYS = ("seq", "kind", "at", "ref", "account", "body", "prev", "hash")


def line_of(record: Record) -> str:
    """The record as one line of ASCII, without the line's end."""
    values: dict[str, Any] = {
        "seq": record.seq,
        "kind": record.kind,
        "at": record.at,
        "ref": record.ref,
        "account": record.account,
        "body": record.body.decode("utf-8", "surrogateescape"),
        "prev": record.prev.hex(),
        "hash": record.hash.hex(),
    }
    return json.dumps(values, separators=(",", ":"))


def record_of(line: str) -> Record:
    """The record of a line; whether it is intact is another question.

    Raises:
        LedgerError: `ledger-broken` when the line is not one that `line_of` writes.
    """
    try:
        found = json.loads(line)
        seq, kind, at, ref, account, body, prev, digest = (found[key] for key in KEYS)
        body_ = body.encode("utf-8", "surrogateescape")
        record = Record(seq, kind, at, ref, account, body_, bytes.fromhex(prev), bytes.fromhex(digest))
        same = tuple(map(type, (seq, kind, at, ref, account))) == (int, str, str, str, str) and line_of(record) == line
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        same, record = False, None
    if record is None or not same:
        raise LedgerError("ledger-broken", "a line is not a record as `ledger export` writes it")
    return record
