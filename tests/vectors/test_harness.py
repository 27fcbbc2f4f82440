"""The harness itself: nothing passes that was not judged, and figures are the decimals they are written as."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.vectors import asking
from tests.vectors.adapters import merged
from tests.vectors.adapters.day_trading import REGIMES
from tests.vectors.adapters.portfolio import NOT_DIVERSIFIED
from tests.vectors.case import Case, Fields, NotCoveredError, Said, number, read_case, read_cases, text
from tests.vectors.conftest import OWN
from tests.vectors.report import FAIL, NOT_COVERED, PASS, judged, same, totals


def case(rule: str = "sum", expect: Any = 3, caution: str = "", **given: Any) -> Case:
    """A case as read from a line."""
    whole = {"id": "X-1", "rule": rule, "given": given, "orders": [], "expect": expect, "caution": caution}
    return read_case(json.dumps(whole))


def added(asked: Case) -> object:
    """An adapter that translates `a` and `b` and nothing else."""
    return asked.given.number("a") + asked.given.number("b")


ADAPTERS: dict[str, Callable[[Case], object]] = {"sum": added}


def test_a_right_answer_passes() -> None:
    outcome = judged(case(a=1, b=2), ADAPTERS)
    assert (outcome.status, outcome.line()) == (PASS, "X-1 pass  expected 3 got 3")


def test_an_adapter_sees_neither_the_name_nor_the_outcome() -> None:
    def cheating(asked: Case) -> object:
        return asked.expect, asked.id, asked.source, asked.caution

    assert judged(case(expect="approve", caution="old"), {"sum": cheating}).got == "[None, , , ]"


def test_a_wrong_expectation_fails() -> None:
    outcome = judged(case(a=1, b=2, expect=4), ADAPTERS)
    assert (outcome.status, outcome.line()) == (FAIL, "X-1 fail  expected 4 got 3")


def test_an_unknown_rule_is_not_covered() -> None:
    outcome = judged(case(rule="product", a=1, b=2, expect=2), ADAPTERS)
    assert outcome.status == NOT_COVERED
    assert outcome.line() == "X-1 not-covered  expected 2 got no adapter for rule product"


def test_a_field_nobody_reads_is_not_covered_even_where_the_answer_fits() -> None:
    outcome = judged(case(a=1, b=2, collar="5%"), ADAPTERS)
    assert (outcome.status, outcome.got) == (NOT_COVERED, "not translated: collar")


def test_a_field_of_an_order_nobody_reads_is_not_covered() -> None:
    line = {"id": "X", "rule": "sum", "given": {"a": 1, "b": 2}, "orders": [{"side": "buy"}], "expect": 3}
    assert judged(read_case(json.dumps(line)), ADAPTERS).got == "not translated: orders.side"


def test_a_field_below_a_read_one_counts_too() -> None:
    asked = case(a=1, b=2, cash={"USD": 1, "BTC": 2}, fills=[{"qty": 1}])
    assert asked.given["cash"].number("USD") == 1
    assert asked.given["fills"]
    asked.given.ignore("a", "b")
    assert asked.unread() == ("cash.BTC", "fills.qty")


def test_what_the_adapter_ignores_by_name_is_translated() -> None:
    def told(asked: Case) -> object:
        asked.given.ignore("note")
        return added(asked)

    assert judged(case(a=1, b=2, note="as of noon"), {"sum": told}).status == PASS


def test_a_field_the_adapter_needs_and_the_case_lacks_is_not_covered() -> None:
    assert judged(case(a=1), ADAPTERS).got == "the case gives no `b`"


def test_a_word_the_adapter_does_not_know_is_not_covered() -> None:
    with pytest.raises(NotCoveredError, match="mode soft is not translated"):
        case(mode="soft").given.only("mode", "hard")


def test_facts_that_no_snapshot_takes_are_not_covered() -> None:
    def refused(_: Case) -> object:
        return asking.decided(asking.document(account={"cash": "much"}), [], [])

    outcome = judged(case(), {"sum": refused})
    assert outcome.status == NOT_COVERED
    assert "bad-value" in outcome.got


def test_an_adapter_that_breaks_fails_its_case_alone() -> None:
    def broken(_: Case) -> object:
        raise KeyError("rule")

    outcome = judged(case(), {"sum": broken})
    assert (outcome.status, outcome.got) == (FAIL, "KeyError: 'rule'")


def test_cautioned_cases_are_marked_and_counted_apart() -> None:
    assert judged(case(a=1, b=1, caution="old"), ADAPTERS).line().endswith("(cautioned)")
    assert totals([(PASS, False), (PASS, False), (FAIL, True), (NOT_COVERED, False)]) == (
        "4 cases: 2 pass, 0 fail, 1 not-covered; cautioned: 1 fail"
    )


def test_floats_are_the_decimals_they_are_written_as() -> None:
    asked = case(a=0.1, b=0.2, expect=0.3)
    assert asked.given.number("a") + asked.given.number("b") == Fraction(3, 10)
    assert judged(asked, ADAPTERS).status == PASS
    assert text(Decimal("2E+8")) == "200000000"


@pytest.mark.parametrize("bad", [True, None, "many", {}])
def test_what_is_no_number_is_not_covered(bad: object) -> None:
    with pytest.raises(NotCoveredError):
        number(bad)


@pytest.mark.parametrize(
    ("expect", "got", "equal"),
    [
        (Decimal("666.7"), Fraction(2000, 3), True),
        (Decimal("666.6"), Fraction(2000, 3), False),
        (667, Fraction(2000, 3), True),
        (Decimal("17142.86"), Fraction(12000) / Fraction(7, 10), True),
        # A figure that money can express exactly was not rounded.
        (500, Fraction(5001, 10), False),
        (Decimal("500.0"), Fraction("500.01"), False),
        (Decimal("500.0"), Fraction(500), True),
        (500, "500", False),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        ("approve", "reject", False),
        ("1", Fraction(1), False),
        ("2024-05-29", date(2024, 5, 29), True),
        ("2024-05-29", date(2024, 5, 28), False),
        (None, None, True),
        ([1, 2], (Fraction(1), 2), True),
        ([1, 2], [1], False),
        ([1, 2], 1, False),
        ({"a": 1}, {"a": Fraction(1)}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, 1, False),
        ("none", Said("none", "nothing"), True),
        ("nothing", Said("none", "nothing"), True),
        ("something", Said("none", "nothing"), False),
        (["none"], Said("none", "nothing"), False),
    ],
)
def test_when_an_answer_is_what_was_published(expect: object, got: object, equal: bool) -> None:
    assert same(expect, got) is equal


def test_an_outcome_in_several_words_is_shown_in_the_first() -> None:
    def worded(_: Case) -> object:
        return Said("none", "nothing")

    assert judged(case(expect="nothing"), {"sum": worded}).line() == "X-1 pass  expected nothing got none"
    with pytest.raises(ValueError, match="needs a word"):
        Said()


def test_no_word_stands_for_two_outcomes_of_one_kind() -> None:
    regimes = [word for said in REGIMES.values() for word in said]
    assert len(regimes) == len(set(regimes))
    assert not {"diversified", "still_diversified"} & set(NOT_DIVERSIFIED)


def test_a_line_that_is_no_case_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('{"id": "A", "rule": "sum", "expect": 1}\n\n[]\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"cases\.jsonl:3: a case is an object"):
        read_cases(file)


def test_exactly_one_order_is_asked_for() -> None:
    with pytest.raises(NotCoveredError, match="0 orders"):
        _ = case().order


def test_the_copy_of_the_cases_names_their_sources() -> None:
    cases = read_cases(OWN)
    assert len(cases) == len({c.id for c in cases}) == 180
    assert all(c.source for c in cases)


def test_two_adapters_for_one_kind_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled:
        ADAPTERS = ADAPTERS

    names = [type("Info", (), {"name": n}) for n in ("one", "two")]
    monkeypatch.setattr("tests.vectors.adapters.pkgutil.iter_modules", lambda _: names)
    monkeypatch.setattr("tests.vectors.adapters.importlib.import_module", lambda _: Doubled)
    with pytest.raises(ValueError, match="two claims sum"):
        merged()


def test_a_rule_that_is_not_in_the_library_cannot_be_asked() -> None:
    with pytest.raises(KeyError, match="no rule no-such-rule"):
        asking.only("no-such-rule")


def test_only_the_rules_named_are_asked() -> None:
    book = asking.only("trading-halted")
    assert [v.id for v in book.versions if v.items[-1][1].require is not None] == ["trading-halted"]


def test_undecided_is_not_reject() -> None:
    bought = asking.order("buy", "1", "ACME")
    priceless = asking.document(instruments=[{"symbol": "ACME", "currency": "USD"}])
    assert asking.decided(priceless, [bought], ["market-access-order-notional"]) == "undecided"
    priced = asking.document(instruments=[asking.instrument("ACME", "100")])
    assert asking.decided(priced, [bought], ["market-access-order-notional"]) == "approve"


def test_fields_are_a_mapping() -> None:
    fields = Fields({"a": 1})
    assert (list(fields), len(fields), "a" in fields, fields.get("b", 2), dict(fields)) == (["a"], 1, True, 2, {"a": 1})
