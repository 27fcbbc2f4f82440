"""From the moment the kill switch is answered nothing is approved, however many callers ask."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from lexorder.engine.ledger.record import chained
from tests.faults.switching import Switched, approved_in_a_halt, measure
from tests.worlds import order

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
CALLERS = 8


def test_nothing_is_approved_after_the_switch(served):
    orders = [order(id=f"K{n}", account=f"A{n % 4}", trader="T") for n in range(CALLERS)]
    switched, seen = measure(served.port, served.key, orders, cycles=5, pause_s=0.3)
    approvals = [times for mine in seen for times in mine.approvals]
    assert [s.wrong(approvals) for s in switched] == [0] * 5
    assert not [problem for mine in seen for problem in mine.other]
    assert sum(mine.refused for mine in seen) > 0
    for before, after in pairwise(switched):  # trading did go on in between, so that the test can fail
        assert any(before.resumed < sent < after.answered for sent, _ in approvals)


def test_the_ledger_has_no_approval_after_a_halt(served):
    """In the order of the records: after HALTED no approval until ACTIVE."""
    orders = [order(id=f"K{n}", account=f"A{n % 4}", trader="T") for n in range(CALLERS)]
    measure(served.port, served.key, orders, cycles=3, pause_s=0.2)
    approved, decided = approved_in_a_halt(served.records())
    assert approved == 0
    assert decided > 0


def test_a_halt_outlives_a_kill_of_the_process(served):
    assert served.check(id="K-1", trader="T").json()["outcome"] == "approve"
    assert served.call("POST", "/v1/kill", {}).status_code == 200
    served.kill()
    served.start()
    assert served.check(id="K-2", trader="T").json()["outcome"] == "reject"
    assert served.call("GET", "/v1/trading-state").json()["firm"] == "HALTED"


def test_an_approval_inside_the_halt_would_be_noticed():
    halt = Switched(asked=10, answered=20, resumed=30)
    assert halt.wrong([(9, 21), (20, 25), (21, 30), (29, 35)]) == 0
    assert halt.wrong([(21, 22), (29, 29), (12, 22)]) == 2
    assert halt.ms == 10 / 1e6


def test_an_approval_recorded_in_a_halt_would_be_noticed():
    texts = [
        ("decision", '{"decision":{"outcome":"approve"}}'),
        ("trading-state", '{"state":"HALTED"}'),
        ("decision", '{"decision":{"outcome":"reject"}}'),
        ("decision", '{"decision":{"outcome":"approve"}}'),
        ("trading-state", '{"state":"ACTIVE"}'),
        ("decision", '{"decision":{"outcome":"approve"}}'),
    ]
    records = [
        chained(n, bytes(32), kind, "2026-11-20T11:00:00.000000Z", "", "", body.encode())
        for n, (kind, body) in enumerate(texts)
    ]
    assert approved_in_a_halt(records) == (1, 2)


def test_the_stored_run_let_nothing_pass():
    stored = json.loads((RESULTS / "kill-switch.json").read_text())
    assert stored["approved_after_the_switch"] == stored["recorded_as_approved_in_a_halt"] == 0
    assert stored["recorded_in_a_halt"] > stored["cycles"]
    assert stored["cycles"] >= 200
    assert stored["connections"] == 32
    assert stored["approved"] > stored["cycles"]
    assert stored["refused"] > stored["cycles"]
    assert 0 < stored["p50_ms"] <= stored["p99_ms"] <= stored["max_ms"]
