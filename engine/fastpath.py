"""Writes the check for one kind of order as one Python function over integers.

In: prepared rules and the order facts that are known when the code is written (side, order type). Out: a `Check` whose
function answers which rules it could not pass. Guaranteed: a rule not in that answer passes or does not apply, in every
fill state, exactly as `judge` says; it has one subject. Nothing is claimed about the others: they go to the general
path. Where a fact is missing the function raises. Refused: rules of other shapes are listed as `slow`. Why generated
source: literals, scales and branches are settled once, so an order costs a few dozen integer operations (`exec` runs
only text that this module wrote from typed terms: identifiers are numbered, texts are quoted by `repr`).
Before: `lowering.py`, `totals.py`, `worst.py`. After: `compile.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any

from lexorder.engine import integers
from lexorder.engine.integers import NotFastError, Num
from lexorder.engine.lowering import HEAD, LINE_KINDS, Env, Lowering, scope_of
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule, TermClass
from lexorder.engine.slots import Table, names_read
from lexorder.engine.snapshot import BUY, MissingFactError
from lexorder.engine.subjects import reaches_everything
from lexorder.engine.terms import (
    Aggregate,
    Binary,
    Compare,
    Field,
    Literal,
    Negate,
    Term,
    depends_on_fills,
)
from lexorder.engine.totals import Contribution, Share, Total
from lexorder.engine.units import COUNT, TEXT
from lexorder.engine.worst import Part, Prepared

Function = Callable[[Mapping[str, Any], list[Any], list[Any], Callable[[str], list[Any]]], tuple[int, ...]]
"""(order facts, L, A, list T of a trader) → indexes of rules that may not pass. Raises MissingFactError, KeyError."""

_ORDER_WORDS = re.compile(r"\b[ntx]\d|T\[")
_SHARES = (
    "order.quantity",
    "order.filled",
    "position.before.quantity",
    "position.after.quantity",
    "working_order.filled",
)
Weighted = tuple[Fraction, Term]


@dataclass(frozen=True, slots=True)
class Check:
    """The generated function, the indexes of the rules it judges and of those it does not, and its source."""

    run: Function
    fast: tuple[int, ...]
    slow: tuple[int, ...]
    source: str


@dataclass(slots=True)
class Layout:
    """What all checks of one rule book share: tables of places and totals. It only grows."""

    vocabulary: Vocabulary
    derived: Mapping[str, Sequence[Rule]]
    account: Table = field(default_factory=lambda: Table("A", 0))
    line: Table = field(default_factory=lambda: Table("L", HEAD))
    trader: Table = field(default_factory=lambda: Table("T", 0))
    totals: list[Total] = field(default_factory=list)
    known: dict[object, Total] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, ...]:
        """Changes whenever lists built so far have become too short."""
        return (self.account.size, self.line.size, self.trader.size, len(self.totals))

    @property
    def share_scale(self) -> int:
        """The common scale of shares as a power of ten; 0 when the vocabulary's share names differ."""
        scales = {self.vocabulary.names[name].scale for name in _SHARES}
        return int(10 ** scales.pop()) if len(scales) == 1 else 0


def write(rules: Sequence[Prepared], layout: Layout, known: Mapping[str, str]) -> Check:
    """The check for orders that have the `known` facts."""
    writer = _Writer(layout, known)
    fast, slow = [], []
    for index, prepared in enumerate(rules):
        try:
            writer.rule(index, prepared)
            fast.append(index)
        except NotFastError:
            slow.append(index)
    source = writer.source()
    space: dict[str, Any] = {"positive": _positive, **writer.constants}
    exec(compile(source, "<generated check>", "exec"), space)  # noqa: S102 - see the module's docstring
    return Check(space["check"], tuple(fast), tuple(slow), source)


def _positive(divisor: int) -> int:
    """A divisor that must be above zero for the comparison to have been multiplied out."""
    if divisor <= 0:
        raise MissingFactError("the divisor", "", "is not above zero")
    return divisor


class _Writer:
    """One use: collects the lines of one function."""

    def __init__(self, layout: Layout, known: Mapping[str, str]) -> None:
        self.layout = layout
        self.vocabulary = layout.vocabulary
        self.body: list[str] = []
        self.constants: dict[str, Any] = {}
        self.sign = "+" if known["order.side"] == BUY else "-"
        self.lower = Lowering(
            layout.vocabulary, layout.derived, known, layout.account, layout.line, layout.trader, self.still_total
        )

    # ---- the function ------------------------------------------------------------------------------

    def source(self) -> str:
        """The whole function."""
        text = "\n".join(self.body)
        lines = ["def check(o, L, A, trader):", "    r = ()", *self.reading(text)]
        return "\n".join([*lines, *self.body, "    return r", ""])

    def reading(self, text: str) -> list[str]:
        """The lines that take the order's facts and the holding's ends into local names."""
        if re.search(r"\b(x1|hi|lo)\b", text):
            self.lower.order_numbers.setdefault("order.quantity", f"n{len(self.lower.order_numbers)}")
        lines = [line for name, code in self.lower.order_numbers.items() for line in self.number(name, code)]
        lines += [f"    {code} = {self.fact(name)}" for name, code in self.lower.order_texts.items()]
        quantity = self.lower.order_numbers.get("order.quantity", "")
        rises = self.sign == "+"
        ends = {
            "T": '    T = trader(o["order.trader"])',
            "x0": "    x0 = L[0]",
            "x1": f"    x1 = L[0] {self.sign} {quantity}",
            "lo": "    lo = L[1]" if rises else f"    lo = L[1] - {quantity}",
            "hi": f"    hi = L[2] + {quantity}" if rises else "    hi = L[2]",
        }
        return lines + [line for word, line in ends.items() if re.search(rf"\b{word}\b", text)]

    def fact(self, name: str) -> str:
        """Source that reads an order fact, with the vocabulary's default."""
        default = self.vocabulary.names[name].default
        if default is None:
            return f"o[{name!r}]"
        word = f"d{len(self.constants)}"
        self.constants[word] = default
        return f"o.get({name!r}, {word})"

    def number(self, name: str, code: str) -> list[str]:
        """An order fact as an integer of its scale. The slots of Fraction are read because its properties are slow."""
        scale = self.lower.scale_of(name)
        lines = [f"    {code} = {self.fact(name)}", f"    d = {code}._denominator"]
        if scale == 1:
            return [*lines, "    if d != 1: raise KeyError('scale')", f"    {code} = {code}._numerator"]
        finer = f"    if {scale} % d: raise KeyError('scale')"
        return [*lines, finer, f"    {code} = {code}._numerator * ({scale} // d)"]

    # ---- a rule ------------------------------------------------------------------------------------

    def rule(self, index: int, prepared: Prepared) -> None:
        """Add the lines of one rule, or raise NotFastError and add nothing."""
        marks = [(t, t.mark()) for t in (self.layout.account, self.layout.line, self.layout.trader)]
        totals, known = len(self.layout.totals), dict(self.layout.known)
        numbers, texts = dict(self.lower.order_numbers), dict(self.lower.order_texts)
        try:
            self.body += self.judged(index, prepared)
        except NotFastError:
            for table, mark in marks:
                table.back_to(mark)
            del self.layout.totals[totals:]
            self.layout.known = known
            self.lower.order_numbers, self.lower.order_texts = numbers, texts
            raise

    def judged(self, index: int, prepared: Prepared) -> list[str]:
        """The lines of one rule."""
        if self.layout.share_scale == 0:
            raise NotFastError("shares have several scales")
        env = self.bound(prepared.rule)
        fails = f"r += ({index},)"
        lines = [f"    if not {self.group(env)}: {fails}"] if self.group(env) else []
        guard = "True" if prepared.guard is None else self.lower.condition(prepared.guard, env)
        if guard == "False":
            return lines
        indent = "    " if guard == "True" else "        "
        inner = [f"{indent}{line}" for part in prepared.parts for line in self.part(part, env, fails)]
        if guard == "True" or not inner:
            return lines + (inner if guard == "True" else [f"    {guard}"])
        return [*lines, f"    if {guard}:", *inner]

    def bound(self, rule: Rule) -> Env:
        """What is bound in a rule that has exactly one subject for one order."""
        kind = rule.for_each
        if kind == "account":
            return Env(("account",))
        grouped = self.vocabulary.entities[kind].groups or kind in LINE_KINDS
        if kind not in ("order", "trader") and not grouped:
            raise NotFastError(f"a rule for each {kind}")
        if grouped and reaches_everything(rule):
            raise NotFastError("every group is judged")
        return Env(("account", kind))

    def group(self, env: Env) -> str:
        """Source of the subject's key where an instrument may lack it."""
        groups = self.vocabulary.entities[env.kinds[-1]].groups
        return self.lower.text(Field(TEXT, groups), Env(("account", "instrument"))) if groups else ""

    def part(self, part: Part, env: Env, fails: str) -> list[str]:
        """The lines of one conjunct."""
        if part.depends:
            return self.filled(part, env, fails)
        held = self.lower.condition(part.term, env)
        return [] if held == "True" else [f"if not {held}: {fails}"]

    # ---- requirements that depend on fills ---------------------------------------------------------

    def filled(self, part: Part, env: Env, fails: str) -> list[str]:
        """The lines of a comparison judged at its worst state."""
        if not part.measured or part.kind is TermClass.MIXED_INTEGER or not isinstance(part.term, Compare):
            raise NotFastError("no closed form")
        terms, lines = self.excess(part.term, env, fails)
        moving = [(c, t) for c, t in terms if depends_on_fills(t)]
        rest = self.sum([(c, t) for c, t in terms if not depends_on_fills(t)], env)
        op = "<" if part.term.op in ("<", ">") else "<="
        if all(isinstance(t, Aggregate) for _, t in moving):
            more, worst = self.summed(part, moving, env)
        else:
            more, worst = self.single(moving, env)
        held = [f"({integers.added(w, rest).code} {op} 0)" for w in worst]
        return [*lines, *more, f"if not ({' and '.join(held)}): {fails}"]

    def excess(self, term: Compare, env: Env, fails: str) -> tuple[list[Weighted], list[str]]:
        """Weighted terms that add up to the excess, and lines that check divisors multiplied out."""
        left, right, lines = term.left, term.right, []
        if isinstance(left, Binary) and left.op == "/" and depends_on_fills(left.left):
            divisor = left.right
            if depends_on_fills(divisor):
                raise NotFastError("the divisor depends on fills")
            lines.append(f"if not {integers.compared('>', self.lower.number(divisor, env), Num('0'))}: {fails}")
            left, right = left.left, Binary(right.unit.times(divisor.unit), "*", right, divisor)
        sign = Fraction(1 if term.op in ("<", "<=") else -1)
        return [*self.addends(left, sign, env), *self.addends(right, -sign, env)], lines

    def addends(self, term: Term, weight: Fraction, env: Env) -> list[Weighted]:
        """A term as a weighted sum of terms that are no sums themselves."""
        match term:
            case Binary(op="+" | "-", left=left, right=right):
                other = weight if term.op == "+" else -weight
                return [*self.addends(left, weight, env), *self.addends(right, other, env)]
            case Negate(operand=x):
                return self.addends(x, -weight, env)
            case Binary(op="*", left=Literal(value=Fraction() as factor), right=x):
                return self.addends(x, weight * factor, env)
            case Binary(op="*" | "/", left=x, right=Literal(value=Fraction() as factor)) if factor:
                return self.addends(x, weight * factor if term.op == "*" else weight / factor, env)
        return [(weight, term)]

    def sum(self, terms: Sequence[Weighted], env: Env) -> Num:
        """Source of a weighted sum."""
        parts = [integers.multiplied(integers.constant(c), self.lower.number(t, env)) for c, t in terms]
        return reduce(integers.added, parts, Num("0"))

    def single(self, moving: Sequence[Weighted], env: Env) -> tuple[list[str], list[Num]]:
        """The excess at both ends of the subject's own holding."""
        if env.kinds[-1] != "position" or any(isinstance(n, Aggregate) for _, t in moving for n in t.walk()):
            raise NotFastError("several names at once")
        return [], [self.sum(moving, replace(env, holding=end)) for end in ("lo", "hi")]

    def summed(self, part: Part, moving: Sequence[Weighted], env: Env) -> tuple[list[str], list[Num]]:
        """The greatest value of a sum over names, from its total and the ordered name's own part."""
        sums = [(c, t) for c, t in moving if isinstance(t, Aggregate)]
        scopes = {scope_of(t, env, self.vocabulary) for _, t in sums}
        if len(scopes) != 1 or any(t.kind != "sum" or (t.where and depends_on_fills(t.where)) for _, t in sums):
            raise NotFastError("sums of several kinds")
        mode = "linear" if part.kind is TermClass.LINEAR else "corners" if part.reads_filled else "ends"
        filled = [self.over(sums, "order", replace(env, filled=f)) for f in ("0", self.quantity())]
        total, holding = self.total(sums, env, mode, [f.scale for f in filled])
        start, full = (integers.rescaled(f, total.scale) for f in filled)
        return self.worst(total, [holding(x) for x in _STATES[mode]], start, full)

    def worst(self, total: Total, at: list[str], start: str, full: str) -> tuple[list[str], list[Num]]:
        """The code for one mode; see `Total`."""
        base = f"L[{total.own}]" if total.scope == "line" else f"L[{total.cell}][0] {{}} L[{total.own}]"
        lines: list[str] = []
        if total.mode == "linear":
            before, after = at
            gain = f"max(0, {after} - {before} + {full} - {start})"
            return lines, [Num(f"({base.format('+')} + {start} + {gain})", total.scale)]
        others = "" if total.scope == "line" else f"{base.format('-')} + "
        if total.mode == "corners":
            lines.append("if L[1] != L[2]: raise KeyError('working orders of the same name')")
            at = [f"{at[0]} + {start}", f"{at[1]} + {full}"]
        return lines, [Num(f"({others}max({at[0]}, {at[1]}))", total.scale)]

    def quantity(self) -> str:
        """The local name of the order's quantity."""
        numbers = self.lower.order_numbers
        return numbers.setdefault("order.quantity", f"n{len(numbers)}")

    def over(self, sums: Sequence[tuple[Fraction, Aggregate]], collection: str, env: Env) -> Num:
        """The part of some sums that one member of a collection adds."""
        found = Num("0")
        for weight, term in sums:
            if term.collection == collection:
                inner = env.within(collection)
                body = Num("1") if term.body is None else self.lower.number(term.body, inner)
                counts = "True" if term.where is None else self.lower.condition(term.where, inner)
                member = integers.choice(counts, body, Num("0", body.scale))
                found = integers.added(found, integers.multiplied(integers.constant(weight), member))
        if found.den:
            raise NotFastError("a run-time divisor inside a sum")
        return found

    # ---- totals ------------------------------------------------------------------------------------

    def total(
        self, sums: Sequence[tuple[Fraction, Aggregate]], env: Env, mode: str, scales: Sequence[int]
    ) -> tuple[Total, Callable[[str], str]]:
        """The total of some sums over positions and working orders, and the code of a name's part at a holding."""
        if any(t.collection not in ("position", "order", "working_order") for _, t in sums):
            raise NotFastError("a sum over another collection")
        shares = tuple(Share(c, _body(t), t.where) for c, t in sums if t.collection == "working_order")
        own = self.over(sums, "position", replace(env, holding="x"))
        scale = lcm(own.scale, *scales, *(self.share_scale(share) for share in shares))

        def holding(x: str) -> str:
            return integers.rescaled(self.over(sums, "position", replace(env, holding=x)), scale)

        code = holding("x")
        if _ORDER_WORDS.search(code):
            raise NotFastError("a sum over positions reads the order")
        parts = [t for _, term in sums for t in (term.body, term.where) if t is not None]
        names = frozenset[str]().union(*(names_read(t, self.vocabulary, self.layout.derived) for t in parts))
        scope = scope_of(sums[0][1], env, self.vocabulary)
        key = (scope, mode, scale, code, shares, env.kinds if shares else ())
        if key not in self.layout.known:
            line = self.layout.line
            cell = -1 if scope == "line" else line.place()
            new = Total(scope, mode, scale, _contribution(code), shares, env.kinds, names, cell, line.place())
            self.layout.known[key] = new
            self.layout.totals.append(new)
        return self.layout.known[key], holding

    def share_scale(self, share: Share) -> int:
        """The scale of a working order's part; values that are finer are found to be so when it is worked out."""
        scale = self.lower.static_scale(share.body, rates=True)
        if scale == 0:
            raise NotFastError("a working order's part has no fixed scale")
        return scale * share.coefficient.denominator

    def still_total(self, term: Aggregate, env: Env) -> Num:
        """A sum or count over positions or working orders that no fill changes."""
        if term.kind not in ("sum", "count"):
            raise NotFastError("a condition over positions")
        mode = "still" if term.collection == "position" else "linear"
        total, _ = self.total([(Fraction(1), term)], env, mode, [])
        code = f"L[{total.own}]" if total.scope == "line" else f"(L[{total.cell}][0] + L[{total.own}])"
        return Num(code, total.scale)


_STATES = {"linear": ("x0", "x1"), "ends": ("lo", "hi"), "corners": ("x0", "x1")}
"""The holdings at which a name's part is taken, by mode."""


def _body(term: Aggregate) -> Term:
    return Literal(COUNT, Fraction(1)) if term.body is None else term.body


def _contribution(code: str) -> Contribution:
    space: dict[str, Any] = {"positive": _positive}
    return eval(f"lambda x, L, A: {code}", space)  # type: ignore[no-any-return]  # noqa: S307 - as in `write`
