"""Every key of a rule, with whatever may stand under it: a value, or a message at the key; never anything else.

The keys and what they may hold are read from the module's own table; what is tried under them is not: lists, mappings,
nothing, other alphabets, very long texts, numbers beyond any bound.
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from lexorder.engine.codes import CODES
from lexorder.engine.errors import Problem, RuleFileError
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.rulefile import KEYS, KINDS, ONLY_FOR

DAY = date(2026, 6, 15)
BODIES = {
    "require": "order.quantity <= 5",
    "derive": "{market.regime: VOLATILE}",
    "then": "[{alert: info}]",
}
GOOD: dict[str, str] = {
    "severity": "soft",
    "phases": "[monitor]",
    "scope": "{accounts: [A]}",
    "effective": "{from: 2026-01-01}",
    "for_each": "order",
    "let": "{most: 5}",
    "when": "order.quantity > 1",
    "if_already_breached": "block",
    "if_missing": "fail",
    "message": "words",
    "reason": "position_limit",
    "override": "{roles: [risk]}",
    "audience": "compliance",
    "priority": "5",
    "owner": "desk",
    "cite": "source",
    "tests": "[{name: n, expect: pass}]",
}
ODD: dict[str, str] = {
    "nothing": "",
    "an empty text": '""',
    "blanks": '"   "',
    "an empty list": "[]",
    "an empty mapping": "{}",
    "a list of lists": "[[a], [b]]",
    "a mapping of mappings": "{a: {b: {c: d}}}",
    "a list with a mapping": "[{a: b}]",
    "a list with nothing": "[a, '']",
    "a number": "5",
    "a number beyond every bound": "9" * 400,
    "a negative number": "-1",
    "another alphabet": "αβγ",
    "digits of another alphabet": "٣",
    "a control character": r'"a\u0007b"',
    "a right-to-left mark": r'"a\u202eb"',
    "a long text": "a" * 5_000,
    "a date": "2026-06-15",
    "a date that is none": "2026-02-30",
    "true": "true",
    "an unknown key": "{nonsense: 5}",
    "the word none": "none",
}


def rule(kind: str = "require", **more: str) -> str:
    """A rule of a kind with these further keys."""
    keys = {"rule": "r", "title": "T", kind: BODIES[kind], **({"for_each": "market"} if kind == "then" else {}), **more}
    return "- " + "\n  ".join(f"{key}: {value}" for key, value in keys.items()) + "\n"


def loaded(text: str, words) -> Rule:
    (found,) = RuleBook.of(text, words).on(DAY)
    return found


def problems(text: str, words) -> tuple[Problem, ...]:
    with pytest.raises(RuleFileError) as caught:
        RuleBook.of(text, words)
    return caught.value.problems


def test_every_key_is_tried_here():
    assert {*GOOD, "rule", "title", *KINDS} == set(KEYS)


@pytest.mark.parametrize("key", [k for k in KEYS if k not in KINDS])
def test_whatever_stands_under_a_key_is_taken_or_refused_in_words(key, words):
    """A refusal names a documented code, points into the rule and repeats no more than a line of what was written."""
    for name, odd in ODD.items():
        text = rule(**{key: odd})
        try:
            RuleBook.of(text, words)
        except RuleFileError as error:
            for found in error.problems:
                assert found.code in CODES, name
                assert 1 <= found.line <= len(text.splitlines()), name
                assert len(found.message) < 500, name
                assert found.message.isprintable(), name


@pytest.mark.parametrize("key", GOOD)
@pytest.mark.parametrize("below", ["", "  owner: somebody\n", "\n\n# a comment\n"], ids=["last", "before", "comment"])
def test_a_key_without_a_value_is_shown_where_it_stands(key, below, words):
    """And not where something else begins, or after the end of the file."""
    if below.startswith("  ") and key == "owner":
        below = ""
    found = [p for p in problems(rule() + f"  {key}:\n{below}", words) if p.code != "key-not-used"]
    assert {(p.line, p.column) for p in found} == {(4, 3)}, found


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_stands_for_the_kind_is_refused_in_words(kind, words):
    for name, odd in ODD.items():
        if name == "true" and kind == "require":
            continue  # a requirement that always holds
        text = "- rule: r\n  title: T\n  for_each: market\n  " + f"{kind}: {odd}\n"
        assert all(p.code in CODES and p.message.isprintable() for p in problems(text, words)), name


@pytest.mark.parametrize("key", [k for k in KEYS if len(k) > 3])
def test_a_slip_in_a_key_is_answered_with_the_key(key, words):
    """Left out letter, exchanged letters, another spelling of the joint."""
    for slip in {key[:-1], key[:2] + key[3] + key[2] + key[4:], key.replace("_", "-")} - {key, *KEYS}:
        found = [p for p in problems(rule() + f"  {slip}: x\n", words) if p.code == "unknown-key"]
        assert [p.nearest for p in found] == [key], slip


@pytest.mark.parametrize(("key", "kinds"), ONLY_FOR.items())
def test_a_key_without_effect_is_refused_where_it_would_mislead(key, kinds, words):
    for kind in KINDS:
        text = rule(kind, **{key: GOOD[key]})
        if kind in kinds:
            more = {"severity": "soft"} if key == "override" else {}
            RuleBook.of(rule(kind, **more, **{key: GOOD[key]}), words)
        else:
            assert "key-not-used" in {p.code for p in problems(text, words)}, kind


@pytest.mark.parametrize("given", [("require", "derive"), ("require", "then"), ("derive", "then"), KINDS, ()])
def test_a_rule_is_of_one_kind(given, words):
    text = "- rule: r\n  title: T\n" + "".join(f"  {kind}: {BODIES[kind]}\n" for kind in given)
    (found,) = problems(text, words)
    assert found.code == "no-rule-kind"
    assert all(f"`{kind}`" in found.message for kind in given)


@pytest.mark.parametrize("first", [date(2026, 6, 14), DAY, date(2026, 6, 16)])
@pytest.mark.parametrize("days", [1, 2, 400])
def test_a_rule_is_in_force_from_its_first_day_to_the_day_before_its_end(first, days, words):
    end = first + timedelta(days)
    book = RuleBook.of(rule(effective=f"{{from: {first}, until: {end}}}"), words)
    for day in (first - timedelta(1), first, end - timedelta(1), end):
        assert bool(book.on(day)) is (first <= day < end), day


@pytest.mark.parametrize("days", [0, -1])
def test_an_end_that_is_not_after_its_start_is_refused(days, words):
    text = rule(effective=f"{{from: {DAY}, until: {DAY + timedelta(days)}}}")
    assert [p.code for p in problems(text, words)] == ["bad-date"]


@pytest.mark.parametrize(
    ("written", "number"), [("1", 1), ("9", 9), ("0", None), ("10", None), ("1.0", None), ("-1", None), ("٣", None)]
)
def test_one_to_nine_persons_agree_to_an_override(written, number, words):
    text = rule(severity="soft", override=f"{{roles: [risk], approvers: '{written}'}}")
    if number is None:
        assert [p.code for p in problems(text, words)] == ["bad-value"]
    else:
        override = loaded(text, words).override
        assert override is not None
        assert override.approvers == number


@pytest.mark.parametrize(
    ("written", "rank"),
    [("0", 0), ("-5", -5), ("9999", 9999), ("-9999", -9999), ("10000", None), ("+5", None), ("1e3", None), ("٣", None)],
)
def test_a_rank_is_a_whole_number_of_four_digits(written, rank, words):
    text = rule("then", priority=f"'{written}'")
    if rank is None:
        assert [p.code for p in problems(text, words)] == ["bad-value"]
    else:
        assert loaded(text, words).priority == rank


@pytest.mark.parametrize("name", ["a", "a1", "a-b", "a-1-b", "a" * 80])
def test_what_an_identifier_may_be(name, words):
    assert RuleBook.of(rule().replace("rule: r", f"rule: {name}"), words).ids() == (name,)


@pytest.mark.parametrize("name", ["A", "1a", "a_b", "a--b", "-a", "a-", "a" * 81, "ä", "a b", '"a\\nb"', '"a\\u0000"'])
def test_what_no_identifier_may_be(name, words):
    (found,) = problems(rule().replace("rule: r", f"rule: {name}"), words)
    assert found.code in {"bad-identifier", "not-utf8"}
