"""Retention of more records than one page or one check holds, by the command, with nothing made smaller for the test.

Reading goes by pages of 1,000 records and a start of the service checks the newest 1,000: cuts lie exactly there and
one record beside. What is left is read by SQLite itself.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lexorder.api import cli
from lexorder.api.service.retain import MOVED
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.rows import PAGE
from lexorder.engine.ledger.tail import CHECKED

AT = "2026-11-{:02d}T09:30:00.000000Z"
KINDS = ("decision", "decision", "events", "override")
COUNT, SNAPSHOT = 3_105, 3_100
PER_DAY = 250
"""Records are of twelve days and a part of the thirteenth."""


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 3,105 records, a snapshot near its end, with signed heads; copied for each test."""
    folder = tmp_path_factory.mktemp("many")
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.sqlite'}")
    for seq in range(COUNT):
        kind = "snapshot" if seq == SNAPSHOT else KINDS[seq % len(KINDS)]
        ref = "snapshot" if seq == SNAPSHOT else f"R{seq}"
        ledger.append(kind, ref, f"A{seq % 3}", json.dumps({"n": seq}).encode(), AT.format(1 + seq // PER_DAY))
    ledger.wait(COUNT - 1, 60)
    ledger.close()
    assert run(folder, "heads", "--sign").exit_code == 0
    return folder


@pytest.fixture
def data(master: Path, tmp_path: Path) -> Path:
    """A data directory of its own."""
    folder = tmp_path / "data"
    (folder / "heads").mkdir(parents=True)
    for path in (p for p in master.rglob("*") if p.is_file() and not p.name.endswith((".lock", "-wal", "-shm"))):
        target = folder / path.relative_to(master)
        target.write_bytes(path.read_bytes())
        target.chmod(path.stat().st_mode)
    return folder


def run(data: Path, *words: object) -> Any:
    return CliRunner().invoke(cli.app, ["ledger", *map(str, words)], env={"LEXORDER_DATA_DIR": str(data)})


def bodies(data: Path) -> dict[int, tuple[str, bytes]]:
    """Kind and content by number, as SQLite reads them."""
    with sqlite3.connect(f"file:{data / 'ledger.sqlite'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT seq, kind, body FROM records WHERE shard = 0").fetchall()
    database.close()
    return {seq: (kind, body) for seq, kind, body in rows}


def check_cut(data: Path, stop: int, archives: list[Path]) -> None:
    """Exactly what was to be moved is gone, all of it is in the archives, and both together are sound."""
    left = bodies(data)
    assert sorted(left) == list(range(len(left)))
    for seq in range(COUNT):
        moved = seq < stop and KINDS[seq % len(KINDS)] in MOVED
        assert left[seq][1] == (b"" if moved else json.dumps({"n": seq}).encode()), seq
    lines = [json.loads(line) for path in archives for line in path.read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(stop))
    words = [word for path in archives for word in ("--archive", path)]
    done = run(data, "verify", *words)
    assert (done.exit_code, done.output.split(" records")[0]) == (0, f"SOUND {len(left)}"), done.output


@pytest.mark.parametrize("stop", [1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, COUNT - CHECKED])
def test_a_cut_at_a_page_or_beside_it_moves_exactly_the_records_before_it(data, tmp_path, stop):
    answer = run(data, "retain", "--before", stop, "--archive", tmp_path / "a")
    assert answer.output.splitlines()[0] == f"{stop} records, 0 up to {stop}, not included"
    assert all(body for _, body in bodies(data).values()), "nothing changes without --apply"
    answer = run(data, "retain", "--before", stop, "--archive", tmp_path / "a", "--apply")
    moved = sum(KINDS[seq % 4] in MOVED for seq in range(stop))
    assert answer.exit_code == 0, answer.output
    assert answer.output.splitlines()[1].startswith(f"{moved} records emptied; the archive is ")
    check_cut(data, stop, [tmp_path / "a" / f"records-0-0-{stop}.jsonl"])


@pytest.mark.parametrize("asked", [COUNT - CHECKED + 1, SNAPSHOT, COUNT, 10**9])
def test_no_more_than_what_a_start_checks_is_moved_and_the_command_says_why(data, tmp_path, asked):
    answer = run(data, "retain", "--before", asked, "--archive", tmp_path / "a")
    assert answer.output.splitlines()[:2] == [
        f"{COUNT - CHECKED} records, 0 up to {COUNT - CHECKED}, not included",
        "no more than that, because a start checks the newest 1,000 records",
    ]


@pytest.mark.parametrize(
    ("before", "stop"),
    [
        ("2026-11-01", 0),
        ("2026-11-02", PER_DAY),
        ("2026-11-05", 4 * PER_DAY),
        ("2026-11-05T09:30:00Z", 4 * PER_DAY),
        ("2026-11-05T09:30:00.000001Z", 5 * PER_DAY),
        ("2026-11-06T10:29:59.999999+01:00", 5 * PER_DAY),
        ("2026-11-06T10:30:00.000001+01:00", 6 * PER_DAY),
    ],
)
def test_a_day_or_a_time_cuts_before_the_first_record_that_is_not_older(data, tmp_path, before, stop):
    answer = run(data, "retain", "--before", before, "--archive", tmp_path / "a")
    assert answer.output.splitlines()[0] == f"{stop} records, 0 up to {stop}, not included"


def test_archives_of_several_runs_follow_each_other_and_a_start_reads_on(data, tmp_path):
    """The second begins where the first ended; what each run records of itself is counted as a record."""
    stops = (PAGE - 1, 2 * PAGE + 1)
    for stop in stops:
        assert run(data, "retain", "--before", stop, "--archive", tmp_path / "a", "--apply").exit_code == 0
    archives = [tmp_path / "a" / f"records-0-{a}-{b}.jsonl" for a, b in ((0, stops[0]), stops)]
    assert bodies(data)[COUNT][0] == bodies(data)[COUNT + 1][0] == "retention"
    check_cut(data, stops[1], archives)
    ledger = Ledger.open(f"sqlite:///{data / 'ledger.sqlite'}")
    assert ledger.append("decision", "NEW", "A", b"{}", AT.format(20)).seq == COUNT + 2
    ledger.wait(COUNT + 2, 60)
    ledger.close()
    assert run(data, "verify", "--archive", archives[0], "--archive", archives[1]).exit_code == 0
    assert run(data, "verify", "--archive", archives[1]).exit_code == 1, "the first archive is missing"
    assert run(data, "verify", "--archive", archives[1], "--archive", archives[0]).exit_code == 1, "not oldest first"
