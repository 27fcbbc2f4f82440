"""The compiled check, run over columns: the very source that the single path runs for one order.

In: a `compile.Plan` (the generated checks and the layout of their places), the facts as columns. Out: for one side and
order type the step that says which orders are cleared. Guaranteed: the step is the generated source of `fastpath.py`,
expression by expression (rules it leaves out: `vector_slow.py`); a place of the lists L, A and T is the term it stands
for, worked out over columns; a sum over names is read from cells that `RunningCells` keeps row by row. An order is
cleared only where no rule fails and nothing that the source looks at is missing. Refused: `NotVectorError` for rules
and places without a column.
Why from the source: two texts for one meaning would have to be shown equal; this one has been.
Before: `vector_terms.py`, `vector_cells.py`, `compile.py`. After: `vector.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from lexorder.engine.compile import Plan
from lexorder.engine.fastpath import Check
from lexorder.engine.slots import Slot, Table
from lexorder.engine.totals import Total
from lexorder.engine.units import Kind
from lexorder.engine.vector_code import Code, Level, NotVectorError
from lexorder.engine.vector_slow import failing
from lexorder.engine.vector_tables import NUMERIC
from lexorder.engine.vector_terms import Around, Num, Terms

_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
_ORDERS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_HEADS = {0: "now", 1: "low", 2: "high"}


@dataclass(frozen=True, slots=True)
class Typed:
    """A step and what it yields: a number (`n`), a truth value (`t`) or a text (`w`)."""

    step: int
    kind: str


class First:
    """Writes the steps of the generated checks of one plan into one code."""

    def __init__(self, plan: Plan, terms: Terms) -> None:
        self.plan = plan
        self.terms = terms
        self.code: Code = terms.code
        self.count = 0
        self._cleared: dict[str, int] = {}
        self._slots: dict[str, dict[int, tuple[Slot, int]]] = {}
        self._totals: dict[int, tuple[int, str]] = {}

    def cleared(self, side: str, ord_type: str) -> int:
        """The step that clears orders of one side and type. Raises NotVectorError."""
        check = self.plan.check(side, ord_type)
        self.count = len(check.fast) + len(check.slow)
        key = f"{side}\n{check.source}"
        if key not in self._cleared:
            self._place()
            beside = [failing(self.plan.prepared[i], side, self.terms) for i in check.slow]
            self._cleared[key] = self._written(check, beside)
        return self._cleared[key]

    def totals(self) -> Sequence[tuple[Total, str]]:
        """All totals of the layout, with the source of what a name contributes."""
        layout = self.plan.layout
        sources = {id(total): key[3] for key, total in layout.known.items()}  # type: ignore[index]
        return [(total, sources[id(total)]) for total in layout.totals]

    def _place(self) -> None:
        """Which place of the lists stands for what."""
        layout = self.plan.layout
        for table in (layout.account, layout.line, layout.trader, layout.strategy):
            self._slots[table.letter] = dict(_places(table))
        for number, total in enumerate(layout.totals):
            if total.cell >= 0:
                self._totals[total.cell] = (number, "cell")
            self._totals[total.own] = (number, "own")

    # ---- statements ------------------------------------------------------------------------------------

    def _written(self, check: Check, beside: Sequence[int]) -> int:
        """All rules of the careful form, each in its own `try`, and those that are beside it."""
        function = next(
            n for n in ast.parse(check.source).body if isinstance(n, ast.FunctionDef) and n.name == "careful"
        )
        names: dict[str, Typed] = {}
        failed = []
        for statement in function.body:
            if isinstance(statement, ast.Assign):
                self._assigned(statement, names)
            elif isinstance(statement, ast.Try):
                failed.append(self._failing(statement.body, names))
        if len(failed) != len(check.fast):
            raise NotVectorError("the generated check has another shape than expected")
        held = [self.code.apply("not", step) for step in (*failed, *beside)]
        return reduce(lambda a, b: self.code.apply("and", a, b), held, self.code.truth(True))

    def _assigned(self, statement: ast.Assign, names: dict[str, Typed]) -> None:
        """A local name: an order's fact (its scale is the declared one), or an end of the holding."""
        target = statement.targets[0]
        assert isinstance(target, ast.Name)
        fact = _order_fact(statement.value)
        if fact:
            kind = self.terms.tables.vocabulary.names[fact].unit.kind
            letter = "n" if kind in NUMERIC else "t" if kind is Kind.BOOL else "w"
            names[target.id] = Typed(self.code.read(Level.ROW, "order", fact), letter)
        elif target.id in ("x0", "x1", "lo", "hi"):
            names[target.id] = self._expression(statement.value, names)

    def _failing(self, body: Sequence[ast.stmt], names: dict[str, Typed]) -> int:
        """Where a rule fails: any of its statements in turn."""
        steps = [self._statement(statement, names) for statement in body]
        return reduce(lambda a, b: self.code.apply("or", a, b), steps, self.code.truth(False))

    def _statement(self, statement: ast.stmt, names: dict[str, Typed]) -> int:
        match statement:
            case ast.Pass():
                return self.code.truth(False)
            case ast.AugAssign():
                return self.code.truth(True)
            case ast.Expr(value=value):  # only looked at, because it may be missing
                return self.code.apply("and", self._truth(value, names), self.code.truth(False))
            case ast.If(test=test, body=body, orelse=[]):
                return self.code.apply("and", self._truth(test, names), self._failing(body, names))
        raise NotVectorError(f"a generated `{type(statement).__name__.lower()}`")

    # ---- expressions -----------------------------------------------------------------------------------

    def _truth(self, node: ast.expr, names: dict[str, Typed]) -> int:
        """A condition; a text counts as one unless it is empty."""
        found = self._expression(node, names)
        if found.kind == "w":
            return self.code.apply("different", found.step, self.code.word(self.terms.tables.word("")))
        if found.kind == "n":
            return self.code.apply("!=", found.step, self.code.constant(0))
        return found.step

    def _number(self, node: ast.expr, names: dict[str, Typed]) -> int:
        found = self._expression(node, names)
        if found.kind != "n":
            raise NotVectorError("a number is expected")
        return found.step

    def _expression(self, node: ast.expr, names: dict[str, Typed]) -> Typed:
        match node:
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.Constant(value=value):
                return self._constant(value)
            case ast.Subscript():
                return self._subscript(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS:
                one, two = self._number(left, names), self._number(right, names)
                return Typed(self.code.apply(_SIGNS[type(op)], one, two), "n")
            case ast.UnaryOp(op=ast.Not(), operand=x):
                return Typed(self.code.apply("not", self._truth(x, names)), "t")
            case ast.UnaryOp(op=ast.USub(), operand=x):
                return Typed(self.code.apply("negated", self._number(x, names)), "n")
            case ast.BoolOp(op=joiner, values=values):
                word = "and" if isinstance(joiner, ast.And) else "or"
                truths = [self._truth(x, names) for x in values]
                return Typed(reduce(lambda a, b: self.code.apply(word, a, b), truths), "t")
        return self._composed(node, names)

    def _composed(self, node: ast.expr, names: dict[str, Typed]) -> Typed:
        match node:
            case ast.IfExp(test=test, body=yes, orelse=no):
                one, two = self._expression(yes, names), self._expression(no, names)
                if one.kind != two.kind:
                    raise NotVectorError("alternatives of two kinds")
                return Typed(self.code.apply("if", self._truth(test, names), one.step, two.step), one.kind)
            case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Tuple(elts=items)]):
                sought = self._expression(left, names)
                each = [self._equal(sought, self._expression(x, names)) for x in items]
                return Typed(reduce(lambda a, b: self.code.apply("or", a, b), each), "t")
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _ORDERS:
                return self._compared(_ORDERS[type(op)], left, right, names)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._called(name, arguments, names)
        raise NotVectorError(f"a generated `{type(node).__name__.lower()}`")

    def _compared(self, op: str, left: ast.expr, right: ast.expr, names: dict[str, Typed]) -> Typed:
        one, two = self._expression(left, names), self._expression(right, names)
        if one.kind == two.kind == "n":
            return Typed(self.code.apply(op, one.step, two.step), "t")
        equal = self._equal(one, two)
        if op == "==":
            return Typed(equal, "t")
        if op == "!=":
            return Typed(self.code.apply("not", equal), "t")
        raise NotVectorError("texts are put in order")

    def _equal(self, one: Typed, two: Typed) -> int:
        if one.kind == two.kind == "w":
            return self.code.apply("same", one.step, two.step)
        if one.kind == two.kind == "n":
            return self.code.apply("==", one.step, two.step)
        raise NotVectorError("values of two kinds are compared")

    def _called(self, name: str, arguments: Sequence[ast.expr], names: dict[str, Typed]) -> Typed:
        values = [self._number(x, names) for x in arguments]
        match name:
            case "max" | "min":
                return Typed(reduce(lambda a, b: self.code.apply(name, a, b), values), "n")
            case "abs" | "positive":
                return Typed(self.code.apply(name, *values), "n")
            case "alone":  # the value, while no working orders make more states of the name
                still = self.code.apply("==", values[1], values[2])
                return Typed(self.code.apply("given", values[0], still), "n")
        raise NotVectorError(f"a call of {name}")

    def _constant(self, value: object) -> Typed:
        if isinstance(value, bool):
            return Typed(self.code.truth(value), "t")
        if isinstance(value, int):
            return Typed(self.code.constant(value), "n")
        if isinstance(value, str):
            return Typed(self.code.word(self.terms.tables.word(value)), "w")
        raise NotVectorError("a constant that is neither integer nor text")

    # ---- places ----------------------------------------------------------------------------------------

    def _subscript(self, node: ast.Subscript) -> Typed:
        match node:
            case ast.Subscript(value=ast.Subscript(value=ast.Name(id="L"), slice=ast.Constant(value=int(place)))):
                number, what = self._totals[place]
                if what != "cell":
                    raise NotVectorError("a cell is expected")
                return Typed(self.code.read(Level.ROW, "cell", number), "n")
            case ast.Subscript(value=ast.Name(id="L"), slice=ast.Constant(value=int(place))) if place in _HEADS:
                return Typed(self.code.read(Level.ROW, _HEADS[place]), "n")
            case ast.Subscript(value=ast.Name(id="L"), slice=ast.Constant(value=int(place))) if place in self._totals:
                return Typed(self.code.read(Level.ROW, "own", self._totals[place][0]), "n")
            case ast.Subscript(value=ast.Name(id=letter), slice=ast.Constant(value=int(place))):
                if place not in self._slots.get(letter, {}):
                    raise NotVectorError("an unknown place")
                return self._slot(*self._slots[letter][place])
        raise NotVectorError("an unknown place")

    def _slot(self, slot: Slot, part: int) -> Typed:
        """The value of a place: a fact, a condition, or a number as an integer or as numerator and denominator."""
        around = Around(slot.kinds)
        if slot.scale is None:
            kind = slot.term.unit.kind
            if kind is Kind.BOOL:
                return Typed(self.terms.truth(slot.term, around), "t")
            return Typed(self.terms.word(slot.term, around), "w")
        found = self.terms.number(slot.term, around)
        if slot.scale == 0:
            return Typed(self._quotient(found, part), "n")
        return Typed(self.terms.at_scale(found, slot.scale), "n")

    def _quotient(self, found: Num, part: int) -> int:
        if part == 0:
            return found.step
        below = self.code.constant(found.scale)
        return below if found.den < 0 else self.code.apply("*", below, found.den)

    # ---- what a name contributes -----------------------------------------------------------------------

    def contribution(self, source: str) -> int:
        """The step of what a name adds to a total, at the holding `x`."""
        self._place()
        return self._number(ast.parse(source, mode="eval").body, {"x": Typed(self.code.read(Level.ROW, "x"), "n")})


def _places(table: Table) -> Iterator[tuple[int, tuple[Slot, int]]]:
    for slot in table.slots:
        yield slot.index, (slot, 0)
        if slot.scale == 0:
            yield slot.index + 1, (slot, 1)


def _order_fact(node: ast.expr) -> str:
    """The name of an order's fact that an expression reads, or nothing."""
    match node:
        case ast.Subscript(value=ast.Name(id="o"), slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Name(id="o"), attr="get"), args=[ast.Constant(value=str(name)), _]):
            return name
    return ""
