"""Fixtures of the service's border; `url` and `server` run a test on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.conftest import server, url
from tests.service.border import Border, border

__all__ = ["guarded", "server", "url"]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Border]:
    """An empty key table with its access."""
    made = border(tmp_path)
    yield made
    made.database.close()
