"""What generated weights say of an order that is stopped is what the general path says: status, figures, quantities."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from lexorder.engine import stopped as stopped_module
from lexorder.engine.along import Along
from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.events import AccountChanged
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import project
from lexorder.engine.stopped import Stopped
from lexorder.engine.weights import Weights
from lexorder.engine.worst import judge
from tests.agreement import compare, worlds

CAP = 12
SHAPES = """
- {rule: issuer, title: t, for_each: issuer, require: "sum(abs(position.after.value)) <= 5% * account.nav"}
- {rule: better, title: t, for_each: issuer, if_already_breached: must_not_worsen,
   require: "sum(abs(position.after.value)) <= 1% * account.nav"}
- {rule: sector, title: t, for_each: sector, require: "sum(position.after.value) / account.nav <= 2%"}
- {rule: flat, title: t, for_each: position, if_already_breached: must_not_worsen,
   require: "abs(position.after.quantity) <= 2"}
- {rule: cash, title: t, for_each: account, require: "account.after.cash >= 2% * account.nav"}
- {rule: size, title: t, require: "order.notional <= 1% * account.nav and order.quantity >= 3"}
- {rule: lot, title: t, require: "order.quantity < 7", when: "instrument.mark > 2"}
- {rule: chosen, title: t, require: "(if order.quantity > 5 then 2 else 1) * account.nav > 5 * order.notional"}
- {rule: halted, title: t, require: "not order.instrument.halted or order.quantity <= 4"}
- {rule: gross, title: t, for_each: account, require: "sum(abs(position.after.value)) < 50% * account.nav"}
- {rule: day, title: t, for_each: instrument, require: "sum(order.filled) + sum(working_order.filled) <= 3"}
"""


def rules(text: str = SHAPES) -> tuple[Rule, ...]:
    return RuleBook.of(text, compare.VOCABULARY).on(compare.DAY)


PLAN = Plan(rules(), compare.VOCABULARY)


def looks(seed: int, plan: Plan, missing: int = 0) -> tuple[Stopped, Random]:
    """One stopped order of a random world whose account is poor, so that limits are near."""
    random_ = Random(f"stopped {seed}")
    seen = worlds.snapshot(random_, worlds.Rates(missing, missing, missing))
    book = CompiledBook(plan.rules, compare.VOCABULARY, seen, plan)
    nav = Fraction(random_.choice((50, 200, 1_000, 10_000)))
    book.apply(AccountChanged(worlds.ACCOUNT, {"account.nav": nav, "account.cash": nav / 2}))
    order = worlds.order(random_, 1, random_.randint(1, 9))
    check = book._prepare(worlds.ACCOUNT, order)
    return book._stopped(worlds.ACCOUNT, order, check), random_


def general(look: Stopped, index: int, quantity: int):
    """The findings of the general path at a quantity."""
    order = {**look.order, "order.quantity": Fraction(quantity)}
    seen = project(look.lists.live.snapshot, compare.VOCABULARY, worlds.ACCOUNT, (order,))
    return judge(look.by.prepared[index], seen, look.by.derived)


def weighed(look: Stopped) -> int:
    """Compare every rule that weights have a say on; returns how many findings were compared."""
    compared = 0
    for index in range(len(look.by.prepared)):
        told = look.weighed(index)
        if told is None:
            continue
        (expected,) = general(look, index, int(look.order["order.quantity"]))  # type: ignore[arg-type]
        key, finding = told
        assert key == expected.key == finding().key
        assert compare.same(finding(), expected)
        compared += 1
    return compared


def quantities(look: Stopped) -> int:
    """Compare the quantities that weights admit with those that pass one by one."""
    compared = 0
    for index in range(len(look.by.prepared)):
        admitted = look.admitted(index, CAP)
        if admitted is None:
            continue
        passing = {q for q in range(1, CAP + 1) if all(f.status in ADMITTED for f in general(look, index, q))}
        assert {q for low, high in admitted for q in range(low, high + 1)} == passing, look.by.prepared[index].rule.id
        compared += 1
    return compared


ADMITTED = (*stopped_module.PLAIN, "passive")


def test_usual_shapes_are_weighed():
    """Every shape has weights, and each of them has its say somewhere."""
    findings = amounts = 0
    for seed in range(60):
        look, _ = looks(seed, PLAN)
        findings += weighed(look)
        amounts += quantities(look)
    assert findings > 100
    assert amounts > 300


@pytest.mark.parametrize("seed", range(25))
def test_random_rules(seed):
    plan = Plan(compare.rules_of(seed, 8, heavy=0.1), compare.VOCABULARY)
    for world in range(4):
        look, _ = looks(seed * 100 + world, plan, missing=10)
        weighed(look)
        quantities(look)


def of_rule(look: Stopped, rule: str) -> int:
    return next(i for i, p in enumerate(look.by.prepared) if p.rule.id == rule)


def test_a_choice_that_depends_on_the_quantity_is_left_to_the_terms():
    look, _ = looks(1, PLAN)
    assert look.weights(of_rule(look, "chosen")) is not None
    assert look.admitted(of_rule(look, "chosen"), CAP) is None


def test_a_missing_fact_is_left_to_the_general_path():
    look, _ = looks(1, PLAN)
    book = CompiledBook(PLAN.rules, compare.VOCABULARY, look.lists.live.frozen(""), PLAN)
    book.apply(AccountChanged(worlds.ACCOUNT, {"account.nav": None}))  # type: ignore[dict-item]
    without = book._stopped(worlds.ACCOUNT, look.order, look.check)
    for rule in ("issuer", "sector", "size", "gross"):
        assert look.weights(of_rule(look, rule)) is not None
        assert without.weights(of_rule(look, rule)) is None
        assert without.admitted(of_rule(look, rule), CAP) is None


def test_a_part_of_a_share_has_no_weight():
    look, _ = looks(1, PLAN)
    half = Stopped(look.by, look.check, {**look.order, "order.quantity": Fraction(1, 2)}, look.lists)
    assert all(half.weights(i) is None for i in range(len(look.by.prepared)))


def test_a_divisor_that_is_not_above_zero_is_left_to_the_general_path():
    text = '- {rule: share, title: t, for_each: sector, require: "sum(position.after.value) / account.nav <= 2%"}'
    plan = Plan(rules(text), compare.VOCABULARY)
    look, _ = looks(1, plan)
    for nav in (0, -5):
        book = CompiledBook(plan.rules, compare.VOCABULARY, look.lists.live.frozen(""), plan)
        book.apply(AccountChanged(worlds.ACCOUNT, {"account.nav": Fraction(nav)}))
        answer = book.check(worlds.ACCOUNT, (look.order,))
        seen = project(book.live.snapshot, compare.VOCABULARY, worlds.ACCOUNT, (look.order,))
        expected = [f for p in plan.prepared for f in judge(p, seen, {})]
        assert answer.keys == {f.key for f in expected if f.status not in stopped_module.PLAIN}
        assert all(compare.same(a, b) for a, b in zip(answer.findings(), expected, strict=True))


def test_an_event_makes_the_last_answer_old():
    look, _ = looks(3, PLAN)
    book = CompiledBook(PLAN.rules, compare.VOCABULARY, look.lists.live.frozen(""), PLAN)
    order = {**look.order, "order.quantity": Fraction(9)}
    first = book.check(worlds.ACCOUNT, (order,)).keys
    assert first
    assert book._keys(worlds.ACCOUNT, order) == first
    book.apply(AccountChanged(worlds.ACCOUNT, {"account.nav": Fraction(10**9), "account.cash": Fraction(10**9)}))
    assert book._keys(worlds.ACCOUNT, order) == book.check(worlds.ACCOUNT, (dict(order),)).keys != first


def test_functions_are_made_when_first_asked_for():
    sources = {0: "def weigh(n, o, L, A, trader):\n    return (max(n, 3),)\n"}
    weights = Weights(sources, 10, {})
    assert weights.at(1, {"order.quantity": Fraction(1)}) is None
    assert weights.along(1, 5) is None
    made = weights.at(0, {"order.quantity": Fraction(7, 10)})
    assert made is not None
    weigh, quantity = made
    assert (quantity, weigh(quantity, {}, [], [], None)) == (7, (7,))
    assert weights.at(0, {"order.quantity": Fraction(7, 100)}) is None
    varying = weights.along(0, 5)
    assert varying is not None
    most: object = varying[0](varying[1], {}, [], [], None)[0]
    assert isinstance(most, Along)
    assert [most.over(x) for x in range(3)] == [3, 10, 20]
