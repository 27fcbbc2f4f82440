"""Which rules CLIPS can judge from one row of integers, and the row's layout.

In: the variants of `emit.py`. Out: `RowPlan`: constructs over a single template, and for each slot what fills it.
Guaranteed: a rule of the plan has exactly one subject for one order, and its formulas are those of `lower.py`, word for
word; every variant has a switch, so that what is not known for an order is not judged. Refused: nothing; rules of other
shapes are listed in `rest`, for `contextbook.py`.
Why a row: an order of an account and a name never seen before then costs one fact, not one for each rule. Before:
`emit.py`. After: `rows.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal as OneOf

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.emit import Plan, Variant, default_number, default_word, frame, slot_of, variants_of
from lexorder.engine.expert.live import is_timed
from lexorder.engine.expert.lower import Scales
from lexorder.engine.expert.lowered import Leaf, variable_of
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.rule import Rule
from lexorder.engine.subjects import NAMED, reaches_everything
from lexorder.engine.terms import Aggregate, Field, Key, Term, depends_on_fills
from lexorder.engine.units import Kind

Place = OneOf["account", "instrument", "trader", "strategy", "single", "line", "sum", "fill"]
"""What a prepared value depends on: one thing alone, one name of one account, a running sum, the day's fills."""
ENDS = ("low", "high", "held", "slope", "at-low", "at-high", "still")
SUMS = ("old", "others", "others-mixed")
_OWN: dict[str, Place] = {
    "account": "account",
    "instrument": "instrument",
    "market": "instrument",
    "trader": "trader",
    "strategy": "strategy",
    "position": "line",
}
_FIXED: dict[str, Place] = {
    "order.symbol": "instrument",
    "order.account": "account",
    "order.trader": "trader",
    "order.strategy": "strategy",
    "position.symbol": "instrument",
    "position.account": "account",
}
_SUMMED = {"position": "sum", "working_order": "sum", "fill": "fill"}
_ORDER: tuple[Place, ...] = ("single", "account", "instrument", "trader", "strategy")

ALL: tuple[Place, ...] = (*_ORDER, "sum", "line", "fill")
"""Cells stand in the row in this order of their places."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One prepared value of the row.

    `entity` is the rule's subject, by kind. `scope` is what a sum runs over: `all` of the account, the ordered name
    (`own`), or the instrument field that groups. `timed` says that the clock alone can change the value.
    """

    number: int
    leaf: Leaf
    entity: str
    place: Place
    scope: str
    timed: bool

    @property
    def slot(self) -> str:
        """Its slot in the row."""
        return f"g{self.number}"


@dataclass(frozen=True, slots=True)
class Rowed:
    """One variant: its switch, and the cells of its leaves in their order. `guard` is what must hold to need them."""

    variant: Variant
    number: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The layout: switches, the side and the order's own slots, then cells by place."""

    constructs: tuple[str, ...]
    rules: tuple[Rule, ...]
    rest: tuple[Rule, ...]
    rowed: tuple[Rowed, ...]
    order: tuple[Name, ...]
    cells: tuple[Cell, ...]
    by_place: dict[Place, tuple[Cell, ...]]


@dataclass(slots=True)
class _Draft:
    vocabulary: Vocabulary
    cells: dict[tuple[Leaf, str], Cell] = field(default_factory=dict)
    rowed: list[Rowed] = field(default_factory=list)


def rowplan(plan: Plan, rules: Sequence[Rule], vocabulary: Vocabulary, scales: Scales) -> RowPlan:
    """The row for those of `rules` that can be judged from one, its numbers at these scales."""
    draft = _Draft(vocabulary)
    kept, rest = [], []
    for rule in rules:
        own = rule.id in plan.variants and is_single(rule, vocabulary)
        if own and _take(rule, variants_of(rule, plan.sides, vocabulary, scales), draft):
            kept.append(rule)
        else:
            rest.append(rule)
    by_place: dict[Place, tuple[Cell, ...]] = {
        place: tuple(c for c in draft.cells.values() if c.place == place) for place in ALL
    }
    cells = tuple(c for place in ALL for c in by_place[place])
    names = {name for r in draft.rowed for name in r.variant.lowered.slots}
    order = tuple(n for n in plan.slots if n.name in names)
    texts = _texts(draft.rowed, order, cells, plan.sides)
    return RowPlan(texts, tuple(kept), tuple(rest), tuple(draft.rowed), order, cells, by_place)


def is_single(rule: Rule, vocabulary: Vocabulary) -> bool:
    """Whether a rule has one subject for one order, known from the order and its instrument."""
    kind = rule.for_each
    groups = vocabulary.entities[kind].groups
    if kind not in ("order", "account", "trader", *NAMED) and not groups:
        return False
    terms = [t for t in (rule.when, rule.require) if t is not None]
    names = [n.name for t in terms for n in t.walk() if isinstance(n, Field)]
    derived = any(vocabulary.names[n].derived for n in names)
    return not derived and not ((groups or kind in NAMED) and reaches_everything(rule))


def is_of_working(cell: Cell) -> bool:
    """Whether a cell is a number that working orders add money to."""
    terms = [t for t in (cell.leaf.term, *(a.term for a in cell.leaf.atoms)) if t is not None]
    found = any(isinstance(n, Aggregate) and n.collection == "working_order" for t in terms for n in t.walk())
    return found and cell.leaf.kind == "number"


# ---- what the values depend on ---------------------------------------------------------------------


def _take(rule: Rule, variants: Iterable[Variant], draft: _Draft) -> bool:
    """Give a rule's leaves their cells; False, and nothing taken, when one has no place."""
    known, number = dict(draft.cells), len(draft.rowed)
    for variant in variants:
        cells = [_cell(leaf, rule, draft) for leaf in variant.lowered.leaves]
        if None in cells:
            draft.cells = known
            del draft.rowed[number:]
            return False
        draft.rowed.append(Rowed(variant, len(draft.rowed), tuple(c for c in cells if c is not None)))
    return True


def _cell(leaf: Leaf, rule: Rule, draft: _Draft) -> Cell | None:
    terms = [t for t in (leaf.term, *(t for a in leaf.atoms for t in (a.term, a.times.term))) if t is not None]
    place = _place(leaf, terms, draft.vocabulary)
    if place is None:
        return None
    scope = _scope(leaf, rule, draft.vocabulary) if place == "sum" else ""
    if (leaf, scope) not in draft.cells:
        timed = any(is_timed(t, draft.vocabulary) for t in terms)
        draft.cells[leaf, scope] = Cell(len(draft.cells), leaf, rule.for_each, place, scope, timed)
    return draft.cells[leaf, scope]


def _scope(leaf: Leaf, rule: Rule, vocabulary: Vocabulary) -> str:
    if isinstance(leaf.term, Aggregate) and leaf.term.owner == "account":
        return "all"
    return "own" if rule.for_each in NAMED else vocabulary.entities[rule.for_each].groups or "all"


def _place(leaf: Leaf, terms: Sequence[Term], vocabulary: Vocabulary) -> Place | None:
    if leaf.what in SUMS:
        return "sum"
    if leaf.what in ENDS:
        return "line"
    found = frozenset().union(*(places(t, vocabulary) for t in terms))
    if "none" in found:
        return None
    if "fill" in found:
        return "fill" if _is_bare(leaf) else None
    if "sum" in found:
        # a running sum stands alone: products and comparisons of sums are worked out by the other way
        return "sum" if _is_bare(leaf) else None
    for place in _ORDER:
        if found <= {place, "single"}:
            return place
    return "line"


def _is_bare(leaf: Leaf) -> bool:
    """Whether a leaf is one sum or count and nothing else."""
    term = leaf.term
    alone = isinstance(term, Aggregate) and term.kind in ("sum", "count")
    return alone and not any(isinstance(n, Aggregate) and n is not term for n in term.walk())  # type: ignore[union-attr]


def places(term: Term, vocabulary: Vocabulary) -> frozenset[str]:
    """What a term reads, by place; `none` for what has no place in a row."""
    found: set[str] = set()
    for node in term.walk():
        if isinstance(node, Field):
            found.add(_field_place(node, vocabulary))
        elif isinstance(node, Key):
            groups = vocabulary.entities[node.entity].groups
            found.add("instrument" if groups else _OWN.get(node.entity, "none"))
        elif isinstance(node, Aggregate) and node.collection != "order":  # of orders there is one
            found.add(_SUMMED.get(node.collection, "none"))
    return frozenset(found) or frozenset({"single"})


def _field_place(node: Field, vocabulary: Vocabulary) -> str:
    entity = node.name.split(".", 1)[0]
    if node.name in _FIXED:
        return _FIXED[node.name]
    if depends_on_fills(node) or entity == "working_order":
        return "sum"
    if entity == "fill":
        return "fill"
    if vocabulary.entities[entity].single:
        return "single"
    return _OWN.get(entity, "none")


# ---- text ------------------------------------------------------------------------------------------


def switch(number: int) -> str:
    """The slot that turns a variant on."""
    return f"on{number}"


def _texts(
    rowed: Sequence[Rowed], order: Sequence[Name], cells: Sequence[Cell], sides: tuple[str, ...]
) -> tuple[str, ...]:
    slots = [f"(slot {switch(r.number)} (type SYMBOL) (default FALSE))" for r in rowed]
    slots.append(f"(slot side (type SYMBOL) (default {sides[0]}))")
    for name in order:
        if name.unit.kind is Kind.NUMBER:
            slots.append(f"(slot {slot_of(name.name)} (type INTEGER) (default {default_number(name)}))")
        else:
            slots.append(f"(slot {slot_of(name.name)} (type SYMBOL) (default {default_word(name)}))")
    slots += [f"(slot {c.slot} (type {_TYPES[c.leaf.kind]}))" for c in cells]
    return (
        f"(deftemplate row {' '.join(slots)})",
        *frame(),
        "(defrule row-done (declare (salience -10000)) (row) => )",
        *(_rule(r, sides) for r in rowed),
    )


_TYPES = {"number": "INTEGER", "raw": "INTEGER", "flag": "SYMBOL", "word": "SYMBOL"}


def _rule(rowed: Rowed, sides: tuple[str, ...]) -> str:
    """One rule: the switch and the side first, words next, then numbers with all tests on the last of them."""
    variant, lowered = rowed.variant, rowed.variant.lowered
    slot_by_variable = {f"k{n}": c.slot for n, c in enumerate(rowed.cells)}
    slot_by_variable |= {variable_of(name): slot_of(name) for name in lowered.slots}
    items = f.conjuncts(lowered.broken)
    often = Counter(v for node in (*items, lowered.passive) for v in f.variables(node))
    # A word beside a predicate in one slot is taken by CLIPS for the whole test: then it is compared in the predicate.
    words = {i.name: i.word for i in items if isinstance(i, f.Same) and often[i.name] == 1}
    rest = f.both(*(i for i in items if not (isinstance(i, f.Same) and i.name in words)))
    parts = [f"({switch(rowed.number)} TRUE)"]
    if variant.sides != sides:
        parts.append(f"(side {'|'.join(variant.sides)})")
    parts += [f"({slot_by_variable[v]} {word})" for v, word in words.items()]
    bound = [f"({slot_by_variable[v]} ?{v}" for v in dict.fromkeys((*f.variables(rest), *f.variables(lowered.passive)))]
    if bound and rest != f.YES:
        bound[-1] += f"&:{f.text(rest)}"
    parts += [b + ")" for b in bound]
    passive = lowered.passive
    status = f"(if {f.text(passive)} then passive else breach)"
    if isinstance(passive, f.Known):
        status = "passive" if passive.value else "breach"
    found = f"(assert (finding (rule {variant.rule.id}) (subject *this*) (status {status})))"
    return f"(defrule {variant.name} (row {' '.join(parts)}) => {found})"
