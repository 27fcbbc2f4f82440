"""Syntax to typed terms: units, names, links, enumerations, `let`, definitions, aggregates, bounds."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.engine.errors import Problem, RuleFileError
from lexorder.engine.names import Vocabulary
from lexorder.engine.parse import parse
from lexorder.engine.render import folded, render
from lexorder.engine.terms import Aggregate, Binary, Compare, Field, In, Key, Literal, Not
from lexorder.engine.typecheck import Checker, term_of
from lexorder.engine.units import BOOL, COUNT, DURATION, LOCAL_MONEY, MONEY, PRICE, RATIO, SHARES, TIMESTAMP


def problem(text: str, words: Vocabulary, for_each: str = "order", **lets: str) -> Problem:
    with pytest.raises(RuleFileError) as caught:
        checked(text, words, for_each, **lets)
    return caught.value.problems[0]


def checked(text: str, words: Vocabulary, for_each: str = "order", **lets: str):
    return Checker(words, for_each, {name: parse(value) for name, value in lets.items()}).term(parse(text))


# ---- units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("order.quantity", SHARES),
        ("order.quantity * order.price", LOCAL_MONEY),
        ("order.quantity * order.price * instrument.fx", MONEY),
        ("order.notional / account.nav", RATIO),
        ("order.notional / order.quantity / instrument.fx", PRICE),
        ("order.quantity + 1", SHARES),
        ("1 + order.quantity", SHARES),
        ("order.quantity - 1 - 1", SHARES),
        ("5% * account.nav", MONEY),
        ("account.nav * 2", MONEY),
        ("2 * 3", None),
        ("min(order.quantity, 5)", SHARES),
        ("max(5, order.quantity, 3)", SHARES),
        ("abs(-order.quantity)", SHARES),
        ("if order.side == buy then account.nav else 0", MONEY),
        ("if order.side == buy then 0 else account.nav", MONEY),
        ("account.nav", MONEY),
        ("25_000 USD", MONEY),
        ("25_000 USD + account.nav", MONEY),
        ("clock.now - session.open", DURATION),
        ("session.open + 15 min", TIMESTAMP),
        ("session.close - 15 min", TIMESTAMP),
        ("2 * 15 min", DURATION),
        ("market.quote_age / 2", DURATION),
        ("market.quote_age * 50%", DURATION),
        ("market.quote_age / 15 min", RATIO),
        ("15 min + 3 s", DURATION),
        ("-market.quote_age", DURATION),
        ("sum(order.notional)", MONEY),
        ("count(order)", COUNT),
        ("order.side == buy", BOOL),
        ("order.has_locate and not order.has_locate", BOOL),
        ("any(order.has_locate)", BOOL),
        ("clock.time < 09:30", BOOL),
        ("clock.date <= 2026-06-04", BOOL),
        ("clock.now > session.open", BOOL),
        ("order.has_locate == true", BOOL),
        ("account.day_trades >= 4", BOOL),
    ],
)
def test_units(text, unit, words):
    found = term_of(text, words).unit
    if unit is not None:
        assert (found.kind, found.dimensions) == (unit.kind, unit.dimensions)
    else:
        assert found.bare


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("order.notional + order.quantity > 3", "unit-mismatch", "added"),
        ("order.notional - order.quantity > 3", "unit-mismatch", "subtracted"),
        ("order.quantity <= account.nav", "unit-mismatch", "compared"),
        ("order.price <= order.notional", "unit-mismatch", "`order.price` is a price"),
        ("order.quantity <= 5%", "unit-mismatch", "a ratio"),
        ("account.nav <= 5%", "unit-mismatch", "`5% * account.nav`"),
        ("order.price * order.quantity <= account.nav", "unit-mismatch", "instrument.fx"),
        ("order.notional * order.notional <= account.nav", "unit-mismatch", "compared"),
        ("min(order.quantity, account.nav) > 3", "unit-mismatch", "alternatives"),
        ("max(1, order.quantity, account.nav) > 3", "unit-mismatch", "account.nav"),
        ("(if order.has_locate then account.nav else order.quantity) > 3", "unit-mismatch", "alternatives"),
        ("order.side == order.ord_type", "unit-mismatch", "one of buy"),
        ("order.symbol == order.side", "unit-mismatch", "a text"),
        ("market.quote_age < 2", "unit-mismatch", "`15 min`"),
        ("clock.time < clock.date", "unit-mismatch", "a time of day"),
        ("clock.now < 15 min", "unit-mismatch", "a timestamp"),
        ("15 min + session.open > session.close", "wrong-type", "a timestamp"),
        ("session.open + session.close > session.close", "wrong-type", "`+`"),
        ("session.open * 2 > session.close", "wrong-type", "`*`"),
        ("15 min * 15 min > 3 s", "wrong-type", "duration"),
        ("2 / 15 min > 3", "wrong-type", "duration"),
        ("order.quantity * 15 min > 3 s", "wrong-type", "duration"),
        ("clock.date + 3 > 2026-01-01", "wrong-type", "`+`"),
        ("-order.side == buy", "wrong-type", "`-`"),
        ("abs(order.symbol) > 3", "wrong-type", "`abs`"),
        ("min(order.side, buy) == buy", "unknown-name", "buy"),
        ("sum(order.has_locate) > 3", "wrong-type", "`sum`"),
        ("any(order.quantity)", "wrong-type", "true or false"),
        ("all(order.quantity)", "wrong-type", "true or false"),
        ("sum(order.quantity where order.quantity) > 3", "wrong-type", "true or false"),
        ("order.quantity and true", "wrong-type", "`order.quantity`"),
        ("true or 5", "wrong-type", "`5`"),
        ("not order.quantity", "wrong-type", "true or false"),
        ("if order.quantity then true else false", "wrong-type", "true or false"),
        ("order.side < buy", "wrong-type", "no order"),
        ("order.symbol < order.account", "wrong-type", "no order"),
        ("order.has_locate < true", "wrong-type", "no order"),
        ("lists.restricted == lists.watch", "wrong-type", "`in`"),
        ("order.symbol in order.account", "wrong-type", "not a set"),
        ("order.has_locate in {true}", "wrong-type", "`in` asks"),
        ("clock.date in {2026-06-04}", "wrong-type", "`in` asks"),
        ("{buy, sell} == order.side", "wrong-type", "right of `in`"),
        ("order.side in {}", "wrong-arguments", "empty"),
        ("order.quantity in {5, 10%}", "unit-mismatch", "a ratio"),
        ('order.quantity in {5, "x"}', "unit-mismatch", "a text"),
        ("order.quantity in {5, 5 + 1}", "wrong-type", "single values"),
        ("order.quantity / 0 > 3", "wrong-type", "zero"),
        ("order.quantity / 0.0 > 3", "wrong-type", "zero"),
        ("min(5) > 3", "wrong-arguments", "two or more"),
        ("min() > 3", "wrong-arguments", "two or more"),
        ("abs() > 3", "wrong-arguments", "one value"),
        ("abs(1, 2) > 3", "wrong-arguments", "here are 2"),
        ("sum(order.quantity, 2) > 3", "wrong-arguments", "one value"),
        ("abs(order.quantity where true) > 3", "wrong-arguments", "`where`"),
        ("max(1, 2 where true) > 3", "wrong-arguments", "`where`"),
        ("average(order.quantity) > 3", "unknown-function", "abs, min"),
        ("order.sum(order.quantity) > 3", "unknown-function", "account.sum"),
        ("account.abs(order.quantity) > 3", "unknown-function", "account.abs"),
    ],
)
def test_refused(text, code, part, words):
    found = problem(text, words)
    assert found.code == code, found.message
    assert part in found.message


# ---- literals ------------------------------------------------------------------------------------


def test_money_is_converted_at_the_rate_of_the_snapshot(words):
    term = term_of("25_000 USD", words)
    assert isinstance(term, Binary)
    assert term.left == Literal(LOCAL_MONEY, Fraction(25_000))
    assert isinstance(term.right, Field)
    assert (term.right.name, term.unit.dimensions) == ("fx.USD", MONEY.dimensions)
    assert term_of("25_000 JPY", words).right.name == "fx.JPY"  # type: ignore[attr-defined]


def test_a_percentage_is_exact(words):
    assert term_of("0.1%", words) == Literal(RATIO, Fraction(1, 1000))


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "for_each", "name", "via"),
    [
        ("order.quantity", "order", "order.quantity", ""),
        ("instrument.adv", "order", "instrument.adv", ""),
        ("order.instrument.adv", "order", "instrument.adv", "order"),
        ("market.volatility", "order", "market.volatility", ""),
        ("market.volatility", "instrument", "market.volatility", ""),
        ("order.market.volatility", "order", "market.volatility", "order"),
        ("instrument.adv", "market", "instrument.adv", ""),
        ("account.nav", "order", "account.nav", ""),
        ("account.nav", "issuer", "account.nav", ""),
        ("account.nav", "pair", "account.nav", ""),
        ("order.account.nav", "order", "account.nav", ""),
        ("order.trader.role", "order", "trader.role", "order"),
        ("trader.role", "order", "trader.role", ""),
        ("clock.date", "sector", "clock.date", ""),
        ("fx.EUR", "order", "fx.EUR", ""),
        ("lists.my_own", "order", "lists.my_own", ""),
    ],
)
def test_paths(text, for_each, name, via, words):
    term = term_of(text, words, for_each)
    assert isinstance(term, Field)
    assert (term.name, term.via) == (name, via)


def test_a_field_carries_its_bounds_but_is_compared_without_them(words):
    term = term_of("order.quantity", words)
    assert isinstance(term, Field)
    assert term.minimum == 1
    assert term.maximum == 10_000_000
    assert term == Field(term.unit, "order.quantity")


@pytest.mark.parametrize(
    ("text", "for_each", "code", "near"),
    [
        ("order.quantiy > 3", "order", "unknown-name", "order.quantity"),
        ("quantity > 3", "order", "unknown-name", "order.quantity"),
        ("quantity > 3", "position", "unknown-name", "working_order.quantity"),
        ("nav > 3", "order", "unknown-name", "account.nav"),
        ("order.market.nav > 3", "order", "unknown-name", "market.vola"),
        ("market.trader.role == admin", "order", "unknown-name", "trader.role"),
        ("order.order.quantity > 3", "order", "unknown-name", "order.quantity"),
        ("lists.restrictd == 3", "order", "unknown-name", "lists.restricted"),
        ("fx.USB > 3", "order", "unknown-name", "fx.USD"),
        ("position.after.value > 3", "order", "no-subject", ""),
        ("order.quantity > 3", "account", "no-subject", ""),
        ("instrument.adv > 3", "issuer", "no-subject", ""),
        ("trader.role == admin", "position", "no-subject", ""),
        ("pair.correlation > 3", "order", "no-subject", ""),
        ('issuer == "X"', "order", "unknown-name", ""),
    ],
)
def test_names_that_cannot_be_read(text, for_each, code, near, words):
    found = problem(text, words, for_each)
    assert found.code == code
    if "vola" not in near and near != "working_order.quantity":
        assert found.nearest == near
    else:
        assert found.nearest in words.names


def test_the_subject_is_a_text(words):
    term = term_of('issuer == "ACME"', words, "issuer")
    assert isinstance(term, Compare)
    assert term.left == Key(term.left.unit, "issuer")


# ---- words of enumerations -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "order.side == buy",
        "buy == order.side",
        "order.side != sell_short",
        "order.side in {buy, sell}",
        "order.side not in {sell_short}",
        "order.side == (if order.has_locate then buy else sell)",
        "(if order.has_locate then buy else order.side) == sell",
        "(if order.has_locate then order.side else buy) == sell",
        "order.side == working",
    ],
)
def test_words_are_understood_from_the_other_side(text, words):
    if text.endswith("working"):
        assert checked(text, words, working="sell").right.value == "sell"
    else:
        assert checked(text, words).unit == BOOL


@pytest.mark.parametrize(
    ("text", "code", "near"),
    [
        ("order.side == by", "unknown-value", "buy"),
        ("order.side == BUY", "unknown-value", "buy"),
        ("order.side in {buy, sel}", "unknown-value", "sell"),
        ('order.side == "buy"', "unknown-value", "buy"),
        ("market.regime == volatile", "unknown-value", "VOLATILE"),
        ("order.symbol == ACME", "unknown-name", ""),
        ("buy == sell", "unknown-name", ""),
        ("order.quantity == buy", "unknown-name", ""),
    ],
)
def test_words_that_are_none(text, code, near, words):
    found = problem(text, words)
    assert found.code == code
    assert found.nearest == near or not near


# ---- let -----------------------------------------------------------------------------------------


def test_let_names_are_replaced(words):
    assert checked("order.quantity <= limit", words, limit="25_000") == term_of("order.quantity <= 25_000", words)
    nested = checked("order.quantity <= twice", words, twice="2 * limit", limit="25_000")
    assert nested == term_of("order.quantity <= 2 * 25_000", words)


def test_a_let_name_means_what_its_place_gives_it(words):
    """`gross` names a position's amount, so it may be summed."""
    term = checked("sum(gross) <= limit * account.nav", words, "issuer", gross="abs(position.after.value)", limit="5%")
    assert term == term_of("sum(abs(position.after.value)) <= 5% * account.nav", words, "issuer")


def test_used_names_are_noted_with_what_they_became(words):
    checker = Checker(words, "order", {"limit": parse("25_000"), "idle": parse("3")})
    checker.term(parse("order.quantity <= limit"))
    assert set(checker.used) == {"limit"}
    assert checker.used["limit"] == term_of("25_000", words)


@pytest.mark.parametrize(
    ("lets", "circle"),
    [
        ({"a": "a"}, "a → a"),
        ({"a": "b", "b": "a"}, "a → b → a"),
        ({"a": "b + 1", "b": "c + 1", "c": "b"}, "b → c → b"),
        ({"a": "sum(order.quantity where order.quantity > a)"}, "a → a"),
    ],
)
def test_circles_of_let_names(lets, circle, words):
    found = problem("order.quantity <= a", words, **lets)
    assert found.code == "let-cycle"
    assert circle in found.message


def test_a_checker_is_as_new_after_a_mistake(words):
    checker = Checker(words, "order", {"a": parse("order.quantiy")})
    for _ in range(3):
        with pytest.raises(RuleFileError, match="unknown-name"):
            checker.term(parse("sum(order.quantity) <= a"))
    assert checker.term(parse("order.quantity > 1")).unit == BOOL


# ---- definitions ---------------------------------------------------------------------------------


def test_definitions_are_put_in(words):
    term = term_of("position.before.value", words, "position")
    assert render(term) == "position.before.quantity * position.instrument.mark * position.instrument.fx"


def test_a_definition_reads_the_links_of_its_own_entity_wherever_it_is_used(words):
    """Inside a sum over positions, an order's notional still takes the order's instrument."""
    term = term_of("sum(position.after.value where position.after.value > order.notional) > 0", words)
    fields = [node for node in term.walk() if isinstance(node, Field) and node.name.startswith("instrument.")]
    assert {field.via for field in fields} == {"order", "position"}
    order_quantity = next(n for n in term.walk() if isinstance(n, Field) and n.name == "order.quantity")
    assert order_quantity.via == ""


def test_a_definition_of_an_account_name_counts_all_of_the_account(words):
    term = term_of("account.after.cash", words, "issuer")
    assert {node.owner for node in term.walk() if isinstance(node, Aggregate)} == {"account"}


def test_every_part_of_a_definition_points_at_its_use(words):
    term = term_of("1 + position.before.value / account.nav", words, "position")
    assert isinstance(term, Binary)
    assert {node.span.column for node in term.right.walk() if node is not term.right} <= {5, 29}


def test_folding_takes_definitions_back(words):
    text = "sum(abs(position.after.value)) <= 5% * account.nav"
    assert folded(term_of(text, words, "issuer"), words) == text


# ---- aggregates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "for_each", "collection"),
    [
        ("sum(order.quantity)", "account", "order"),
        ("sum(position.after.value where position.after.quantity > 0)", "issuer", "position"),
        ("sum(5% * position.after.value)", "sector", "position"),
        ("sum(instrument.adv where position.after.quantity > 0)", "account", "position"),
        ("sum(1 where position.after.quantity > 0)", "account", "position"),
        ("count(position)", "account", "position"),
        ("count(signal where signal.direction == long)", "market", "signal"),
        ("sum(position.after.value where position.symbol == order.symbol)", "order", "position"),
        ("sum(order.filled where order.symbol == position.symbol)", "position", "order"),
        ("sum(position.after.value)", "position", "position"),
        ("sum(working_order.filled)", "account", "working_order"),
        ("account.sum(position.after.value)", "issuer", "position"),
    ],
)
def test_collections(text, for_each, collection, words):
    term = term_of(text, words, for_each)
    assert isinstance(term, Aggregate)
    assert term.collection == collection


def test_aggregates_in_aggregates_have_their_own_collection(words):
    term = term_of("sum(position.after.value where any(order.symbol == position.symbol))", words, "account")
    assert isinstance(term, Aggregate)
    assert isinstance(term.where, Aggregate)
    assert (term.collection, term.where.collection) == ("position", "order")


def test_a_let_name_can_bring_the_collection(words):
    assert checked("sum(gross)", words, "issuer", gross="position.after.value").collection == "position"


@pytest.mark.parametrize(
    ("text", "for_each", "part"),
    [
        ("sum(5)", "account", "what it runs over"),
        ("sum(account.nav)", "account", "what it runs over"),
        ("any(account.nav > 5)", "account", "what it runs over"),
        ("sum(order.filled * position.after.quantity)", "account", "`order` and `position`"),
        ("sum(order.filled + working_order.filled)", "position", "`order` and `working_order`"),
        ("count(5)", "account", "members of a collection"),
        ("count(positions)", "account", "members of a collection"),
        ("count(instrument)", "account", "members of a collection"),
    ],
)
def test_no_collection(text, for_each, part, words):
    found = problem(text, words, for_each)
    assert found.code == "no-collection"
    assert part in found.message


def test_count_suggests_the_collection(words):
    assert problem("count(positions) > 3", words, "account").nearest == "position"


# ---- the shape of terms --------------------------------------------------------------------------


def test_not_in_is_not_of_in(words):
    term = term_of("order.side not in {buy}", words)
    assert isinstance(term, Not)
    assert isinstance(term.operand, In)


def test_a_wanted_unit(words):
    checker = Checker(words, "order")
    assert checker.term(parse("5%"), RATIO) == Literal(RATIO, Fraction(1, 20))
    assert checker.term(parse("0.5"), RATIO).unit.bare
    with pytest.raises(RuleFileError, match=r"`account\.nav` is money, but a ratio is needed"):
        checker.term(parse("account.nav"), RATIO)


def test_a_condition_is_wanted(words):
    with pytest.raises(RuleFileError, match="wrong-type"):
        Checker(words, "order").condition(parse("order.quantity"))


# ---- bounds --------------------------------------------------------------------------------------


def test_growth_through_let_names_is_bounded(words):
    lets = {"x0": "1 + 1"} | {f"x{n}": f"x{n - 1} + x{n - 1} + x{n - 1}" for n in range(1, 30)}
    assert problem("order.quantity <= x29", words, **lets).code == "expression-too-large"


def test_growth_where_words_are_looked_for_is_bounded(words):
    lets = {"x0": "buy"} | {f"x{n}": f"if true then x{n - 1} else x{n - 1}" for n in range(1, 60)}
    found = problem("order.side == x59", words, **lets)
    assert found.code == "expression-too-large"


def test_growth_where_collections_are_looked_for_is_bounded(words):
    lets = {"x0": "order.quantity"} | {f"x{n}": f"x{n - 1} + x{n - 1}" for n in range(1, 60)}
    assert problem("sum(x59) > 3", words, **lets).code == "expression-too-large"


def test_growth_through_definitions_is_bounded(words):
    text = " + ".join(["account.after.nav"] * 90) + " > 0"
    assert problem(text, words).code == "expression-too-large"


def test_a_deep_chain_of_let_names_is_bounded(words):
    lets = {"x0": "1"} | {f"x{n}": f"-x{n - 1}" for n in range(1, 400)}
    assert problem("order.quantity <= x399", words, **lets).code == "expression-too-large"
