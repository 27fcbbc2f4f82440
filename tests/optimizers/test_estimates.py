"""Scenarios and risk of the names asked about: matched by symbol, wider where a regime is volatile."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lexorder.engine.errors import UsageError
from lexorder.optimizers.estimates import Aims, independent, risk_over, scenarios
from lexorder.optimizers.refusals import ModelError
from lexorder.optimizers.risk_models import FactorModel

RNG = np.random.default_rng(11)
HISTORY = pd.DataFrame(RNG.normal(0.001, [0.01, 0.02, 0.03], (80, 3)), columns=["A", "B", "C"])
NONE: frozenset[str] = frozenset()


def test_scenarios_are_the_columns_asked_for_in_their_order():
    assert scenarios(HISTORY, Aims(), ["C", "A"], NONE) == pytest.approx(HISTORY[["C", "A"]].to_numpy())


@pytest.mark.parametrize("regime", [1.0, 1.5, 3.0])
def test_a_volatile_regime_widens_returns_about_their_mean(regime):
    wide = scenarios(HISTORY, Aims(regime=regime), ["A", "B"], {"B"})
    plain = HISTORY[["A", "B"]].to_numpy()
    assert wide.mean(axis=0) == pytest.approx(plain.mean(axis=0))
    assert wide.std(axis=0) / plain.std(axis=0) == pytest.approx([1.0, regime])
    assert np.corrcoef(wide.T) == pytest.approx(np.corrcoef(plain.T)), "names move together as before"


def test_both_estimates_say_the_same_of_each_name():
    aims = Aims(periods=4.0, regime=2.0)
    variance = risk_over(HISTORY, aims, ["A", "B"], {"B"}).covariance().diagonal()
    assert variance == pytest.approx(4.0 * np.var(scenarios(HISTORY, aims, ["A", "B"], {"B"}), axis=0, ddof=1))


def test_scenarios_need_a_history():
    with pytest.raises(UsageError) as refused:
        scenarios(independent(2, 0.02), Aims(), ["A", "B"], NONE)
    assert refused.value.code == "returns-needed"


@pytest.mark.parametrize("read", [scenarios, risk_over])
def test_a_name_without_history_is_named(read):
    with pytest.raises(ModelError, match="no column for Q"):
        read(HISTORY, Aims(), ["A", "Q"], NONE)


@pytest.mark.parametrize(
    ("change", "words"), [({"B": [0.01] * 80}, "`B`.*never changes"), ({"B": [float("nan")] * 80}, "`B`.*gaps")]
)
def test_dirty_columns_are_named(change, words):
    with pytest.raises(ModelError, match=words):
        scenarios(HISTORY.assign(**change), Aims(), ["A", "B"], NONE)


@pytest.mark.parametrize("read", [scenarios, risk_over])
def test_a_name_that_is_there_twice_is_refused(read):
    twice = pd.concat([HISTORY, HISTORY[["B"]]], axis=1)
    assert read(twice, Aims(), ["A", "C"], NONE) is not None
    with pytest.raises(ModelError, match="twice"):
        read(twice, Aims(), ["A", "B"], NONE)


def test_a_given_factor_model_is_scaled_to_the_horizon():
    model = FactorModel(np.ones((1, 2)) * 0.01, np.full(2, 0.0001))
    assert risk_over(model, Aims(periods=9.0), ["A", "B"], NONE).covariance() == pytest.approx(9 * model.covariance())
