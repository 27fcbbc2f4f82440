"""Inline tests: `given` to a small world, the rule judged in it, the answer compared with `expect`.

In: a rule book, a rule and one of its examples. Out: `Result`: what happened, and what differs. Guaranteed: the answer
is the reference meaning's (`judge.py`); everything not given takes the vocabulary's `example`, so a test says only what
matters; an example that cannot be understood is a result too, never skipped. Refused: nothing raises.
Before: `facts.py`, `judge.py`, `rulebook.py`. After: `coverage.py`, `lexorder rules test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from lexorder.engine import literals
from lexorder.engine.errors import LexorderError, shown
from lexorder.engine.evaluate import Point, value
from lexorder.engine.given import World, world
from lexorder.engine.judge import Derivations, derivations, judge
from lexorder.engine.message import formatted
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Example, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import Span, Term, Value
from lexorder.engine.verdict import Finding, Status

QUANTITY_MAX = 10_000_000
"""The largest order that `max_order` looks for."""

_SERIOUS = (Status.BREACH, Status.UNDECIDED, Status.PASSIVE, Status.PASS, Status.NOT_APPLICABLE)
"""Of several subjects the most serious verdict is the example's."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one example came out; `difference` is empty when it is as expected."""

    rule: str
    example: Example
    outcome: str
    difference: str = ""

    @property
    def span(self) -> Span:
        """Where the example stands."""
        return self.example.span


@dataclass(frozen=True, slots=True)
class Case:
    """A rule in the world of one example. `rule` is None when it is not in force on the example's date."""

    rule: Rule | None
    seen: Projection
    derived: Derivations
    world: World

    def points(self) -> Iterator[Point]:
        """The rule's subjects, with nothing filled."""
        if self.rule is None:
            return
        account = account_subject(self.seen)
        for subject in self.subjects(self.rule):
            yield Point(self.seen, (account, subject), {}, self.derived)

    def subjects(self, rule: Rule) -> tuple[Subject, ...]:
        """Whom the rule is about here: what the orders touch for a requirement, everything there is for the others."""
        found = subjects_of(rule, self.seen) if rule.require is not None else _everything(rule.for_each, self.seen)
        return tuple(s for s in found if s.key)


def _everything(entity: str, seen: Projection) -> tuple[Subject, ...]:
    snapshot = seen.snapshot
    if entity == "account":
        return (account_subject(seen),)
    if entity in {"instrument", "market"}:
        return tuple(Subject(entity, symbol, facts) for symbol, facts in snapshot.instruments.items())
    groups = seen.vocabulary.entities[entity].groups
    if groups:
        keys = sorted({str(facts.get(groups) or "") for facts in snapshot.instruments.values()})
        return tuple(Subject(entity, key) for key in keys)
    if entity in {"trader", "strategy"}:
        table = snapshot.traders if entity == "trader" else snapshot.strategies
        return tuple(Subject(entity, key, facts) for key, facts in table.items())
    key = "position.symbol" if entity == "position" else f"{entity}.id"
    return tuple(Subject(entity, str(member[key]), member) for member in seen.members(entity))


def run(book: RuleBook, identifier: str) -> tuple[Result, ...]:
    """The results of all examples of a rule; each is judged by the version in force on its own date."""
    versions = next(v for v in book.versions if v.id == identifier)
    latest = versions.items[-1][1]
    return tuple(result(book, latest, example) for example in latest.examples)


def result(book: RuleBook, rule: Rule, example: Example) -> Result:
    """The result of one example."""
    try:
        case = case_of(book, rule, example)
        outcome, difference = _compared(case, example.expect, book.vocabulary)
    except LexorderError as error:
        return Result(rule.id, example, "error", error.message)
    except MissingFactError as error:
        return Result(rule.id, example, "undecided", f"undecided, because {error}")
    return Result(rule.id, example, outcome, difference)


def case_of(book: RuleBook, rule: Rule, example: Example) -> Case:
    """The example's world and the rules in force in it.

    Raises:
        LexorderError: when `given` cannot be taken as facts.
    """
    made = world(example.given, rule, book.vocabulary)
    seen = project(made.snapshot, book.vocabulary, made.account, made.orders)
    today = made.snapshot.single["clock.date"]
    assert isinstance(today, date)
    return Case(book.rule(rule.id, today), seen, derivations(book.on(today)), made)


def _compared(case: Case, expect: object, vocabulary: Vocabulary) -> tuple[str, str]:
    """The outcome, and the difference from what was expected."""
    if case.rule is None:
        return _differs("not_applicable", expect)
    if case.rule.derive:
        return _derives(case, expect, vocabulary)
    if case.rule.then:
        return _reacts(case, expect)
    return _requires(case, case.rule, expect)


def _differs(outcome: str, expect: object) -> tuple[str, str]:
    wanted = expect if isinstance(expect, str) else shown(str(expect))
    return outcome, "" if outcome == expect else f"expected {wanted}, got {outcome}"


# ---- require -----------------------------------------------------------------------------------


def _requires(case: Case, rule: Rule, expect: object) -> tuple[str, str]:
    found = judge(rule, case.seen, case.derived)
    worst = min(found, key=lambda f: _SERIOUS.index(f.status), default=None)
    outcome = _outcome(rule, worst)
    if isinstance(expect, Mapping):
        return outcome, _details(case, rule, worst, outcome, expect)
    if expect == "warn":
        return outcome, "" if outcome == "fail warn" else f"expected warn, got {outcome}"
    told = f", because {worst.why}" if worst is not None and worst.why else ""
    outcome, difference = _differs(outcome, expect)
    return outcome, difference + (told if difference else "")


def _outcome(rule: Rule, worst: Finding | None) -> str:
    if worst is None:
        return "not_applicable"
    return f"fail {rule.severity.value}" if worst.status is Status.BREACH else worst.status.value


def _details(case: Case, rule: Rule, worst: Finding | None, outcome: str, expect: Mapping[str, object]) -> str:
    """`{fail: hard, max_order: 50, observed: 5.1%, limit: 5%}` compared part by part."""
    unknown = [key for key in expect if key not in {"fail", "max_order", "observed", "limit"}]
    if unknown or "fail" not in expect:
        return f"{shown(str(dict(expect)))} is not understood: write `{{fail: hard, max_order: 50}}`"
    if outcome != f"fail {expect['fail']}" or worst is None:
        return f"expected fail {expect['fail']}, got {outcome}"
    for key, got in (("observed", worst.observed), ("limit", worst.limit)):
        if key in expect and not _equal(got, expect[key]):
            return f"expected {key} {expect[key]}, got {formatted(got)}"
    return _largest(case, rule, expect["max_order"]) if "max_order" in expect else ""


def _equal(got: Value | None, wanted: object) -> bool:
    """Whether a side of the comparison is what was written: a number, with `%` or without."""
    written = str(wanted)
    if isinstance(got, Fraction):
        seconds = literals.duration(written)
        return got == (seconds if seconds is not None else literals.number(written))
    return formatted(got) == written


def _largest(case: Case, rule: Rule, wanted: object) -> str:
    """Compare `max_order` with the largest quantity of the order that this rule lets pass."""
    number = literals.number(str(wanted))
    if number is None or len(case.world.orders) != 1:
        return "`max_order` is a whole number and needs exactly one order"
    # Imported here: the compiler of rules to integers is only needed for this.
    from lexorder.engine.compile import CompiledBook

    rules = [rule, *(r for r in {id(r): r for rs in case.derived.values() for r in rs}.values() if r.id != rule.id)]
    book = CompiledBook(rules, case.seen.vocabulary, case.world.snapshot)
    _, by_rule = book.largest(case.world.account, case.world.orders[0], QUANTITY_MAX)
    got = by_rule[rule.id]
    return "" if got == number else f"expected max_order {wanted}, got {got:,}"


# ---- derive and then ---------------------------------------------------------------------------


def applies(rule: Rule, at: Point) -> bool:
    """Whether a rule's condition holds for a subject."""
    return rule.when is None or bool(value(rule.when, at))


def _derives(case: Case, expect: object, vocabulary: Vocabulary) -> tuple[str, str]:
    assert case.rule is not None
    held = [at for at in case.points() if applies(case.rule, at)]
    if not held:
        return _differs("not_applicable", expect)
    got = {name: {value(term, at) for at in held} for name, term in case.rule.derive}
    said = ", ".join(f"{name}: {' or '.join(sorted(map(formatted, values)))}" for name, values in got.items())
    outcome = f"derive {said}"
    wanted = expect.get("derive") if isinstance(expect, Mapping) else None
    if not isinstance(wanted, Mapping):
        return _differs(outcome, expect)
    same = all(got.get(str(name)) == {_derived_value(str(name), v, vocabulary)} for name, v in wanted.items())
    return outcome, "" if same else f"expected {shown(str(dict(wanted)))}, got {said}"


def _derived_value(name: str, written: object, vocabulary: Vocabulary) -> Value | None:
    declared = vocabulary.name(name)
    return literals.value(str(written), declared.unit) if declared else None


def _reacts(case: Case, expect: object) -> tuple[str, str]:
    assert case.rule is not None
    held = [at for at in case.points() if applies(case.rule, at)]
    outcome = "fires" if held else "silent"
    if not isinstance(expect, Mapping):
        # A reaction that does not apply is silent; both words are understood.
        return _differs(outcome, "silent" if expect == "not_applicable" else expect)
    wanted = expect.get("fires")
    if not isinstance(wanted, Mapping):
        return outcome, f"{shown(str(dict(expect)))} is not understood: write `fires`, `silent` or `{{fires: …}}`"
    if not held:
        return outcome, "expected fires, got silent"
    return outcome, _arguments(case.rule, held[0], wanted)


def _arguments(rule: Rule, at: Point, wanted: Mapping[str, object]) -> str:
    """`{exit: {fraction: 50%}}` compared with what the reactions are given."""
    given = {action.kind: dict(action.arguments) for action in rule.then}
    for kind, parts in wanted.items():
        if kind not in given:
            return f"expected the reaction {shown(str(kind))}, which the rule does not have"
        pairs = parts if isinstance(parts, Mapping) else {next(iter(given[kind]), ""): parts}
        for key, expected in pairs.items():
            got = _argument(given[kind].get(str(key)), at)
            if not _equal(got, expected):
                return f"expected {kind} {key} {expected}, got {formatted(got)}"
    return ""


def _argument(given: Term | str | None, at: Point) -> Value | None:
    return value(given, at) if isinstance(given, Term) else given
