"""No acknowledged record is lost or doubled when its writer is killed; a record that is missing would be noticed."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tests.ledger import killing
from tests.ledger.test_ledger import harm

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def assert_nothing_lost(outcome):
    assert (outcome.lost, outcome.duplicated, outcome.findings) == (0, 0, 0)
    assert outcome.held >= outcome.acknowledged > 0


def test_killed_writers_lose_nothing(url):
    outcome = killing.run(url, cycles=5, seed=7)
    assert outcome.cycles == 5
    assert_nothing_lost(outcome)


@pytest.mark.slow
def test_three_hundred_killed_writers_lose_nothing(url):
    assert_nothing_lost(killing.run(url, cycles=300, seed=8))


@pytest.mark.parametrize("name", ["ledger-kill.json", "ledger-kill-postgresql.json"])
def test_the_stored_runs_lost_nothing(name):
    stored = json.loads((RESULTS / name).read_text())
    assert (stored["lost"], stored["duplicated"], stored["findings"]) == (0, 0, 0)
    assert stored["cycles"] >= 300
    assert stored["acknowledged"] > 10_000


def test_a_loss_would_be_noticed(tmp_path):
    url, acks, outcome = f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "acks", killing.Outcome()
    killing.cycle(url, acks, 1, Random(2))
    killing.compare(url, acks, outcome)
    assert (outcome.lost, outcome.duplicated) == (0, 0)
    last = killing.acknowledged(acks)[-1][0]
    harm(url, f"DELETE FROM records WHERE seq >= {last}", "DELETE FROM tree_nodes WHERE 256 * (position + 1) > "
         f"{last} AND level = 8")  # fmt: skip
    killing.compare(url, acks, outcome)
    assert outcome.lost >= 1
    acks.write_text(acks.read_text() * 2)
    killing.compare(url, acks, outcome)
    assert outcome.duplicated >= 1


def test_a_line_that_a_kill_cut_off_is_no_acknowledgement(tmp_path):
    acks = tmp_path / "acks"
    whole = "a" * 64
    acks.write_text(f"\n1 {whole}\n\n2 {'b' * 30}\n3 {whole}\n\n4 {whole}\n\n5 {whole}")
    assert killing.acknowledged(acks) == [(1, whole), (3, whole), (4, whole)]
    assert killing.torn(acks) == 2
    assert killing.acknowledged(tmp_path / "none") == []
    assert killing.torn(tmp_path / "none") == 0
