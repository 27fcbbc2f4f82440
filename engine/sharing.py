"""Common subexpressions of generated code are worked out once.

In: the statements of a generated check. Out: assignments of the expressions that occur more than once, and the
statements that use them. Guaranteed: the same results whenever nothing raises; an expression may now be evaluated where
its branch would not have been, so the code may raise MissingFactError more often, never less, and the caller then runs
the code as it was written. Refused: Python beyond what `fastpath.py` writes, by TypeError. Why at this level: the same
product of price and rate stands in several rules, and no rule knows of the others.
Before: nothing. After: `fastpath.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from textwrap import dedent

_WORDS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.And: "and",
    ast.Or: "or",
    ast.Not: "not ",
    ast.USub: "-",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
}
_WORTH = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Subscript)
"""What costs more than reading a local name."""


def shared(statements: Sequence[str]) -> list[str]:
    """Assignments, then the statements, without indentation."""
    tree = ast.parse(dedent("\n".join(statements)))
    sharing = _Sharing()
    for statement in tree.body:
        sharing.count_in(statement)
    written = [line for statement in tree.body for line in sharing.statement(statement, "")]
    return sharing.assignments + written


class _Sharing:
    """One use: counts expressions by their text, then writes with those that are used twice named."""

    def __init__(self) -> None:
        self.users: dict[str, set[str]] = {}
        self.names: dict[str, str] = {}
        self.assignments: list[str] = []
        self.places = 0

    # ---- counting ----------------------------------------------------------------------------------

    def count_in(self, statement: ast.stmt) -> None:
        for expression in _roots(statement):
            self.places += 1
            self.count(expression, f"statement {self.places}")

    def count(self, node: ast.expr, user: str) -> None:
        """Note that `user` (an expression's text, or a statement) uses this expression."""
        text = self.text(node, naming=False)
        if isinstance(node, _WORTH):
            self.users.setdefault(text, set()).add(user)
        for child in _operands(node):
            self.count(child, text)

    # ---- writing -----------------------------------------------------------------------------------

    def statement(self, node: ast.stmt, indent: str) -> Iterator[str]:
        if isinstance(node, ast.If):
            yield f"{indent}if {self.text(node.test)}:"
            for inner in node.body:
                yield from self.statement(inner, indent + "    ")
        elif isinstance(node, ast.AugAssign):
            yield f"{indent}{ast.unparse(node)}"
        elif isinstance(node, ast.Expr):
            yield f"{indent}{self.text(node.value)}"
        else:
            raise TypeError(f"not a generated statement: {ast.unparse(node)}")

    def text(self, node: ast.expr, naming: bool = True) -> str:
        """The source of an expression; when naming, expressions used twice by their names."""
        if naming and isinstance(node, _WORTH):
            plain = self.text(node, naming=False)
            if len(self.users.get(plain, ())) > 1:
                return self.name(node, plain)
        return self.composed(node, naming)

    def name(self, node: ast.expr, plain: str) -> str:
        """The local name of a shared expression, assigned when first met (after what it consists of)."""
        if plain not in self.names:
            source = self.composed(node, naming=True)
            self.names[plain] = f"s{len(self.names)}"
            self.assignments.append(f"{self.names[plain]} = {source}")
        return self.names[plain]

    def composed(self, node: ast.expr, naming: bool) -> str:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Constant(value=value):
                return repr(value)
            case ast.BinOp(left=left, op=op, right=right):
                return f"({self.text(left, naming)} {_WORDS[type(op)]} {self.text(right, naming)})"
            case ast.UnaryOp(op=op, operand=operand):
                return f"({_WORDS[type(op)]}{self.text(operand, naming)})"
            case ast.Subscript(value=value, slice=index):
                return f"{self.text(value, naming)}[{self.text(index, naming)}]"
        return self.grouped(node, naming)

    def grouped(self, node: ast.expr, naming: bool) -> str:
        """Expressions of several parts."""
        parts = [self.text(child, naming) for child in _operands(node)]
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return f"{name}({', '.join(parts)})"
            case ast.Compare(ops=[op]):
                return f"({parts[0]} {_WORDS[type(op)]} {parts[1]})"
            case ast.BoolOp(op=op):
                return f"({f' {_WORDS[type(op)]} '.join(parts)})"
            case ast.IfExp():
                return f"({parts[1]} if {parts[0]} else {parts[2]})"
            case ast.Tuple():
                return f"({', '.join(parts)},)"
        raise TypeError(f"not a generated expression: {ast.unparse(node)}")


def _roots(statement: ast.stmt) -> Iterator[ast.expr]:
    """The expressions of a statement whose parts may be shared."""
    if isinstance(statement, ast.If):
        yield statement.test
        for inner in statement.body:
            yield from _roots(inner)
    elif isinstance(statement, ast.Expr):
        yield statement.value


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call):
        yield from node.args
    else:
        yield from (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
