"""Derive rules and reactions as CLIPS constructs that chain on each other.

In: `derive` and `then` rules with their strata. Out: `Chain`: constructs, and how each rule's condition is handled.
Guaranteed: a name is settled after all rules that derive it and before any rule that reads it; with nothing derived it
has its default, with two values or a doubt it is unknown and nobody fires on it. Refused by ExpertError
`expert-construct`: identifiers that are no CLIPS symbols. A rule whose condition cannot be lowered is told the exact
evaluator's answer as a fact and chains all the same.
How the order is kept: stratum n of the rules has salience 1000 - 20 n, its names settle 10 below. Before: `lower.py`.
After: `inference.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lexorder.engine.errors import ExpertError, shown
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.atoms import Frame, NotLoweredError, is_static
from lexorder.engine.expert.formula import Truth
from lexorder.engine.expert.leaves import leaf_slots
from lexorder.engine.expert.lower import Lowering
from lexorder.engine.expert.lowered import DENOMINATOR, Leaf
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Rule
from lexorder.engine.terms import Field, If, Literal, Term
from lexorder.engine.units import Kind

UNKNOWN = "unknown-value"
"""What a derived name is when two rules differ on it or one could not be worked out."""
_TOP, _STEP = 1000, 20
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,119}\Z")


@dataclass(frozen=True, slots=True)
class Link:
    """A derived name a rule reads, and the entity its path starts from. The variable `?w{i}` holds its value."""

    name: str
    via: str


@dataclass(frozen=True, slots=True)
class Chained:
    """One rule. `why_not` is empty when CLIPS works its condition and values out itself."""

    rule: Rule
    condition: Truth = f.YES
    values: tuple[str, ...] = ()
    leaves: tuple[Leaf, ...] = ()
    links: tuple[Link, ...] = ()
    nodes: tuple[f.Node, ...] = ()
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """All rules that chain, the constructs, and which rules derive which name."""

    constructs: tuple[str, ...]
    rules: dict[str, Chained]
    makers: dict[str, tuple[Rule, ...]]


def chain(rules: Sequence[Rule], vocabulary: Vocabulary) -> Chain:
    """The chain of the `derive` and `then` rules among `rules`. Raises ExpertError `expert-construct`."""
    chosen = [r for r in rules if r.derive or r.then]
    makers: dict[str, tuple[Rule, ...]] = {}
    for rule in chosen:
        for name in dict.fromkeys(name for name, _ in rule.derive):
            makers[name] = (*makers.get(name, ()), rule)
    found: dict[str, Chained] = {}
    for rule in chosen:
        if not _SYMBOL.match(rule.id) or rule.id in found:
            raise ExpertError("expert-construct", f"the rule name {shown(rule.id)} is used twice or is no symbol")
        found[rule.id] = _chained(rule, vocabulary, frozenset(makers))
    constructs = [*_FRAME, *(t for name, rs in makers.items() for t in _settling(name, rs, vocabulary))]
    constructs += [text for c in found.values() for text in _texts(c)]
    return Chain(tuple(constructs), found, makers)


# ---- lowering --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Chaining(Lowering):
    """Lowers a condition; derived names stay names, for CLIPS to chain on."""

    derived: frozenset[str] = frozenset()
    links: dict[Link, int] = field(default_factory=dict)
    nodes: list[f.Node] = field(default_factory=list)

    def fixed(self, term: Term) -> bool:
        return is_static(term) and not any(isinstance(n, Field) and n.name in self.derived for n in term.walk())

    def told(self, term: Term, frame: Frame) -> Truth:
        if isinstance(term, Field) and term.name in self.derived:
            return self.linked(term, "TRUE")
        return Lowering.told(self, term, frame)

    def enumerated(self, term: Term, word: str, frame: Frame) -> Truth:
        if isinstance(term, Field) and term.name in self.derived:
            return self.linked(term, word)
        return Lowering.enumerated(self, term, word, frame)

    def linked(self, term: Field, word: str) -> Truth:
        return f.Same(f"w{self.links.setdefault(Link(term.name, term.via), len(self.links))}", word)

    def word(self, name: str, word: str) -> Truth:  # noqa: ARG002  the base's signature
        raise NotLoweredError(f"`{name}` of no order")

    def value_text(self, term: Term) -> str:
        """A derived value as CLIPS text: a word, or a choice between words."""
        match term:
            case Literal(value=bool(value)):
                return "TRUE" if value else "FALSE"
            case Literal(value=str(value)) if _SYMBOL.match(value):
                return value
            case If(condition=condition, yes=yes, no=no):
                chosen = self.truth(condition, "subject")
                self.nodes.append(chosen)
                return f"(if {f.text(chosen)} then {self.value_text(yes)} else {self.value_text(no)})"
        raise NotLoweredError("it derives an amount")


def _chained(rule: Rule, vocabulary: Vocabulary, derived: frozenset[str]) -> Chained:
    lowering = _Chaining(rule, "", vocabulary, derived=derived)
    try:
        condition = f.YES if rule.when is None else lowering.truth(rule.when, "subject")
        values = tuple(lowering.value_text(term) for _, term in rule.derive)
    except NotLoweredError as reason:
        return Chained(rule, why_not=str(reason))
    nodes = (condition, *lowering.nodes)
    return Chained(rule, condition, values, tuple(lowering.leaves), tuple(lowering.links), nodes)


# ---- text ------------------------------------------------------------------------------------------

_FRAME = (
    "(deftemplate demand (slot name (type SYMBOL)) (slot key (type SYMBOL)))",
    "(deftemplate derived (slot name (type SYMBOL)) (slot key (type SYMBOL)) (slot value) (slot rule (type SYMBOL)))",
    "(deftemplate doubt (slot name (type SYMBOL)) (slot key (type SYMBOL)))",
    "(deftemplate known (slot name (type SYMBOL)) (slot key (type SYMBOL)) (slot value))",
    "(deftemplate fired (slot rule (type SYMBOL)) (slot key (type SYMBOL)))",
    "(deftemplate unsure (slot rule (type SYMBOL)) (slot key (type SYMBOL)))",
    "(deftemplate unknown (slot rule (type SYMBOL)) (slot key (type SYMBOL)))",
    "(deftemplate look (slot number (type INTEGER)))",
    "(defrule look-done (declare (salience -10000)) (look) => )",
)


def _settling(name: str, makers: Iterable[Rule], vocabulary: Vocabulary) -> tuple[str, ...]:
    """Rules that fix what a derived name is for whoever demands it."""
    salience = _TOP - _STEP * max(r.stratum for r in makers) - _STEP // 2
    declared = vocabulary.names[name]
    default = UNKNOWN
    if isinstance(declared.default, bool):
        default = "TRUE" if declared.default else "FALSE"
    elif declared.unit.kind is Kind.ENUM and declared.default is not None:
        default = str(declared.default)
    head = f"(declare (salience {salience})) (demand (name {name}) (key ?key))"
    known = f"=> (assert (known (name {name}) (key ?key) (value"
    of = f"(name {name}) (key ?key)"
    return (
        f"(defrule {name}-default {head} (not (derived {of})) (not (doubt {of})) {known} {default}))))",
        (
            f"(defrule {name}-one {head} (derived {of} (value ?value)) (not (derived {of} (value ~?value)))"
            f" (not (doubt {of})) {known} ?value))))"
        ),
        (
            f"(defrule {name}-two {head} (derived {of} (value ?value)) (derived {of} (value ~?value))"
            f" {known} {UNKNOWN}))))"
        ),
        f"(defrule {name}-doubt {head} (doubt {of}) {known} {UNKNOWN}))))",
    )


def leaves_template(rule: str) -> str:
    """The template of a rule's prepared leaves."""
    return f"leaves-{rule}"


def told_template(rule: str) -> str:
    """The template of the exact evaluator's answer on a rule."""
    return f"told-{rule}"


def _texts(chained: Chained) -> tuple[str, ...]:
    rule = chained.rule
    salience = _TOP - _STEP * rule.stratum if rule.derive else 0
    head = f"(declare (salience {salience}))"
    values = "".join(f" (slot v{i})" for i in range(len(rule.derive)))
    key = "(slot key (type SYMBOL))"
    told = f"({told_template(rule.id)} (key ?key)"
    given = "".join(f" (v{i} ?v{i})" for i in range(len(rule.derive)))
    texts = [
        f"(deftemplate {told_template(rule.id)} {key} (slot holds (type SYMBOL)){values})",
        (
            f"(defrule {rule.id}-told {head} {told} (holds TRUE){given}) =>"
            f" {_consequence(rule, [f'?v{i}' for i in range(len(rule.derive))])})"
        ),
        f"(defrule {rule.id}-unknown {head} {told} (holds {UNKNOWN})) => {_doubt(rule)})",
    ]
    if not chained.why_not:
        texts += _own(chained, head)
    return tuple(texts)


def _own(chained: Chained, head: str) -> list[str]:
    """The constructs of a rule that CLIPS works out itself."""
    rule = chained.rule
    links = "".join(f" (slot y{i} (type SYMBOL))" for i in range(len(chained.links)))
    used = dict.fromkeys(v for node in chained.nodes for v in f.variables(node) if v[0] in ("k", DENOMINATOR))
    keys = "".join(f" (y{i} ?y{i})" for i in range(len(chained.links)))
    leaves = f"({leaves_template(rule.id)} (key ?key){keys}{''.join(f' ({v} ?{v})' for v in used)})"
    known = "".join(
        f" (known (name {link.name}) (key ?y{i}) (value ?w{i}&~{UNKNOWN}))" for i, link in enumerate(chained.links)
    )
    test = f" (test {f.text(chained.condition)})" if chained.condition != f.YES else ""
    unsure = [
        (
            f"(defrule {rule.id}-unsure-{i} {head} ({leaves_template(rule.id)} (key ?key) (y{i} ?y))"
            f" (known (name {link.name}) (key ?y) (value {UNKNOWN}))"
            f" => (assert (unsure (rule {rule.id}) (key ?key))))"
        )
        for i, link in enumerate(chained.links)
    ]
    return [
        f"(deftemplate {leaves_template(rule.id)} (slot key (type SYMBOL)) {leaf_slots(chained.leaves)}{links})",
        f"(defrule {rule.id} {head} {leaves}{known}{test} => {_consequence(rule, chained.values)})",
        *unsure,
    ]


def _consequence(rule: Rule, values: Sequence[str]) -> str:
    derived = "".join(
        f" (assert (derived (name {name}) (key ?key) (value {value}) (rule {rule.id})))"
        for (name, _), value in zip(rule.derive, values, strict=True)
    )
    return f"(assert (fired (rule {rule.id}) (key ?key))){derived}"


def _doubt(rule: Rule) -> str:
    doubts = "".join(
        f" (assert (doubt (name {name}) (key ?key)))" for name in dict.fromkeys(name for name, _ in rule.derive)
    )
    return f"(assert (unknown (rule {rule.id}) (key ?key))){doubts}"
