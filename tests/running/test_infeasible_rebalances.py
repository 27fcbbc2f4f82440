"""A rebalance that the rules make impossible, over the network: which rules, which limits would do, and the proof."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.client import Client, calls
from lexorder.engine.verify import verify
from tests.faults.forking import Forge
from tests.faults.served import PATIENCE_S, Served, body_of
from tests.running.test_rebalances import verified_alone, wish
from tests.worlds import world

CLASHING = """
- rule: floor
  title: At least 60% invested
  phases: [rebalance]
  for_each: account
  require: sum(position.after.value) >= 60% * account.nav
- rule: cap
  title: No issuer above 15% in a rebalance
  phases: [rebalance]
  for_each: issuer
  require: sum(abs(position.after.value)) <= 15% * account.nav
- rule: turnover
  title: Far from binding
  phases: [rebalance]
  for_each: account
  require: sum(order.filled * order.instrument.mark * order.instrument.fx) <= 500% * account.nav
"""
ISSUERS = ("ACME", "BETA", "COCO")
"""At 15% they are 45%, and the floor is 60%."""


@pytest.fixture(scope="module")
def clashing(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Iterator[Served]:
    """A service with these rules alone."""
    service = Served(tmp_path_factory.mktemp("clashing"), forge)
    (service.folder / "rules" / "house.yaml").write_text(CLASHING, encoding="utf-8")
    with service:
        yield service


@pytest.fixture
def desk(clashing: Served) -> Iterator[Client]:
    """A client; account A has 100,000 in cash and may buy ACME, BETA and COCO at 100."""
    day = {"start_of_day_nav": "100000", "peak_nav": "100000"}
    with Client(clashing.address, clashing.key, timeout_s=PATIENCE_S) as client:
        client.send(calls.put_snapshot(world(account=day, signals=[wish(s) for s in ISSUERS])))
        yield client


def clashes(told: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {(row["rule"], row["subject"]): row for row in told}
    assert len(found) == len(told), "each rule once for each subject"
    return found


def test_the_answer_names_the_least_set_of_rules_and_the_smallest_limits_that_would_do(clashing, desk):
    made = desk.rebalance("A", "T", strict=True)
    assert made.status == "infeasible"
    assert made.outcome["outcome"] == "infeasible"
    assert made.outcome["orders"] == []
    told = clashes(made.outcome["conflict"])
    issuers = [("cap", symbol) for symbol in ISSUERS]
    assert set(told) == {("floor", "A"), *issuers}, "nothing that could be left out, the turnover least of all"
    assert told["floor", "A"]["limit"] == "0.6"
    assert told["floor", "A"]["smallest_relaxed_limit"] == "0.45"
    for key in issuers:
        assert (told[key]["limit"], told[key]["smallest_relaxed_limit"]) == ("0.15", "0.3"), "60% less twice 15%"
    assert told["floor", "A"]["title"] == "At least 60% invested"
    assert "60%" in told["floor", "A"]["requirement"]
    assert desk.send(calls.working_orders())["items"] == []


def test_no_rule_of_the_conflict_could_be_left_out(clashing, desk):
    text = desk.send(calls.certificate(desk.rebalance("A", "T", strict=True).id)).decode()
    document = json.loads(text)
    (claim,) = document["claims"]
    problem = document["problem"]
    assert claim["claim"] == "infeasible"
    rows = [problem["rows"][r] for r in claim["rows"]]
    bounds = [(name["lower"], name["upper"]) for name in problem["names"]]
    for left_out in rows:
        rest = [row for row in rows if row is not left_out]
        # The rows are linear here, so if any holdings meet the rest, then some with every name at an end or at its cap.
        assert any(all(meets(row, x) for row in rest) for x in corners(rest, bounds)), left_out["id"]


def value(function: dict[str, Any], x: int) -> int:
    (poly,) = function["polys"]
    return int(poly[0] + poly[1] * x)


def meets(row: dict[str, Any], x: list[int]) -> bool:
    return bool(sum(value(function, x[name]) for name, function in row["functions"]) <= row["limit"])


def corners(rows: list[dict[str, Any]], bounds: list[tuple[int, int]]) -> Iterator[list[int]]:
    """All names at the most that rows about them alone admit, or all at the least."""
    most = [high for _, high in bounds]
    for row in (r for r in rows if len(r["functions"]) == 1):
        ((name, _),) = row["functions"]
        while most[name] > bounds[name][0] and not meets(row, most):
            most[name] -= 1
    yield most
    yield [low for low, _ in bounds]


def test_the_proof_convinces_a_stranger_and_no_changed_copy_does(clashing, desk, tmp_path: Path):
    made = desk.rebalance("A", "T", strict=True)
    text = desk.send(calls.certificate(made.id)).decode()
    assert verified_alone(text, tmp_path)
    assert "no whole-unit holdings in bounds meet together" in " ".join(verify(text).checked)
    document = json.loads(text)
    for row in document["claims"][0]["rows"]:
        eased = json.loads(text)
        eased["problem"]["rows"][row]["limit"] += 1
        assert not verified_alone(json.dumps(eased), tmp_path), "the problem is hashed"
    document["claims"][0]["rows"].pop()
    assert not verified_alone(json.dumps(document), tmp_path), "the conflict needs every one of its rows"


def test_the_ledger_the_stream_and_the_page_say_the_same(clashing, desk):
    made = desk.rebalance("A", "T", strict=True)
    (record,) = [r for r in clashing.records(kind="rebalance") if r.ref == made.id]
    assert body_of(record)["outcome"] == made.outcome
    assert body_of(record)["certificate"] == desk.send(calls.certificate(made.id)).decode()
    told = list(desk.follow(made.id))
    assert (told[-1][0], told[-1][1]["status"]) == ("result", "infeasible")
    assert told[-1][1]["outcome"] == made.outcome
    page = clashing.call("GET", f"/v1/rebalances/{made.id}/report").text
    for word in ("At least 60% invested", "No issuer above 15% in a rebalance", "45.00%", "30.00%"):
        assert word in page, word
    assert "Far from binding" not in page


def test_without_strict_what_can_be_done_is_done_and_the_conflict_is_told_beside_it(clashing, desk):
    made = desk.rebalance("A", "T")
    assert made.status == "done"
    assert {row["rule"] for row in made.outcome["incurable"]} == {"floor", "cap"}
    bought = {row["Symbol"]: int(row["OrderQty"]) for row in made.outcome["orders"]}
    assert bought["ACME"] <= 150
    assert all(quantity <= 150 for quantity in bought.values())
    lines = {(row["rule"], row["subject"]): row for row in made.outcome["headroom"]}
    floor = lines["floor", "A"]
    assert (floor["status_before"], floor["status_after"]) == ("passive", "passive")
    assert Fraction(floor["after"]) >= Fraction(floor["before"]), "an old breach may stay, and get no worse"
    text = desk.send(calls.certificate(made.id)).decode()
    assert [claim["claim"] for claim in json.loads(text)["claims"]] == ["safe", "bound"], "not `end`: a breach remains"
