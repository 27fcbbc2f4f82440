"""For what a rule must hold in a rebalance, which names that touches, and when a rule speaks at all."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from lexorder.engine.certificate import Row
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Subject
from lexorder.optimizers.board import Board
from lexorder.optimizers.confirm import confirm
from lexorder.optimizers.rows import RowsRefused, names_under, relevant, row_id, rows_of, subjects_under
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rows import DAY, holds, lowered, rule, small

VALUE = "sum(position.after.value)"


def board(text: str, given: dict[str, Any], **trading: Any) -> tuple[Board, Any]:
    rules = RuleBook.of(text, VOCABULARY).on(DAY)
    snapshot = load_snapshot(given, VOCABULARY)
    return board_of(snapshot, VOCABULARY, ACCOUNT, rules, Trading(**{"trader": "T-1", **trading})), rules


# ---- names under a subject -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "key", "names"),
    [
        ("account", ACCOUNT, [0, 1, 2]),
        ("trader", "T-1", [0, 1, 2]),
        ("instrument", "B", [1]),
        ("position", "C", [2]),
        ("market", "A", [0]),
        ("issuer", "B-CORP", [1]),
        ("sector", "Left", [0, 2]),
        ("sector", "Right", [1]),
        ("currency", "USD", [0, 1, 2]),
        ("issuer", "NOBODY", []),
        ("instrument", "Z", []),
    ],
)
def test_the_names_a_subject_is_about(entity, key, names):
    found, _ = board(rule(f"{VALUE} <= 1"), small(1, 0, 2))
    assert names_under(Subject(entity, key, {}), found) == names


def test_a_pair_is_about_both_its_names_and_an_order_about_its_own():
    found, _ = board(rule(f"{VALUE} <= 1"), small(1, 0, 2))
    pair = found.projection.snapshot.pairs[0]
    assert names_under(Subject("pair", "A/B", pair), found) == [0, 1]
    assert names_under(Subject("order", "R-C-S", {}), found) == [2]
    assert names_under(Subject("order", "NO-SUCH", {}), found) == []


# ---- subjects of a rule ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("for_each", "phases", "keys"),
    [
        ("account", "[rebalance]", [ACCOUNT]),
        ("issuer", "[rebalance]", ["A-CORP", "B-CORP", "C-CORP"]),
        ("sector", "[rebalance]", ["Left", "Right"]),
        ("position", "[rebalance]", ["A", "B", "C"]),
        ("instrument", "[rebalance]", ["A", "B", "C"]),
        ("instrument", "[pre_trade]", ["B", "C"]),
        ("issuer", "[pre_trade]", ["B-CORP", "C-CORP"]),
        ("order", "[pre_trade]", ["R-B-B", "R-C-B", "R-C-S"]),
        ("trader", "[pre_trade]", ["T-1"]),
        ("pair", "[rebalance]", ["A/B"]),
    ],
)
def test_what_is_held_and_cannot_be_traded_is_judged_in_a_rebalance(for_each, phases, keys):
    body = {
        "order": "order.quantity <= 5",
        "trader": "sum(order.quantity) <= 9",
        "pair": "pair.correlation < 2 or account.after.cash > 0",
    }
    require = body.get(for_each, f"{VALUE} <= 90")
    found, (one,) = board(rule(require, for_each=for_each, phases=phases), small(4, 0, 2), stay=frozenset({"A"}))
    assert [s.key for s in subjects_under(one, found)] == keys


# ---- which rules bind ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "phases", "bound"),
    [
        ("", "[rebalance]", True),
        ("", "[pre_trade]", True),
        ("", "[monitor]", False),
        ("  severity: warn\n", "[rebalance]", False),
        ("  severity: soft\n", "[rebalance]", True),
        ("  scope: {accounts: [ACC-1]}\n", "[rebalance]", True),
        ("  scope: {accounts: [OTHER]}\n", "[rebalance]", False),
        ("  scope: {accounts: {tag: long-only}}\n", "[rebalance]", True),
        ("  scope: {accounts: {tag: hedge}}\n", "[rebalance]", False),
        ("  scope: {accounts: {tag: long-only}, except: [ACC-1]}\n", "[rebalance]", False),
    ],
)
def test_phase_severity_and_scope_say_who_is_bound(more, phases, bound):
    (one,) = RuleBook.of(rule(f"{VALUE} <= 50", phases=phases, more=more), VOCABULARY).on(DAY)
    assert bool(relevant([one], ACCOUNT, frozenset({"long-only"}))) is bound


@pytest.mark.parametrize("deed", ["derive: {market.regime: VOLATILE}", "then: [{skip: x}]"])
def test_derive_and_then_rules_are_no_requirements(deed):
    text = "- rule: d\n  title: D\n  phases: [signal]\n  for_each: market\n  when: market.volatility > 5%\n"
    assert relevant(RuleBook.of(f"{text}  {deed}\n", VOCABULARY).on(DAY), ACCOUNT, frozenset()) == []


# ---- when a rule speaks ----------------------------------------------------------------------------------------------


def admitted(text: str, given: dict[str, Any], reach: int = 8) -> set[tuple[int, ...]]:
    """The holdings the rows admit, confirmed against the evaluator."""
    found, where = lowered(text, given)
    confirm(found, where, vertices=10)
    return {x for x in product(range(reach), repeat=len(where.candidates)) if holds(found, x)}


def test_a_guard_that_is_not_met_makes_no_row_and_one_that_is_makes_it():
    for mark, rows in (("mark > 50", 0), ("mark > 5", 1)):
        text = rule(f"{VALUE} <= 30", for_each="instrument", more=f"  when: instrument.{mark}\n")
        assert len(lowered(text, small(3))[0].rows) == rows


def test_a_pre_trade_rule_broken_now_binds_only_who_trades():
    # Seven are held where three are allowed and old breaches must end at once: standing still is no trade.
    text = rule(f"{VALUE} <= 30", for_each="issuer", phases="[pre_trade]", more="  if_already_breached: block\n")
    assert admitted(text, small(7, 1)) == {(a, b) for a in (0, 1, 2, 3, 7) for b in range(4)}


def test_the_same_rule_for_a_rebalance_binds_what_stands_still_too():
    text = rule(f"{VALUE} <= 30", for_each="issuer", more="  if_already_breached: block\n")
    assert admitted(text, small(7, 1)) == {(a, b) for a in range(4) for b in range(4)}


def test_a_missing_fact_that_the_rule_fails_by_stops_what_it_covers():
    given: dict[str, Any] = small(5, 1)
    del given["instruments"][0]["adv"]
    text = rule("sum(order.filled) <= 10% * instrument.adv", for_each="instrument", more="  if_missing: fail\n")
    found, _ = lowered(text, given)
    assert [(r.rule, r.subject) for r in found.stopped] == [("r", "A")]
    assert all(holds(found, (x, 1)) is (x == 5) for x in range(8))


def test_a_missing_fact_behind_a_guard_stops_only_where_the_guard_is_met():
    given: dict[str, Any] = small(5, 1)
    del given["instruments"][0]["adv"]
    text = rule(
        "sum(order.filled) <= 10% * instrument.adv", for_each="instrument", phases="[pre_trade]",
        more="  when: sum(order.filled) > 2\n",
    )  # fmt: skip
    found, _ = lowered(text, given)
    assert {x for x in range(11) if holds(found, (x, 1))} == {3, 4, 5, 6, 7}


def test_all_rules_that_cannot_be_written_are_named_at_once():
    curved = "sum(position.after.quantity * position.after.quantity) >= 9"
    text = rule(curved) + rule(curved, for_each="sector").replace("rule: r", "rule: s")
    text += rule(f"{VALUE} <= 90").replace("rule: r", "rule: fine")
    with pytest.raises(RowsRefused) as refused:
        lowered(text, small(2, 2))
    assert {(r.rule, r.subject) for r in refused.value.refusals} == {("r", ACCOUNT), ("s", "Left"), ("s", "Right")}
    assert "fine" not in refused.value.message


def test_a_condition_that_no_trade_can_meet_is_a_row_that_nothing_meets():
    found, _ = lowered(rule(f"{VALUE} <= 30 and account.nav > 5_000"), small(3))
    assert not any(holds(found, (x,)) for x in range(20))


def test_every_row_and_clause_knows_its_rule_and_subject():
    text = rule(f"{VALUE} <= 30 or {VALUE} >= 60") + rule(f"{VALUE} <= 90", for_each="issuer").replace(
        "rule: r", "rule: s"
    )
    found, _ = lowered(text, small(2, 2))
    assert len(found.sources) == len(found.rows)
    assert len(found.clause_sources) == len(found.clauses) == 1
    for row, source in zip(found.rows, found.sources, strict=True):
        assert row.id == row_id(source.rule.id, source.subject.key)
    ((clause_rule, subject),) = found.clause_sources
    assert (clause_rule.id, subject.key) == ("r", ACCOUNT)
    assert {s.rule.id for s, row in zip(found.sources, found.rows, strict=True) if row.asserted} == {"s"}


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("Société", "r/Soci\\xe9t\\xe9"),
        ("株", "r/\\u682a"),
        ("a\nb\x7f", "r/a\\nb\\x7f"),
        ("a\\b", "r/a\\\\b"),
        ("", "r/"),
    ],
)
def test_names_of_rows_are_printable_ascii(subject, told):
    assert row_id("r", subject) == told
    assert Row(told, 0).id == told


def test_an_issuer_of_any_name_can_be_rebalanced():
    given: dict[str, Any] = small(3, 1)
    given["instruments"][0]["issuer"] = "Société\tGénérale\u2028"
    found, where = lowered(rule(f"{VALUE} <= 50", for_each="issuer"), given)
    assert confirm(found, where) > 0
    assert {row.id for row in found.rows} == {"r/B-CORP", "r/Soci\\xe9t\\xe9\\tG\\xe9n\\xe9rale\\u2028"}


def test_rows_without_rules_are_none():
    found, _ = board(rule(f"{VALUE} <= 1"), small(1))
    assert rows_of([], found).rows == []
