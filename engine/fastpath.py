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
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any

from lexorder.engine import integers
from lexorder.engine.checks import Check, Layout
from lexorder.engine.integers import NotFastError, Num
from lexorder.engine.lowering import LINE_KINDS, Env, Lowering, scope_of
from lexorder.engine.rule import Rule, TermClass
from lexorder.engine.sharing import shared
from lexorder.engine.slots import names_read
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
from lexorder.engine.units import COUNT, RATIO, TEXT
from lexorder.engine.weights import Weights
from lexorder.engine.worst import Part, Prepared

_ORDER_WORDS = re.compile(r"\b[ntx]\d|[TS]\[")
_PLACES = re.compile(r"[AL]\[\d+\]")
Weighted = tuple[Fraction, Term]
__all__ = ["Check", "Layout", "write"]


def write(rules: Sequence[Prepared], layout: Layout, known: Mapping[str, str]) -> Check:
    """The check for orders that have the `known` facts."""
    writer = _Writer(layout, known)
    fast, slow, guarded = [], [], []
    for index, prepared in enumerate(rules):
        try:
            writer.rule(index, prepared)
            fast.append(index)
        except NotFastError:
            if writer.guarded(index, prepared):
                fast.append(index)
                guarded.append(index)
            else:
                slow.append(index)
    source, weighed = writer.source(), writer.weights()
    space: dict[str, Any] = {
        "positive": _positive,
        "alone": _alone,
        "Missing": MissingFactError,
        "Fraction": Fraction,
        **writer.constants,
    }
    exec(compile(source, "<generated check>", "exec"), space)  # noqa: S102 - see the module's docstring
    functions = (space["check"], space["careful"], space["measure"])
    weights = Weights(weighed, writer.lower.scale_of("order.quantity"), space)
    return Check(*functions, tuple(fast), tuple(slow), source, frozenset(guarded), weights)


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
        self.bodies: list[tuple[int, list[str]]] = []
        self.measures: list[str] = []
        self.weighed: dict[int, list[str]] = {}
        self.entries: list[str] = []
        self.doubts: list[str] = []
        self.constants: dict[str, Any] = {}
        self.sign = "+" if known["order.side"] == BUY else "-"
        self.lower = Lowering(
            vocabulary=layout.vocabulary,
            derived=layout.derived,
            known=known,
            account=layout.account,
            line=layout.line,
            trader=layout.trader,
            strategy=layout.strategy,
            total=self.still_total,
        )

    # ---- the functions -----------------------------------------------------------------------------

    def source(self) -> str:
        """All three functions."""
        plain = [line for _, lines in self.bodies for line in lines]
        quick = self.function("check", ["r = ()"], shared(plain), "r")
        tried = [line for index, lines in self.bodies for line in _tried(lines, f"r += ({index},)")]
        measured = [line for measure in self.measures for line in _tried([measure], "pass")]
        careful = self.function("careful", ["r = ()"], tried, "r")
        return quick + careful + self.function("measure", ["m = {}"], measured, "m")

    def weights(self) -> dict[int, str]:
        """For each rule the source of one function of the quantity; see `weights.py`."""
        number, found = self.quantity(), {}
        for index, lines in self.weighed.items():
            reading = self.reading("\n".join(lines), given=number)
            body = "\n".join(f"    {line}" for line in (*reading, *lines))
            found[index] = f"def weigh({number}, o, L, A, trader):\n{body}\n"
        return found

    def function(self, name: str, start: list[str], body: list[str], result: str) -> str:
        """One function: the order's facts, then the body."""
        lines = [*start, *self.reading("\n".join(body)), *body, f"return {result}"]
        return "\n".join([f"def {name}(o, L, A, trader):", *(f"    {line}" for line in lines), ""])

    def reading(self, text: str, given: str = "") -> list[str]:
        """The lines that take the order's facts (but the one `given`) and the holding's ends into local names."""
        quantity = self.quantity()
        rises = self.sign == "+"
        ends = {
            "T": 'T = trader(o["order.trader"])',
            "S": f'S = trader({self.fact("order.strategy")}, "strategy")' if self.lower.strategy.slots else "",
            "x0": "x0 = L[0]",
            "x1": f"x1 = L[0] {self.sign} {quantity}",
            "lo": "lo = L[1]" if rises else f"lo = L[1] - {quantity}",
            "hi": f"hi = L[2] + {quantity}" if rises else "hi = L[2]",
        }
        needed = [line for word, line in ends.items() if re.search(rf"\b{word}\b", text)]
        used = set(re.findall(r"\b[nt]\d+\b", "\n".join([text, *needed])))
        numbers = [pair for pair in self.lower.order_numbers.items() if pair[1] in used and pair[1] != given]
        lines = [x for name, code in numbers for x in self.number(name, code)]
        texts = self.lower.order_texts.items()
        for name, code in texts:
            if code in used:
                lines += [f"{code} = {self.fact(name)}", f"if {code} is None: raise KeyError('absent')"]
        return [*lines, *needed]

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
        lines = [f"{code} = {self.fact(name)}", f"d = {code}._denominator"]
        if scale == 1:
            return [*lines, "if d != 1: raise KeyError('scale')", f"{code} = {code}._numerator"]
        return [*lines, f"if {scale} % d: raise KeyError('scale')", f"{code} = {code}._numerator * ({scale} // d)"]

    # ---- a rule ------------------------------------------------------------------------------------

    def rule(self, index: int, prepared: Prepared) -> None:
        """Add the lines of one rule, or raise NotFastError and add nothing."""
        self.added(index, lambda: self.judged(index, prepared))

    def guarded(self, index: int, prepared: Prepared) -> bool:
        """Add the lines that clear a rule whose condition does not hold, and whether that could be done."""
        if prepared.guard is None:
            return False
        try:
            self.added(index, lambda: self.applying(index, prepared))
        except NotFastError:
            return False
        return True

    def applying(self, index: int, prepared: Prepared) -> list[str]:
        """The lines that mark a rule when it applies."""
        env = self.bound(prepared.rule)
        assert prepared.guard is not None
        guard = self.lower.condition(prepared.guard, env)
        key = self.group(env)
        marks = [f"if not {key}: r += ({index},)"] if key else []
        return [*marks, f"if {guard}: r += ({index},)"]

    def added(self, index: int, lines: Callable[[], list[str]]) -> None:
        """Add what `lines` writes; when it raises NotFastError nothing is added."""
        tables = (self.layout.account, self.layout.line, self.layout.trader, self.layout.strategy)
        marks = [(t, t.mark()) for t in tables]
        totals, known = len(self.layout.totals), dict(self.layout.known)
        numbers, texts = dict(self.lower.order_numbers), dict(self.lower.order_texts)
        measures = list(self.measures)
        self.entries, self.doubts = [], []
        try:
            self.bodies.append((index, lines()))
        except NotFastError:
            self.measures = measures
            for table, mark in marks:
                table.back_to(mark)
            del self.layout.totals[totals:]
            self.layout.known = known
            self.lower.order_numbers, self.lower.order_texts = numbers, texts
            self.lower.rates = False
            raise

    def judged(self, index: int, prepared: Prepared) -> list[str]:
        """The lines of one rule."""
        if self.layout.share_scale == 0:
            raise NotFastError("shares have several scales")
        env = self.bound(prepared.rule)
        fails = f"r += ({index},)"
        lines = [f"if not {self.group(env)}: {fails}"] if self.group(env) else []
        guard = "True" if prepared.guard is None else self.lower.condition(prepared.guard, env)
        if guard == "False":
            return lines
        parts = [self.part(part, env, (index, number)) for number, part in enumerate(prepared.parts)]
        inner = [line for found in parts for line in found]
        needed = [code for code in (self.group(env), guard if guard != "True" else "") if code]
        unclear = [f"if not {code}: raise KeyError('not this way')" for code in needed]
        self.weighed[index] = [*unclear, *self.doubts, f"return ({', '.join(self.entries)},)"]
        if guard == "True":
            return lines + inner
        return [*lines, f"if {guard}:", *(f"    {line}" for line in inner)] if inner else [*lines, guard]

    def bound(self, rule: Rule) -> Env:
        """What is bound in a rule that has exactly one subject for one order."""
        self.lower.young(rule)
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

    def part(self, part: Part, env: Env, key: tuple[int, int]) -> list[str]:
        """The lines of one conjunct."""
        if part.depends:
            return self.filled(part, env, key)
        held = self.lower.condition(part.term, env)
        self.entries.append(self.still(part, env, held))
        return [] if held == "True" else [f"if not {held}: r += ({key[0]},)"]

    def still(self, part: Part, env: Env, held: str) -> str:
        """How a conjunct that no fill changes is weighed: by its excess, or as a condition that holds or not."""
        if not part.measured or not isinstance(part.term, Compare) or held in ("True", "False"):
            return f"(True if {held} else False)" if not part.measured or held == "True" else "None"
        if _PLACES.fullmatch(held):
            return f"({held} or None)"
        left, right = self.lower.number(part.term.left, env), self.lower.number(part.term.right, env)
        beyond = integers.added(left, integers.negated(right))
        code = beyond if part.term.op in ("<", "<=") else integers.negated(beyond)
        return f"({code.code}, None, {integers.times(str(code.scale), code.den)}, None)"

    # ---- requirements that depend on fills ---------------------------------------------------------

    def filled(self, part: Part, env: Env, key: tuple[int, int]) -> list[str]:
        """The lines of a comparison judged at its worst state."""
        if not part.measured or part.kind is TermClass.MIXED_INTEGER or not isinstance(part.term, Compare):
            raise NotFastError("no closed form")
        fails = f"r += ({key[0]},)"
        terms, divisor = self.excess(part.term, env)
        moving = [(c, t) for c, t in terms if depends_on_fills(t)]
        if all(isinstance(t, Aggregate) for _, t in moving):
            worst, before = self.summed(part, moving, env)
        else:
            worst, before = self.single(moving, env)
        rest = self.rest([(c, t) for c, t in terms if not depends_on_fills(t)], env, worst[0].scale)
        ends = [integers.added(w, rest) for w in worst]
        starts = [integers.added(w, rest) for w in before]
        self.weigh_filled(ends, starts, divisor)
        above = "" if divisor.literal is not None else f"positive({divisor.code}); "
        exact = ", ".join(f"Fraction({', '.join(integers.quotient(x, divisor))})" for x in (ends, starts))
        self.measures.append(f"{above}m[{key}] = ({exact})")
        op = "<" if part.term.op in ("<", ">") else "<="
        held = " and ".join(f"({w.code} {op} 0)" for w in ends)
        checked = [f"if not {integers.compared('>', divisor, Num('0'))}: {fails}"] if divisor.literal is None else []
        return [*checked, f"if not ({held}): {fails}"]

    def weigh_filled(self, ends: Sequence[Num], starts: Sequence[Num], divisor: Num) -> None:
        """Note the excess of a comparison that depends on fills, with the order and without it, and the divisors."""
        if divisor.literal is None:
            self.doubts.append(f"if not {integers.compared('>', divisor, Num('0'))}: raise KeyError('not this way')")
        (over, below), (old, under) = integers.quotient(ends, divisor), integers.quotient(starts, divisor)
        self.entries.append(f"({over}, {old}, {below}, {under})")

    def excess(self, term: Compare, env: Env) -> tuple[list[Weighted], Num]:
        """Weighted terms that add up to the excess times a divisor, and this divisor, to be checked above zero."""
        left, right, divisor = term.left, term.right, Num("1")
        if isinstance(left, Binary) and left.op == "/" and depends_on_fills(left.left):
            if depends_on_fills(left.right):
                raise NotFastError("the divisor depends on fills")
            if not isinstance(left.right, Literal):
                divisor = self.lower.number(left.right, env)
                right = Binary(right.unit.times(left.right.unit), "*", right, left.right)
                left = left.left
        sign = Fraction(1 if term.op in ("<", "<=") else -1)
        return [*self.addends(left, sign, env), *self.addends(right, -sign, env)], divisor

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

    def rest(self, terms: Sequence[Weighted], env: Env, scale: int) -> Num:
        """The part of an excess that no fill changes; what the account alone decides is one number, at `scale`."""
        own = [(c, t) for c, t in terms if self.lower.places(t, env) == {"A"}]
        other = self.sum([pair for pair in terms if pair not in own], env)
        if not own:
            return other
        weighted = [Binary(t.unit, "*", Literal(RATIO, c), t) for c, t in own]
        whole: Term = reduce(lambda a, b: Binary(a.unit, "+", a, b), weighted)
        return integers.added(other, self.lower.settled(whole, env, scale))

    def single(self, moving: Sequence[Weighted], env: Env) -> tuple[list[Num], list[Num]]:
        """The excess at both ends of the subject's own holding, with the order and without."""
        if env.kinds[-1] != "position" or any(isinstance(n, Aggregate) for _, t in moving for n in t.walk()):
            raise NotFastError("several names at once")

        def at(ends: tuple[str, str]) -> list[Num]:
            return [self.sum(moving, replace(env, holding=end)) for end in ends]

        return at(("lo", "hi")), at(("L[1]", "L[2]"))

    def summed(self, part: Part, moving: Sequence[Weighted], env: Env) -> tuple[list[Num], list[Num]]:
        """The greatest value of a sum over names, by its total and the name's own part; and without the order."""
        sums = [(c, t) for c, t in moving if isinstance(t, Aggregate)]
        scopes = {scope_of(t, env, self.vocabulary) for _, t in sums}
        if len(scopes) != 1 or any(t.kind != "sum" or (t.where and depends_on_fills(t.where)) for _, t in sums):
            raise NotFastError("sums of several kinds")
        mode = "linear" if part.kind is TermClass.LINEAR else "corners" if part.reads_filled else "ends"
        filled = [self.over(sums, "order", replace(env, filled=f)) for f in ("0", self.quantity())]
        total, holding = self.total(sums, env, mode, [f.scale for f in filled])
        start, full = (Num(integers.rescaled(f, total.scale)) for f in filled)
        codes = self.worst(total, lambda x: Num(holding(x)), start, full)
        return [Num(codes[0].code, total.scale)], [Num(codes[1].code, total.scale)]

    def worst(self, total: Total, at: Callable[[str], Num], start: Num, full: Num) -> tuple[Num, Num]:
        """Integer code of the worst state with the order and without it; see `Total`."""
        own = Num(f"L[{total.own}]")
        cell = Num(f"L[{total.cell}][0]")
        if total.mode == "linear":
            base = integers.added(own if total.scope == "line" else integers.added(cell, own), start)
            moved = integers.added(at("x1"), integers.negated(at("x0")))
            gain = integers.added(moved, integers.added(full, integers.negated(start)))
            return integers.added(base, Num(f"max(0, {gain.code})")), base
        others = Num("0") if total.scope == "line" else integers.added(cell, integers.negated(own))
        if total.mode == "ends":
            found, before = [at("lo"), at("hi")], [at("L[1]"), at("L[2]")]
        else:
            # corners: with working orders of the same name there are more than two states
            here = integers.added(Num(f"alone({at('x0').code}, L[1], L[2])"), start)
            found, before = [here, integers.added(at("x1"), full)], [here]
        return tuple(integers.added(others, integers.extreme("max", f)) for f in (found, before))  # type: ignore[return-value]

    def quantity(self) -> str:
        """The local name of the order's quantity."""
        numbers = self.lower.order_numbers
        return numbers.setdefault("order.quantity", f"n{len(numbers)}")

    def over(self, sums: Sequence[tuple[Fraction, Aggregate]], collection: str, env: Env) -> Num:
        """The part of some sums that one member of a collection adds."""
        found = Num("0")
        self.lower.rates = collection == "position"
        for weight, term in sums:
            if term.collection == collection:
                inner = env.within(collection)
                body = self.member(term, inner)
                counts = "True" if term.where is None else self.lower.condition(term.where, inner)
                member = integers.choice(counts, body, Num("0", body.scale))
                found = integers.added(found, integers.multiplied(integers.constant(weight), member))
        self.lower.rates = False
        if found.den:
            raise NotFastError("a run-time divisor inside a sum")
        return found

    def member(self, term: Aggregate, env: Env) -> Num:
        """What one member adds. Where it is the filled shares times something, an unfilled order adds nothing."""
        if term.body is None:
            return Num("1")
        body = self.lower.number(term.body, env)
        return Num("0", body.scale) if env.filled == "0" and _times_filled(term.body) else body

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
        scope = scope_of(sums[0][1], env, self.vocabulary)
        names = frozenset([scope]).union(*(names_read(t, self.vocabulary, self.layout.derived) for t in parts))
        key = (scope, mode, scale, code, shares, env.kinds if shares else ())
        if key not in self.layout.known:
            line = self.layout.line
            cell = -1 if scope == "line" else line.place()
            reads = frozenset(_PLACES.findall(code))
            new = Total(scope, mode, scale, _contribution(code), shares, env.kinds, names, cell, line.place(), reads)
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


def _tried(lines: Sequence[str], otherwise: str) -> list[str]:
    """Lines that do something else when a fact is missing."""
    return ["try:", *(f"    {line}" for line in lines or ["pass"]), "except (Missing, KeyError):", f"    {otherwise}"]


def _alone(value: int, low: int, high: int) -> int:
    """The value, unless working orders of the same name make more states than the code looks at."""
    if low != high:
        raise MissingFactError("the set of fill states", "", "is looked at by the general path")
    return value


def _times_filled(term: Term) -> bool:
    """Whether a term is the filled shares times facts."""
    match term:
        case Field(name="order.filled"):
            return True
        case Negate(operand=x):
            return _times_filled(x)
        case Binary(op="*", left=left, right=right):
            return _times_filled(left) or _times_filled(right)
        case Binary(op="/", left=left):
            return _times_filled(left)
    return False


def _body(term: Aggregate) -> Term:
    return Literal(COUNT, Fraction(1)) if term.body is None else term.body


def _contribution(code: str) -> Contribution:
    space: dict[str, Any] = {"positive": _positive}
    return eval(f"lambda x, L, A: {code}", space)  # type: ignore[no-any-return]  # noqa: S307 - as in `write`
