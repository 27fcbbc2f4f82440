"""Integer formulas: what CLIPS is asked to work out, and the proof that it cannot overflow doing so.

In: nodes put together by `lower.py`. Out: CLIPS text, and the range every intermediate result stays in. Guaranteed:
`reach` looks at every operation CLIPS would carry out, in the order it would, so that "fits" means no intermediate
leaves 64 bits. Refused: `WideError` when one could. Why a tree of its own and not text: the text and the proof must
come from the same thing. Before: nothing. After: `lower.py`, `emit.py`, `contexts.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal as OneOf

INT64 = 2**63 - 1

Range = tuple[int, int]
"""Least and greatest value."""


class WideError(Exception):
    """An intermediate result could leave 64-bit integers. Never reaches users: the exact evaluator decides instead."""


@dataclass(frozen=True, slots=True)
class Int:
    """An integer literal: limits stand in the rule's own text."""

    value: int


@dataclass(frozen=True, slots=True)
class Var:
    """An integer slot of a matched fact, by its CLIPS variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """`+ - * abs min max` of integers."""

    op: OneOf["+", "-", "*", "abs", "min", "max"]
    items: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Pick:
    """`if condition then yes else no`, of integers."""

    condition: Truth
    yes: Number
    no: Number


@dataclass(frozen=True, slots=True)
class Known:
    """True or false, whatever the facts."""

    value: bool


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of integers; `op` as CLIPS writes it."""

    op: OneOf["=", "<>", "<", "<=", ">", ">="]
    left: Number
    right: Number


@dataclass(frozen=True, slots=True)
class Same:
    """Whether a symbol slot holds this word; a flag holds TRUE."""

    name: str
    word: str


@dataclass(frozen=True, slots=True)
class Logic:
    """`and`, `or`, `not` of truths."""

    op: OneOf["and", "or", "not"]
    items: tuple[Truth, ...]


Number = Int | Var | Apply | Pick
Truth = Known | Test | Same | Logic
Node = Number | Truth

YES, NO = Known(True), Known(False)


# ---- putting together, with what is known worked out at once --------------------------------------


def both(*items: Truth) -> Truth:
    """All of them."""
    left = [i for i in items if i != YES]
    if NO in left:
        return NO
    return left[0] if len(left) == 1 else Logic("and", tuple(left)) if left else YES


def either(*items: Truth) -> Truth:
    """Any of them."""
    left = [i for i in items if i != NO]
    if YES in left:
        return YES
    return left[0] if len(left) == 1 else Logic("or", tuple(left)) if left else NO


def no(item: Truth) -> Truth:
    """The contrary."""
    if isinstance(item, Known):
        return Known(not item.value)
    if isinstance(item, Logic) and item.op == "not":
        return item.items[0]
    return Logic("not", (item,))


def pick(condition: Truth, yes: Number, no: Number) -> Number:
    """One or the other."""
    if isinstance(condition, Known):
        return yes if condition.value else no
    return yes if yes == no else Pick(condition, yes, no)


def plus(*items: Number) -> Number:
    """The sum; literals are added up."""
    flat = [part for i in items for part in (i.items if isinstance(i, Apply) and i.op == "+" else (i,))]
    rest: list[Number] = [i for i in flat if not isinstance(i, Int)]
    constant = sum(i.value for i in flat if isinstance(i, Int))
    if constant or not rest:
        rest.append(Int(constant))
    return rest[0] if len(rest) == 1 else Apply("+", tuple(rest))


def most(left: Number, right: Number) -> Number:
    """The greater of two."""
    if isinstance(left, Int) and isinstance(right, Int):
        return Int(max(left.value, right.value))
    return Apply("max", (left, right))


def times(left: Number, right: Number) -> Number:
    """The product."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Int):
            if isinstance(other, Int):
                return Int(one.value * other.value)
            if one.value in (0, 1):
                return other if one.value else one
    return Apply("*", (left, right))


def test(op: OneOf["=", "<>", "<", "<=", ">", ">="], left: Number, right: Number) -> Truth:
    """A comparison, worked out when both sides are literals."""
    if isinstance(left, Int) and isinstance(right, Int):
        return Known(_HOLDS[op](left.value, right.value))
    return Test(op, left, right)


_HOLDS = {
    "=": int.__eq__,
    "<>": int.__ne__,
    "<": int.__lt__,
    "<=": int.__le__,
    ">": int.__gt__,
    ">=": int.__ge__,
}


# ---- looking at ------------------------------------------------------------------------------------


def children(node: Node) -> tuple[Node, ...]:
    """The direct parts of a node."""
    match node:
        case Apply(items=numbers):
            return numbers
        case Logic(items=truths):
            return truths
        case Pick(condition=condition, yes=yes, no=other):
            return (condition, yes, other)
        case Test(left=left, right=right):
            return (left, right)
    return ()


def conjuncts(node: Truth) -> tuple[Truth, ...]:
    """The parts that must all hold."""
    if isinstance(node, Logic) and node.op == "and":
        return tuple(part for item in node.items for part in conjuncts(item))
    return (node,)


def variables(node: Node) -> Iterator[str]:
    """The CLIPS variables in it, left to right, repeated as they occur."""
    if isinstance(node, Var | Same):
        yield node.name
    for child in children(node):
        yield from variables(child)


def read_with(node: Node, words: Mapping[str, str]) -> frozenset[str]:
    """The variables CLIPS may read when these symbol slots hold these words: branches not taken do not count."""
    match node:
        case Pick(condition=condition, yes=yes, no=other):
            taken = decided(condition, words)
            if taken is not None:
                return read_with(yes if taken else other, words)
        case Logic(op="and" | "or"):
            if decided(node, words) is not None:
                return frozenset()
        case Var(name=name) | Same(name=name):
            return frozenset((name,))
    return frozenset().union(*(read_with(child, words) for child in children(node)))


def decided(node: Truth, words: Mapping[str, str]) -> bool | None:
    """What a truth is once these symbol slots are known; None when that does not decide it."""
    match node:
        case Known(value=value):
            return value
        case Same(name=name, word=word):
            return words[name] == word if name in words else None
        case Logic(op="not", items=(item,)):
            inner = decided(item, words)
            return None if inner is None else not inner
        case Logic(op=op, items=items):
            found = [decided(i, words) for i in items]
            decisive = op == "or"
            if decisive in found:
                return decisive
            return None if None in found else not decisive
    return None


def text(node: Node) -> str:
    """The node as CLIPS source."""
    match node:
        case Int(value=value):
            return str(value)
        case Var(name=name):
            return f"?{name}"
        case Known(value=value):
            return "TRUE" if value else "FALSE"
        case Same(name=name, word=word):
            return f"(eq ?{name} {word})"
        case Pick(condition=condition, yes=yes, no=other):
            return f"(if {text(condition)} then {text(yes)} else {text(other)})"
        case Test(op=op, left=left, right=right):
            return f"({op} {text(left)} {text(right)})"
        case Apply(op=op, items=numbers):
            return f"({op} {' '.join(map(text, numbers))})"
        case Logic(op=op, items=truths):
            return f"({op} {' '.join(map(text, truths))})"


def python(node: Node, names: Mapping[str, str]) -> str:
    """The node as Python source, with each variable written as `names` says."""
    match node:
        case Int(value=value) | Known(value=value):
            return f"({value})"
        case Var(name=name):
            return names[name]
        case Same(name=name, word=word):
            return f"({names[name]} == {word!r})"
        case Pick(condition=condition, yes=yes, no=other):
            return f"({python(yes, names)} if {python(condition, names)} else {python(other, names)})"
        case Test(op=op, left=left, right=right):
            word = {"=": "==", "<>": "!="}.get(op, op)
            return f"({python(left, names)} {word} {python(right, names)})"
        case Apply(op="abs" | "min" | "max" as op, items=numbers):
            return f"{op}({', '.join(python(n, names) for n in numbers)})"
        case Apply(op=op, items=numbers):
            return f"({f' {op} '.join(python(n, names) for n in numbers)})"
        case Logic(op="not", items=(item,)):
            return f"(not {python(item, names)})"
        case Logic(op=op, items=truths):
            return f"({f' {op} '.join(python(t, names) for t in truths)})"


# ---- proving ---------------------------------------------------------------------------------------


def check(node: Node, ranges: Mapping[str, Range]) -> None:
    """Raise WideError unless every intermediate result in `node` fits 64 bits for all values in `ranges`."""
    if isinstance(node, Int | Var | Apply | Pick):
        reach(node, ranges)
    else:
        for child in children(node):
            check(child, ranges)


def reach(node: Number, ranges: Mapping[str, Range]) -> Range:
    """The range of a number. Raises WideError as soon as one operation could leave 64 bits."""
    found: Range
    match node:
        case Int(value=value):
            found = (value, value)
        case Var(name=name):
            found = ranges[name]
        case Pick(condition=condition, yes=yes, no=other):
            check(condition, ranges)
            one, two = reach(yes, ranges), reach(other, ranges)
            found = (min(one[0], two[0]), max(one[1], two[1]))
        case _:
            found = _applied(node, ranges)
    if found[0] < -INT64 or found[1] > INT64:
        raise WideError
    return found


def _applied(node: Apply, ranges: Mapping[str, Range]) -> Range:
    inner = [reach(item, ranges) for item in node.items]
    match node.op:
        case "abs":
            low, high = inner[0]
            return (0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))
        case "min":
            return (min(r[0] for r in inner), min(r[1] for r in inner))
        case "max":
            return (max(r[0] for r in inner), max(r[1] for r in inner))
    return _folded(node.op, inner)


def _folded(op: str, inner: list[Range]) -> Range:
    """CLIPS works `+ - *` out from left to right: every step counts."""
    low, high = inner[0]
    for other in inner[1:]:
        if op == "*":
            corners = [a * b for a in (low, high) for b in other]
            low, high = min(corners), max(corners)
        elif op == "+":
            low, high = low + other[0], high + other[1]
        else:
            low, high = low - other[1], high - other[0]
        if low < -INT64 or high > INT64:
            raise WideError
    return low, high
