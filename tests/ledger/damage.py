"""Damages a ledger at random, many times, and counts what the verifier does not notice.

`python -m tests.ledger.damage --trials 100000 --out benchmarks/results/ledger-damage.json`. Every trial takes the same
sound ledger of 60 records with three signed heads, changes one thing and asks `verify_ledger.py`. The forms are those
of an export and of an SQLite file; the ways are those of an accident and of somebody who knows the format and rehashes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.heads import PUBLIC_KEY, HeadLog, signing_key
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.lines import line_of
from lexorder.engine.ledger.record import Record, encoded
from tests.ledger.entries import AT, WAIT_S

RECORDS = 60
FIELDS = ("kind", "at", "ref", "account", "body", "prev", "hash")


@dataclass(frozen=True)
class Sound:
    """A ledger with nothing wrong: its records, as a file, as lines, with its heads."""

    folder: Path
    records: list[Record]
    heads: list[dict[str, Any]]
    signed: verify_ledger.Check

    @property
    def database(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def lines(self) -> list[bytes]:
        return [(line_of(record) + "\n").encode() for record in self.records]


def sound(folder: Path, rng: random.Random) -> Sound:
    """Make one; heads are signed after a third, two thirds and all of the records."""
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
    log = HeadLog(folder / "heads", 0, signing_key(folder / "key.pem"))
    for i in range(RECORDS):
        body = json.dumps({"quantity": str(rng.randrange(10**6)), "note": "Ωé" * rng.randrange(20)}).encode()
        seq = ledger.append(rng.choice(["decision", "event"]), f"D{i}", f"ACC-{i % 7}", body, AT).seq
        ledger.wait(seq, WAIT_S)
        if (i + 1) % (RECORDS // 3) == 0:
            log.write(ledger, AT)
    records = list(ledger.read())
    ledger.close()
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    key = verify_ledger.signature_check(folder / "heads" / PUBLIC_KEY)
    return Sound(folder, records, verify_ledger.heads_of(log.path), key)


def rechained(records: list[Record], start: int) -> list[Record]:
    """All hashes from `start` on anew, as somebody would do who wants the chain to fit."""
    result = records[:start]
    for seq, record in enumerate(records[start:], start):
        prev = result[-1].hash if result else bytes(32)
        r = replace(record, seq=seq, prev=prev)
        digest = sha256(encoded(r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev)).digest()
        result.append(replace(r, hash=digest))
    return result


def rewritten(records: list[Record], rng: random.Random) -> list[Record]:
    """One record changed, removed, added or moved, and everything behind it rehashed."""
    changed = list(records)
    at = rng.randrange(len(changed))
    way = rng.choice(["change", "remove", "add", "swap"])
    if way == "change":
        changed[at] = replace(changed[at], body=changed[at].body + b" ")
    elif way == "remove":
        del changed[at]
    elif way == "add":
        changed.insert(at, replace(changed[at], ref="X"))
    else:
        other = rng.choice([i for i in range(len(changed)) if i != at])
        changed[at], changed[other] = changed[other], changed[at]
        at = min(at, other)
    return rechained(changed, at)


# What happens to an export. Each takes its lines and returns other bytes.


def flip(lines: list[bytes], rng: random.Random) -> bytes:
    data = bytearray(b"".join(lines))
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def swap(lines: list[bytes], rng: random.Random) -> bytes:
    one, other = rng.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def delete(lines: list[bytes], rng: random.Random) -> bytes:
    start = rng.randrange(len(lines))
    del lines[start : start + rng.randint(1, 5)]
    return b"".join(lines)


def truncate(lines: list[bytes], rng: random.Random) -> bytes:
    data = b"".join(lines)
    at_line = len(b"".join(lines[: rng.randrange(len(lines))]))
    return data[: rng.choice([at_line, rng.randrange(len(data))])]


def repeat(lines: list[bytes], rng: random.Random) -> bytes:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


EXPORT: dict[str, Callable[[list[bytes], random.Random], bytes]] = {
    "bit flip": flip, "swap": swap, "deletion": delete, "truncation": truncate, "repetition": repeat,
}  # fmt: skip


# What happens to a database. Each takes a connection without triggers.


def _one(connection: sqlite3.Connection, rng: random.Random, table: str = "records") -> int:
    rows = [row for (row,) in connection.execute(f"SELECT rowid FROM {table}")]
    return int(rng.choice(rows))


def flip_value(connection: sqlite3.Connection, rng: random.Random) -> None:
    row, name = _one(connection, rng), rng.choice(FIELDS)
    (value,) = connection.execute(f"SELECT {name} FROM records WHERE rowid = ?", [row]).fetchone()
    data = bytearray(value if isinstance(value, bytes) else value.encode())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    kind = "BLOB" if isinstance(value, bytes) else "TEXT"
    connection.execute(f"UPDATE records SET {name} = CAST(? AS {kind}) WHERE rowid = ?", [bytes(data), row])


def flip_number(connection: sqlite3.Connection, rng: random.Random) -> None:
    row, name = _one(connection, rng), rng.choice(["seq", "shard"])
    (value,) = connection.execute(f"SELECT {name} FROM records WHERE rowid = ?", [row]).fetchone()
    connection.execute(
        f"UPDATE OR REPLACE records SET {name} = ? WHERE rowid = ?", [value ^ (1 << rng.randrange(62)), row]
    )


def swap_rows(connection: sqlite3.Connection, rng: random.Random) -> None:
    one, other = rng.sample(range(RECORDS), 2)
    for old, new in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE records SET seq = ? WHERE seq = ?", [new, old])


def delete_row(connection: sqlite3.Connection, rng: random.Random) -> None:
    connection.execute("DELETE FROM records WHERE rowid = ?", [_one(connection, rng)])


def truncate_rows(connection: sqlite3.Connection, rng: random.Random) -> None:
    connection.execute("DELETE FROM records WHERE seq >= ?", [rng.randrange(RECORDS)])


def change_type(connection: sqlite3.Connection, rng: random.Random) -> None:
    row, name = _one(connection, rng), rng.choice(FIELDS)
    (value,) = connection.execute(f"SELECT {name} FROM records WHERE rowid = ?", [row]).fetchone()
    other = value.encode() if isinstance(value, str) else value.hex()
    connection.execute(f"UPDATE records SET {name} = ? WHERE rowid = ?", [other, row])


def rewrite_rows(connection: sqlite3.Connection, rng: random.Random, records: list[Record]) -> None:
    connection.execute("DELETE FROM records")
    rows = [(0, r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev, r.hash) for r in rewritten(records, rng)]
    connection.executemany("INSERT INTO records VALUES (?,?,?,?,?,?,?,?,?)", rows)


ROWS: dict[str, Callable[[sqlite3.Connection, random.Random], None]] = {
    "bit flip": flip_value, "number changed": flip_number, "swap": swap_rows, "deletion": delete_row,
    "truncation": truncate_rows, "type changed": change_type,
}  # fmt: skip


def trial_on_export(given: Sound, way: str, rng: random.Random) -> bool:
    """Whether the damage was noticed."""
    lines = given.lines
    if way == "rewrite":
        data = b"".join((line_of(record) + "\n").encode() for record in rewritten(given.records, rng))
    else:
        data = EXPORT[way](list(lines), rng)
    assert data != b"".join(lines)
    entries = map(verify_ledger._entry_of_line, split(data))
    return bool(verify_ledger.check(entries, given.heads, given.signed).findings)


def split(data: bytes) -> list[bytes]:
    """Lines as a file gives them: only a line feed ends one."""
    return [part + b"\n" for part in data.split(b"\n")[:-1]] + [part for part in data.split(b"\n")[-1:] if part]


def trial_on_database(given: Sound, way: str, rng: random.Random, copy: Path) -> bool:
    """Whether the damage was noticed."""
    shutil.copyfile(given.database, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        for verb in ("UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER records_no_{verb}")
        if way == "rewrite":
            rewrite_rows(connection, rng, given.records)
        else:
            ROWS[way](connection, rng)
        connection.execute("COMMIT")
    return bool(verify_ledger.check_file(copy, 0, given.heads, given.signed).findings)


def trial_on_file(given: Sound, rng: random.Random, copy: Path) -> bool | None:
    """One bit of the SQLite file: noticed or not; `None` when no record is changed by it (free space, an index)."""
    data = bytearray(given.database.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    copy.write_bytes(data)
    if verify_ledger.check_file(copy, 0, given.heads, given.signed).findings:
        return True
    entries = [(r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev, r.hash) for r in given.records]
    return None if list(verify_ledger.entries_of_sqlite(copy, 0)) == entries else False


def trial_on_heads(given: Sound, rng: random.Random, copy: Path) -> bool:
    """One bit of the signed heads: noticed or not."""
    data = bytearray((given.folder / "heads" / "heads-0.jsonl").read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    copy.write_bytes(data)
    try:
        heads = verify_ledger.heads_of(copy)
    except verify_ledger.UnreadableError:
        return True
    return bool(verify_ledger.check_file(given.database, 0, heads, given.signed).findings)


def run(trials: int, seed: int) -> dict[str, dict[str, int]]:
    """Trials and misses by form and way, a seventh of the trials on a database and some on raw files."""
    rng = random.Random(seed)
    found: Counter[tuple[str, str]] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    without_effect = 0
    with tempfile.TemporaryDirectory() as place:
        given = sound(Path(place), rng)
        assert not verify_ledger.check_file(given.database, 0, given.heads, given.signed).findings
        copy = Path(place) / "copy.db"
        for number in range(trials):
            form = ("database", "database", "file", "heads", *["export"] * 10)[number % 14]
            if form == "file":
                way, seen = "bit flip", trial_on_file(given, rng, copy)
            elif form == "heads":
                way, seen = "bit flip", trial_on_heads(given, rng, copy)
            elif form == "database":
                way = rng.choice([*ROWS, "rewrite"])
                seen = trial_on_database(given, way, rng, copy)
            else:
                way = rng.choice([*EXPORT, "rewrite"])
                seen = trial_on_export(given, way, rng)
            found[form, way] += seen is not None
            missed[form, way] += seen is False
            without_effect += seen is None
    table = {f"{form}: {way}": {"trials": n, "missed": missed[form, way]} for (form, way), n in sorted(found.items())}
    table["all"] = {"trials": found.total(), "missed": missed.total()}
    table["file: bit flip without effect on any record"] = {"trials": without_effect, "missed": 0}
    return table


def main() -> int:
    """Run as the command line says, print and store the table; exit code 1 when anything was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    table = run(options.trials, options.seed)
    text = json.dumps({"command": " ".join(sys.argv[1:]), "records": RECORDS, "damage": table}, indent=2) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)
    return 1 if table["all"]["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
