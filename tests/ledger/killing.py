"""Kills a writing process over and over and looks for acknowledged records that are gone or there twice.

`python -m tests.ledger.killing --cycles 300 --out benchmarks/results/ledger-kill.json [--postgresql]`. One ledger for
all cycles: each goes on where the killed one ended. The signal is SIGKILL, at a random moment, sometimes while the
process still opens the ledger. After every kill the ledger is opened, and at the end verified whole.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lexorder.engine.ledger import audit
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from tests.ledger.postgres_server import Server, binaries

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
LINE = re.compile(r"^(\d+) ([0-9a-f]{64})\n", re.MULTILINE)


@dataclass
class Outcome:
    """What the kills showed; `in_flight`: durable, but the kill prevented the acknowledgement or cut it (`torn`)."""

    cycles: int = 0
    acknowledged: int = 0
    held: int = 0
    lost: int = 0
    duplicated: int = 0
    in_flight: int = 0
    torn: int = 0
    findings: int = 0


def reopened(url: str) -> Ledger:
    """The ledger, as soon as the server has noticed that its writer is dead."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return Ledger.open(url)
        except LedgerError as error:
            if error.code != "ledger-locked" or time.monotonic() > until:
                raise
            time.sleep(0.02)


def cycle(url: str, acks: Path, seed: int, rng: random.Random) -> None:
    """Start a writer, kill it: now and then before it has written anything, mostly soon after."""
    size = acks.stat().st_size if acks.exists() else 0
    command = [sys.executable, "-m", "tests.ledger.writing", url, str(acks), "--seed", str(seed)]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE_S
    if rng.random() < 0.1:
        time.sleep(rng.random() * 0.5)
    else:
        while (not acks.exists() or acks.stat().st_size == size) and time.monotonic() < until:
            assert writer.poll() is None, "the writer ended by itself"
            time.sleep(0.001)
        time.sleep(rng.random() * 0.2)
    writer.send_signal(signal.SIGKILL)
    writer.wait(PATIENCE_S)


def acknowledged(acks: Path) -> list[tuple[int, str]]:
    """What the writers acknowledged: whole lines; one that the kill cut off was never finished."""
    text = acks.read_text() if acks.exists() else ""
    return [(int(seq), digest) for seq, digest in LINE.findall(text)]


def torn(acks: Path) -> int:
    """Lines that a kill cut off."""
    lines = acks.read_text().split("\n") if acks.exists() else []
    return sum(bool(line) for line in lines) - len(acknowledged(acks))


def compare(url: str, acks: Path, outcome: Outcome, start: int = 0) -> int:
    """Every acknowledged record from `start` on is there, at its number, once; returns how many there are in all."""
    ledger = reopened(url)
    held = {record.seq: (record.hash.hex(), record.ref) for record in ledger.read(start)}
    size = ledger.committed
    ledger.close()
    told = [(seq, digest) for seq, digest in acknowledged(acks) if seq >= start]
    outcome.acknowledged, outcome.held = len(told), len(held)
    outcome.lost += sum(held.get(seq, ("", ""))[0] != digest for seq, digest in told)
    outcome.duplicated += len(held) - len(Counter(ref for _, ref in held.values()))
    outcome.duplicated += len(told) - len(set(told))
    outcome.in_flight = len(held) - len(told)
    outcome.torn = torn(acks)
    return size


def run(url: str, cycles: int, seed: int) -> Outcome:
    """So many kills of one ledger."""
    rng, outcome = random.Random(seed), Outcome()
    with tempfile.TemporaryDirectory() as place:
        acks = Path(place) / "acks"
        reopened(url).close()
        size = 0
        for number in range(cycles):
            cycle(url, acks, seed + number, rng)
            size = compare(url, acks, outcome, size)
            outcome.cycles += 1
        compare(url, acks, outcome)
    database = Database(url, read_only=True)
    outcome.findings = len(audit.audit(database, 0, [], None).findings)
    database.close()
    return outcome


def on_file(options: argparse.Namespace) -> Outcome:
    """On SQLite."""
    with tempfile.TemporaryDirectory() as place:
        return run(f"sqlite:///{place}/ledger.db", options.cycles, options.seed)


def on_server(options: argparse.Namespace) -> Outcome:
    """On a PostgreSQL server of its own."""
    programs = binaries()
    assert programs is not None, "no PostgreSQL server is installed"
    server = Server(programs)
    try:
        server.start()
        return run(server.url(), options.cycles, options.seed)
    finally:
        server.remove()


def main() -> int:
    """Run as the command line says, print and store the outcome; exit code 1 when anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true", help="on a server started for it, instead of SQLite")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    outcome = on_server(options) if options.postgresql else on_file(options)
    text = json.dumps({"command": " ".join(sys.argv[1:]), **vars(outcome)}, indent=2) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)
    return 1 if outcome.lost or outcome.duplicated or outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
