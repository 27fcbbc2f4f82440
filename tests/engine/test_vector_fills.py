"""Sums over fills as columns: what a plain walk over the fills adds up, whatever happens after they were first read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from lexorder.engine import events as e
from lexorder.engine.desk import Desk, fast
from lexorder.engine.rule import Facts
from lexorder.engine.terms import Aggregate, Term
from lexorder.engine.typecheck import term_of
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_copies import Copy, copies_of
from tests.engine import vector_cases as cases
from tests.engine.forms_alone import alone, desk_of, plainly
from tests.engine.vector_reading import plain_desk, read
from tests.worlds import VOCABULARY, order, world

KINDS = ("account", "instrument")
ACCOUNTS, SYMBOLS = ("A", "B"), ("ACME", "BETA")
TODAY, YESTERDAY = "2026-06-15", "2026-06-12"
MOST = 10_000_000
"""The largest fill a vocabulary admits."""


def fill(number: int, account: str, symbol: str, quantity: int, **facts: str) -> dict[str, str]:
    """A purchase filled today."""
    plain = {"id": f"F{number}", "account": account, "symbol": symbol, "side": "buy", "quantity": str(quantity)}
    return {**plain, "date": TODAY, **facts}


def accounts() -> list[dict[str, Any]]:
    return [{**world()["accounts"][0], "id": name} for name in ACCOUNTS]


def desk(fills: Sequence[Mapping[str, str]]) -> Desk:
    return plain_desk(cases.book(), world(accounts=accounts(), fills=list(fills)))


def sum_of(text: str) -> Term:
    """A sum over fills as a rule for each instrument has it."""
    term = term_of(text, VOCABULARY, "instrument")
    assert isinstance(term, Aggregate)
    return term


def by_pair(copy: Copy, term: Term) -> dict[tuple[str, str], int | None]:
    """The column of a sum for every name of every account."""
    index = copy.tables.tables
    pairs = [(a, s) for a in ACCOUNTS for s in SYMBOLS]
    account = np.array([index[Level.ACCOUNT].index[a] for a, _ in pairs], dtype=np.int64)
    symbol = np.array([index[Level.INSTRUMENT].index[s] for _, s in pairs], dtype=np.int64)
    return dict(zip(pairs, read(copy.fills.column(term, KINDS, account, symbol), len(pairs)), strict=True))


def on_paper(live: Desk, counts: Callable[[Facts], bool], each: Callable[[Facts], Any]) -> dict[tuple[str, str], int]:
    """The same added up fill by fill."""
    found = {(a, s): 0 for a in ACCOUNTS for s in SYMBOLS}
    for facts in live.tables.fills:
        pair = str(facts["fill.account"]), str(facts["fill.symbol"])
        if pair in found and counts(facts):
            found[pair] += int(each(facts))
    return found


def of(owners: set[str]) -> Callable[[Facts], bool]:
    """Whether a fill is of one of these accounts."""
    return lambda facts: facts["fill.account"] in owners


SUMS: tuple[tuple[str, Callable[[Facts], bool], Callable[[Facts], Any]], ...] = (
    ("sum(fill.quantity)", lambda _: True, lambda f: f["fill.quantity"]),
    ("sum(fill.quantity where fill.date == clock.date)", lambda f: str(f["fill.date"]) == TODAY,
     lambda f: f["fill.quantity"]),
    ("sum(fill.quantity where fill.side != buy)", lambda f: f["fill.side"] != "buy", lambda f: f["fill.quantity"]),
    ("count(fill)", lambda _: True, lambda _: 1),
    ("count(fill where fill.quantity > 50)", lambda f: f["fill.quantity"] > 50, lambda _: 1),  # type: ignore[operator]
    ("sum(if fill.side == buy then fill.quantity else -fill.quantity)", lambda _: True,
     lambda f: f["fill.quantity"] if f["fill.side"] == "buy" else -f["fill.quantity"]),  # type: ignore[operator]
)  # fmt: skip


@pytest.mark.parametrize(("text", "counts", "each"), SUMS, ids=[s[0] for s in SUMS])
@pytest.mark.parametrize("seed", range(2))
def test_each_sum_is_that_of_a_plain_walk(text, counts, each, seed):
    random_ = Random(seed)
    fills = [
        fill(n, random_.choice(ACCOUNTS), random_.choice((*SYMBOLS, "COCO")), random_.choice((1, 50, 51, MOST)),
             side=random_.choice(("buy", "sell", "sell_short")), date=random_.choice((TODAY, YESTERDAY)))
        for n in range(seed * 12)
    ]  # fmt: skip
    live = desk(fills)
    for copy in copies_of(live):
        assert by_pair(copy, sum_of(text)) == on_paper(live, counts, each)


def test_a_name_without_fills_has_nought_and_so_has_one_that_is_unknown():
    (copy, _) = copies_of(desk([fill(1, "A", "ACME", 5), fill(2, "A", "GONE", 7), fill(3, "NOBODY", "BETA", 7)]))
    found = by_pair(copy, sum_of("sum(fill.quantity)"))
    assert found == {("A", "ACME"): 5, ("A", "BETA"): 0, ("B", "ACME"): 0, ("B", "BETA"): 0}


@pytest.mark.parametrize("owner", [{"account": "NONE"}, {}])
def test_a_fill_that_counts_for_everyone_is_the_single_path_s(owner):
    """It is in the sum of every account, whatever pair it names."""
    counted = {k: v for k, v in fill(1, "A", "ACME", 5).items() if k != "account"} | owner
    (copy, _) = copies_of(desk([counted]))
    with pytest.raises(NotVectorError, match="every account"):
        by_pair(copy, sum_of("sum(fill.quantity)"))


@pytest.mark.parametrize("text", ["sum(fill.price)", "sum(fill.quantity * fill.price)", "sum(fill.price / 3)"])
def test_a_sum_finer_than_a_whole_is_not_known(text):
    """Nor one that lacks a price: it is missing for its own pair alone."""
    (copy, _) = copies_of(desk([fill(1, "A", "ACME", 1, price="0.5"), fill(2, "B", "ACME", 1, price="6"),
                                fill(3, "B", "BETA", 1)]))  # fmt: skip
    found = by_pair(copy, sum_of(text))
    assert found[("A", "ACME")] is found[("B", "BETA")] is None
    assert found[("A", "BETA")] == 0
    assert found[("B", "ACME")] == (2 if "/" in text else 6)


@pytest.mark.parametrize(("factor", "known"), [(3 * 10**11, True), (4 * 10**11, False)])
def test_a_sum_beyond_64_bits_is_not_known_and_hinders_no_other(factor, known):
    """Thirty million shares times the factor, beside a sum that leaves no common factor to be taken out."""
    fills = [fill(n, "A", "ACME", MOST - n) for n in range(3)]
    (copy, _) = copies_of(desk([*fills, fill(9, "B", "BETA", 7, side="sell")]))
    found = by_pair(copy, sum_of(f"sum(if fill.side == buy then fill.quantity * {factor} else fill.quantity)"))
    assert found[("A", "ACME")] == ((3 * MOST - 3) * factor if known else None)
    assert found[("B", "BETA")] == 7


# ---- what happens later --------------------------------------------------------------------------------------


def recorded(number: int, **facts: Any) -> Facts:
    plain = {"id": f"R{number}", "account": "A", "symbol": "ACME", "side": "buy", "quantity": Fraction(40)}
    return {f"fill.{k}": v for k, v in {**plain, **facts}.items()}


LATER: tuple[tuple[str, str, Callable[[Desk], e.Event]], ...] = (
    ("a fill", "sum(fill.quantity)", lambda _: e.FillRecorded(recorded(1))),
    ("a fill told with its trade", "sum(fill.quantity)",
     lambda _: e.Fill("A", "ACME", "buy", Fraction(40), Fraction(-4_000), "", recorded(2))),
    ("the time", "sum(fill.quantity where fill.time >= clock.now - 10 min)",
     lambda live: e.SingleChanged({"clock.now": live.time + timedelta(minutes=10, microseconds=1)})),
    ("the day", "sum(fill.quantity where fill.date == clock.date)",
     lambda live: e.SingleChanged({"clock.date": live.time.date() + timedelta(days=1)})),
    ("a list", "sum(fill.quantity where fill.symbol in lists.restricted)",
     lambda _: e.SingleChanged({"lists.restricted": frozenset({"ACME"})})),
    ("a state of the firm", "sum(fill.quantity where firm.trading_state == ACTIVE)",
     lambda _: e.SingleChanged({"firm.trading_state": "HALTED"})),
    ("a fact of the account", "sum(fill.quantity where account.nav >= 100_000)",
     lambda _: e.AccountChanged("A", {"account.nav": Fraction(99_999)})),
    ("the whole account", "sum(fill.quantity where account.nav >= 100_000)",
     lambda live: e.AccountSet("A", {**live.accounts["A"], "account.nav": Fraction(99_999)})),
    ("the account's tags", 'sum(fill.quantity where "quiet" in account.tags)',
     lambda _: e.AccountChanged("A", {"account.tags": frozenset({"quiet"})})),
    ("the session", "sum(fill.quantity where fill.time >= session.open)",
     lambda live: e.SingleChanged({"session.open": live.time + timedelta(microseconds=1)})),
)  # fmt: skip
"""What may happen after a sum was read, and a sum it changes."""


@pytest.mark.parametrize(("text", "event"), [later[1:] for later in LATER], ids=[later[0] for later in LATER])
def test_a_sum_read_before_is_right_after_whatever_it_reads_has_changed(text, event):
    """Both forms, which would be wrong together, against the reference; and the two single paths."""
    rule = cases.rule("r", "instrument", "", f"{text} + sum(order.quantity) <= 100")
    section = {
        "fills": [fill(1, "A", "ACME", 95, time="2026-06-15T12:00:00-04:00")],
        "firm": {"trading_state": "ACTIVE"},
        "session": {"open": "2026-06-15T12:00:00-04:00"},
    }
    live, vector = desk_of(rule, **section)
    single = Desk(cases.book(rule), world(**section), VOCABULARY, fast)
    orders = [order("buy", q, id=f"{q}") for q in (5, 6, 60, 61, 100, 101)]
    before = plainly(live, orders)
    assert alone(vector, orders) == [before, before]
    assert [single.check(o).approved for o in orders] == before
    happened = event(live)
    live.apply(happened)
    single.apply(happened)
    after = plainly(live, orders)
    assert after != before, "the event changes the sum"
    assert alone(vector, orders) == [after, after]
    assert [single.check(o).approved for o in orders] == after


def test_what_a_sum_does_not_read_leaves_it_alone():
    """A tick of the clock must not walk over a day's fills."""
    live = desk([fill(1, "A", "ACME", 5)])
    copy, _ = copies_of(live)
    term = sum_of("sum(fill.quantity where fill.date == clock.date)")
    by_pair(copy, term)
    kept = copy.fills._known[term, KINDS]
    for event in (
        e.SingleChanged({"clock.now": live.time + timedelta(minutes=1)}),
        e.AccountChanged("A", {"account.nav": Fraction(1)}),
        e.Fill("A", "ACME", "buy", Fraction(1), Fraction(-100)),
    ):
        live.apply(event)
        copy.note(event)
        assert copy.fills._known[term, KINDS] is kept
    copy.note(e.SingleChanged({"clock.date": live.time.date()}))
    assert not copy.fills._known


@pytest.mark.parametrize("seed", range(3))
def test_any_events_in_any_order(seed):
    """Sums that read the account and the firm, read again after every event."""
    random_ = Random(60 + seed)
    fills = [fill(n, random_.choice(ACCOUNTS), random_.choice(SYMBOLS), 1 + n) for n in range(4)]
    live = plain_desk(cases.book(), world(accounts=accounts(), fills=fills, firm={"collar": "0"}))
    copies = copies_of(live)

    def told(event: e.Event) -> None:
        for copy in copies:
            copy.note(event)

    live.watchers.append(told)
    for number in range(14):
        pair = {"account": random_.choice(ACCOUNTS), "symbol": random_.choice(SYMBOLS), "date": live.time.date()}
        live.apply(
            random_.choice(
                (
                    e.FillRecorded(recorded(number, **pair)),
                    e.AccountChanged(random_.choice(ACCOUNTS), {"account.nav": Fraction(random_.choice((1, 10**6)))}),
                    e.SingleChanged({"firm.collar": Fraction(random_.choice((0, 5)), 100)}),
                )
            )
        )
        rich = {name for name in ACCOUNTS if live.accounts[name]["account.nav"] > 10}  # type: ignore[operator]
        for text, owners in (("account.nav > 10", rich), ("firm.collar == 0", set(ACCOUNTS) if not
                             live.single["firm.collar"] else set[str]())):  # fmt: skip
            wanted = on_paper(live, of(owners), lambda f: f["fill.quantity"])
            term = sum_of(f"sum(fill.quantity where {text})")
            assert [by_pair(copy, term) for copy in copies] == [wanted, wanted]
