"""A model and its settings: what is known, what is used, what is needed, and how a mistake is told."""

from __future__ import annotations

from fractions import Fraction
from importlib.metadata import version
from itertools import product
from typing import Any

import pytest

from lexorder.engine.errors import UsageError
from lexorder.optimizers.models import GOALS, MEASURES, MODELS, SETTINGS, UNTOLD, Model, Steered, Target, decimal_text

SOME: dict[str, Any] = {
    "risk_measure": "MV",
    "goal": "Sharpe",
    "invested": Fraction(1, 2),
    "max_weight": Fraction(1, 2),
    "targets": {"A": Fraction(1, 10)},
}
TAKEN = {
    "mean_variance": set[str](),
    "max_utility": {"invested", "max_weight"},
    "mean_risk": {"risk_measure", "goal", "invested", "max_weight"},
    "risk_parity": {"risk_measure", "invested"},
    "target_weights": {"targets"},
}
"""What each model takes, written down a second time."""


def made(name: str, **settings: Any) -> Model:
    if name == "target_weights":
        settings.setdefault("targets", SOME["targets"])
    return Model(name, **settings)


def refused(name: str, **settings: Any) -> tuple[str, str]:
    with pytest.raises(UsageError) as error:
        Model(name, **settings)
    return error.value.code, error.value.message


def test_every_model_and_every_setting_is_tried_here():
    assert set(TAKEN) == set(MODELS)
    assert set(SOME) == set(SETTINGS)


@pytest.mark.parametrize(("name", "setting"), list(product(TAKEN, SOME)))
def test_a_setting_is_used_or_refused(name, setting):
    if setting in TAKEN[name]:
        assert getattr(made(name, **{setting: SOME[setting]}), setting) == SOME[setting]
        return
    given = {setting: SOME[setting]} | ({"targets": SOME["targets"]} if name == "target_weights" else {})
    code, message = refused(name, **given)
    assert code == "setting-not-used"
    assert message.startswith(f"{name} does not use {setting}")


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("risk_party", "risk_parity"),
        ("Risk_Parity", "risk_parity"),
        ("max-utility", "max_utility"),
        ("mean_var", "mean_var"),
    ],
)
def test_an_unknown_model_comes_with_the_nearest_and_all_there_are(word, near):
    code, message = refused(word)
    assert code == "unknown-model"
    assert f"did you mean `{near}" in message
    assert all(name in message for name in MODELS)


@pytest.mark.parametrize("word", ["zzz", "", "\x1b[2J", "<script>", "9" * 5000], ids=range(5))
def test_what_was_written_is_not_repeated(word):
    kinds: tuple[dict[str, str], ...] = (
        {"name": word},
        {"name": "mean_risk", "risk_measure": word},
        {"name": "mean_risk", "goal": word},
    )
    for kind in kinds:
        message = refused(**kind)[1]
        assert not word or word not in message
        assert len(message) < 300


@pytest.mark.parametrize(
    ("setting", "word", "near", "known"),
    [
        ("risk_measure", "cvar", "CVaR", MEASURES),
        ("risk_measure", "MVV", "MV", MEASURES),
        ("goal", "sharpe", "Sharpe", GOALS),
    ],
)
def test_an_unknown_measure_or_goal_comes_with_the_nearest(setting, word, near, known):
    code, message = refused("mean_risk", **{setting: word})
    assert code == f"unknown-{setting.replace('_', '-')}"
    assert f"`{near}`" in message
    assert all(name in message for name in known)


@pytest.mark.parametrize("setting", ["invested", "max_weight"])
@pytest.mark.parametrize(
    ("share", "fine"),
    [(0, False), (Fraction(1, 10**12), True), (1, True), (1 + Fraction(1, 10**12), False), (Fraction(-1, 2), False)],
)
def test_shares_are_above_nought_and_at_most_everything(setting, share, fine):
    if fine:
        assert getattr(made("mean_risk", **{setting: Fraction(share)}), setting) == share
    else:
        assert refused("mean_risk", **{setting: Fraction(share)})[0] == "bad-setting"


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        (None, "missing-targets"),
        ({}, "missing-targets"),
        ({"A": "1"}, ""),
        ({"A": "1", "B": "0.000000001"}, "bad-targets"),
        ({"A": "0.5", "B": "0.5", "C": "-1"}, ""),
        ({"A": "1.000000001"}, "bad-targets"),
        ({"A": "-1.000000001"}, "bad-targets"),
        ({"A": "0"}, ""),
    ],
)
def test_target_weights_are_held_without_borrowing(targets, code):
    exact = None if targets is None else {s: Fraction(w) for s, w in targets.items()}
    if code:
        assert refused("target_weights", targets=exact)[0] == code
    else:
        assert Model("target_weights", targets=exact).targets == exact


# ---- what is needed --------------------------------------------------------------------------------------------------

NEEDS = [
    ("mean_variance", {}, False, False),
    ("max_utility", {}, True, True),
    ("mean_risk", {}, True, False),
    *(("mean_risk", {"goal": goal}, True, goal != "MinRisk") for goal in GOALS),
    ("risk_parity", {}, True, False),
    ("target_weights", {}, False, False),
]


@pytest.mark.parametrize(("name", "settings", "returns", "signals"), NEEDS)
def test_what_a_model_cannot_do_without(name, settings, returns, signals):
    model = made(name, **settings)
    for has_returns, has_signals in product((True, False), repeat=2):
        missing = [c for c, gone in (("returns-needed", returns and not has_returns),
                                     ("signals-needed", signals and not has_signals)) if gone]  # fmt: skip
        if not missing:
            model.refuse_without(returns=has_returns, signals=has_signals)
            continue
        with pytest.raises(UsageError) as error:
            model.refuse_without(returns=has_returns, signals=has_signals)
        assert error.value.code == missing[0]
        assert name in error.value.message


@pytest.mark.parametrize(
    ("name", "goal", "aversion", "periods"),
    [
        ("mean_variance", None, True, True),
        ("max_utility", None, True, True),
        ("mean_risk", None, False, False),
        ("mean_risk", "Utility", True, True),
        ("mean_risk", "Sharpe", False, True),
        ("risk_parity", None, False, False),
        ("target_weights", None, False, False),
    ],
)
def test_the_aversion_and_the_horizon_are_taken_where_they_make_a_difference(name, goal, aversion, periods):
    model = made(name, **({} if goal is None else {"goal": goal}))
    for setting, used in (("aversion", aversion), ("periods", periods), ("cost", name == "mean_variance")):
        assert model.takes(setting) is used
        if used:
            model.refuse_unused([setting])
            continue
        with pytest.raises(UsageError, match="does not use") as error:
            model.refuse_unused([setting])
        assert error.value.code == "setting-not-used"
    assert ("aversion" in model.told(3.5)) is aversion


def test_names_that_cannot_make_up_what_is_to_be_invested_are_refused_and_the_cap_is_one_of_nav():
    model = Model("max_utility", max_weight=Fraction(1, 20), invested=Fraction(3, 10))
    assert model.cap_of(6) == pytest.approx(1 / 6), "5% of NAV is a sixth of the 30% invested"
    with pytest.raises(UsageError, match=r"5 names of at most 0.05 each do not make up the invested share, 0.3"):
        model.cap_of(5)
    assert Model("max_utility", invested=Fraction(3, 10)).cap_of(1) == 1.0
    assert Model("max_utility", max_weight=Fraction(1, 2), invested=Fraction(3, 10)).cap_of(2) == 1.0


@pytest.mark.parametrize("invested", [Fraction(1), Fraction(3, 10), Fraction(95, 100)])
def test_names_that_just_make_it_up_do_so_as_floats_too(invested):
    for names in range(1, 400):
        model = Model("max_utility", max_weight=invested / names, invested=invested)
        assert 1.0 <= model.cap_of(names) * names < 1.0 + 1e-12


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_library_and_version_are_those_installed():
    installed = {"max_utility": "pyportfolioopt", "mean_risk": "riskfolio-lib", "risk_parity": "riskfolio-lib"}
    for name, distribution in installed.items():
        assert made(name).told(1.0)["version"] == version(distribution)
    assert Model().told(1.0) == {
        "name": "mean_variance",
        "library": "CVXPY",
        "version": version("cvxpy"),
        "aversion": "1",
    }
    assert Model().told(1.0, "clarabel")["version"] == version("clarabel")
    assert made("target_weights").told(1.0) == {"name": "target_weights"}


def test_settings_in_force_are_told_also_those_nobody_wrote():
    told = Model("mean_risk", invested=Fraction(19, 20)).told(2.0)
    assert {k: told[k] for k in ("risk_measure", "goal", "invested", "max_weight")} == {
        "risk_measure": "CVaR", "goal": "MinRisk", "invested": "0.95", "max_weight": "1",
    }  # fmt: skip
    assert Model("risk_parity").told(2.0)["risk_measure"] == "MV"
    assert "aversion" not in Model().told(None)


@pytest.mark.parametrize(
    ("number", "text"),
    [(15.0, "15"), (0.1, "0.1"), (2.5, "2.5"), (1e-12, "0.000000000001"), (123456789.125, "123456789.125"), (0.0, "0")],
)
def test_floats_are_told_to_the_last_digit_and_without_exponents(number, text):
    assert decimal_text(number) == text
    assert float(text) == number


def test_one_line_says_who_proposed_what():
    told = Steered(Model("risk_parity", risk_measure="CDaR").told(1.0), (Target("A", Fraction(1), Fraction(1)),))
    assert told.words == f"risk_parity (Riskfolio-Lib {version('riskfolio-lib')}, risk measure CDaR, invested share 1)"
    assert Steered(made("target_weights").told(1.0)).words == "target_weights (weights as given)"
    assert told.tracks
    assert not UNTOLD.tracks
    assert "distance" in told.statement
    assert "distance" not in UNTOLD.statement
