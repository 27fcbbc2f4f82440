"""Rebalances over the network: at once or followed to the end, certified for anybody, or shown to be impossible."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.client import Client, ServiceError, calls
from lexorder.engine import verify
from tests.faults.served import PATIENCE_S, Served, body_of
from tests.worlds import world


def wish(symbol: str, direction: str = "long") -> dict[str, Any]:
    """A signal of account A."""
    told = {"id": f"S-{symbol}", "symbol": symbol, "account": "A", "direction": direction, "timeframe": "1d"}
    return {**told, "expected_return": "3%", "confidence": "90%"}


@pytest.fixture
def desk(running: Served) -> Iterator[Client]:
    """A client of a service where account A wants ACME."""
    day = {"start_of_day_nav": "100000", "peak_nav": "100000"}
    with Client(running.address, running.key, timeout_s=PATIENCE_S) as client:
        client.send(calls.put_snapshot(world(account=day, signals=[wish("ACME"), wish("BETA")])))
        yield client


def verified_alone(text: str, folder: Path) -> bool:
    """What the stand-alone script says, run by an interpreter that finds none of our packages."""
    file = folder / "certificate.json"
    file.write_text(text, encoding="utf-8")
    script = Path(verify.__file__).resolve()
    done = subprocess.run([sys.executable, "-I", "-S", str(script), str(file)], capture_output=True, check=False)
    return done.returncode == 0


def bought(outcome: dict[str, Any]) -> dict[str, int]:
    """Shares by symbol, signed."""
    found: dict[str, int] = {}
    for row in outcome["orders"]:
        sign = 1 if row["Side"] == "1" else -1  # FIX tag 54
        found[row["Symbol"]] = found.get(row["Symbol"], 0) + sign * int(row["OrderQty"])
    return found


def test_orders_keep_the_rules_and_their_certificate_convinces_a_stranger(running, desk, tmp_path):
    made = desk.rebalance("A", "T")
    assert made.status == "done"
    shares = bought(made.outcome)
    assert shares
    assert sum(shares.values()) * 100 <= 100_000, "what the account has"
    assert all(0 < quantity <= 500 for quantity in shares.values()), "50% of 100,000 at 100"
    text = desk.send(calls.certificate(made.id)).decode()
    assert verified_alone(text, tmp_path)
    (record,) = [r for r in running.records(kind="rebalance") if r.ref == made.id]
    assert body_of(record)["certificate"] == text
    assert body_of(record)["outcome"] == made.outcome
    whole = json.loads(text)
    for key in list(whole)[:3]:
        assert not verified_alone(json.dumps({k: v for k, v in whole.items() if k != key}), tmp_path), f"without {key}"
    assert desk.send(calls.working_orders())["items"] == [], "a proposal is no order"


def test_a_rebalance_that_is_not_waited_for_is_followed_to_its_end(running, desk):
    answer = running.call("POST", "/v1/rebalances", {"account": "A", "trader": "T", "wait": False})
    assert answer.status_code == 202
    begun = answer.json()
    assert (begun["status"], answer.headers["location"]) == ("running", f"/v1/rebalances/{begun['id']}")
    told = list(desk.follow(begun["id"]))
    assert [event for event, _ in told[:-1]] == ["progress"] * (len(told) - 1)
    assert told[-1][0] == "result"
    ended = desk.send(calls.get_rebalance(begun["id"]))
    assert [document["step"] for _, document in told[:-1]] == ended.progress
    assert ended.progress[-1] == "the stand-alone verifier"
    assert told[-1][1]["outcome"] == ended.outcome
    assert list(desk.follow(begun["id"])) == told, "who comes late hears the same"


def test_what_is_not_finished_has_no_certificate_yet_and_what_is_unknown_never(running, desk):
    begun = running.call("POST", "/v1/rebalances", {"account": "A", "trader": "T", "wait": False}).json()
    for call in (calls.certificate, calls.report):
        answer = running.call("GET", call(begun["id"]).path)
        if answer.status_code != 200:  # it may be done by now
            assert (answer.status_code, answer.json()["code"]) == (409, "still-running")
        with pytest.raises(ServiceError, match="unknown-rebalance"):
            desk.send(call("r-0000"))
    with pytest.raises(ServiceError, match="unknown-rebalance"):
        next(desk.follow("r-0000"))
    assert list(desk.follow(begun["id"]))[-1][1]["status"] == "done"


def test_one_that_is_taken_back_ends_without_orders_and_the_next_one_is_solved(running, desk):
    begun = [
        running.call("POST", "/v1/rebalances", {"account": "A", "trader": "T", "wait": False}).json() for _ in range(3)
    ]
    waiting, first = begun[2]["id"], begun[0]["id"]
    assert desk.cancel(waiting).status == "cancelled"
    with contextlib.suppress(ServiceError):  # it may have ended by now
        assert desk.cancel(first).status == "cancelled"
    for identifier in (first, waiting):
        made = desk.send(calls.get_rebalance(identifier))
        assert (made.status == "cancelled") == ("orders" not in made.outcome)
    assert list(desk.follow(waiting))[-1][1]["status"] == "cancelled"
    with pytest.raises(ServiceError, match="no-certificate"):
        desk.send(calls.certificate(waiting))
    after = desk.rebalance("A", "T")
    assert (after.status, sum(bought(after.outcome).values()) > 0) == ("done", True)
    statuses = {r.ref: body_of(r)["status"] for r in running.records(kind="rebalance")}
    assert (statuses[waiting], statuses[after.id]) == ("cancelled", "done")


def test_weights_of_one_s_own_are_followed_in_whole_shares(running, desk, tmp_path):
    made = desk.rebalance("A", "T", model="target_weights", targets={"ACME": "0.083", "BETA": "0.25", "COCO": "0.05"})
    assert made.status == "done"
    shares = {"ACME": 83, "BETA": 100, "COCO": 50}
    assert bought(made.outcome) == shares, "a share weighs a thousandth; above 100 somebody must agree"
    assert verified_alone(desk.send(calls.certificate(made.id)).decode(), tmp_path)
    (record,) = [r for r in running.records(kind="rebalance") if r.ref == made.id]
    asked = body_of(record)["asked"]
    assert (asked["model"], asked["targets"]["ACME"]) == ({"name": "target_weights"}, "0.083")
    with pytest.raises(ServiceError) as refused:
        desk.rebalance("A", "T", model="target_weights", targets={"ACME": "0.9", "BETA": "0.2"})
    assert (refused.value.status, refused.value.code) == (422, "bad-targets")


def test_a_library_proposes_in_the_solver_s_process_and_is_named(running, desk):
    swings = ((n, n // 2, n // 3) for n in range(24))
    rows = [[f"{(-1) ** m * size}" for m, size in zip(swing, (0.01, 0.02, 0.03), strict=True)] for swing in swings]
    symbols = ["ACME", "BETA", "COCO"]
    made = desk.rebalance(
        "A", "T", model="risk_parity", invested="0.6", returns={"symbols": symbols, "rows": rows}, symbols=symbols
    )
    assert (made.status, made.outcome["model"]["library"]) == ("done", "Riskfolio-Lib")
    weights = {t["symbol"]: float(t["target_weight"]) for t in made.outcome["targets"]}
    assert sum(weights.values()) == pytest.approx(0.6, abs=1e-8)
    assert weights["ACME"] > weights["BETA"] > weights["COCO"], "the calmer, the more"
    assert "target weights from Riskfolio-Lib" in made.progress


def test_a_report_is_one_page_that_fetches_nothing(running, desk):
    made = desk.rebalance("A", "T")
    answer = running.call("GET", f"/v1/rebalances/{made.id}/report")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for word in ("<script", "<link", "<iframe", 'src="http', "url(http"):
        assert word not in answer.text


def test_a_doubtful_feed_allows_no_rebalance(running, desk):
    gap: dict[str, Any] = {"event_id": f"g{time.time_ns()}", "sequence": 1, "items": []}
    assert running.call("POST", "/v1/prices", gap).status_code == 200
    assert (
        running.call("POST", "/v1/prices", {**gap, "event_id": gap["event_id"] + "x", "sequence": 5}).status_code == 409
    )
    with pytest.raises(ServiceError) as refused:
        desk.rebalance("A", "T")
    assert (refused.value.status, refused.value.code) == (409, "feeds-in-doubt")


def test_a_rebalance_is_read_from_the_ledger_after_a_kill(running, desk, tmp_path):
    made = desk.rebalance("A", "T")
    text = desk.send(calls.certificate(made.id))
    running.kill()
    running.start()
    again = desk.send(calls.get_rebalance(made.id))
    assert (again.status, again.outcome) == (made.status, made.outcome)
    assert desk.send(calls.certificate(made.id)) == text
    assert verified_alone(text.decode(), tmp_path)
