"""Single rules lowered to rows: what each becomes, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import product
from random import Random

import pytest

from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.optimizers.board import Board
from lexorder.optimizers.confirm import RowsMismatch, confirm
from lexorder.optimizers.row_units import names_of, working_of
from lexorder.optimizers.rows import RowSet, RowsRefused, relevant, row_id, rows_of
from lexorder.optimizers.separable import LoweringError, alternatives, every, some
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, NOW, VOCABULARY, document

DAY = date(2026, 6, 15)


def small(
    *holdings: int, working: tuple[tuple[str, str, int], ...] = (), lot: int = 1, **facts: str
) -> dict[str, object]:
    """A document of names A, B, … at a mark of 10, NAV 1,000, with these holdings."""
    symbols = [chr(ord("A") + n) for n in range(len(holdings))]
    return {
        "time": NOW,
        "accounts": [{"id": ACCOUNT, "currency": "USD", "nav": "1000", "cash": "500", **facts}],
        "instruments": [
            {
                "symbol": s,
                "issuer": f"{s}-CORP",
                "sector": "Left" if n % 2 == 0 else "Right",
                "currency": "USD",
                "mark": "10",
                "mark_time": NOW,
                "lot": str(lot),
                "adv": "1000",
            }
            for n, s in enumerate(symbols)
        ],
        "positions": [
            {"account": ACCOUNT, "symbol": s, "quantity": str(q)} for s, q in zip(symbols, holdings, strict=True) if q
        ],
        "working_orders": [
            {"id": f"W-{k}", "account": ACCOUNT, "symbol": s, "side": side, "quantity": str(q), "price": "10"}
            for k, (s, side, q) in enumerate(working)
        ],
        "pairs": [{"id": "A/B", "first": "A", "second": "B", "correlation": "0.9"}] if len(holdings) > 1 else [],
        "lists": {"restricted": [{"name": "B", "elsewhere": True}], "watch": []},
        "traders": [{"id": "T-1", "role": "portfolio_manager"}],
    }


def rule(require: str, *, for_each: str = "account", phases: str = "[rebalance]", more: str = "") -> str:
    return f"- rule: r\n  title: A rule\n  phases: {phases}\n  for_each: {for_each}\n  require: '{require}'\n{more}"


def lowered(text: str, given: dict[str, object], trading: Trading | None = None) -> tuple[RowSet, Board]:
    book = RuleBook.of(text, VOCABULARY)
    rules = book.on(DAY)
    board = board_of(load_snapshot(given, VOCABULARY), VOCABULARY, ACCOUNT, rules, trading or Trading(trader="T-1"))
    return rows_of(relevant(rules, ACCOUNT, frozenset()), board), board


def holds(found: RowSet, units: tuple[int, ...]) -> bool:
    """What the integer rows and clauses say of holdings in units."""
    held = [sum(f.value(units[n]) for n, f in row.functions) <= row.limit for row in found.rows]
    return all(h for h, row in zip(held, found.rows, strict=True) if row.asserted) and all(
        any(all(held[r] for r in option) for option in clause.alternatives) for clause in found.clauses
    )


def test_a_weight_limit_is_one_row_in_whole_shares():
    found, _ = lowered(rule("sum(abs(position.after.value)) <= 5% * account.nav", for_each="issuer"), small(3))
    (row,) = found.rows
    assert row.id == "r/A-CORP"
    assert row.asserted
    assert row.passive
    assert [row.functions[0][1].value(x) <= row.limit for x in (4, 5, 6)] == [True, True, False]


def test_a_strict_comparison_leaves_out_the_limit_itself():
    found, _ = lowered(rule("sum(position.after.value) < 50"), small(3))
    assert [holds(found, (x,)) for x in (4, 5)] == [True, False]


def test_an_equality_is_two_rows():
    found, _ = lowered(rule("sum(position.after.quantity) == 4"), small(3))
    assert len(found.rows) == 2
    assert [holds(found, (x,)) for x in (3, 4, 5)] == [False, True, False]


def test_an_absolute_sum_over_names_is_two_rows():
    found, _ = lowered(rule("abs(sum(position.after.quantity) - 4) <= 1"), small(1, 1))
    assert {x for x in product(range(8), repeat=2) if holds(found, x)} == {
        x for x in product(range(8), repeat=2) if 3 <= sum(x) <= 5
    }


def test_costs_bend_where_the_trade_changes_side():
    found, _ = lowered(rule("account.after.cash >= 400"), small(5))
    (row,) = found.rows
    (_, function), *_ = row.functions
    assert function.breaks == (5,)
    # Ten more cost 10.01 each at the limit price; a sale brings 9.99.
    assert holds(found, (5 + 9,))
    assert not holds(found, (5 + 10,))


def test_not_both_is_a_clause():
    text = (
        rule(
            'not (any(position.symbol == "A" and position.after.quantity > 0)'
            ' and any(position.symbol == "B" and position.after.quantity > 0))'
        )
        .replace("'", "''")
        .replace("require: ''", "require: '")
        .replace("''\n", "'\n")
    )
    found, _ = lowered(text, small(1, 0))
    assert found.clauses
    assert [holds(found, x) for x in ((0, 0), (3, 0), (0, 3), (1, 1))] == [True, True, True, False]


def test_a_guard_on_holdings_is_a_clause_or_a_range():
    text = rule("position.after.quantity >= 5", for_each="position", more="  when: position.after.quantity > 0\n")
    found, _ = lowered(text, small(6))
    assert [holds(found, (x,)) for x in (0, 1, 4, 5, 9)] == [True, False, False, True, True]


def test_counting_names_jumps():
    found, _ = lowered(rule("count(position where position.after.quantity != 0) <= 1"), small(1, 0, 0))
    wanted = {x for x in product(range(3), repeat=3) if sum(v != 0 for v in x) <= 1}
    assert {x for x in product(range(3), repeat=3) if holds(found, x)} == wanted


def test_a_threshold_sum_counts_large_names_only():
    found, _ = lowered(rule("sum(position.after.value where position.after.value > 50) <= 120"), small(1, 1))
    wanted = {x for x in product(range(14), repeat=2) if sum(10 * v for v in x if v > 5) <= 120}
    assert {x for x in product(range(14), repeat=2) if holds(found, x)} == wanted


def test_a_division_by_what_moves_is_cleared_where_it_stays_positive():
    found, board = lowered(rule("sum(position.after.value) / account.after.nav <= 60%"), small(10))
    assert confirm(found, board) > 0
    assert not found.rows[0].passive


def test_working_orders_stand_at_their_worst():
    text = rule("sum(position.after.value) <= 5% * account.nav", for_each="issuer")
    found, board = lowered(text, small(3, working=(("A", "buy", 2), ("A", "sell", 1))))
    assert names_of(board)[0].lower == names_of(board)[0].upper == 3
    assert [w.quantity for w in working_of(board)] == [2, -1]
    assert confirm(found, board, vertices=8) > 0
    assert board.domains[0] == (2, 5)


def test_cash_of_several_working_orders_is_exact():
    text = rule("account.after.nav >= 90% * account.nav")
    found, board = lowered(text, small(3, 2, working=(("A", "buy", 2), ("A", "sell", 1), ("B", "buy", 4))))
    assert confirm(found, board, vertices=12) > 0
    (row,) = found.rows
    assert [k for k, _ in row.working] == [] or all(n != 0 for n, _ in row.functions)


def test_lots_are_units():
    text = rule("sum(position.after.value) <= 25% * account.nav", for_each="issuer")
    found, board = lowered(text, small(13, lot=10))
    (name,) = names_of(board)
    assert (name.held, name.lower) == (1, 0)
    assert [holds(found, (u,)) for u in (0, 1, 2, 3)] == [True, True, True, False]  # 3, 13, 23 and 33 shares


def test_a_restricted_name_stays():
    found, _ = lowered(
        rule(
            "position.after.quantity == position.before.quantity",
            for_each="position",
            more="  when: position.symbol in lists.restricted\n",
        ),
        small(2, 4),
    )
    assert [holds(found, (7, x)) for x in (3, 4, 5)] == [False, True, False]


def test_an_order_rule_bounds_the_trade_both_ways():
    found, _ = lowered(rule("order.quantity <= 3", for_each="order", phases="[pre_trade]"), small(5))
    assert [holds(found, (x,)) for x in (1, 2, 5, 8, 9)] == [False, True, True, True, False]


def test_a_smallest_order_size_is_left_to_the_order():
    found, _ = lowered(rule("order.quantity >= 3", for_each="order", phases="[pre_trade]"), small(5))
    assert not found.rows
    assert {r.subject for r in found.left_to_orders} == {"R-A-B", "R-A-S"}


def test_a_pre_trade_stop_pins_every_name():
    text = rule("account.nav >= 2_000", phases="[pre_trade]")
    found, _ = lowered(text, small(5, 1))
    assert {x for x in product(range(8), range(4)) if holds(found, x)} == {(5, 1)}


def test_a_missing_fact_pins_a_pre_trade_rule_and_refuses_a_rebalance_rule():
    given = small(5, 1)
    del given["instruments"][0]["adv"]  # type: ignore[index]
    text = "sum(order.filled) <= 10% * instrument.adv"
    found, _ = lowered(rule(text, for_each="instrument", phases="[pre_trade]"), given)
    assert {x for x in product(range(3, 8), range(4)) if holds(found, x) and x[1] == 1} == {(5, 1)}
    with pytest.raises(RowsRefused, match=r"adv.*A") as error:
        lowered(rule(text, for_each="instrument"), given)
    assert [r.subject for r in error.value.refusals] == ["A"]


@pytest.mark.parametrize(
    ("require", "why"),
    [
        ("sum(position.after.value) * sum(position.after.value) <= 5 * account.nav * account.nav", "multiplies"),
        ("sum(position.after.value) / account.after.cash <= 2", "reach zero"),
        ("sum(if sum(position.after.value) > 5 then 1 else 0) <= 2 ", ""),
    ],
)
def test_what_cannot_be_lowered_is_refused_by_name(require, why):
    try:
        text = rule(require)
        RuleBook.of(text, VOCABULARY)
    except Exception:
        pytest.skip("the front end refuses it already")
    with pytest.raises(RowsRefused, match=why or "."):
        lowered(text, small(5, 1))


def test_a_concave_limit_is_refused_as_a_row():
    with pytest.raises(RowsRefused, match="bends downward"):
        lowered(rule("sum(position.after.quantity * position.after.quantity) >= 9"), small(2, 2))


def test_confirm_notices_a_wrong_row():
    found, board = lowered(rule("sum(position.after.value) <= 50"), small(3, 1))
    found.rows[0] = replace(found.rows[0], limit=found.rows[0].limit + 1)
    with pytest.raises(RowsMismatch):
        confirm(found, board, also=[[6, 0], [5, 1]])


def test_warnings_and_other_phases_are_not_rows():
    text = rule("sum(position.after.value) <= 50", more="  severity: warn\n")
    found, _ = lowered(text, small(3))
    assert not found.rows


def test_identifiers_are_ascii():
    assert row_id("r", "Nestlé") == "r/Nestl\\xe9"
    assert len(row_id("r", "x" * 500)) == 200


def test_alternatives_are_bounded():
    found, board = lowered(rule("sum(position.after.value) <= 50"), small(3, 1))
    atom = found.sources[0].atom
    tree = every([some([atom, every([atom, atom])]) for _ in range(12)])
    with pytest.raises(LoweringError, match="alternatives"):
        alternatives(tree)
    assert board.held() == [3, 1]


def test_generated_documents_have_no_more_than_their_means():
    for seed in range(20):
        given = document(Random(seed), 12, working=2, lots=True)
        assert float(given["accounts"][0]["cash"]) >= 0
