"""The demonstration's models see no future, and their figures are what they are called; on prices made up here."""

from __future__ import annotations

import statistics
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")

from lexorder.api import demo_model
from lexorder.api.demo_data import (
    ACCOUNT,
    CORRELATED,
    HISTORY,
    NAV,
    NOW,
    REFERENCE,
    Market,
    correlated_pairs,
    decimal,
    holdings,
    snapshot_document,
)
from lexorder.api.demo_model import HORIZON, REFIT, Track, fits, model_signals
from lexorder.engine.errors import UsageError
from lexorder.engine.facts import load_snapshot
from tests.worlds import VOCABULARY

WEEKS = 12
DAYS = 1_700
NAMES = sorted(REFERENCE)


@pytest.fixture(scope="module")
def made() -> Market:
    """Twenty names that wander; the first two nearly together."""
    random = np.random.default_rng(7)
    moves = random.normal(0.0003, 0.015, (DAYS, len(NAMES)))
    moves[:, 1] = moves[:, 0] + random.normal(0, 0.004, DAYS)
    closes = pd.DataFrame(50 * np.exp(np.cumsum(moves, axis=0)), columns=NAMES)
    return Market(closes, {s: f"{closes[s].iloc[-1]:.4f}" for s in NAMES}, "2022-12-28")


def with_other_future(market: Market, days: int) -> Market:
    """The same until so many days before the end, then everything doubles and halves in turn."""
    closes = market.closes.copy()
    closes.iloc[-days:] *= np.where(np.arange(days) % 2, 2.0, 0.5)[:, None]
    return Market(closes, market.marks, market.last)


def predicted(market: Market) -> dict[str, Any]:
    return {track.strategy: track.predicted for track in model_signals(market, weeks=WEEKS).tracks}


def test_a_prediction_does_not_change_when_what_comes_after_it_does(made):
    """Week w of the last twelve stands 5 · (12 - w) days before the end: what is later is all made up anew."""
    before = predicted(made)
    for weeks_known in (1, 6, WEEKS):
        later = HORIZON * (WEEKS - weeks_known + 1) - 1
        found = predicted(with_other_future(made, later))
        for strategy, rows in found.items():
            assert (rows[:weeks_known] == before[strategy][:weeks_known]).all(), (strategy, weeks_known)
            if weeks_known < WEEKS:
                assert (rows[weeks_known:] != before[strategy][weeks_known:]).any(), "the change is noticed after it"


def test_what_is_compared_with_a_prediction_is_what_happened_after_it(made):
    track = model_signals(made, weeks=WEEKS).tracks[0]
    for week in range(WEEKS):
        day = len(made.closes) - 1 - HORIZON * (WEEKS - week)
        then, later = made.closes.iloc[day], made.closes.iloc[day + HORIZON]
        assert np.allclose(track.realised[week], later / then - 1)


@pytest.mark.parametrize("weeks", [1, REFIT, REFIT + 1])
def test_progress_is_told_as_often_as_was_said(made, weeks):
    told: list[int] = []
    model_signals(made, weeks=weeks, progress=lambda: told.append(1))
    assert len(told) == fits(weeks)


def test_every_name_has_a_signal_of_each_model_that_the_vocabulary_takes(made):
    signals = model_signals(made, weeks=WEEKS).signals
    assert [(s["strategy"], s["symbol"]) for s in signals] == [(m, s) for m in ("TREND", "REVERSAL") for s in NAMES]
    assert {s["account"] for s in signals} == {ACCOUNT}
    assert all((Fraction(s["expected_return"]) > 0) is (s["direction"] == "long") for s in signals)
    snapshot = load_snapshot(snapshot_document(made, signals), VOCABULARY)
    assert len(snapshot.signals) == 2 * len(NAMES)
    assert snapshot.single["clock.now"].isoformat() == NOW  # type: ignore[union-attr]


# ---- figures -------------------------------------------------------------------------------------------------------


def track(pairs: list[tuple[float, float]]) -> Track:
    """One name's weeks: predicted and realised."""
    return Track("X", np.array([[p] for p, _ in pairs]), np.array([[r] for _, r in pairs]))


def test_the_hit_rate_is_the_share_of_right_signs_and_nothing_predicted_is_not_right():
    assert track([(1, 0.1), (-1, 0.1), (-1, -0.1), (0, 0.1)]).hit_rate == 0.5


@pytest.mark.parametrize(
    ("pairs", "ratio"),
    [
        ([(1, 0.06), (1, -0.02), (-1, 0.01)], 0.06 / 0.015),  # the best of three over the mean of two losses
        ([(1, 0.04), (-1, -0.06)], 100.0),  # never wrong
        ([(1, -0.02), (-1, 0.02)], 0.0),  # never right: the best is a loss
        ([(1, 0.14), (1, 0.06)] + [(1, 0.01)] * 17 + [(1, -0.05)], 2.0),  # a tenth of twenty is two
    ],
)
def test_reward_to_risk_is_the_best_tenth_over_the_mean_loss(pairs, ratio):
    assert demo_model._reward_risk(track(pairs), 0) == pytest.approx(ratio)


def test_pairs_are_correlated_as_statistics_has_it(made):
    """Beside the standard library, over the last two years alone."""
    found = {p["id"]: Fraction(p["correlation"]) for p in correlated_pairs(made)}
    returns = made.closes.pct_change().iloc[-HISTORY:]
    for n, a in enumerate(NAMES):
        for b in NAMES[n + 1 :]:
            expected = statistics.correlation(returns[a].tolist(), returns[b].tolist())
            assert (f"{a}/{b}" in found) is (expected > CORRELATED)
            if f"{a}/{b}" in found:
                assert float(found[f"{a}/{b}"]) == pytest.approx(expected, abs=1e-6)
    assert set(found) == {f"{NAMES[0]}/{NAMES[1]}"}


def test_what_is_held_and_the_cash_beside_it_are_the_net_assets(made):
    document = snapshot_document(made, [])
    invested = sum(Decimal(made.marks[p["symbol"]]) * int(p["quantity"]) for p in document["positions"])
    assert Decimal(document["accounts"][0]["cash"]) + invested == NAV
    assert holdings(made.marks) == {p["symbol"]: int(p["quantity"]) for p in document["positions"]}


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(0.125, 2, "0.12"), (0.375, 2, "0.38"), (-0.125, 2, "-0.12"), (1e-9, 4, "0.0000"), (2.0, 0, "2")],
)
def test_numbers_of_models_become_exact_at_a_scale_halves_to_even(value, places, text):
    assert decimal(value, places) == text


def test_without_its_library_it_says_how_to_get_it(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageError, match="make setup") as refused:
        model_signals(made, weeks=1)
    assert refused.value.code == "demo-data"
