"""A ledger is served by as many workers as made it: whatever else is tried does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexorder.api.service.division import NOTE, hold
from lexorder.api.service.settings import Settings
from lexorder.engine.errors import UsageError
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.ledger import Ledger
from tests.ledger.entries import fill


def settings(folder: Path, workers: int, **more: str) -> Settings:
    """Of a service on this folder."""
    return Settings(data_dir=folder, workers=workers, **more)  # type: ignore[arg-type]


def record(folder: Path, *shards: int, url: str = "") -> None:
    """Let each of these shards have a record."""
    for shard in shards:
        own = url or Settings(data_dir=folder, shard=shard).url
        ledger = Ledger.open(own, shard)
        fill(ledger, 1)
        ledger.close()


def refused(folder: Path, workers: int, **more: str) -> str:
    """Why it does not start."""
    with pytest.raises(UsageError) as caught:
        hold(settings(folder, workers, **more))
    assert caught.value.code == "workers-changed"
    return caught.value.message


@pytest.mark.parametrize("first", [1, 2, 3])
def test_only_as_many_workers_as_there_were_start_again(tmp_path, first):
    hold(settings(tmp_path, first))
    record(tmp_path, *range(first))
    for number in (1, 2, 3, 4):
        if number == first:
            hold(settings(tmp_path, number))
        else:
            assert f"start with --workers {first}," in refused(tmp_path, number)


def test_a_start_that_recorded_nothing_binds_nobody(tmp_path):
    hold(settings(tmp_path, 3))
    Database(settings(tmp_path, 3).keys_url).create()
    hold(settings(tmp_path, 1))
    assert (tmp_path / NOTE).read_text() == "1\n"


def test_a_worker_that_recorded_nothing_yet_is_counted_by_the_note(tmp_path):
    hold(settings(tmp_path, 2))
    record(tmp_path, 0)
    hold(settings(tmp_path, 2))
    refused(tmp_path, 1)


@pytest.mark.parametrize("there", [(0,), (0, 1), (1,), (0, 1, 2)])
def test_records_without_a_note_say_it_themselves(tmp_path, there):
    record(tmp_path, *there)
    count = max(there) + 1
    for number in {1, 2, 3, 4} - {count}:
        refused(tmp_path, number)
    hold(settings(tmp_path, count))
    assert (tmp_path / NOTE).read_text() == f"{count}\n"


@pytest.mark.parametrize("written", ["", "two", "0", "-1", "2.0", "222", "²"])
def test_a_note_that_says_nothing_is_not_guessed_at(tmp_path, written):
    record(tmp_path, 0)
    (tmp_path / NOTE).write_text(written, "utf-8")
    assert "does not say how many" in refused(tmp_path, 1)


def test_a_file_that_cannot_be_read_counts_as_a_shard(tmp_path):
    (tmp_path / "ledger-1.sqlite").write_bytes(b"no database")
    assert "--workers 2" in refused(tmp_path, 1)


def test_other_files_beside_the_ledger_are_no_shards(tmp_path):
    record(tmp_path, 0)
    for name in ("ledger-5.sqlite.bak", "ledger-1.sqlite-wal", "ledger-x.sqlite", "ledger-7.sqlite.shard-7.lock"):
        (tmp_path / name).write_bytes(b"")
    hold(settings(tmp_path, 1))


def test_one_database_for_all_shards_says_it_too(tmp_path):
    url = f"sqlite:///{tmp_path / 'all.sqlite'}"
    record(tmp_path, 0, 1, url=url)
    for number in (1, 3):
        assert "--workers 2" in refused(tmp_path / "another", number, database=url)
    hold(settings(tmp_path / "another", 2, database=url))


def test_without_a_ledger_nothing_binds(tmp_path):
    hold(settings(tmp_path, 2, ledger="off"))
    assert not (tmp_path / NOTE).exists()
