"""Running services, one for each module: one worker, or two."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.faults.conftest import forge
from tests.faults.forking import Forge
from tests.faults.served import Served
from tests.ledger.conftest import running_server, server

__all__ = ["forge", "running", "running_server", "server"]

PII_KEY = base64.b64encode(b"s" * 32).decode()
"""Seals personal data; a test's own."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Iterator[Served]:
    """One worker, with the account A, and A0 to A3, of 100,000 each."""
    with Served(tmp_path_factory.mktemp("running"), forge, pii_key=PII_KEY) as service:
        service.furnish(4)
        yield service
