"""A rule in plain English, for people who answer for it and do not read the rule language.

In: a `Rule` in force and the vocabulary, whose meanings are the words. Out: lines of text. Guaranteed: says the same as
the rule (terms are rendered node by node, brackets where the order matters); definitions appear by their meaning, not
by what they expand to. Refused: nothing. Before: `rule.py`, `render.py`, `vocabulary.py`. After: `lexorder rules show`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from lexorder.engine.names import Vocabulary
from lexorder.engine.render import definitions, duration_text, fold, literal
from lexorder.engine.rule import Action, Audience, Override, Rule, Scope, Severity
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    And,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    In,
    Key,
    Literal,
    Negate,
    Not,
    Or,
    SetOf,
    Term,
    conjuncts,
)
from lexorder.engine.units import LOCAL_MONEY

_SEVERITIES = {
    Severity.HARD: "A breach blocks the order.",
    Severity.SOFT: "A breach blocks the order until it is overridden.",
    Severity.WARN: "A breach is recorded and blocks nothing.",
}
_PHASES = {
    "pre_trade": "before each trade",
    "rebalance": "in a rebalance",
    "monitor": "all the time",
    "signal": "when signals arrive",
}
_COMPARISONS = {"==": "is", "!=": "is not", "<": "is below", "<=": "is at most", ">": "is above", ">=": "is at least"}
_OPERATIONS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}


def plain_english(rule: Rule, vocabulary: Vocabulary) -> tuple[str, ...]:
    """The rule as sentences, one a line."""
    speaker = _Speaker(vocabulary, {**definitions(vocabulary), **_named_values(rule)})
    lines = [f"{_applies(rule)}{_covered(rule.scope)}."]
    if rule.when is not None:
        lines.append(f"It applies only when {speaker.condition(rule.when)}.")
    if rule.require is not None:
        lines += [*speaker.required(rule.require), *_consequences(rule)]
    lines += [f"Then {speaker.name(name)} is {speaker.value(term)}." for name, term in rule.derive]
    lines += [f"Then {speaker.action(action)}." for action in rule.then]
    if rule.audience is Audience.COMPLIANCE:
        lines.append("Only compliance sees what it finds; traders do not learn of it.")
    return (*lines, *speaker.explanations(rule))


def _named_values(rule: Rule) -> dict[Term, str]:
    """`let` names by their values; constants are said outright."""
    return {let.term: let.name for let in rule.lets if not isinstance(let.term, Literal)}


def _applies(rule: Rule) -> str:
    phases = [words for phase, words in _PHASES.items() if phase in rule.phases]
    return f"For each {_spoken(rule.for_each)}, {_listed(phases)}"


def _covered(scope: Scope) -> str:
    whom = ""
    if scope.accounts:
        whom = f", for account{'s' * (len(scope.accounts) > 1)} {_listed(scope.accounts)}"
    elif scope.tags:
        whom = f", for accounts tagged {_listed(scope.tags, 'or')}"
    return whom + (f", except {_listed(scope.excluded)}" if scope.excluded else "")


def _consequences(rule: Rule) -> list[str]:
    lines = [_SEVERITIES[rule.severity]]
    if rule.override is not None:
        lines.append(_override(rule.override))
    if rule.may_improve:
        lines.append("Where it is already broken, an order passes if it makes nothing worse.")
    if rule.fail_if_missing:
        lines.append("A missing fact counts as a breach.")
    return lines


def _override(override: Override) -> str:
    people = f"{override.approvers} people" if override.approvers > 1 else "one person"
    lasting = f" for {duration_text(override.expires)}" if override.expires else " for one order"
    reason = ", giving a reason" if override.reason_required else ""
    return f"It can be overridden{lasting} by {people} in the role {_listed(override.roles, 'or')}{reason}."


def _listed(words: tuple[str, ...] | list[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _spoken(word: str) -> str:
    return word.replace("_", " ")


class _Speaker:
    """Puts terms into words of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, known: Mapping[Term, str]) -> None:
        self.vocabulary = vocabulary
        self.known = known

    def explanations(self, rule: Rule) -> list[str]:
        """What the `let` names used above stand for."""
        known = dict(self.known)
        lines = []
        for let in rule.lets:
            if let.term in known and not isinstance(let.term, Literal):
                others = {term: name for term, name in known.items() if term != let.term}
                lines.append(f"Here `{let.name}` is: {self.words(fold(let.term, others))}.")
        return lines

    def required(self, term: Term) -> list[str]:
        parts = conjuncts(term)
        if len(parts) == 1:
            return [f"It must hold that {self.condition(term)}."]
        return ["All of this must hold:", *(f"  - {self.condition(part)}" for part in parts)]

    def condition(self, term: Term) -> str:
        return self.words(fold(term, self.known))

    def value(self, term: Term) -> str:
        return self.words(fold(term, self.known))

    def name(self, name: str) -> str:
        """The meaning of a name, in the middle of a sentence."""
        declared = self.vocabulary.name(name)
        if declared is None:
            return f"`{name}`"
        meaning = declared.meaning.rstrip(".")
        # The first clause says what it is, the rest explains.
        meaning = re.split(r"[,;:]", meaning)[0].strip()
        # "FX rate" keeps its capitals, "Average daily volume" loses the first.
        if not meaning[:2].isupper():
            meaning = meaning[0].lower() + meaning[1:]
        return "the " * _needs_article(meaning) + meaning.removeprefix("whether ")

    def words(self, term: Term) -> str:
        match term:
            case Literal():
                return _constant(term)
            case Field():
                return self.name(term.name)
            case Key(entity=entity):
                return f"the {_spoken(entity)}"
            case Aggregate():
                return self.aggregate(term)
            case Compare() | In() | Not() | And() | Or():
                return self.logic(term)
        return self.amount(term)

    def amount(self, term: Term) -> str:
        match term:
            case Negate(operand=x):
                return f"minus {self.part(x)}"
            case Absolute(operand=x):
                return f"the size of {self.part(x)}"
            case Extreme(which=which, items=items):
                kind = "smallest" if which == "min" else "largest"
                return f"the {kind} of {_listed([self.part(x) for x in items])}"
            case Binary():
                return self.binary(term)
            case If(condition=condition, yes=yes, no=no):
                return f"{self.part(yes)} if {self.words(condition)}, otherwise {self.part(no)}"
            case SetOf(items=items):
                return _listed([self.words(x) for x in items], "or")
        raise AssertionError(f"not a term: {term}")

    def binary(self, term: Binary) -> str:
        money = isinstance(term.left, Literal) and term.left.unit == LOCAL_MONEY
        if money and isinstance(term.right, Field) and isinstance(term.left, Literal):
            return f"{_constant(term.left)} {term.right.name.split('.')[1]}"
        percent = isinstance(term.left, Literal) and not term.left.unit.bare
        if term.op == "*" and percent:
            return f"{self.words(term.left)} of {self.part(term.right)}"
        return f"{self.part(term.left)} {_OPERATIONS[term.op]} {self.part(term.right)}"

    def part(self, term: Term) -> str:
        """A term inside another, in brackets where reading it could go two ways."""
        text = self.words(term)
        return f"({text})" if isinstance(term, Binary | If | Negate) and not _is_whole(term) else text

    def logic(self, term: Term) -> str:
        match term:
            case Compare(op=op, left=left, right=right):
                return self.comparison(op, left, right)
            case In(item=item, container=container):
                return f"{self.words(item)} is {self.members(container)}"
            case Not(operand=In(item=item, container=container)):
                return f"{self.words(item)} is not {self.members(container)}"
            case Not(operand=x):
                return f"it is not so that {self.nested(x)}"
            case And(items=items):
                return " and ".join(self.nested(x) for x in items)
            case Or(items=items):
                return " or ".join(self.nested(x) for x in items)
        raise AssertionError(f"not a condition: {term}")

    def comparison(self, op: str, left: Term, right: Term) -> str:
        if isinstance(right, Literal) and isinstance(right.value, bool):
            answer = right.value is (op == "==")
            return self.words(left) if answer else f"it is not so that {self.nested(left)}"
        return f"{self.side(left)} {_COMPARISONS[op]} {self.side(right)}"

    def side(self, term: Term) -> str:
        """One side of a comparison: the comparison's own words keep it apart, but not from an `if`."""
        return self.part(term) if isinstance(term, If) else self.words(term)

    def nested(self, term: Term) -> str:
        text = self.words(term)
        alone = isinstance(term, And | Or | If) or (isinstance(term, Aggregate) and term.kind in {"any", "all"})
        return f"({text})" if alone else text

    def members(self, container: Term) -> str:
        if isinstance(container, SetOf):
            return f"one of {self.words(container)}" if len(container.items) > 1 else self.words(container.items[0])
        return f"among {self.words(container)}"

    def aggregate(self, term: Aggregate) -> str:
        plural = _plural(_spoken(term.collection))
        of = f"all {plural} of the account" if term.owner == "account" else f"its {plural}"
        where = f" where {self.words(term.where)}" if term.where is not None else ""
        if term.kind == "count" or term.body is None:
            return f"the number of {of}{where}"
        if term.kind == "sum":
            return f"the sum over {of}{where} of {self.part(term.body)}"
        one = "for at least one of" if term.kind == "any" else "for every one of"
        return f"{one} {of}{where}, {self.words(term.body)}"

    def action(self, action: Action) -> str:
        given = {key: self.argument(value) for key, value in action.arguments}
        lasting = f" for {given['for']}" if "for" in given else ""
        said: dict[str, Callable[[], str]] = {
            "set": lambda: f"trading is set to {given['trading_state']}{lasting}",
            "halt": lambda: f"trading halts{lasting}",
            "exit": lambda: _exit(given),
            "reduce": lambda: f"the position is reduced to {given['to']}",
            "scale": lambda: f"{self.name(given['target'])} is multiplied by {given['factor']}",
            "cap": lambda: f"{self.name(given['target'])} is capped at {given['at']}",
            "skip": lambda: f"it is skipped: {given['reason']}",
            "cancel": lambda: "working orders are cancelled",
            "alert": lambda: f"an alert of level {given['level']} is raised",
        }
        return said[action.kind]()

    def argument(self, value: Term | str) -> str:
        return value if isinstance(value, str) else self.value(value)


def _is_whole(term: Term) -> bool:
    """Whether the words cannot be torn apart: `5% of x`, `25,000 USD`."""
    return isinstance(term, Binary) and term.op == "*" and isinstance(term.left, Literal) and not term.left.unit.bare


def _exit(given: Mapping[str, str]) -> str:
    style = f" with {given['style']} orders" if "style" in given else ""
    price = f" at {given['price']}" if "price" in given else ""
    pace = f", at most {given['participation']} of the volume" if "participation" in given else ""
    return f"{given['fraction']} of the position is sold or bought back{style}{price}{pace}"


def _plural(word: str) -> str:
    """`sectors`, `countries`, `asset classes`."""
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith("s") else "s")


def _needs_article(meaning: str) -> bool:
    first = meaning.split(maxsplit=1)[0].lower()
    return first not in {"whether", "when", "how", "the", "a", "an", "all", "its", "shares", "cash", "who"}


def _constant(term: Literal) -> str:
    """`25,000` rather than `25_000`: this is read, not parsed."""
    text = literal(term)
    return text.replace("_", ",") if isinstance(term.value, Fraction) else text
