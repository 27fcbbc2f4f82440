"""A service that is killed loses no answer, gives none twice, and repeats what it said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.killing import Killing, Outcome, compare_answers

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"

DECISION = {"outcome": "approve", "account": "A1", "hash": "ab"}
ANSWER = {**DECISION, "id": "0-7", "recorded": {"shard": 0, "seq": 7}}


def killed(folder, forge, cycles, seed):
    killing = Killing(folder, seed, forge)
    try:
        return killing.run(cycles)
    finally:
        killing.service.stop()


def test_a_killed_service_keeps_what_it_answered(tmp_path, forge):
    outcome = killed(tmp_path, forge, 2, 7)
    assert outcome.cycles == 2
    assert outcome.wrong == 0, outcome
    assert outcome.answered >= 4
    assert outcome.repeated >= 4
    assert 0 < outcome.approved < outcome.answered
    assert outcome.records > outcome.answered


@pytest.mark.slow
def test_a_service_killed_three_hundred_times_keeps_what_it_answered(tmp_path, forge):
    outcome = killed(tmp_path, forge, 300, 8)
    assert (outcome.cycles, outcome.wrong) == (300, 0), outcome


def compared(answers, held):
    outcome = Outcome()
    compare_answers(answers, held, outcome)
    return outcome


def test_an_answer_that_is_held_is_right():
    assert compared({"O": ANSWER}, {"O": (7, DECISION)}).wrong == 0


def test_a_lost_answer_would_be_noticed():
    outcome = compared({"O": ANSWER, "P": ANSWER}, {"O": (7, DECISION)})
    assert (outcome.lost, outcome.wrong) == (1, 1)


@pytest.mark.parametrize(("name", "value"), [("outcome", "reject"), ("hash", "ac"), ("more", "1")])
def test_another_decision_would_be_noticed(name, value):
    outcome = compared({"O": ANSWER}, {"O": (7, {**DECISION, name: value})})
    assert (outcome.changed, outcome.wrong) == (1, 1)


def test_another_place_would_be_noticed():
    assert compared({"O": ANSWER}, {"O": (8, DECISION)}).changed == 1
    moved = {**ANSWER, "recorded": {"shard": 1, "seq": 7}}
    assert compared({"O": moved}, {"O": (7, DECISION)}).changed == 1


def test_a_second_decision_would_be_noticed(tmp_path):
    """The ledger of a service that decided one order twice, as the comparison reads it."""
    from lexorder.engine.ledger.ledger import Ledger

    killing = Killing(tmp_path, 1)
    killing.service.data.mkdir()
    ledger = Ledger.open(killing.service.url)
    body = json.dumps({"decision": DECISION, "reserved": True, "order": {"quantity": "5"}}).encode()
    seq = -1
    for _ in range(2):
        seq = ledger.append("decision", "O", "A1", body, "2026-11-20T11:00:00.000000Z").seq
    ledger.wait(seq, 60)
    ledger.close()
    killing.read()
    assert (killing.outcome.duplicated, killing.outcome.wrong) == (1, 1)
    assert killing.working == {"O": "5"}
    assert killing.size == killing.outcome.records == 2


def test_the_stored_run_lost_nothing():
    stored = json.loads((RESULTS / "service-kills.json").read_text())
    command, figures = stored.pop("command"), Outcome(**stored)
    assert command.startswith("python -m tests.faults.killing")
    assert figures.wrong == 0
    assert figures.cycles > 0
    assert figures.answered >= 10 * figures.cycles
    assert figures.unanswered > figures.cycles
    assert 0 < figures.landed < figures.unanswered
