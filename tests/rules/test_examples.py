"""Every example of the shipped library comes out as written."""

from __future__ import annotations

import pytest

from lexorder.engine.examples import run
from tests.rules.library import book


@pytest.mark.parametrize("identifier", book().ids())
def test_examples(identifier: str) -> None:
    wrong = [f"{r.example.name}: {r.difference}" for r in run(book(), identifier) if r.difference]
    assert wrong == []
