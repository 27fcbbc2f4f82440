"""The same tests on both databases: a fresh ledger address for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lexorder.engine.ledger.ledger import Ledger
from tests.ledger.postgres_server import Server, binaries

Opened = Callable[..., Ledger]


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    """One PostgreSQL server per test process; what needs it is skipped where none is installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    running = Server(programs)
    try:
        running.start()
        yield running
    finally:
        running.remove()


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    """The server; databases given to the test are emptied after it."""
    yield running_server
    if not running_server.running():
        running_server.start()
    running_server.empty_all()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: Server = request.getfixturevalue("server")
    return server.url()


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens ledgers and closes them after the test."""
    ledgers: list[Ledger] = []

    def open_one(url: str, shard: int = 0, *, durability: str = "full", read_only: bool = False) -> Ledger:
        ledgers.append(Ledger.open(url, shard, durability=durability, read_only=read_only))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(url: str, opened: Opened) -> Ledger:
    """An empty ledger on each database."""
    return opened(url)
