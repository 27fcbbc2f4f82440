"""The vocabulary that language tests are written against: a copy, so that a desk's new name changes no message here."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexorder.engine.names import Vocabulary
from lexorder.engine.vocabulary import load

RULEFILES = Path(__file__).parent.parent / "rulefiles"


@pytest.fixture(scope="session")
def words() -> Vocabulary:
    return load(RULEFILES / "vocabulary.yaml", "vocabulary.yaml")
