"""Retention: old records move to a signed archive; their hashes stay, so that nothing stops being provable.

In: a ledger nobody else writes, a day or number, a folder, the signing key, the time. Out: what was moved. Guaranteed:
only a whole prefix is archived, and only when its file was read back and compared, record by record, with the ledger;
the prefix is signed by a head of its own size; the ledger itself records the archive before anything is emptied, and a
run that is interrupted is finished by the next one. What a start of the service reads stays: everything since the
latest snapshot, and all kinds that are not in `MOVED`; so do the newest records, which a start checks. Refused by
`LedgerError`: a ledger in use (`ledger-locked`), an archive that does not hold what the ledger holds (`ledger-broken`);
by `UsageError`: a range or file that is none. What is lost: an order repeated with an idempotency key older than the
cut is decided anew. Before: `export.py`, `engine/ledger/archive.py`. After: `cli_retain.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lexorder.api.service.export import Format, Range, created, export
from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.archive import cut
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import FORMAT, PUBLIC_KEY, Head, hash_at, public_pem
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.tail import CHECKED

RETENTION = "retention"
"""Kind of the record that says what was archived."""

MOVED = ("batch", "decision", "events", "gap", "monitor-round", "outage", "rebalance", "snapshot", "time")
"""Kinds whose content moves. All others stay for ever, because something may look for them at any time: rule books,
limits, trading states, overrides, breaches, persons, and whatever kind is invented after this line."""

WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Records from `start` on and before `stop` are to be archived; `why` says what ends the range early."""

    start: int
    stop: int
    why: str = ""

    def file(self, shard: int) -> str:
        """The archive's name."""
        return f"records-{shard}-{self.start}-{self.stop}.jsonl"


def plan(ledger: Ledger, before: Range) -> Plan:
    """What may be archived of the records before a number or time (`before.stop`, `before.until`)."""
    start = archived(ledger)
    wanted = ledger.committed if before.stop is None else min(before.stop, ledger.committed)
    if before.until:
        # By the first record that is newer: after a clock that was set back, rather too few than a gap.
        newer = (record.seq for record in ledger.read(start, wanted) if record.at >= before.until)
        wanted = next(newer, wanted)
    snapshot = ledger.find("snapshot", "snapshot")
    limits = [
        (wanted, ""),
        (snapshot.seq if snapshot else 0, "a start needs everything since the latest snapshot"),
        (ledger.committed - CHECKED, f"a start checks the newest {CHECKED:,} records"),
    ]
    stop, why = min(limits, key=lambda limit: limit[0])
    return Plan(start, max(start, stop), why)


def archived(ledger: Ledger) -> int:
    """Up to which number records are archived."""
    return max((int(json.loads(record.body)["stop"]) for record in ledger.read(kind=RETENTION)), default=0)


def carry_out(ledger: Ledger, what: Plan, folder: Path, key: Ed25519PrivateKey, at: str) -> int:
    """Archive and empty what was planned, and what an interrupted run left; returns how many records were emptied.

    Raises:
        LedgerError: `ledger-broken`, `ledger-unavailable` and the like.
        UsageError: the archive cannot be written.
    """
    if what.stop > what.start:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / what.file(ledger.shard)
        if not path.exists():  # an interrupted run may have left it, whole
            export(ledger, path, Format.JSONL, Range(what.start, what.stop))
        _compare(ledger, what, path)
        head = _sign(ledger, what, folder, key, at)
        _sync(folder)
        told = {**asdict(what), "file": path.name, "sha256": _digest(path), "root": head.root}
        ledger.append(RETENTION, f"{what.start}-{what.stop}", "", json.dumps(told).encode(), at)
        ledger.wait(ledger.size - 1, WAIT_S)
    return cut(ledger.database, ledger.shard, archived(ledger), MOVED)


def _compare(ledger: Ledger, what: Plan, path: Path) -> None:
    """Raises `ledger-broken` when the file is not exactly the records, each with the content its hash says."""
    there = verify_ledger.entries_of_lines(path)
    for record, entry in zip_longest(ledger.read(what.start, what.stop), there):
        if (
            record is None
            or entry is None
            or entry[7] != record.hash
            or verify_ledger.record_hash(entry) != record.hash
        ):
            number = record.seq if record else what.stop
            raise LedgerError("ledger-broken", f"record {number} is not in the archive as the ledger's hash says")


def _sign(ledger: Ledger, what: Plan, folder: Path, key: Ed25519PrivateKey, at: str) -> Head:
    """A signed head of exactly the archived prefix, with the public key and the verifier beside it."""
    head = Head(FORMAT, ledger.shard, what.stop, ledger.root(what.stop).hex(), hash_at(ledger, what.stop).hex(), at)
    signed = replace(head, signature=key.sign(head.signed_bytes()).hex())
    path = folder / f"heads-{ledger.shard}-{what.stop}.jsonl"
    path.unlink(missing_ok=True)
    with created(path) as partial:
        partial.write_text(signed.line() + "\n", encoding="ascii")
    (folder / PUBLIC_KEY).write_bytes(public_pem(key))
    shutil.copyfile(str(verify_ledger.__file__), folder / "verify_ledger.py")
    return signed


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Make the new names survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
