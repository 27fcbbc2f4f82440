"""Syntax to typed terms.

In: a `Syntax` tree, the vocabulary, the subject of `for_each`, the `let` names. Out: a `Term`. Guaranteed: units
fit everywhere; `let` names and `means` definitions are replaced; enumeration words are resolved; each aggregate
knows its collection; at most 5,000 nodes. Refused (RuleFileError): see the code table under "the meaning of an
expression". Why `let` is replaced as syntax and `means` as a finished term: a `let` belongs to the rule and reads
its subject, a definition belongs to the vocabulary and must mean the same wherever it is used, so the links it
follows are tied to the entity it was written for.
Before: `parse.py`, `names.py`. After: `vocabulary.py` (for `means`), `rulebook.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal as OneOf
from typing import cast

from lexorder.engine import syntax
from lexorder.engine.codes import nearest_name, refuse
from lexorder.engine.errors import shown
from lexorder.engine.fit import a_unit, be_amount, be_condition, fitting, joined, mismatch
from lexorder.engine.names import Vocabulary
from lexorder.engine.parse import parse
from lexorder.engine.resolve import AGGREGATES, Resolver
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    And,
    Arithmetic,
    Binary,
    Compare,
    Comparison,
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
)
from lexorder.engine.units import (
    BARE,
    BOOL,
    COUNT,
    DATE,
    DURATION,
    LOCAL_MONEY,
    MONEY,
    RATIO,
    SET,
    TEXT,
    TIME,
    TIMESTAMP,
    Kind,
    Unit,
)

_ORDERED = frozenset({Kind.NUMBER, Kind.DURATION, Kind.TIMESTAMP, Kind.DATE, Kind.TIME})
_FUNCTIONS = ("abs", "min", "max", *AGGREGATES)


def term_of(text: str, vocabulary: Vocabulary, for_each: str = "order") -> Term:
    """The term of one expression without `let` names; for tests and tools.

    Raises:
        RuleFileError: as `parse` and `Checker.term`.
    """
    return Checker(vocabulary, for_each).term(parse(text))


class Checker(Resolver):
    """Checks the expressions of one rule (or one definition) as in force on one date."""

    def term(self, node: Syntax, want: Unit | None = None) -> Term:
        """The term of an expression; `want` is the unit it must have, when known.

        Raises:
            RuleFileError: at the first thing that does not fit.
        """
        self.nodes = self.depth = 0
        self.bound, self.within = (self.subject,), ()
        term = self.check(node, want)
        if want is not None:
            fitting(node, term, want)
        return term

    def condition(self, node: Syntax) -> Term:
        """The term of a condition.

        Raises:
            RuleFileError: also `wrong-type` when it is not true or false.
        """
        term = self.term(node)
        be_condition(node, term)
        return term

    # ---- dispatch ------------------------------------------------------------------------------

    def check(self, node: Syntax, want: Unit | None = None) -> Term:
        """The term of any node."""
        self.nodes += 1
        self.depth += 1
        self.be_small(node.span)
        make: Callable[[Syntax, Unit | None], Term] = getattr(self, "_" + type(node).__name__.lower())
        term = make(node, want)
        self.depth -= 1
        return term

    # ---- atoms ---------------------------------------------------------------------------------

    def _number(self, node: syntax.Number, _want: Unit | None) -> Term:
        unit = RATIO if node.percent else replace(BARE, whole=node.value.denominator == 1)
        return Literal(unit, node.value, span=node.span)

    def _duration(self, node: syntax.Duration, _want: Unit | None) -> Term:
        return Literal(DURATION, node.seconds, span=node.span)

    def _money(self, node: syntax.Money, _want: Unit | None) -> Term:
        rate = self.field(f"fx.{node.currency}", "", node)
        return Binary(MONEY, "*", Literal(LOCAL_MONEY, node.amount, span=node.span), rate, span=node.span)

    def _moment(self, node: syntax.Moment, _want: Unit | None) -> Term:
        return Literal(TIME if ":" in node.text else DATE, node.value, span=node.span)

    def _quoted(self, node: syntax.Quoted, want: Unit | None) -> Term:
        if want is not None and want.kind is Kind.ENUM:
            near = nearest_name(node.value, want.values)
            refuse(
                "unknown-value",
                f"{shown(node.text)} is a text, but here stands {a_unit(want)}: write the word without quotation marks",
                node.span,
                near,
            )
        return Literal(TEXT, node.value, span=node.span)

    def _truth(self, node: syntax.Truth, _want: Unit | None) -> Term:
        return Literal(BOOL, node.value, span=node.span)

    # ---- names ---------------------------------------------------------------------------------

    def _name(self, node: syntax.Name, want: Unit | None) -> Term:
        if node.path in self.lets:
            return self.let(node, want)
        if "." in node.path:
            return self.path(node)
        if want is not None and want.kind is Kind.ENUM and node.path in want.values:
            return Literal(want, node.path, span=node.span)
        if node.path == self.subject:
            return Key(TEXT, node.path, span=node.span)
        return self.unknown_word(node, want)

    def let(self, node: syntax.Name, want: Unit | None) -> Term:
        """The value of a `let` name, checked where it is used."""
        if node.path in self.within:
            circle = [*self.within[self.within.index(node.path) :], node.path]
            refuse("let-cycle", f"`let` names are defined in a circle: {shown(' → '.join(circle))}", node.span)
        self.within += (node.path,)
        term = self.check(self.lets[node.path], want)
        self.within = self.within[:-1]
        self.used.setdefault(node.path, term)
        return term

    # ---- arithmetic ----------------------------------------------------------------------------

    def _prefix(self, node: syntax.Prefix, want: Unit | None) -> Term:
        operand = self.check(node.operand, want if node.op == "-" else None)
        if node.op == "not":
            be_condition(node.operand, operand)
            return Not(BOOL, operand, span=node.span)
        be_amount(node.operand, operand, "`-`")
        return Negate(operand.unit, operand, span=node.span)

    def _infix(self, node: syntax.Infix, _want: Unit | None) -> Term:
        if node.op in {"+", "-"}:
            return self.addition(node)
        if node.op in {"*", "/"}:
            return self.product(node)
        if node.op in {"in", "not in"}:
            return self.membership(node)
        return self.comparison(node)

    def addition(self, node: syntax.Infix) -> Term:
        """`a + b`, `a - b`."""
        left, right = self.check(node.left), self.check(node.right)
        unit = _moments(node.op, left.unit, right.unit)
        if unit is None:
            be_amount(node.left, left, f"`{node.op}`")
            be_amount(node.right, right, f"`{node.op}`")
            verb = "added" if node.op == "+" else "subtracted"
            unit = joined(node.left, left, node.right, right, verb)
        return Binary(unit, cast(Arithmetic, node.op), left, right, span=node.span)

    def product(self, node: syntax.Infix) -> Term:
        """`a * b`, `a / b`."""
        left, right = self.check(node.left), self.check(node.right)
        be_amount(node.left, left, f"`{node.op}`")
        be_amount(node.right, right, f"`{node.op}`")
        unit = _percentage(node.op, left, right) or _scaled(node.op, left.unit, right.unit)
        if unit is None:
            refuse(
                "wrong-type",
                "a duration can be multiplied or divided by a number, and divided by a duration, nothing else",
                node.right.span,
            )
        if node.op == "/" and isinstance(right, Literal) and right.value == 0:
            refuse("wrong-type", "this divides by zero", node.right.span)
        return Binary(unit, cast(Arithmetic, node.op), left, right, span=node.span)

    # ---- conditions ----------------------------------------------------------------------------

    def comparison(self, node: syntax.Infix) -> Term:
        """`a <= b` and its like."""
        left, right = self.pair(node.left, node.right)
        unit = joined(node.left, left, node.right, right, "compared")
        if unit.kind is Kind.SET:
            refuse("wrong-type", "sets are not compared: ask for members with `in`", node.span)
        if node.op not in {"==", "!="} and unit.kind not in _ORDERED:
            refuse(
                "wrong-type",
                f"{shown(node.left.text)} is {a_unit(unit)}, which has no order: use `==`, `!=` or `in`",
                node.span,
            )
        return Compare(BOOL, cast(Comparison, node.op), left, right, span=node.span)

    def pair(self, one: Syntax, other: Syntax, want: Unit | None = None) -> tuple[Term, Term]:
        """Two sides that must be of one type; a bare word takes its meaning from the other side."""
        if self.is_word(one) and not self.is_word(other):
            right = self.check(other, want)
            return self.check(one, right.unit), right
        left = self.check(one, want)
        return left, self.check(other, want or left.unit)

    def membership(self, node: syntax.Infix) -> Term:
        """`x in s`, `x not in s`."""
        item = self.check(node.left)
        if item.unit.kind not in {Kind.TEXT, Kind.ENUM, Kind.NUMBER}:
            refuse(
                "wrong-type",
                f"{shown(node.left.text)} is {a_unit(item.unit)}: `in` asks about a text, a number or an "
                "enumeration value",
                node.left.span,
            )
        container = self.check(node.right, item.unit)
        if container.unit.kind is not Kind.SET:
            refuse(
                "wrong-type",
                f"{shown(node.right.text)} is {a_unit(container.unit)}, not a set: write `{{a, b}}` or a "
                "list of the vocabulary",
                node.right.span,
            )
        found = In(BOOL, item, container, span=node.span)
        return Not(BOOL, found, span=node.span) if node.op == "not in" else found

    def _braces(self, node: syntax.Braces, want: Unit | None) -> Term:
        if not node.items:
            refuse("wrong-arguments", "an empty set contains nothing: name its members", node.span)
        if want is None:
            refuse("wrong-type", "a set stands only on the right of `in`", node.span)
        items = tuple(self.check(item, want) for item in node.items)
        for written, item in zip(node.items, items, strict=True):
            if not isinstance(item, Literal | Field | Negate):
                refuse("wrong-type", "members of a set are single values or names", written.span)
            if item.unit.joined(want) is None:
                refuse(
                    "unit-mismatch",
                    f"{shown(written.text)} is {a_unit(item.unit)}, but members of {a_unit(want)} are looked for",
                    written.span,
                )
        return SetOf(SET, items, span=node.span)

    def _chain(self, node: syntax.Chain, _want: Unit | None) -> Term:
        items = tuple(self.check(item) for item in node.items)
        for written, item in zip(node.items, items, strict=True):
            be_condition(written, item)
        kind = And if node.op == "and" else Or
        return kind(BOOL, items, span=node.span)

    def _choice(self, node: syntax.Choice, want: Unit | None) -> Term:
        condition = self.check(node.condition)
        be_condition(node.condition, condition)
        yes, no = self.pair(node.yes, node.no, want)
        unit = joined(node.yes, yes, node.no, no, "alternatives")
        return If(unit, condition, yes, no, span=node.span)

    # ---- functions -----------------------------------------------------------------------------

    def _call(self, node: syntax.Call, _want: Unit | None) -> Term:
        name = node.name.path
        if name not in _FUNCTIONS or (node.owner and (name not in AGGREGATES or not self.owns(node.owner))):
            refuse(
                "unknown-function",
                f"{shown(node.name.text)} is not a function; there are abs, min, max, sum, count, any and all, and "
                "`account.sum(…)` and its like for all of the account",
                node.name.span,
                nearest_name(name, _FUNCTIONS),
            )
        if name in {"min", "max"}:
            return self.extreme(node)
        if len(node.arguments) != 1:
            refuse(
                "wrong-arguments",
                f"`{name}` takes one value; here are {len(node.arguments)}",
                node.span,
            )
        if name == "abs":
            return self.absolute(node)
        return self.aggregate(node)

    def absolute(self, node: syntax.Call) -> Term:
        """`abs(x)`."""
        self.no_filter(node)
        operand = self.check(node.arguments[0])
        be_amount(node.arguments[0], operand, "`abs`")
        return Absolute(operand.unit, operand, span=node.span)

    def extreme(self, node: syntax.Call) -> Term:
        """`min(a, b)`, `max(a, b)`."""
        self.no_filter(node)
        which: OneOf["min", "max"] = "min" if node.name.path == "min" else "max"
        if len(node.arguments) < 2:
            refuse("wrong-arguments", f"`{which}` compares two or more values, separated by commas", node.span)
        items = [self.check(argument) for argument in node.arguments]
        unit = items[0].unit
        for written, item in zip(node.arguments, items, strict=True):
            be_amount(written, item, f"`{which}`")
            common = unit.joined(item.unit)
            if common is None:
                mismatch(node.arguments[0], items[0].unit, written, item.unit, "alternatives")
            unit = common
        return Extreme(unit, which, tuple(items), span=node.span)

    def no_filter(self, node: syntax.Call) -> None:
        """Refuse a `where` where it has no meaning."""
        if node.where is not None:
            refuse(
                "wrong-arguments",
                f"`{node.name.path}` takes no `where`; only sum, count, any and all do",
                node.where.span,
            )

    def aggregate(self, node: syntax.Call) -> Term:
        """`sum`, `count`, `any`, `all`."""
        kind = node.name.path
        body, where = node.arguments[0], node.where
        if kind == "count":
            collection = self.counted(body)
        else:
            collection = self.collection(node, [body, *([where] if where else [])])
        self.be_counted_whole(node, collection)
        outer, self.bound = self.bound, (collection, *self.bound)
        condition = self.check(where) if where else None
        if where is not None and condition is not None:
            be_condition(where, condition)
        inner = None if kind == "count" else self.check(body)
        self.bound = outer
        return self.aggregated(node, collection, inner, condition)

    def aggregated(self, node: syntax.Call, collection: str, body: Term | None, where: Term | None) -> Term:
        """The aggregate once its parts are checked."""
        if body is None:
            return Aggregate(COUNT, "count", collection, None, where, node.owner, span=node.span)
        if node.name.path == "sum":
            be_amount(node.arguments[0], body, "`sum`")
            return Aggregate(body.unit, "sum", collection, body, where, node.owner, span=node.span)
        be_condition(node.arguments[0], body)
        kind: OneOf["any", "all"] = "any" if node.name.path == "any" else "all"
        return Aggregate(BOOL, kind, collection, body, where, node.owner, span=node.span)


def _moments(op: str, left: Unit, right: Unit) -> Unit | None:
    """Timestamp - timestamp = duration, timestamp ± duration = timestamp; None for anything else."""
    if left.kind is not Kind.TIMESTAMP:
        return None
    if right.kind is Kind.DURATION:
        return TIMESTAMP
    return DURATION if right.kind is Kind.TIMESTAMP and op == "-" else None


def _percentage(op: str, left: Term, right: Term) -> Unit | None:
    """A percentage of a bare number is a bare number: `50% * 5_000` may be compared with shares."""
    number, other = (left, right) if left.unit.bare else (right, left)
    percent = isinstance(other, Literal) and other.unit == RATIO
    return BARE if op == "*" and percent and number.unit.bare else None


def _scaled(op: str, left: Unit, right: Unit) -> Unit | None:
    """Unit of a product or quotient; None where durations do not allow it."""
    durations = (left.kind is Kind.DURATION, right.kind is Kind.DURATION)
    if durations == (False, False):
        return left.times(right, 1 if op == "*" else -1)
    if durations == (True, True):
        return RATIO if op == "/" else None
    number = right if durations[0] else left
    if number.dimensions != (0, 0, 0) or (op == "/" and durations[1]):
        return None
    return DURATION
