"""Files to a snapshot: exact amounts, a net asset value worked out by other means, and the place of every mistake."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexorder.api.rebalance_files import Given, Paths, read
from lexorder.engine.errors import LexorderError, SnapshotError
from tests.worlds import VOCABULARY

TIME = "2026-06-15T12:00:00-04:00"
GOOD = {
    "portfolio.csv": "symbol,quantity\nACME,5\nCASH,950\n",
    "prices.csv": "symbol,mark\nACME,10\nBETA,10\n",
    "reference.csv": "symbol,issuer,sector\nACME,ACME,Left\nBETA,BETA,Right\n",
    "signals.csv": "symbol,expected_return,confidence\nACME,0.05,0.9\nBETA,-0.01,0.9\n",
}
SHARED = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in GOOD.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def taken(folder: Path, **instead: str) -> Given:
    """What the files hold; `instead` names others."""
    names = {kind: folder / instead.get(kind, f"{kind}.csv") for kind in ("portfolio", "prices", "signals")}
    more = {kind: folder / name for kind, name in instead.items() if kind not in names}
    reference = {"reference": folder / "reference.csv"} if "reference" not in instead else {}
    return read(Paths(**names, **reference, **more), VOCABULARY, TIME, account="A1", trader="T", role="algorithm")


def account(found: Given) -> dict[str, Any]:
    """Its account's facts."""
    return dict(found.snapshot.accounts[found.account])


# ---- what is taken over ------------------------------------------------------------------------------

HOLDINGS = st.lists(
    st.tuples(st.integers(-10_000, 10_000), st.integers(1, 10**8)), min_size=0, max_size=5
)  # shares, and marks in ten-thousandths


@SHARED
@given(held=HOLDINGS, cents=st.integers(-(10**9), 10**9), cash_at=st.integers(0, 5))
def test_net_assets_are_cash_and_holdings_at_their_marks_to_the_last_digit(
    folder: Path, held: list[tuple[int, int]], cents: int, cash_at: int
):
    names = [f"N{n}" for n in range(len(held))]
    cash = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
    rows = [f"{name},{shares}" for name, (shares, _) in zip(names, held, strict=True)]
    rows.insert(min(cash_at, len(rows)), f"CASH,{cash}")
    (folder / "portfolio.csv").write_text("symbol,quantity\n" + "\n".join(rows) + "\n")
    marks = [f"{name},{mark // 10_000}.{mark % 10_000:04d}" for name, (_, mark) in zip(names, held, strict=True)]
    (folder / "prices.csv").write_text("symbol,mark\n" + "\n".join([*marks, "ACME,10", "BETA,10"]) + "\n")
    expected = Fraction(cents, 100) + sum(Fraction(shares * mark, 10_000) for shares, mark in held)
    if expected <= 0:  # the vocabulary: net assets divide, so they are above zero
        with pytest.raises(SnapshotError, match="account"):
            taken(folder)
        return
    facts = account(taken(folder))
    assert facts["account.nav"] == expected
    assert facts["account.cash"] == facts["account.buying_power"] == Fraction(cents, 100)
    for name in ("total_assets", "equity", "start_of_day_nav", "peak_nav"):
        assert facts[f"account.{name}"] == expected


def test_what_the_portfolio_says_is_not_worked_out(folder: Path):
    facts = {"cash": "1", "nav": "777.77", "equity": "600", "buying_power": "5"}
    document = {"account": facts, "positions": [{"symbol": "ACME", "quantity": "5"}]}
    (folder / "p.json").write_text(json.dumps(document))
    found = account(taken(folder, portfolio="p.json"))
    assert found["account.nav"] == Fraction("777.77")
    assert (found["account.equity"], found["account.buying_power"]) == (600, 5)
    assert found["account.total_assets"] == Fraction("777.77")


def test_signals_are_named_and_directed_by_the_sign_of_what_they_expect(folder: Path):
    signals = taken(folder).snapshot.signals
    assert [(s["signal.symbol"], s["signal.direction"]) for s in signals] == [("ACME", "long"), ("BETA", "short")]
    assert len({s["signal.id"] for s in signals}) == 2
    assert {s["signal.account"] for s in signals} == {"A1"}


def test_reference_data_adds_to_prices_and_wins_nothing_over_them(folder: Path):
    (folder / "prices.csv").write_text("symbol,mark,sector\nACME,10,Mine\nBETA,10,Mine\n")
    found = taken(folder).snapshot.instruments
    assert {found[name]["instrument.sector"] for name in ("ACME", "BETA")} == {"Mine"}
    assert found["ACME"]["instrument.issuer"] == "ACME"


# ---- histories ---------------------------------------------------------------------------------------


def history(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    """A price history of ACME and BETA."""
    (folder / "prices.csv").write_text("\n".join(["date,ACME,BETA", *map(",".join, rows)]) + "\n")


def test_the_last_row_of_a_history_is_the_mark_exactly_and_the_rest_are_returns(folder: Path):
    closes = [("10", "20"), ("11", "19"), ("10.5", "21"), ("12.3456", "20.0001")]
    history(folder, [(f"2026-06-{n + 8:02d}", a, b) for n, (a, b) in enumerate(closes)])
    found = taken(folder)
    marks = {name: facts["instrument.mark"] for name, facts in found.snapshot.instruments.items()}
    assert marks == {"ACME": Fraction("12.3456"), "BETA": Fraction("20.0001")}
    assert found.returns is not None
    expected = [[float(b[k]) / float(a[k]) - 1 for k in (0, 1)] for a, b in pairwise(closes)]
    for row, ours in zip(found.returns.to_numpy().tolist(), expected, strict=True):
        assert all(math.isclose(x, y, rel_tol=1e-12) for x, y in zip(row, ours, strict=True))


def test_names_that_move_together_are_pairs_and_others_are_not(folder: Path):
    ups = [100, 103, 101, 106, 104, 109, 105]
    same = [(f"2026-06-{n + 1:02d}", str(v), str(2 * v)) for n, v in enumerate(ups)]
    history(folder, same)
    (pair,) = taken(folder).snapshot.pairs
    assert {pair["pair.first"], pair["pair.second"]} == {"ACME", "BETA"}
    history(folder, [(day, a, str(300 - int(a))) for day, a, _ in same])
    assert list(taken(folder).snapshot.pairs) == []


@pytest.mark.parametrize(
    ("days", "code", "row"),
    [
        (["2026-06-12", "2026-06-11"], "not-in-order", 3),
        (["2026-06-12", "2026-06-12"], "not-in-order", 3),
        (["2026-06-10", "2026-06-12", "2026-06-11"], "not-in-order", 4),
        (["2026-06-10", "yesterday"], "bad-value", 3),
        (["06/10/2026", "06/11/2026"], "bad-value", 2),
        (["2026-06-10", ""], "bad-value", 3),
        (["2026-02-30", "2026-06-12"], "bad-value", 2),
    ],
)
def test_a_history_that_is_not_from_old_to_new_is_refused(folder: Path, days: list[str], code: str, row: int):
    """With the newest first, as many sources write it, the oldest prices would be taken for today's."""
    history(folder, [(day, "10", "10") for day in days])
    with pytest.raises(SnapshotError) as refused:
        taken(folder)
    assert refused.value.code == code
    assert f"prices.csv: row {row}, column `date`" in refused.value.message


@pytest.mark.parametrize("cell", ["", "0", "-1", "nan", "inf", "1e13", "ten", "1,5"])
def test_a_price_that_is_none_is_told_by_its_cell(folder: Path, cell: str):
    history(folder, [("2026-06-11", "10", "10"), ("2026-06-12", "10", f'"{cell}"' if "," in cell else cell)])
    with pytest.raises(SnapshotError, match="row 3, column `BETA`: is not a price"):
        taken(folder)


ODD = ["1_000", "1e3", "1E3", "+10", " .5", "5.", "007", "0x10", "\uff11\uff10", "5%", "NaN", "1/2", "10 USD"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("portfolio.csv", "symbol,quantity\nACME,{}\nCASH,950\n"),
        ("portfolio.csv", "symbol,quantity\nACME,5\nCASH,{}\n"),
        ("prices.csv", "symbol,mark\nACME,{}\nBETA,10\n"),
        ("prices.csv", "date,ACME,BETA\n2026-06-10,10,{}\n2026-06-11,10,10\n"),
        ("prices.csv", "date,ACME,BETA\n2026-06-10,10,10\n2026-06-11,10,{}\n"),
        ("returns.csv", "date,ACME,BETA\n2026-06-11,0.01,{}\n2026-06-12,-0.5,0.25\n"),
    ],
)
def test_a_number_is_written_as_everywhere(folder: Path, file: str, text: str, odd: str):
    (folder / file).write_text(text.format(odd), "utf-8")
    with pytest.raises(SnapshotError) as refused:
        taken(folder, **({"returns": file} if file == "returns.csv" else {}))
    assert refused.value.code == "bad-value"
    assert file in refused.value.message


def test_a_mark_that_is_too_fine_is_told_in_the_last_row_of_its_history(folder: Path):
    history(folder, [("2026-06-11", "10", "10"), ("2026-06-12", "10", "10.00001")])
    with pytest.raises(SnapshotError, match=r"prices\.csv: row 3"):
        taken(folder)


def test_returns_may_be_given_beside_prices(folder: Path):
    (folder / "r.csv").write_text("date,ACME,BETA\n2026-06-11,0.01,-0.02\n2026-06-12,-0.5,0.25\n")
    found = taken(folder, returns="r.csv").returns
    assert found is not None
    assert found.to_numpy().tolist() == [[0.01, -0.02], [-0.5, 0.25]]
    (folder / "r.csv").write_text("date,ACME,BETA\n2026-06-11,0.01,high\n")
    with pytest.raises(SnapshotError, match=r"r\.csv: row 2, column `BETA`: is not a return"):
        taken(folder, returns="r.csv")


# ---- mistakes and their places -----------------------------------------------------------------------

MISTAKES = [
    ("portfolio.csv", "symbol,quantity\nACME,5\nCASH,950\nBETA,x\n", "portfolio.csv: row 4, column `quantity`"),
    ("portfolio.csv", "symbol,quantity\nCASH,950\nBETA,x\n", "portfolio.csv: row 3, column `quantity`"),
    ("portfolio.csv", "symbol,quantity\nBETA,1\nACME,x\nCASH,950\n", "portfolio.csv: row 3, column `quantity`"),
    ("portfolio.csv", "symbol,quantity\nACME,5\nCASH,950\nGONE,1\n", "portfolio.csv: row 4, column `symbol`"),
    ("portfolio.csv", "symbol,quantity\nACME,5\nCASH,950\nCASH,1\n", "needs one row `CASH`"),
    ("portfolio.csv", "symbol,quantity\nACME,5\nACME,5\nCASH,950\n", "portfolio.csv: row 3"),
    ("portfolio.csv", "symbol,quantity\nACME,5\nCASH,lots\n", "`CASH`|cash"),
    ("portfolio.csv", "symbol,quantity\nacme,5\nCASH,950\n", "portfolio.csv: row 2, column `symbol`"),
    ("portfolio.csv", "symbol,quantity\nACME,٥\nCASH,950\n", "portfolio.csv: row 2, column `quantity`"),
    ("portfolio.csv", "symbol,quantity\nACME,1e3\nCASH,950\n", "portfolio.csv: row 2, column `quantity`"),
    ("prices.csv", "symbol,mark\nACME,10\nBETA,10\nACME,11\n", "prices.csv: row 4"),
    ("prices.csv", "symbol,mark\nACME,10\nBETA,0\n", "prices.csv: row 3, column `mark`"),
    ("prices.csv", "symbol,mark\nACME,10\nBETA,-1\n", "prices.csv: row 3, column `mark`"),
    ("prices.csv", "symbol,mark,colour\nACME,10,red\nBETA,10,\n", "prices.csv: row 2"),
    ("reference.csv", "symbol,issuer\nACME,ACME\nBETA,BETA\nACME,OTHER\n", "reference.csv: row 4, column `symbol`"),
    ("reference.csv", "issuer,sector\nACME,Left\n", "has no column `symbol`"),
    ("signals.csv", "symbol,expected_return,confidence\nACME,0.05,1.5\n", "signals.csv: row 2, column `confidence`"),
    ("signals.csv", "symbol,expected_return,confidence\nACME,up,0.5\n", "signals.csv: row 2, column `expected_return`"),
    ("signals.csv", "symbol,expected_return,confidence,direction\nACME,1%,0.5,up\n", "signals.csv: row 2, column `dir"),
]


@pytest.mark.parametrize(("file", "text", "place"), MISTAKES)
def test_a_mistake_is_told_by_file_row_and_column(folder: Path, file: str, text: str, place: str):
    (folder / file).write_text(text)
    with pytest.raises(LexorderError) as refused:
        taken(folder)
    assert any(each in refused.value.message for each in place.split("|")), refused.value.message


def test_a_holding_in_another_currency_needs_a_net_asset_value(folder: Path):
    (folder / "reference.csv").write_text("symbol,issuer,currency\nACME,ACME,EUR\nBETA,BETA,USD\n")
    with pytest.raises(SnapshotError, match="row 2, column `quantity`: is in another currency") as refused:
        taken(folder)
    assert refused.value.code == "missing-fact"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([], "wrong-shape"),
        ({"account": {"cash": "1"}}, "wrong-shape"),
        ({"account": {"cash": "1"}, "positions": [], "orders": []}, "wrong-shape"),
        ({"account": [], "positions": []}, "wrong-shape"),
        ({"account": {}, "positions": []}, "missing-cash"),
        ({"account": {"cash": "1"}, "positions": {}}, "wrong-shape"),
        ({"account": {"cash": "1"}, "positions": [5]}, "wrong-shape"),
        ({"account": {"cash": "1"}, "positions": [], "working_orders": {}}, "wrong-shape"),
        ({"account": {"cash": "much"}, "positions": []}, "bad-value"),
        ({"account": {"cash": "1"}, "positions": [{"symbol": "ACME"}]}, "bad-value"),
        ({"account": {"cash": "1"}, "positions": [{"quantity": "1"}]}, "no-price"),
    ],
)
def test_json_portfolios_of_another_shape_are_refused_by_their_code(folder: Path, document: object, code: str):
    (folder / "p.json").write_text(json.dumps(document))
    with pytest.raises(SnapshotError) as refused:
        taken(folder, portfolio="p.json")
    assert refused.value.code == code
    assert "p.json" in refused.value.message
