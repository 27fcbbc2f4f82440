"""Units are exponents: products add them, quotients take them away, and only equal ones are joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.units import (
    BARE,
    BOOL,
    COUNT,
    DATE,
    DURATION,
    FX,
    LOCAL_MONEY,
    MONEY,
    PRICE,
    RATIO,
    SHARES,
    TEXT,
    UNITS,
    Kind,
    Unit,
)

EXPONENTS = st.integers(-3, 3)
PLAIN = st.builds(
    lambda a, b, c, whole: Unit(Kind.NUMBER, a, b, c, whole=whole), EXPONENTS, EXPONENTS, EXPONENTS, st.booleans()
)
NUMBERS = st.one_of(PLAIN, st.sampled_from((BARE, Unit(Kind.NUMBER, bare=True, whole=True))))
OTHERS = st.sampled_from(
    (BOOL, DURATION, DATE, TEXT, Unit(Kind.ENUM, values=("a", "b")), Unit(Kind.ENUM, values=("b",)))
)
ANY = st.one_of(NUMBERS, OTHERS)


@given(one=NUMBERS, other=NUMBERS, third=NUMBERS)
def test_products_are_those_of_exponents(one, other, third):
    """In any order, and a quotient undoes a product."""
    assert one.times(other).dimensions == tuple(a + b for a, b in zip(one.dimensions, other.dimensions, strict=True))
    assert one.times(other) == other.times(one)
    assert one.times(other).times(third) == one.times(other.times(third))
    assert one.times(other).times(other, -1).dimensions == one.dimensions
    assert one.times(RATIO).dimensions == one.times(RATIO, -1).dimensions == one.dimensions


@given(one=NUMBERS, other=NUMBERS)
def test_only_products_of_whole_numbers_are_known_to_be_whole(one, other):
    """Seven over two is not; and only literals among themselves take the unit of a neighbour."""
    assert one.times(other).whole == (one.whole and other.whole)
    assert not one.times(other, -1).whole
    assert one.times(other).bare == (one.bare and other.bare)


@given(one=ANY, other=ANY)
def test_what_is_joined_is_alike_whichever_comes_first(one, other):
    found, turned = one.joined(other), other.joined(one)
    assert found == turned
    if one.kind is not other.kind:
        assert found is None
    elif one.kind is Kind.ENUM:
        assert (found is None) == (one.values != other.values)
    elif one.kind is not Kind.NUMBER:
        assert found == one
    else:
        agree = one.bare or other.bare or one.dimensions == other.dimensions
        assert (found is not None) == agree
        assert found is None or found.whole == (one.whole and other.whole)


@given(unit=PLAIN)
def test_a_plain_number_takes_the_unit_of_its_neighbour(unit):
    assert BARE.joined(unit) == Unit(Kind.NUMBER, *unit.dimensions)
    assert BARE.joined(BARE) == BARE


@pytest.mark.parametrize(
    ("made", "wanted", "words"),
    [
        (SHARES.times(PRICE), LOCAL_MONEY, "local money"),
        (SHARES.times(PRICE).times(FX), MONEY, "money"),
        (MONEY.times(MONEY, -1), RATIO, "ratio"),
        (LOCAL_MONEY.times(SHARES, -1), PRICE, "price"),
        (MONEY.times(LOCAL_MONEY, -1), FX, "exchange rate"),
        (PRICE.times(FX), UNITS["account_price"], "account money per share"),
        (MONEY.times(MONEY), Unit(Kind.NUMBER, 2), "account money^2 local money^0 shares^0"),
        (COUNT.times(COUNT), COUNT, "ratio"),
        (BARE, BARE, "a number"),
        (Unit(Kind.ENUM, values=("buy", "sell")), Unit(Kind.ENUM, values=("buy", "sell")), "one of buy, sell"),
        (DURATION, DURATION, "duration"),
    ],
)
def test_trading_s_own_units_and_their_words(made, wanted, words):
    """Shares at a price are local money; at a rate, the account's."""
    assert made == wanted
    assert made.describe() == words


def test_every_type_of_a_vocabulary_has_one_unit_and_no_two_amounts_the_same():
    amounts = [unit for name, unit in UNITS.items() if unit.kind is Kind.NUMBER and name != "count"]
    assert len({unit.dimensions for unit in amounts}) == len(amounts)
    assert UNITS["count"].dimensions == UNITS["ratio"].dimensions
