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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from lexorder.engine import syntax
from lexorder.engine.codes import nearest_name, refuse
from lexorder.engine.errors import shown
from lexorder.engine.names import Vocabulary
from lexorder.engine.parse import parse
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

NODES_MAX = 5_000
"""Nodes of one term, once definitions and `let` names are put in."""
DEPTH_MAX = 200
"""Levels of one term; keeps every later walk far from Python's recursion limit."""

_ORDERED = frozenset({Kind.NUMBER, Kind.DURATION, Kind.TIMESTAMP, Kind.DATE, Kind.TIME})
_FUNCTIONS = ("abs", "min", "max", "sum", "count", "any", "all")


def term_of(text: str, vocabulary: Vocabulary, for_each: str = "order") -> Term:
    """The term of one expression without `let` names; for tests and tools.

    Raises:
        RuleFileError: as `parse` and `Checker.term`.
    """
    return Checker(vocabulary, for_each).term(parse(text))


@dataclass
class Checker:
    """Checks the expressions of one rule (or one definition) as in force on one date.

    `subject` is the entity of `for_each`. `lets` are the values in force. `used` collects the `let` names met
    with the term each first became, for messages and for finding names never used.
    """

    vocabulary: Vocabulary
    subject: str
    lets: Mapping[str, Syntax] = field(default_factory=dict)
    used: dict[str, Term] = field(default_factory=dict)
    bound: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    nodes: int = 0
    depth: int = 0

    def term(self, node: Syntax, want: Unit | None = None) -> Term:
        """The term of an expression; `want` is the unit it must have, when known.

        Raises:
            RuleFileError: at the first thing that does not fit.
        """
        self.nodes = 0
        self.bound = (self.subject,)
        term = self.check(node, want)
        if want is not None:
            self.fitting(node, term, want)
        return term

    def condition(self, node: Syntax) -> Term:
        """The term of a condition.

        Raises:
            RuleFileError: also `wrong-type` when it is not true or false.
        """
        term = self.term(node)
        self.be_condition(node, term)
        return term

    # ---- dispatch ------------------------------------------------------------------------------

    def check(self, node: Syntax, want: Unit | None = None) -> Term:
        self.nodes += 1
        self.depth += 1
        if self.nodes > NODES_MAX or self.depth > DEPTH_MAX:
            refuse(
                "expression-too-large",
                f"with definitions and `let` names put in, the expression has more than {NODES_MAX:,} parts "
                f"or {DEPTH_MAX} levels: split the rule",
                node.span,
            )
        term = cast(Term, getattr(self, "_" + type(node).__name__.lower())(node, want))
        self.depth -= 1
        return term

    # ---- atoms ---------------------------------------------------------------------------------

    def _number(self, node: syntax.Number, want: Unit | None) -> Term:
        unit = RATIO if node.percent else replace(BARE, whole=node.value.denominator == 1)
        return Literal(unit, node.value, span=node.span)

    def _duration(self, node: syntax.Duration, want: Unit | None) -> Term:
        return Literal(DURATION, node.seconds, span=node.span)

    def _money(self, node: syntax.Money, want: Unit | None) -> Term:
        rate = self.field(f"fx.{node.currency}", "", node)
        return Binary(MONEY, "*", Literal(LOCAL_MONEY, node.amount, span=node.span), rate, span=node.span)

    def _moment(self, node: syntax.Moment, want: Unit | None) -> Term:
        return Literal(TIME if ":" in node.text else DATE, node.value, span=node.span)

    def _quoted(self, node: syntax.Quoted, want: Unit | None) -> Term:
        if want is not None and want.kind is Kind.ENUM:
            near = nearest_name(node.value, want.values)
            refuse(
                "unknown-value",
                f"{shown(node.text)} is a text, but here stands {want.describe()}: write the word without "
                "quotation marks",
                node.span,
                near,
            )
        return Literal(TEXT, node.value, span=node.span)

    def _truth(self, node: syntax.Truth, want: Unit | None) -> Term:
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
        self.unknown_word(node, want)

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

    def path(self, node: syntax.Name) -> Term:
        """A vocabulary name, with its definition put in."""
        found = self.vocabulary.resolve(node.path)
        if found is None:
            refuse(
                "unknown-name",
                f"{shown(node.path)} is not in the vocabulary",
                node.span,
                nearest_name(node.path, self.vocabulary.names),
            )
        entity = found.via or found.declared.entity
        self.be_reachable(node, entity)
        if found.declared.means is None:
            return self.field(found.declared.name, found.via, node)
        return self.placed(found.declared.means, found.via, node)

    def field(self, name: str, via: str, node: Syntax) -> Field:
        """A given or fill-dependent name; names there is one of need no path."""
        declared = self.vocabulary.name(name)
        if declared is None:
            refuse("unknown-name", f"{shown(name)} is not in the vocabulary", node.span)
        via = "" if self.vocabulary.everywhere(declared.entity) else via
        bounds = {"minimum": declared.minimum, "maximum": declared.maximum}
        return Field(declared.unit, name, via, **bounds, span=node.span)

    def placed(self, definition: Term, via: str, node: Syntax) -> Term:
        """A definition used at `node`: every part takes that position; a link followed first is put in front."""
        self.nodes += sum(1 for _ in definition.walk())
        if self.nodes > NODES_MAX:
            self.check(node)
        return self.moved(definition, via, node)

    def moved(self, term: Term, via: str, node: Syntax) -> Term:
        """A copy at the position of `node`; outside aggregates, names are read through `via` if there is one."""
        changes: dict[str, object] = {"span": node.span}
        inner = "" if isinstance(term, Aggregate) else via
        for name, value in _parts(term):
            changes[name] = (
                tuple(self.moved(part, inner, node) for part in value)
                if isinstance(value, tuple)
                else self.moved(value, inner, node)
            )
        if via and isinstance(term, Field) and not self.vocabulary.everywhere(term.name.split(".")[0]):
            changes["via"] = via
        return replace(term, **changes)  # type: ignore[arg-type]

    def be_reachable(self, node: Syntax, entity: str) -> None:
        """Refuse a name of an entity that nothing bound here leads to."""
        if self.vocabulary.everywhere(entity):
            return
        if any(entity in self.vocabulary.reachable(name) for name in self.bound):
            return
        declared = self.vocabulary.entities[entity]
        article = "an" if self.bound[0][0] in "aeiou" else "a"
        advice = (
            f"put it inside `sum`, `count`, `any` or `all`, or write `for_each: {entity}`"
            if declared.collection
            else f"write `for_each: {entity}`, or reach it from something that has one"
        )
        refuse(
            "no-subject",
            f"{shown(node.text)} belongs to `{entity}`, and the rule is for {article} `{self.bound[0]}`: {advice}",
            node.span,
        )

    def unknown_word(self, node: syntax.Name, want: Unit | None) -> None:
        """Refuse a bare word, saying what was possible here."""
        if want is not None and want.kind is Kind.ENUM:
            refuse(
                "unknown-value",
                f"{shown(node.path)} is not {want.describe()}",
                node.span,
                nearest_name(node.path, want.values),
            )
        if node.path in self.vocabulary.entities:
            refuse(
                "unknown-name",
                f"{shown(node.path)} alone is only the subject of a rule `for_each: {node.path}`: name one of "
                f"its fields, such as {self.some_field(node.path)}",
                node.span,
            )
        if want is not None and want.kind is Kind.TEXT:
            refuse("unknown-name", f'a text stands in quotation marks: write `"{node.path[:60]}"`', node.span)
        known = [*self.lets, self.subject, *self.vocabulary.names]
        by_length = sorted(self.vocabulary.names, key=len, reverse=True)
        last = {name.rpartition(".")[2]: name for name in by_length}
        refuse(
            "unknown-name",
            f"{shown(node.path)} is neither a `let` name of this rule nor in the vocabulary",
            node.span,
            last.get(node.path) or nearest_name(node.path, known),
        )

    def some_field(self, entity: str) -> str:
        names = self.vocabulary.of_entity(entity)
        return f"`{names[-1].name}`" if names else "one of its names"

    # ---- arithmetic ----------------------------------------------------------------------------

    def _prefix(self, node: syntax.Prefix, want: Unit | None) -> Term:
        operand = self.check(node.operand, want if node.op == "-" else None)
        if node.op == "not":
            self.be_condition(node.operand, operand)
            return Not(BOOL, operand, span=node.span)
        self.be_amount(node.operand, operand, "`-`")
        return Negate(operand.unit, operand, span=node.span)

    def _infix(self, node: syntax.Infix, want: Unit | None) -> Term:
        if node.op in {"+", "-"}:
            return self.addition(node)
        if node.op in {"*", "/"}:
            return self.product(node)
        if node.op in {"in", "not in"}:
            return self.membership(node)
        return self.comparison(node)

    def addition(self, node: syntax.Infix) -> Term:
        left, right = self.check(node.left), self.check(node.right)
        unit = _moments(node.op, left.unit, right.unit)
        if unit is None:
            self.be_amount(node.left, left, f"`{node.op}`")
            self.be_amount(node.right, right, f"`{node.op}`")
            verb = "added" if node.op == "+" else "subtracted"
            unit = self.joined(node.left, left, node.right, right, verb)
        return Binary(unit, cast(Arithmetic, node.op), left, right, span=node.span)

    def product(self, node: syntax.Infix) -> Term:
        left, right = self.check(node.left), self.check(node.right)
        self.be_amount(node.left, left, f"`{node.op}`")
        self.be_amount(node.right, right, f"`{node.op}`")
        unit = _scaled(node.op, left.unit, right.unit)
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
        left, right = self.pair(node.left, node.right)
        unit = self.joined(node.left, left, node.right, right, "compared")
        if unit.kind is Kind.SET:
            refuse("wrong-type", "sets are not compared: ask for members with `in`", node.span)
        if node.op not in {"==", "!="} and unit.kind not in _ORDERED:
            refuse(
                "wrong-type",
                f"{shown(node.left.text)} is {unit.describe()}, which has no order: use `==`, `!=` or `in`",
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

    def is_word(self, node: Syntax) -> bool:
        """Whether only the other side of a comparison can tell what the node means."""
        if isinstance(node, syntax.Choice):
            return self.is_word(node.yes) and self.is_word(node.no)
        if not isinstance(node, syntax.Name) or "." in node.path or node.path == self.subject:
            return False
        if node.path in self.lets and node.path not in self.within:
            self.within += (node.path,)
            word = self.is_word(self.lets[node.path])
            self.within = self.within[:-1]
            return word
        return node.path not in self.lets

    def membership(self, node: syntax.Infix) -> Term:
        item = self.check(node.left)
        if item.unit.kind not in {Kind.TEXT, Kind.ENUM, Kind.NUMBER}:
            refuse(
                "wrong-type",
                f"{shown(node.left.text)} is {item.unit.describe()}: `in` asks about a text, a number or an "
                "enumeration value",
                node.left.span,
            )
        container = self.check(node.right, item.unit)
        if container.unit.kind is not Kind.SET:
            refuse(
                "wrong-type",
                f"{shown(node.right.text)} is {container.unit.describe()}, not a set: write `{{a, b}}` or a "
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
                    f"{shown(written.text)} is {item.unit.describe()}, but members of {want.describe()} are looked for",
                    written.span,
                )
        return SetOf(SET, items, span=node.span)

    def _chain(self, node: syntax.Chain, want: Unit | None) -> Term:
        items = tuple(self.check(item) for item in node.items)
        for written, item in zip(node.items, items, strict=True):
            self.be_condition(written, item)
        kind = And if node.op == "and" else Or
        return kind(BOOL, items, span=node.span)

    def _choice(self, node: syntax.Choice, want: Unit | None) -> Term:
        condition = self.check(node.condition)
        self.be_condition(node.condition, condition)
        yes, no = self.pair(node.yes, node.no, want)
        unit = self.joined(node.yes, yes, node.no, no, "alternatives")
        return If(unit, condition, yes, no, span=node.span)

    # ---- functions -----------------------------------------------------------------------------

    def _call(self, node: syntax.Call, want: Unit | None) -> Term:
        name = node.name.path
        if name not in _FUNCTIONS:
            refuse(
                "unknown-function",
                f"{shown(name)} is not a function; there are abs, min, max, sum, count, any and all",
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
        self.no_filter(node)
        operand = self.check(node.arguments[0])
        self.be_amount(node.arguments[0], operand, "`abs`")
        return Absolute(operand.unit, operand, span=node.span)

    def extreme(self, node: syntax.Call) -> Term:
        self.no_filter(node)
        which = "min" if node.name.path == "min" else "max"
        if len(node.arguments) < 2:
            refuse("wrong-arguments", f"`{which}` compares two or more values, separated by commas", node.span)
        items = [self.check(argument) for argument in node.arguments]
        unit = items[0].unit
        for written, item in zip(node.arguments, items, strict=True):
            self.be_amount(written, item, f"`{which}`")
            joined = unit.joined(item.unit)
            if joined is None:
                self.mismatch(node.arguments[0], items[0].unit, written, item.unit, "alternatives")
            unit = joined
        return Extreme(unit, which, tuple(items), span=node.span)  # type: ignore[arg-type]

    def no_filter(self, node: syntax.Call) -> None:
        if node.where is not None:
            refuse(
                "wrong-arguments",
                f"`{node.name.path}` takes no `where`; only sum, count, any and all do",
                node.where.span,
            )

    def aggregate(self, node: syntax.Call) -> Term:
        kind = node.name.path
        body, where = node.arguments[0], node.where
        if kind == "count":
            collection = self.counted(body)
        else:
            collection = self.collection(node, [body, *([where] if where else [])])
        outer, self.bound = self.bound, (collection, *self.bound)
        condition = self.check(where) if where else None
        if where is not None and condition is not None:
            self.be_condition(where, condition)
        inner = None if kind == "count" else self.check(body)
        self.bound = outer
        return self.aggregated(node, collection, inner, condition)

    def aggregated(self, node: syntax.Call, collection: str, body: Term | None, where: Term | None) -> Term:
        if body is None:
            return Aggregate(COUNT, "count", collection, None, where, span=node.span)
        if node.name.path == "sum":
            self.be_amount(node.arguments[0], body, "`sum`")
            return Aggregate(body.unit, "sum", collection, body, where, span=node.span)
        self.be_condition(node.arguments[0], body)
        kind = "any" if node.name.path == "any" else "all"
        return Aggregate(BOOL, kind, collection, body, where, span=node.span)  # type: ignore[arg-type]

    def counted(self, body: Syntax) -> str:
        known = self.vocabulary.collections()
        if isinstance(body, syntax.Name) and body.path in known:
            return body.path
        refuse(
            "no-collection",
            f"`count` counts members of a collection: write `count({known[0] if known else 'position'} where …)`",
            body.span,
            nearest_name(body.path, known) if isinstance(body, syntax.Name) else "",
        )

    def collection(self, node: syntax.Call, parts: list[Syntax]) -> str:
        """The one collection that the names inside an aggregate belong to."""
        known = self.vocabulary.collections()
        named = list(dict.fromkeys(h for part in parts for h in self.heads(part) if h in known))
        free = [name for name in named if name not in self.bound] if len(named) > 1 else named
        if len(free) == 1:
            return free[0]
        kind = node.name.path
        if not named:
            refuse(
                "no-collection",
                f"`{kind}` must say what it runs over: use a name of {_either(known)} inside it",
                node.span,
            )
        refuse(
            "no-collection",
            f"`{kind}` runs over one collection, but names of {' and '.join(f'`{n}`' for n in named)} stand "
            "inside it: use names of one of them only",
            node.span,
        )

    def heads(self, node: Syntax) -> Iterator[str]:
        """The entities that names in a part start with; inner aggregates have their own collection."""
        if isinstance(node, syntax.Name) and "." in node.path:
            yield node.path.split(".")[0]
        elif isinstance(node, syntax.Name) and node.path in self.lets and node.path not in self.within:
            self.within += (node.path,)
            yield from tuple(self.heads(self.lets[node.path]))
            self.within = self.within[:-1]
        elif isinstance(node, syntax.Call) and node.name.path in {"sum", "count", "any", "all"}:
            return
        else:
            for child in node.children():
                yield from self.heads(child)

    # ---- what must hold ------------------------------------------------------------------------

    def be_condition(self, node: Syntax, term: Term) -> None:
        if term.unit.kind is not Kind.BOOL:
            refuse(
                "wrong-type",
                f"{shown(node.text)} is {term.unit.describe()}; a condition that is true or false is needed, "
                "such as a comparison",
                node.span,
            )

    def be_amount(self, node: Syntax, term: Term, user: str) -> None:
        if term.unit.kind not in {Kind.NUMBER, Kind.DURATION}:
            refuse(
                "wrong-type",
                f"{user} needs a number, but {shown(node.text)} is {term.unit.describe()}",
                node.span,
            )

    def fitting(self, node: Syntax, term: Term, want: Unit) -> None:
        """Refuse a term whose unit is not the wanted one."""
        if term.unit.joined(want) is None:
            refuse(
                "unit-mismatch",
                f"{shown(node.text)} is {term.unit.describe()}, but {want.describe()} is needed",
                node.span,
            )

    def joined(self, one: Syntax, left: Term, other: Syntax, right: Term, use: str) -> Unit:
        unit = left.unit.joined(right.unit)
        if unit is None:
            self.mismatch(one, left.unit, other, right.unit, use)
        return unit

    def mismatch(self, one: Syntax, left: Unit, other: Syntax, right: Unit, use: str) -> None:
        refuse(
            "unit-mismatch",
            f"{shown(one.text)} is {left.describe()} but {shown(other.text)} is {right.describe()}: "
            f"{_USES[use]}{_advice(left, right)}",
            other.span,
        )


_USES = {
    "added": "only equal units can be added",
    "subtracted": "only equal units can be subtracted",
    "compared": "only equal units can be compared",
    "alternatives": "alternatives must have equal units",
}


def _advice(left: Unit, right: Unit) -> str:
    """How two common confusions are mended."""
    names = {left.describe(), right.describe()}
    if names == {"money", "shares"}:
        return "; shares become money times a price and an exchange rate, as in `order.notional`"
    if names == {"money", "ratio"}:
        return "; a percentage of an amount is written `5% * account.nav`"
    if names == {"money", "local money"}:
        return "; local money becomes money times `instrument.fx`"
    if Kind.DURATION in {left.kind, right.kind} and Kind.NUMBER in {left.kind, right.kind}:
        return "; a duration is written with its unit, `15 min`"
    return ""


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _moments(op: str, left: Unit, right: Unit) -> Unit | None:
    """timestamp − timestamp = duration, timestamp ± duration = timestamp; None for anything else."""
    if left.kind is not Kind.TIMESTAMP:
        return None
    if right.kind is Kind.DURATION:
        return TIMESTAMP
    return DURATION if right.kind is Kind.TIMESTAMP and op == "-" else None


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


def _parts(term: Term) -> Iterator[tuple[str, Term | tuple[Term, ...]]]:
    for name in term.__dataclass_fields__:
        value = getattr(term, name)
        if isinstance(value, Term) or (isinstance(value, tuple) and value):
            yield name, value


def tied(term: Term, entity: str, vocabulary: Vocabulary) -> Term:
    """A definition made safe to use anywhere: links it follows start at `entity`, not at whatever is bound.

    `order.notional` reads `instrument.fx`; inside a sum over positions that must stay the order's instrument.
    """
    if isinstance(term, Field):
        owner = vocabulary.name(term.name)
        free = not term.via and owner is not None and owner.entity != entity
        if free and owner and not vocabulary.everywhere(owner.entity) and owner.entity in vocabulary.reachable(entity):
            return replace(term, via=entity)
        return term
    changes: dict[str, object] = {}
    inner = term.collection if isinstance(term, Aggregate) else entity
    for name, value in _parts(term):
        changes[name] = (
            tuple(tied(part, inner, vocabulary) for part in value)
            if isinstance(value, tuple)
            else tied(value, inner, vocabulary)
        )
    return replace(term, **changes) if changes else term  # type: ignore[arg-type]
