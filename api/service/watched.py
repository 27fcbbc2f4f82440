"""What the rules that watch holdings depend on, so that a change is answered by judging what it can alter and no more.

In: the rules in force, a vocabulary. Out: for each rule that says something about a book nobody trades in, the names
behind it and whether each of its subjects is a matter of its own instruments. Guaranteed: whatever could alter a
finding is among the names (derived facts followed to what derives them, groups to what sorts instruments into them, a
measure read as anything at all); where that cannot be shown cheaply the rule is judged whole. Refused: nothing.
Before: `engine/measuring.py`, `engine/worst.py`. After: `due.py`, `looking.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lexorder.engine.judge import Derivations, derivations
from lexorder.engine.measure import REGISTRY
from lexorder.engine.measuring import measured_names, names_read
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts, Phase, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.subjects import NAMED, covering_rules
from lexorder.engine.terms import Aggregate, Field, Key, Term, conjuncts
from lexorder.engine.worst import Prepared, prepared

RUNNING = frozenset({"clock.now", "clock.time"})
"""What changes at every tick; these and the session wait for the next round over all accounts."""

COMMON = frozenset({"account", "clock", "session", "firm"})
"""Entities whose facts are the same for every subject of an account."""

COLLECTIONS = frozenset({"position", "order", "working_order", "fill"})
"""Collections whose members are of one instrument."""


EVERYWHERE = frozenset({"instrument", "market", "pair"})
"""What rules are judged for with every instrument there is, also of an account that holds none of them."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One rule that is watched.

    `names` are all it depends on. `timed`: the time alone may change what it finds. `whole`: any event may that touches
    the account or an instrument that was read (it reads a measure, or looks through funds). `local`: what it finds
    about a subject depends on nothing of other subjects' instruments. `switches` are parts of `when` that are the same
    for every subject of an account: where one is false, nothing of the rule applies there.
    """

    rule: Rule
    prepared: Prepared
    names: frozenset[str]
    timed: bool
    whole: bool
    local: bool
    switches: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """The rules that are watched on one date, what derives the facts they read, and the measures they read.

    `aged` are names that become too old, `sorting` those by which instruments fall into groups, `everywhere` those read
    by rules that are judged for every instrument there is, held or not.
    """

    watches: tuple[Watch, ...]
    derived: Derivations
    measured: tuple[str, ...]
    aged: frozenset[str]
    sorting: frozenset[str]
    everywhere: frozenset[str]

    def covering(self, account: str, facts: Facts) -> tuple[Watch, ...]:
        """The rules among them that cover an account."""
        tags = facts.get("account.tags", frozenset())
        return tuple(w for w in self.watches if w.rule.scope.covers(account, tags))  # type: ignore[arg-type]

    def deriving(self, account: str, facts: Facts) -> Derivations:
        """What derives facts for an account: rules for others do not."""
        mine = {name: covering_rules(rules, account, facts) for name, rules in self.derived.items()}
        return {name: rules for name, rules in mine.items() if rules}


def is_watched(rule: Rule) -> bool:
    """Whether a rule says something about a book that nobody trades in: not those for rebalances, signals, orders."""
    asked = bool(rule.phases & {Phase.MONITOR, Phase.PRE_TRADE})
    return asked and rule.require is not None and rule.for_each != "order"


def watched(book: RuleBook, day: date, vocabulary: Vocabulary) -> Watched:
    """What is watched on a day."""
    rules = book.on(day)
    chosen = [rule for rule in rules if is_watched(rule)]
    derived = derivations([*chosen, *(rule for rule in rules if rule.derive)])
    measures = measured_names([*chosen, *(rule for each in derived.values() for rule in each)])
    aged = frozenset(n.name for n in vocabulary.names.values() if n.max_age is not None)
    sorting = frozenset(each.groups for each in vocabulary.entities.values() if each.groups)
    watches = tuple(_watch(rule, derived, vocabulary) for rule in chosen)
    everywhere = frozenset(name for w in watches if w.rule.for_each in EVERYWHERE for name in w.names)
    return Watched(watches, derived, measures, aged, sorting, everywhere)


def _watch(rule: Rule, derived: Derivations, vocabulary: Vocabulary) -> Watch:
    names = behind(rule, derived, vocabulary)
    whole = bool(names & REGISTRY.keys()) or any(name.startswith("constituent.") for name in names)
    timed = whole or any(name in RUNNING or name.startswith("session.") for name in names)
    local = not whole and _is_local(rule, names, derived, vocabulary)
    apart = prepared(rule)
    switches = () if apart.guard is None else tuple(part for part in conjuncts(apart.guard) if _is_switch(part))
    return Watch(rule, apart, names, timed, whole, local, switches)


def _is_switch(part: Term) -> bool:
    """Whether a condition reads nothing but facts of the account and of everybody."""
    return all(
        not isinstance(node, Aggregate | Key)
        and (not isinstance(node, Field) or (not node.via and node.name.split(".", 1)[0] in COMMON))
        for node in part.walk()
    )


def behind(rule: Rule, derived: Derivations, vocabulary: Vocabulary) -> frozenset[str]:
    """Every name a rule depends on, derived facts followed, with what sorts instruments into its groups."""
    found = _read(rule, vocabulary)
    left = list(found)
    while left:
        for other in derived.get(left.pop(), ()):
            more = _read(other, vocabulary) - found
            found |= more
            left += more
    return frozenset(found)


def _read(rule: Rule, vocabulary: Vocabulary) -> set[str]:
    """The names one rule reads, when they were taken, what it runs over (as `quote.*`), what sorts its subjects."""
    found = set(names_read(rule)) | {f"{rule.for_each}.*"}
    found |= {f"{node.collection}.*" for term in _terms(rule) for node in term.walk() if isinstance(node, Aggregate)}
    declared = (vocabulary.name(name) for name in list(found))
    found |= {each.as_of for each in declared if each is not None and each.as_of}
    groups = vocabulary.entities[rule.for_each].groups
    return found | ({groups} if groups else set())


def _is_local(rule: Rule, names: Iterable[str], derived: Mapping[str, Sequence[Rule]], vocabulary: Vocabulary) -> bool:
    """Whether each subject is a matter of its own instruments: no sum of the account's, no fact derived elsewhere."""
    if rule.for_each not in NAMED and not vocabulary.entities[rule.for_each].groups:
        return False
    if rule.for_each == "constituent" or any(name in derived for name in names):
        return False
    sums = (node for term in _terms(rule) for node in term.walk() if isinstance(node, Aggregate))
    return all(not each.owner and each.collection in COLLECTIONS for each in sums)


def _terms(rule: Rule) -> Iterable[Term]:
    return (term for term in (rule.when, rule.require) if term is not None)
