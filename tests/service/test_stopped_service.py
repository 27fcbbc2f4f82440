"""What a service that was stopped still holds: no file of its folder, and no thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.service.house import House

HANDLES = Path("/proc/self/fd")
KEPT = ("lexorder-watchdog",)
"""Threads that belong to the process: the one that watches CLIPS ends with the last environment."""


def held(folder: Path) -> list[str]:
    """The files within the folder that this process has open."""
    found = []
    for handle in HANDLES.iterdir():
        try:
            found.append(str(handle.readlink()))
        except OSError:  # the one that lists them
            continue
    return sorted(name for name in found if name.startswith(str(folder)))


def threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name not in KEPT}


@pytest.mark.skipif(not HANDLES.is_dir(), reason="open files are listed by Linux only")
@pytest.mark.parametrize("ledger", ["full", "off"])
def test_it_lets_go_of_everything(tmp_path, ledger):
    before = threads()
    house = House(tmp_path, ledger=ledger).furnished()
    assert house.check(id="o1", quantity=10)["outcome"] == "approve"
    if ledger == "full":
        assert house.get("/v1/decisions")["items"]
    assert held(tmp_path), "the keys at least are in a file"
    house.close()
    assert held(tmp_path) == []
    assert threads() <= before


def test_the_next_one_on_the_folder_lets_go_as_well(tmp_path):
    house = House(tmp_path).furnished()
    for _ in range(3):
        house.reopen()
    house.close()
    assert held(tmp_path) == []
