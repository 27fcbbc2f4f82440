"""Power cuts, failing syncs and full disks under a real writer; and the simulated disk itself."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lexorder.engine.ledger.ledger import Ledger
from tests.ledger import power_cut
from tests.ledger.entries import fill
from tests.ledger.power_cut import ACKS, SECTOR, File, Outcome, Step, disk_after, examine, read_log

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "power-cut.json"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here to build the library that logs writes")


class Unlucky(random.Random):
    """Nothing that may be lost survives."""

    def random(self):
        return 0.99


class Lucky(random.Random):
    """Everything that may survive does."""

    def random(self):
        return 0.0

    def choice(self, options):
        return options[-1]


def write(name, at, data):
    return Step("W", name, at, data)


def sync(name, end="S"):
    return [Step("B", name, 1, b""), Step(end, name, 1, b"")]


NAMED = [Step("C", "f", 0, b""), *sync(".")]


def test_what_was_synced_is_there_and_the_rest_may_not_be():
    steps = [*NAMED, write("f", 0, b"old"), *sync("f"), write("f", 3, b"new")]
    assert disk_after(steps, Unlucky()) == {"f": b"old"}
    assert disk_after(steps, Lucky()) == {"f": b"oldnew"}


def test_a_sync_covers_only_what_was_written_before_it_began():
    begun, ended = sync("f")
    steps = [*NAMED, write("f", 0, b"old"), begun, write("f", 3, b"new"), ended]
    assert disk_after(steps, Unlucky()) == {"f": b"old"}


def test_a_sync_that_has_not_ended_covers_nothing():
    assert disk_after([*NAMED, write("f", 0, b"old"), sync("f")[0]], Unlucky()) == {"f": b""}


def test_a_sync_of_another_file_covers_nothing():
    steps = [*NAMED, write("f", 0, b"x"), Step("C", "g", 0, b""), *sync("."), *sync("g")]
    assert disk_after(steps, Unlucky()) == {"f": b"", "g": b""}


def test_what_a_failed_sync_covered_stays_lost_although_a_later_one_succeeds():
    steps = [*NAMED, write("f", 0, b"one"), *sync("f", "F"), *sync("f")]
    assert disk_after(steps, Unlucky()) == {"f": b""}
    again = [*steps, write("f", 0, b"two"), *sync("f")]
    assert disk_after(again, Unlucky()) == {"f": b"two"}


def test_sectors_arrive_one_by_one():
    old, new = b"a" * 4 * SECTOR, b"b" * 4 * SECTOR
    steps = [*NAMED, write("f", 0, old), *sync("f"), write("f", 0, new)]
    seen = {disk_after(steps, random.Random(seed))["f"] for seed in range(300)}
    mixed = seen - {old, new}
    assert {old, new} < seen
    assert len(mixed) > 5
    for content in seen:
        assert all(content[i : i + SECTOR] in {old[:SECTOR], new[:SECTOR]} for i in range(0, len(content), SECTOR))


def test_a_new_file_without_a_synced_folder_may_be_missing():
    steps = [Step("C", "f", 0, b""), write("f", 0, b"x"), *sync("f")]
    assert disk_after(steps, Unlucky()) == {}
    assert disk_after([*steps, *sync(".")], Unlucky()) == {"f": b"x"}


def test_truncation_and_deletion():
    steps = [*NAMED, write("f", 0, b"abcdef"), *sync("f"), Step("T", "f", 2, b"")]
    assert disk_after(steps, Unlucky()) == {"f": b"abcdef"}
    assert disk_after([*steps, *sync("f")], Unlucky()) == {"f": b"ab"}
    assert disk_after([*steps, Step("U", "f", 0, b"")], Unlucky()) == {}


def test_acknowledgements_are_never_lost():
    steps = [Step("C", ACKS, 0, b""), write(ACKS, 0, b"0 ab\n"), write(ACKS, 5, b"1 cd\n")]
    assert disk_after(steps, Unlucky()) == {ACKS: b"0 ab\n1 cd\n"}


def test_a_file_may_have_a_hole():
    file = File()
    file.add(write("f", 10, b"x"))
    file.begun = 1
    file.synced(well=True)
    assert file.content(Unlucky()) == bytes(10) + b"x"


def test_an_acknowledged_record_that_is_gone_is_counted(tmp_path):
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    records = fill(ledger, 10)
    ledger.close()
    content = (tmp_path / "ledger.db").read_bytes()
    acks = "".join(f"{r.seq} {r.hash.hex()}\n" for r in records) + f"10 {'00' * 32}\n"
    outcome, folder = Outcome(), tmp_path / "cut"
    folder.mkdir()
    examine({ACKS: acks.encode(), "ledger.db": content}, folder, outcome)
    assert (outcome.cuts, outcome.acknowledged, outcome.lost, outcome.refused) == (1, 11, 1, 0)


@needs_gcc
def test_the_library_logs_what_is_done_in_the_folder_and_only_there(tmp_path):
    script = (
        "import os, sys\n"
        "d = os.open(sys.argv[1], os.O_RDONLY)\n"
        "f = os.open(sys.argv[1] + '/f', os.O_CREAT | os.O_RDWR)\n"
        "os.write(f, b'abc'); os.pwrite(f, b'X', 1); os.fsync(f); os.fsync(d); os.ftruncate(f, 2); os.fdatasync(f)\n"
        "os.close(f); os.unlink(sys.argv[1] + '/f')\n"
        "g = os.open(sys.argv[1] + '-not', os.O_CREAT | os.O_RDWR); os.write(g, b'no'); os.fsync(g)\n"
    )
    folder = tmp_path / "disk"
    folder.mkdir()
    library = power_cut.compiled(tmp_path)
    environment = {"LD_PRELOAD": str(library), "DISK_FOLDER": str(folder), "DISK_LOG": str(tmp_path / "log")}
    subprocess.run([sys.executable, "-c", script, str(folder)], env=environment, check=True, timeout=60)
    steps = [(step.what, step.name, step.data) for step in read_log(tmp_path / "log")]
    text = "".join(what + (name[0] if name != "f" else "") for what, name, _ in steps)
    assert text == "CWWBSB.S.TBSU"
    assert [data for what, _, data in steps if what == "W"] == [b"abc", b"X"]
    assert [step.at for step in read_log(tmp_path / "log")][1:3] == [0, 1]
    (tmp_path / "log").write_bytes((tmp_path / "log").read_bytes() + b"W f 0 100\nonly a part")
    assert len(read_log(tmp_path / "log")) == len(steps)


@needs_gcc
def test_a_power_cut_loses_nothing_that_was_acknowledged():
    outcome = power_cut.run("full", cuts=30, seed=3, records=900)
    assert (outcome.lost, outcome.unsound, outcome.refused) == (0, 0, 0)
    assert outcome.acknowledged > 5000


@needs_gcc
def test_without_full_synchronisation_a_power_cut_loses_acknowledged_records():
    outcome = power_cut.run("normal", cuts=15, seed=3, records=900)
    assert outcome.lost > 0
    assert outcome.unsound == 0


# 40-41: the commit and the checkpoint of closing fail, and nothing after them. The log then begins with pages that look
# fine to whoever opens it and are not on disk; to go on writing behind them would lose all that follows.
@needs_gcc
@pytest.mark.parametrize(("fails", "count"), [("40-40", 1), ("40-41", 2), ("40-44", 5)])
def test_after_syncs_that_failed_a_power_cut_loses_nothing_that_was_acknowledged(fails, count):
    outcome = power_cut.run("full", cuts=20, seed=4, records=700, DISK_FAIL_SYNC=fails)
    assert (outcome.lost, outcome.unsound, outcome.refused) == (0, 0, 0)
    assert outcome.acknowledged > 2000
    assert outcome.failed_syncs == count


@needs_gcc
def test_a_disk_without_room_refuses_and_loses_nothing(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    library, log = power_cut.compiled(tmp_path), tmp_path / "log"
    environment = {"LD_PRELOAD": str(library), "DISK_FOLDER": str(folder), "DISK_LOG": str(log), "DISK_ROOM": "2000000"}
    command = [sys.executable, "-m", "tests.ledger.writing", f"sqlite:///{folder / 'ledger.db'}", str(folder / ACKS)]
    subprocess.run([*command, "--failures", "50"], cwd=power_cut.ROOT, env=environment, check=True, timeout=300)
    steps = read_log(log)
    assert 1_500_000 < sum(len(step.data) for step in steps if step.what == "W") <= 2_000_000
    outcome = Outcome()
    for number in range(10):
        place = tmp_path / f"cut-{number}"
        place.mkdir()
        examine(disk_after(steps, random.Random(number)), place, outcome)
    assert (outcome.lost, outcome.unsound, outcome.refused) == (0, 0, 0)
    assert outcome.acknowledged > 100


@pytest.mark.slow
@needs_gcc
def test_many_power_cuts():
    for seed in range(3):
        for fails in ("0-0", "200-210", "90-90", "90-91", "90-92", "150-151"):
            outcome = power_cut.run("full", cuts=100, seed=seed, DISK_FAIL_SYNC=fails)
            assert (outcome.lost, outcome.unsound, outcome.refused) == (0, 0, 0)


def test_the_stored_runs_lost_nothing_but_in_the_control():
    stored = json.loads(RESULTS.read_text())["settings"]
    control = stored.pop("normal (control, must lose)")
    assert control["lost"] > 0
    assert len(stored) == 3
    for outcome in stored.values():
        assert (outcome["lost"], outcome["unsound"], outcome["refused"]) == (0, 0, 0)
        assert outcome["cuts"] >= 500
