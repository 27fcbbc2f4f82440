"""The manual and the code say the same: reason codes, snapshot codes, and the sample snapshot loads."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lexorder.engine.facts import load_snapshot
from lexorder.engine.reasons import REASONS
from tests.worlds import VOCABULARY

READERS = ("facts", "dated_lists", "hierarchy", "covered", "constituents")
"""What reads a snapshot document."""
ROOT = Path(__file__).resolve().parents[2]


def test_reasons_are_documented_in_order() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| (\d+) \| (.+) \|$", (ROOT / "docs/reasons.md").read_text(), re.M)
    assert rows == [(r.code, str(r.fix), r.meaning) for r in REASONS]


def test_snapshot_codes_are_documented() -> None:
    table = (ROOT / "docs/snapshot.md").read_text().rsplit("| code |", 1)[1]
    documented = {code for row in re.findall(r"^\| ([a-z, -]+) \|", table, re.M) for code in row.split(", ")}
    source = "".join((ROOT / f"engine/{name}.py").read_text() for name in READERS)
    raised = set(re.findall(r'SnapshotError\(\s*"([a-z-]+)"', source))
    assert raised == documented


def test_the_sample_snapshot_loads() -> None:
    sample = re.search(r"```json\n(.*?)```", (ROOT / "docs/snapshot.md").read_text(), re.S)
    assert sample is not None
    taken = load_snapshot(json.loads(sample.group(1)), VOCABULARY)
    assert taken.positions["ACC-1"]["ACME"]["position.before.quantity"] == 1200
