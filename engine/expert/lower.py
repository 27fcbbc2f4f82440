"""From typed terms to integer formulas over an order's slots and prepared leaves.

In: one part of a requirement, for one side of the order. Out: `Lowered`: when the part is broken, when that breach
is only an old one, and which leaves (exact values of what does not depend on the order) the formulas read. Guaranteed:
both formulas mean what `judge.py` says of a single order, in every fill state. Refused: `NotLoweredError` with the
reason for the author's report; the exact evaluator's verdict stands in then.

How numbers become integers: a leaf is its exact value times the leaves' common denominator `?d`; an order's slot is
scaled as the vocabulary declares; literals are cleared of their denominators. `Scaled` keeps track of both factors.
How fill states are covered: for a linear part the worst state is the old orders' worst (a leaf) plus the new order's
slope times its quantity where that is positive. For a convex part that is a sum over names it is the other names' worst
(a leaf) plus the greater value at the two ends of what the ordered name can reach. Before: `formula.py`,
`classify.py`. After: `emit.py`, `leaves.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Literal as OneOf

from lexorder.engine.classify import classify, separable
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.atoms import Atom, Frame, NotLoweredError, Times, atoms_of, is_static, times_term
from lexorder.engine.expert.formula import Number, Truth
from lexorder.engine.expert.lowered import DENOMINATOR, POWER_MAX, Leaf, Lowered, Scaled, variable_of
from lexorder.engine.judge import is_measured
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule, TermClass
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
    Literal,
    Negate,
    Not,
    Or,
    SetOf,
    Term,
    conjuncts,
    depends_on_fills,
)
from lexorder.engine.units import Kind

_NUMERIC = (Kind.NUMBER, Kind.DURATION)

Scales = Mapping[Leaf, int]
"""The scale of each number leaf; what is not listed is whole."""


def lower(rule: Rule, part: Term, side: str, vocabulary: Vocabulary, scales: Scales | None = None) -> Lowered:
    """One part of a rule's requirement for orders of one side. Raises NotLoweredError with the reason.

    With `scales` each number leaf is an integer of its own scale, written into the formulas, and there is no `?d`.
    """
    return Lowering(rule, side, vocabulary, scales=scales).lowered(part)


def parts_of(rule: Rule) -> tuple[Term, ...]:
    """The parts that are judged separately. Raises NotLoweredError when the guard depends on fills."""
    if rule.require is None:
        raise NotLoweredError("it requires nothing")
    if rule.when is not None and depends_on_fills(rule.when):
        raise NotLoweredError("its condition depends on fills")
    return conjuncts(rule.require)


@dataclass(slots=True)
class Lowering:
    """Lowers one part for orders of one side; one use. `chain.py` derives from it."""

    rule: Rule
    side: str
    vocabulary: Vocabulary
    leaves: dict[Leaf, int] = field(default_factory=dict)
    slots: dict[str, None] = field(default_factory=dict)
    after: Number | None = None
    filled: int | None = None
    scales: Scales | None = None

    # ---- the whole part ------------------------------------------------------------------------

    def lowered(self, part: Term) -> Lowered:
        """The part's formulas."""
        guard = f.YES if self.rule.when is None else self.truth(self.rule.when, "subject")
        if not depends_on_fills(part):
            broken: Truth = f.no(self.truth(part, "subject"))
            passive: Truth = f.Known(self.rule.may_improve and is_measured(part))
        else:
            broken, passive = self.filling(part)
        return Lowered(f.both(guard, broken), passive, tuple(self.leaves), tuple(self.slots))

    def filling(self, part: Term) -> tuple[Truth, Truth]:
        """A part that depends on fills: what can move on the left, what cannot on the right."""
        if not isinstance(part, Compare) or not is_measured(part):
            raise NotLoweredError("a part that depends on fills is no comparison of amounts")
        kind = classify(part).term_class
        atoms = atoms_of(part)
        moving = tuple(a for a in atoms if a.kind != "static")
        if kind is TermClass.LINEAR:
            before, worst = self.linear(moving)
        elif kind is TermClass.CONVEX and separable(part):
            before, worst = self.convex(moving)
        else:
            raise NotLoweredError("its worst state is at no corner that one order moves by itself")
        limit = self.total([self.limit(a) for a in atoms if a.kind == "static"])
        op: OneOf[">", ">="] = ">=" if part.op in ("<", ">") else ">"
        broken = self.compare(op, worst, limit)
        if not self.rule.may_improve:
            return broken, f.NO
        was = self.compare(op, before, limit)
        return broken, f.both(was, self.compare("<=", worst, before), f.no(self.flips(part)))

    def limit(self, atom: Atom) -> Scaled:
        """A static summand of the excess, brought to the other side."""
        return self.number(atom.term, atom.times.scaled(Fraction(-1)), "subject")

    def linear(self, moving: tuple[Atom, ...]) -> tuple[Scaled, Scaled]:
        """The greatest sum of what moves by old orders, and with the new one."""
        before = self.leaf(Leaf("number", "old", atoms=moving))
        held = tuple(a for a in moving if a.kind in ("position", "direct"))
        slopes = [self.traded(a) for a in moving if a.kind == "order"]
        if held:
            sign = 1 if self.side == "buy" else -1
            slopes.append(self.multiplied(self.leaf(Leaf("number", "slope", atoms=held)), Times(Fraction(sign))))
        step = self.product(self.slot("order.quantity"), self.total(slopes))
        return before, self.sum(before, Scaled(f.most(f.Int(0), step.node), step.d, step.k))

    def traded(self, atom: Atom) -> Scaled:
        """What one filled share of the new order adds to an atom over orders: its value at one less that at none."""
        at = []
        for filled in (1, 0):
            self.filled = filled
            at.append(self.number(atom.term, atom.times, "subject"))
        self.filled = None
        return self.sum(at[0], self.multiplied(at[1], Times(Fraction(-1))))

    def convex(self, moving: tuple[Atom, ...]) -> tuple[Scaled, Scaled]:
        """The same for a sum over names of convex functions of what is held.

        An order moves one end of what its name can reach; the value at the other end is a leaf.
        """
        if any(a.kind not in ("position", "direct") for a in moving):
            return self.mixed(moving)
        rest = self.leaf(Leaf("number", "others", atoms=moving))
        quantity = self.slot("order.quantity")
        bought = self.side == "buy"
        moved = self.raw("high" if bought else "low")
        if quantity.k != 1:
            moved = f.times(moved, f.Int(quantity.k))
        end = f.plus(moved, quantity.node) if bought else f.Apply("-", (moved, quantity.node))
        kept = self.leaf(Leaf("number", "at-low" if bought else "at-high", atoms=moving))
        was = self.leaf(Leaf("number", "at-high" if bought else "at-low", atoms=moving))
        before = self.sum(rest, self.greater([kept, was]))
        return before, self.sum(rest, self.greater([kept, self.held_at(moving, end, quantity.k)]))

    def mixed(self, moving: tuple[Atom, ...]) -> tuple[Scaled, Scaled]:
        """The same where fills move cash beside holdings, as in a margin requirement.

        The ordered name is what it is now (`still`, known only while it has no working orders) or bought or sold whole.
        """
        rest, still = (self.leaf(Leaf("number", what, atoms=moving)) for what in ("others-mixed", "still"))
        quantity = self.slot("order.quantity")
        held = f.times(self.raw("held"), f.Int(quantity.k))
        after = f.plus(held, quantity.node) if self.side == "buy" else f.Apply("-", (held, quantity.node))
        holdings = tuple(a for a in moving if a.kind in ("position", "direct"))
        traded = self.total([self.traded(a) for a in moving if a.kind == "order"])
        whole = self.sum(self.held_at(holdings, after, quantity.k), self.product(quantity, traded))
        return self.sum(rest, still), self.sum(rest, self.greater([still, whole]))

    def held_at(self, atoms: tuple[Atom, ...], after: Number, scale: int) -> Scaled:
        """What the ordered name contributes when this much of it is held."""
        found = []
        for atom in atoms:
            self.after, self.scale = after, scale
            if atom.kind == "direct":
                found.append(self.number(atom.term, atom.times, "subject"))
                continue
            assert isinstance(atom.term, Aggregate)
            assert atom.term.body is not None
            inside = self.number(atom.term.body, atom.times, "position")
            if atom.term.where is not None:
                counted = self.variable(Leaf("raw", "counted", atom.term.where, "position"))
                inside = replace(inside, node=f.times(counted, inside.node))
            found.append(inside)
        self.after = None
        return self.total(found)

    scale: int = 1

    def flips(self, part: Term) -> Truth:
        """Whether an order of this side can take the ordered name through zero."""
        if not any(isinstance(n, Field) and n.name == "position.after.quantity" for n in part.walk()):
            return f.NO
        held, quantity = self.raw("held"), self.slot("order.quantity")
        low, high = (f.times(self.raw(end), f.Int(quantity.k)) for end in ("low", "high"))
        if self.side == "buy":
            high = f.plus(high, quantity.node)
        else:
            low = f.Apply("-", (low, quantity.node))
        zero = f.Int(0)
        return f.either(
            f.both(f.test(">", held, zero), f.test("<", low, zero)),
            f.both(f.test("<", held, zero), f.test(">", high, zero)),
        )

    def fixed(self, term: Term) -> bool:
        """Whether a term's value can be prepared."""
        return is_static(term)

    # ---- leaves and slots ----------------------------------------------------------------------

    def variable(self, leaf: Leaf) -> f.Var:
        """The variable of a leaf, the same for equal leaves."""
        return f.Var(f"k{self.leaves.setdefault(leaf, len(self.leaves))}")

    def leaf(self, leaf: Leaf) -> Scaled:
        """A leaf as a number times the denominator, or times its own scale."""
        if self.scales is not None:
            return Scaled(self.variable(leaf), 0, self.scales.get(leaf, 1))
        return Scaled(self.variable(leaf), 1)

    def raw(self, what: OneOf["low", "high", "held"]) -> Number:
        """An integer leaf of the ordered name."""
        return self.variable(Leaf("raw", what))

    def slot(self, name: str) -> Scaled:
        """A number of the order. Raises NotLoweredError when it has no bounds."""
        declared = self.vocabulary.names[name]
        if declared.minimum is None or declared.maximum is None:
            raise NotLoweredError(f"`{name}` has no declared bounds")
        self.slots[name] = None
        return Scaled(f.Var(variable_of(name)), 0, 10**declared.scale)

    def word(self, name: str, word: str) -> Truth:
        """Whether a word of the order is this one; the side is known."""
        if name == "order.side":
            return f.Known(word == self.side)
        self.slots[name] = None
        return f.Same(variable_of(name), word)

    # ---- arithmetic of scaled numbers ------------------------------------------------------------

    def constant(self, value: Fraction) -> Scaled:
        """A literal."""
        return Scaled(f.Int(value.numerator), 0, value.denominator)

    def sum(self, left: Scaled, right: Scaled) -> Scaled:
        """Both together."""
        one, two, d, k = self.aligned(left, right)
        return Scaled(f.plus(one, two), d, k)

    def total(self, items: list[Scaled]) -> Scaled:
        """All together."""
        return reduce(self.sum, items, Scaled(f.Int(0)))

    def greater(self, items: list[Scaled]) -> Scaled:
        """The greater of two."""
        one, two, d, k = self.aligned(items[0], items[1])
        return Scaled(f.most(one, two), d, k)

    def product(self, left: Scaled, right: Scaled) -> Scaled:
        """Both multiplied; only one may carry the denominator."""
        if left.d + right.d > POWER_MAX:
            raise NotLoweredError("it multiplies too many amounts that each need the common denominator")
        return Scaled(f.times(left.node, right.node), left.d + right.d, left.k * right.k)

    def multiplied(self, item: Scaled, by: Times) -> Scaled:
        """A number times a factor."""
        found = replace(item, node=f.times(f.Int(by.ratio.numerator), item.node), k=item.k * by.ratio.denominator)
        return found if by.term is None else self.product(found, self.leaf(Leaf("number", "term", by.term, by.frame)))

    def aligned(self, left: Scaled, right: Scaled) -> tuple[Number, Number, int, int]:
        """Both at one scale."""
        d, k = max(left.d, right.d), lcm(left.k, right.k)
        return self.lifted(left, d, k), self.lifted(right, d, k), d, k

    def lifted(self, item: Scaled, d: int, k: int) -> Number:
        """One number at a larger scale."""
        node = f.times(f.Int(k // item.k), item.node)
        for _ in range(d - item.d if node != f.Int(0) else 0):
            node = f.times(f.Var(DENOMINATOR), node)
        return node

    def compare(self, op: OneOf["=", "<>", "<", "<=", ">", ">="], left: Scaled, right: Scaled) -> Truth:
        """A comparison at one scale."""
        one, two, _, _ = self.aligned(left, right)
        return f.test(op, one, two)

    # ---- numbers -------------------------------------------------------------------------------

    def number(self, term: Term, by: Times, frame: Frame) -> Scaled:
        """`term` times `by`, read in `frame`."""
        match term:
            case Literal(value=Fraction() as value):
                return self.multiplied(self.constant(value), by)
            case Negate(operand=x):
                return self.number(x, by.scaled(Fraction(-1)), frame)
            case Binary(op="+" | "-" as op, left=left, right=right) if left.unit.kind in _NUMERIC:
                # an instant less an instant is a duration, but an instant by itself is no number: it stays one leaf
                sign = Fraction(1 if op == "+" else -1)
                return self.sum(self.number(left, by, frame), self.number(right, by.scaled(sign), frame))
            case Binary(op="*", left=left, right=right):
                return self.times(left, right, by, frame)
        if self.fixed(term):
            inside = times_term(term, by, frame)
            return self.multiplied(self.leaf(Leaf("number", "term", inside, frame)), Times(by.ratio))
        return self.moving(term, by, frame)

    def moving(self, term: Term, by: Times, frame: Frame) -> Scaled:
        """The same for a term that the order changes and that is neither sum nor product."""
        match term:
            case Field():
                return self.field(term, by)
            case Binary(op="/", left=left, right=right):
                return self.number(left, by.over(right, frame), frame)
            case Absolute():
                return self.absolute(term, by, frame)
            case Extreme():
                return self.extreme(term, by, frame)
            case If(condition=condition, yes=yes, no=other):
                return self.choice(self.truth(condition, frame), yes, other, by, frame)
            case Aggregate():
                return self.aggregate(term, by)
        raise NotLoweredError(f"`{type(term).__name__.lower()}` of an order's amounts")

    def choice(self, chosen: Truth, yes: Term, other: Term, by: Times, frame: Frame) -> Scaled:
        """One branch alone where the side of the order decides: the other's leaves may well be missing."""
        if isinstance(chosen, f.Known):
            return self.number(yes if chosen.value else other, by, frame)
        one, two, d, k = self.aligned(self.number(yes, by, frame), self.number(other, by, frame))
        return Scaled(f.pick(chosen, one, two), d, k)

    def times(self, left: Term, right: Term, by: Times, frame: Frame) -> Scaled:
        """A product times a factor."""
        for factor, rest in ((left, right), (right, left)):
            if self.fixed(factor):
                return self.number(rest, by.and_term(factor, frame), frame)
        # What multiplies both goes to the side that has leaves already: two would need the denominator twice.
        if any(self.fixed(t) and not isinstance(t, Literal) for t in left.walk()):
            left, right = right, left
        return self.product(self.number(left, Times(), frame), self.number(right, by, frame))

    def field(self, term: Field, by: Times) -> Scaled:
        """A name whose value the order or its fills change."""
        if term.name == "position.after.quantity" and self.after is not None:
            return self.multiplied(Scaled(self.after, 0, self.scale), by)
        if term.name == "order.filled" and self.filled is not None:
            return self.multiplied(self.constant(Fraction(self.filled)), by)
        if term.name.startswith("order.") and term.unit.kind is Kind.NUMBER and not depends_on_fills(term):
            return self.multiplied(self.slot(term.name), by)
        raise NotLoweredError(f"`{term.name}` where it stands")

    def absolute(self, term: Absolute, by: Times, frame: Frame) -> Scaled:
        """A size times a factor."""
        inner = self.number(term.operand, by.magnitude(), frame)
        return self.multiplied(replace(inner, node=f.Apply("abs", (inner.node,))), by.sign())

    def extreme(self, term: Extreme, by: Times, frame: Frame) -> Scaled:
        """A least or greatest times a factor."""
        items = [self.number(x, by.magnitude(), frame) for x in term.items]
        d, k = max(i.d for i in items), lcm(*(i.k for i in items))
        node = f.Apply(term.which, tuple(self.lifted(i, d, k) for i in items))
        return self.multiplied(Scaled(node, d, k), by.sign())

    def aggregate(self, term: Aggregate, by: Times) -> Scaled:
        """An aggregate over orders: there is one order, and it belongs to the subject (`leaves.py` sees to that)."""
        if term.collection != "order" or term.kind not in ("sum", "count"):
            raise NotLoweredError(f"an aggregate over `{term.collection}` that the order changes")
        counted = f.YES if term.where is None else self.truth(term.where, "order")
        if counted == f.NO:
            return self.constant(Fraction(0))
        body = self.multiplied(self.constant(Fraction(1)), by)
        if term.body is not None:
            body = self.number(term.body, by, "order")
        return replace(body, node=f.pick(counted, body.node, f.Int(0)))

    # ---- truths --------------------------------------------------------------------------------

    def truth(self, term: Term, frame: Frame) -> Truth:
        """A condition read in `frame`."""
        match term:
            case Literal(value=bool(value)):
                return f.Known(value)
            case Not(operand=x):
                return f.no(self.truth(x, frame))
            case And(items=items) | Or(items=items):
                return self.junction(items, isinstance(term, Or), frame)
            case Compare():
                return self.comparison(term, frame)
            case In(item=item, container=SetOf(items=items)):
                return f.either(*(self.equal(item, x, frame) for x in items))
        if self.fixed(term):
            return self.flag(term, frame)
        return self.told(term, frame)

    def junction(self, items: tuple[Term, ...], decisive: bool, frame: Frame) -> Truth:
        """`and` or `or`: once a part decides it for this side, the rest is not looked at."""
        found: list[Truth] = []
        for item in items:
            found.append(self.truth(item, frame))
            if found[-1] == f.Known(decisive):
                break
        return f.either(*found) if decisive else f.both(*found)

    def told(self, term: Term, frame: Frame) -> Truth:
        """A condition on the order's own facts that is no comparison."""
        match term:
            case Field():
                return self.word(term.name, "TRUE")
            case If(condition=condition, yes=yes, no=other):
                chosen = self.truth(condition, frame)
                return f.either(f.both(chosen, self.truth(yes, frame)), f.both(f.no(chosen), self.truth(other, frame)))
            case Aggregate(kind="any" | "all" as kind, collection="order", body=Term() as body, where=where):
                counted = f.YES if where is None else self.truth(where, "order")
                held = self.truth(body, "order")
                return f.both(counted, held) if kind == "any" else f.either(f.no(counted), held)
        raise NotLoweredError(f"`{type(term).__name__.lower()}` of an order's facts")

    def comparison(self, term: Compare, frame: Frame) -> Truth:
        """A comparison of any kind."""
        if term.left.unit.kind in _NUMERIC:
            return self.compare(
                _CLIPS[term.op], self.number(term.left, Times(), frame), self.number(term.right, Times(), frame)
            )
        if term.op in ("==", "!="):
            same = self.equal(term.left, term.right, frame)
            return same if term.op == "==" else f.no(same)
        return self.flag(term, frame)

    def equal(self, left: Term, right: Term, frame: Frame) -> Truth:
        """Equality of an enumeration with one of its values; of anything else where no order slot is in it."""
        if left.unit.kind is Kind.NUMBER:
            return self.compare("=", self.number(left, Times(), frame), self.number(right, Times(), frame))
        for one, other in ((left, right), (right, left)):
            if isinstance(other, Literal) and isinstance(other.value, str) and one.unit.kind is Kind.ENUM:
                return self.enumerated(one, other.value, frame)
        return self.flag(Compare(left.unit, "==", left, right), frame)

    def enumerated(self, term: Term, word: str, frame: Frame) -> Truth:
        """Whether an enumeration has this value."""
        if isinstance(term, Field) and not self.fixed(term):
            return self.word(term.name, word)
        if not self.fixed(term) or not _is_word(word):
            raise NotLoweredError("an enumeration worked out from the order")
        return f.Same(self.variable(Leaf("word", "term", term, frame)).name, word)

    def flag(self, term: Term, frame: Frame) -> Truth:
        """A condition prepared as a whole."""
        if not self.fixed(term):
            raise NotLoweredError(f"a comparison of {term.unit.describe()} of the order")
        return f.Same(self.variable(Leaf("flag", "term", term, frame)).name, "TRUE")


def _is_word(word: str) -> bool:
    return word.isascii() and word.replace("_", "").replace("-", "").isalnum() and word[0].isalpha()


_CLIPS: dict[str, OneOf["=", "<>", "<", "<=", ">", ">="]] = {
    "==": "=",
    "!=": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
