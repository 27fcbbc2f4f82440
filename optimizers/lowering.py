"""A requirement as sums of one-name functions: what the solver and the certificate can read.

In: a typed term, where it is read (account, subject, member) and a `Board`. Out: a `Sum` for a number that is one, a
tree of conditions for a requirement. Guaranteed: the tree holds at given holdings exactly when `engine.evaluate` says
that the term does, with the orders that lead there filled (property-tested and confirmed at release). Refused by
`LoweringError`, never dropped: products and quotients of different names, choices that depend on several names inside
a number, derived facts that depend on fills. Why by structure and not by sampling: a sampled function is a guess.
Before: `separable.py`, `board.py`. After: `rows.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from lexorder.engine.evaluate import Point, value
from lexorder.engine.measure import REGISTRY
from lexorder.engine.piecewise import InexpressibleError, Piecewise, chosen, constant, greatest, least
from lexorder.engine.snapshot import MissingFactError, Subject, find
from lexorder.engine.subjects import belongs, counted_for
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
    Negate,
    Not,
    Or,
    SetOf,
    Term,
)
from lexorder.engine.units import Kind
from lexorder.optimizers.board import Board
from lexorder.optimizers.separable import (
    FALSE,
    TRUE,
    Known,
    LoweringError,
    Open,
    Sum,
    Tree,
    added,
    closed,
    every,
    leaves,
    of_function,
    opposite,
    region,
    some,
    variable_of,
    within,
)

MOVING = FILL_NAMES | {"order.quantity"}
"""Names whose value is a function of the holdings a rebalance chooses."""

_NOT_A_SUM = (LoweringError, InexpressibleError)


class Lowering:
    """Lowers terms against one board. Keeps what it has found out about terms; one account, one date."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._moving: dict[int, tuple[Term, bool]] = {}

    def at(self, *inner: Subject) -> Point:
        """The place where a rule is read: the account, then the given subjects."""
        projection = self.board.projection
        facts = projection.snapshot.accounts.get(projection.account, {})
        account = Subject("account", projection.account, facts)
        return Point(projection, (account, *inner), {}, self.board.derived)

    # ---- what can change ---------------------------------------------------------------------------------------

    def moving(self, term: Term) -> bool:
        """Whether the value can change with the holdings chosen."""
        known = self._moving.get(id(term))
        if known is None or known[0] is not term:
            known = (term, any(self._moves(node) for node in term.walk()))
            self._moving[id(term)] = known
        return known[1]

    def _moves(self, node: Term) -> bool:
        if isinstance(node, Field):
            if node.name in self.board.derived:
                self._refuse_derived(node.name)
            if node.name.startswith("order.") and node.name in REGISTRY:
                raise LoweringError(f"reads {node.name}, which is measured for each order by itself")
            return node.name in MOVING
        return isinstance(node, Aggregate) and (
            node.collection in ("order", "position") or self._grouped(node.collection)
        )

    def _grouped(self, entity: str) -> bool:
        """Whether the entity is a group of instruments: an issuer, a sector, ..."""
        return bool(self.board.projection.vocabulary.entities[entity].groups)

    def _refuse_derived(self, name: str) -> None:
        for rule in self.board.derived[name]:
            terms = [t for t in (rule.when, *(t for n, t in rule.derive if n == name)) if t is not None]
            if any(isinstance(n, Field) and n.name in MOVING for t in terms for n in t.walk()):
                raise LoweringError(f"reads {name}, which rule {rule.id} derives from holdings after the trade")

    def presence(self, subject: Subject) -> Tree:
        """When a member exists at all: a candidate order if there is a trade, a position if held, ordered or traded."""
        if subject.entity == "order" and subject.key in self.board.orders:
            name, sign = self.board.orders[subject.key]
            return within(name, self.board.side(name, sign), *self.board.domains[name])
        if self._grouped(subject.entity):
            seen = self.board.projection
            names = [s for s in seen.positions if seen.group_of(subject.entity, s) == subject.key]
            return some([self.presence(Subject("position", s)) for s in names])
        name = self.board.index.get(subject.key, -1)
        if subject.entity != "position" or name < 0 or self.board.working_of(name):
            return TRUE
        held = self.board.projection.snapshot.positions.get(self.board.projection.account, {})
        return TRUE if subject.key in held else opposite(self.still(name))

    def still(self, name: int) -> Tree:
        """The condition that a name is not traded."""
        held = self.board.candidates[name].held
        return TRUE if self.board.working_of(name) else within(name, ((held, held),), *self.board.domains[name])

    # ---- numbers -----------------------------------------------------------------------------------------------

    def number(self, term: Term, at: Point) -> Sum:
        """A number as a sum. Raises LoweringError where it is none."""
        if not self.moving(term):
            return Sum(value(term, at))  # type: ignore[arg-type]
        match term:
            case Field():
                return self._field(term, at)
            case Negate(operand=x):
                return self.number(x, at).scaled(-1)
            case Absolute(operand=x):
                return self._mapped([self.number(x, at)], lambda f, *_: abs(f))
            case Extreme(which=which, items=items):
                pick = greatest if which == "max" else least
                return self._mapped([self.number(x, at) for x in items], lambda *fs: _folded(pick, fs))
            case Binary(op=op, left=left, right=right):
                return self._arithmetic(op, self.number(left, at), self.number(right, at))
            case If(condition=condition, yes=yes, no=no):
                return self._choice(self.condition(condition, at), yes, no, at)
            case Aggregate():
                return self._aggregate(term, at)
        raise LoweringError(f"a {type(term).__name__.lower()} of holdings is no number")

    def _field(self, term: Field, at: Point) -> Sum:
        collection = term.name.split(".")[0]
        facts, key = find(at.projection, at.stack, collection, term.via)
        if term.name == "position.after.quantity":
            moved = self.board.holding(key)
            before = (facts or {}).get("position.before.quantity", Fraction(0))
            return moved if moved is not None else Sum(before)  # type: ignore[arg-type]
        if collection == "working_order":
            return self.board.working_filled(str((facts or {})["working_order.id"]))
        return self.board.filled(*self.board.orders[str((facts or {})["order.id"])])

    def _mapped(self, sums: list[Sum], change: object) -> Sum:
        variables = set().union(*(s.parts for s in sums))
        if len(variables) > 1:
            raise LoweringError("takes an absolute value, least or greatest of several names together")
        if not variables:
            base = change(*(constant(s.constant, 0, 0) for s in sums))  # type: ignore[operator]
            return Sum(Fraction(base(0)))
        (v,) = variables
        return of_function(v, change(*(s.function(*self.board.domains[v]) for s in sums)))  # type: ignore[operator]

    def _arithmetic(self, op: str, left: Sum, right: Sum) -> Sum:
        if op in "+-":
            return left.plus(right) if op == "+" else left.minus(right)
        if op == "/":
            return self._quotient(left, right)
        if left.fixed or right.fixed:
            return right.scaled(left.constant) if left.fixed else left.scaled(right.constant)
        if left.only() is None or left.only() != right.only():
            raise LoweringError("multiplies holdings of different names")
        return self._mapped([left, right], lambda f, g: f * g)

    def _quotient(self, left: Sum, right: Sum) -> Sum:
        if not right.fixed:
            raise LoweringError("divides by something that depends on holdings after the trade")
        if right.constant == 0:
            raise MissingFactError("the divisor", "", "is zero")
        return left.scaled(1 / right.constant)

    def _choice(self, condition: Tree, yes: Term, no: Term, at: Point) -> Sum:
        if isinstance(condition, Known):
            return self.number(yes if condition.value else no, at)
        v = variable_of(condition)
        if v is None:
            raise LoweringError("chooses a number by a condition on several names")
        domain = self.board.domains[v]
        inside = region(condition, *domain)
        return self._pick(v, inside, self.number(yes, at), self.number(no, at))

    def _pick(self, v: int, inside: tuple[tuple[int, int], ...], yes: Sum, no: Sum) -> Sum:
        """`yes` where variable *v* is inside, `no` elsewhere; both of that variable, or one and the same elsewhere."""
        if any(s.parts and s.only() != v for s in (yes, no)):
            raise LoweringError("chooses between numbers of other names by a condition on one name")
        domain = self.board.domains[v]
        return of_function(v, chosen(inside, yes.function(*domain), no.function(*domain)))

    def _aggregate(self, term: Aggregate, at: Point) -> Sum:
        total = Sum()
        for member in self.members(term, at):
            counted = self.counted(term, member)
            if isinstance(counted, Known) and not counted.value:
                continue
            body = Sum(Fraction(1)) if term.body is None or term.kind == "count" else self.number(term.body, member)
            total = total.plus(body if isinstance(counted, Known) else self._where(counted, body))
        return total

    def _where(self, counted: Tree, body: Sum) -> Sum:
        v = variable_of(counted)
        if v is None:
            raise LoweringError("sums over members chosen by a condition on several names")
        return self._pick(v, region(counted, *self.board.domains[v]), body, Sum())

    def members(self, term: Aggregate, at: Point) -> Iterator[Point]:
        """Where the body of an aggregate is read, once for each member that belongs to the subject."""
        subject = counted_for(term, at.stack)
        key = "position.symbol" if term.collection == "position" else f"{term.collection}.id"
        for facts in self.board.projection.members(term.collection):
            if belongs(self.board.projection, subject, term.collection, facts):
                yield replace(at, stack=(*at.stack, Subject(term.collection, str(facts.get(key)), facts)))

    def counted(self, term: Aggregate, member: Point) -> Tree:
        """When a member counts: it exists and meets the aggregate's `where`."""
        here = self.presence(member.stack[-1])
        if term.where is None or here == FALSE:
            return here
        return every([here, self.condition(term.where, member)])

    # ---- comparisons of numbers that are no sums ------------------------------------------------------------------

    def tree(self, term: Term, at: Point, sign: int) -> Tree:
        """`sign · term` as a tree of open sums: greatest for all-of, least for one-of."""
        try:
            return Open(self.number(term, at).scaled(sign))
        except _NOT_A_SUM as error:
            return self._opened(term, at, sign, error)

    def _opened(self, term: Term, at: Point, sign: int, why: Exception) -> Tree:
        match term:
            case Negate(operand=x):
                return self.tree(x, at, -sign)
            case Absolute(operand=x):
                both = [self.tree(x, at, 1), self.tree(x, at, -1)] if sign > 0 else None
                return every(both) if both else some([self.tree(x, at, -1), self.tree(x, at, 1)])
            case Extreme(which=which, items=items):
                join = every if (which == "max") == (sign > 0) else some
                return join([self.tree(x, at, sign) for x in items])
            case Binary(op=op, left=left, right=right) if op in ("+", "-"):
                return added(self.tree(left, at, sign), self.tree(right, at, sign if op == "+" else -sign))
            case Binary(op=op) if op in ("*", "/"):
                return self._scaled_tree(term, at, sign, why)
            case If(condition=condition, yes=yes, no=no):
                chosen_if = self.condition(condition, at)
                return every(
                    [
                        some([opposite(chosen_if), self.tree(yes, at, sign)]),
                        some([chosen_if, self.tree(no, at, sign)]),
                    ]
                )
        raise why

    def _scaled_tree(self, term: Binary, at: Point, sign: int, why: Exception) -> Tree:
        op, left, right = term.op, term.left, term.right
        inner, factor = (right, left) if op == "*" and not self.moving(left) else (left, right)
        if self.moving(factor):
            raise why
        by = Fraction(value(factor, at))  # type: ignore[arg-type]
        if by == 0:
            return Open(Sum())
        by = 1 / by if op == "/" else by
        opened = self.tree(inner, at, sign if by > 0 else -sign)
        return _scaled(opened, abs(by))

    def compare(self, term: Compare, at: Point) -> Tree:
        """A comparison of numbers as a condition."""
        left, right, op = term.left, term.right, term.op
        cleared = self._cleared(term, at)
        if cleared is not None:
            return cleared
        if op in ("<=", "<"):
            return self._ordered(left, right, at, strict=op == "<")
        if op in (">=", ">"):
            return self._ordered(right, left, at, strict=op == ">")
        join, strict = (every, False) if op == "==" else (some, True)
        return join([self._ordered(left, right, at, strict=strict), self._ordered(right, left, at, strict=strict)])

    def _ordered(self, small: Term, large: Term, at: Point, *, strict: bool) -> Tree:
        return closed(added(self.tree(small, at, 1), self.tree(large, at, -1)), strict=strict)

    def _cleared(self, term: Compare, at: Point) -> Tree | None:
        """`a / b op c` as `a op c·b` where `b` moves and is above zero wherever the holdings can be."""
        a, c = term.left, term.right
        if not (isinstance(a, Binary) and a.op == "/" and self.moving(a.right)) or self.moving(c):
            return None
        if term.op in ("==", "!="):
            return None
        below = self.number(a.right, at)
        if below.range()[0] <= 0:
            raise LoweringError("divides by something that can reach zero")
        limit = self.number(c, at).constant
        sign = 1 if term.op in ("<", "<=") else -1
        total = self.number(a.left, at).minus(below.scaled(limit)).scaled(sign)
        return closed(Open(total), strict=term.op in ("<", ">"))

    # ---- conditions --------------------------------------------------------------------------------------------

    def condition(self, term: Term, at: Point) -> Tree:
        """A condition as a tree. Raises LoweringError, or MissingFactError where a fact it turns on is absent."""
        if not self.moving(term):
            return Known(bool(value(term, at)))
        match term:
            case Not(operand=x):
                return opposite(self.condition(x, at))
            case And(items=items):
                return self._kleene(every, FALSE, items, at)
            case Or(items=items):
                return self._kleene(some, TRUE, items, at)
            case Compare() if term.left.unit.kind in (Kind.NUMBER, Kind.DURATION):
                return self.compare(term, at)
            case Aggregate(kind=kind) if kind in ("any", "all"):
                return self._quantified(term, at)
            case In(item=item, container=SetOf(items=items)):
                return some([self.compare(Compare(term.unit, "==", item, x), at) for x in items])
            case If(condition=condition, yes=yes, no=no):
                first = self.condition(condition, at)
                then, other = self.condition(yes, at), self.condition(no, at)
                return some([every([first, then]), every([opposite(first), other])])
        raise LoweringError(f"a {type(term).__name__.lower()} that depends on holdings is no condition")

    def _kleene(self, join: object, decisive: Known, items: tuple[Term, ...], at: Point) -> Tree:
        """A decisive item decides even when another is missing, as in `evaluate`."""
        found: list[Tree] = []
        missing: MissingFactError | None = None
        for item in items:
            try:
                found.append(self.condition(item, at))
            except MissingFactError as error:
                missing = missing or error
        answer: Tree = join(found)  # type: ignore[operator]
        if missing is not None and answer != decisive:
            raise missing
        return answer

    def _quantified(self, term: Aggregate, at: Point) -> Tree:
        if term.body is None:
            raise LoweringError("quantifies over nothing")
        parts: list[Tree] = []
        for member in self.members(term, at):
            counted = self.counted(term, member)
            if counted == FALSE:
                continue
            body = self.condition(term.body, member)
            parts.append(every([counted, body]) if term.kind == "any" else some([opposite(counted), body]))
        return some(parts) if term.kind == "any" else every(parts)


def _scaled(tree: Tree, factor: Fraction) -> Tree:
    return leaves(tree, lambda leaf: Open(leaf.sum.scaled(factor)))


def _folded(pick: object, functions: tuple[Piecewise, ...]) -> Piecewise:
    total = functions[0]
    for function in functions[1:]:
        total = pick(total, function)  # type: ignore[operator]
    return total
