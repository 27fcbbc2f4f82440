"""Signals through the rules: what is skipped, scaled, strong, and what each name expects in the end."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.desk import shipped_rules
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.optimizers import signal_rules
from lexorder.optimizers.refusals import UndecidedError
from lexorder.optimizers.signal_rules import Reacted, Reaction, agreed, by_reference
from lexorder.optimizers.signals import SignalReport, SignalRow, blended, composed, through_rules
from tests.optimizers.generated import ACCOUNT, NOW, VOCABULARY

RULES = RuleBook.load(shipped_rules()).on(date(2026, 6, 15))
HALF = Fraction(1, 2)


def world(*signals: dict[str, str], volatility: str = "0.01", correlation: str = "0.5") -> dict[str, Any]:
    return {
        "time": NOW,
        "accounts": [{"id": ACCOUNT, "currency": "USD", "nav": "1000000", "cash": "1000000"}],
        "instruments": [{"symbol": s, "issuer": s, "currency": "USD", "mark": "10"} for s in ("ACME", "BETA")],
        "market": [{"symbol": s, "volatility": volatility, "volume_spike": "3"} for s in ("ACME", "BETA")],
        "pairs": [{"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": correlation}],
        "signals": [signal(n, **given) for n, given in enumerate(signals)],
    }


def signal(n: int, **given: str) -> dict[str, str]:
    usual = {"symbol": "ACME", "direction": "long", "expected_return": "0.02", "confidence": "0.5", "reward_risk": "3"}
    return {"id": f"S-{n}", "account": ACCOUNT, "strategy": "A", "timeframe": "1d", **usual, **given}


def report(document: dict[str, Any], **options: Any) -> SignalReport:
    return through_rules(RULES, VOCABULARY, load_snapshot(document, VOCABULARY), ACCOUNT, **options)


def row(confidence: str, expected: str, *, strong: bool = False, skipped: str = "") -> SignalRow:
    after = Fraction(confidence)
    return SignalRow("S", "ACME", "A", "1d", "long", Fraction(expected), after, after, strong, skipped)


def test_a_signal_no_rule_concerns_is_followed_as_it_is():
    found = report(world({}))
    assert found.signals[0].after == found.signals[0].before == HALF
    assert found.expected == {"ACME": Fraction("0.01"), "BETA": 0}
    assert found.raw == {"ACME": Fraction("0.01")}


@pytest.mark.parametrize(("ratio", "skipped"), [("2", False), ("1.999999", True)])
def test_low_reward_is_skipped_exactly_below_two(ratio, skipped):
    found = report(world({"reward_risk": ratio}))
    assert bool(found.signals[0].skipped) is skipped
    assert (found.expected["ACME"] == 0) is skipped


def test_conflicting_confident_signals_count_half():
    pair = (
        {"confidence": "0.8"},
        {"confidence": "0.7", "direction": "short", "expected_return": "-0.01", "strategy": "B"},
    )
    found = report(world(*pair))
    assert [s.after for s in found.signals] == [Fraction("0.4"), Fraction("0.35")]
    assert found.signals[0].rules == ("conflict-halves-confidence",)


def test_three_timeframes_make_a_signal_strong_and_heavier():
    short = [{"timeframe": t, "expected_return": "0.02"} for t in ("1m", "5m", "15m")]
    found = report(world(*short, {"timeframe": "1d", "direction": "short", "expected_return": "-0.02"}))
    assert [s.strong for s in found.signals] == [True, True, True, False]
    # (3 · 3/2 · ½ · 2% − ½ · 2%) / (3 · 3/2 + 1)
    assert found.expected["ACME"] == (Fraction(9, 2) * HALF * Fraction(2, 100) - HALF * Fraction(2, 100)) / Fraction(
        11, 2
    )


def test_high_volatility_halves_the_size_once_however_many_signals_fire():
    found = report(world({}, {"strategy": "B"}, volatility="0.0501"))
    assert found.sizes == {"ACME": HALF}
    assert found.expected["ACME"] == Fraction("0.005")


def test_correlated_longs_are_scaled_and_factors_multiply():
    found = report(world({}, {"symbol": "BETA"}, correlation="0.81", volatility="0.06"))
    assert found.sizes == {"ACME": Fraction(35, 100), "BETA": Fraction(35, 100)}


def test_a_volatile_regime_is_reported_for_risk():
    assert report(world({}, volatility="0.06")).regimes == {"ACME", "BETA"}
    assert report(world({}, volatility="0.05")).regimes == frozenset()


def test_a_flat_signal_expects_nothing():
    found = report(world({"direction": "flat"}))
    assert found.signals[0].expected_return == 0


def test_names_without_a_live_signal_expect_the_prior_scaled():
    found = report(world({"reward_risk": "1"}), prior=Fraction(1, 1000))
    assert found.expected == {"ACME": Fraction(1, 1000), "BETA": Fraction(1, 1000)}


def test_confidence_shrinks_towards_the_prior():
    assert blended([row("0.25", "0.08")], Fraction("0.04")) == {"ACME": Fraction("0.05")}


def test_skipped_signals_neither_add_nor_dilute():
    assert blended([row("0.5", "0.02"), row("0.9", "-0.5", skipped="why")]) == {"ACME": Fraction("0.01")}


def test_a_rule_without_its_fact_skips_the_signal_and_says_why():
    document = world({})
    for facts in document["market"]:
        del facts["volatility"]
    found = report(document)
    assert found.signals[0].skipped.startswith("undecided, market.volatility of ACME")
    assert found.expected["ACME"] == 0


def test_a_signal_on_an_unknown_name_is_refused():
    with pytest.raises(SnapshotError, match="unknown instrument"):
        report(world({"symbol": "NOPE"}))


@pytest.mark.parametrize(
    ("direction", "expects", "fine"),
    [
        ("long", "0.01", True), ("long", "0", True), ("long", "-0.00000001", False), ("short", "-0.01", True),
        ("short", "0", True), ("short", "0.00000001", False), ("flat", "0.01", True), ("flat", "-0.01", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stopped", [{}, {"reward_risk": "1"}], ids=["followed", "skipped"])
def test_direction_and_return_must_point_the_same_way(direction, expects, fine, stopped):
    """Rules read the one and the blend the other: a rule about shorts would pass over what is bought."""
    given = {"direction": direction, "expected_return": expects, **stopped}
    if fine:
        assert report(world(given)).signals[0].direction == direction
        return
    with pytest.raises(SnapshotError, match=r"signal S-0: is (long|short) and expects") as refused:
        report(world(given))
    assert refused.value.code == "signal-contradicts"


def test_another_account_s_contradiction_is_not_ours_to_refuse():
    document = world({}, {"direction": "short", "account": "OTHER"})
    document["accounts"].append({**document["accounts"][0], "id": "OTHER"})
    assert len(report(document).signals) == 1


@pytest.mark.parametrize("name", ["expected_return", "confidence"])
def test_a_signal_without_its_figures_is_refused(name):
    document = world({})
    del document["signals"][0][name]
    with pytest.raises(SnapshotError, match=name):
        report(document)


def test_caps_take_the_least_and_factors_multiply():
    def act(kind: str, **arguments: Fraction | str) -> Reaction:
        return Reaction("r", "R", "signal", "S-0", kind, (("target", "signal.confidence"), *arguments.items()))

    acts = [act("scale", factor=HALF), act("scale", factor=HALF), act("cap", at=Fraction(1, 5)), act("cap", at=HALF)]
    assert composed(Fraction(1), acts, "signal.confidence") == Fraction(1, 5)
    assert composed(Fraction(1), acts[:2], "signal.confidence") == Fraction(1, 4)
    assert composed(Fraction(1), acts, "position.after.quantity") == 1


def test_clips_and_the_reference_agree_on_mixed_signals():
    signals = [
        {"timeframe": t, "direction": d, "confidence": c, "reward_risk": r}
        for t, d, c, r in (("1m", "long", "0.61", "2"), ("1h", "short", "0.7", "5"), ("5m", "long", "0.3", "1.5"))
    ]
    snapshot = load_snapshot(world(*signals, volatility="0.07", correlation="0.95"), VOCABULARY)
    both, alone = (run(RULES, VOCABULARY, snapshot, ACCOUNT) for run in (agreed, by_reference))
    assert both == alone
    assert both.reactions


def test_a_difference_between_the_two_stops_everything(monkeypatch):
    honest = signal_rules._by_clips

    def deaf(*arguments: Any) -> Any:
        acts, facts = honest(*arguments)
        return acts, facts[1:]

    monkeypatch.setattr(signal_rules, "_by_clips", deaf)
    with pytest.raises(UndecidedError, match="two evaluators"):
        report(world({}, volatility="0.06"))


def test_another_reactor_may_be_given():
    def silent(*_: Any) -> Reacted:
        return Reacted(())

    assert report(world({"reward_risk": "1"}), react=silent).expected["ACME"] == Fraction("0.01")
