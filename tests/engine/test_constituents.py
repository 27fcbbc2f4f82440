"""What funds are made of: reading, following funds within funds, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.constituents import Constituents, constituents, leads, reached
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_snapshot
from tests.worlds import VOCABULARY, instrument, world

FUND = {"instrument.kind": "fund", "instrument.issuer": "House"}
INSTRUMENTS: dict[str, Any] = {
    "ETF": FUND,
    "FOF": FUND,
    "TOP": FUND,
    "ACME": {"instrument.issuer": "Acme Inc"},
    "BARE": {},
    "ACME.C": {"instrument.issuer": "Clearer", "instrument.underlying": "ACME", "instrument.kind": "option"},
    "ETF.F": {"instrument.issuer": "Clearer", "instrument.underlying": "ETF", "instrument.kind": "future"},
    "OUT.C": {"instrument.issuer": "Out Ltd", "instrument.underlying": "ELSEWHERE", "instrument.kind": "option"},
}


def row(fund: str, weight: str, **named: str) -> dict[str, str]:
    """One row of the section."""
    return {"fund": fund, "weight": weight, **named}


def table(*rows: Any) -> Constituents:
    """The constituents of these rows."""
    return constituents({"constituents": list(rows)}, INSTRUMENTS)


def test_weights_by_issuer_and_by_symbol() -> None:
    found = table(row("ETF", "25%", issuer="Acme Inc"), row("ETF", "0.5", symbol="ACME"), row("ETF", "10%", issuer="B"))
    assert found.weights == {"ETF": {"Acme Inc": Fraction(3, 4), "B": Fraction(1, 10)}}
    assert found.rest == {"ETF": Fraction(15, 100)}
    assert found.weight("ETF", "Acme Inc") == Fraction(9, 10)
    assert found.weight("ETF", "Nobody") == Fraction(15, 100)


def test_a_derivative_inside_a_fund_is_its_underlyings_issuer() -> None:
    assert table(row("ETF", "1", symbol="ACME.C")).weights == {"ETF": {"Acme Inc": Fraction(1)}}
    assert table(row("ETF", "1", symbol="OUT.C")).weights == {"ETF": {"Out Ltd": Fraction(1)}}


def test_funds_within_funds_are_followed() -> None:
    found = table(
        row("TOP", "50%", symbol="FOF"),
        row("TOP", "50%", issuer="B"),
        row("FOF", "40%", symbol="ETF"),
        row("FOF", "60%", issuer="B"),
        row("ETF", "90%", issuer="A"),
    )
    assert found.weights["TOP"] == {"A": Fraction(18, 100), "B": Fraction(80, 100)}
    assert found.rest == {"TOP": Fraction(2, 100), "FOF": Fraction(4, 100), "ETF": Fraction(10, 100)}


def test_a_fund_within_a_fund_that_tells_nothing_is_undisclosed() -> None:
    found = table(row("FOF", "40%", symbol="ETF"), row("FOF", "60%", issuer="B"))
    assert found.rest == {"FOF": Fraction(2, 5)}
    assert "ETF" not in found.weights


def test_more_than_all_leaves_no_rest() -> None:
    assert table(row("ETF", "150%", issuer="A"), row("ETF", "30%", issuer="B")).rest == {"ETF": 0}


@pytest.mark.parametrize(
    ("symbol", "found"),
    [
        ("ACME", ("", {"Acme Inc"})),
        ("ACME.C", ("", {"Acme Inc"})),
        ("OUT.C", ("", {"Out Ltd"})),
        ("ETF", ("ETF", {"A"})),
        ("ETF.F", ("ETF", {"A"})),
        ("FOF", ("FOF", set())),
        ("BARE", ("", set())),
        ("NOWHERE", ("", set())),
    ],
)
def test_what_a_holding_leads_to(symbol: str, found: tuple[str, set[str]]) -> None:
    given = table(row("ETF", "1", issuer="A"))
    fund, issuers = reached(symbol, INSTRUMENTS, given)
    assert (fund, set(issuers)) == found
    assert leads(symbol, "A", INSTRUMENTS, given) == ("A" in found[1] or not found[1])


def test_what_is_not_disclosed_leads_anywhere() -> None:
    assert leads("ETF", "Anyone", INSTRUMENTS, table(row("ETF", "99%", issuer="A")))
    assert not leads("ETF", "Anyone", INSTRUMENTS, table(row("ETF", "100%", issuer="A")))


@pytest.mark.parametrize(
    ("rows", "where", "code"),
    [
        ({"fund": "ETF"}, "constituents", "wrong-shape"),
        (["ETF"], "constituents[0]", "wrong-shape"),
        ([row("ETF", "1", isuer="A")], "constituents[0]", "unknown-name"),
        ([row("ACME", "1", issuer="A")], "constituents[0].fund", "unknown-thing"),
        ([row("NONE", "1", issuer="A")], "constituents[0].fund", "unknown-thing"),
        ([{"issuer": "A", "weight": "1"}], "constituents[0]", "missing-key"),
        ([row("ETF", "1")], "constituents[0]", "missing-key"),
        ([row("ETF", "1", issuer="A", symbol="ACME")], "constituents[0]", "missing-key"),
        ([row("ETF", "1", symbol="NONE")], "constituents[0].symbol", "unknown-thing"),
        ([row("ETF", "1", symbol="BARE")], "constituents", "missing-key"),
        ([row("ETF", "-1%", issuer="A")], "constituents[0].weight", "out-of-bounds"),
        ([row("ETF", "10.00000001", issuer="A")], "constituents[0].weight", "out-of-bounds"),
        ([row("ETF", "0.000000001", issuer="A")], "constituents[0].weight", "too-fine"),
        ([row("ETF", "much", issuer="A")], "constituents[0].weight", "bad-value"),
        ([{"fund": "ETF", "issuer": "A", "weight": 0.5}], "constituents[0].weight", "bad-value"),
        ([{"fund": "ETF", "issuer": "A"}], "constituents[0].weight", "bad-value"),
        ([row("ETF", "1", issuer="A"), row("ETF", "0", issuer="A")], "constituents[1]", "duplicate-thing"),
        ([row("ETF", "1", symbol="ETF")], "constituents", "circle"),
        ([row("ETF", "1", symbol="FOF"), row("FOF", "1", symbol="ETF")], "constituents", "circle"),
        ([row("ETF", "1", symbol="ETF.F")], "constituents", "circle"),
    ],
)
def test_what_is_wrong_is_refused(rows: Any, where: str, code: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        constituents({"constituents": rows}, INSTRUMENTS)
    assert (caught.value.where, caught.value.code) == (where, code)


shares = st.integers(0, 100).map(lambda n: Fraction(n, 100))


@given(st.lists(st.tuples(shares, shares, shares), min_size=3, max_size=3))
def test_a_chain_of_funds_multiplies_along_every_path(chain: list[tuple[Fraction, Fraction, Fraction]]) -> None:
    """Each fund holds the next one, A and B; the sum over paths is worked out from the end."""
    names = ("TOP", "FOF", "ETF")
    rows = []
    for n, (inner, a, b) in enumerate(chain):
        rows += [row(names[n], str(float(a)), issuer="A"), row(names[n], str(float(b)), issuer="B")]
        if n < 2:
            rows.append(row(names[n], str(float(inner)), symbol=names[n + 1]))
    found = table(*rows)
    a, b, told = Fraction(0), Fraction(0), Fraction(0)
    for n, (inner, own_a, own_b) in reversed(list(enumerate(chain))):
        held = inner if n < 2 else Fraction(0)
        a, b = own_a + held * a, own_b + held * b
        told = own_a + own_b + held * min(Fraction(1), told)
    assert found.weights["TOP"] == {"A": a, "B": b}
    assert found.rest["TOP"] == max(0, 1 - told)


def test_a_snapshot_keeps_them_and_its_hash_covers_them() -> None:
    funds = [instrument("ACME"), instrument("ETF", kind="fund")]
    one, other = ([row("ETF", weight, issuer="ACME")] for weight in ("50%", "51%"))
    taken = [
        load_snapshot(world(instruments=funds, **more), VOCABULARY)
        for more in ({}, {"constituents": one}, {"constituents": other})
    ]
    assert taken[1].constituents.weights == {"ETF": {"ACME": Fraction(1, 2)}}
    assert len({t.hash for t in taken}) == 3
