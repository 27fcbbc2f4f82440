"""Rebalances by every model, end to end: the libraries' weights against the books, whole shares against brute force.

Limits are held against an exact check that knows nothing of rows or models (`generated.violations`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from lexorder.engine.desk import fast
from lexorder.engine.errors import UsageError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.verify import verify
from lexorder.optimizers import targets as module
from lexorder.optimizers.estimates import Aims, risk_over
from lexorder.optimizers.models import MODELS, Model
from lexorder.optimizers.outcome import Infeasible, Rebalanced
from lexorder.optimizers.rebalance import Request, rebalance
from lexorder.optimizers.refusals import ModelError, ProposalError
from lexorder.optimizers.solve import Settings
from tests.optimizers.generated import ACCOUNT, VOCABULARY, request, violations
from tests.optimizers.test_rebalance import CAP, asked, done
from tests.optimizers.test_rows import rule, small
from tests.optimizers.test_signal_effects import one

NUMBERS = np.random.default_rng(20)
COMMON = NUMBERS.normal(0, 0.008, (200, 1))


def history(symbols: list[str], seed: int = 1) -> pd.DataFrame:
    """Returns that move together, each name more than the one before."""
    own = np.random.default_rng(seed).normal(0.0003, np.linspace(0.005, 0.02, len(symbols)), (200, len(symbols)))
    return pd.DataFrame(COMMON + own, columns=symbols)


def weighed(**weights: str) -> Model:
    return Model("target_weights", targets={s: Fraction(w) for s, w in weights.items()})


def by(model: Model, text: str, given: dict[str, object], **signals: str) -> Request:
    """A request for the small world, with a history; a share weighs 1%."""
    plain = asked(text, given, **signals)
    return replace(plain, returns=history(sorted(plain.snapshot.instruments)), model=model)


def held(result: Rebalanced) -> dict[str, int]:
    return {w.symbol: w.after for w in result.weights}


# ---- whole shares nearest to the weights -----------------------------------------------------------------------------

BOOKS = [
    (CAP, {"A": "0.1", "B": "0.055", "C": "0.2049"}),
    (CAP, {"A": "0.45", "B": "0.05", "C": "0.3"}),
    (CAP + rule("sum(position.after.value) <= 31% * account.nav").replace("rule: r", "rule: all"),
     {"A": "0.2", "B": "0.1749", "C": "0.05"}),
    (CAP + rule("sum(order.filled) <= 7").replace("rule: r", "rule: few"), {"A": "0.02", "B": "0.15", "C": "0.015"}),
    (CAP + rule("account.after.cash >= 45% * account.nav").replace("rule: r", "rule: cash"), {"B": "0.2", "C": "0.2"}),
]  # fmt: skip


@pytest.mark.parametrize("held_before", [(0, 0, 0), (12, 3, 9)], ids=["nothing", "something"])
@pytest.mark.parametrize(("text", "weights"), BOOKS, ids=range(len(BOOKS)))
def test_no_holding_the_rules_admit_is_nearer(text, weights, held_before):
    """All holdings up to 21 shares are tried: by their distance, and by a rebalance that asks for exactly them."""
    result = done(by(weighed(**weights), text, small(*held_before)))
    aims = [Fraction(weights.get(s, 0)) for s in "ABC"]

    def squared(shares: tuple[int, ...]) -> Fraction:
        return sum(((Fraction(q, 100) - t) ** 2 for q, t in zip(shares, aims, strict=True)), Fraction(0))

    found = tuple(held(result).get(s, 0) for s in "ABC")
    assert verify(result.certificate).valid
    assert result.value_bp is not None
    assert result.bound_bp is not None
    assert result.gap_bp is not None
    distance = sqrt(squared(found)) * 10**4
    assert float(result.value_bp) == pytest.approx(distance, abs=1e-3)
    for shares in product(range(22), repeat=3):
        if squared(shares) < squared(found) and _admitted(text, held_before, shares):
            # Whole shares are found by rounding and repair: what is nearer is within what the certificate left open.
            assert sqrt(squared(shares)) * 10**4 >= float(result.bound_bp) - 1e-3
            assert distance - sqrt(squared(shares)) * 10**4 <= float(result.gap_bp) + 1e-3
            assert squared(found) - squared(shares) < Fraction(1, 10**4), "less than one share of one name away"


def _admitted(text: str, before: tuple[int, ...], shares: tuple[int, ...]) -> bool:
    """Whether the rules of `BOOKS` admit these holdings, worked out by hand: orders at the limit of ten cents."""
    total, traded = sum(shares), sum(abs(q - b) for q, b in zip(shares, before, strict=True))
    spent = sum(
        (q - b) * (Fraction("10.01") if q > b else Fraction("9.99")) for q, b in zip(shares, before, strict=True)
    )
    checks = [max(shares) <= 20]
    checks += [total <= 31] if "rule: all" in text else []
    checks += [traded <= 7] if "rule: few" in text else []
    checks += [500 - spent >= 450] if "rule: cash" in text else []
    return all(checks)


def test_weights_that_can_be_met_are_met_and_nothing_is_left_to_gain():
    result = done(by(weighed(A="0.1", B="0.07"), CAP, small(0, 9, 4)))
    assert held(result) == {"A": 10, "B": 7, "C": 0}
    assert result.value_bp == result.gap_bp == 0
    assert result.binding == ()


def test_lots_and_what_is_no_whole_lot_are_counted():
    result = done(by(weighed(A="0.1", B="0.1"), CAP, small(3, 12, lot=10)))
    assert held(result) == {"A": 13, "B": 12}, "3 and 2 shares are no whole lot; 13 are nearer to 10 than 3"


def test_a_limit_that_holds_the_weights_back_is_told_with_what_it_costs():
    result = done(by(weighed(A="0.3"), CAP, small(0)))
    assert held(result) == {"A": 20}
    assert result.value_bp == 1000
    assert [(b.rule, round(b.price, 3)) for b in result.binding] == [("r", 100.0)], "1% of NAV nearer"


def test_a_rule_that_cannot_be_met_is_a_conflict_whoever_proposes():
    floor = rule("sum(position.after.value) >= 50% * account.nav").replace("rule: r", "rule: floor")
    result = rebalance(replace(by(weighed(A="0.2"), CAP + floor, small(5, 5)), strict=True))
    assert isinstance(result, Infeasible)
    assert verify(result.certificate).valid
    assert result.to_json()["model"] == {"name": "target_weights"}


# ---- signals that rules stop -----------------------------------------------------------------------------------------

SKIP = one("signal", "skip: not today", when='signal.symbol == "A"', name="skipping")


@pytest.mark.parametrize(("before", "after"), [(0, 0), (6, 6), (15, 10)])
def test_a_skipped_signal_is_not_brought_back_by_a_weight(before, after):
    result = done(by(weighed(A="0.1", B="0.1"), CAP + SKIP, small(before, 0), A="0.05", B="0.05"))
    assert held(result).get("A", 0) == after
    assert held(result)["B"] == 10


def test_it_is_not_bought_either_where_a_rule_asks_for_more_to_be_held():
    floor = rule("sum(position.after.value) >= 30% * account.nav", phases="[rebalance]").replace(
        "rule: r", "rule: floor"
    )
    stopped = replace(by(weighed(A="0.2", B="0.2"), CAP + SKIP + floor, small(0, 10), A="0.05", B="0.05"), strict=True)
    result = rebalance(stopped)
    assert isinstance(result, Infeasible), "B alone may only reach 20%"
    free = rebalance(replace(stopped, book=RuleBook.of(CAP + floor, VOCABULARY)))
    assert isinstance(free, Rebalanced)
    assert held(free) == {"A": 20, "B": 20}


@pytest.mark.parametrize("target", ["position.after.quantity", "order.quantity"])
def test_a_cap_in_shares_holds_for_a_weight(target):
    capped = one("signal", f"cap: {{target: {target}, at: 7}}", when='signal.symbol == "A"', name="capped")
    result = done(by(weighed(A="0.1", B="0.1"), CAP + capped, small(0, 0), A="0.05", B="0.05"))
    assert held(result) == {"A": 7, "B": 10}


def test_a_factor_on_size_and_one_on_confidence_multiply():
    halved = one("signal", "scale: {target: position.after.quantity, factor: 50%}", name="half")
    doubted = one("signal", "scale: {target: signal.confidence, factor: 50%}", name="doubted")
    result = done(by(weighed(A="0.16"), CAP + halved + doubted, small(0), A="0.05"))
    assert held(result) == {"A": 4}
    why = "size times 0.5; confidence times 0.5"
    told = {"symbol": "A", "proposed_weight": "0.16", "target_weight": "0.04", "why": why}
    assert result.to_json()["targets"] == [told]


@pytest.mark.parametrize("name", [m for m in MODELS if m not in ("mean_variance", "target_weights")])
def test_no_library_brings_a_skipped_signal_back(name):
    result = done(by(Model(name), CAP + SKIP, small(0, 0, 0), A="0.05", B="0.05", C="0.05"))
    assert held(result).get("A", 0) == 0
    (target,) = [t for t in result.steered.targets if t.symbol == "A"]
    assert target.proposed >= 0
    assert "not bought" in target.why


def test_the_native_model_is_left_as_it_was():
    """The same request with and without a word of models gives the same certificate, byte for byte."""
    plain = asked(CAP + SKIP, small(3, 4), A="0.05", B="-0.05")
    first, again = done(plain), done(replace(plain, model=Model("mean_variance")))
    assert first.certificate == again.certificate
    assert first.orders == again.orders
    assert first.steered.model["library"] == "CVXPY"
    assert first.steered.targets == ()


# ---- the libraries ---------------------------------------------------------------------------------------------------


def proposals(result: Rebalanced) -> Any:
    """The weights proposed for A, B, … in order; a name that is not told of has none."""
    found = {t.symbol: float(t.proposed) for t in result.steered.targets}
    return np.array([found.get(s, 0.0) for s in "ABCD"])


def test_risk_parity_is_equal_contribution_to_risk():
    result = done(by(Model("risk_parity", invested=Fraction(3, 5)), CAP, small(0, 0, 0, 0)))
    weights, covariance = proposals(result), np.cov(history(list("ABCD")).to_numpy().T)
    contributions = weights * (covariance @ weights)
    assert contributions / contributions.sum() == pytest.approx(np.full(4, 0.25), abs=1e-3)
    assert weights.sum() == pytest.approx(0.6, abs=1e-8)
    assert (np.diff(weights) < 0).all(), "the calmer the name, the larger its weight"


def test_max_utility_is_what_another_solver_finds():
    signals = {"A": "0.02", "B": "0.03", "C": "0.01", "D": "0.05"}
    asked_for = by(Model("max_utility", max_weight=Fraction(2, 5)), CAP, small(0, 0, 0, 0), **signals)
    aims = Aims(aversion=8.0, periods=5.0)
    weights = proposals(done(replace(asked_for, aims=aims)))
    covariance = risk_over(asked_for.returns, aims, list("ABCD"), frozenset()).covariance()
    expected = np.array([float(signals[s]) for s in "ABCD"])
    found = minimize(
        lambda w: -expected @ w + 4.0 * w @ covariance @ w,
        np.full(4, 0.25),
        jac=lambda w: -expected + 8.0 * covariance @ w,
        bounds=[(0.0, 0.4)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    assert weights == pytest.approx(found.x, abs=1e-4)


@pytest.mark.parametrize("measure", ["MV", "CVaR", "WR"])
def test_least_risk_has_no_more_risk_than_any_other_weights(measure):
    data = history(list("ABCD")).to_numpy()
    found = proposals(done(by(Model("mean_risk", risk_measure=measure), CAP, small(0, 0, 0, 0))))

    def risk(weights: Any) -> float:
        returns = np.sort(data @ weights)
        if measure == "MV":
            return float(returns.var(ddof=1))
        return float(-returns[0]) if measure == "WR" else float(-returns[:10].mean())  # the worst 5% of 200

    others = np.random.default_rng(3).dirichlet(np.ones(4), 300)
    assert risk(found) <= min(risk(w) for w in others) + 1e-9


def test_goals_that_weigh_returns_follow_the_signals_and_not_the_past():
    liking = {"A": "0.001", "B": "0.001", "C": "0.05"}
    for goal in ("MaxRet", "Utility", "Sharpe"):
        model = Model("mean_risk", risk_measure="MV", goal=goal)
        weights = proposals(done(replace(by(model, CAP, small(0, 0, 0), **liking), aims=Aims(aversion=1.0))))
        assert weights.argmax() == 2, goal
    backwards = dict(zip("ABC", ("0.05", "0.001", "0.001"), strict=True))
    weights = proposals(done(by(Model("mean_risk", goal="MaxRet"), CAP, small(0, 0, 0), **backwards)))
    assert weights == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-4)


@pytest.mark.parametrize("name", ["max_utility", "mean_risk", "risk_parity"])
def test_a_name_in_a_volatile_regime_gets_less(name):
    wild = (
        "- rule: regime\n  title: Volatile\n  phases: [signal]\n  for_each: market\n"
        "  when: market.volatility > 5%\n  derive: {market.regime: VOLATILE}\n"
    )
    market = [{"symbol": s, "volatility": "0.06" if s == "A" else "0.01"} for s in "ABC"]
    signals = dict.fromkeys("ABC", "0.02")
    model = Model(name, risk_measure="MV") if name == "mean_risk" else Model(name)
    plain, stressed = (
        proposals(done(by(model, CAP + more, {**small(0, 0, 0), "market": market}, **signals))) for more in ("", wild)
    )
    assert stressed[0] < plain[0]


# ---- limits, whatever is proposed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_no_weights_make_a_rebalance_break_a_limit(seed):
    """Weights from nowhere: all in one name, everywhere, next to nothing, what is held and more."""
    asked_for = request(seed + 40, 12, working=seed % 3, lots=seed % 2 == 1)
    symbols, numbers = sorted(asked_for.snapshot.instruments), np.random.default_rng(seed)
    wishes: list[dict[str, Fraction]] = [
        {symbols[0]: Fraction(1)},
        dict.fromkeys(symbols, Fraction(1, 12)),
        {symbols[-1]: Fraction(1, 10**9)},
        {s: Fraction(int(w * 10**6), 10**6) for s, w in zip(symbols, numbers.dirichlet(np.ones(12) / 3), strict=True)},
    ]
    for targets in wishes:
        given = replace(asked_for, model=Model("target_weights", targets=targets), make=fast)
        result = rebalance(given)
        assert verify(result.certificate).valid
        if isinstance(result, Rebalanced):
            assert violations(given, result, seed=seed) == []
            assert result.value_bp is None or result.bound_bp is None or result.value_bp >= result.bound_bp >= 0


@pytest.mark.parametrize("name", ["max_utility", "mean_risk", "risk_parity"])
@pytest.mark.parametrize("seed", range(2))
def test_no_library_makes_a_rebalance_break_a_limit(name, seed):
    asked_for = request(seed + 60, 15, working=seed)
    given = replace(
        asked_for, returns=history(sorted(asked_for.snapshot.instruments), seed), model=Model(name), make=fast
    )
    result = rebalance(given)
    assert isinstance(result, Rebalanced)
    assert violations(given, result, seed=seed) == []
    assert verify(result.certificate).valid


# ---- no answer -------------------------------------------------------------------------------------------------------


def test_a_history_without_a_name_is_refused_by_name():
    asked_for = by(Model("risk_parity"), CAP, small(0, 0, 0))
    with pytest.raises(ModelError, match="no column for B") as refused:
        rebalance(replace(asked_for, returns=asked_for.returns.drop(columns="B")))
    assert refused.value.code == "model-input"


@pytest.mark.parametrize("name", ["mean_risk", "risk_parity"])
def test_a_factor_model_is_no_history(name):
    with pytest.raises(UsageError) as refused:
        rebalance(replace(asked(CAP, small(0, 0)), model=Model(name)))
    assert refused.value.code == "returns-needed"


def test_max_utility_is_content_with_a_factor_model():
    result = done(replace(asked(CAP, small(0, 0), A="0.05", B="0.05"), model=Model("max_utility")))
    assert proposals(result) == pytest.approx([0.5, 0.5, 0.0, 0.0], abs=1e-4)


def test_a_model_that_weighs_returns_is_refused_without_signals_of_this_account():
    plain = by(Model("max_utility"), CAP, small(0, 0), A="0.05")
    elsewhere = ({**plain.snapshot.signals[0], "signal.account": "OTHER"},)
    for signals in ((), elsewhere):
        with pytest.raises(UsageError) as refused:
            rebalance(replace(plain, snapshot=replace(plain.snapshot, signals=signals)))
        assert refused.value.code == "signals-needed"


def test_a_library_that_fails_is_a_refusal_and_no_other_model_steps_in(monkeypatch):
    def fails(*_: Any, **__: Any) -> Any:
        raise ProposalError("Riskfolio-Lib", "no solution")

    monkeypatch.setattr("lexorder.optimizers.riskfolio.risk_parity_weights", fails)
    with pytest.raises(ProposalError) as refused:
        rebalance(by(Model("risk_parity"), CAP, small(0, 0)))
    assert refused.value.code == "solver-status"


@pytest.mark.parametrize("name", ["max_utility", "mean_risk", "risk_parity"])
def test_a_library_that_is_out_of_time_is_a_refusal(name):
    signals = dict.fromkeys("AB", "0.02")
    with pytest.raises(ProposalError) as refused:
        rebalance(replace(by(Model(name), CAP, small(0, 0), **signals), settings=Settings(seconds=1e-9)))
    assert refused.value.code == "solver-status"


def test_a_library_is_asked_once_however_often_orders_are_refused(monkeypatch):
    asked_for: list[str] = []
    honest = module._asked

    def counted(model: Model, *arguments: Any) -> Any:
        asked_for.append(model.name)
        return honest(model, *arguments)

    monkeypatch.setattr(module, "_asked", counted)
    least = rule("order.quantity >= 12", for_each="order", phases="[pre_trade]").replace("rule: r", "rule: least")
    result = done(by(Model("risk_parity", invested=Fraction(1, 5)), CAP + least, small(0, 0, 0)))
    assert result.left_out
    assert asked_for == ["risk_parity"]


def test_libraries_are_imported_only_where_they_are_asked_for():
    code = (
        "import sys, lexorder.optimizers.rebalance, lexorder.api.cli, lexorder.api.service.app\n"
        "print([m for m in ('riskfolio', 'pypfopt') if m in sys.modules])"
    )
    done_ = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done_.stdout.strip() == "[]"


def test_the_account_s_short_position_is_bought_back_by_a_library():
    given = small(-4, 0, 0)
    result = done(by(Model("risk_parity", invested=Fraction(3, 10)), CAP, given))
    assert load_snapshot(given, VOCABULARY).positions[ACCOUNT]["A"]["position.before.quantity"] == -4
    assert -4 <= held(result)["A"] <= 0
