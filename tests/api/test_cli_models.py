"""`lexorder rebalance --model`: every model as a user runs it, every refusal as a user reads it."""

from __future__ import annotations

import csv
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexorder.engine.verify import verify
from lexorder.optimizers.models import MODELS
from lexorder.optimizers.refusals import ProposalError
from tests.api.test_cli_rebalance import FILES, arguments, run

NAMES = ("ACME", "BETA", "COCO")
MARKS = "symbol,mark\nACME,10\nBETA,10\nCOCO,20\n"


def history() -> str:
    numbers = np.random.default_rng(5).normal(0, [0.01, 0.02, 0.03], (40, 3))
    days = (f"2026-{4 + n // 28:02d}-{1 + n % 28:02d}" for n in range(40))
    rows = [",".join([day, *(f"{r:.6f}" for r in row)]) for day, row in zip(days, numbers, strict=True)]
    return "\n".join(["date,ACME,BETA,COCO", *rows]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    changed = {
        "prices.csv": MARKS,
        "reference.csv": FILES["reference.csv"] + "COCO,COCO,Left\n",
        "returns.csv": history(),
        "targets.csv": "symbol,weight\nACME,10%\nBETA,0.05\n",
    }
    for name, text in {**FILES, **changed}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def ask(folder: Path, *more: str, returns: bool = True, signals: bool = True) -> tuple[int, str]:
    given = arguments(folder, *more)
    if not signals:
        at = given.index("--signals")
        del given[at : at + 2]
    return run(*given, *(("--returns", str(folder / "returns.csv")) if returns else ()))


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "orders.json").read_text())
    return found


ASKED = [
    ("mean_variance", [], "CVXPY", "cvxpy"),
    (
        "max_utility",
        ["--aversion", "3", "--invested", "30%", "--max-weight", "15%"],
        "PyPortfolioOpt",
        "pyportfolioopt",
    ),
    ("mean_risk", ["--risk-measure", "CDaR", "--invested", "0.3"], "Riskfolio-Lib", "riskfolio-lib"),
    ("mean_risk", ["--risk-measure", "MV", "--goal", "Utility", "--aversion", "4"], "Riskfolio-Lib", "riskfolio-lib"),
    ("risk_parity", ["--invested", "0.4"], "Riskfolio-Lib", "riskfolio-lib"),
    ("target_weights", ["--target", "targets.csv"], "", ""),
]


def test_every_model_is_run_here():
    assert {name for name, *_ in ASKED} == set(MODELS)


@pytest.mark.parametrize(("name", "options", "library", "distribution"), ASKED, ids=range(len(ASKED)))
def test_a_model_ends_in_orders_with_their_proof_and_says_who_proposed(folder, name, options, library, distribution):
    options = [str(folder / o) if o.endswith(".csv") else o for o in options]
    code, said = ask(folder, "--model", name, *options)
    assert code == 0, said
    document = written(folder)
    told = document["model"]
    assert (told["name"], told.get("library", "")) == (name, library)
    if library:
        assert told["version"] == version(distribution)
    assert verify((folder / "out" / "certificate.json").read_text()).valid
    page = (folder / "out" / "report.html").read_text()
    assert name in page
    assert document["objective"]["statement"] in page
    if name != "mean_variance":
        assert f"model {name}" in said
        assert "that distance" in " ".join(said.split())
        value, bound = (float(document["objective"][k]) for k in ("value_bp", "bound_bp"))
        assert value - bound == pytest.approx(float(document["certified_gap_bp"]), abs=1e-6)
        after = {w["symbol"]: float(w["weight_after"]) for w in document["weights"]}
        away = [after.get(t["symbol"], 0.0) - float(t["target_weight"]) for t in document["targets"]]
        assert value == pytest.approx(float(np.linalg.norm(away)) * 1e4, abs=1e-3), "as anybody can work out"


def test_given_weights_become_shares(folder):
    code, said = ask(
        folder, "--model", "target_weights", "--target", str(folder / "targets.csv"), returns=False, signals=False
    )
    assert code == 0, said
    with (folder / "out" / "orders.csv").open() as file:
        orders = {o["Symbol"]: (o["Side"], o["OrderQty"]) for o in csv.DictReader(file)}
    assert orders == {"ACME": ("1", "5"), "BETA": ("1", "5")}, "10% and 5% of 1,000 at 10; five ACME are held"


@pytest.mark.parametrize("model", ["risk_parity", "mean_risk"])
def test_models_that_weigh_no_returns_do_without_signals(folder, model):
    code, said = ask(folder, "--model", model, "--invested", "0.3", signals=False)
    assert code == 0, said
    assert "Signals, before and after" not in said
    assert "Signals, before and after" not in (folder / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "kept", "code", "words"),
    [
        (["--model", "risk_party"], "rs", "unknown-model", "did you mean `risk_parity`?"),
        (["--model", "risk_parity", "--risk-measure", "cvar"], "rs", "unknown-risk-measure", "did you mean `CVaR`?"),
        (["--model", "mean_risk", "--goal", "maxret"], "rs", "unknown-goal", "did you mean `MaxRet`?"),
        (["--model", "risk_parity", "--goal", "Sharpe"], "rs", "setting-not-used", "does not use goal;"),
        (["--model", "risk_parity", "--aversion", "2"], "rs", "setting-not-used", "does not use aversion;"),
        (["--model", "mean_risk", "--aversion", "2"], "rs", "setting-not-used", "with the goal MinRisk"),
        (["--risk-measure", "MV"], "rs", "setting-not-used", "mean_variance does not use risk_measure"),
        (["--target", "targets.csv"], "rs", "setting-not-used", "does not use targets"),
        (["--model", "target_weights"], "rs", "missing-targets", "--target"),
        (["--model", "target_weights", "--target", "none.csv"], "rs", "file-unreadable", "none.csv"),
        (["--model", "risk_parity", "--invested", "1.01"], "rs", "bad-setting", "at most 1"),
        (["--model", "risk_parity", "--invested", "0"], "rs", "bad-setting", "above 0"),
        (["--model", "risk_parity", "--invested", "most"], "rs", "bad-setting", "--invested"),
        (["--model", "risk_parity", "--invested", "0.9_5"], "rs", "bad-setting", "--invested"),
        (["--model", "mean_risk", "--max-weight", "1/3"], "rs", "bad-setting", "--max-weight"),
        (["--model", "mean_risk", "--max-weight", "0.3"], "rs", "bad-setting", "3 names of at most 0.3"),
        (["--model", "risk_parity"], "s", "returns-needed", "price history"),
        (["--model", "max_utility"], "s", "returns-needed", "price history"),
        (["--model", "max_utility"], "r", "signals-needed", "--signals"),
        (["--model", "mean_risk", "--goal", "Sharpe"], "r", "signals-needed", "--signals"),
        ([], "r", "signals-needed", "mean_variance needs --signals"),
    ],
    ids=range(21),
)
def test_a_mistake_is_told_by_code_with_what_was_expected_and_nothing_is_written(folder, options, kept, code, words):
    options = [str(folder / o) if o.endswith(".csv") else o for o in options]
    ended, said = ask(folder, *options, returns="r" in kept, signals="s" in kept)
    assert ended == 2
    assert said.startswith(f"{code}: ")
    assert words in said
    assert not (folder / "out").exists()


def test_a_library_that_fails_is_undecided_and_nothing_is_written(folder, monkeypatch):
    def fails(*_: Any, **__: Any) -> Any:
        raise ProposalError("Riskfolio-Lib", "no solution")

    monkeypatch.setattr("lexorder.optimizers.riskfolio.risk_parity_weights", fails)
    code, said = ask(folder, "--model", "risk_parity")
    assert code == 4
    assert "UNDECIDED" in said
    assert "solver-status: Riskfolio-Lib ended with status `no solution`" in " ".join(said.split())
    assert not (folder / "out").exists()


def test_help_names_every_model():
    code, said = run("rebalance", "--help")
    assert code == 0
    for name in (*MODELS, "--risk-measure", "--goal", "--target", "--invested", "--max-weight"):
        assert name in said


# ---- signals that contradict themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "expects", "fine"),
    [
        ("short", "0.05", False),
        ("long", "-0.05", False),
        ("short", "0.00000001", False),
        ("short", "0", True),
        ("long", "0", True),
        ("short", "-0.05", True),
        ("flat", "0.05", True),
    ],
)
def test_a_signal_is_told_by_its_row_when_direction_and_return_contradict(folder, direction, expects, fine):
    text = f"symbol,expected_return,confidence,direction\nBETA,0.01,0.9,long\nACME,{expects},0.9,{direction}\n"
    (folder / "signals.csv").write_text(text)
    code, said = ask(folder, returns=False)
    if fine:
        assert code == 0, said
        return
    assert code == 2
    assert said.startswith("signal-contradicts: ")
    assert "signals.csv: row 3, column `direction`" in said
