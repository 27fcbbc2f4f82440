"""A service whose door is taken does not start, says which, and leaves nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lexorder.api.service import serving
from lexorder.api.service.settings import Settings
from lexorder.engine.errors import UsageError
from tests.api.commands import command
from tests.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody listens on, and lets others listen on too, as the workers of another service do."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind(("127.0.0.1", 0))
        door.listen()
        yield door.getsockname()[1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(taken: int, tmp_path: Path, workers: str) -> None:
    folder = tmp_path / "data"
    ended = command("serve", "--port", taken, "--data-dir", folder, "--workers", workers)
    assert ended.code == 2
    assert ended.err == (
        f"port-unavailable: 127.0.0.1:{taken} cannot be listened on (Address already in use): "
        "say another --port or --host\n"
    )
    assert not folder.exists(), "no key was made"


@pytest.mark.parametrize("ahead", [1, 2])
def test_the_workers_own_doors_count_too(taken: int, tmp_path: Path, ahead: int) -> None:
    settings = Settings(data_dir=tmp_path / "data", port=taken - ahead, workers=2)
    with pytest.raises(UsageError, match="cannot be listened on") as caught:
        serving._free(settings)
    assert caught.value.code == "port-unavailable"


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid", "2001:db8::1"])
def test_an_address_that_is_not_this_machine_s(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match="say another --port or --host"):
        serving._free(Settings(data_dir=tmp_path / "data", host=host, port=9))


def test_a_port_that_was_just_left_may_be_taken(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as door, socket.create_connection(("127.0.0.1", port)):
        door.accept()[0].close()  # who closes first keeps the port from those who do not ask for it
    serving._free(Settings(data_dir=tmp_path / "data", port=port))
