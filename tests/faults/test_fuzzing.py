"""Requests made from the API document: none is a server error, and most orders reach the engine."""

from __future__ import annotations

from pathlib import Path

from tests.faults.fuzzing import CHECK, run
from tests.faults.served import Served


def test_orders_made_from_the_document_reach_the_engine(tmp_path: Path):
    with Served(tmp_path) as service:
        service.furnish(2)
        found = run(service, CHECK, 40, 1, 300)
    assert found["exit"] == 0, found["said"]
    assert found["cases"] >= 40
    assert found["decided"] * 2 >= found["cases"], "at least half of the cases reach the engine"
