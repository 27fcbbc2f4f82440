"""Fixtures of the service's border; `url` and `server` run a test on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.conftest import running_server, server, url
from tests.service.border import Border, border
from tests.service.house import House

__all__ = ["guarded", "running_server", "server", "url"]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Border]:
    """An empty key table with its access."""
    made = border(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A running service with the accounts A and B; the test may replace `house.service`'s files, never its loop."""
    made = House(tmp_path).furnished()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The same for a whole module: tests that leave nothing behind that another one could trip over."""
    made = House(tmp_path_factory.mktemp("house")).furnished()
    yield made
    made.close()
