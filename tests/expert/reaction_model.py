"""Generated books of derive rules and reactions, as text and as plain data, with a model that knows nothing of either.

In: a seed. Out: rules whose `text()` makes a rule file, a market whose `document` is a world, and what the rules must
do there, `acts(rules, market)`, worked out over Python values in three truth values. Guaranteed: thresholds stand
exactly on values that occur, and one step beside; facts are missing sometimes; derived facts chain in two strata.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

from lexorder.engine.quantity import exact
from tests.worlds import world

SYMBOLS = ("ACME", "BETA", "COCO")
FACTS = ("volatility", "volume_spike", "return_10s", "venue_gap")
LEVELS = tuple(Fraction(n, 100) for n in (0, 4, 5, 6, 100))
"""Values of facts and thresholds alike: half of all comparisons meet a limit exactly or by one step."""
OPS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
Market = dict[str, dict[str, Fraction]]
"""By symbol, the facts that are known."""


@dataclass(frozen=True)
class Atom:
    """A comparison of a fact with a level, or (without a level) a derived fact."""

    name: str
    op: str = "=="
    level: Fraction | None = None

    def text(self) -> str:
        """As a rule has it."""
        if self.level is None:
            return f"market.regime {self.op} VOLATILE" if self.name == "regime" else "market.signals_conflict"
        return f"market.{self.name} {self.op} {percent(self.level)}"


@dataclass(frozen=True)
class Condition:
    """Atoms joined by `and` or by `or`."""

    joiner: str
    atoms: tuple[Atom, ...]

    def text(self) -> str:
        """As a rule has it."""
        return f" {self.joiner} ".join(a.text() for a in self.atoms)


@dataclass(frozen=True)
class Amount:
    """`base + slope * fact`: an argument that can be missing, and can come out below zero or above one."""

    base: Fraction
    slope: Fraction = Fraction(0)
    fact: str = "volatility"

    def text(self) -> str:
        """As a rule has it."""
        if not self.slope:
            return percent(self.base)
        return f"{percent(self.base)} - {percent(-self.slope)} * market.{self.fact}"


@dataclass(frozen=True)
class Rule:
    """A rule that derives a fact (`makes`), or reacts (`then`: kind, word or amount)."""

    name: str
    when: Condition
    makes: str = ""
    then: tuple[tuple[str, Any], ...] = ()
    priority: int = 0
    entity: str = "market"

    def text(self) -> str:
        """As a rule file has it."""
        head = f"- rule: {self.name}\n  title: T\n  for_each: {self.entity}\n  when: {self.when.text()}\n"
        if self.makes:
            made = {"regime": "{market.regime: VOLATILE}", "conflict": '{market.signals_conflict: "true"}'}
            return f"{head}  derive: {made[self.makes]}\n"
        acts = "".join(f"    - {_action(kind, what)}\n" for kind, what in self.then)
        return f"{head}  phases: [monitor]\n  priority: {self.priority}\n  then:\n{acts}"


def _action(kind: str, what: Any) -> str:
    match kind:
        case "alert" | "skip" | "cancel":
            return f"{kind}: {what}"
        case "scale":
            return f"scale: {{target: signal.confidence, factor: {what.text()}}}"
        case "exit":
            return f"exit: {{fraction: {what.text()}, participation: 10%}}"
    return f"set: {{trading_state: {what}}}"


def percent(level: Fraction) -> str:
    """As an author writes it."""
    return f"{int(level * 100)}%"


# ---- generating ----------------------------------------------------------------------------------------------------


def book(random_: Random) -> tuple[Rule, ...]:
    """Two strata of derive rules below, reactions above; they stand in the file in any order."""
    found = [Rule(f"d{n}", condition(random_, ()), "regime") for n in range(random_.randint(0, 2))]
    found += [Rule(f"e{n}", condition(random_, ("regime",)), "conflict") for n in range(random_.randint(0, 2))]
    for n in range(random_.randint(1, 5)):
        then = tuple(reaction(random_) for _ in range(random_.randint(1, 2)))
        entity = random_.choice(("market", "instrument"))
        when = condition(random_, ("regime", "conflict"))
        found.append(Rule(f"r{n}", when, "", then, random_.choice((0, 0, 5)), entity))
    random_.shuffle(found)
    return tuple(found)


def condition(random_: Random, derived: tuple[str, ...]) -> Condition:
    """One to three atoms; `derived` are the derived facts it may read."""
    atoms = tuple(_atom(random_, derived) for _ in range(random_.randint(1, 3)))
    return Condition(random_.choice(("and", "or")), atoms)


def _atom(random_: Random, derived: tuple[str, ...]) -> Atom:
    if derived and random_.random() < 0.5:
        name = random_.choice(derived)
        return Atom(name, random_.choice(("==", "!=")) if name == "regime" else "==")
    return Atom(random_.choice(FACTS), random_.choice(tuple(OPS)), random_.choice(LEVELS))


def reaction(random_: Random) -> tuple[str, Any]:
    """One reaction. States are never ACTIVE: opposed reactions at one priority are an error at lint."""
    kind = random_.choice(("alert", "skip", "cancel", "scale", "exit", "set"))
    slope = random_.choice((0, 0, -1, -20, -25))
    amount = Amount(Fraction(random_.choice((25, 50, 100, 150)), 100), Fraction(slope), random_.choice(FACTS))
    words = {"alert": ("info", "warning", "critical"), "skip": ("thin", "late"), "cancel": ("working_orders",)}
    states = ("REDUCING", "HALTED")
    return kind, amount if kind in ("scale", "exit") else random_.choice(words.get(kind, states))


def market(random_: Random) -> Market:
    """Facts of each name; one in ten is missing."""
    return {s: {f: random_.choice(LEVELS) for f in FACTS if random_.random() > 0.1} for s in SYMBOLS}


def document(facts: Market) -> dict[str, Any]:
    """The world of these facts."""
    rows = [{"symbol": s, **{name: exact(level) for name, level in of.items()}} for s, of in facts.items()]
    return world(market=rows)


# ---- the model -----------------------------------------------------------------------------------------------------


def holds(when: Condition, facts: dict[str, Fraction], derived: dict[str, bool | None]) -> bool | None:
    """Whether a condition holds; None when that cannot be known. One decisive part decides whatever else is missing."""
    parts = [_truth(atom, facts, derived) for atom in when.atoms]
    decisive = when.joiner == "or"
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive


def _truth(atom: Atom, facts: dict[str, Fraction], derived: dict[str, bool | None]) -> bool | None:
    if atom.level is None:
        found = derived[atom.name]
        return found if found is None or atom.op == "==" else not found
    known = facts.get(atom.name)
    return None if known is None else OPS[atom.op](known, atom.level)


def derived_facts(rules: tuple[Rule, ...], facts: dict[str, Fraction]) -> dict[str, bool | None]:
    """Each derived fact: made by any of its rules, unknown when one of them is, else the default."""
    found: dict[str, bool | None] = {}
    for name in ("regime", "conflict"):
        made = [holds(r.when, facts, found) for r in rules if r.makes == name]
        found[name] = None if None in made else True in made
    return found


Expected = tuple[list[tuple[Any, ...]], set[tuple[str, str]]]
"""Acts as (rule, subject, number, kind, what), in their order; and (rule, subject) that cannot be known."""


def acts(rules: tuple[Rule, ...], facts: Market) -> Expected:
    """What the reactions must come to."""
    ranked: list[tuple[int, tuple[Any, ...]]] = []
    unknown = set()
    for rule in (r for r in rules if r.then):
        for symbol in SYMBOLS:
            known = holds(rule.when, facts[symbol], derived_facts(rules, facts[symbol]))
            done = [(kind, _worked(kind, what, facts[symbol])) for kind, what in rule.then] if known else []
            if known is None or any(what is None for _, what in done):
                unknown.add((rule.name, symbol))
                continue
            ranked += [(-rule.priority, (rule.name, symbol, n, *act)) for n, act in enumerate(done)]
    return [act for _, act in sorted(ranked)], unknown


def _worked(kind: str, what: Any, facts: dict[str, Fraction]) -> Any:
    if not isinstance(what, Amount):
        return what
    if what.slope and what.fact not in facts:
        return None
    amount = what.base + what.slope * facts.get(what.fact, Fraction(0))
    highest = Fraction(1) if kind == "exit" else amount
    return max(Fraction(0), min(amount, highest))
