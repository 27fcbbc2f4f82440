"""Signals and reactions: when each rule fires, and what it then says, checked by counting on our own."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import derivations
from lexorder.engine.rule import Action
from lexorder.engine.snapshot import Subject
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Field, Literal, Term, Value
from lexorder.engine.units import Kind, Unit
from tests.rules.library import TODAY, book, decimal, forall, instrument, projected, rule, words, world

FRAMES = ("1m", "5m", "15m", "1h", "1d")
directions = st.sampled_from(["long", "short", "flat"])


def points(identifier: str, document: Mapping[str, Any]) -> dict[str, Point]:
    """Where a rule is read: every subject of its kind, by key."""
    seen = projected(document)
    snapshot, entity = seen.snapshot, rule(identifier).for_each
    tables: dict[str, dict[str, Mapping[str, Value]]] = {
        "signal": {str(s["signal.id"]): s for s in snapshot.signals},
        "pair": {str(p["pair.id"]): p for p in snapshot.pairs},
    }
    rows = tables.get(entity, dict(snapshot.instruments))
    rules = derivations(book().on(TODAY))
    top = account_subject(seen)
    return {key: Point(seen, (top, Subject(entity, key, facts)), {}, rules) for key, facts in rows.items()}


def firing(identifier: str, document: Mapping[str, Any]) -> set[str]:
    """The subjects a rule fires for."""
    when = rule(identifier).when
    assert when is not None
    return {key for key, at in points(identifier, document).items() if value(when, at)}


def derived(name: str, identifier: str, document: Mapping[str, Any]) -> dict[str, Value]:
    """A derived fact as the subjects of a rule see it, chained through every derive rule."""
    declared = words().names[name]
    return {key: value(Field(declared.unit, name), at) for key, at in points(identifier, document).items()}


def action(identifier: str, kind: str) -> dict[str, Term | str]:
    """The arguments of the one reaction of a kind."""
    (only,) = [a for a in rule(identifier).then if a.kind == kind]
    assert isinstance(only, Action)
    return dict(only.arguments)


def signals(*rows: tuple[str, str, str], confidence: str = "0.5") -> list[dict[str, str]]:
    """Signals for ACME from (timeframe, direction, strategy)."""
    return [
        {"id": f"S-{n}", "account": "A", "symbol": "ACME", "timeframe": t, "direction": d, "strategy": s}
        | {"confidence": confidence}
        for n, (t, d, s) in enumerate(rows)
    ]


rows = st.lists(st.tuples(st.sampled_from(FRAMES), directions, st.sampled_from(["X", "Y"])), max_size=8)


@forall(given=rows)
def test_short_term_agreement(given: list[tuple[str, str, str]]) -> None:
    now = world(signals=signals(*given))
    said = {(t, d) for t, d, _ in given}
    agreed = [way.upper() for way in ("long", "short") if {(t, way) for t in FRAMES[:3]} <= said]
    expected = agreed[0] if len(agreed) == 1 else "NONE"
    assert derived("market.short_term_agreement", "short-term-agreement", now) == {"ACME": expected, "BETA": "NONE"}


@forall(given=rows)
def test_timeframe_agreement_counts_each_timeframe_once(given: list[tuple[str, str, str]]) -> None:
    now = world(signals=signals(*given))
    count = {way: len({t for t, d, _ in given if d == way}) for way in ("long", "short")}
    strong = [way.upper() for way, n in count.items() if n >= 3]
    expected = strong[0] if len(strong) == 1 else "NONE"
    assert derived("market.timeframe_agreement", "timeframe-agreement", now) == {"ACME": expected, "BETA": "NONE"}


@forall(given=rows)
def test_a_signal_in_line_with_either_agreement_is_strong(given: list[tuple[str, str, str]]) -> None:
    now = world(signals=signals(*given))
    agreed = {
        derived(f"market.{name}", rule_id, now)["ACME"]
        for name, rule_id in (
            ("short_term_agreement", "short-term-agreement"),
            ("timeframe_agreement", "timeframe-agreement"),
        )
    }
    expected = {f"S-{n}": "STRONG" if d.upper() in agreed else "NORMAL" for n, (_, d, _) in enumerate(given)}
    assert derived("signal.strength", "strong-short-term-signal", now) == expected


@forall(millionths=st.integers(1_999_998, 2_000_002))
def test_reward_below_twice_the_risk_is_skipped(millionths: int) -> None:
    now = world(signals=[{**signals(("1d", "long", "X"))[0], "reward_risk": decimal(millionths, 6)}])
    assert firing("low-reward-skipped", now) == ({"S-0"} if millionths < 2_000_000 else set())
    assert action("low-reward-skipped", "skip")["reason"]


@forall(sides=st.lists(st.tuples(directions, st.integers(599_999, 600_001)), max_size=4))
def test_confident_signals_in_opposite_directions_count_half(sides: list[tuple[str, int]]) -> None:
    given = [
        {**row, "confidence": decimal(c, 6)}
        for row, (_, c) in zip(signals(*(("1d", d, f"X{n}") for n, (d, _) in enumerate(sides))), sides, strict=True)
    ]
    sure = {d for d, c in sides if c > 600_000}
    conflict = {"long", "short"} <= sure
    hit = {f"S-{n}" for n, (d, c) in enumerate(sides) if conflict and c > 600_000 and d != "flat"}
    assert firing("conflict-halves-confidence", world(signals=given)) == hit
    assert factor("conflict-halves-confidence") == ("signal.confidence", Fraction(1, 2))


def factor(identifier: str) -> tuple[object, object]:
    """Target and factor of a `scale` reaction."""
    scale = action(identifier, "scale")
    assert isinstance(scale["factor"], Literal)
    return scale["target"], scale["factor"].value


@forall(volatility=st.integers(49_998, 50_002))
def test_high_volatility_halves_the_size(volatility: int) -> None:
    market = [{"symbol": "ACME", "volatility": decimal(volatility, 6)}]
    now = world(signals=signals(("1d", "long", "X")), market=market)
    assert firing("high-volatility-halves-size", now) == ({"S-0"} if volatility > 50_000 else set())
    assert factor("high-volatility-halves-size") == ("position.after.quantity", Fraction(1, 2))


@forall(one=directions, other=directions, correlation=st.integers(799_999, 800_001))
def test_correlated_longs_aim_at_70_percent(one: str, other: str, correlation: int) -> None:
    pair = {"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": decimal(correlation, 6)}
    given = signals(("1d", one, "X"), ("1d", other, "X"))
    given[1]["symbol"] = "BETA"
    both = one == other == "long" and correlation > 800_000
    assert firing("correlated-longs-scaled", world(pairs=[pair], signals=given)) == ({"ACME/BETA"} if both else set())
    assert factor("correlated-longs-scaled") == ("position.after.quantity", Fraction(7, 10))


@forall(volatility=st.integers(49_999, 50_001), spike=st.integers(1_999_999, 2_000_001))
def test_volatile_regime(volatility: int, spike: int) -> None:
    market = [{"symbol": "ACME", "volatility": decimal(volatility, 6), "volume_spike": decimal(spike, 6)}]
    quiet = {"symbol": "BETA", "volatility": "0", "volume_spike": "1"}
    regime = derived("market.regime", "volatile-regime", world(market=[*market, quiet]))
    expected = "VOLATILE" if volatility > 50_000 and spike > 2_000_000 else "NORMAL"
    assert regime == {"ACME": expected, "BETA": "NORMAL"}


@forall(
    fall=st.integers(-20_002, -19_998),
    age=st.integers(1_999, 2_001),
    state=st.sampled_from(["NORMAL", "LIMIT", "PAUSED"]),
)
def test_flash_crash(fall: int, age: int, state: str) -> None:
    seen = {"symbol": "ACME", "return_10s": decimal(fall, 6), "quote_age": f"{age} ms", "luld_state": state}
    crash = fall < -20_000 and age <= 2_000 and state != "PAUSED"
    now = world(market=[seen], instruments=[instrument()])
    assert firing("flash-crash-exit", now) == ({"ACME"} if crash else set())


def test_a_flash_crash_sells_everything_one_percent_below_the_bid() -> None:
    exit_all = action("flash-crash-exit", "exit")
    assert isinstance(exit_all["fraction"], Literal)
    assert exit_all["fraction"].value == 1
    (at,) = points("flash-crash-exit", world(instruments=[instrument(bid="87.65")])).values()
    assert isinstance(exit_all["price"], Term)
    assert value(exit_all["price"], at) == Fraction(8765 * 99, 10_000)
    assert action("flash-crash-exit", "set")["trading_state"] == "REDUCING"


@forall(gap=st.integers(4_999, 5_001), age=st.integers(1_999, 2_001))
def test_cross_venue_gap(gap: int, age: int) -> None:
    seen = {"symbol": "ACME", "venue_gap": decimal(gap, 6), "quote_age": f"{age} ms"}
    now = world(market=[seen], instruments=[instrument()])
    assert firing("cross-venue-gap", now) == ({"ACME"} if gap > 5_000 and age <= 2_000 else set())


@forall(fall=st.integers(-50_001, -49_999), window=st.integers(299_999, 300_001))
def test_a_fall_of_5_percent_within_5_minutes(fall: int, window: int) -> None:
    seen = {"symbol": "ACME", "move": decimal(fall, 6), "window": f"{window} ms"}
    now = world(market=[seen], instruments=[instrument()])
    assert firing("fast-fall-reduces", now) == ({"ACME"} if fall <= -50_000 and window <= 300_000 else set())
    assert action("fast-fall-reduces", "set")["trading_state"] == "REDUCING"


@pytest.mark.parametrize("identifier", ["flash-crash-exit", "cross-venue-gap", "fast-fall-reduces"])
def test_reactions_of_the_monitor_alert_someone(identifier: str) -> None:
    assert action(identifier, "alert")["level"] in ("warning", "critical")


def test_enumerations_of_agreement_are_plain_words() -> None:
    assert words().names["market.timeframe_agreement"].unit == Unit(Kind.ENUM, values=("NONE", "LONG", "SHORT"))
