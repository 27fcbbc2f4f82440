"""`lexorder rebalance` as a user runs it: files in, a folder and an exit code out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lexorder.api import cli
from lexorder.api.cli_rebalance import moment_of
from lexorder.api.name_lists import lists_in
from lexorder.api.tabular import read_table
from lexorder.engine.errors import LexorderError, SnapshotError, UsageError
from lexorder.engine.verify import verify

CAP = """
- rule: cap
  title: No issuer above 20%
  phases: [pre_trade, rebalance]
  for_each: issuer
  require: sum(position.after.value) <= 20% * account.nav
"""
FLOOR = """
- rule: floor
  title: At least half is invested
  phases: [rebalance]
  for_each: account
  require: sum(position.after.value) >= 50% * account.nav
"""
FILES = {
    "rules.yaml": CAP,
    "portfolio.csv": "symbol,quantity\nACME,5\nCASH,950\n",
    "prices.csv": "symbol,mark\nACME,10\nBETA,10\n",
    "reference.csv": "symbol,issuer,sector\nACME,ACME,Left\nBETA,BETA,Right\n",
    "signals.csv": "symbol,expected_return,confidence\nACME,0.05,0.9\nBETA,0.01,0.9\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def arguments(folder: Path, *more: str, **instead: str) -> list[str]:
    names = {n: str(folder / f"{n}.csv") for n in ("portfolio", "prices", "signals", "reference")}
    names |= {"rules": str(folder / "rules.yaml"), "out": str(folder / "out"), "date": "2026-06-15"} | instead
    return ["rebalance", *(part for name, value in names.items() for part in (f"--{name}", value)), *more]


def run(*given: str) -> tuple[int, str]:
    """Exit code and everything printed, errors as `main` words them."""
    result = CliRunner().invoke(cli.app, list(given))
    if isinstance(result.exception, LexorderError):
        return 2, f"{result.exception.code}: {result.exception.message}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_orders_certificate_report_and_decisions_are_written(folder):
    code, said = run(*arguments(folder))
    assert code == 0, said
    assert "VALID" in said
    out = folder / "out"
    assert verify((out / "certificate.json").read_text()).valid
    with (out / "orders.csv").open() as file:
        orders = list(csv.DictReader(file))
    assert {(o["Symbol"], o["Side"]) for o in orders} >= {("ACME", "1")}
    assert json.loads((out / "orders.json").read_text())["orders"] == orders
    assert json.loads((out / "decisions" / "wave-1.json").read_text())["outcome"] == "approve"
    assert "<svg" in (out / "report.html").read_text()


def test_a_conflict_is_exit_code_one_and_leaves_no_orders(folder):
    run(*arguments(folder))
    (folder / "rules.yaml").write_text(CAP + FLOOR)
    code, said = run(*arguments(folder, "--strict"))
    assert code == 1, said
    assert "INFEASIBLE" in said
    assert "floor" in said
    out = folder / "out"
    assert not (out / "orders.json").exists()
    assert not list((out / "decisions").iterdir())
    document = json.loads((out / "infeasible.json").read_text())
    assert {c["rule"] for c in document["conflict"]} == {"cap", "floor"}
    assert "INFEASIBLE" in (out / "report.html").read_text()
    assert verify((out / "certificate.json").read_text()).valid


def test_a_json_portfolio_with_working_orders(folder):
    working = [{"id": "W-1", "symbol": "BETA", "side": "buy", "quantity": "2", "price": "10"}]
    document = {
        "account": {"cash": "950"},
        "positions": [{"symbol": "ACME", "quantity": "5"}],
        "working_orders": working,
    }
    (folder / "portfolio.json").write_text(json.dumps(document))
    code, said = run(*arguments(folder, portfolio=str(folder / "portfolio.json")))
    assert code == 0, said
    orders = json.loads((folder / "out" / "orders.json").read_text())["orders"]
    assert {o["Symbol"] for o in orders} == {"ACME"}


def test_a_price_history_gives_marks_returns_and_pairs(folder):
    days = [f"2026-05-{d:02d},{10 + d % 3},{20 - d % 4}" for d in range(1, 29)]
    (folder / "prices.csv").write_text("\n".join(["date,ACME,BETA", *days, "2026-06-12,10,10"]) + "\n")
    code, said = run(*arguments(folder))
    assert code == 0, said


def test_a_missing_fact_is_undecided_and_writes_nothing(folder):
    (folder / "reference.csv").write_text("symbol,sector\nACME,Left\nBETA,Right\n")
    code, said = run(*arguments(folder))
    assert code == 4
    assert "UNDECIDED" in said
    assert not (folder / "out").exists()


BAD = [
    ("portfolio.csv", "symbol,quantity\nACME,5x\nCASH,950\n", r"portfolio.csv: row 2, column `quantity`"),
    ("portfolio.csv", "symbol,quantity\nCASH,950\nACME,5x\n", r"portfolio.csv: row 3, column `quantity`"),
    ("portfolio.csv", "symbol,quantity\nACME,5\n", "needs one row `CASH`"),
    ("portfolio.csv", "symbol,quantity\nGONE,5\nCASH,950\n", r"portfolio.csv: row 2, column `symbol`: has no price"),
    ("portfolio.csv", "symbol,quantity\nACME,5,7\nCASH,950\n", r"row 2: has 3 cells where there are 2 columns"),
    ("portfolio.csv", "symbol,shares\nACME,5\nCASH,950\n", "has no column `quantity`"),
    ("portfolio.csv", "symbol,quantity,quantity\nACME,5,5\n", "has the column `quantity` twice"),
    ("portfolio.csv", "symbol,quantity\n", "at least one row"),
    ("portfolio.csv", "symbol,quantity,colour\nACME,5,red\nCASH,950,\n", r"row 2: `colour` is not a name of position"),
    ("prices.csv", "symbol,mark\nACME,ten\nBETA,10\n", r"(prices.csv: row 2|portfolio.csv: row 2)"),
    ("prices.csv", "symbol,mark\nACME,10\nBETA,10.00001\n", r"prices.csv: row 3, column `mark`: has more than 4"),
    ("prices.csv", "name,price\nACME,10\n", "needs the columns `symbol` and `mark`"),
    ("prices.csv", "date,ACME,BETA\n2026-06-11,10,10\n2026-06-12,10,\n", r"row 3, column `BETA`: is not a price"),
    ("signals.csv", "symbol,expected_return,confidence\nACME,0.05,1.5\n", r"signals.csv: row 2, column `confidence`"),
    ("signals.csv", "symbol,expected_return,confidence\nNOPE,0.05,0.5\n", "unknown instrument"),
    ("signals.csv", "symbol,expected_return\nACME,0.05\n", "has no column `confidence`"),
]


@pytest.mark.parametrize(("file", "text", "expected"), BAD)
def test_bad_files_are_told_by_file_row_and_column(folder, file, text, expected):
    (folder / file).write_text(text)
    code, said = run(*arguments(folder))
    assert code == 2
    import re

    assert re.search(expected, said), said


def test_files_that_are_not_there_or_not_text(folder):
    code, said = run(*arguments(folder, portfolio=str(folder / "nowhere.csv")))
    assert (code, "cannot be read" in said) == (2, True)
    (folder / "portfolio.csv").write_bytes(b"symbol,quantity\n\xff\xfe,1\n")
    code, said = run(*arguments(folder))
    assert (code, "UTF-8" in said) == (2, True)
    (folder / "portfolio.json").write_text("{")
    code, said = run(*arguments(folder, portfolio=str(folder / "portfolio.json")))
    assert (code, "portfolio.json" in said) == (2, True)


@pytest.mark.parametrize(
    "document", ["[]", '{"account": {}}', '{"account": {}, "positions": []}', '{"account": [], "positions": []}']
)
def test_json_portfolios_of_another_shape_are_refused(folder, document):
    (folder / "portfolio.json").write_text(document)
    assert run(*arguments(folder, portfolio=str(folder / "portfolio.json")))[0] == 2


def test_a_folder_that_cannot_be_written_is_refused(folder):
    (folder / "out").write_text("a file")
    code, said = run(*arguments(folder))
    assert (code, "cannot be written" in said) == (2, True)


@pytest.mark.parametrize(("day", "clock"), [("2026-13-01", "12:00"), ("2026-06-15", "noon"), ("tomorrow", "12:00")])
def test_dates_and_times_that_are_none(day, clock):
    with pytest.raises(UsageError, match="YYYY-MM-DD"):
        moment_of(day, clock)


def test_the_moment_is_new_yorks():
    assert moment_of("2026-06-15", "12:00") == "2026-06-15T12:00:00-04:00"
    assert moment_of("2026-01-15", "09:45") == "2026-01-15T09:45:00-05:00"


def test_lists_keep_their_dates_for_the_engine(tmp_path):
    (tmp_path / "a.csv").write_text(
        "list,name,kind,from,until,reason\n"
        "restricted,ACME,,2026-01-01,2026-06-01,x\nwatch,Beta Ltd,issuer,2026-02-01,,y\n"
    )
    first = {"name": "ACME", "from": "2026-01-01", "until": "2026-06-01", "reason": "x", "elsewhere": True}
    second = {"name": "Beta Ltd", "kind": "issuer", "from": "2026-02-01", "reason": "y"}
    assert lists_in(tmp_path) == {"restricted": [first], "watch": [second]}
    assert lists_in(tmp_path / "none") == {}


def test_a_folder_with_a_file_states_that_nobody_is_listed(tmp_path):
    (tmp_path / "a.csv").write_text("list,name,from\n")
    assert lists_in(tmp_path) == {"restricted": [], "watch": []}


@pytest.mark.parametrize("row", ["restricted,ACME,soon,,x", "restricted,,2026-01-01,,x", "restricted,ACME,,,x"])
def test_bad_list_rows_are_refused(tmp_path, row):
    (tmp_path / "a.csv").write_text(f"list,name,from,until,reason\n{row}\n")
    with pytest.raises(SnapshotError, match="row 2"):
        lists_in(tmp_path)


def test_unknown_columns_come_with_the_nearest(tmp_path):
    (tmp_path / "a.csv").write_text("list,name,form\n")
    (tmp_path / "a.csv").write_text("list,nane\nx,y\n")
    with pytest.raises(SnapshotError, match="did you mean `name`"):
        read_table(tmp_path / "a.csv", known=("list", "name"))


def test_a_restricted_name_beside_the_rules_is_not_traded(folder):
    rules = folder / "book"
    (rules / "lists").mkdir(parents=True)
    stay = (
        "- rule: restricted\n  title: Restricted names stay\n  phases: [pre_trade, rebalance]\n  for_each: position\n"
        "  when: position.symbol in lists.restricted\n  require: position.after.quantity == position.before.quantity\n"
    )
    (rules / "r.yaml").write_text(CAP + stay)
    (rules / "lists" / "l.csv").write_text("list,name,from,until,reason\nrestricted,ACME,2026-01-01,,x\n")
    (rules / "vocabulary.yaml").write_text((Path(cli.__file__).parent.parent / "rules" / "vocabulary.yaml").read_text())
    code, said = run(*arguments(folder, rules=str(rules)))
    assert code == 0, said
    orders = json.loads((folder / "out" / "orders.json").read_text())["orders"]
    assert {o["Symbol"] for o in orders} <= {"BETA"}
