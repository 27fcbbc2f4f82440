"""Every fill state looked at one by one: what each form clears holds in all of them, and what holds it clears.

The reference here is the definition itself: the requirement as written, worked out by `evaluate.value` for every number
of shares that each order may have filled. No closed form, no worst case, no sum kept from before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import pytest

from lexorder.engine.desk import Desk
from lexorder.engine.evaluate import Fills, Point, value
from lexorder.engine.events import PositionSet, WorkingAdded, WorkingRemoved
from lexorder.engine.quantity import exact as decimal
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Projection
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.vector import VectorBook
from tests.engine import vector_cases as cases
from tests.engine.forms_alone import alone, desk_of
from tests.engine.vector_reading import typed
from tests.worlds import instrument, order, position, working

QUOTIENT = "(account.total_assets / account.peak_nav)"
SHAPES: tuple[tuple[str, str, str, str], ...] = (
    ("size of a holding", "position", "", "abs(position.after.quantity) <= {n}"),
    ("holding", "position", "", "position.after.quantity <= {n}"),
    ("holding, strictly", "position", "", "position.after.quantity > -{n}"),
    ("turn", "position", "", "max(position.after.quantity, 2 * position.after.quantity) < {n} + 1"),
    ("value of a holding", "position", "", "abs(position.after.value) <= {n} * 9.5"),
    ("gross", "account", "", "sum(abs(position.after.value)) <= {n} * 20"),
    ("net", "account", "", "sum(position.after.value) <= {n} * 11"),
    ("net, from below", "account", "", "sum(position.after.value) >= -{n} * 11"),
    ("long side", "account", "", "sum(max(position.after.value, 0)) <= {n} * 15"),
    ("issuer", "issuer", "", "sum(abs(position.after.quantity)) <= {n} + 2"),
    ("sector", "sector", "", "sum(abs(position.after.value)) / account.nav <= {n} * 2.1%"),
    ("some of them", "account", "", 'sum(abs(position.after.quantity) where instrument.issuer == "ACME") <= {n} + 1'),
    ("cash", "account", "", "account.after.cash >= 1_000 - {n} * 10"),
    ("orders out", "account", "", "sum(order.notional) + sum(working_order.notional) <= {n} * 14"),
    ("volume", "instrument", "", "sum(order.filled) + sum(working_order.filled) <= {n}"),
    ("weighted", "account", "", "sum(2 * abs(position.after.quantity)) - {n} <= {n} + 3"),
    ("leverage of cash", "account", "", "sum(abs(position.after.value)) + 1_000 - account.after.cash <= {n} * 30"),
    ("names", "account", "", "count(position) <= {n} - 3"),
    ("names of an issuer", "issuer", "", "count(position) <= 1"),
    ("holdings now", "account", "", "sum(abs(position.before.quantity) + 1) <= {n} + 2"),
    ("distance", "account", "", "sum(abs(position.after.quantity - 2)) <= {n} + 4"),
    ("and a share for each", "account", "", "sum(position.after.quantity + 1) <= {n} + 4"),
    ("and a share, by issuer", "issuer", "", "sum(position.after.quantity + 1) <= {n} + 1"),
    ("two quotients", "order", "",
     f"order.notional * {QUOTIENT} <= {{n}} * 4 + (account.cash / account.nav) * account.nav * 1%"),
    ("quotients of both sides", "account", "",
     "sum(order.notional) / account.nav + account.total_assets / account.peak_nav <= {n} * 0.5% + 1"),
    ("under a condition", "position", "instrument.adv < 100", "abs(position.after.quantity) <= {n}"),
)  # fmt: skip
"""Name, subject, condition and requirement; `{n}` is a small number, so that worlds lie on both sides of it."""
MARKS = {"ACME": "10", "ACMEB": "9.5", "BETA": "12.0001"}


def sections(random_: Random) -> dict[str, Any]:
    """A few small holdings and working orders; two names share an issuer."""
    names = tuple(MARKS)
    return {
        "account": {"cash": "1000", "nav": "1000", "total_assets": "3000", "peak_nav": "3001"},
        "instruments": [
            instrument(n, m, issuer=n[:4], sector=random_.choice(("Tech", "Energy")), adv=random_.choice(("50", "500")))
            for n, m in MARKS.items()
        ],
        "positions": [position(n, random_.randint(-4, 6)) for n in random_.sample(names, random_.randint(0, 3))],
        "working_orders": [
            working(f"W{n}", random_.choice(names), random_.choice(("buy", "sell")), random_.randint(1, 2),
                    random_.choice(("10", "9.9999")))
            for n in range(random_.randint(0, 3))
        ],
    }  # fmt: skip


def orders(random_: Random, pairs: int) -> list[dict[str, Any]]:
    """Orders of one share up to six, so that some lie on a limit, for a few sides and names, with and without a fee."""
    asked = [(random_.choice(("buy", "buy", "sell", "sell_short")), random_.choice(tuple(MARKS))) for _ in range(pairs)]
    facts = {"price": random_.choice(("10", "10.5", "9.0001")), "fee_per_share": random_.choice(("0", "0.01"))}
    return [order(side, n, name, **facts) for side, name in asked for n in range(1, 7)]


def states(seen: Projection) -> Iterator[Fills]:
    """Every number of shares of every order."""
    both: tuple[tuple[str, Sequence[Facts]], ...] = (("order", seen.orders), ("working_order", seen.working))
    able: list[tuple[tuple[str, str], Any]] = [
        ((c, str(o[f"{c}.id"])), o[f"{c}.quantity"]) for c, os in both for o in os
    ]
    for filled in product(*(range(int(quantity) + 1) for _, quantity in able)):
        yield {key: Fraction(n) for (key, _), n in zip(able, filled, strict=True)}


def holds(live: Desk, facts: Facts) -> bool:
    """Whether the one rule holds for every subject in every state, as it is written."""
    (rule,) = live.rules_of("A")
    seen = live.live.projection("A", (facts,))
    for subject in subjects_of(rule, seen):
        at = Point(seen, (account_subject(seen), subject), {}, {})
        for fills in states(seen):
            now = Point(at.projection, at.stack, fills, {})
            if (rule.when is None or value(rule.when, now)) and not value(rule.require, now):  # type: ignore[arg-type]
                return False
    return True


def compare(live: Desk, vector: VectorBook, asked: list[dict[str, Any]]) -> set[bool]:
    """Both forms clear what holds everywhere, and nothing else; the answers there were.

    A rule that CLIPS is not given is left to the first form, and where cash moves with several orders of one name both
    may leave it to the single path.
    """
    wanted = [holds(live, f) for f in typed([{**o, "id": f"O{n}"} for n, o in enumerate(asked)])]
    first, second = alone(vector, asked)
    forms = vector.book.seats[0].forms
    assert forms is not None
    mixed = any(total.mode == "corners" for total, _ in forms.first.totals())
    for found in [first] if forms.second.left else [first, second]:
        assert all(got <= want for got, want in zip(found, wanted, strict=True))
        assert mixed or found == wanted
    return set(wanted)


def happens(live: Desk, random_: Random, number: int) -> None:
    """A holding is told anew, an order comes or goes."""
    name = random_.choice(tuple(MARKS))
    if live.working and random_.random() < 0.6:
        live.apply(WorkingRemoved(random_.choice(tuple(live.working))))
    elif len(live.working) < 3 and random_.random() < 0.6:
        facts: dict[str, Any] = {
            "id": f"N{number}",
            "account": "A",
            "symbol": name,
            "side": random_.choice(("buy", "sell")),
        }
        numbers = {"quantity": Fraction(random_.randint(1, 2)), "price": Fraction(10)}
        live.apply(WorkingAdded({f"working_order.{k}": v for k, v in {**facts, **numbers}.items()}))
    else:
        live.apply(PositionSet("A", name, {"position.before.quantity": Fraction(random_.randint(-4, 6))}))


@pytest.mark.parametrize(("kind", "when", "require"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_what_is_cleared_holds_in_every_state(kind, when, require):
    """Small worlds, each with the limits its orders lie on."""
    answers = set[bool]()
    for seed in range(5):
        random_ = Random(seed)
        limit = random_.randint(3, 9)
        live, vector = desk_of(cases.rule("r", kind, when, require.format(n=limit)), **sections(random_))
        for number in range(3):
            answers |= compare(live, vector, orders(random_, 2))
            happens(live, random_, number)
        assert not vector.tally().unfit
    assert answers == {True, False}, "limits have two sides"


CASH_MOVES = "sum(abs(position.after.value)) + 1_000 - account.after.cash <= {n}"


@pytest.mark.parametrize(("bought", "limit", "cleared"), [((3, 3), 100, False), ((3,), 60, True), ((3,), 59, False)])
def test_several_orders_of_one_name_whose_cash_counts_are_the_single_path_s(bought, limit, cleared):
    """Two short are 20. Either purchase of three adds 20, both together 80: adding each one's share would be wrong."""
    live, vector = desk_of(
        cases.rule("r", "account", "", CASH_MOVES.format(n=limit)),
        account={"cash": "1000", "nav": "1000"},
        instruments=[instrument(n, "10") for n in ("ACME", "BETA")],
        positions=[position("BETA", -2)],
        working_orders=[working(f"W{n}", "BETA", "buy", q, "10") for n, q in enumerate(bought)],
    )
    asked = [order("buy", 1, price="10")]
    assert alone(vector, asked) == [[cleared], [cleared]]
    assert [holds(live, facts) for facts in typed(asked)] == [cleared]


def test_the_last_order_of_a_sector_leaves_nothing_behind():
    """A total whose members are all gone is nought, in the form that keeps it and in the one that adds up anew."""
    live, vector = desk_of(
        cases.rule("r", "sector", "", "sum(abs(position.after.value)) <= 500"),
        instruments=[instrument("ACME"), instrument("BETA", sector="Energy")],
        working_orders=[working("W", "BETA", "buy", 5)],
    )
    asked = [order("buy", 5, "BETA"), order("buy", 6, "BETA")]
    assert alone(vector, asked) == [[False, False], [False, False]]
    live.apply(WorkingRemoved("W"))
    assert alone(vector, asked) == [[True, False], [True, False]]


def test_prices_here_are_exact():
    """The marks above are decimals that a float would round."""
    live, _ = desk_of(cases.rule("r", "account", "", "account.nav > 0"), **sections(Random(0)))
    assert [decimal(live.instruments[s]["instrument.mark"]) for s in MARKS] == list(MARKS.values())  # type: ignore[arg-type]
