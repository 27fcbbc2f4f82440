"""What is cleared by columns, exactly on limits and one unit beside them, against arithmetic in Fractions written here.

No evaluator of this project is asked: each rule stands beside the sum on paper that says what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.vector import VectorBook
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import plain_desk
from tests.worlds import instrument, order, position, working, world

CASH, NAV, MARK = 100_000, 100_000, 100
UNIT = Fraction(1, 10_000)
"""The smallest step of a price."""


def passing(rule: str, orders: Sequence[dict[str, Any]], **sections: Any) -> list[bool]:
    """Which orders both vectorised forms clear under one rule; none is left out for want of a form."""
    live = plain_desk(cases.book(rule), world(**sections))
    vector = VectorBook(live, small=0)
    numbered = [{**o, "id": f"O{n}"} for n, o in enumerate(orders)]
    found = {place for cleared in vector.cleared(cases.columns(numbered)) for place in cleared.places}
    assert not vector.tally().unfit
    assert vector.tally().single["the two forms differ"] == 0
    assert vector.tally().single["not admitted in bulk"] == 0
    return [n in found for n in range(len(orders))]


def shares(value: Fraction | int) -> list[int]:
    """Quantities around a limit in shares that may lie between two of them."""
    whole = int(value)
    return [n for n in (whole - 1, whole, whole + 1, whole + 2) if n > 0]


Exact = Callable[[int], bool]
SIMPLE: tuple[tuple[str, str, int | Fraction, Exact], ...] = (
    ("order", "order.quantity <= 400", 400, lambda q: q <= 400),
    ("order", "order.quantity < 400", 400, lambda q: q < 400),
    ("order", "order.quantity != 400", 400, lambda q: q != 400),
    ("order", "order.quantity == 400", 400, lambda q: q == 400),
    ("order", "not (order.quantity > 400)", 400, lambda q: not q > 400),
    ("order", "order.quantity > 399 or order.quantity < 2", 400, lambda q: q > 399 or q < 2),
    ("order", "order.notional <= 25_000 USD", 250, lambda q: q * MARK <= 25_000),
    ("order", "order.notional < 24_950.5", Fraction(499, 2), lambda q: q * MARK < Fraction("24950.5")),
    ("order", "order.quantity * 3 <= 100", 33, lambda q: q * 3 <= 100),
    ("order", "order.quantity / 7 <= 3", 21, lambda q: Fraction(q, 7) <= 3),
    ("order", "order.quantity / 7 < 3", 21, lambda q: Fraction(q, 7) < 3),
    ("order", "order.quantity <= 10% * instrument.adv", 100_000, lambda q: q * 10 <= 1_000_000),
    ("order", "order.quantity / instrument.adv <= 1%", 10_000, lambda q: Fraction(q, 1_000_000) <= Fraction(1, 100)),
    ("order", "abs(order.quantity - 50) <= 3", 53, lambda q: abs(q - 50) <= 3),
    ("order", "abs(order.quantity - 50) <= 3", 47, lambda q: abs(q - 50) <= 3),
    ("order", "max(order.quantity, 20) <= 30", 30, lambda q: max(q, 20) <= 30),
    ("order", "min(order.quantity, 20) >= 10", 10, lambda q: min(q, 20) >= 10),
    ("order", "order.quantity * min(4, 5) <= 100", 25, lambda q: q * 4 <= 100),
    ("order", "order.quantity * max(4, 3) < 100", 25, lambda q: q * 4 < 100),
    ("order", "order.quantity * (2 + 2) <= 100", 25, lambda q: q * 4 <= 100),
    ("order", "order.quantity <= 100 - min(70, 75)", 30, lambda q: q <= 30),
    ("order", "(if order.quantity > 10 then 2 * order.quantity else 0) <= 60", 30, lambda q: q <= 10 or 2 * q <= 60),
    ("issuer", "sum(abs(position.after.value)) <= 5% * account.nav", 50, lambda q: q * MARK * 20 <= NAV),
    ("issuer", "sum(abs(position.after.value)) < 5% * account.nav", 50, lambda q: q * MARK * 20 < NAV),
    ("sector", "sum(abs(position.after.value)) <= 7% * account.nav", 70, lambda q: q * MARK <= Fraction(7, 100) * NAV),
    ("account", "sum(abs(position.after.value)) <= 12.5% * account.nav", 125, lambda q: q * MARK * 8 <= NAV),
    ("account", "sum(position.after.value) <= 3.33% * account.nav", 33, lambda q: q * MARK * 10_000 <= 333 * NAV),
    ("position", "abs(position.after.value) <= 2_500", 25, lambda q: q * MARK <= 2_500),
    ("position", "abs(position.after.quantity) <= 25", 25, lambda q: q <= 25),
    ("account", "account.after.cash >= 50_000", 500, lambda q: CASH - q * MARK >= 50_000),
    ("account", "account.after.cash >= 50% * account.nav", 500, lambda q: CASH - q * MARK >= Fraction(NAV, 2)),
    ("account", "sum(order.notional) <= 7_700", 77, lambda q: q * MARK <= 7_700),
)  # fmt: skip
"""For each: subject, requirement, the quantity at its limit, and its meaning for a purchase of that many at 100."""


@pytest.mark.parametrize(("for_each", "require", "limit", "exact"), SIMPLE, ids=[f"{s[0]}: {s[1]}" for s in SIMPLE])
def test_a_purchase_at_the_limit_and_beside(for_each, require, limit, exact):
    quantities = [1, *shares(limit)]
    found = passing(cases.rule("r", for_each, "", require), [order("buy", q) for q in quantities])
    assert found == [exact(q) for q in quantities]
    assert len(set(found)) == 2, "a limit has two sides"


PRICES: tuple[tuple[str, Fraction, Callable[[Fraction], bool]], ...] = (
    ("order.price <= instrument.mark * 105%", Fraction(105), lambda p: p <= 105),
    ("order.price < instrument.mark * 105%", Fraction(105), lambda p: p < 105),
    ("order.price >= instrument.mark * 95%", Fraction(95), lambda p: p >= 95),
    ("order.price > instrument.mark * 95%", Fraction(95), lambda p: p > 95),
    ("abs(order.price - instrument.mark) <= 1.23% * instrument.mark", Fraction("101.23"),
     lambda p: abs(p - 100) <= Fraction("1.23")),
    ("abs(order.price / instrument.mark - 1) <= 0.01%", Fraction("99.99"),
     lambda p: abs(p / 100 - 1) <= Fraction(1, 10_000)),
    ("order.price * 3 <= 301.0001", Fraction("100.3333"), lambda p: 3 * p <= Fraction("301.0001")),
)  # fmt: skip


@pytest.mark.parametrize(("require", "limit", "exact"), PRICES, ids=[p[0] for p in PRICES])
def test_a_price_at_the_limit_and_one_unit_beside(require, limit, exact):
    prices = [limit + n * UNIT for n in (-2, -1, 0, 1, 2)]
    texts = [f"{float(p):.4f}" for p in prices]  # only text: four decimals are all there are
    assert [Fraction(t) for t in texts] == prices
    found = passing(cases.rule("r", "order", "", require), [order("buy", 1, price=t) for t in texts])
    assert found == [exact(p) for p in prices]
    assert len(set(found)) == 2


class TestHoldings:
    """What is held and what works counts, in the worst state the market can bring about."""

    @staticmethod
    def worst(held: int, orders: Sequence[tuple[str, int]], side: str, quantity: int) -> int:
        """The greatest size of a holding that any fills of these orders and the new one bring."""
        moves = [n if s == "buy" else -n for s, n in (*orders, (side, quantity))]
        low, high = held + sum(m for m in moves if m < 0), held + sum(m for m in moves if m > 0)
        return max(abs(low), abs(high))

    @pytest.mark.parametrize("held", [-40, -1, 0, 1, 40])
    @pytest.mark.parametrize("orders", [(), (("buy", 10),), (("sell", 10),), (("buy", 5), ("sell", 30), ("sell", 2))])
    @pytest.mark.parametrize("side", ["buy", "sell"])
    def test_the_size_of_a_holding(self, held, orders, side):
        limit = 50
        rule = cases.rule("r", "position", "", f"abs(position.after.quantity) <= {limit}")
        quantities = [q for q in range(1, 120) if abs(self.worst(held, orders, side, q) - limit) <= 1] or [1, 10]
        sections = {
            "positions": [position("ACME", held)] if held else [],
            "working_orders": [working(f"W{n}", "ACME", s, q) for n, (s, q) in enumerate(orders)],
        }
        found = passing(rule, [order(side, q) for q in quantities], **sections)
        assert found == [self.worst(held, orders, side, q) <= limit for q in quantities]

    @pytest.mark.parametrize("seed", range(6))
    def test_gross_of_several_names(self, seed):
        """Each name's greatest size times its mark, added up."""
        random_ = Random(seed)
        marks = {name: Fraction(random_.randint(1_000, 20_000), 100) for name in ("ACME", "BETA", "COCO")}
        held = {name: random_.choice((0, -7, 12, 30)) for name in marks}
        works = [
            (random_.choice(tuple(marks)), random_.choice(("buy", "sell")), random_.randint(1, 20)) for _ in range(3)
        ]
        names = [random_.choice(tuple(marks)) for _ in range(12)]
        sides = [random_.choice(("buy", "sell")) for _ in names]

        def gross(name: str, side: str, quantity: int) -> Fraction:
            total = Fraction(0)
            for other, mark in marks.items():
                orders = [(s, n) for w, s, n in works if w == other]
                more = quantity if other == name else 0
                total += mark * self.worst(held[other], orders, side, more)
            return total

        middle = gross(names[0], sides[0], 25)
        limit = middle / NAV
        rule = cases.rule(
            "r",
            "account",
            "",
            f"sum(abs(position.after.value)) <= {limit.numerator} / {limit.denominator} * account.nav",
        )
        quantities = [25, *(random_.randint(1, 60) for _ in names[1:])]
        sections = {
            "instruments": [instrument(n, f"{float(m):.2f}") for n, m in marks.items()],
            "positions": [position(n, q) for n, q in held.items() if q],
            "working_orders": [working(f"W{n}", w, s, q) for n, (w, s, q) in enumerate(works)],
        }
        orders = [order(s, q, n) for n, s, q in zip(names, sides, quantities, strict=True)]
        orders.append(order(sides[0], 26, names[0]))
        found = passing(rule, orders, **sections)
        wanted = [gross(o["symbol"], o["side"], int(o["quantity"])) <= middle for o in orders]
        passive = [gross(o["symbol"], o["side"], 0) > middle for o in orders]
        assert [f for f, p in zip(found, passive, strict=True) if not p] == [
            w for w, p in zip(wanted, passive, strict=True) if not p
        ]
        assert not [f for f, w in zip(found, wanted, strict=True) if f and not w]

    @pytest.mark.parametrize("cash", ["100000", "7654.3210"])
    def test_cash_to_the_smallest_unit(self, cash):
        """A working purchase may fill and a working sale may not: only the first counts."""
        works = [working("W1", "BETA", "buy", 10, "99.5"), working("W2", "BETA", "sell", 10, "101")]
        left = Fraction(cash) - 10 * Fraction("99.5")
        floor = left - 3 * MARK
        text = f"{floor.numerator / floor.denominator:.4f}"
        assert Fraction(text) == floor
        orders = [order("buy", 3), order("buy", 3, price="100.0001"), order("buy", 3, price="99.9999"), order("buy", 4)]
        exact = [left - 3 * Fraction(p) >= floor for p in ("100", "100.0001", "99.9999")] + [left - 4 * MARK >= floor]
        rule = cases.rule("r", "account", "", f"account.after.cash >= {text}")
        assert (
            passing(rule, orders, account={"cash": cash}, working_orders=works) == exact == [True, False, True, False]
        )


class TestMissing:
    """A fact that is missing clears nobody who needs it, and hinders nobody else."""

    def test_an_instrument_without_a_mark(self):
        rule = cases.rule("r", "order", "", "order.price <= instrument.mark * 105%")
        bare = {k: v for k, v in instrument("BETA").items() if k not in ("mark", "bid", "ask")}
        found = passing(rule, [order("buy", 1), order("buy", 1, "BETA")], instruments=[instrument("ACME"), bare])
        assert found == [True, False]

    def test_a_branch_not_taken_does_not_need_it(self):
        rule = cases.rule("r", "order", "order.quantity > 5", "order.price <= instrument.mark * 105%")
        bare = {k: v for k, v in instrument("BETA").items() if k not in ("mark", "bid", "ask")}
        orders = [order("buy", 5, "BETA"), order("buy", 6, "BETA")]
        assert passing(rule, orders, instruments=[instrument("ACME"), bare]) == [True, False]

    def test_an_or_is_settled_by_its_first_part(self):
        bare = {k: v for k, v in instrument("BETA").items() if k not in ("mark", "bid", "ask")}
        orders = [order("buy", 5, "BETA"), order("buy", 6, "BETA")]
        instruments = [instrument("ACME"), bare]
        first = cases.rule("r", "order", "", "order.quantity <= 5 or order.price <= instrument.mark")
        assert passing(first, orders, instruments=instruments) == [True, False]

    def test_an_account_without_net_assets(self):
        rule = cases.rule("r", "issuer", "", "sum(abs(position.after.value)) <= 5% * account.nav")
        accounts = [{**world()["accounts"][0], "id": "A"}, {"id": "B", "currency": "USD", "cash": "1", "tags": []}]
        orders = [order("buy", 50), order("buy", 1, account="B")]
        assert passing(rule, orders, accounts=accounts) == [True, False]

    def test_a_mark_one_ten_thousandth_finer_than_its_scale_is_refused_at_the_border(self):
        with pytest.raises(Exception, match="decimal"):
            plain_desk(cases.book(), world(instruments=[instrument("ACME", "100.00001")]))

    def test_a_group_that_is_not_known(self):
        rule = cases.rule("r", "issuer", "", "sum(abs(position.after.value)) <= 5% * account.nav")
        bare = {k: v for k, v in instrument("BETA").items() if k != "issuer"}
        orders = [order("buy", 50), order("buy", 1, "BETA")]
        assert passing(rule, orders, instruments=[instrument("ACME"), bare]) == [True, False]

    def test_a_holding_that_cannot_be_valued_hinders_its_account_alone(self):
        rule = cases.rule("r", "account", "", "sum(abs(position.after.value)) <= 50% * account.nav")
        bare = {k: v for k, v in instrument("BETA").items() if k not in ("mark", "bid", "ask")}
        accounts = [{**world()["accounts"][0], "id": name} for name in ("A", "B")]
        orders = [order("buy", 1, account=name) for name in ("A", "B")]
        sections = {"instruments": [instrument("ACME"), bare], "positions": [position("BETA", 1, "B")]}
        assert passing(rule, orders, accounts=accounts, **sections) == [True, False]


class TestTheEndsOf64Bits:
    """The greatest order the vocabulary admits, against the greatest account."""

    @pytest.mark.parametrize("share", ["0.01%", "100%"])
    def test_a_notional_of_two_times_ten_to_the_thirteenth(self, share):
        """Exact where it is cleared; what does not fit is left to the single path and never cleared wrongly."""
        nav = Fraction("999999999999.9999")
        rule = cases.rule("r", "order", "", f"order.notional <= {share} * account.nav")
        limit = Fraction(share[:-1]) / 100 * nav
        pairs = [
            (q, p) for q in ("1", "499", "500", "9999999", "10000000") for p in ("0.0001", "99999.9999", "2000000")
        ]
        found = passing(rule, [order("buy", q, price=p) for q, p in pairs], account={"nav": "999999999999.9999"})
        wanted = [Fraction(q) * Fraction(p) <= limit for q, p in pairs]
        assert not [f for f, w in zip(found, wanted, strict=True) if f and not w]
        assert found == wanted

    @pytest.mark.parametrize("factor", [10**6, 10**12, 10**18, 10**24])
    def test_a_literal_beyond_all_bounds(self, factor):
        rule = cases.rule("r", "order", "", f"order.quantity * {factor} <= {7 * factor}")
        quantities = [6, 7, 8]
        found = passing(rule, [order("buy", q) for q in quantities])
        assert not [q for q, f in zip(quantities, found, strict=True) if f and q > 7]
        assert found == [True, True, False]
