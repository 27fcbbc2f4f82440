"""Rules to CLIPS constructs: templates, one defrule per part and side, and the frame they work in.

In: rules and the vocabulary. Out: `Plan`: constructs as text, the variants that CLIPS works out itself, and for every
other rule the reason why not. Guaranteed: text is made only of the engine's own words, rule identifiers, enumeration
words and integers, never of facts; every rule is in the plan once, by its own formulas or as an exact verdict. Refused
by ExpertError `expert-construct`: identifiers that are no CLIPS symbols, two rules of one name.
Shape of a rule: prepared leaves first, the order last, tests on the order alone inside its pattern, so that an order
passes the pattern network once and joins by one hashed integer. Before: `lower.py`. After: `contexts.py`, `book.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from lexorder.engine.errors import ExpertError, shown
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.atoms import NotLoweredError
from lexorder.engine.expert.leaves import leaf_slots
from lexorder.engine.expert.lower import Scales, lower, parts_of
from lexorder.engine.expert.lowered import Lowered, variable_of
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.rule import Rule
from lexorder.engine.terms import Field, Term, depends_on_fills
from lexorder.engine.units import Kind

SIDE = "order.side"
THIS, NOBODY = "*this*", "*none*"
"""How a finding names the order under test, and a subject whose key is not known: no identifier looks so."""
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,119}\Z")


@dataclass(frozen=True, slots=True)
class Variant:
    """One part of a rule for some sides, worked out by CLIPS.

    `template` is the template of its leaves, empty when it reads the order alone.
    """

    name: str
    template: str
    rule: Rule
    sides: tuple[str, ...]
    lowered: Lowered


@dataclass(frozen=True, slots=True)
class Plan:
    """How each rule is handled. `slots` are the `order.*` names the order fact carries, besides its side."""

    constructs: tuple[str, ...]
    variants: dict[str, tuple[Variant, ...]]
    exact: dict[str, str]
    slots: tuple[Name, ...]
    sides: tuple[str, ...]


@dataclass(slots=True)
class _Draft:
    variants: dict[str, tuple[Variant, ...]] = field(default_factory=dict)
    exact: dict[str, str] = field(default_factory=dict)
    slots: dict[str, None] = field(default_factory=dict)


def plan(rules: Sequence[Rule], vocabulary: Vocabulary) -> Plan:
    """The plan for the `require` rules among `rules`. Raises ExpertError `expert-construct`."""
    sides = vocabulary.names[SIDE].unit.values
    draft = _Draft()
    for rule in rules:
        if rule.require is None:
            continue
        if not _SYMBOL.match(rule.id) or rule.id in draft.variants or rule.id in draft.exact:
            raise ExpertError("expert-construct", f"the rule name {shown(rule.id)} is used twice or is no symbol")
        _plan_rule(rule, sides, vocabulary, draft)
    slots = tuple(vocabulary.names[name] for name in draft.slots)
    variants = [v for group in draft.variants.values() for v in group]
    constructs = (*_frame(slots, sides), *(text for v in variants for text in _variant(v, sides)))
    return Plan(constructs, draft.variants, draft.exact, slots, sides)


def _plan_rule(rule: Rule, sides: tuple[str, ...], vocabulary: Vocabulary, draft: _Draft) -> None:
    try:
        _refuse_unseen(rule)
        found = variants_of(rule, sides, vocabulary)
        slots = {name: None for v in found for name in v.lowered.slots}
        for name in slots:
            _admissible(vocabulary.names[name])
    except NotLoweredError as reason:
        draft.exact[rule.id] = str(reason)
        return
    draft.variants[rule.id] = found
    draft.slots |= slots


def _refuse_unseen(rule: Rule) -> None:
    """Collections that live beside the positions and orders are read by the exact evaluator only."""
    if rule.for_each in ("signal", "quote", "fill", "working_order"):
        raise NotLoweredError(f"it is for each {rule.for_each}")


def variants_of(
    rule: Rule, sides: tuple[str, ...], vocabulary: Vocabulary, scales: Scales | None = None
) -> tuple[Variant, ...]:
    """A rule's parts for each side, alike sides together. Raises NotLoweredError."""
    found: list[Variant] = []
    for number, part in enumerate(parts_of(rule)):
        grouped: dict[Lowered, list[str]] = {}
        for side in sides:
            lowered = lower(rule, part, side, vocabulary, scales)
            if lowered.broken != f.NO:
                grouped.setdefault(lowered, []).append(side)
        for lowered, alike in grouped.items():
            name = f"{rule.id}-{number + 1}-{alike[0].replace('_', '-')}"
            alone = not lowered.leaves and not needs_subject(rule) and _fits(lowered, vocabulary)
            template = "" if alone else f"leaves-{name}"
            found.append(Variant(name, template, rule, tuple(alike), lowered))
    return tuple(found)


def _fits(lowered: Lowered, vocabulary: Vocabulary) -> bool:
    """Whether the declared bounds of the order's names alone prove that nothing overflows."""
    ranges: dict[str, f.Range] = {}
    for name in (vocabulary.names[n] for n in lowered.slots):
        if name.minimum is not None and name.maximum is not None:
            scale = 10**name.scale
            ranges[variable_of(name.name)] = (min(0, int(name.minimum * scale)), int(name.maximum * scale))
    try:
        f.check(lowered.broken, ranges)
        f.check(lowered.passive, ranges)
    except f.WideError:
        return False
    return True


def needs_subject(rule: Rule) -> bool:
    """Whether a finding must say for whom it is: all but rules for each order, of which there is one."""
    return rule.for_each != "order" or (rule.when is not None and not _reads_order(rule.when))


def _reads_order(term: Term) -> bool:
    return any(isinstance(n, Field) and n.name.startswith("order.") for n in term.walk()) or depends_on_fills(term)


def _admissible(name: Name) -> None:
    words = name.unit.values if name.unit.kind is Kind.ENUM else ()
    if not all(_SYMBOL.match(w) for w in words):
        raise NotLoweredError(f"`{name.name}` has values that are no CLIPS symbols")
    if name.unit.kind not in (Kind.ENUM, Kind.BOOL, Kind.NUMBER):
        raise NotLoweredError(f"`{name.name}` is neither number nor enumeration")


# ---- text ------------------------------------------------------------------------------------------


def default_word(name: Name) -> str:
    """What the order's slot holds when nothing is put: the vocabulary's default, else the first value."""
    if name.unit.kind is Kind.BOOL:
        return "TRUE" if name.default is True else "FALSE"
    return str(name.default) if name.default is not None else name.unit.values[0]


def default_number(name: Name) -> int:
    """What the order's slot holds when nothing is put, in the slot's scale; 0 where nobody may read it then."""
    scaled = name.default * 10**name.scale if isinstance(name.default, Fraction) else Fraction(0)
    return int(scaled)


def slot_of(name: str) -> str:
    """The slot of an `order.*` name: its variable without the mark."""
    return variable_of(name)[2:]


def _frame(slots: Iterable[Name], sides: tuple[str, ...]) -> tuple[str, ...]:
    """The templates and rules that are there whatever the rule book says."""
    given = [f"(slot side (type SYMBOL) (default {sides[0]}))"]
    for name in slots:
        if name.unit.kind is Kind.NUMBER:
            given.append(f"(slot {slot_of(name.name)} (type INTEGER) (default {default_number(name)}))")
        else:
            given.append(f"(slot {slot_of(name.name)} (type SYMBOL) (default {default_word(name)}))")
    return (
        "(deftemplate context (slot ctx (type INTEGER)))",
        f"(deftemplate order (slot ctx (type INTEGER)) {' '.join(given)})",
        *frame(),
        # These fire last and always. If they did not, something before them stopped CLIPS.
        "(defrule order-done (declare (salience -10000)) (context (ctx ?ctx)) (order (ctx ?ctx)) => )",
    )


def frame() -> tuple[str, ...]:
    """Verdicts that are told, findings, and what happens between them."""
    status = "(slot rule (type SYMBOL)) (slot subject (type SYMBOL)) (slot status (type SYMBOL))"
    return (
        f"(deftemplate verdict {status})",
        "(deftemplate verdicts (slot ctx (type INTEGER)))",
        f"(deftemplate finding {status})",
        (
            "(defrule take-verdict (declare (salience 100)) (verdict (rule ?rule) (subject ?subject) (status ?status))"
            " => (assert (finding (rule ?rule) (subject ?subject) (status ?status))))"
        ),
        (
            "(defrule breach-outranks-passive (declare (salience -100))"
            " (finding (rule ?rule) (subject ?subject) (status breach))"
            " ?weaker <- (finding (rule ?rule) (subject ?subject) (status passive)) => (retract ?weaker))"
        ),
        "(defrule verdicts-done (declare (salience -10000)) (verdicts) => )",
    )


def _variant(variant: Variant, sides: tuple[str, ...]) -> tuple[str, ...]:
    rule = _rule_text(variant, sides)
    if not variant.template:
        return (rule,)
    head = "(slot ctx (type INTEGER)) (slot subject (type SYMBOL))"
    return (f"(deftemplate {variant.template} {head} {leaf_slots(variant.lowered.leaves)})", rule)


def _rule_text(variant: Variant, sides: tuple[str, ...]) -> str:
    lowered = variant.lowered
    of_order = frozenset(variable_of(name) for name in lowered.slots)
    used = list(dict.fromkeys((*f.variables(lowered.broken), *f.variables(lowered.passive))))
    of_leaves = frozenset(used) - of_order
    order, leaves, joined = _split(lowered.broken, of_order, of_leaves)
    order_text = _order_pattern(variant, [v for v in used if v in of_order], order, sides)
    leaf_text = _leaf_pattern(variant, [v for v in used if v in of_leaves], leaves)
    test = f" (test {f.text(joined)})" if joined != f.YES else ""
    subject = "?subject" if variant.template else THIS
    status = _status(lowered.passive)
    return (
        f"(defrule {variant.name}{leaf_text} {order_text}{test}"
        f" => (assert (finding (rule {variant.rule.id}) (subject {subject}) (status {status}))))"
    )


def _status(passive: f.Truth) -> str:
    if isinstance(passive, f.Known):
        return "passive" if passive.value else "breach"
    return f"(if {f.text(passive)} then passive else breach)"


def _split(broken: f.Truth, of_order: frozenset[str], of_leaves: frozenset[str]) -> tuple[f.Truth, f.Truth, f.Truth]:
    """The conjuncts that read the order alone, those that read the leaves alone, and the others."""
    items = f.conjuncts(broken)
    order = [i for i in items if set(f.variables(i)) <= of_order]
    leaves = [i for i in items if set(f.variables(i)) <= of_leaves and i not in order]
    return f.both(*order), f.both(*leaves), f.both(*(i for i in items if i not in order and i not in leaves))


def _leaf_pattern(variant: Variant, used: list[str], alone: f.Truth) -> str:
    """The leaves' pattern; tests on them alone run when the leaves are prepared, not when the order comes."""
    if not variant.template:
        return ""
    slots = _tested([f"({name} ?{name}" for name in used], alone)
    return f" ({variant.template} (ctx ?ctx) (subject ?subject){''.join(' ' + slot for slot in slots)})"


def _tested(slots: list[str], alone: f.Truth) -> list[str]:
    """Slots closed, with the tests on the last one, where all variables are known."""
    if slots and alone != f.YES:
        slots[-1] += f"&:{f.text(alone)}"
    return [slot + ")" for slot in slots]


def _order_pattern(variant: Variant, used: list[str], alone: f.Truth, sides: tuple[str, ...]) -> str:
    """The order's pattern; tests on it alone hang on its last slot, so that they run in the pattern network."""
    parts = ["(ctx ?ctx)"] if variant.template else []
    if variant.sides != sides:
        parts.append(f"(side {'|'.join(variant.sides)})")
    parts += _tested([f"({name[2:]} ?{name}" for name in used], alone)
    return f"(order {' '.join(parts)})"
