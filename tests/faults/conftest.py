"""One forge of services for each test process, and a furnished service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.forking import Forge
from tests.faults.served import Served
from tests.ledger.conftest import running_server, server

__all__ = ["running_server", "server"]


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    made = Forge()
    yield made
    made.close()


@pytest.fixture
def served(tmp_path: Path, forge: Forge) -> Iterator[Served]:
    """A service with the account A, and A0 to A3, of 100,000 each."""
    with Served(tmp_path, forge) as service:
        service.furnish(4)
        yield service
