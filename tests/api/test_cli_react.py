"""`lexorder react`: what a person and a program read of a look, and with which exit code."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.cli_react import percent
from lexorder.engine.facts import load_order
from tests.api.commands import Ended, command
from tests.worlds import VOCABULARY, instrument, position, working, world

RULES = """
- rule: crash
  title: A fall closes
  phases: [monitor]
  for_each: instrument
  when: market.return_10s < -2%
  then:
    - set: {trading_state: REDUCING, for: 15 min}
    - exit: {fraction: 50%, price: instrument.bid * 99%, participation: 10%}
    - alert: critical
- rule: poor
  title: Little left
  phases: [monitor]
  for_each: account
  when: account.nav < 1_000
  then:
    - cancel: working_orders
    - reduce: {to: 2}
    - halt: {}
- rule: sizes
  title: A third of what it was
  phases: [monitor]
  for_each: market
  when: market.volatility > 5%
  then:
    - scale: {target: order.quantity, factor: 1/3}
    - cap: {target: order.quantity, at: 7}
- rule: small-orders
  title: At most 10 shares
  require: order.quantity <= 10
"""
CALM = [{"symbol": s, "return_10s": "0%", "volatility": "1%"} for s in ("ACME", "BETA", "COCO")]


def moved(**facts: str) -> list[dict[str, Any]]:
    """The market as it was, but for ACME."""
    return [{**CALM[0], **facts}, *CALM[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/monitor.yaml").write_text(RULES)
    return tmp_path


def reacted(folder: Path, told: Any, *more: str) -> Ended:
    (folder / "S.json").write_text(json.dumps(told))
    return command("react", "--rules", folder / "rules", "--snapshot", folder / "S.json", *more)


def as_json(folder: Path, told: Any, *more: str) -> dict[str, Any]:
    ended = reacted(folder, told, "--format", "json", *more)
    found: dict[str, Any] = json.loads(ended.out)
    return {**found, "code": ended.code}


def test_a_calm_market(folder):
    ended = reacted(folder, world(market=CALM))
    assert (ended.code, ended.out, ended.err) == (0, "CALM  A\n", "")
    found = as_json(folder, world(market=CALM))
    assert (found["effects"], found["exits"], found["cancels"], found["unknown"], found["code"]) == ([], [], [], [], 0)


def test_a_fall(folder):
    ended = reacted(folder, world(market=moved(return_10s="-2.01%"), positions=[position("ACME", 9)]))
    assert ended.code == 1
    assert [line.rstrip() for line in ended.out.splitlines()] == [
        "ACT  A",
        "  instrument ACME  REDUCING for 900 s, exit 50%, alert critical",
        "            by crash",
        "  exit  sell 4 ACME at 99, at most 10% of the volume: approve",
    ]


def test_a_fall_for_a_program(folder):
    found = as_json(folder, world(market=moved(return_10s="-3%"), positions=[position("ACME", 9)]))
    assert found["effects"] == [
        {
            "entity": "instrument",
            "key": "ACME",
            "trading_state": "REDUCING",
            "seconds": "900",
            "exit": {"style": "limit", "fraction": "0.5", "price": "99", "participation": "0.1"},
            "alert": "critical",
            "rules": ["crash"],
        }
    ]
    (out,) = found["exits"]
    assert (out["quantity"], out["price"], out["participation"], out["outcome"]) == ("4", "99", "0.1", "approve")
    assert len(found["rulebook_hash"]) == len(found["snapshot_hash"]) == 64


def test_what_the_document_calls_an_exit_can_be_checked_as_an_order(folder):
    found = as_json(folder, world(market=moved(return_10s="-3%"), positions=[position("ACME", 9)]), "--trader", "T")
    told = {k: v for k, v in found["exits"][0].items() if k not in {"participation", "rules", "outcome"}}
    assert load_order(told, VOCABULARY)["order.quantity"] == 4
    (folder / "O.json").write_text(json.dumps(told))
    ended = command("check", "--rules", folder / "rules", "--snapshot", folder / "S.json", "--order", folder / "O.json")
    assert ended.code == 0


def test_an_exit_that_the_rules_refuse_is_shown_with_the_rule(folder):
    ended = reacted(folder, world(market=moved(return_10s="-3%"), positions=[position("ACME", 22)]))
    assert ended.code == 1
    assert "exit  sell 11 ACME at 99, at most 10% of the volume: reject" in ended.out
    assert "small-orders: At most 10 shares" in ended.out
    assert (
        reacted(folder, world(market=moved(return_10s="-3%"), positions=[position("ACME", 21)])).out.count("reject")
        == 0
    )


def test_an_account_in_trouble(folder):
    waiting = [working("W1", "BETA", "buy", 5)]
    told = world(account={"nav": "999.99"}, market=CALM, working_orders=waiting, positions=[position("COCO", -6)])
    lines = [line.rstrip() for line in reacted(folder, told).out.splitlines()]
    assert lines == [
        "ACT  A",
        "  account A  HALTED, reduce to 2 shares, cancel working orders",
        "            by poor",
        "  exit  buy 4 COCO at 100: approve",
        "  cancel  W1",
    ]
    found = as_json(folder, told)
    assert found["effects"][0]["reduce_to"] == {"shares": "2"}
    assert found["effects"][0]["cancel"] == "working_orders"
    assert found["cancels"] == ["W1"]


def test_a_factor_that_no_decimal_says(folder):
    found = as_json(folder, world(market=moved(volatility="5.01%")))
    assert found["effects"][0]["factors"] == {"order.quantity": "1/3"}
    assert found["effects"][0]["caps"] == {"order.quantity": "7"}
    out = reacted(folder, world(market=moved(volatility="5.01%"))).out
    assert "order.quantity times 1/3, order.quantity at most 7" in out


@pytest.mark.parametrize(
    ("gone", "code", "first"), [("ACME", 4, "CALM, BUT NOT ALL IS KNOWN  A"), (None, 0, "CALM  A")]
)
def test_what_cannot_be_looked_at_is_not_calm(folder, gone, code, first):
    seen = [{k: v for k, v in row.items() if row["symbol"] != gone or k != "return_10s"} for row in CALM]
    ended = reacted(folder, world(market=seen))
    assert ended.code == code
    assert ended.out.splitlines()[0] == first
    assert ("unknown  crash · ACME: market.return_10s of ACME is missing" in ended.out) is (gone is not None)


def test_something_to_do_and_something_unknown(folder):
    seen = [{"symbol": "ACME", "return_10s": "-3%", "volatility": "1%"}, *CALM[1:2]]
    ended = reacted(folder, world(market=seen, positions=[position("ACME", 2)]))
    assert ended.code == 4, "the exit is not all there may be to do"
    assert ended.out.startswith("ACT, BUT NOT ALL IS KNOWN  A")
    assert "exit  sell 1 ACME" in ended.out


class TestMistakes:
    def test_of_several_accounts_one_is_named(self, folder):
        told = world(market=CALM)
        told["accounts"].append({**told["accounts"][0], "id": "B"})
        ended = reacted(folder, told)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("account-missing: ")
        assert "has 2 accounts: say --account" in ended.err
        assert reacted(folder, told, "--account", "B").out == "CALM  B\n"

    @pytest.mark.parametrize(
        ("words", "code"), [(["--account", "C"], "unknown-account"), (["--account", "A<script>"], "unknown-account")]
    )
    def test_an_account_that_is_not_there(self, folder, words, code):
        ended = reacted(folder, world(market=CALM), *words)
        assert ended.code == 2
        assert ended.err.startswith(f"{code}: ")

    @pytest.mark.parametrize("told", [[], "x", 7, None])
    def test_a_file_that_is_no_snapshot(self, folder, told):
        ended = reacted(folder, told)
        assert ended.code == 2
        assert ended.err.startswith("wrong-shape: ")

    def test_files_that_are_not_there(self, folder):
        ended = command("react", "--rules", folder / "rules", "--snapshot", folder / "none.json")
        assert (ended.code, ended.err.split(":")[0]) == (2, "file-unreadable")
        ended = command("react", "--rules", folder / "none", "--snapshot", folder / "none.json")
        assert (ended.code, ended.out) == (2, "")
        assert "file-unreadable" in ended.err


def test_the_shipped_library_by_default(tmp_path):
    (tmp_path / "S.json").write_text(json.dumps(world(instruments=[instrument("ACME")])))
    ended = command("react", "--snapshot", tmp_path / "S.json")
    assert ended.code == 4
    assert "flash-crash-exit" in ended.out


@pytest.mark.parametrize(
    ("ratio", "said"), [(Fraction(1, 10), "10%"), (Fraction(1, 3), "100/3%"), (Fraction(1), "100%")]
)
def test_percent(ratio, said):
    assert percent(ratio) == said
