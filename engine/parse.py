"""Text of one expression to its syntax tree.

In: a `Scalar` (text with positions). Out: a `Syntax` tree. Guaranteed: at most 2,000 characters, 200 nodes and
32 levels, refused before anything walks the tree; every node has its text and position in the file. Refused
(RuleFileError): anything outside `grammar.lark`, worded by `mistakes.py`.
Why LALR: linear time, no backtracking, and the grammar is proved free of ambiguity when it is built.
Before: `source.py`, `syntax.py`, `literals.py`. After: `typecheck.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from lark import Lark, Token, Tree, UnexpectedInput

from lexorder.engine import literals, syntax
from lexorder.engine.codes import refuse
from lexorder.engine.currencies import CURRENCIES
from lexorder.engine.errors import shown
from lexorder.engine.mistakes import explain, explain_quantity
from lexorder.engine.source import Scalar
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Span

CHARACTERS_MAX = 2_000
"""Characters in one expression."""
NODES_MAX = 200
"""Nodes in one expression as written."""
LEVELS_MAX = 32
"""Levels of nesting as written; `a + b + c` is one level."""


def parse(source: Scalar | str) -> Syntax:
    """The syntax tree of an expression.

    Raises:
        RuleFileError: `expression-empty`, `expression-too-large`, `syntax` and the other codes that
            `mistakes.py` words.
    """
    scalar = Scalar(source) if isinstance(source, str) else source
    text = scalar.text
    if not text.strip():
        refuse("expression-empty", "an expression is needed here", scalar.at(0))
    if len(text) > CHARACTERS_MAX or _brackets(text) > LEVELS_MAX:
        _too_large(scalar, f"{CHARACTERS_MAX:,} characters or {LEVELS_MAX} levels of brackets")
    _refuse_thousands_commas(scalar)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        found = explain(text, error)
        refuse(found.code, found.message, scalar.at(found.offset, found.length))
    nodes = sum(1 for _ in tree.iter_subtrees())
    if nodes > NODES_MAX:
        _too_large(scalar, f"{NODES_MAX} names, numbers and operators (it has {nodes})")
    built = _Builder(scalar).build(tree)
    if _levels(built) > LEVELS_MAX:
        _too_large(scalar, f"{LEVELS_MAX} levels")
    return built


@cache
def _parser() -> Lark:
    grammar = files("lexorder.engine").joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", propagate_positions=True, maybe_placeholders=True)


def _too_large(scalar: Scalar, limit: str) -> None:
    refuse(
        "expression-too-large",
        f"the expression has more than {limit}: give parts of it a name under `let`",
        scalar.at(0),
    )


def _brackets(text: str) -> int:
    """The deepest nesting of brackets, an upper bound good enough to guard the parser."""
    depth = deepest = 0
    for char in text:
        depth += (char in "({") - (char in ")}")
        deepest = max(deepest, depth)
    return deepest


_OUTSIDE_TEXT = re.compile(r'"(?:\\.|[^"\\])*"')
_THOUSANDS = re.compile(r"(?<![0-9_.A-Za-z])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9_])")


def _refuse_thousands_commas(scalar: Scalar) -> None:
    """`min(25,000, x)` would otherwise read as three arguments: never guess."""
    blanked = _OUTSIDE_TEXT.sub(lambda m: " " * len(m[0]), scalar.text)
    match = _THOUSANDS.search(blanked)
    if match:
        meant = match[1].replace(",", "_")
        refuse(
            "bad-number",
            f"{shown(match[1])} has a comma: write `{meant}`, or put a blank after the comma if these are "
            "separate values",
            scalar.at(match.start(1), len(match[1])),
        )


def _levels(node: Syntax, above: str = "") -> int:
    """Nesting as written: a run of `+ -` or of `* /` counts once."""
    run = _run(node)
    inner = max((_levels(child, run) for child in node.children()), default=0)
    return inner + (0 if run and run == above else 1)


def _run(node: Syntax) -> str:
    if isinstance(node, syntax.Infix) and node.op in "+-*/":
        return "+" if node.op in "+-" else "*"
    return ""


class _Builder:
    """Turns Lark's tree into syntax nodes of one expression."""

    def __init__(self, scalar: Scalar) -> None:
        self.scalar = scalar

    def build(self, tree: Tree[Token]) -> Syntax:
        make: Callable[[Tree[Token]], Syntax] = getattr(self, tree.data)
        return make(tree)

    def place(self, start: int, end: int) -> tuple[str, Span]:
        return self.scalar.text[start:end], self.scalar.at(start, end - start)

    def placed(self, tree: Tree[Token]) -> tuple[str, Span]:
        return self.place(tree.meta.start_pos, tree.meta.end_pos)

    def parts(self, tree: Tree[Token]) -> tuple[Syntax, ...]:
        return tuple(self.build(child) for child in tree.children if isinstance(child, Tree))

    def number(self, tree: Tree[Token], *, percent: bool = False) -> Syntax:
        text, span = self.placed(tree)
        value = literals.number(text.replace(" ", ""))
        if value is None:
            refuse(
                "bad-number",
                f"{shown(text)} is not a number that can be read: write numbers like `25_000`, `0.5` or "
                "`5%`, without leading zeros, and dates like `2026-06-04`",
                span,
            )
        return syntax.Number(value, percent, text=text, span=span)

    def percent(self, tree: Tree[Token]) -> Syntax:
        return self.number(tree, percent=True)

    def quantity(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        digits = re.split(r"(?=[A-Za-z\s])", text, maxsplit=1)[0]
        unit = text[len(digits) :].strip()
        amount = literals.number(digits)
        if amount is None:
            refuse("bad-number", f"{shown(digits)} is not a number that can be read", span)
        if unit in literals.SECONDS:
            return syntax.Duration(amount * literals.SECONDS[unit], text=text, span=span)
        if unit in CURRENCIES:
            return syntax.Money(amount, unit, text=text, span=span)
        code, message = explain_quantity(digits, amount, unit)
        return refuse(code, message, self.scalar.at(tree.meta.end_pos - len(unit), len(unit)))

    def date(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        value = literals.day(text)
        if value is None:
            refuse("bad-date", f"{shown(text)} is not a day of the calendar", span)
        return syntax.Moment(value, text=text, span=span)

    def time(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        value = literals.time_of_day(text)
        if value is None:
            refuse("bad-date", f"{shown(text)} is not a time of day: write 00:00 to 23:59", span)
        return syntax.Moment(value, text=text, span=span)

    def quoted(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        for escape in re.finditer(r"\\(.)", text):
            if escape[1] not in '"\\':
                refuse(
                    "bad-text",
                    f'{shown(escape[0])} is not an escape: only `\\"` and `\\\\` are',
                    self.scalar.at(tree.meta.start_pos + escape.start(), 2),
                )
        return syntax.Quoted(re.sub(r"\\(.)", r"\1", text[1:-1]), text=text, span=span)

    def yes(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        return syntax.Truth(True, text=text, span=span)

    def no(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        return syntax.Truth(False, text=text, span=span)

    def name(self, tree: Tree[Token]) -> syntax.Name:
        text, span = self.placed(tree)
        return syntax.Name(text, text=text, span=span)

    def negation(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        return syntax.Prefix("not", *self.parts(tree), text=text, span=span)

    def sign(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        if text.startswith("+"):
            refuse("syntax", "a plus sign in front of a value is not needed: remove it", span)
        return syntax.Prefix("-", *self.parts(tree), text=text, span=span)

    def infix(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        left, right = self.parts(tree)
        return syntax.Infix(str(tree.children[1]), left, right, text=text, span=span)

    compare = infix

    def member(self, tree: Tree[Token], op: str = "in") -> Syntax:
        text, span = self.placed(tree)
        left, right = self.parts(tree)
        return syntax.Infix(op, left, right, text=text, span=span)

    def stranger(self, tree: Tree[Token]) -> Syntax:
        return self.member(tree, "not in")

    def conjunction(self, tree: Tree[Token], op: str = "and") -> Syntax:
        text, span = self.placed(tree)
        return syntax.Chain(op, self.parts(tree), text=text, span=span)

    def disjunction(self, tree: Tree[Token]) -> Syntax:
        return self.conjunction(tree, "or")

    def choice(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        condition, yes, no = self.parts(tree)
        return syntax.Choice(condition, yes, no, text=text, span=span)

    def braces(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        return syntax.Braces(self.parts(tree), text=text, span=span)

    def call(self, tree: Tree[Token]) -> Syntax:
        text, span = self.placed(tree)
        word = tree.children[0]
        assert isinstance(word, Token)
        assert word.start_pos is not None
        name_text, name_span = self.place(word.start_pos, word.start_pos + len(word))
        owner, _, function = name_text.rpartition(".")
        name = syntax.Name(function, text=name_text, span=name_span)
        # Lark leaves None for the absent `where`, so the last place always is the condition's.
        last = tree.children[-1]
        arguments = tuple(self.build(child) for child in tree.children[1:-1] if isinstance(child, Tree))
        where = self.build(last) if isinstance(last, Tree) else None
        return syntax.Call(name, arguments, where, owner, text=text, span=span)
