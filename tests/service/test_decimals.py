"""One way to write a number at every border of the service: what one door refuses, all doors refuse, with one code.

The grammar is said again here, by its own pattern, and its values by `Decimal`. Each spelling goes through every door:
checks with and without a task, what-if, batches with and without columns, the feeds, the snapshot, rebalances.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lexorder.engine import literals
from lexorder.engine.units import COUNT, LOCAL_MONEY, MONEY, PRICE, RATIO, SHARES
from tests.service.house import House
from tests.service.wires import Wire, request
from tests.worlds import instrument, order, position, working, world

QUIET = "/v1/orders/check?reserve=false"
TESS = "senior_trader/tess"
BESIDE = order(id="beside", quantity="1")
NO_NUMBERS = (
    *("1_000", "1__0", "_1", "1_", "1_0.5", "1.0_0"),
    *("\uff11\uff10", "\u0661", "\u00b2", "\u2160", "1\u00a0000", "\u22121"),
    *(" 1", "1 ", "\t1", "1\n", "1 000", "1,000", "1,5", "1'000"),
    *("+1", "--1", "-", "- 1", "1-", "(1)", "$1", "1 USD", "1USD"),
    *("1e3", "1E3", "1e", "0x10", "0b1", "0o7", "1h", "1j", "1/2"),
    *("NaN", "nan", "Infinity", "-inf", "inf", "null", "None", "true"),
    *(".5", "5.", ".", "-.5", "1.2.3", "1..2"),
    *("007", "00", "01.5", "-01"),
    *("5%%", "%", "5 %", "%5", "9" * 41, ""),
)
"""Spellings that some reader of numbers somewhere takes, and nobody here."""

NUMBERS = ("0", "1", "10", "100", "2.5", "0.25", "99.9999", "1.50", "-0", "-1")
PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = House(tmp_path_factory.mktemp("house"), clock="feed", rate_per_key=1_000_000).furnished()
    yield made
    made.close()


# ---- the grammar -----------------------------------------------------------------------------------------------------


@given(st.one_of(st.sampled_from((*NO_NUMBERS, *NUMBERS)), st.text(alphabet="0123456789._-+%e \uff11", max_size=9)))
@example("1%")
@example("-0.5%")
@example("1" * 40)
def test_the_grammar_is_this_pattern_and_its_value_is_decimal(text: str) -> None:
    digits = text.removesuffix("%")
    fits = PLAIN.fullmatch(digits) is not None and sum(map(str.isdigit, digits)) <= 40
    for unit in (SHARES, MONEY, LOCAL_MONEY, PRICE, COUNT, RATIO):
        found = literals.told(text, unit)
        if fits and (digits == text or unit is RATIO):
            assert found == Fraction(Decimal(digits)) / (1 if digits == text else 100)
        else:
            assert found is None


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_the_list_above_is_no_number_of_any_unit(text: str) -> None:
    assert all(literals.told(text, unit) is None for unit in (SHARES, MONEY, PRICE, COUNT, RATIO))


# ---- orders ----------------------------------------------------------------------------------------------------------


def wire(house: House, facts: dict[str, Any]) -> tuple[int, Any]:
    """A plain request, answered without a task."""
    answer = Wire(house).ask(request(house.key("senior_trader", "tess"), msgspec.json.encode(facts), target=QUIET))
    return answer.status, msgspec.json.decode(answer.body)


def doors(house: House, facts: dict[str, Any]) -> dict[str, tuple[int, str, Any]]:
    """Status, code and outcome of one order, by door."""
    found: dict[str, tuple[int, str, Any]] = {}
    status, document = wire(house, facts)
    found["express"] = (status, document.get("code", ""), document.get("outcome"))
    for name, path, body in (
        ("ordinary", QUIET, facts),
        ("what-if", "/v1/orders/what-if", facts),
        *((mode, "/v1/orders/check-batch", {"mode": mode, "orders": [facts]}) for mode in ("cumulative", "basket")),
        ("columns", "/v1/orders/check-batch", {"mode": "independent", "orders": [facts]}),
        ("beside others", "/v1/orders/check-batch", {"mode": "independent", "orders": [BESIDE, facts, BESIDE]}),
    ):
        answer = house.call("POST", path, body, by=TESS)
        document = answer.json()
        found[name] = (answer.status_code, document.get("code", ""), None)
    return found


@pytest.mark.parametrize("field", ["quantity", "price", "stop_price", "fee_rate"])
def test_no_door_takes_another_spelling_of_an_order(house: House, field: str) -> None:
    for text in NO_NUMBERS:
        found = doors(house, order(id="odd", **{field: text}))
        assert {(status, code) for status, code, _ in found.values()} == {(422, "bad-value")}, (text, found)


def test_a_percentage_is_a_ratio_and_nothing_else(house: House) -> None:
    for field in ("quantity", "price", "stop_price"):
        found = doors(house, order(id="odd", **{field: "100%"}))
        assert {(status, code) for status, code, _ in found.values()} == {(422, "bad-value")}, (field, found)
    assert {status for status, _, _ in doors(house, order(id="even", fee_rate="0.1%")).values()} == {200}


@given(text=st.text(alphabet="0123456789._-%", min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_doors_say_the_same_of_whatever_is_written(house: House, text: str) -> None:
    found = doors(house, order(id="any", price=text))
    assert len({(status, code) for status, code, _ in found.values()}) == 1, found
    if PLAIN.fullmatch(text) is None:
        assert found["express"][:2] == (422, "bad-value")
    house.post("/v1/snapshot", world())  # what batches have reserved is gone


# ---- everything else -------------------------------------------------------------------------------------------------

ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("accounts", {"id": "A"}, "nav"),
    ("positions", {"account": "A", "symbol": "BETA"}, "quantity"),
    ("prices", {"symbol": "BETA"}, "mark"),
    ("prices", {"symbol": "BETA"}, "volatility"),
    ("fills", {"id": "F", "account": "A", "symbol": "BETA", "side": "buy", "price": "1"}, "quantity"),
    ("fills", {"id": "F", "account": "A", "symbol": "BETA", "side": "buy", "price": "1", "quantity": "1"}, "fee"),
    ("working-orders", working("W", "BETA", "buy", 1), "price"),
    ("signals", {"id": "S", "symbol": "BETA", "direction": "long", "confidence": "50%"}, "expected_return"),
]


@pytest.mark.parametrize(("feed", "row", "field"), ROWS, ids=[f"{f}.{n}" for f, _, n in ROWS])
def test_no_feed_takes_another_spelling(house: House, feed: str, row: dict[str, Any], field: str) -> None:
    for text in NO_NUMBERS:
        body = {"event_id": "odd", "items": [{**row, field: text}]}
        assert house.refused("POST", f"/v1/{feed}", body) == (422, "bad-value"), text


FUNDS = [instrument("ETF", kind="fund"), instrument("BETA")]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_no_snapshot_takes_another_spelling(house: House, text: str) -> None:
    for told in (
        world(account={"nav": text}),
        world(positions=[{**position("ACME", 1), "quantity": text}]),
        world(fx={"base": "USD", "EUR": text}),
        world(instruments=FUNDS, constituents=[{"fund": "ETF", "issuer": "BETA", "weight": text}]),
    ):
        assert house.refused("POST", "/v1/snapshot", told) == (422, "bad-value")


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_no_rebalance_takes_another_spelling(house: House, text: str) -> None:
    asked = {"account": "A", "trader": "T", "symbols": ["ACME"]}
    weights = {"model": "target_weights", "targets": {"ACME": text}}
    for more in ({"model": "risk_parity", "invested": text}, {"aims": {"aversion": text}}, weights):
        assert house.refused("POST", "/v1/rebalances", {**asked, **more}, by=TESS) == (422, "invalid-request")
    table = {"symbols": ["ACME"], "rows": [["0.01"], [text]]}
    refused = house.refused("POST", "/v1/rebalances", {**asked, "model": "risk_parity", "returns": table}, by=TESS)
    assert refused == (422, "bad-returns")


RULES_TAKE = ("1_000", "1_0.5", "1.0_0", "1 USD", "1USD", "5 %", "1/2", " 1", "1 ", "1\n", "\t1", "(1)", "--1", "- 1")
"""The same figures as an expression of the rule language, which a limit's value is."""


@pytest.mark.parametrize("text", [text for text in NO_NUMBERS if text not in RULES_TAKE])
def test_a_limit_is_a_rule_and_takes_what_a_rule_takes(house: House, text: str) -> None:
    body = {"id": f"odd-{NO_NUMBERS.index(text)}", "kind": "order-value", "values": {"2026-01-01": text}}
    assert house.refused("POST", "/v1/limits", body, by="risk_officer/rita")[0] == 422
