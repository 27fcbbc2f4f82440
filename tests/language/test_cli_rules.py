"""`lexorder rules …` and how the command ends on an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lexorder.api import cli
from lexorder.api.cli_rules import shipped
from tests.language.conftest import RULEFILES

RULE = """
- rule: max-order-size
  title: No order above a limit
  cite: Desk memo 12
  owner: risk
  let:
    limit:
      2026-01-01: {value: 25_000, cite: memo 12}
      2027-01-01: {value: 20_000, cite: memo 19}
  require: order.quantity <= limit
  tests:
    - {name: at the limit, given: {order: {quantity: 25_000}}, expect: pass}
    - {name: above, given: {order: {quantity: 25_001}}, expect: {fail: hard, max_order: 25_000}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocabulary.yaml").write_text((RULEFILES / "vocabulary.yaml").read_text("utf-8"), "utf-8")
    (tmp_path / "size.yaml").write_text(RULE)
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and everything printed, as `main` gives them."""
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def ended(capsys, monkeypatch, *arguments: object) -> tuple[int, str]:
    """Exit code and output of the whole command, errors included."""
    monkeypatch.setattr("sys.argv", ["lexorder", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    printed = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, printed.out + printed.err


def test_version():
    code, text = run("--version")
    assert code == 0
    assert text.startswith("lexorder 0.")


def test_lint_of_a_clean_folder(folder):
    assert run("rules", "lint", folder) == (0, "1 rule in 1 file: no findings\n")


def test_lint_prints_findings_like_a_compiler(folder):
    (folder / "size.yaml").write_text(RULE.replace("order.quantity", "order.quantiy"))
    code, text = run("rules", "lint", folder)
    assert code == 1
    first, summary = text.splitlines()
    assert first == (
        f"{folder.as_posix()}/size.yaml:10:12: unknown-name: `order.quantiy` is not in the vocabulary; "
        "did you mean `order.quantity`?"
    )
    assert summary == "1 finding in 1 file"


def test_lint_of_one_file_finds_the_vocabulary_above(folder):
    deep = folder / "deep"
    deep.mkdir()
    (deep / "x.yaml").write_text(RULE.replace("max-order-size", "other"))
    assert run("rules", "lint", deep / "x.yaml")[0] == 0


def test_lint_with_another_vocabulary(folder, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text((RULEFILES / "vocabulary.yaml").read_text("utf-8").replace("order.quantity:", "order.amount:"))
    code, text = run("rules", "lint", folder / "size.yaml", "--vocabulary", own)
    assert code == 1
    assert "order.quantity" in text


def test_lint_without_a_vocabulary_nearby_takes_the_shipped_one(tmp_path):
    (tmp_path / "size.yaml").write_text(RULE)
    assert run("rules", "lint", tmp_path)[0] == 0


def test_the_shipped_rules_are_clean():
    code, text = run("rules", "lint", shipped())
    assert code == 0, text


def test_show(folder):
    code, text = run("rules", "show", "max-order-size", "--rules", folder, "--date", "2027-06-01")
    assert code == 0
    assert text.splitlines() == [
        "max-order-size: No order above a limit",
        "",
        "For each order, before each trade.",
        "It must hold that the number of shares ordered is at most 20,000.",
        "A breach blocks the order.",
        "",
        "Limits in force on 2027-06-01:",
        "  limit = 20,000 since 2027-01-01 (memo 19)",
        "Before:",
        "  limit = 25,000 since 2026-01-01 (memo 12)",
        "",
        "Source: Desk memo 12",
        "Owner: risk",
        "",
        "require: order.quantity <= 20_000",
        "class: facts-only, because no name in it depends on fills",
    ]


def test_show_what_is_to_come(folder):
    _, text = run("rules", "show", "max-order-size", "--rules", folder, "--date", "2026-06-01")
    assert "To come:\n  limit = 20,000 since 2027-01-01 (memo 19)\n" in text


def test_show_today_by_default():
    assert run("rules", "show", "restricted-list")[0] == 0


def test_schema_is_json():
    code, text = run("rules", "schema")
    assert code == 0
    assert json.loads(text)["$schema"].startswith("http://json-schema.org/draft-07")


def test_the_inline_tests_of_a_folder(folder):
    code, text = run("rules", "test", folder)
    assert (code, text) == (0, "2 examples of 1 rule: 2 as expected, 0 not; 0 untried\n")


def test_a_failing_inline_test(folder):
    (folder / "size.yaml").write_text(RULE.replace("max_order: 25_000", "max_order: 24_999"))
    code, text = run("rules", "test", folder)
    assert code == 1
    assert "size.yaml:13:7: max-order-size: above: expected max_order 24_999, got 25,000" in text
    assert "1 as expected, 1 not" in text


def test_gaps_fail_only_when_asked(folder):
    (folder / "size.yaml").write_text(RULE.rsplit("    - {name: above", 1)[0])
    code, text = run("rules", "test", folder)
    assert code == 0
    assert "untried: no example in which the rule fails" in text
    assert run("rules", "test", folder, "--strict")[0] == 1


# ---- how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("rules", "show", "max-ordr-size"), "did you mean `max-order-size`?"),
        (("rules", "show", "max-order-size", "--date", "1999-01-01"), "not in force on 1999-01-01"),
        (("rules", "show", "max-order-size", "--date", "yesterday"), "`yesterday` is not a day"),
    ],
)
def test_usage_errors_end_with_two_and_one_line(arguments, part, folder, capsys, monkeypatch):
    code, text = ended(capsys, monkeypatch, *arguments, "--rules", folder)
    assert code == cli.USAGE_ERROR
    assert part in text
    assert "Traceback" not in text
    assert len(text.splitlines()) == 1


def test_a_broken_rule_file_ends_with_two(folder, capsys, monkeypatch):
    (folder / "size.yaml").write_text("- rule: [")
    code, text = ended(capsys, monkeypatch, "rules", "show", "max-order-size", "--rules", folder)
    assert code == cli.USAGE_ERROR
    assert "yaml-syntax" in text
    assert "Traceback" not in text


def test_a_good_command_ends_with_zero(folder, capsys, monkeypatch):
    assert ended(capsys, monkeypatch, "rules", "lint", folder)[0] == 0


def test_an_unknown_command_ends_with_two(capsys, monkeypatch):
    assert ended(capsys, monkeypatch, "rulez")[0] == cli.USAGE_ERROR
