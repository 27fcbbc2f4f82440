"""The worst that old orders can bring, name by name: beside every fill of every order, tried one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import pytest

from lexorder.engine.evaluate import Fills
from lexorder.engine.events import (
    AccountChanged,
    Fill,
    InstrumentChanged,
    SingleChanged,
    WorkingAdded,
    WorkingRemoved,
    after,
)
from lexorder.engine.expert.atoms import Atom, atoms_of
from lexorder.engine.expert.live import Live
from lexorder.engine.expert.worst import (
    CORNERS_MAX,
    Reading,
    Shape,
    Total,
    Totals,
    convex_share,
    end_fills,
    excess_of,
    linear_share,
    mixed_share,
)
from lexorder.engine.facts import load_snapshot
from lexorder.engine.judge import excess, moves, worst_excess
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Compare
from lexorder.engine.typecheck import term_of
from tests.agreement import happenings, worlds
from tests.worlds import VOCABULARY, position, working, world

SHARES = {"linear": linear_share, "convex": convex_share, "mixed": mixed_share}
SUMS: dict[str, tuple[Shape, str, str]] = {
    "net": ("linear", "account", "sum(position.after.value) <= account.nav"),
    "net, the other way": ("linear", "account", "sum(position.after.value) >= account.nav"),
    "cash": ("linear", "account", "account.after.cash >= 0"),
    "net assets after": ("linear", "account", "sum(position.after.value) <= 50% * account.after.nav"),
    "gross": ("convex", "account", "sum(abs(position.after.value)) <= account.nav"),
    "long and short": (
        "convex",
        "account",
        "sum(max(position.after.value, 0)) - sum(min(position.after.value, 0)) <= account.nav",
    ),
    "a sector": ("convex", "account", 'sum(abs(position.after.value) where position.instrument.sector == "Tech") <= 9'),
    "an issuer": ("convex", "issuer", "sum(abs(position.after.value)) <= account.nav"),
    "one name": ("convex", "position", "abs(position.after.value) <= account.nav"),
    "one name's shares": ("linear", "position", "position.after.quantity <= 5"),
    "gross and cash": ("mixed", "account", "sum(abs(position.after.value)) <= account.after.cash"),
}


def compare(text: str, for_each: str) -> Compare:
    found = term_of(text, VOCABULARY, for_each)
    assert isinstance(found, Compare)
    return found


def moving(part: Compare) -> tuple[Atom, ...]:
    return tuple(a for a in atoms_of(part) if a.kind != "static")


def subjects(for_each: str, seen: Projection) -> Iterator[Subject]:
    """Who a rule of this kind may be about."""
    if for_each == "account":
        yield account_subject(seen)
    elif for_each == "position":
        yield from (Subject("position", s, facts) for s, facts in seen.positions.items())
    else:
        yield from (Subject(for_each, key) for key in ("ACME", "BETA"))


def reading_of(live: Live, subject: Subject, derivations: Any = None) -> Reading:
    return Reading(live, live.accounts["A"], subject, derivations or {})


def every_fill(live: Live, symbol: str) -> Iterator[Fills]:
    """Every whole-share state that the working orders of a name can reach."""
    orders = live.accounts["A"].working_of.get(symbol, [])
    keys = [("working_order", str(o["working_order.id"])) for o in orders]
    amounts: list[Any] = [o["working_order.quantity"] for o in orders]
    for filled in product(*(range(int(a) + 1) for a in amounts)):
        yield {k: Fraction(f) for k, f in zip(keys, filled, strict=True)}


@pytest.mark.parametrize(("shape", "for_each", "text"), SUMS.values(), ids=SUMS)
class TestShares:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_share_is_the_greatest_of_all_fill_states(self, shape, for_each, text, seed):
        random = Random(f"shares {seed} {text}")
        for _ in range(6):
            snapshot = worlds.snapshot(random, worlds.Rates(0, 0, 30))
            live, seen = Live(snapshot, VOCABULARY), project(snapshot, VOCABULARY, "A", ())
            for subject in subjects(for_each, seen):
                reading = reading_of(live, subject)
                for symbol in live.accounts["A"].symbols():
                    atoms = moving(compare(text, for_each))
                    try:
                        share = SHARES[shape](atoms, symbol, reading)
                    except MissingFactError:
                        continue
                    states = every_fill(live, symbol)
                    assert share == max(excess_of(atoms, symbol, reading, fills, ()) for fills in states)

    @pytest.mark.parametrize("seed", range(2))
    def test_the_total_is_the_greatest_excess_the_judge_finds(self, shape, for_each, text, seed):
        random, known = Random(f"totals {seed} {text}"), 0
        part = compare(text, for_each)
        for _ in range(6):
            snapshot = worlds.snapshot(random, worlds.Rates(0, 0, 30))
            live, seen = Live(snapshot, VOCABULARY), project(snapshot, VOCABULARY, "A", ())
            for subject in subjects(for_each, seen):
                stack = (account_subject(seen), subject)
                at = reading_of(live, subject).at(seen)
                assert at.stack == stack
                try:
                    worst, _ = worst_excess(part, at, moves(seen))
                    fixed = excess(part, at) - sum(
                        (excess_of(moving(part), s, reading_of(live, subject), {}, ()) for s in seen.positions),
                        Fraction(0),
                    )
                    total = Totals(live).of(moving(part), shape, reading_of(live, subject))
                except MissingFactError:
                    continue
                known += 1
                assert total.sum + fixed == worst
        assert known


class TestEnds:
    def test_the_ends_fill_one_side_each(self):
        orders = [working("W1", "ACME", "buy", 3), working("W2", "ACME", "sell", 4), working("W3", "BETA", "buy", 9)]
        live = Live(load_snapshot(world(working_orders=orders), VOCABULARY), VOCABULARY)
        low, high = end_fills(live.accounts["A"], "ACME")
        assert low == {("working_order", "W2"): 4}
        assert high == {("working_order", "W1"): 3}
        assert end_fills(live.accounts["A"], "COCO") == ({}, {})

    @pytest.mark.parametrize("count", [CORNERS_MAX, CORNERS_MAX + 1])
    def test_more_orders_in_a_name_than_corners_are_not_known(self, count):
        orders = [working(f"W{n}", "ACME", ("buy", "sell")[n % 2], 1) for n in range(count)]
        live = Live(load_snapshot(world(working_orders=orders), VOCABULARY), VOCABULARY)
        atoms = moving(compare("sum(abs(position.after.value)) <= account.after.cash", "account"))
        reading = reading_of(live, Subject("account", "A", live.account_facts["A"]))
        if count > CORNERS_MAX:
            with pytest.raises(MissingFactError, match="fill states of ACME is too large"):
                mixed_share(atoms, "ACME", reading)
        else:
            states = every_fill(live, "ACME")
            expected = max(excess_of(atoms, "ACME", reading, fills, ()) for fills in states)
            assert mixed_share(atoms, "ACME", reading) == expected


def said(totals: Totals, atoms: tuple[Atom, ...], shape: Shape, reading: Reading) -> Fraction | str:
    """A total, or that it is not known."""
    try:
        return totals.of(atoms, shape, reading).sum
    except MissingFactError:
        return "unknown"


@pytest.mark.parametrize(("shape", "for_each", "text"), SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("seed", range(2))
def test_totals_kept_over_events_are_those_of_a_fresh_start(shape, for_each, text, seed):
    """What time alone undoes may be kept as unknown; nothing else may differ, and a sum is never kept too long."""
    random = Random(f"kept {seed} {text}")
    snapshot = worlds.snapshot(random, worlds.Rates(2, 0, 20))
    live, atoms = Live(snapshot, VOCABULARY), moving(compare(text, for_each))
    totals = Totals(live)
    for number in range(40):
        event = happenings.anything(random, snapshot, number)
        snapshot = after(snapshot, event)
        live.apply(event)
        seen = live.projection("A", ())
        for subject in subjects(for_each, seen):
            reading = reading_of(live, subject)
            kept, fresh = said(totals, atoms, shape, reading), said(Totals(live), atoms, shape, reading)
            assert kept in (fresh, "unknown")
            ages = any("instrument.mark_time" in facts for facts in live.instruments.values())
            assert kept == fresh or ages, (number, event)


class TestWorkedOutAgain:
    """Only what an event touched is worked out again; everything is, when anything may have changed."""

    def start(self) -> tuple[Live, Totals, tuple[Atom, ...], Reading]:
        document = world(
            positions=[position("ACME", 5), position("BETA", -3)], working_orders=[working("W", "COCO", "buy", 2)]
        )
        live = Live(load_snapshot(document, VOCABULARY), VOCABULARY)
        atoms = moving(compare("sum(abs(position.after.value)) <= account.nav", "account"))
        return live, Totals(live), atoms, reading_of(live, Subject("account", "A", live.account_facts["A"]))

    @pytest.mark.parametrize(
        ("event", "worked"),
        [
            (InstrumentChanged("ACME", {"instrument.mark": Fraction(50)}), {"ACME"}),
            (Fill("A", "BETA", "buy", Fraction(1), Fraction(0)), {"BETA"}),
            (WorkingRemoved("W"), {"COCO"}),
            (
                WorkingAdded(
                    {
                        "working_order.id": "N",
                        "working_order.account": "A",
                        "working_order.symbol": "ACME",
                        "working_order.side": "buy",
                        "working_order.quantity": Fraction(1),
                        "working_order.price": Fraction(1),
                    }
                ),
                {"ACME"},
            ),
            (AccountChanged("A", {"account.nav": Fraction(5)}), set()),
            (SingleChanged({"clock.now": worlds.NOW}), set()),
            (SingleChanged({"fx.EUR": Fraction(2)}), {"ACME", "BETA", "COCO"}),
        ],
    )
    def test_names(self, monkeypatch, event, worked):
        live, totals, atoms, reading = self.start()
        totals.of(atoms, "convex", reading)
        names: set[str] = set()
        real = Totals._update

        def noting(mine: Totals, total: Total, *more: Any) -> None:
            names.add(more[2])
            real(mine, total, *more)

        monkeypatch.setattr(Totals, "_update", noting)
        live.apply(event)
        total = totals.of(atoms, "convex", reading)
        assert names == worked
        assert total.sum == Totals(live).of(atoms, "convex", reading).sum

    def test_a_name_that_leaves_a_group_leaves_its_total(self):
        live, totals, _, _ = self.start()
        atoms = moving(compare("sum(abs(position.after.value)) <= account.nav", "issuer"))
        reading = reading_of(live, Subject("issuer", "ACME"))
        assert totals.of(atoms, "convex", reading).sum == 500
        live.apply(InstrumentChanged("BETA", {"instrument.issuer": "ACME"}))
        assert totals.of(atoms, "convex", reading).sum == 800
        live.apply(InstrumentChanged("ACME", {"instrument.issuer": "OTHER"}))
        assert totals.of(atoms, "convex", reading).sum == 300

    def test_a_missing_price_makes_the_total_unknown_until_it_comes(self):
        live, totals, atoms, reading = self.start()
        assert totals.of(atoms, "convex", reading).sum == 1_000
        live.apply(InstrumentChanged("BETA", {"instrument.mark": None}))  # type: ignore[dict-item]
        for _ in range(2):
            with pytest.raises(MissingFactError, match=r"instrument\.mark of BETA"):
                totals.of(atoms, "convex", reading)
        live.apply(InstrumentChanged("BETA", {"instrument.mark": Fraction(10)}))
        assert totals.of(atoms, "convex", reading).sum == 730

    @pytest.mark.parametrize("held", [3, 0])
    def test_a_price_that_grows_too_old_makes_it_unknown(self, held):
        live, totals, atoms, reading = self.start()
        now = live.snapshot.time
        live.apply(InstrumentChanged("BETA", {"instrument.mark_time": now - timedelta(minutes=10)}))
        live.apply(Fill("A", "BETA", "buy", Fraction(3 + held), Fraction(0)))
        assert totals.of(atoms, "convex", reading).sum == 700 + 100 * held
        live.apply(SingleChanged({"clock.now": now + timedelta(minutes=5)}))
        assert totals.of(atoms, "convex", reading).sum == 700 + 100 * held
        live.apply(SingleChanged({"clock.now": now + timedelta(minutes=5, microseconds=1)}))
        with pytest.raises(MissingFactError, match="older than its age limit"):
            totals.of(atoms, "convex", reading)
