"""The formulas CLIPS is given, run over columns.

In: the expert's plan (`emit.Plan`: what CLIPS works out for each rule, part and side), its own copy of the facts as
columns. Out: for one side the step that says which orders break nothing. Guaranteed: the formulas are those that
`emit.py` writes as CLIPS text; each leaf is the value that `prepare.py` would put into CLIPS, times a denominator that
all leaves of the formula share; the worst that old orders can bring to a sum over names is added up anew for every
account that changed (`OldOrders`), as `worst.py` means it. What CLIPS would take from the exact verdict is left to the
compiled form here too (`left`). Refused: `NotVectorError` for leaves without a column.
Why not the compiled steps again: two evaluators must be lowered apart, or one mistake in lowering would approve.
Before: `vector_terms.py`, `vector_pairs.py`, `expert/emit.py`. After: `vector.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import lcm
from typing import Literal as OneOf

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.atoms import Atom, Times
from lexorder.engine.expert.emit import Plan, Variant
from lexorder.engine.expert.lowered import DENOMINATOR, Leaf, variable_of
from lexorder.engine.names import Vocabulary
from lexorder.engine.subjects import NAMED
from lexorder.engine.terms import Aggregate, depends_on_fills
from lexorder.engine.units import Kind
from lexorder.engine.vector_code import Code, Level, NotVectorError
from lexorder.engine.vector_old import OldOrders, Sought
from lexorder.engine.vector_tables import NUMERIC
from lexorder.engine.vector_terms import Around, Num, Terms

_SAME_OP = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Second:
    """Writes the steps of the formulas of one plan into one code."""

    def __init__(self, plan: Plan, rules: Sequence[str], terms: LeafTerms, old: OldOrders) -> None:
        self.plan = plan
        self.terms = terms
        self.code: Code = terms.code
        self.old = old
        self.count = len(rules)
        self.left = {rule for rule in rules if rule not in plan.variants}
        self._cleared: dict[str, int] = {}

    def cleared(self, side: str) -> int:
        """The step that finds orders of one side within every rule that CLIPS works out. Raises NotVectorError."""
        if side not in self._cleared:
            broken = [
                self._broken(variant)
                for group in self.plan.variants.values()
                for variant in group
                if side in variant.sides
            ]
            held = [self.code.apply("not", step) for step in broken]
            self._cleared[side] = reduce(lambda a, b: self.code.apply("and", a, b), held, self.code.truth(True))
        return self._cleared[side]

    def _broken(self, variant: Variant) -> int:
        try:
            return _Formula(self, variant).truth(variant.lowered.broken)
        except NotVectorError as reason:
            raise NotVectorError(f"{variant.rule.id}: {reason}") from reason


class LeafTerms(Terms):
    """Terms of leaves: sums over names that no fill changes are added up as the other sums are."""

    old: OldOrders

    def aggregate(self, term: Aggregate, around: Around) -> Num:
        """A sum or count over positions or working orders now."""
        kinds: dict[str, OneOf["position", "working"]] = {"position": "position", "working_order": "working"}
        if term.collection not in kinds or term.kind not in ("sum", "count"):
            return Terms.aggregate(self, term, around)
        if depends_on_fills(term):
            raise NotVectorError("a leaf that fills change")
        subject = around.kinds[1] if len(around.kinds) > 1 else "account"
        atoms = (Atom(kinds[term.collection], term, Times()),)
        return self.whole(atoms, "linear", subject)

    def whole(self, atoms: tuple[Atom, ...], shape: str, subject: str) -> Num:
        """A total with what the ordered name adds that the account has nothing of: once ordered, it is a position."""
        number = self.old.take(Sought(atoms, shape, subject, self.scope(atoms, subject)))
        whole = Num(self.code.read(Level.ROW, "whole", number), self.old.scale_of(number))
        around = Around(("account",) if subject == "account" else ("account", subject))
        nothing = self.old.contribution(atoms, around, self.code.constant(0))
        held = self.code.read(Level.ROW, "member")
        step = self.code.apply("if", held, self.code.constant(0), nothing.step)
        return self.joined("+", whole, Num(step, nothing.scale, nothing.den))

    def scope(self, atoms: Sequence[Atom], subject: str) -> str:
        """Whose names a sum runs over: `all`, the `line` alone, or a group by its instrument field."""
        own = "line" if subject in NAMED else self.tables.vocabulary.entities[subject].groups or "all"
        scopes = {"all" if isinstance(a.term, Aggregate) and a.term.owner == "account" else own for a in atoms}
        if len(scopes) != 1:
            raise NotVectorError("sums of several scopes")
        return scopes.pop()


class _Formula:
    """One use: the leaves of one variant and its formula."""

    def __init__(self, second: Second, variant: Variant) -> None:
        self.code = second.code
        self.terms = second.terms
        self.old = second.old
        self.rule = variant.rule
        self.vocabulary: Vocabulary = second.terms.tables.vocabulary
        self.around = Around(("account", *((variant.rule.for_each,) if variant.rule.for_each != "account" else ())))
        self._check_subject()
        self.slots = {variable_of(name): name for name in variant.lowered.slots}
        self.found: dict[str, int] = {}
        self._prepare(variant.lowered.leaves)

    def _check_subject(self) -> None:
        """One subject for each order, and the order counted in its sums."""
        kind = self.rule.for_each
        grouped = self.vocabulary.entities[kind].groups or kind in NAMED
        if kind not in ("order", "account", "trader") and not grouped:
            raise NotVectorError(f"{self.rule.id} is for each {kind}")

    # ---- leaves ----------------------------------------------------------------------------------------

    def _prepare(self, leaves: Sequence[Leaf]) -> None:
        """All leaves; numbers over one denominator, which is `?d`."""
        numbers: dict[str, Num] = {}
        for place, leaf in enumerate(leaves):
            name = f"k{place}"
            if leaf.kind == "number":
                numbers[name] = self._number(leaf)
            elif leaf.kind == "raw":
                self.found[name] = self._raw(leaf)
            else:
                self.found[name] = self._told(leaf)
        scale = lcm(*(n.scale for n in numbers.values()))
        dens = list(dict.fromkeys(n.den for n in numbers.values() if n.den >= 0))
        below = self.code.constant(scale)
        self.found[DENOMINATOR] = reduce(lambda a, b: self.code.apply("*", a, b), dens, below)
        for name, number in numbers.items():
            step = self.terms.scaled(number.step, scale // number.scale)
            others = [d for d in dens if d != number.den]
            self.found[name] = reduce(lambda a, b: self.code.apply("*", a, b), others, step)

    def _frame(self, leaf: Leaf) -> Around:
        return self.around if leaf.frame == "subject" else self.around.within(leaf.frame)

    def _told(self, leaf: Leaf) -> int:
        """A flag, or a word of an enumeration."""
        assert leaf.term is not None
        if leaf.kind == "flag":
            return self.terms.truth(leaf.term, self._frame(leaf))
        return self.terms.word(leaf.term, self._frame(leaf))

    def _raw(self, leaf: Leaf) -> int:
        """An integer of the ordered name."""
        if leaf.what == "counted":
            assert leaf.term is not None
            return self.code.apply("counted", self.terms.truth(leaf.term, self._frame(leaf)))
        return self.code.read(Level.ROW, {"held": "now"}.get(leaf.what, leaf.what))

    def _number(self, leaf: Leaf) -> Num:
        match leaf.what:
            case "term":
                assert leaf.term is not None
                return self.terms.number(leaf.term, self._frame(leaf))
            case "old":
                return self.terms.whole(leaf.atoms, "linear", self.rule.for_each)
            case "others" | "others-mixed":
                shape = "convex" if leaf.what == "others" else "mixed"
                scope = self.terms.scope(leaf.atoms, self.rule.for_each)
                number = self.old.take(Sought(leaf.atoms, shape, self.rule.for_each, scope))
                return Num(self.code.read(Level.ROW, "others", number), self.old.scale_of(number))
            case "slope":
                one, none = (self.at(leaf.atoms, self.code.constant(x)) for x in (1, 0))
                return self.terms.joined("-", one, none)
            case "at-low" | "at-high":
                return self.at(leaf.atoms, self.code.read(Level.ROW, leaf.what.removeprefix("at-")))
            case "still":
                now = self.at(leaf.atoms, self.code.read(Level.ROW, "now"))
                alone = self.code.apply("==", self.code.read(Level.ROW, "orders"), self.code.constant(0))
                return Num(self.code.apply("given", now.step, alone), now.scale, now.den)
        raise NotVectorError(f"a leaf `{leaf.what}`")

    def at(self, atoms: Sequence[Atom], holding: int) -> Num:
        """What the ordered name contributes at a holding; working orders add nothing while unfilled."""
        return self.old.contribution(atoms, self.around, holding)

    # ---- formulas --------------------------------------------------------------------------------------

    def truth(self, node: f.Truth) -> int:
        """The step of a condition."""
        match node:
            case f.Known(value=value):
                return self.code.truth(value)
            case f.Test(op=op, left=left, right=right):
                return self.code.apply(_SAME_OP[op], self.number(left), self.number(right))
            case f.Same(name=name, word=word):
                return self._same(name, word)
            case f.Logic(op="not", items=(item,)):
                return self.code.apply("not", self.truth(item))
            case f.Logic(op=op, items=items):
                return reduce(lambda a, b: self.code.apply(op, a, b), [self.truth(x) for x in items])

    def _same(self, name: str, word: str) -> int:
        """Whether a symbol slot of the order or of the leaves holds a word."""
        if name in self.found:
            step, flag = self.found[name], word == "TRUE"
        else:
            fact = self.slots[name]
            step = self.code.read(Level.ROW, "order", fact)
            flag = self.vocabulary.names[fact].unit.kind is Kind.BOOL
        if flag:
            return step
        return self.code.apply("same", step, self.code.word(self.terms.tables.word(word)))

    def number(self, node: f.Number) -> int:
        """The step of an integer."""
        match node:
            case f.Int(value=value):
                return self.code.constant(value)
            case f.Var(name=name):
                return self._variable(name)
            case f.Pick(condition=condition, yes=yes, no=other):
                return self.code.apply("if", self.truth(condition), self.number(yes), self.number(other))
            case f.Apply(op=op, items=items):
                steps = [self.number(x) for x in items]
                if op == "abs":
                    return self.code.apply(op, *steps)
                return reduce(lambda a, b: self.code.apply(op, a, b), steps)

    def _variable(self, name: str) -> int:
        if name in self.found:
            return self.found[name]
        fact = self.slots[name]
        if self.vocabulary.names[fact].unit.kind not in NUMERIC:
            raise NotVectorError(f"{fact} is no number")
        return self.code.read(Level.ROW, "order", fact)
