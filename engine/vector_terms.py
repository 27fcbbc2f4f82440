"""Typed terms as steps over columns.

In: terms and what is bound around them. Out: steps for numbers (with their scale), conditions and texts. Guaranteed:
where a step's column is not missing it has the value of `evaluate.value`, as an integer over `scale` times the step
`den` where there is one (always above zero). What depends on one thing only and has no formula here is worked out by
the reference meaning for each thing (`Tables`). Refused: `NotVectorError` for sums, sets of an order's own facts, and
everything else that has no place here.
Before: `vector_code.py`, `vector_tables.py`. After: `vector_first.py`, `vector_second.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from math import lcm

from lexorder.engine.terms import (
    FILL_NAMES,
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
)
from lexorder.engine.units import Kind
from lexorder.engine.vector_code import Code, Level, NotVectorError
from lexorder.engine.vector_tables import ENTITY_LEVEL, KEY_LEVEL, NUMERIC, RATE, Tables

ROW_ENTITIES = ("order", "position", "working_order")
SAME_SYMBOL = ("instrument", "market", "position")


@dataclass(frozen=True, slots=True)
class Num:
    """A number: the step's integer over `scale`, and over the step `den` where it is not negative."""

    step: int
    scale: int = 1
    den: int = -1


@dataclass(frozen=True, slots=True)
class Around:
    """What is bound: entities from the account inwards, and the steps of what fills change (whole shares), by name."""

    kinds: tuple[str, ...]
    fills: Mapping[str, int] = field(default_factory=dict)

    def within(self, kind: str) -> Around:
        """The same with a member of a collection bound innermost."""
        return Around((*self.kinds, kind), self.fills)


@dataclass(slots=True)
class Terms:
    """Writes steps for terms into one code."""

    code: Code
    tables: Tables

    # ---- names -----------------------------------------------------------------------------------------

    def place(self, term: Field, around: Around) -> tuple[Level, str]:
        """Where a name is read, as `snapshot.find` would find it: its level and how it is read there."""
        entity = term.name.split(".", 1)[0]
        for kind in reversed(around.kinds):
            if term.via and kind != term.via:
                continue
            links = self.tables.vocabulary.entities[kind].links
            linked = entity in links or (entity == "market" and "instrument" in links)
            if kind == entity or {kind, entity} == {"instrument", "market"} or linked:
                return self._known(entity, term)
        if self.tables.vocabulary.entities[entity].single and entity != "fx":
            return Level.ONCE, "fact"
        raise NotVectorError(f"{term.name} is not found from here")

    def _known(self, entity: str, term: Field) -> tuple[Level, str]:
        if term.name in KEY_LEVEL:
            return KEY_LEVEL[term.name], "key"
        if term.name == RATE:
            if not self.tables.one_currency:
                raise NotVectorError("accounts count in several currencies")
            return Level.INSTRUMENT, "rate"
        if entity in ROW_ENTITIES:
            if self.tables.vocabulary.names[term.name].max_age is not None:
                raise NotVectorError(f"{term.name} ages")
            return Level.ROW, entity
        if entity in ENTITY_LEVEL:
            return ENTITY_LEVEL[entity], "fact"
        raise NotVectorError(f"{term.name} belongs to a {entity}")

    def _read(self, term: Field, around: Around) -> int:
        if term.name in self.tables.derived:
            raise NotVectorError(f"{term.name} is derived")
        level, how = self.place(term, around)
        return self.code.read(level, how) if how in ("key", "rate") else self.code.read(level, how, term.name)

    def worked(self, term: Term, around: Around, part: str) -> int:
        """The step that reads a term worked out by the reference meaning."""
        if any(isinstance(n, Aggregate) or (isinstance(n, Field) and n.name in FILL_NAMES) for n in term.walk()):
            raise NotVectorError("a sum, or what fills change, in a term that has no formula here")
        level = self.tables.level_of(term)
        if level is Level.TRADER and "trader" not in around.kinds:
            raise NotVectorError("a trader's fact behind a link")
        return self.code.read(level, "worked", term, around.kinds, part)

    # ---- numbers ---------------------------------------------------------------------------------------

    def number(self, term: Term, around: Around) -> Num:
        """A number. Raises NotVectorError."""
        if isinstance(term, Literal) and isinstance(term.value, Fraction):
            return Num(self.code.constant(term.value.numerator), term.value.denominator)
        try:
            return self._formula(term, around)
        except NotVectorError:
            top = self.worked(term, around, "numerator")
            return Num(top, 1, self.code.apply("positive", self.worked(term, around, "denominator")))

    def _formula(self, term: Term, around: Around) -> Num:
        match term:
            case Field():
                return self._amount(term, around)
            case Negate(operand=x):
                return self.negated(self.number(x, around))
            case Absolute(operand=x):
                inner = self.number(x, around)
                return Num(self.code.apply("abs", inner.step), inner.scale, inner.den)
            case Binary():
                return self._arithmetic(term, around)
            case Extreme(which=which, items=items):
                return reduce(lambda a, b: self.joined(which, a, b), [self.number(x, around) for x in items])
            case If(condition=condition, yes=yes, no=no):
                chosen = self.truth(condition, around)
                one, two, scale, den = self.aligned(self.number(yes, around), self.number(no, around))
                return Num(self.code.apply("if", chosen, one, two), scale, den)
            case Aggregate():
                return self.aggregate(term, around)
        raise NotVectorError(f"a {type(term).__name__.lower()} has no formula over columns")

    def aggregate(self, term: Aggregate, around: Around) -> Num:
        """A sum or count over the one order, or over the fills of one name; of others see `vector_second.py`."""
        if term.collection == "order" and term.kind in ("sum", "count"):
            inner = around.within("order")
            body = Num(self.code.constant(1)) if term.body is None else self.number(term.body, inner)
            counts = self.code.truth(True) if term.where is None else self.truth(term.where, inner)
            return Num(self.code.apply("if", counts, body.step, self.code.constant(0)), body.scale, body.den)
        names = {n.name.split(".")[0] for n in term.walk() if isinstance(n, Field)} - {"fill", "account"}
        single = all(self.tables.vocabulary.entities[entity].single for entity in names)
        if term.collection != "fill" or term.kind not in ("sum", "count") or term.owner or not single:
            raise NotVectorError(f"a sum over each {term.collection}")
        if len(around.kinds) < 2 or around.kinds[1] not in SAME_SYMBOL:
            raise NotVectorError("a sum over the fills of several names")
        return Num(self.code.read(Level.ROW, "fills", term, around.kinds[:2]))

    def _amount(self, term: Field, around: Around) -> Num:
        scale = int(10 ** self.tables.vocabulary.names[term.name].scale)
        if term.name in FILL_NAMES:
            if term.name not in around.fills:
                raise NotVectorError(f"{term.name} where it stands")
            return Num(around.fills[term.name])
        if term.unit.kind not in NUMERIC:
            raise NotVectorError(f"{term.name} is no number")
        return Num(self._read(term, around), scale)

    def _arithmetic(self, term: Binary, around: Around) -> Num:
        if term.unit.kind not in NUMERIC or term.left.unit.kind not in NUMERIC:
            raise NotVectorError("arithmetic of times")
        left, right = self.number(term.left, around), self.number(term.right, around)
        match term.op:
            case "+":
                return self.joined("+", left, right)
            case "-":
                return self.joined("-", left, right)
            case "*":
                return self.times(left, right)
        return self.over(left, right, term.right)

    def over(self, left: Num, right: Num, divisor: Term) -> Num:
        """A quotient; the divisor is a constant, or missing where it is not above zero."""
        if isinstance(divisor, Literal) and isinstance(divisor.value, Fraction):
            if divisor.value == 0:
                raise NotVectorError("division by zero")
            inverse = 1 / divisor.value
            return self.times(left, Num(self.code.constant(inverse.numerator), inverse.denominator))
        top = self.scaled(left.step, right.scale)
        if right.den >= 0:
            top = self.code.apply("*", top, right.den)
        below = self.code.apply("positive", right.step)
        return Num(top, left.scale, below if left.den < 0 else self.code.apply("*", left.den, below))

    def times(self, left: Num, right: Num) -> Num:
        """A product."""
        dens = [n.den for n in (left, right) if n.den >= 0]
        den = reduce(lambda a, b: self.code.apply("*", a, b), dens) if dens else -1
        return Num(self.code.apply("*", left.step, right.step), left.scale * right.scale, den)

    def negated(self, num: Num) -> Num:
        """Minus a number."""
        return Num(self.code.apply("negated", num.step), num.scale, num.den)

    def joined(self, operation: str, left: Num, right: Num) -> Num:
        """`+ - max min` of two numbers."""
        one, two, scale, den = self.aligned(left, right)
        return Num(self.code.apply(operation, one, two), scale, den)

    def aligned(self, left: Num, right: Num) -> tuple[int, int, int, int]:
        """Both steps at one scale and one divisor."""
        scale = lcm(left.scale, right.scale)
        one, two = self.scaled(left.step, scale // left.scale), self.scaled(right.step, scale // right.scale)
        if left.den == right.den:
            return one, two, scale, left.den
        if right.den >= 0:
            one = self.code.apply("*", one, right.den)
        if left.den >= 0:
            two = self.code.apply("*", two, left.den)
        dens = [d for d in (left.den, right.den) if d >= 0]
        return one, two, scale, dens[0] if len(dens) == 1 else self.code.apply("*", *dens)

    def scaled(self, step: int, factor: int) -> int:
        """A step times a constant."""
        return step if factor == 1 else self.code.apply("*", step, self.code.constant(factor))

    def at_scale(self, num: Num, scale: int) -> int:
        """The step of a number as an integer of `1/scale` units; missing where it is finer."""
        step = self.code.divided(self.scaled(num.step, scale), num.scale)
        return step if num.den < 0 else self.code.apply("evenly", step, num.den)

    # ---- conditions and texts --------------------------------------------------------------------------

    def truth(self, term: Term, around: Around) -> int:
        """A condition. Raises NotVectorError."""
        if isinstance(term, Literal):
            return self.code.truth(bool(term.value))
        try:
            return self._condition(term, around)
        except NotVectorError:
            return self.worked(term, around, "whole")

    def _condition(self, term: Term, around: Around) -> int:
        match term:
            case Not(operand=x):
                return self.code.apply("not", self.truth(x, around))
            case And(items=items) | Or(items=items):
                found = [self.truth(x, around) for x in items]
                word = "and" if isinstance(term, And) else "or"
                return reduce(lambda a, b: self.code.apply(word, a, b), found)
            case Compare():
                return self._comparison(term, around)
            case In(item=item, container=SetOf(items=items)) if item.unit.kind in (Kind.TEXT, Kind.ENUM):
                sought = self.word(item, around)
                each = [self.code.apply("same", sought, self.word(x, around)) for x in items]
                return reduce(lambda a, b: self.code.apply("or", a, b), each)
            case If(condition=condition, yes=yes, no=no):
                return self.code.apply("if", *(self.truth(x, around) for x in (condition, yes, no)))
            case Field() if term.unit.kind is Kind.BOOL:
                return self._read(term, around)
            case Aggregate(kind="any" | "all", collection="order", body=Term() as body):
                inner = around.within("order")
                counts = self.code.truth(True) if term.where is None else self.truth(term.where, inner)
                held = self.truth(body, inner)
                if term.kind == "any":
                    return self.code.apply("and", counts, held)
                return self.code.apply("or", self.code.apply("not", counts), held)
        raise NotVectorError(f"a {type(term).__name__.lower()} is no condition over columns")

    def _comparison(self, term: Compare, around: Around) -> int:
        kind = term.left.unit.kind
        if kind in NUMERIC:
            one, two, _, _ = self.aligned(self.number(term.left, around), self.number(term.right, around))
            return self.code.apply(term.op, one, two)
        if term.op in ("==", "!=") and kind in (Kind.TEXT, Kind.ENUM):
            left, right = self.word(term.left, around), self.word(term.right, around)
            return self.code.apply("same" if term.op == "==" else "different", left, right)
        raise NotVectorError(f"a comparison of {term.left.unit.describe()}")

    def word(self, term: Term, around: Around) -> int:
        """A text. Raises NotVectorError."""
        match term:
            case Literal(value=str(text)):
                return self.code.word(self.tables.word(text))
            case Field():
                return self._read(term, around)
            case If(condition=condition, yes=yes, no=no):
                chosen = self.truth(condition, around)
                return self.code.apply("if", chosen, self.word(yes, around), self.word(no, around))
            case Key(entity=entity):
                return self._key(entity)
        raise NotVectorError(f"a {type(term).__name__.lower()} is no text over columns")

    def _key(self, entity: str) -> int:
        level = ENTITY_LEVEL.get("instrument" if entity in SAME_SYMBOL else entity)
        groups = self.tables.vocabulary.entities[entity].groups
        if groups:
            return self.code.read(Level.INSTRUMENT, "fact", groups)
        if level is None:
            raise NotVectorError(f"the key of a {entity}")
        return self.code.read(level, "key")
