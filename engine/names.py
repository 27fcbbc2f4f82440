"""The vocabulary as data: every name a rule may use, and how paths are resolved.

In: built by `vocabulary.py`. Out: frozen `Vocabulary`, read by the typechecker, the evaluators, the schema and
the snapshot. Guaranteed: every name has a unit and an entity; links lead to entities that exist. Refused:
nothing here; the loader refuses. Why names are data: a desk adds `instrument.esg_score` without touching code.
Before: `units.py`, `terms.py`. After: `vocabulary.py`, `typecheck.py`, `snapshot.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from fractions import Fraction
from itertools import pairwise

from lexorder.engine.codes import nearest_name
from lexorder.engine.currencies import CURRENCIES
from lexorder.engine.terms import Term, Value
from lexorder.engine.units import FX, Unit

ALWAYS = frozenset({"account"})
"""Entities there is exactly one of in a decision although they have a key: one account is decided at a time."""

OPEN_ALIKE = 85
"""A name of an open entity this similar to a declared one (percent, by difflib) is taken for a misspelling."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Something names belong to.

    `links` maps an entity to the field of this one that holds its key (`instrument` → `symbol`). `collection`
    says that aggregates may run over it; `single` that there is one; `open` that the snapshot may bring names
    that the vocabulary does not list; `groups` names the field that sorts instruments into it.
    """

    name: str
    key: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    collection: bool = False
    single: bool = False
    open: bool = False
    groups: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """One name of the vocabulary.

    `minimum` and `maximum` are admissible bounds in the name's unit, `scale` the decimals admitted, `max_age` in
    seconds against the timestamp name `as_of`. `means` is the definition, fully expanded to given names.
    """

    name: str
    entity: str
    type: str
    unit: Unit
    meaning: str
    minimum: Fraction | None = None
    maximum: Fraction | None = None
    scale: int = 0
    default: Value | None = None
    example: Value | None = None
    max_age: Fraction | None = None
    as_of: str = ""
    means: Term | None = None
    written: str = ""
    derived: bool = False
    fix: str = ""
    supplied_by: str = ""

    @property
    def positive(self) -> bool:
        """Whether the declared bounds make it always above zero."""
        return self.minimum is not None and self.minimum > 0

    @property
    def given(self) -> bool:
        """Whether the snapshot must supply it: neither defined by `means` nor derived nor an engine's fill."""
        return self.means is None and not self.derived and self.supplied_by != "engine"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A path understood: the canonical name, its declaration, and the entity the path started from."""

    declared: Name
    via: str = ""


class NameTable(dict[str, Name]):
    """Declared names; indexing also answers names of open entities, iteration does not list them."""

    entities: Mapping[str, Entity]

    def __missing__(self, name: str) -> Name:
        found = _open_name(name, self.entities, self)
        if found is None:
            raise KeyError(name)
        return found


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All names and entities. `digest` is the SHA-256 of the canonical content, comments left out."""

    entities: Mapping[str, Entity]
    names: Mapping[str, Name]
    digest: str = ""

    def name(self, name: str) -> Name | None:
        """The declaration of a canonical name, or None. Names of open entities are answered too."""
        return self.names.get(name) or _open_name(name, self.entities, self.names)

    def resolve(self, path: str) -> Resolved | None:
        """A dotted path as an author writes it, None when it is no name.

        `order.instrument.sector` and `order.sector.x` follow links of any number of steps; the part before the
        name must be a chain of entities each linked to the one before.
        """
        direct = self.name(path)
        if direct is not None:
            return Resolved(direct)
        parts = path.split(".")
        for start in range(1, len(parts) - 1):
            declared = self.name(".".join(parts[start:]))
            if declared is not None and self._chain(parts[: start + 1]):
                return Resolved(declared, parts[0])
        return None

    def reachable(self, entity: str) -> frozenset[str]:
        """The entities whose names can be read where `entity` is bound: itself, its links, and theirs."""
        found: set[str] = set()
        ahead = [entity]
        while ahead:
            name = ahead.pop()
            if name not in found and name in self.entities:
                found.add(name)
                ahead.extend(self._next(self.entities[name]))
        return frozenset(found)

    def everywhere(self, entity: str) -> bool:
        """Whether the entity's names can be read in any rule: there is one of it in a decision."""
        known = self.entities.get(entity)
        return known is not None and (known.single or entity in ALWAYS)

    def collections(self) -> tuple[str, ...]:
        """The entities that aggregates run over, in declared order."""
        return tuple(e.name for e in self.entities.values() if e.collection)

    def subjects(self) -> tuple[str, ...]:
        """The entities a rule may be `for_each`, in declared order."""
        return tuple(e.name for e in self.entities.values() if e.key)

    def of_entity(self, entity: str) -> tuple[Name, ...]:
        """The names that belong to an entity, in declared order."""
        return tuple(n for n in self.names.values() if n.entity == entity)

    def nearest(self, word: str, subject: str = "", others: tuple[str, ...] = ()) -> str:
        """The name an author may have meant: the same last part (the subject's own first), else similar spelling."""
        own = (n.name for n in self.of_entity(subject))
        named = (*sorted(self.names, key=len, reverse=True), *sorted(own, key=len, reverse=True))  # the shortest stays
        last = {name.rpartition(".")[2]: name for name in named}
        if "." not in word:
            return nearest_name(word, others) or last.get(word) or nearest_name(word, self.names)
        tail = ".".join(word.split(".")[-2:])
        return tail if tail in self.names else nearest_name(word, (*others, *self.names))

    def _next(self, entity: Entity) -> list[str]:
        """Linked entities, and those keyed alike (market data of an instrument is keyed by its symbol)."""
        alike = [
            other.name
            for other in self.entities.values()
            if other.key == entity.key != "id" and entity.key and not other.collection
        ]
        return [*entity.links, *(alike if not entity.collection else [])]

    def _chain(self, parts: list[str]) -> bool:
        return all(later in self.reachable(earlier) and earlier != later for earlier, later in pairwise(parts))


def _open_name(name: str, entities: Mapping[str, Entity], names: Mapping[str, Name]) -> Name | None:
    """A name under an open entity: of its siblings' type; refused when it looks like a misspelt sibling."""
    head, _, last = name.partition(".")
    entity = entities.get(head)
    if entity is None or not entity.open or not last or "." in last:
        return None
    if head == "fx":
        return _rate(name, last) if last in CURRENCIES else None
    siblings = [n for n in names.values() if n.entity == head]
    alike = (SequenceMatcher(None, name, s.name).ratio() * 100 >= OPEN_ALIKE for s in siblings)
    if any(alike) or len({s.unit for s in siblings}) != 1:
        return None
    return Name(name, head, siblings[0].type, siblings[0].unit, f"{head} {last}")


def _rate(name: str, currency: str) -> Name:
    meaning = f"Account money for one {currency}"
    low, high = Fraction(1, 10**8), Fraction(10**6)
    return Name(name, "fx", "fx_rate", FX, meaning, minimum=low, maximum=high, scale=8, supplied_by="market_data")
