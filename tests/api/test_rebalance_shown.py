"""What of a rebalance others may read, worked out by hand: nothing where a secret rule stands, all else unchanged."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.rebalance_shown import (
    REFERRED,
    ZEROS,
    certificate_shown,
    conflict_shown,
    data_shown,
    names_any,
    orders_shown,
    withheld_rules,
    words_shown,
)
from lexorder.api.rebalance_written import report_of
from lexorder.api.service.rebalance_record import TOLD, others_of, recorded, result_of
from lexorder.api.service.rebalance_worker import Result
from lexorder.engine.rulebook import RuleBook
from lexorder.optimizers.signals import SignalReport, SignalRow
from tests.api.outcomes import SNAPSHOT, clash, infeasible, rebalanced
from tests.worlds import VOCABULARY

SECRET = frozenset({"zebra"})
UNTOUCHED = {"orders", "weights", "nav", "cash_before", "cash_after", "turnover", "cost", "account", "time", "route"}
UNTOUCHED |= {"steered", "value_bp", "bound_bp"}


def test_every_part_of_a_result_is_either_filtered_or_known_to_be_harmless():
    """A field nobody has thought of must make this fail: then somebody thinks of it."""
    filtered = {"decisions", "headroom", "binding", "left_out", "incurable", "by_order", "snapshot_hash", "signals"}
    elsewhere = {"certificate", "rulebook_hash", "gap_bp", "confirmed"}
    assert {f.name for f in fields(rebalanced())} == UNTOUCHED | filtered | elsewhere
    shown = orders_shown(rebalanced(), SECRET)
    for name in UNTOUCHED:
        assert getattr(shown, name) == getattr(rebalanced(), name)


def test_findings_of_secret_rules_are_gone_and_the_others_as_they_were():
    whole, shown = rebalanced(), orders_shown(rebalanced(), SECRET)
    assert [h.rule for h in shown.headroom] == ["cap", "floor"]
    assert shown.headroom == tuple(h for h in whole.headroom if h.rule != "zebra")
    assert [b.rule for b in shown.binding] == ["cap"]
    assert shown.left_out == ()
    assert shown.by_order == ("cap",)
    assert shown.incurable == (), "a conflict is shown whole or not at all"
    assert shown.snapshot_hash == ZEROS
    assert "zebra" not in json.dumps(data_shown(shown))
    assert "zebra" not in report_of(shown, "VALID")


def test_without_secret_rules_only_hashes_are_missing():
    told, whole = data_shown(orders_shown(rebalanced(), frozenset())), rebalanced().to_json()
    assert whole.keys() - told.keys() == {"snapshot_hash", "decisions"}
    assert all(told[key] == whole[key] for key in told)
    assert SNAPSHOT not in json.dumps(told)


@pytest.mark.parametrize(
    ("rules", "shown"),
    [(("cap", "floor"), ["cap", "floor"]), (("cap", "zebra"), []), (("zebra",), []), (("zebra", "zebra"), [])],
)
def test_a_conflict_with_a_secret_rule_says_only_whom_to_ask(rules: tuple[str, ...], shown: list[str]):
    seen = conflict_shown(infeasible(*rules), SECRET)
    told: Any = data_shown(seen)
    assert [row["rule"] for row in told["conflict"]] == shown
    assert told.get("referred", "") == ("" if shown else REFERRED)
    assert told["outcome"] == "infeasible"
    assert SNAPSHOT not in json.dumps(told)


@given(
    rules=st.lists(st.sampled_from(["cap", "zebra", "floor", "lion", "gnu"]), min_size=1, max_size=6),
    withheld=st.frozensets(st.sampled_from(["zebra", "lion", "gnu"])),
)
def test_no_name_of_a_withheld_rule_is_left_whatever_the_result(rules: list[str], withheld: frozenset[str]):
    whole = rebalanced()
    whole = replace(
        whole,
        headroom=tuple(replace(whole.headroom[0], rule=r, title=r) for r in rules),
        binding=tuple(replace(whole.binding[0], rule=r) for r in rules),
        left_out=tuple(replace(whole.left_out[0], rule=r) for r in rules),
        incurable=tuple(clash(r) for r in rules),
        by_order=tuple(rules),
    )
    shown = orders_shown(whole, withheld)
    text = json.dumps(data_shown(shown))
    assert not any(rule in text for rule in withheld)
    kept = [h.rule for h in shown.headroom]
    assert kept == [rule for rule in rules if rule not in withheld]
    assert (len(shown.incurable) == len(rules)) == (not withheld & set(rules))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", False),
        ("all is well", False),
        ("zebra", True),
        ("a zebra-crossing", True),
        ("ZEBRA", False),
        ("zebr a", False),
    ],
)
def test_a_name_is_found_also_within_another_word(text: str, named: bool):
    assert names_any(text, SECRET) == named
    assert words_shown(text, SECRET) == (REFERRED if named else text)


def test_a_certificate_loses_one_hash_or_is_withheld():
    text = json.dumps({"hashes": {"snapshot": SNAPSHOT, "rulebook": "cd" * 32}, "rows": [{"id": "cap ACME"}]})
    shown = certificate_shown(text, SNAPSHOT, SECRET)
    assert json.loads(shown)["hashes"] == {"snapshot": ZEROS, "rulebook": "cd" * 32}
    assert certificate_shown(text.replace("cap", "zebra"), SNAPSHOT, SECRET) == ""


def test_rules_are_withheld_when_any_of_their_versions_is():
    rule = "- rule: {name}\n  title: T\n  {more}require: order.quantity <= 1\n"
    texts = [rule.format(name="open", more=""), rule.format(name="zebra", more="audience: compliance\n  ")]
    book = RuleBook.of_files({"a.yaml": "".join(texts)}, VOCABULARY)
    assert withheld_rules(book) == {"zebra"}


def test_rules_for_compliance_are_not_told_among_those_that_acted_on_a_signal():
    def acted(*rules: str) -> SignalRow:
        return SignalRow("S", "ACME", "X", "1d", "long", Fraction(1), Fraction(1), Fraction(1), True, "", rules)

    report = SignalReport((acted("cap", "zebra"), acted("zebra"), acted()), {"ACME": Fraction(1)}, {})
    shown = orders_shown(rebalanced(signals=report), SECRET).signals
    assert [row.rules for row in shown.signals] == [("cap",), (), ()]
    assert shown.expected == report.expected


# ---- the record --------------------------------------------------------------------------------------

WHOLE = Result("done", {"orders": [1]}, f'{{"s": "{SNAPSHOT}"}}', "<p>all</p>", "VALID")


@pytest.mark.parametrize(
    "others",
    [
        None,
        Result("done", {"orders": []}, f'{{"s": "{ZEROS}"}}', "<p>some</p>", "VALID"),
        Result("done", {"orders": []}, "", "", "VALID"),
    ],
    ids=["no difference", "another view", "withheld"],
)
def test_what_was_recorded_is_read_back_as_it_was(others: Result | None):
    result = replace(WHOLE, others=others)
    body = json.loads(json.dumps({"snapshot_hash": SNAPSHOT, **recorded(result)}))
    read = result_of(body)
    assert replace(read, others=None) == WHOLE
    if others is not None:
        assert read.shown == others
    else:
        assert read.shown == replace(WHOLE, certificate=WHOLE.certificate.replace(SNAPSHOT, ZEROS))
    assert {key: others_of(body)[key] for key in TOLD[1:]} == {key: getattr(read.shown, key) for key in TOLD[1:]}


def test_a_body_without_a_word_on_others_shows_them_nothing():
    body = {"snapshot_hash": SNAPSHOT, **recorded(WHOLE)}
    del body["shown"]
    assert result_of(body).shown == Result("done", {}, "", "", "")
    assert replace(result_of(body), others=None) == WHOLE
