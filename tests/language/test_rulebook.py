"""Rule files to a rule book: dates, hash, order, all or nothing, what a rule holds."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.errors import RuleFileError
from lexorder.engine.names import Vocabulary
from lexorder.engine.render import render
from lexorder.engine.rule import Override, Phase, Rule, Scope, Severity
from lexorder.engine.rulebook import RuleBook, rule_files
from lexorder.engine.terms import Literal
from tests.language.conftest import RULEFILES

DAY = date(2026, 6, 15)
SIZE = "- rule: size\n  title: Size\n  require: order.quantity <= 25_000\n"


def only(text: str, words: Vocabulary, day: date = DAY) -> Rule:
    (rule,) = RuleBook.of(text, words).on(day)
    return rule


def with_keys(*keys: str) -> str:
    return SIZE + "".join(f"  {key}\n" for key in keys)


def refused(text: str, words: Vocabulary) -> list[str]:
    with pytest.raises(RuleFileError) as caught:
        RuleBook.of(text, words)
    return [problem.code for problem in caught.value.problems]


# ---- what a rule holds ---------------------------------------------------------------------------


def test_defaults_of_a_requirement(words):
    rule = only(SIZE, words)
    assert (rule.id, rule.title, rule.severity, rule.for_each) == ("size", "Size", Severity.HARD, "order")
    assert rule.phases == {Phase.PRE_TRADE}
    assert rule.scope == Scope()
    assert (rule.when, rule.derive, rule.then, rule.lets, rule.examples) == (None, (), (), (), ())
    assert (rule.may_improve, rule.fail_if_missing, rule.override, rule.priority) == (False, False, None, 0)
    assert rule.reason == "LIMIT_EXCEEDED"
    assert rule.classified is not None
    assert rule.span.line == 1


def test_defaults_of_other_kinds(words):
    derive = only("- rule: d\n  title: D\n  derive: {market.regime: VOLATILE}\n", words)
    assert (derive.phases, derive.for_each, derive.reason) == (frozenset(Phase), "market", "")
    assert derive.classified is None
    then = only("- rule: t\n  title: T\n  for_each: instrument\n  then: [{alert: info}]\n", words)
    assert then.phases == {Phase.MONITOR}


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("severity: warn", "severity", Severity.WARN),
        ("phases: [monitor, pre_trade]", "phases", {Phase.MONITOR, Phase.PRE_TRADE}),
        ("scope: {accounts: [A, B], except: [C]}", "scope", Scope(("A", "B"), (), ("C",))),
        ("scope: {accounts: {tag: t}}", "scope", Scope((), ("t",))),
        ("scope: {accounts: {tags: [t, u]}}", "scope", Scope((), ("t", "u"))),
        ("scope: {except: [C]}", "scope", Scope(excluded=("C",))),
        ("if_missing: fail", "fail_if_missing", True),
        ("if_missing: undecided", "fail_if_missing", False),
        ("reason: ORDER_SIZE", "reason", "ORDER_SIZE"),
        ("owner: desk", "owner", "desk"),
        ("cite: Memo 12", "cite", "Memo 12"),
        ('message: "{order.quantity:,}"', "message", "{order.quantity:,}"),
        ("effective: {from: 2026-01-01}", "effective_from", date(2026, 1, 1)),
        ("effective: {until: 2027-01-01}", "effective_until", date(2027, 1, 1)),
        ("if_already_breached: block", "may_improve", False),
    ],
)
def test_keys(key, field, value, words):
    assert getattr(only(with_keys(key), words), field) == value


def test_an_override(words):
    rule = only(
        with_keys(
            "severity: soft", "override: {roles: [risk_officer], reason: optional, approvers: 2, expires: 1 day}"
        ),
        words,
    )
    assert rule.override == Override(("risk_officer",), False, 2, Fraction(86_400))
    plain = only(with_keys("severity: soft", "override: {roles: [admin]}"), words)
    assert plain.override == Override(("admin",), True, 1, Fraction(0))


@pytest.mark.parametrize(
    ("require", "reason"),
    [
        ("order.quantity <= 5", "LIMIT_EXCEEDED"),
        ("order.quantity <= 5 and order.notional < 3", "LIMIT_EXCEEDED"),
        ("order.side == buy", "RULE_BREACHED"),
        ("order.quantity <= 5 and order.side != buy", "RULE_BREACHED"),
        ("order.has_locate", "RULE_BREACHED"),
    ],
)
def test_the_reason_by_default(require, reason, words):
    assert only(SIZE.replace("order.quantity <= 25_000", require), words).reason == reason


def test_what_depends_on_fills_may_improve(words):
    text = "- rule: p\n  title: P\n  for_each: position\n  require: position.after.quantity >= 0\n"
    assert only(text, words).may_improve
    assert not only(text + "  if_already_breached: block\n", words).may_improve
    assert only(text + "  if_already_breached: must_not_worsen\n", words).may_improve


def test_examples_are_kept_as_plain_data(words):
    rule = only(
        with_keys(
            "tests:", "  - {name: one, given: {order: {quantity: 5}}, expect: pass}", "  - {expect: {fail: hard}}"
        ),
        words,
    )
    first, second = rule.examples
    assert (first.name, first.given, first.expect) == ("one", {"order": {"quantity": "5"}}, "pass")
    assert (second.name, second.given, second.expect) == ("test 2", {}, {"fail": "hard"})
    assert first.span.line == 5


# ---- dates ---------------------------------------------------------------------------------------

DATED = """
- rule: size
  title: Size
  let:
    limit:
      2027-01-01: {value: 4_000, cite: second}
      2026-01-01: {value: 5_000, cite: first}
      2028-01-01: 3_000
    other:
      2026-06-01: 50%
  require: order.quantity <= limit * other
"""


@pytest.mark.parametrize(
    ("day", "limit"),
    [
        (date(2025, 12, 31), None),
        (date(2026, 5, 31), None),
        (date(2026, 6, 1), 5_000),
        (date(2026, 12, 31), 5_000),
        (date(2027, 1, 1), 4_000),
        (date(2027, 12, 31), 4_000),
        (date(2028, 1, 1), 3_000),
        (date(2100, 1, 1), 3_000),
    ],
)
def test_the_latest_value_not_after_the_day_is_in_force(day, limit, words):
    rule = RuleBook.of(DATED, words).rule("size", day)
    if limit is None:
        assert rule is None
    else:
        assert rule is not None
        values = {let.name: let.term for let in rule.lets}
        assert isinstance(values["limit"], Literal)
        assert values["limit"].value == limit
        assert rule.require is not None
        assert render(rule.require) == f"order.quantity <= {limit:_} * 50%"


def test_history_keeps_every_value_with_its_source(words):
    rule = RuleBook.of(DATED, words).rule("size", DAY)
    assert rule is not None
    told = [(h.name, h.since, h.cite) for h in rule.history]
    assert told == [
        ("limit", date(2027, 1, 1), "second"),
        ("limit", date(2026, 1, 1), "first"),
        ("limit", date(2028, 1, 1), ""),
        ("other", date(2026, 6, 1), ""),
    ]


def test_the_days_on_which_something_changes(words):
    assert RuleBook.of(DATED, words).dates() == (date(2026, 6, 1), date(2027, 1, 1), date(2028, 1, 1))
    ranged = with_keys("effective: {from: 2026-01-01, until: 2026-07-01}")
    book = RuleBook.of(ranged, words)
    assert book.dates() == (date(2026, 1, 1), date(2026, 7, 1))
    lengths = [len(book.on(d)) for d in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 6, 30), date(2026, 7, 1))]
    assert lengths == [0, 1, 1, 0], "from is inclusive, until exclusive"


def test_a_mistake_in_a_later_version_is_found_today(words):
    assert refused(DATED.replace("3_000", "3_000 USD"), words) == ["unit-mismatch"]


@settings(max_examples=60, deadline=None)
@given(days=st.lists(st.integers(0, 900), min_size=1, max_size=6, unique=True), asked=st.integers(-10, 910))
def test_dates_against_a_plain_search(words, days, asked):
    start = date(2026, 1, 1)
    since = {start + timedelta(days=d): n for n, d in enumerate(days, 1)}
    rows = "".join(f"      {day}: {n}\n" for day, n in since.items())
    text = f"- rule: size\n  title: Size\n  let:\n    limit:\n{rows}  require: order.quantity <= limit\n"
    today = start + timedelta(days=asked)
    before = [day for day in since if day <= today]
    rule = RuleBook.of(text, words).rule("size", today)
    if not before:
        assert rule is None
    else:
        assert rule is not None
        assert rule.require is not None
        assert render(rule.require) == f"order.quantity <= {since[max(before)]}"


# ---- order and hash ------------------------------------------------------------------------------

OTHER = "- rule: a-first\n  title: First\n  require: order.has_locate\n"


def test_rules_stand_in_order_of_their_identifiers(words):
    book = RuleBook.of(SIZE + OTHER, words)
    assert book.ids() == ("a-first", "size")
    assert [r.id for r in book.on(DAY)] == ["a-first", "size"]
    assert RuleBook.of(OTHER + SIZE, words).hash == book.hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  title", "  # why\n  title"),
        ("order.quantity <= 25_000", '"order.quantity<=25_000"'),
        ("order.quantity <= 25_000", ">-\n    order.quantity\n    <= 25_000"),
        ("order.quantity <= 25_000", "order.quantity <= 25000"),
        ("  title: Size\n  require: order.quantity <= 25_000", "  require: order.quantity <= 25_000\n  title: Size"),
        ("title: Size", "title: 'Size'"),
        ("order.quantity <= 25_000", "((order.quantity)) <= 25_000"),
    ],
)
def test_layout_does_not_change_the_hash(old, new, words):
    assert RuleBook.of(SIZE.replace(old, new), words).hash == RuleBook.of(SIZE, words).hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("25_000", "25_001"),
        ("<=", "<"),
        ("order.quantity <= 25_000", "25_000 >= order.quantity"),
        ("rule: size", "rule: sizes"),
        ("title: Size", "title: Sizes"),
        ("require: order.quantity <= 25_000", "require: order.quantity <= 25_000\n  severity: hard"),
        ("require: order.quantity <= 25_000", "require: order.quantity <= 25_000\n  scope: {except: [A]}"),
    ],
)
def test_content_changes_the_hash(old, new, words):
    assert RuleBook.of(SIZE.replace(old, new), words).hash != RuleBook.of(SIZE, words).hash


def test_the_vocabulary_is_part_of_the_hash(words):
    other = Vocabulary(words.entities, words.names, "0" * 64)
    assert RuleBook.of(SIZE, other).hash != RuleBook.of(SIZE, words).hash


def test_the_hash_is_a_sha256_and_stable(words):
    book = RuleBook.of(SIZE, words)
    assert len(book.hash) == 64
    assert book.hash == RuleBook.of(SIZE, words).hash


# ---- files ---------------------------------------------------------------------------------------


def test_a_folder_is_searched_below_and_its_vocabulary_is_no_rule_file(tmp_path):
    (tmp_path / "vocabulary.yaml").write_text((RULEFILES / "vocabulary.yaml").read_text("utf-8"), "utf-8")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "x.yaml").write_text(SIZE)
    (tmp_path / "y.yaml").write_text(OTHER)
    (tmp_path / "notes.txt").write_text("no rules")
    book = RuleBook.load(tmp_path)
    assert book.ids() == ("a-first", "size")
    assert [p.name for p in rule_files([tmp_path, tmp_path / "y.yaml"])] == ["x.yaml", "y.yaml"]
    assert RuleBook.load(tmp_path / "deep").ids() == ("size",), "the vocabulary above is found"


def test_all_files_or_none(tmp_path, words):
    (tmp_path / "good.yaml").write_text(SIZE)
    (tmp_path / "bad.yaml").write_text(OTHER.replace("has_locate", "has_lokate"))
    with pytest.raises(RuleFileError) as caught:
        RuleBook.load(tmp_path, words)
    assert [p.code for p in caught.value.problems] == ["unknown-name"]
    assert caught.value.problems[0].file.endswith("bad.yaml")


def test_duplicates_across_files_name_the_other_file(tmp_path, words):
    (tmp_path / "a.yaml").write_text(SIZE)
    (tmp_path / "b.yaml").write_text("\n\n" + SIZE)
    with pytest.raises(RuleFileError) as caught:
        RuleBook.load([tmp_path / "b.yaml", tmp_path / "a.yaml"], words)
    (found,) = caught.value.problems
    assert found.code == "duplicate-rule"
    assert "line 1 of" in found.message
    assert "a.yaml" in found.message
    assert found.file.endswith("b.yaml")


def test_no_file_and_no_vocabulary(tmp_path, words):
    with pytest.raises(RuleFileError, match="file-unreadable"):
        RuleBook.load(tmp_path / "absent", words)
    with pytest.raises(RuleFileError, match="vocabulary"):
        RuleBook.load(tmp_path)


def test_an_empty_book(words):
    book = RuleBook.of("", words)
    assert book.on(DAY) == ()
    assert book.dates() == ()
    assert book.ids() == ()


@pytest.mark.parametrize("files", [{}, {"a.yaml": ""}, {"a.yaml": "# nothing yet\n", "b.yaml": ""}])
def test_a_folder_without_a_rule_is_no_book(tmp_path, words, files):
    """It would approve every order: more likely the path is wrong."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for make in (lambda: RuleBook.load(tmp_path, words), lambda: RuleBook.of_files(files, words)):
        with pytest.raises(RuleFileError) as found:
            make()
        assert [p.code for p in found.value.problems] == ["no-rules"]


def test_the_phase_narrows(words):
    book = RuleBook.of(SIZE + OTHER + "  phases: [monitor]\n", words)
    assert [r.id for r in book.on(DAY, Phase.MONITOR)] == ["a-first"]
    assert [r.id for r in book.on(DAY, Phase.PRE_TRADE)] == ["size"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("just words", ["wrong-shape"]),
        ("- just words", ["wrong-shape"]),
        ("- []", ["wrong-shape"]),
        ("- {}", ["missing-key"]),
        ("- rule: x", ["no-rule-kind"]),
        ("- rule: x\n  require: true", ["missing-key"]),
        ("- rule: x\n  title: ''\n  require: true", ["missing-key"]),
        ("- rule: -x\n  title: X\n  require: true", ["bad-identifier"]),
        (f"- rule: {'x' * 81}\n  title: X\n  require: true", ["bad-identifier"]),
        ("- rule: x\n  title: X\n  require: [true]", ["wrong-shape"]),
        ("- rule: x\n  title: X\n  require:", ["missing-key"]),
        ("- rule: x\n  title: X\n  derive: {}", ["missing-key"]),
        ("- rule: x\n  title: X\n  then: []", ["missing-key"]),
        ("- rule: x\n  title: X\n  require: true\n  phases: []", ["missing-key"]),
        ("- rule: x\n  title: X\n  require: true\n  let: []", ["wrong-shape"]),
        ("- rule: x\n  title: X\n  require: true\n  let: {a: {}}", ["missing-key"]),
        ("- rule: x\n  title: X\n  require: true\n  let: {a: [1]}", ["wrong-shape"]),
        ("- rule: x\n  title: X\n  require: true\n  scope: [A]", ["wrong-shape"]),
        ("- rule: x\n  title: X\n  require: true\n  scope: {accounts: {}}", ["missing-key"]),
        ("- rule: x\n  title: X\n  require: true\n  tests: {}", ["wrong-shape"]),
        ("- rule: x\n  title: X\n  require: true\n  tests: [5]", ["wrong-shape"]),
        ("- rule: x\n  title: X\n  require: true\n  severity: soft\n  override: {roles: []}", ["missing-key"]),
        (
            "- rule: x\n  title: X\n  require: true\n  severity: soft\n  override: {roles: [a], approvers: 0}",
            ["bad-value"],
        ),
        (
            "- rule: x\n  title: X\n  require: true\n  severity: soft\n  override: {roles: [a], reason: no}",
            ["bad-choice"],
        ),
        ("- rule: x\n  title: X\n  for_each: account\n  then: [{alert: info}]\n  priority: high", ["bad-value"]),
        ("- rule: x\n  title: X\n  when: order.side\n  require: 5", ["wrong-type", "wrong-type"]),
        ("- rule: x\n  title: X\n  derive: {market.regime: VOLATILE, signal.strength: STRONG}", ["not-derived"]),
    ],
)
def test_shapes_that_are_refused(text, codes, words):
    assert refused(text, words) == codes


def test_findings_come_in_order_and_once(words):
    text = DATED.replace("order.quantity <= limit * other", "order.quantiy <= limit * othr")
    with pytest.raises(RuleFileError) as caught:
        RuleBook.of(text, words)
    assert [p.code for p in caught.value.problems] == ["unknown-name"], "once, though three versions have it"
