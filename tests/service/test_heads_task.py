"""Signed heads on a timer: one while records come, one at the end, and whatever goes wrong is told and tried again."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lexorder.api.service import heads_task
from lexorder.api.service.heads_task import KEY_FILE, HeadsTask
from lexorder.engine.ledger import audit
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger

START = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


def more(ledger: Ledger, count: int = 1) -> None:
    """Records, durable."""
    for _ in range(count):
        ledger.append("note", "ref", "", b"{}", "2026-06-15T12:00:00.000000Z")
    ledger.wait(ledger.size - 1, 20)


def task_of(ledger: Ledger, folder: Path) -> HeadsTask:
    """A timer whose clock goes on by a second at each look."""
    times = iter(START + timedelta(seconds=n) for n in range(10**6))
    return HeadsTask(ledger, folder, folder / "heads", lambda: next(times))


def sizes(folder: Path, ledger: Ledger) -> list[int]:
    """Sizes of the heads in the second place, each with a good signature and the root of its records."""
    heads, key = audit.trusted_heads(folder / "heads", ledger.shard)
    assert key is not None
    assert all(audit.signatures(heads, key))
    assert [head.root for head in heads] == [ledger.root(head.size).hex() for head in heads]
    return [head.size for head in heads]


def test_heads_follow_the_records_and_the_last_one_holds_them_all(ledger, tmp_path):
    task = task_of(ledger, tmp_path)

    async def day() -> None:
        more(ledger, 3)
        await task.start(1000.0)
        assert task.last is not None
        assert task.last.size == 3
        more(ledger, 2)
        await task.write()
        more(ledger, 4)
        await task.stop()
        await task.stop()

    asyncio.run(day())
    assert sizes(tmp_path, ledger) == [3, 5, 9]
    assert task.problem == ""


def test_the_timer_signs_by_itself_and_nothing_new_is_not_signed_again(ledger, tmp_path):
    task = task_of(ledger, tmp_path)

    async def day() -> None:
        more(ledger)
        await task.start(0.0)
        for size in (2, 3):
            more(ledger)
            async with asyncio.timeout(30):
                while task.last is None or task.last.size < size:
                    await asyncio.sleep(0.02)
        await asyncio.sleep(heads_task.SHORTEST_S * 3)
        await task.stop()

    asyncio.run(day())
    found = sizes(tmp_path, ledger)
    assert sorted(set(found)) == found, "each size once"
    assert found[-1] == 3


def test_the_key_is_made_once_and_is_its_owners_alone(ledger, tmp_path):
    async def twice() -> tuple[bytes, bytes]:
        await task_of(ledger, tmp_path).start(1000.0)
        first = (tmp_path / KEY_FILE).read_bytes()
        await task_of(ledger, tmp_path).start(1000.0)
        return first, (tmp_path / KEY_FILE).read_bytes()

    first, second = asyncio.run(twice())
    assert first == second
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def refused(task: HeadsTask) -> str:
    """The code with which a start is refused."""
    with pytest.raises(LedgerError) as caught:
        asyncio.run(task.start(1000.0))
    return caught.value.code


def test_a_key_that_others_can_read_is_no_key(ledger, tmp_path):
    asyncio.run(task_of(ledger, tmp_path).start(1000.0))
    (tmp_path / KEY_FILE).chmod(0o644)
    assert refused(task_of(ledger, tmp_path)) == "ledger-key"


def test_heads_of_another_key_are_not_gone_on_with(ledger, tmp_path):
    more(ledger)
    asyncio.run(task_of(ledger, tmp_path).start(1000.0))
    (tmp_path / KEY_FILE).unlink()
    assert refused(task_of(ledger, tmp_path)).startswith("ledger-")


def test_a_second_place_that_fails_is_told_and_tried_again(ledger, tmp_path, monkeypatch):
    task = task_of(ledger, tmp_path)
    errors = iter([LedgerError("ledger-unavailable", "the disk is full"), OSError("gone"), ZeroDivisionError()])

    async def day() -> list[str]:
        more(ledger)
        await task.start(1000.0)
        write, told = task._write, []

        def fails() -> None:
            raise next(errors)

        for _ in range(3):
            monkeypatch.setattr(task, "_write", fails)
            more(ledger)
            await task.write()
            told.append(task.problem)
        monkeypatch.setattr(task, "_write", write)
        await task.write()
        told.append(task.problem)
        await task.stop()
        return told

    assert asyncio.run(day()) == ["ledger-unavailable", "head-failed", "head-failed", ""]
    assert sizes(tmp_path, ledger)[-1] == 4


def test_before_the_start_there_is_no_head(ledger, tmp_path):
    task = task_of(ledger, tmp_path)
    assert task.last is None
    asyncio.run(task.stop())
    assert not (tmp_path / "heads").exists()
