"""Money that changes: an account's, an instrument's, a rate, the base of all rates; each form alone sees each of them.

One account is the case to fear: while all accounts count in one money a rate is kept for each instrument, and a change
of that money is no event of any instrument.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.desk import Desk
from lexorder.engine.events import AccountChanged, AccountSet, Event, InstrumentChanged, InstrumentSet, SingleChanged
from tests.engine import vector_cases as cases
from tests.engine.forms_alone import alone, desk_of, plainly
from tests.worlds import instrument, order, position, world

RULES: tuple[tuple[str, str], ...] = (
    ("account", "sum(abs(position.after.value)) <= 1_000"),
    ("position", "abs(position.after.value) <= 1_000"),
    ("order", "order.quantity * instrument.mark * instrument.fx <= 1_000"),
    ("order", "instrument.currency == account.currency"),
    ("account", "sum(order.notional) + sum(working_order.notional) <= 1_000"),
)
EVENTS: tuple[tuple[str, Callable[[Desk], Event]], ...] = (
    ("the account's money", lambda _: AccountChanged("A", {"account.currency": "EUR"})),
    ("the whole account", lambda d: AccountSet("A", {**d.accounts["A"], "account.currency": "EUR"})),
    ("an instrument's money", lambda _: InstrumentChanged("ACME", {"instrument.currency": "USD"})),
    ("the whole instrument", lambda d: InstrumentSet("BETA", {**d.instruments["BETA"], "instrument.currency": "EUR"})),
    ("a rate", lambda _: SingleChanged({"fx.EUR": Fraction(4)})),
    ("the base of all rates", lambda _: SingleChanged({"fx.base": "EUR", "fx.USD": Fraction(4)})),
    ("a rate told with the instrument", lambda _: InstrumentChanged("ACME", {"instrument.fx": Fraction(5)})),
)


def sections(own: str, accounts: int) -> dict[str, Any]:
    """Two of ACME, which costs 100 euros of two dollars each, and one of BETA, in dollars."""
    plain = world(account={"currency": own})["accounts"][0]
    return {
        "accounts": [{**plain, "id": name} for name in "AB"[:accounts]],
        "fx": {"base": "USD", "EUR": "2"},
        "instruments": [instrument("ACME", currency="EUR"), instrument("BETA")],
        "positions": [position("ACME", 2), position("BETA", 1)],
    }


ORDERS = [order("buy", q, s, id=f"{s}{q}", fee_per_share="0") for s in ("ACME", "BETA") for q in range(2, 12, 2)]


@pytest.mark.parametrize(("own", "accounts"), [("USD", 1), ("EUR", 1), ("USD", 2)])
@pytest.mark.parametrize(("kind", "require"), RULES, ids=[f"{r[0]}: {r[1]}" for r in RULES])
def test_both_forms_count_in_the_money_of_the_moment(kind, require, own, accounts):
    """After each event, and after the account counts as before."""
    rule, moved = cases.rule("r", kind, "", require), 0
    for _, event in EVENTS:
        live, vector = desk_of(rule, **sections(own, accounts))
        before = plainly(live, ORDERS)
        assert alone(vector, ORDERS) == [before, before]
        back = AccountChanged("A", {"account.currency": own})
        for happened in (event(live), back):
            live.apply(happened)
            wanted = plainly(live, ORDERS)
            found = alone(vector, ORDERS)
            assert all(not got or want for form in found for got, want in zip(form, wanted, strict=True)), happened
            if len({facts["account.currency"] for facts in live.accounts.values()}) == 1:
                assert found == [wanted, wanted], happened
            moved += wanted != before
    assert moved >= 3, "the events matter"
