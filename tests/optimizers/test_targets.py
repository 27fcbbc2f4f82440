"""What the rules on signals leave of proposed weights; no library is asked here, a stand-in proposes.

The property: whatever is proposed and whatever the rules did, no weight grows, and a name all of whose signals are
skipped is at most what is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.errors import UsageError
from lexorder.engine.facts import load_snapshot
from lexorder.optimizers import targets as module
from lexorder.optimizers.board import Board
from lexorder.optimizers.estimates import Aims, independent
from lexorder.optimizers.models import Model, Target
from lexorder.optimizers.signals import SignalReport, SignalRow, blended
from lexorder.optimizers.targets import Sources, steered, stopped
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rows import small

TENTH, HALF = Fraction(1, 10), Fraction(1, 2)


def board(*holdings: int, **facts: Any) -> Board:
    """Names A, B, … at 10 of a NAV of 1,000: a share weighs 1%."""
    snapshot = load_snapshot(small(*holdings, **facts), VOCABULARY)
    return board_of(snapshot, VOCABULARY, ACCOUNT, (), Trading(trader="T-1"))


def row(symbol: str, expects: str = "0.02", before: str = "0.8", after: str = "", skipped: str = "") -> SignalRow:
    kept = Fraction(0) if skipped else Fraction(after or before)
    way = "short" if expects.startswith("-") else "long"
    return SignalRow(
        f"S-{symbol}", symbol, "X", "1d", way, Fraction(expects), Fraction(before), kept, False, skipped
    )  # fmt: skip


def report(*rows: SignalRow, sizes: Mapping[str, Fraction] | None = None) -> SignalReport:
    """A report as `through_rules` would make it."""
    live, factors = blended(rows), dict(sizes or {})
    expected = {s: live.get(s, Fraction(0)) * factors.get(s, 1) for s in "ABCDEF"}
    return SignalReport(rows, expected, {}, factors)


def sources(names: int = 3) -> Sources:
    return Sources(independent(names, 0.02), tuple("ABCDEF"[:names]), Aims(), 5.0)


def followed(weights: Mapping[str, str | Fraction], signals: SignalReport, *holdings: int) -> dict[str, Target]:
    """The caller's weights after the rules."""
    model = Model("target_weights", targets={s: Fraction(w) for s, w in weights.items()})
    found = steered(model, board(*(holdings or (0, 0, 0))), signals, sources()).targets
    return {t.symbol: t for t in found}


# ---- the caller's own weights ----------------------------------------------------------------------------------------


def test_weights_no_rule_concerns_are_followed_to_the_last_digit():
    exact = Fraction("0.123456789012345678")
    found = followed({"A": exact, "B": "0.05"}, report(row("A")))
    assert found == {"A": Target("A", exact, exact), "B": Target("B", Fraction("0.05"), Fraction("0.05"))}


def test_a_name_that_is_held_and_has_no_weight_is_aimed_at_nought():
    assert followed({"A": "0.1"}, report(), 0, 7, 0)["B"] == Target("B", Fraction(0), Fraction(0))


def test_a_signal_the_other_way_is_the_caller_s_own_contradiction_and_not_a_rule():
    assert followed({"A": "0.1"}, report(row("A", "-0.02"))) == {"A": Target("A", TENTH, TENTH)}


@pytest.mark.parametrize("symbol", ["Z", "a", "", "\x1b[31m"], ids=["other", "case", "empty", "control"])
def test_a_weight_of_a_name_without_a_price_is_refused(symbol):
    with pytest.raises(UsageError) as refused:
        followed({"A": "0.1", symbol: "0.1"}, report())
    assert refused.value.code == "unknown-symbol"
    assert "\x1b" not in refused.value.message


@pytest.mark.parametrize(("held", "fine"), [(-5, True), (0, False), (5, False)])
def test_a_short_position_may_be_kept_and_none_is_opened(held, fine):
    if fine:
        found = followed({"A": "-0.03"}, report(), held, 0, 0)["A"]
        assert (found.proposed, found.weight) == (Fraction("-0.03"), Fraction("-0.03"))
        return
    with pytest.raises(UsageError) as refused:
        followed({"A": "-0.03"}, report(), held, 0, 0)
    assert refused.value.code == "short-target"


# ---- what rules take -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "sizes", "left", "why"),
    [
        ((row("A", after="0.4"),), {}, HALF, "confidence times 0.5"),
        ((row("A"), row("A", skipped="low")), {}, HALF, "confidence times 0.5"),
        ((row("A", before="0.9", after="0.9"), row("A", before="0.1", skipped="low")), {}, Fraction(9, 10), "0.9"),
        ((row("A"), row("A", "-0.05", skipped="low")), {}, Fraction(1), ""),
        ((row("A"), row("A", "-0.01", after="0.1")), {}, Fraction(1), ""),
        ((row("A", after="1"),), {}, Fraction(1), ""),
        ((row("A", after="0"),), {}, Fraction(0), "confidence times 0"),
        ((row("A", before="0"),), {}, Fraction(1), ""),
        ((row("A"),), {"A": HALF}, HALF, "size times 0.5"),
        ((row("A", after="0.4"),), {"A": HALF}, Fraction(1, 4), "size times 0.5; confidence times 0.5"),
        ((row("B", after="0.4"),), {"B": HALF}, Fraction(1), ""),
        ((), {"A": Fraction(1, 3)}, Fraction(1, 3), "size times 0.3333"),
    ],
    ids=range(12),
)
def test_the_part_of_a_weight_that_is_left(rows, sizes, left, why):
    found = followed({"A": "0.1"}, report(*rows, sizes=sizes))["A"]
    assert found.weight == TENTH * left
    assert why in found.why
    assert bool(found.why) is bool(why)


@pytest.mark.parametrize(("held", "wanted", "left"), [(0, 10, 0), (4, 10, 4), (10, 10, 10), (10, 4, 4), (11, 10, 10)])
def test_a_name_all_of_whose_signals_are_skipped_is_not_bought_and_not_sold_for_that(held, wanted, left):
    found = followed({"A": Fraction(wanted, 100)}, report(row("A", skipped="low")), held, 0, 0)["A"]
    assert found.weight == Fraction(left, 100)
    assert "not bought" in found.why


def test_one_that_is_short_is_not_sold_further():
    found = followed({"A": "-0.09"}, report(row("A", "-0.02", skipped="low")), -5, 0, 0)["A"]
    assert found.weight == Fraction(-5, 100)


def test_those_names_are_kept_from_being_bought_whatever_is_tracked():
    assert stopped(report(row("A", skipped="x"), row("A", skipped="y"), row("B", skipped="x"), row("B"))) == {"A"}
    assert stopped(report()) == frozenset()


# ---- libraries -------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A stand-in for both libraries that gives every name the same; what it was asked about."""
    asked: list[Any] = []

    def even(model: Model, names: list[str], signals: SignalReport, given: Sources) -> list[float]:
        asked.append((model.name, names))
        return [float(model.invested or 1) / len(names)] * len(names)

    monkeypatch.setattr(module, "_asked", even)
    return asked


def proposed(signals: SignalReport, *holdings: int, model: Model | None = None) -> dict[str, Target]:
    found = steered(model or Model("risk_parity"), board(*(holdings or (0, 0, 0))), signals, sources()).targets
    return {t.symbol: t for t in found}


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ((), "ABC"),
        ((row("A"),), "ABC"),
        ((row("A", "-0.02"),), "BC"),
        ((row("A", "0"),), "BC"),
        ((row("A", "0.01"), row("A", "-0.02")), "BC"),
        ((row("A", "0.02"), row("A", "-0.01")), "ABC"),
        ((row("A", "-0.02", skipped="low"),), "ABC"),
        ((row("A", "-0.02", skipped="low"), row("A")), "ABC"),
        ((row("A", after="0"),), "ABC"),
    ],
    ids=range(9),
)
def test_a_library_chooses_among_names_that_live_signals_do_not_speak_against(library, rows, chosen):
    proposed(report(*rows))
    assert library == [("risk_parity", list(chosen))]


def test_a_held_name_that_signals_speak_against_is_aimed_at_nought_and_says_why(library):
    found = proposed(report(row("A", "-0.02")), 5, 0, 0)["A"]
    assert found == Target("A", Fraction(0), Fraction(0), "its signals speak against it")


def test_when_signals_speak_against_everything_nobody_is_asked(library):
    with pytest.raises(UsageError) as refused:
        proposed(report(*(row(s, "-0.02") for s in "ABC")))
    assert refused.value.code == "nothing-to-choose"
    assert library == []


def test_what_rules_take_stays_in_cash_and_makes_no_other_name_larger(library):
    plain = proposed(report(row("A"), row("B"), row("C")))
    for taken in (row("A", skipped="low"), row("A", after="0.2")):
        cut = proposed(report(taken, row("B"), row("C")))
        assert cut["A"].weight < plain["A"].weight
        assert {s: cut[s] for s in "BC"} == {s: plain[s] for s in "BC"}
        assert cut["A"].proposed == plain["A"].proposed


def test_a_model_that_is_told_returns_has_the_confidence_in_them_already(library):
    signals = report(row("A", after="0.4"), row("B"), sizes={"B": HALF})
    told = proposed(signals, model=Model("max_utility"))
    assert told["A"].weight == told["A"].proposed
    assert told["B"].weight == told["B"].proposed / 2, "the factor on size still acts"


def test_names_without_a_price_are_nobody_s_choice(library):
    document = small(0, 0, 0)
    del document["instruments"][1]["mark"]  # type: ignore[index]
    bare = board_of(load_snapshot(document, VOCABULARY), VOCABULARY, ACCOUNT, (), Trading())
    steered(Model("risk_parity"), bare, report(), sources())
    assert library == [("risk_parity", ["A", "C"])]


def test_of_a_factor_model_of_all_names_those_asked_about_are_taken():
    given = replace(sources(), returns=independent(3, 0.02))
    given.returns.idiosyncratic[:] = [1.0, 2.0, 3.0]
    assert given.of(["C", "A"]).idiosyncratic.tolist() == [3.0, 1.0]
    assert given.of(["C", "A"]).loadings.shape == (1, 2)


# ---- the property ----------------------------------------------------------------------------------------------------

CENTS = st.integers(0, 100).map(lambda n: Fraction(n, 100))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Fraction], list[int], SignalReport]:
    """Weights that sum to 1 at most, holdings, and signals with whatever rules do to them."""
    weights = draw(st.lists(CENTS, min_size=3, max_size=3).filter(lambda w: 0 < sum(w) <= 1))
    holdings = draw(st.lists(st.integers(0, 40), min_size=3, max_size=3))
    rows = []
    for symbol in draw(st.lists(st.sampled_from("ABC"), max_size=6)):
        before = draw(CENTS)
        after = min(before, draw(CENTS))
        skip = draw(st.sampled_from(["", "", "low"]))
        rows.append(row(symbol, str(draw(st.integers(-5, 5))), str(before), str(after), skip))
    sizes = draw(st.dictionaries(st.sampled_from("ABC"), CENTS))
    return weights, holdings, report(*rows, sizes=sizes)


@given(worlds())
def test_rules_only_lower_a_weight(case):
    weights, holdings, signals = case
    found = followed(dict(zip("ABC", weights, strict=True)), signals, *holdings)
    for symbol, target in found.items():
        held = Fraction(holdings["ABC".index(symbol)], 100)
        assert 0 <= target.weight <= target.proposed
        if symbol in stopped(signals):
            assert target.weight <= held
        assert bool(target.why) or target.weight == target.proposed


@given(worlds())
def test_a_stricter_rule_leaves_no_more(case):
    weights, holdings, signals = case
    wanted = dict(zip("ABC", weights, strict=True))
    before = followed(wanted, signals, *holdings)
    tighter = replace(signals, sizes={s: signals.sizes.get(s, Fraction(1)) / 2 for s in "ABC"})
    after = followed(wanted, tighter, *holdings)
    assert all(after[s].weight <= before[s].weight for s in before)


def test_weights_of_a_library_are_taken_over_as_the_decimals_that_are_told(monkeypatch):
    third = np.float64(1 / 3)
    monkeypatch.setattr(module, "_asked", lambda *_: [float(third)] * 3)
    assert proposed(report())["A"].proposed == Fraction("0.333333333")
