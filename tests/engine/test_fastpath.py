"""The generated check: what it covers, what it refuses, and that it never lets a missing fact pass."""

from __future__ import annotations

import operator
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine import fastpath
from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.errors import RuleFileError
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.slots import ABSENT, Table, touches, whole_at
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import Field
from lexorder.engine.units import TEXT
from tests.agreement import compare, worlds
from tests.engine.test_worst import order, plain_world


def plan_of(text: str, for_each: str = "order", **more: str) -> Plan:
    lines = "".join(f"  {key}: {value}\n" for key, value in more.items())
    book = f"- rule: tested\n  title: t\n  for_each: {for_each}\n{lines}  require: {text}\n"
    return Plan(RuleBook.of(book, compare.VOCABULARY).on(compare.DAY), compare.VOCABULARY)


FAST = (
    ("issuer", "sum(abs(position.after.value)) <= 5% * account.nav"),
    ("sector", "sum(position.after.value) / account.nav <= 20%"),
    ("account", "sum(abs(position.after.value)) <= 2 * account.nav"),
    ("account", "account.after.cash >= 2% * account.nav"),
    ("account", "sum(abs(position.after.value)) <= 2 * account.after.nav"),
    ("account", "account.after.nav >= 50% * account.nav"),
    ("account", "sum(max(position.after.value, 0)) <= account.nav"),
    ("account", 'sum(position.after.value where instrument.sector == "Tech") <= 30% * account.nav'),
    ("instrument", "sum(order.filled) + sum(working_order.filled) + sum(fill.quantity) <= 10% * instrument.adv"),
    ("position", "position.after.quantity <= max(0, position.before.quantity)"),
    ("position", "abs(position.after.value) <= 50_000 and position.after.quantity >= -5"),
    ("trader", "trader.traded_today + sum(order.notional where order.trader == trader) <= 25_000 USD"),
    ("order", "order.notional <= 500_000"),
    ("order", "order.symbol not in lists.restricted and not instrument.halted"),
    ("order", "order.time_in_force in {DAY, IOC} or order.quantity < 5"),
    ("order", "trader.role != analyst"),
    ("order", "clock.now >= session.open + 10 min"),
    ("order", "order.quantity <= 10% * instrument.adv"),
    ("order", "count(position where position.before.quantity != 0) + count(order) <= 30"),
    ("order", "account.cash / account.nav >= 2%"),
)
MORE = (
    ("order", "order.trader not in lists.watch"),
    ("order", 'order.symbol in {"ACME", "BETA"} or order.side in {sell, sell_short}'),
    ("order", "(if order.has_locate then order.quantity < 5 else order.side == buy)"),
    ("order", "order.quantity <= (if order.has_locate then 5 else 2) * 2"),
    ("order", "not (order.quantity > 5 and order.time_in_force == IOC) and -order.quantity < 0"),
    ("order", "order.quantity in {1, 2, 3}"),
    ("order", "min(order.cash_price, instrument.mark) <= max(instrument.ask, instrument.bid)"),
    ("order", "order.time_in_force == (if order.has_locate then DAY else IOC)"),
    ("order", "order.quantity / order.cash_price <= 3 * order.quantity / instrument.mark"),
    ("order", "order.notional / account.nav <= 10%"),
    ("order", "sum(fill.quantity) + sum(signal.confidence) * order.quantity <= 20"),
    ("account", "any(order.side == buy where order.quantity > 2) or account.kind == margin"),
    ("account", "all(order.quantity < 6 where order.side == buy)"),
    ("account", "count(order where order.side == buy) + count(working_order) <= 2"),
    ("account", "sum(working_order.quantity where working_order.side == buy) + sum(order.quantity) <= 9"),
    ("account", "-sum(position.after.value) + account.cash >= -(account.nav / 2) - sum(position.before.value)"),
    ("account", "sum(position.after.value * 2 / 3) - 50% * sum(abs(position.after.value)) <= account.nav"),
    ("account", "sum(2 * order.filled * order.cash_per_share where order.side == buy) <= account.cash + 10"),
    ("account", "sum(position.after.value) / 2 < account.nav / 4"),
    ("account", "sum(position.after.value) / (account.nav + account.cash) <= 40%"),
    ("account", "sum((if position.before.quantity > 0 then position.after.value else -position.after.value)) <= 500"),
    ("account", "sum(min(position.after.value, 0) + max(position.after.value, 0)) <= account.nav"),
    ("account", "sum(position.after.value / account.nav) <= 50%"),
    ("account", "sum(position.after.quantity * position.average_price) <= 10_000"),
    ("instrument", "sum(abs(position.after.quantity)) + sum(fill.quantity) <= 10"),
    ("instrument", "count(position where position.before.quantity > 0) * instrument.adv / 10 <= 7"),
    ("market", "market.volatility <= 5% or sum(order.filled) <= 3"),
    ("market", "market.regime != VOLATILE"),
    ("order", "order.quantity <= (if market.regime == VOLATILE then 3 else 9)"),
    ("issuer", 'issuer != "ACME" or account.nav > 400'),
    ("sector", "sum(position.before.value) + account.nav >= 0"),
    ("trader", 'trader != "T" or trader.traded_today + 5 * trader.traded_today <= 60'),
    ("position", "position.after.quantity * instrument.mark - position.before.quantity * instrument.mark <= 30"),
    ("position", "max(position.after.quantity, 2 * position.after.quantity) <= 10 + position.before.quantity"),
    ("position", "abs(position.after.quantity) * abs(position.after.quantity) <= 50 * instrument.lot * instrument.lot"),
    ("strategy", "sum(abs(position.after.value)) <= account.nav"),
    ("pair", "pair.correlation < 5 or sum(position.after.value) <= account.nav"),
)
SLOW = (
    ("account", "count(position where position.after.quantity != 0) <= 5"),
    ("account", "any(position.after.quantity > 5) or account.nav > 0"),
    ("account", "max(sum(position.after.value), account.nav) <= 5 * account.nav"),
    ("position", "position.after.quantity != 3"),
    ("pair", "sum(position.after.value) <= 8% * account.nav"),
    ("issuer", "sum(position.after.value) <= 5% * account.after.nav"),
    ("strategy", "sum(position.after.value) <= account.nav"),
    ("account", "sum(position.after.value) * sum(position.after.value) <= account.nav * account.nav"),
)


@pytest.mark.parametrize(("for_each", "text"), FAST)
def test_usual_rules_are_in_the_generated_check(for_each, text):
    plan = plan_of(f"'{text}'", for_each)
    for side in ("buy", "sell", "sell_short"):
        assert plan.check(side, "limit").slow == (), plan.check(side, "limit").source


DERIVE = """
- rule: regime
  title: t
  for_each: market
  when: market.volatility > 5% and market.volume_spike > 2
  derive: {market.regime: VOLATILE}
"""


@pytest.mark.parametrize(("for_each", "text"), [*FAST, *SLOW, *MORE])
def test_every_shape_is_judged_as_the_reference_does(for_each, text):
    item = f"- rule: tested\n  title: t\n  for_each: {for_each}\n  require: '{text}'\n"
    try:
        rules = RuleBook.of(DERIVE + item, compare.VOCABULARY).on(compare.DAY)
    except RuleFileError as error:
        pytest.fail(str(error))
    plan = Plan(rules, compare.VOCABULARY)
    for seed in range(8):
        world = compare.World(rules, plan, Random(f"{text} {seed}"), f"{text} {seed}")
        assert world.live(3).differences == []


@pytest.mark.parametrize(("for_each", "text"), SLOW)
def test_other_rules_are_listed_as_slow_and_leave_nothing_behind(for_each, text):
    plan = plan_of(f"'{text}'", for_each)
    before = plan.layout.size
    check = plan.check("buy", "limit")
    assert (check.fast, check.slow) == ((), (0,))
    assert plan.layout.size == before


def test_known_facts_decide_branches_when_the_code_is_written():
    plan = plan_of("order.has_locate", when="order.side == sell_short")
    assert "has_locate" in plan.check("sell_short", "limit").source
    assert "has_locate" not in plan.check("buy", "limit").source
    assert "order.price" not in plan_of("order.notional <= 5").check("buy", "market").source


def test_texts_in_rules_are_quoted():
    plan = plan_of("""'order.trader != "__import__" and order.time_in_force != DAY'""")
    source = plan.check("buy", "limit").source
    assert "'__import__'" in source
    assert "'DAY'" in source


# ---- missing facts -------------------------------------------------------------------------------

USES = (
    operator.add,
    operator.sub,
    operator.mul,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
    lambda a, b: a in (b,),
    lambda a, b: b in (a,),
    lambda a, b: b in a,
    max,
    lambda a, _: -a,
    lambda a, _: abs(a),
    lambda a, _: not a,
    lambda a, _: bool(a),
    lambda a, b: a and b,
    lambda a, b: a or b,
    lambda a, _: a[0],
    lambda a, _: {a},
    lambda a, _: list(a),
)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("other", [1, "buy", True])
def test_any_use_of_an_absent_fact_raises(use, other):
    with pytest.raises(MissingFactError):
        use(ABSENT, other)


@pytest.mark.parametrize("use", USES[:9])
def test_also_on_the_right(use):
    with pytest.raises(MissingFactError):
        use(1, ABSENT)


def test_absent_is_no_value():
    assert repr(ABSENT) == "ABSENT"
    assert whole_at(None, 10) is ABSENT
    assert whole_at(Fraction(1, 3), 100) is ABSENT
    assert whole_at(Fraction(1, 4), 100) == 25


@pytest.mark.parametrize(("for_each", "text"), FAST)
@pytest.mark.parametrize("missing", ["instrument.mark", "account.nav", "instrument.issuer", "instrument.adv"])
def test_no_rule_is_cleared_when_a_fact_it_reads_is_missing(for_each, text, missing):
    plan = plan_of(f"'{text}'", for_each)
    snapshot = plain_world(quantity=3)
    table = "accounts" if missing.startswith("account") else "instruments"
    bare = {k: {n: v for n, v in f.items() if n != missing} for k, f in getattr(snapshot, table).items()}
    snapshot = replace(snapshot, **{table: bare})
    book = CompiledBook(plan.rules, compare.VOCABULARY, snapshot, plan)
    orders = (order("buy", 2),)
    expected = {
        f.key for f in compare.reference(plan.rules, snapshot, orders) if f.status not in ("pass", "not_applicable")
    }
    assert book.check("A", orders).keys == expected


@pytest.mark.parametrize("change", [{"order.quantity": Fraction(5, 2)}, {"order.price": Fraction(1, 10**6)}])
def test_figures_finer_than_their_scale_go_to_the_general_path(change):
    plan = plan_of("order.notional <= 20")
    snapshot = plain_world()
    book = CompiledBook(plan.rules, compare.VOCABULARY, snapshot, plan)
    orders = ({**order("buy", 2), **change},)
    expected = {f.key for f in compare.reference(plan.rules, snapshot, orders) if f.status != "pass"}
    assert book.check("A", orders).keys == expected


def test_an_order_of_another_account_is_judged_by_its_own_account():
    plan = plan_of("account.nav >= 1_000")
    snapshot = plain_world()
    poor = {**snapshot.accounts["A"], "account.id": "B", "account.nav": Fraction(1)}
    snapshot = replace(snapshot, accounts={**snapshot.accounts, "B": poor})
    book = CompiledBook(plan.rules, compare.VOCABULARY, snapshot, plan)
    foreign = {**order("buy", 1), "order.account": "B"}
    for orders in ((order("buy", 1),), (foreign,), (order("buy", 1),)):
        expected = {f.key for f in compare.reference(plan.rules, snapshot, orders) if f.status != "pass"}
        assert book.check("A", orders).keys == expected


# ---- places --------------------------------------------------------------------------------------


def test_places_taken_in_vain_are_given_back():
    table = Table("L", 3)
    first = table.take(Field(TEXT, "instrument.issuer"), ("account", "instrument"), None, frozenset())
    mark = table.mark()
    table.take(Field(TEXT, "instrument.sector"), ("account", "instrument"), None, frozenset())
    table.place()
    table.back_to(mark)
    assert (table.size, len(table.slots)) == (4, 1)
    assert table.take(Field(TEXT, "instrument.issuer"), ("account", "instrument"), None, frozenset()) is first
    quotient = table.take(Field(TEXT, "instrument.sector"), ("account", "instrument"), 0, frozenset())
    assert (quotient.index, table.size) == (4, 6)


def test_a_change_of_any_rate_touches_what_reads_rates():
    assert touches(frozenset({"fx.*"}), frozenset({"fx.EUR"}))
    assert touches(frozenset({"account.nav"}), frozenset({"account.nav", "account.cash"}))
    assert not touches(frozenset({"account.nav"}), frozenset({"fx.EUR"}))


def test_checks_are_written_once_for_a_kind_of_order(monkeypatch):
    plan = plan_of("order.quantity <= 5")
    snapshot = plain_world()
    book = CompiledBook(plan.rules, compare.VOCABULARY, snapshot, plan)
    book.check("A", (order("buy", 1),))
    monkeypatch.setattr(fastpath, "write", lambda *_: pytest.fail("written again"))
    for quantity in (1, 5, 6):
        answer = book.check("A", (order("buy", quantity),))
        assert (answer.count, bool(answer.keys)) == (1, quantity > 5)


def test_findings_of_passing_rules_are_worked_out_on_request():
    plan = plan_of("order.quantity <= 5")
    book = CompiledBook(plan.rules, compare.VOCABULARY, plain_world(), plan)
    assert list(book.check("A", (order("buy", 2),)).findings()) == []
    (finding,) = book.findings("A", (order("buy", 2),))
    assert [finding.observed, finding.limit, finding.margin] == [2, 5, 3]


@pytest.mark.parametrize("seed", range(6))
def test_several_orders_go_to_the_general_path(seed):
    rules = compare.rules_of(900 + seed, 3, heavy=0.0)
    random_ = Random(seed)
    snapshot = worlds.snapshot(random_)
    book = CompiledBook(rules, compare.VOCABULARY, snapshot)
    orders = tuple(worlds.order(random_, n, 2) for n in range(3))
    expected = compare.reference(rules, snapshot, orders)
    answer = book.check("A", orders)
    assert answer.count == len(expected)
    assert answer.keys == {f.key for f in expected if f.status not in ("pass", "not_applicable")}


@pytest.mark.parametrize(
    "name", ["order.time_in_force", "order.price", "order.trader", "order.fee_per_share", "order.has_locate"]
)
def test_an_order_fact_that_is_no_value_goes_to_the_general_path(name):
    text = (
        "order.time_in_force != GTC and order.notional >= 0 and order.fee_per_share >= 0"
        " and (trader.role == analyst or not order.has_locate or order.quantity > 0)"
    )
    plan = plan_of(text)
    snapshot = plain_world()
    book = CompiledBook(plan.rules, compare.VOCABULARY, snapshot, plan)
    orders = ({**order("buy", 2), name: None},)
    book.check("A", (order("buy", 2),))
    expected = {f.key for f in compare.reference(plan.rules, snapshot, orders) if f.status != "pass"}
    assert book.check("A", orders).keys == expected


def test_a_warm_book_writes_nothing_more(monkeypatch):
    plan = plan_of("order.notional <= 500")
    book = CompiledBook(plan.rules, compare.VOCABULARY, plain_world(), plan)
    book.warm(["A"])
    monkeypatch.setattr(fastpath, "write", lambda *_: pytest.fail("written again"))
    for side in ("buy", "sell", "sell_short"):
        for kind in ("market", "limit", "stop", "stop_limit"):
            book.check("A", ({**order(side, 1), "order.ord_type": kind},))
    assert "ACME" in book.books.books["A"].lines
