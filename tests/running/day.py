"""One day at the service: every call of the client at least once, as a generator that both clients can drive.

`day(prefix)` yields who calls and what, and is sent the answer. Identifiers begin with `prefix`, so that a service sees
several days. Each answer is compared with what was told before, in the plain words of the test's own arithmetic.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec
import pytest

from lexorder.api import client_calls as calls
from lexorder.api import client_risk_calls as risk
from lexorder.api.client import Batch, Call, Decision, Rebalance, ServiceError, Taken
from lexorder.api.client_models import Verification
from tests.faults.served import furniture
from tests.service.house import RULES
from tests.worlds import instrument, order

Step = tuple[str, Call[Any]]
Day = Generator[Step, Any, None]

ROLES = {"admin": "admin", "risk": "risk_officer", "second": "risk_officer", "trader": "senior_trader"}
"""Who takes part, and in which role."""

TIGHTER = "- rule: {name}\n  title: At most 900 shares\n  require: order.quantity <= 900\n"
PERSON = {"name": "Ada Example", "email": "ada@example.com"}


def day(prefix: str) -> Day:
    """From the morning's snapshot to the evening's proofs."""
    yield from morning(prefix)
    yield from feeds(prefix)
    yield from orders(prefix)
    yield from overrides(prefix)
    yield from limits(prefix)
    yield from rulebooks(prefix)
    yield from rebalances(prefix)
    yield from halts()
    yield from people(prefix)
    yield from evening(prefix)


def morning(_prefix: str) -> Day:
    """The service lives, and is told what there is."""
    assert (yield "trader", risk.healthz()) == {"status": "alive"}
    told = yield "admin", calls.put_snapshot(furniture(4))
    known = yield "risk", calls.snapshot()
    assert (known["snapshot_hash"], known["accounts"], known["instruments"]) == (told["snapshot_hash"], 5, 3)
    ready = yield "trader", risk.readyz()
    assert (ready["status"], ready["doubts"]) == ("ready", {})
    assert (yield "trader", risk.shards())["count"] == 1
    assert b"lexorder_decisions_total" in (yield "risk", risk.metrics())


def feeds(prefix: str) -> Day:
    """One batch of each feed, told twice: taken once, and read back as it was told."""
    holding = {"account": "A1", "symbol": "ACME", "quantity": "7"}
    working = {"id": f"{prefix}-w", "account": "A1", "symbol": "ACME", "side": "buy", "quantity": "9", "price": "100"}
    fill = {"id": f"{prefix}-f", "account": "A1", "symbol": "ACME", "side": "buy", "quantity": "4", "price": "100"}
    entry = {"name": "COCO", "reason": "a deal"}
    signal = {"id": f"{prefix}-s", "symbol": "BETA", "account": "A1", "direction": "long", "timeframe": "1d"}
    signal |= {"expected_return": "2%", "confidence": "80%"}
    told = [
        calls.tell_accounts(f"{prefix}-1", [{"id": "A1", "orders_today": "2"}], traders=[{"id": "T", "role": "bot"}]),
        calls.tell_prices(f"{prefix}-2", [instrument("BETA", "40")]),
        calls.tell_positions(f"{prefix}-3", [holding]),
        calls.tell_working_orders(f"{prefix}-4", [working]),
        calls.tell_fills(f"{prefix}-5", [{**fill, "order": f"{prefix}-w"}]),
        calls.tell_lists(f"{prefix}-6", [{"list": "watch", "entries": [entry]}]),
        calls.tell_signals(f"{prefix}-7", [signal]),
    ]
    told[0].body["traders"][0]["role"] = "senior_trader"
    for call in told:
        for status in ("taken", "repeated"):
            taken = yield "admin", call
            assert isinstance(taken, Taken)
            assert (taken.feed, taken.status) == (call.template.removeprefix("/v1/"), status)
    (account,) = (yield "admin", calls.accounts(account="A1"))["items"]
    assert account["orders_today"] == "2"
    (held,) = (yield "admin", calls.positions(account="A1", symbol="ACME"))["items"]
    assert held["quantity"] == "11", "7 held and 4 filled"
    (left,) = (yield "admin", calls.working_orders(account="A1"))["items"]
    assert left["quantity"] == "5", "9 ordered and 4 filled"
    (filled,) = (yield "admin", calls.fills(account="A1"))["items"]
    assert filled["id"] == f"{prefix}-f"
    (priced,) = (yield "admin", calls.prices(symbol="BETA"))["items"]
    assert priced["mark"] == "40"
    listed = {row["list"]: row for row in (yield "risk", calls.lists())["items"]}
    assert "COCO" in str(listed["watch"])
    (wanted,) = (yield "admin", calls.signals(symbol="BETA"))["items"]
    assert wanted["id"] == f"{prefix}-s"
    stands = {row["feed"]: row for row in (yield "trader", calls.feeds())}
    assert set(stands) == {call.template.removeprefix("/v1/") for call in told}
    assert not any(row["doubt"] for row in stands.values())


def orders(prefix: str) -> Day:
    """On the limit, one share beyond it, and a batch that uses up what there is."""
    good = yield "trader", calls.check_order(order(quantity=100, id=f"{prefix}-o1", account="A0"), key=f"{prefix}-k")
    assert isinstance(good, Decision)
    assert good.approved, good
    assert (good.account, good.orders, good.hash) == ("A0", [f"{prefix}-o1"], "")
    assert msgspec.structs.replace(good, replayed=True) == (
        yield "trader", calls.check_order(order(id=good.orders[0], quantity=100, account="A0"), key=f"{prefix}-k")
    )
    bad = yield "admin", calls.check_order(order(quantity=1001, id=f"{prefix}-o2", account="A0"))
    assert (bad.outcome, len(bad.hash)) == ("reject", 64)
    largest = {finding.rule: finding.max_order for finding in bad.violations}
    # 50% of 100,000 at a price of 100 are 500 shares, of which 100 are ordered.
    assert largest["order-quantity"] == "1000"
    assert largest["issuer-weight"] == "400"
    assert bad.largest_compliant is not None
    assert bad.largest_compliant.quantity == "100", "more needs an override"
    tried = yield "risk", calls.what_if(order(quantity=100, id=f"{prefix}-o3", account="A0"))
    assert tried["decision"]["outcome"] == "approve"
    free = yield "trader", calls.check_order(order(id=f"{prefix}-o4", account="A0"), reserve=False)
    assert free.approved
    rows = [order(quantity=100, id=f"{prefix}-b{n}", account="A2") for n in range(7)]
    batch = yield "trader", calls.check_batch(rows)
    assert isinstance(batch, Batch)
    # 50% of 100,000 at a price of 100 are 500 shares: five orders of 100.
    assert [d.approved for d in batch.decisions] == [True] * 5 + [False] * 2
    assert (batch.count, batch.approved) == (7, 5)
    working = (yield "admin", calls.working_orders())["items"]
    mine = {row["id"] for row in working if row["id"].startswith(f"{prefix}-") and row["account"] != "A1"}
    assert mine == {f"{prefix}-o1", *(f"{prefix}-b{n}" for n in range(5))}


def overrides(prefix: str) -> Day:
    """What somebody must agree to: once granted, once turned down."""
    for name, agree in ((f"{prefix}-x1", True), (f"{prefix}-x2", False)):
        asked = yield "trader", calls.check_order(order(quantity=101, id=name, account="A3"))
        assert asked.outcome == "needs_override"
        request = yield "trader", calls.request_override(name, "client mandate")
        assert [row["id"] for row in (yield "risk", calls.overrides(state="open"))["items"]] == [request["id"]]
        assert (yield "risk", calls.override(request["id"]))["state"] == "open"
        decide = calls.approve_override if agree else calls.reject_override
        yield "risk", decide(request["id"])
        state = (yield "risk", calls.override(request["id"]))["state"]
        assert state == ("granted" if agree else "rejected")
    working = {row["id"] for row in (yield "admin", calls.working_orders(account="A3"))["items"]}
    assert (f"{prefix}-x1" in working, f"{prefix}-x2" in working) == (True, False)


def limits(prefix: str) -> Day:
    """Proposed, approved, changed, turned down, ended: each by two."""
    name = f"{prefix}-cap"
    body = {"kind": "position-value", "values": {"2026-01-01": "36000"}, "severity": "warn"}
    yield "risk", risk.create_limit({"id": name, **body})
    yield "second", risk.approve_limit(name)
    used = yield "risk", risk.check_limit(name)
    assert used["items"], "some account has a position"
    yield "risk", risk.update_limit(name, {**body, "values": {"2026-01-01": "37000"}})
    yield "second", risk.reject_limit(name, "no")
    one = yield "risk", risk.limit(name)
    assert one["id"] == name
    assert name in str((yield "trader", risk.limits()))
    assert (yield "risk", risk.limit_history(name))
    yield "risk", risk.retire_limit(name, "over")
    yield "second", risk.approve_limit(name)
    assert (yield "risk", risk.breaches(account="A0"))["count"] == 0


def rulebooks(prefix: str) -> Day:
    """A tighter book decides from the moment that a second person agreed; then the old one again."""
    files = {"a.yaml": RULES, "b.yaml": TIGHTER.format(name=f"{prefix}-tighter")}
    linted = yield "risk", risk.lint_rules("x", {"a.yaml": "- rule: y\n  title: t\n  require: ordr.quantity <= 3\n"})
    assert "order" in str(linted), "the nearest name"
    before = (yield "trader", risk.active_rulebook())["in_force"]
    book = yield "risk", risk.upload_rulebook(f"book of {prefix}", files)
    identifier = book["id"]
    assert identifier in str((yield "trader", risk.rulebooks()))
    assert (yield "risk", risk.rulebook(identifier))["texts"] == files
    yield "risk", risk.lint_rulebook(identifier)
    tested = yield "risk", risk.test_rulebook(identifier)
    assert tested, "its examples pass"
    yield "risk", risk.activate_rulebook(identifier)
    yield "second", risk.reject_rulebook(identifier, "not yet")
    assert (yield "trader", risk.active_rulebook())["in_force"] == before
    yield "risk", risk.activate_rulebook(identifier, "once more")
    yield "second", risk.approve_rulebook(identifier)
    after = (yield "trader", risk.active_rulebook())["in_force"]
    assert after != before
    assert identifier in str((yield "trader", risk.rulebook_history()))
    refused = yield "admin", calls.check_order(order(quantity=901, id=f"{prefix}-r1", account="A0"))
    assert f"{prefix}-tighter" in {finding.rule for finding in refused.violations}
    assert refused.rulebook_hash == after
    old = yield "risk", risk.upload_rulebook(f"old book of {prefix}", {"a.yaml": RULES})
    yield "risk", risk.test_rulebook(old["id"])
    yield "risk", risk.activate_rulebook(old["id"])
    yield "second", risk.approve_rulebook(old["id"])


def rebalances(prefix: str) -> Day:
    """A signal to orders with a certificate that the service's own verifier takes, and refuses when changed."""
    yield (
        "admin",
        calls.tell_accounts(f"{prefix}-r1", [{"id": "A1", "start_of_day_nav": "100000", "peak_nav": "100000"}]),
    )
    made = yield "trader", calls.rebalance("A1", "T", wait=True)
    assert isinstance(made, Rebalance)
    assert (made.account, made.status) == ("A1", "done"), made.outcome
    assert made.id in {row["id"] for row in (yield "risk", calls.rebalances())["items"]}
    assert (yield "trader", calls.get_rebalance(made.id)).outcome == made.outcome
    whole = (yield "risk", calls.get_rebalance(made.id)).outcome
    assert (whole["orders"], len(whole["snapshot_hash"])) == (made.outcome["orders"], 64)
    assert "snapshot_hash" not in made.outcome, "who trades reads no hash to try names against"
    with pytest.raises(ServiceError, match="already-ended"):
        yield "trader", calls.cancel_rebalance(made.id)
    told = yield "risk", calls.follow_rebalance(made.id)
    assert told.count(b"event: progress") == len(made.progress)
    assert told.count(b"event: result") == 1
    text = (yield "risk", calls.certificate(made.id)).decode()
    said = yield "trader", calls.verify_certificate(text)
    assert isinstance(said, Verification)
    assert said.valid, said.verifier
    assert not (yield "trader", calls.verify_certificate(text.replace("ACME", "AMCE"))).valid
    assert (yield "risk", calls.report(made.id)).lstrip().lower().startswith(b"<!doctype html")


def halts() -> Day:
    """Stopped by a trader, resumed by a risk officer."""
    yield "trader", risk.kill("account", "A0", "runaway")
    stopped = yield "trader", calls.check_order(order(side="sell", account="A0"), reserve=False)
    assert stopped.outcome == "reject"
    assert "A0" in str((yield "trader", risk.trading_states()))
    yield "risk", risk.set_trading_state("account", "ACTIVE", "explained", "A0")
    resumed = yield "trader", calls.check_order(order(account="A0"), reserve=False)
    assert resumed.approved


def people(prefix: str) -> Day:
    """Persons sealed and read; a key made, listed and taken back."""
    yield "admin", risk.put_account_person("A0", PERSON)
    assert (yield "risk", risk.account_person("A0"))["name"] == PERSON["name"]
    yield "admin", risk.put_trader_person("T", {"name": "Bob Example"})
    assert (yield "risk", risk.trader_person("T"))["name"] == "Bob Example"
    asked = {"role": "observer", "name": f"{prefix} board", "owner": "ops@example.com", "lifetime_s": 3600}
    key = yield "admin", risk.create_key(asked)
    assert key["key"].startswith("lx_")
    assert key["key"] not in str((yield "admin", risk.keys()))
    assert (yield "admin", risk.revoke_key(key["id"]))["revoked"]


def evening(prefix: str) -> Day:
    """What was decided is in the ledger, under its head."""
    found = (yield "trader", risk.decisions(order=f"{prefix}-o1"))["items"]
    assert [row["outcome"] for row in found] == ["approve"]
    again = yield "trader", risk.decision(found[0]["id"])
    assert again["decision"]["orders"] == [f"{prefix}-o1"]
    size = (yield "trader", risk.ledger_head())["size"]
    seq = int(found[0]["id"].split("-")[1])
    assert seq < size
    assert (yield "trader", risk.ledger_proof(seq, size))
    assert (yield "trader", risk.ledger_consistency(seq + 1, size))
    assert (yield "risk", risk.verify_ledger())["ok"]
