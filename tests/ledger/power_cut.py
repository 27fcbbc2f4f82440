"""Cuts the power of a writing process, over and over, and counts the acknowledged records that are gone.

`python -m tests.ledger.power_cut --cuts 2000 --out benchmarks/results/power-cut.json`. A library preloaded into a real
writer (`power_cut.c`) logs what it does to its files. Each cut takes a prefix of that log and rebuilds what a disk may
hold then: what was synced is there; of what was not, every 512-byte sector by itself may be old or new; a file whose
folder was not synced since its creation may be missing; what a failed sync covered may be gone even if a later one
succeeded, because the kernel counts those pages as clean. The ledger that is found is opened, verified and compared
with the acknowledgements before the cut. `synchronous=NORMAL` is the control: it must lose some, or it proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger

SECTOR = 512
ROOT = Path(__file__).resolve().parents[2]
ACKS = "acks"


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the log: W write, T truncate, C create, U unlink, B/S/F sync begun, done, failed."""

    what: str
    name: str
    at: int
    data: bytes


def read_log(path: Path) -> list[Step]:
    """The whole log; what a killed process left unfinished at its end is dropped."""
    raw, steps, start = path.read_bytes(), [], 0
    while (end := raw.find(b"\n", start)) >= 0:
        what, name, at, length = raw[start:end].decode().split(" ")
        data = raw[end + 1 : end + 1 + int(length)]
        if len(data) < int(length):
            break
        steps.append(Step(what, name, int(at), data))
        start = end + 1 + int(length)
    return steps


@dataclass
class File:
    """A file as the log made it: operations in order, the safe ones marked."""

    steps: list[Step] = field(default_factory=list)
    safe: list[bool] = field(default_factory=list)
    doomed: list[bool] = field(default_factory=list)
    begun: int = 0
    named: bool = False

    def add(self, step: Step) -> None:
        self.steps.append(step)
        self.safe.append(False)
        self.doomed.append(False)

    def synced(self, *, well: bool) -> None:
        """A sync ended: what was there when it began is safe, or, after a failure, never will be by itself."""
        for i in range(self.begun):
            if well and not self.doomed[i]:
                self.safe[i] = True
            elif not self.safe[i]:
                self.doomed[i] = True

    def content(self, rng: random.Random) -> bytes:
        """What may be on the disk."""
        data = bytearray()
        chance = rng.choice((0, 0.5, 0.9))  # some cuts lose everything that is not safe, some almost nothing
        for step, safe in zip(self.steps, self.safe, strict=True):
            if step.what == "T":
                if safe or rng.random() < chance:
                    data[step.at :] = bytes(max(0, step.at - len(data)))
            elif safe:
                _put(data, step.at, step.data)
            else:
                _tear(data, step, chance, rng)
        return bytes(data)


def _put(data: bytearray, at: int, new: bytes) -> None:
    if at > len(data):
        data.extend(bytes(at - len(data)))
    data[at : at + len(new)] = new


def _tear(data: bytearray, step: Step, chance: float, rng: random.Random) -> None:
    """Each sector arrives or not."""
    start, stop = step.at, step.at + len(step.data)
    while start < stop:
        end = min(stop, (start // SECTOR + 1) * SECTOR)
        if rng.random() < chance:
            _put(data, start, step.data[start - step.at : end - step.at])
        start = end


def disk_after(steps: list[Step], rng: random.Random) -> dict[str, bytes]:
    """The files a disk may hold after these steps."""
    files: dict[str, File] = {}
    folder_begun: list[str] = []
    for step in steps:
        if step.name == ".":
            if step.what == "B":
                folder_begun = list(files)
            elif step.what == "S":
                for name in folder_begun:
                    if name in files:
                        files[name].named = True
            continue
        if step.what == "U":
            files.pop(step.name, None)
        else:
            _apply(files.setdefault(step.name, File()), step)
    kept = {name: file for name, file in files.items() if file.named or name == ACKS or rng.random() < 0.5}
    return {name: _whole(file) if name == ACKS else file.content(rng) for name, file in kept.items()}


def _apply(file: File, step: Step) -> None:
    if step.what in "WT":
        file.add(step)
    elif step.what == "B":
        file.begun = len(file.steps)
    elif step.what in "SF":
        file.synced(well=step.what == "S")


def _whole(file: File) -> bytes:
    return b"".join(step.data for step in file.steps)


@dataclass
class Outcome:
    """What the cuts showed; `commits` are syncs of the log that ended well while the process wrote."""

    commits: int = 0
    failed_syncs: int = 0
    cuts: int = 0
    acknowledged: int = 0
    lost: int = 0
    cuts_with_loss: int = 0
    unsound: int = 0
    refused: int = 0


def examine(files: dict[str, bytes], folder: Path, outcome: Outcome) -> None:
    """Put the files in a folder, open the ledger in it, compare it with the acknowledgements."""
    acks = [line.split() for line in files.pop(ACKS, b"").decode().splitlines() if line]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = folder / "ledger.db"
    outcome.cuts += 1
    outcome.acknowledged += len(acks)
    held = dict[int, str]()
    try:
        ledger = Ledger.open(f"sqlite:///{path}")
        held = {record.seq: record.hash.hex() for record in ledger.read()}
        ledger.close()
        outcome.unsound += bool(verify_ledger.check_file(path, 0, [], None).findings)
    except LedgerError:
        outcome.refused += 1
    lost = sum(held.get(int(seq)) != digest for seq, digest in acks)
    outcome.lost += lost
    outcome.cuts_with_loss += bool(lost)


def compiled(folder: Path) -> Path:
    """The library, built with the machine's C compiler."""
    library = folder / "power_cut.so"
    source = Path(__file__).with_name("power_cut.c")
    command = [
        "gcc",
        "-O1",
        "-Wall",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(source),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True, timeout=120)
    return library


def logged(library: Path, place: Path, durability: str, records: int, seed: int, **disk: str) -> list[Step]:
    """Let a process write under the library; its log. `disk` are more of the library's variables."""
    folder, log = place / "disk", place / "log"
    folder.mkdir()
    environment = {**os.environ, "LD_PRELOAD": str(library), "DISK_FOLDER": str(folder), "DISK_LOG": str(log), **disk}
    command = [sys.executable, "-m", "tests.ledger.writing", f"sqlite:///{folder / 'ledger.db'}", str(folder / ACKS)]
    options = ["--durability", durability, "--records", str(records), "--seed", str(seed)]
    subprocess.run([*command, *options], cwd=ROOT, env=environment, check=True, timeout=600)
    return read_log(log)


def run(durability: str, cuts: int, seed: int, *, records: int = 3000, **disk: str) -> Outcome:
    """Cut one writer's log at random places."""
    rng, outcome = random.Random(seed), Outcome()
    with tempfile.TemporaryDirectory() as place:
        steps = logged(compiled(Path(place)), Path(place), durability, records, seed, **disk)
        outcome.failed_syncs = sum(step.what == "F" for step in steps)
        outcome.commits = sum(step.what == "S" and step.name.endswith("-wal") for step in steps)
        for number, cut in enumerate(_places(steps, cuts, rng)):
            folder = Path(place) / f"cut-{number}"
            folder.mkdir()
            examine(disk_after(steps[:cut], rng), folder, outcome)
            for file in folder.iterdir():
                file.unlink()
    return outcome


def _places(steps: list[Step], cuts: int, rng: random.Random) -> Iterator[int]:
    """Where to cut: anywhere, and often right behind an acknowledgement, where a loss would show first."""
    acks = [i + 1 for i, step in enumerate(steps) if step.name == ACKS and step.what == "W"]
    for number in range(cuts):
        yield rng.choice(acks) if number % 2 else rng.randint(1, len(steps))


def main() -> int:
    """Run as the command line says, print and store the outcome; exit code 1 when it is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=200, help="for each setting")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = {
        "full": run("full", options.cuts, options.seed),
        "full, syncs 200 to 210 fail": run("full", options.cuts, options.seed, DISK_FAIL_SYNC="200-210"),
        "full, syncs 200 and 201 fail": run("full", options.cuts, options.seed, DISK_FAIL_SYNC="200-201"),
        "normal (control, must lose)": run("normal", options.cuts, options.seed),
    }
    table = {name: vars(outcome) for name, outcome in found.items()}
    text = json.dumps({"command": " ".join(sys.argv[1:]), "settings": table}, indent=2) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)
    *full, normal = found.values()
    good = all(o.lost == o.unsound == o.refused == 0 for o in full) and normal.lost > 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
