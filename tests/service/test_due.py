"""What is due after events: looked at bit by bit, the findings are those of judging everything anew by the reference.

`Watcher` is a monitor without a service: a desk, what is due, and what was found. The rules are of every kind the
monitor tells apart; the reference is `utilisation.uses`, which judges an account whole and knows nothing of what
changed.
"""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.due import Due, Dues
from lexorder.api.service.looking import Found, Job, Seen, common_view, look, view_of
from lexorder.api.service.utilisation import covering, today, uses
from lexorder.api.service.watched import is_watched, watched
from lexorder.engine import events as e
from lexorder.engine.desk import Desk, shipped_rules
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.sessions import session_facts
from tests.worlds import VOCABULARY, book, position, world

KINDS_OF_RULES = (
    """
    rule: issuer
    title: An issuer at most half of net assets
    for_each: issuer
    phases: [monitor]
    require: sum(abs(position.after.value)) <= 50% * account.nav
    """,
    """
    rule: sector-of-gross
    title: A sector at most 70% of all that is held
    for_each: sector
    require: sum(abs(position.after.value)) <= 70% * account.nav
    when: any(abs(position.before.quantity) > 100)
    """,
    """
    rule: one-position
    title: At most 600 shares of anything that is not on the watch list
    for_each: position
    when: not (position.symbol in lists.watch)
    require: abs(position.after.quantity) <= 600
    """,
    """
    rule: gross
    title: At most all of net assets invested
    for_each: account
    require: sum(abs(position.after.value)) <= account.nav
    """,
    """
    rule: no-overdraft
    title: Cash stays
    for_each: account
    require: account.after.cash >= 0
    """,
    """
    rule: traded
    title: At most a tenth of the volume, worked or done
    for_each: instrument
    require: sum(working_order.filled) + sum(fill.quantity where fill.date == clock.date) <= 10% * instrument.adv
    """,
    """
    rule: small-account
    title: Which regime an account is in
    for_each: account
    when: account.nav < 80_000
    derive: {account.day_trading_regime: LEGACY}
    """,
    """
    rule: by-regime
    title: Small accounts hold at most 500 of anything
    for_each: position
    when: account.day_trading_regime == LEGACY
    require: position.after.quantity <= 500
    """,
    """
    rule: long-only
    title: Nothing short where the tag says so
    for_each: position
    scope: {accounts: {tag: long}}
    require: position.after.quantity >= 0
    """,
    """
    rule: priced
    title: Nothing held below 60
    for_each: position
    require: position.instrument.mark >= 60
    """,
    """
    rule: few-names
    title: At most two names
    for_each: account
    require: count(position) <= 2
    """,
)


def chosen() -> RuleBook:
    """The rules above."""
    return book(*KINDS_OF_RULES)


class Watcher:
    """Looks at what is due, as the monitor does, at once."""

    def __init__(self, rules: RuleBook, document: dict[str, Any]) -> None:
        self.desk = Desk(rules, document, VOCABULARY)
        self.known = watched(rules, today(self.desk.tables), VOCABULARY)
        self.dues = Dues(self.desk.live, self.known, lambda _account: True)
        self.told: list[Any] = []
        self.desk.watchers.append(self.told.append)
        self.found: dict[str, Found] = {}
        self.judged: list[str] = []
        self.dues.all(0, 0.0, "start")
        self.catch_up()

    def catch_up(self) -> list[str]:
        """Look at whatever is due; the accounts that were looked at."""
        self.dues.sort(self.told, 1, 0.0)
        self.told.clear()
        common, looked = common_view(self.desk.live), []
        for account in (*self.dues.touched, *self.dues.waiting):
            due = self.dues.take(account)
            if due is not None:
                looked.append(account)
                seen = self.look(account, due, common)
                self.found[account] = seen.found
                self.dues.depends(account, seen.read, everything=seen.all_read)
        return looked

    def look(self, account: str, due: Due, common: Any) -> Seen:
        """One look."""
        live = self.desk.live
        watches = self.known.covering(account, live.accounts.get(account, {}))
        self.judged = [w.rule.id for w in watches if due.asks(w) is not None]
        before = self.found.get(account, {})
        job = Job(account, view_of(live, common, account), due, watches, before)
        return look(job, self.known, VOCABULARY, lambda: None)

    def broken(self) -> dict[tuple[str, str, str], Any]:
        """What it knows to be broken or undecided."""
        return {(a, *key): evidence(finding) for a, found in self.found.items() for key, finding in found.items()}

    def anew(self) -> dict[tuple[str, str, str], Any]:
        """The same by judging everything from the beginning."""
        snapshot = self.desk.snapshot
        rules = self.desk.book.on(today(snapshot))
        found = {}
        for account in snapshot.accounts:
            mine = [r for r in rules if covering(r, snapshot, [account])]
            for use in uses(snapshot, VOCABULARY, account, [r for r in mine if is_watched(r)], mine):
                if use.broken:
                    found[account, use.rule.id, use.finding.subject] = evidence(use.finding)
        return found


def evidence(finding: Any) -> tuple[Any, ...]:
    """What must be equal."""
    return finding.status, finding.observed, finding.limit, finding.margin


def two_accounts(**sections: Any) -> dict[str, Any]:
    """A and B, B for the long only, both with something."""
    held = [position("ACME", 400), position("BETA", 100), position("ACME", 300, "B")]
    document = world(**{"positions": held, **sections})
    document["accounts"].append({**document["accounts"][0], "id": "B", "tags": ["long"]})
    document["instruments"][2]["sector"] = "Food"
    return document


# ---- the property ----------------------------------------------------------------------------------

ACCOUNTS, SYMBOLS = st.sampled_from(["A", "B"]), st.sampled_from(["ACME", "BETA", "COCO"])
QUANTITIES = st.sampled_from([-1, 0, 1, 499, 500, 501, 600, 601])


def facts(entity: str, **values: Any) -> dict[str, Any]:
    """Facts of a working order or a fill."""
    return {f"{entity}.{name}": value for name, value in values.items()}


def events() -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """A kind of event and what it needs; sizes stand on the limits of the rules and one beside."""
    return st.one_of(
        st.tuples(st.just("mark"), st.tuples(SYMBOLS, st.sampled_from(["59.9999", "60", "99", "100", "101", "200"]))),
        st.tuples(st.just("position"), st.tuples(ACCOUNTS, SYMBOLS, QUANTITIES)),
        st.tuples(st.just("nav"), st.tuples(ACCOUNTS, st.sampled_from(["40000", "80000", "100000"]))),
        st.tuples(st.just("tags"), st.tuples(ACCOUNTS, st.booleans())),
        st.tuples(st.just("fill"), st.tuples(ACCOUNTS, SYMBOLS, st.sampled_from(["buy", "sell"]), st.integers(1, 700))),
        st.tuples(st.just("work"), st.tuples(ACCOUNTS, SYMBOLS, st.sampled_from(["buy", "sell"]), st.integers(1, 700))),
        st.tuples(st.just("cancel"), st.tuples(st.integers(0, 5))),
        st.tuples(st.just("watch"), st.tuples(st.sets(SYMBOLS))),
        st.tuples(st.just("sector"), st.tuples(SYMBOLS, st.sampled_from(["Tech", "Food"]))),
        st.tuples(st.just("volume"), st.tuples(SYMBOLS, st.sampled_from(["100", "5000", "1000000"]))),
        st.tuples(st.just("minutes"), st.tuples(st.sampled_from([1, 15, 16]))),
        st.tuples(st.just("taken"), st.tuples(SYMBOLS)),
        st.tuples(st.just("fresh"), st.tuples(st.sampled_from(["DODO", "ACME"]))),
    )


class Day:
    """Turns drawn events into events of the desk."""

    def __init__(self, watcher: Watcher) -> None:
        self.desk = watcher.desk
        self.number = 0

    def take(self, kind: str, given: tuple[Any, ...]) -> None:
        """Apply one."""
        self.number += 1
        getattr(self, kind)(*given)

    def mark(self, symbol: str, mark: str) -> None:
        """A price."""
        self.desk.apply(e.InstrumentChanged(symbol, {"instrument.mark": Fraction(mark)}))

    def position(self, account: str, symbol: str, quantity: int) -> None:
        """A holding as it is told."""
        told = {"position.before.quantity": Fraction(quantity)}
        self.desk.apply(e.PositionSet(account, symbol, told))

    def nav(self, account: str, nav: str) -> None:
        """Net assets."""
        self.desk.apply(e.AccountChanged(account, {"account.nav": Fraction(nav)}))

    def tags(self, account: str, long: bool) -> None:
        """Other rules cover it."""
        self.desk.apply(e.AccountChanged(account, {"account.tags": frozenset({"long"} if long else ())}))

    def fill(self, account: str, symbol: str, side: str, quantity: int) -> None:
        """A trade of today."""
        kept = facts(
            "fill",
            id=f"f{self.number}",
            account=account,
            symbol=symbol,
            side=side,
            quantity=Fraction(quantity),
            date=today(self.desk.tables),
        )
        cash = Fraction(-100 * quantity if side == "buy" else 100 * quantity)
        self.desk.apply(e.Fill(account, symbol, side, Fraction(quantity), cash, "", kept))

    def work(self, account: str, symbol: str, side: str, quantity: int) -> None:
        """An order goes out."""
        if len(self.desk.working) < 4:  # the reference looks at every combination of fills
            told = {"id": f"w{self.number}", "account": account, "symbol": symbol, "side": side}
            whole = {**told, "quantity": Fraction(quantity), "price": Fraction(100), "ord_type": "limit"}
            self.desk.apply(e.WorkingAdded(facts("working_order", **whole)))

    def cancel(self, which: int) -> None:
        """An order comes back."""
        ids = list(self.desk.working)
        if ids:
            self.desk.apply(e.WorkingRemoved(ids[which % len(ids)]))

    def watch(self, symbols: set[str]) -> None:
        """Another list."""
        self.desk.apply(e.SingleChanged({"lists.watch": frozenset(symbols)}))

    def sector(self, symbol: str, sector: str) -> None:
        """An instrument changes its group."""
        self.desk.apply(e.InstrumentChanged(symbol, {"instrument.sector": sector}))

    def volume(self, symbol: str, shares: str) -> None:
        """Its volume, which counts for accounts that do not hold it."""
        self.desk.apply(e.InstrumentChanged(symbol, {"instrument.adv": Fraction(shares)}))

    def minutes(self, count: int) -> None:
        """Time passes; marks grow old."""
        self.desk.apply(e.SingleChanged(session_facts(self.desk.time + timedelta(minutes=count))))

    def taken(self, symbol: str) -> None:
        """The mark is of now."""
        self.desk.apply(e.InstrumentChanged(symbol, {"instrument.mark_time": self.desk.time}))

    def fresh(self, symbol: str) -> None:
        """An instrument is told anew, or for the first time."""
        old = dict(self.desk.instruments["ACME"])
        kept = {k: v for k, v in old.items() if k != "instrument.mark_time"}
        self.desk.apply(e.InstrumentSet(symbol, {**kept, "instrument.symbol": symbol, "instrument.issuer": symbol}))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(events(), min_size=1, max_size=3), min_size=1, max_size=8))
def test_bit_by_bit_finds_what_judging_everything_finds(rounds):
    watcher = Watcher(chosen(), two_accounts())
    day = Day(watcher)
    assert watcher.broken() == watcher.anew()
    for some in rounds:
        for kind, given_ in some:
            day.take(kind, given_)
        watcher.catch_up()
        assert watcher.broken() == watcher.anew()
        assert len(watcher.dues) == 0


def test_the_group_an_instrument_leaves_is_judged_again_too():
    held = [position("ACME", 400), position("BETA", 400)]
    watcher = Watcher(chosen(), two_accounts(positions=held))
    assert ("A", "sector-of-gross", "Tech") in watcher.broken()
    Day(watcher).sector("ACME", "Food")
    watcher.catch_up()
    assert ("A", "sector-of-gross", "Tech") not in watcher.broken()
    assert watcher.broken() == watcher.anew()


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(events(), min_size=1, max_size=8))
def test_the_same_with_the_whole_library(steps):
    library = RuleBook.load(shipped_rules(), VOCABULARY)
    watcher = Watcher(library, two_accounts())
    day = Day(watcher)
    for kind, given_ in steps:
        day.take(kind, given_)
        watcher.dues.all(0, 0.0, "time", timed=True)
        watcher.catch_up()
        assert watcher.broken() == watcher.anew()
