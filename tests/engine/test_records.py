"""Records kept by account: at every moment what filtering one plain list would give."""

from __future__ import annotations

from fractions import Fraction
from operator import contains
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lexorder.engine.errors import SnapshotError
from lexorder.engine.records import EVERYONE, ById, Records, Worked

ACCOUNTS = ("A", "B", EVERYONE)
IDS = st.sampled_from(("1", "2", "3", "4", "5"))
OWNERS = st.sampled_from((*ACCOUNTS, None))


def fill(key: str, account: str | None, quantity: int) -> dict[str, Any]:
    """A fill; without an account it counts for everyone."""
    owner = {} if account is None else {"fill.account": account}
    return {"fill.id": key, "fill.quantity": Fraction(quantity), **owner}


class Kept(RuleBasedStateMachine):
    """Records beside a list of (id, facts) in the order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.records = Records("fill")
        self.plain: list[dict[str, Any]] = []

    def place(self, key: str) -> int | None:
        return next((n for n, facts in enumerate(self.plain) if facts["fill.id"] == key), None)

    @rule(key=IDS, account=OWNERS, quantity=st.integers(1, 9))
    def add(self, key: str, account: str | None, quantity: int) -> None:
        """A new one comes last; one that is there already is refused and changes nothing."""
        facts = fill(key, account, quantity)
        if self.place(key) is None:
            self.records.add(facts)
            self.plain.append(facts)
        else:
            with pytest.raises(SnapshotError, match="recorded already") as refused:
                self.records.add(facts)
            assert refused.value.code == "duplicate-thing"

    @rule(key=IDS, account=OWNERS, quantity=st.integers(1, 9))
    def put(self, key: str, account: str | None, quantity: int) -> None:
        """One told anew keeps its place, also when it is another account's now."""
        facts, place = fill(key, account, quantity), self.place(key)
        self.records.put(facts)
        if place is None:
            self.plain.append(facts)
        else:
            self.plain[place] = facts

    @invariant()
    def is_the_plain_list(self) -> None:
        assert list(self.records) == self.plain
        assert len(self.records) == len(self.plain)
        assert self.records[:2] == tuple(self.plain[:2])
        assert not self.plain or self.records[-1] == self.plain[-1]

    @invariant()
    def each_account_sees_its_own_and_everyone_s(self) -> None:
        for account in (*ACCOUNTS, "C"):
            mine = [f for f in self.plain if f.get("fill.account", EVERYONE) in (account, EVERYONE)]
            assert list(self.records.of(account)) == mine
            assert self.records.any_of(account) == bool(mine)

    @invariant()
    def knows_its_identifiers(self) -> None:
        for key in ("1", "2", "3", "4", "5", "6"):
            assert self.records.knows(key) == contains(self.records, key) == (self.place(key) is not None)


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)


def test_records_of_the_start_are_in_their_order():
    rows = [fill(key, account, 1) for key, account in (("9", "B"), ("1", None), ("5", "A"), ("0", "B"))]
    records = Records("fill", rows)
    assert list(records) == rows
    assert [f["fill.id"] for f in records.of("B")] == ["9", "1", "0"]
    with pytest.raises(SnapshotError):
        Records("fill", [*rows, rows[0]])


def test_working_orders_are_read_from_tables_their_owner_changes():
    """Views: what is added, changed or taken out of the tables shows at once, in the order of arrival."""
    account_of = {"2": "B", "1": "A"}
    working: dict[str, dict[str, dict[str, Any]]] = {"A": {"1": {"q": 1}}, "B": {"2": {"q": 2}}}
    named: dict[str, dict[str, dict[str, Any]]] = {"X": {"1": {"q": 1}}}
    all_of, by_id = Worked(account_of, working, named), ById(account_of, working)
    assert list(all_of) == [{"q": 2}, {"q": 1}]
    assert (all_of[0], all_of[-1], all_of[:1]) == ({"q": 2}, {"q": 1}, ({"q": 2},))
    assert dict(by_id) == {"2": {"q": 2}, "1": {"q": 1}}
    assert list(all_of.of_symbol("X")) == [{"q": 1}]
    assert list(all_of.of_symbol("Y")) == []
    account_of["3"], working["A"]["3"] = "A", {"q": 3}
    assert [f["q"] for f in all_of] == [2, 1, 3]
    assert (len(all_of), len(by_id), by_id["3"]) == (3, 3, {"q": 3})
    del account_of["2"]
    assert "2" not in by_id
    with pytest.raises(KeyError):
        by_id["2"]
