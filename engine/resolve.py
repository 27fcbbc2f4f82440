"""Names inside expressions: what they stand for, what can be read where, what an aggregate runs over.

In: syntax nodes, the vocabulary, the subject, the `let` names. Out: fields with definitions put in. Guaranteed: a name
is only accepted where something bound leads to it; a definition reads the links of the entity it was written for,
wherever it is used. Refused (RuleFileError): `unknown-name`, `unknown-value`, `no-subject`, `no-collection`.
Why a base class of the checker and not functions: all of it needs what is bound at the moment.
Before: `names.py`, `syntax.py`. After: `typecheck.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from lexorder.engine import syntax
from lexorder.engine.codes import nearest_name, refuse
from lexorder.engine.errors import shown
from lexorder.engine.fit import a_unit
from lexorder.engine.names import ALWAYS, Vocabulary
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Aggregate, Field, Span, Term
from lexorder.engine.units import Kind, Unit

NODES_MAX = 5_000
"""Nodes of one term, once definitions and `let` names are put in."""
DEPTH_MAX = 200
"""Levels of one term; keeps every later walk far from Python's recursion limit."""

AGGREGATES = ("sum", "count", "any", "all")


@dataclass
class Resolver:
    """What the checker knows of names.

    `subject` is the entity of `for_each`. `lets` are the values in force. `used` collects the `let` names met with the
    term each first became, for messages and for finding names never used. `bound` are the entities that names are
    read from, innermost first; `within` the `let` names being put in; `nodes` and `depth` guard the size.
    """

    vocabulary: Vocabulary
    subject: str
    lets: Mapping[str, Syntax] = field(default_factory=dict)
    used: dict[str, Term] = field(default_factory=dict)
    bound: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    nodes: int = 0
    depth: int = 0

    def path(self, node: syntax.Name) -> Term:
        """A vocabulary name, with its definition put in."""
        found = self.vocabulary.resolve(node.path)
        if found is None:
            refuse(
                "unknown-name",
                f"{shown(node.path)} is not in the vocabulary",
                node.span,
                self.vocabulary.nearest(node.path, self.subject),
            )
        entity = found.via or found.declared.entity
        self.be_reachable(node, entity)
        if found.declared.means is None:
            return self.field(found.declared.name, found.via, node)
        return self.placed(found.declared.means, found.via, node)

    def field(self, name: str, via: str, node: Syntax) -> Field:
        """A given or fill-dependent name; names there is one of need no path."""
        declared = self.vocabulary.name(name)
        if declared is None:
            refuse("unknown-name", f"{shown(name)} is not in the vocabulary", node.span)
        via = "" if self.vocabulary.everywhere(declared.entity) else via
        bounds = {"minimum": declared.minimum, "maximum": declared.maximum}
        return Field(declared.unit, name, via, **bounds, span=node.span)

    def placed(self, definition: Term, via: str, node: Syntax) -> Term:
        """A definition used at `node`: every part takes that position; a link followed first is put in front."""
        self.nodes += sum(1 for _ in definition.walk())
        self.be_small(node.span)
        return self.moved(definition, via, node)

    def moved(self, term: Term, via: str, node: Syntax) -> Term:
        """A copy at the position of `node`; outside aggregates, names are read through `via` if there is one."""
        changes: dict[str, object] = {"span": node.span}
        inner = "" if isinstance(term, Aggregate) else via
        for name, value in _parts(term):
            changes[name] = (
                tuple(self.moved(part, inner, node) for part in value)
                if isinstance(value, tuple)
                else self.moved(value, inner, node)
            )
        if via and isinstance(term, Field) and not self.vocabulary.everywhere(term.name.split(".")[0]):
            changes["via"] = via
        return replace(term, **changes)  # type: ignore[arg-type]

    def be_reachable(self, node: Syntax, entity: str) -> None:
        """Refuse a name of an entity that nothing bound here leads to."""
        if self.vocabulary.everywhere(entity):
            return
        if any(entity in self.vocabulary.reachable(name) for name in self.bound):
            return
        declared = self.vocabulary.entities[entity]
        article = "an" if self.bound[0][0] in "aeiou" else "a"
        advice = (
            f"put it inside `sum`, `count`, `any` or `all`, or write `for_each: {entity}`"
            if declared.collection
            else f"write `for_each: {entity}`, or reach it from something that has one"
        )
        refuse(
            "no-subject",
            f"{shown(node.text)} belongs to `{entity}`, and the rule is for {article} `{self.bound[0]}`: {advice}",
            node.span,
        )

    def unknown_word(self, node: syntax.Name, want: Unit | None) -> NoReturn:
        """Refuse a bare word, saying what was possible here."""
        if want is not None and want.kind is Kind.ENUM:
            refuse(
                "unknown-value",
                f"{shown(node.path)} is not {a_unit(want)}",
                node.span,
                nearest_name(node.path, want.values),
            )
        if node.path in self.vocabulary.entities:
            refuse(
                "unknown-name",
                f"{shown(node.path)} alone is only the subject of a rule `for_each: {node.path}`: name a field, "
                f"such as {self.some_field(node.path)}",
                node.span,
            )
        if want is not None and want.kind is Kind.TEXT:
            refuse("unknown-name", f'a text stands in quotation marks: write `"{node.path[:60]}"`', node.span)
        refuse(
            "unknown-name",
            f"{shown(node.path)} is neither a `let` name of this rule nor in the vocabulary",
            node.span,
            self.vocabulary.nearest(node.path, self.subject, (*self.lets, self.subject)),
        )

    def some_field(self, entity: str) -> str:
        """A name to suggest."""
        groups = self.vocabulary.entities[entity].groups
        if groups:
            return f"`{groups}`"
        names = self.vocabulary.of_entity(entity)
        return f"`{names[-1].name}`" if names else "one of its names"

    def be_small(self, span: Span) -> None:
        """Refuse an expression that has grown too large."""
        if self.nodes > NODES_MAX or self.depth > DEPTH_MAX:
            refuse(
                "expression-too-large",
                f"with definitions and `let` names put in, the expression has more than {NODES_MAX:,} parts or "
                f"{DEPTH_MAX} levels: split the rule",
                span,
            )

    # ---- what can only be told from elsewhere --------------------------------------------------

    def is_word(self, node: Syntax, seen: set[str] | None = None) -> bool:
        """Whether only the other side of a comparison can tell what the node means."""
        seen = set() if seen is None else seen
        if isinstance(node, syntax.Choice):
            return self.is_word(node.yes, seen) and self.is_word(node.no, seen)
        if not isinstance(node, syntax.Name) or "." in node.path or node.path == self.subject:
            return False
        if node.path in self.lets:
            # A name seen before adds nothing; without this a chain of names could be walked again and again.
            if node.path in seen:
                return True
            seen.add(node.path)
            return self.is_word(self.lets[node.path], seen)
        return True

    def counted(self, body: Syntax) -> str:
        """The collection that `count` names."""
        known = self.vocabulary.collections()
        if isinstance(body, syntax.Name) and body.path in known:
            return body.path
        return refuse(
            "no-collection",
            f"`count` counts members of a collection: write `count({known[0] if known else 'position'} where …)`",
            body.span,
            nearest_name(body.path, known) if isinstance(body, syntax.Name) else "",
        )

    def owns(self, entity: str) -> bool:
        """Whether an aggregate may say whose members it runs over: the account's, or those of a group bound here."""
        return entity in ALWAYS or (entity in self.bound and bool(self.vocabulary.entities[entity].groups))

    def be_counted_whole(self, node: syntax.Call, collection: str) -> None:
        """Refuse an aggregate over issuers (sectors, ...) for a subject that holds only a part of each."""
        if not self.vocabulary.entities[collection].groups or node.owner in ALWAYS:
            return
        if node.owner or self.bound[-1] not in {"account", "order"}:
            refuse(
                "no-collection",
                f"`{node.name.path}` over each `{collection}` counts whole groups of the account, and this is for one "
                f"`{node.owner or self.bound[-1]}`: write `account.{node.name.path}(…)`, or `for_each: account`",
                node.span,
            )

    def collection(self, node: syntax.Call, parts: list[Syntax]) -> str:
        """The one collection that the names inside an aggregate belong to."""
        known = self.vocabulary.collections()
        named = list(dict.fromkeys(h for part in parts for h in self.heads(part, set()) if h in known))
        free = [name for name in named if name not in self.bound] if len(named) > 1 else named
        if len(free) == 1:
            return free[0]
        kind = node.name.path
        if not named:
            refuse(
                "no-collection",
                f"`{kind}` must say what it runs over: use a name of {_either(known)} inside it",
                node.span,
            )
        return refuse(
            "no-collection",
            f"`{kind}` runs over one collection, but names of {' and '.join(f'`{n}`' for n in named)} stand "
            "inside it: use names of one of them only",
            node.span,
        )

    def heads(self, node: Syntax, seen: set[str]) -> Iterator[str]:
        """The entities that names in a part start with; inner aggregates have their own collection."""
        if isinstance(node, syntax.Name) and "." in node.path:
            yield node.path.split(".")[0]
        elif isinstance(node, syntax.Name) and node.path in self.lets and node.path not in seen:
            seen.add(node.path)
            yield from self.heads(self.lets[node.path], seen)
        elif isinstance(node, syntax.Call) and node.name.path in AGGREGATES:
            # `issuer.sum(…)` inside an aggregate over issuers
            yield from [node.owner] if node.owner and not self.vocabulary.everywhere(node.owner) else []
        else:
            for child in node.children():
                yield from self.heads(child, seen)


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _parts(term: Term) -> Iterator[tuple[str, Term | tuple[Term, ...]]]:
    for name in term.__dataclass_fields__:
        value = getattr(term, name)
        if isinstance(value, Term) or (isinstance(value, tuple) and value):
            yield name, value


def tied(term: Term, entity: str, vocabulary: Vocabulary) -> Term:
    """A definition made safe to use anywhere: links it follows start at `entity`, not at whatever is bound.

    `order.notional` reads `instrument.fx`; inside a sum over positions that must stay the order's instrument.
    """
    if isinstance(term, Field):
        owner = vocabulary.name(term.name)
        free = not term.via and owner is not None and owner.entity != entity
        if free and owner and not vocabulary.everywhere(owner.entity) and owner.entity in vocabulary.reachable(entity):
            return replace(term, via=entity)
        return term
    # an amount of the account or of a group counts all of its members, whatever subject it is read for
    owns = entity == "account" or bool(vocabulary.entities[entity].groups)
    changes: dict[str, object] = {"owner": entity} if isinstance(term, Aggregate) and owns else {}
    inner = term.collection if isinstance(term, Aggregate) else entity
    for name, value in _parts(term):
        changes[name] = (
            tuple(tied(part, inner, vocabulary) for part in value)
            if isinstance(value, tuple)
            else tied(value, inner, vocabulary)
        )
    return replace(term, **changes) if changes else term  # type: ignore[arg-type]
