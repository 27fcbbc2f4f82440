"""`lexorder check`: exit codes, both formats, clean messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lexorder.api import cli
from lexorder.engine.errors import LexorderError
from tests.worlds import instrument, order, world

RULES = """
- rule: hard-limit
  title: At most 10
  require: order.quantity <= 10
- rule: soft-limit
  title: At most 5
  severity: soft
  override: {roles: [risk_officer]}
  require: order.quantity <= 5
- rule: volume
  title: At most 1% of volume
  require: order.quantity <= 1% * instrument.adv
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/limits.yaml").write_text(RULES)
    return tmp_path


def run(folder: Path, orders: Any, document: Any = None, *more: str) -> Result:
    (folder / "S.json").write_text(json.dumps(document or world()))
    (folder / "O.json").write_text(json.dumps(orders))
    where = ["--rules", str(folder / "rules"), "--snapshot", str(folder / "S.json"), "--order", str(folder / "O.json")]
    return CliRunner().invoke(cli.app, ["check", *where, *more])


def without_volume() -> dict[str, Any]:
    bare = instrument("ACME")
    del bare["adv"]
    return world(instruments=[bare])


@pytest.mark.parametrize("more", [(), ("--reference",)], ids=["production", "reference"])
@pytest.mark.parametrize(("quantity", "code"), [(5, 0), (6, 3), (10, 3), (11, 1)])
def test_exit_codes(folder: Path, quantity: int, code: int, more: tuple[str, ...]) -> None:
    assert run(folder, order(quantity=quantity), None, *more).exit_code == code


def test_undecided_is_4(folder: Path) -> None:
    assert run(folder, order(quantity=1), without_volume()).exit_code == 4


def test_the_strictest_of_several_accounts_decides_the_code(folder: Path) -> None:
    document = world()
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    answer = run(folder, [order(quantity=1), order(quantity=11, account="B")], document, "--format", "json")
    assert answer.exit_code == 1
    assert [d["outcome"] for d in json.loads(answer.stdout)] == ["approve", "reject"]


def test_orders_of_one_account_are_decided_together(folder: Path) -> None:
    answer = run(folder, [order(quantity=1, id="1"), order(quantity=6, id="2")], None, "--format", "json")
    document = json.loads(answer.stdout)
    assert (answer.exit_code, document["orders"]) == (3, ["1", "2"])


def test_json_has_amounts_as_text_and_the_hashes(folder: Path) -> None:
    document = json.loads(run(folder, order(quantity=11), None, "--format", "json").stdout)
    assert document["outcome"] == "reject"
    assert document["largest_compliant"] == {"quantity": "5", "binding": ["soft-limit"], "note": ""}
    assert [(v["rule"], v["observed"], v["limit"], v["margin"]) for v in document["violations"]] == [
        ("hard-limit", "11", "10", "-1"),
        ("soft-limit", "11", "5", "-6"),
    ]
    assert all(len(document[name]) == 64 for name in ("hash", "rulebook_hash", "snapshot_hash"))


def test_text_names_the_rules(folder: Path) -> None:
    text = run(folder, order(quantity=11)).stdout
    assert text.startswith("REJECT")
    assert "hard-limit" in text
    assert "Largest compliant quantity: 5; stopped by soft-limit" in text


WATCHED = """
- rule: watched-names
  title: Trades in watched names are reported
  severity: warn
  audience: compliance
  require: order.symbol not in lists.watch
- rule: restricted-names
  title: Restricted names are not traded
  require: order.symbol not in lists.restricted
"""
SECRETS = {"watch": ["ACME"], "restricted": [{"name": "BETA", "until": "2026-07-01", "reason": "Pending merger"}]}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("more", [(), ("--reference",)], ids=["production", "reference"])
def test_a_trader_reads_no_watch_and_no_reason(folder: Path, form: str, more: tuple[str, ...]) -> None:
    (folder / "rules/lists.yaml").write_text(WATCHED)
    document = world(lists=SECRETS)
    view = None
    for symbol, code in (("ACME", 0), ("BETA", 1)):
        full = run(folder, order(symbol=symbol), document, "--format", form, *more)
        view = run(folder, order(symbol=symbol), document, "--format", form, "--audience", "trader", *more)
        assert full.exit_code == view.exit_code == code
        assert ("watched-names" if symbol == "ACME" else "Pending merger") in full.stdout
        for secret in ("watched-names", "Pending merger"):
            assert secret not in view.stdout
    assert view is not None
    assert "restricted-names" in view.stdout


def test_nobody_else_is_an_audience(folder: Path) -> None:
    assert run(folder, order(), None, "--audience", "press").exit_code == 2


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda f: (f / "S.json").write_text("{"), "json-syntax"),
        (lambda f: (f / "S.json").write_text("[]"), "wrong-shape"),
        (lambda f: (f / "O.json").unlink(), "file-unreadable"),
        (lambda f: (f / "O.json").write_text("[]"), "no-orders"),
        (lambda f: (f / "O.json").write_text('{"id": "1"}'), "missing-key"),
        (
            lambda f: (f / "rules/limits.yaml").write_text("- rule: x\n  title: X\n  require: order.quantty <= 1\n"),
            "unknown-name",
        ),
    ],
)
def test_bad_input_has_a_code_and_no_traceback(
    folder: Path, spoil: Any, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, order(quantity=1))
    spoil(folder)
    where = ["--rules", str(folder / "rules"), "--snapshot", str(folder / "S.json"), "--order", str(folder / "O.json")]
    failed = CliRunner().invoke(cli.app, ["check", *where])
    assert isinstance(failed.exception, LexorderError)
    assert failed.exception.code == code


def test_main_turns_errors_into_a_message_and_code_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lexorder", "check", "--snapshot", str(folder / "none.json"), "--order", str(folder / "none.json")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("file-unreadable: ")
    assert "Traceback" not in said


def test_a_defect_is_no_traceback_and_no_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 4
    said = capsys.readouterr().err
    assert said.startswith("internal-error: ZeroDivisionError; nothing was approved.")
    assert "secret" not in said
