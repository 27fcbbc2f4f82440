"""Lists: dates, what a name covers through issuers, groups and underlyings, and what is refused."""

from __future__ import annotations

from datetime import date
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.covered import Coverage, why
from lexorder.engine.dated_lists import Entry, entries
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.hierarchy import Hierarchy, hierarchy
from lexorder.engine.snapshot import Snapshot
from tests.worlds import VOCABULARY, instrument, world

ENTRY = {"name": "ACME", "from": "2026-06-15", "until": "2026-06-17", "reason": "Adviser to a pending merger"}
DAY = date(2026, 6, 15)


def loaded(*listed: Any, instruments: list[dict[str, Any]] | None = None, **sections: Any) -> Snapshot:
    """A snapshot with these entries on the restricted list."""
    more = {} if instruments is None else {"instruments": instruments}
    return load_snapshot(world(lists={"restricted": list(listed)}, **more, **sections), VOCABULARY)


def covered(*listed: Any, **sections: Any) -> frozenset[str]:
    """The symbols of the snapshot that these entries cover."""
    taken = loaded(*listed, **sections)
    found = taken.single["lists.restricted"]
    assert isinstance(found, frozenset)
    return found & taken.instruments.keys()


def refusal(*listed: Any, **sections: Any) -> tuple[str, str]:
    """(place, code) of the refusal of a document with these entries."""
    with pytest.raises(SnapshotError) as caught:
        loaded(*listed, **sections)
    return caught.value.where, caught.value.code


class TestDays:
    """Both days count; the day is the exchange's."""

    @pytest.mark.parametrize(("day", "listed"), [(14, False), (15, True), (16, True), (17, True), (18, False)])
    def test_from_and_until_both_count(self, day: int, listed: bool) -> None:
        names = covered(ENTRY, "BETA", time=f"2026-06-{day}T12:00:00-04:00")
        assert names == ({"ACME", "BETA"} if listed else {"BETA"})

    def test_the_day_is_the_exchanges(self) -> None:
        assert covered(ENTRY, time="2026-06-18T02:00:00+00:00") == {"ACME"}
        assert covered(ENTRY, time="2026-06-18T04:00:00+00:00") == set()

    def test_one_day_alone(self) -> None:
        one = {"name": "ACME", "from": "2026-06-15", "until": "2026-06-15"}
        assert covered(one) == {"ACME"}

    @pytest.mark.parametrize("open_end", [{}, {"from": None, "until": None}])
    def test_without_dates_it_always_counts(self, open_end: dict[str, None]) -> None:
        assert covered({"name": "ACME", **open_end}, time="2031-01-02T12:00:00-05:00") == {"ACME"}

    @given(st.dates(), st.none() | st.dates(), st.none() | st.dates())
    def test_the_days_are_those_between(self, day: date, since: date | None, until: date | None) -> None:
        listed = Entry("ACME", since=since, until=until)
        assert listed.counts(day) == (not (since and day < since) and not (until and day > until))
        assert listed.over(day) == bool(until and day > until)


ACME, BETA = instrument("ACME", issuer="Acme Inc", group="Acme"), instrument("BETA")
BOND = instrument("ACME.27", issuer="Acme Finance", group="Acme")
CALL = instrument("ACME.C", issuer="Clearing House", group="Clearing House", kind="option", underlying="ACME")
FUTURE = instrument("CALL.F", issuer="Clearing House", group="Clearing House", kind="future", underlying="ACME.C")
ALL = [ACME, BETA, BOND, CALL, FUTURE]
TREE = {
    "issuers": [
        {"id": "Acme Finance", "parent": "Acme Inc"},
        {"id": "Acme Inc", "parent": "Acme Holding", "group": "Acme"},
        {"id": "Acme Holding", "group": "Conglomerate"},
    ],
    "groups": [{"id": "Acme", "parent": "Conglomerate"}, {"id": "Conglomerate"}],
}


class TestCoverage:
    """What a name covers."""

    @pytest.mark.parametrize(
        ("entry", "found"),
        [
            ("ACME", {"ACME", "ACME.C", "CALL.F"}),
            ("BETA", {"BETA"}),
            ("Acme Inc", {"ACME", "ACME.27", "ACME.C", "CALL.F"}),
            ("Acme Finance", {"ACME.27"}),
            ("Acme Holding", {"ACME", "ACME.27", "ACME.C", "CALL.F"}),
            ("Acme", {"ACME", "ACME.27", "ACME.C", "CALL.F"}),
            ("Conglomerate", {"ACME", "ACME.27", "ACME.C", "CALL.F"}),
            ("Clearing House", {"ACME.C", "CALL.F"}),
            ({"name": "ACME.C"}, {"ACME.C", "CALL.F"}),
            ({"name": "Acme Inc", "kind": "issuer", "derivatives": False}, {"ACME", "ACME.27"}),
            ({"name": "ACME", "kind": "symbol", "derivatives": False}, {"ACME"}),
            ({"name": "CALL.F", "kind": "symbol", "derivatives": False}, {"CALL.F"}),
        ],
    )
    def test_a_name_reaches_down_and_to_derivatives(self, entry: Any, found: set[str]) -> None:
        assert covered(entry, instruments=ALL, **TREE) == found

    def test_a_kind_tells_a_symbol_from_an_issuer_of_the_same_name(self) -> None:
        names = [
            instrument("GM", issuer="Other", group="Other"),
            instrument("XY", issuer="GM", group="Other"),
            instrument("UV", group="GM"),
        ]
        assert covered("GM", instruments=names) == {"GM", "XY", "UV"}
        for kind, symbol in (("symbol", "GM"), ("issuer", "XY"), ("group", "UV")):
            assert covered({"name": "GM", "kind": kind}, instruments=names) == {symbol}

    def test_a_restriction_does_not_climb(self) -> None:
        assert "ACME" not in covered("Acme Finance", instruments=ALL, **TREE)

    def test_what_no_list_mentions_is_on_none(self) -> None:
        assert covered(instruments=ALL, **TREE) == set()

    def test_bare_names_stay_for_rules_that_compare_issuers(self) -> None:
        names = loaded("Acme Inc", {"name": "Acme", "kind": "group"}, instruments=ALL).single["lists.restricted"]
        assert isinstance(names, frozenset)
        assert "Acme Inc" in names
        assert "Acme" not in names

    def test_every_list_of_a_desk_works_so(self) -> None:
        document = world(instruments=ALL, lists={"sanctioned_eu": ["Acme Holding"]}, **TREE)
        found = load_snapshot(document, VOCABULARY).single["lists.sanctioned_eu"]
        assert isinstance(found, frozenset)
        assert "ACME.C" in found


class TestRefused:
    """Nothing is dropped."""

    @pytest.mark.parametrize(
        ("entry", "where", "code"),
        [
            ({"from": "2026-06-15"}, "lists.restricted[0]", "missing-key"),
            ({"name": ""}, "lists.restricted[0]", "missing-key"),
            ({"name": "ACME", "since": "2026-06-15"}, "lists.restricted[0]", "unknown-name"),
            ({"name": "ACME", "from": "June"}, "lists.restricted[0].from", "bad-value"),
            ({"name": "ACME", "kind": "ticker"}, "lists.restricted[0].kind", "bad-value"),
            ({"name": "ACME", "elsewhere": "perhaps"}, "lists.restricted[0].elsewhere", "bad-value"),
            ({"name": "ACME", "reason": 3}, "lists.restricted[0].reason", "bad-value"),
            (
                {"name": "ACME", "from": "2026-06-15", "until": "2026-06-14"},
                "lists.restricted[0].until",
                "out-of-bounds",
            ),
            (3, "lists.restricted[0]", "bad-value"),
            ("ACMF", "lists.restricted", "unknown-thing"),
            ("acme", "lists.restricted", "not-canonical"),
            ("ACME ", "lists.restricted", "not-canonical"),
            ({"name": "ACME", "kind": "issuer", "from": "2030-01-01"}, "", ""),
            ({"name": "Acme Incorporated", "kind": "issuer"}, "lists.restricted", "unknown-thing"),
            ({"name": "GHOST", "from": "2030-01-01"}, "lists.restricted", "unknown-thing"),
        ],
    )
    def test_what_is_wrong_is_refused(self, entry: Any, where: str, code: str) -> None:
        if code:
            assert refusal(entry) == (where, code)
        else:
            assert covered(entry) == set()

    def test_the_nearest_known_name_is_said(self) -> None:
        with pytest.raises(SnapshotError, match="did you mean `Acme Inc`"):
            loaded("Acme Inc.", instruments=ALL)

    def test_a_name_of_no_instrument_says_so(self) -> None:
        assert covered({"name": "GHOST", "elsewhere": True}) == set()
        assert covered("Ghost Ltd", issuers=[{"id": "Ghost Ltd"}]) == set()
        assert refusal({"name": "Ghost Ltd", "elsewhere": True}) == ("lists.restricted", "not-canonical")

    def test_what_is_over_need_not_be_known_any_more(self) -> None:
        assert covered({"name": "GHOST", "until": "2026-06-14"}) == set()
        assert refusal({"name": "GHOST", "until": "2026-06-15"})[1] == "unknown-thing"

    @pytest.mark.parametrize("rows", [{"ACME": 1}, "ACME", 3])
    def test_a_list_is_a_list(self, rows: Any) -> None:
        with pytest.raises(SnapshotError, match="bad-value"):
            load_snapshot(world(lists={"restricted": rows}), VOCABULARY)

    def test_a_list_nobody_declared_is_refused(self) -> None:
        with pytest.raises(SnapshotError, match="restricted"):
            load_snapshot(world(lists={"restrictd": []}), VOCABULARY)

    def test_underlyings_in_a_circle(self) -> None:
        round_about = [instrument("ACME", underlying="BETA"), instrument("BETA", underlying="ACME")]
        assert refusal(instruments=round_about)[1] == "circle"


class TestHierarchy:
    """Issuers and groups with what is above them."""

    @pytest.mark.parametrize(
        ("sections", "where", "code"),
        [
            ({"issuers": [{"parent": "X"}]}, "issuers[0]", "missing-key"),
            ({"issuers": [{"id": "X"}, {"id": "X"}]}, "issuers[1]", "duplicate-thing"),
            ({"issuers": [{"id": "X", "parnet": "Y"}]}, "issuers[0]", "unknown-name"),
            ({"groups": [{"id": "X", "group": "Y"}]}, "groups[0]", "unknown-name"),
            ({"issuers": [{"id": " X"}]}, "issuers[0].id", "not-canonical"),
            ({"issuers": [{"id": "X", "parent": 3}]}, "issuers[0].parent", "not-canonical"),
            ({"issuers": ["X"]}, "issuers[0]", "wrong-shape"),
            ({"issuers": {"id": "X"}}, "issuers", "wrong-shape"),
            ({"issuers": [{"id": "X", "parent": "X"}]}, "issuers", "circle"),
            ({"groups": [{"id": "X", "parent": "Y"}, {"id": "Y", "parent": "X"}]}, "groups", "circle"),
        ],
    )
    def test_what_is_wrong_is_refused(self, sections: dict[str, Any], where: str, code: str) -> None:
        assert refusal(**sections) == (where, code)

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=6, unique_by=lambda pair: pair[0]))
    def test_circles_and_only_circles_are_refused(self, arrows: list[tuple[int, int]]) -> None:
        parents = {str(child): str(parent) for child, parent in arrows}
        rows = [{"id": child, "parent": parent} for child, parent in parents.items()]

        def returns(start: str) -> bool:
            at, steps = parents.get(start), 0
            while at is not None and at != start and steps <= len(parents):
                at, steps = parents.get(at), steps + 1
            return at is not None

        if any(map(returns, parents)):
            with pytest.raises(SnapshotError, match="circle"):
                hierarchy({"issuers": rows})
        else:
            assert hierarchy({"issuers": rows}).issuers == parents


# ---- against another way of saying it ----------------------------------------------------------------------

NAMES = ("A", "B", "C", "D")
trees = st.fixed_dictionaries({}, optional={child: st.sampled_from(NAMES[:n]) for n, child in enumerate(NAMES) if n})
facts = st.fixed_dictionaries(
    {"issuer": st.sampled_from(NAMES), "group": st.sampled_from(NAMES), "under": st.none() | st.sampled_from("ABCD")}
)
listed_entries = st.builds(
    Entry,
    st.sampled_from(NAMES),
    st.sampled_from(["", "symbol", "issuer", "group"]),
    derivatives=st.booleans(),
)


@settings(deadline=None)
@given(trees, trees, st.lists(facts, min_size=4, max_size=4), listed_entries)
def test_coverage_is_what_walking_up_from_each_symbol_finds(
    issuers: dict[str, str], groups: dict[str, str], rows: list[dict[str, Any]], entry: Entry
) -> None:
    """Symbols A to D, each possibly about an earlier one: climb every ladder and look for the name."""
    under = {s: r["under"] for s, r in zip(NAMES, rows, strict=True) if r["under"] and r["under"] < s}
    instruments = {
        s: {"instrument.issuer": r["issuer"], "instrument.group": r["group"], "instrument.underlying": under.get(s, s)}
        for s, r in zip(NAMES, rows, strict=True)
    }
    tree = Hierarchy(issuers, groups, {})

    def climbs(start: str, parents: dict[str, str]) -> set[str]:
        return {start} | (climbs(parents[start], parents) if start in parents else set())

    def bears(symbol: str) -> bool:
        issuer, group = (str(instruments[symbol][f"instrument.{k}"]) for k in ("issuer", "group"))
        by = {"symbol": {symbol}, "issuer": climbs(issuer, issuers), "group": climbs(group, groups)}
        return any(entry.name in names for kind, names in by.items() if entry.kind in ("", kind))

    def hit(symbol: str) -> bool:
        if not entry.derivatives and symbol in under:
            return entry.kind in ("", "symbol") and entry.name == symbol
        return bears(symbol) or (entry.derivatives and symbol in under and hit(under[symbol]))

    expected = {s for s in NAMES if hit(s)}
    assert Coverage(instruments, tree).of(entry) == expected
    assert {s for s in NAMES if why((entry,), s, instruments, tree)} == expected


@given(st.permutations(range(4)))
def test_the_hash_does_not_depend_on_the_order_of_entries(order: list[int]) -> None:
    rows: list[Any] = ["ACME", {"name": "BETA", "until": "2026-07-01"}, {"name": "BETA", "reason": "x"}, "COCO"]
    assert loaded(*(rows[n] for n in order)).hash == loaded(*rows).hash


def test_the_hash_covers_entries_and_hierarchy() -> None:
    worlds = [
        loaded(),
        loaded("ACME"),
        loaded({"name": "ACME", "reason": "x"}),
        loaded({"name": "ACME", "until": "2026-07-01"}),
        loaded(issuers=[{"id": "ACME"}]),
        loaded(issuers=[{"id": "ACME", "parent": "X"}]),
        loaded(groups=[{"id": "ACME"}]),
    ]
    assert len({w.hash for w in worlds}) == len(worlds)


def test_entries_come_back_from_their_plain_form() -> None:
    for kind, reason, elsewhere, derivatives in product(("", "issuer"), ("", "x"), (True, False), (True, False)):
        entry = Entry("ACME", kind, DAY, None, reason, elsewhere, derivatives)
        assert entries([entry.to_json()], "lists.x") == (entry,)
