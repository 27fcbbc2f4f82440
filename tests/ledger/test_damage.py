"""Random damage is noticed; without the signed head, or with a lazier verifier, some of it would not be."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from lexorder.engine.ledger import verify_ledger
from tests.ledger import damage

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "ledger-damage.json"
WAYS = {"bit flip", "swap", "deletion", "truncation", "rewrite"}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return damage.sound(tmp_path_factory.mktemp("sound"), random.Random(5))


def test_damage_is_noticed():
    table = damage.run(2000, seed=11)
    assert {name: row for name, row in table.items() if row["missed"]} == {}
    assert table["all"]["trials"] >= 1800
    assert {name.partition(": ")[2] for name in table} >= WAYS


@pytest.mark.slow
def test_damage_is_noticed_a_hundred_thousand_times():
    table = damage.run(100_000, seed=12)
    assert table["all"]["missed"] == 0
    assert table["all"]["trials"] > 90_000


def test_the_stored_run_missed_nothing():
    stored = json.loads(RESULTS.read_text())["damage"]
    assert stored["all"]["missed"] == 0
    assert stored["all"]["trials"] >= 100_000
    assert all(row["missed"] == 0 for row in stored.values())


def noticed(given, way, trials=60):
    rng = random.Random(3)
    return [damage.trial_on_export(given, way, rng) for _ in range(trials)]


def test_without_signed_heads_a_rewritten_ledger_looks_sound(given):
    bare = damage.Sound(given.folder, given.records, [], given.signed)
    assert not all(noticed(bare, "rewrite"))
    assert all(noticed(given, "rewrite"))


def test_without_signed_heads_a_shortened_ledger_looks_sound(given):
    bare = damage.Sound(given.folder, given.records, [], given.signed)
    assert not all(noticed(bare, "truncation"))
    assert all(noticed(given, "truncation"))


def test_a_verifier_that_trusts_the_stored_hashes_misses_changes(given, monkeypatch):
    monkeypatch.setattr(verify_ledger, "record_hash", lambda entry: entry[7])
    assert not all(noticed(given, "bit flip"))


def test_a_verifier_that_does_not_look_at_signatures_would_take_other_heads(given):
    forged = damage.rewritten(given.records, random.Random(1))
    stack = verify_ledger.Stack()
    for record in forged:
        list(stack.add(record.hash))
    head = {**given.heads[-1], "size": len(forged), "root": stack.root().hex(), "hash": forged[-1].hash.hex()}
    entries = [(r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev, r.hash) for r in forged]
    assert not verify_ledger.check(entries, [head], lambda _signature, _message: True).findings
    assert verify_ledger.check(entries, [head], given.signed).findings
    assert verify_ledger.check(entries, [head], None).findings


def test_findings_name_the_record(given):
    records = list(given.records)
    del records[17]
    entries = [(r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev, r.hash) for r in records]
    found = verify_ledger.check(entries, given.heads, given.signed).findings
    assert found[0].startswith("record 17: missing or moved, record 18 is in its place")
    assert len(found) == verify_ledger.FINDINGS_MAX + 1 or len(found) < verify_ledger.FINDINGS_MAX + 4


def test_a_missing_end_is_said_to_be_missing(given):
    entries = [(r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev, r.hash) for r in given.records[:45]]
    found = verify_ledger.check(entries, given.heads, given.signed).findings
    assert found == ("record 45: missing; a signed head counts 60 records",)
