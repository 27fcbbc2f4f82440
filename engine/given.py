"""The `given` of an inline test to a snapshot, orders and an account.

In: plain data as written (`{account: {nav: 100000}, order: {quantity: 50}}`) and the rule it is for. Out: `World`.
Guaranteed: whatever is not given takes the vocabulary's `example`; an instrument is made for every symbol mentioned;
bid and ask follow a given mark; an order is there when the rule judges orders, a signal or a pair when it is about one.
Refused: SnapshotError for unknown sections, names and values, by `facts.py`.
Before: `facts.py`. After: `examples.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lexorder.engine.errors import SnapshotError, shown
from lexorder.engine.facts import ALIASES, BESIDE, SECTIONS, SINGLES, load_order, load_snapshot, plain
from lexorder.engine.literals import ungrouped
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.render import duration_text
from lexorder.engine.rule import Facts, Phase, Rule
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.units import Kind

Record = dict[str, Any]

_SECTION = {entity: section for section, entity in SECTIONS.items()}
_SECTION["order"] = "orders"
_PREFIX = {"order": "O", "working_order": "W", "fill": "F", "signal": "S", "pair": "P", "quote": "Q"}
DERIVATIVES = ("option", "future")
"""Kinds of instrument that are about another one; any other is about itself unless an example says otherwise."""
_JUDGED = frozenset({Phase.PRE_TRADE, Phase.REBALANCE})


@dataclass(frozen=True, slots=True)
class World:
    """The facts of one example, the orders under test, and whose they are."""

    snapshot: Snapshot
    orders: tuple[Facts, ...]
    account: str


def world(given: Mapping[str, object], rule: Rule, vocabulary: Vocabulary) -> World:
    """The world of an example.

    Raises:
        SnapshotError: for what cannot be taken as facts.
    """
    made = _Maker(given, rule, vocabulary)
    document = made.document()
    orders = tuple(load_order(row, vocabulary, f"order {n}") for n, row in enumerate(made.orders(), 1))
    return World(load_snapshot(document, vocabulary), orders, made.account)


class _Maker:
    """Fills in examples; one use."""

    def __init__(self, given: Mapping[str, object], rule: Rule, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.rule = rule
        self.rows = {entity: self.listed(given, entity) for entity in (*SECTIONS.values(), "order")}
        self.single = {name: self.authored(name, given.get(name, {})) for name in SINGLES}
        self.beside = {name: given[name] for name in BESIDE if name in given}
        self.refuse_unknown(given)
        self.add_missing()
        self.account = str(self.full("account", self.rows["account"][0])["id"])

    def listed(self, given: Mapping[str, object], entity: str) -> list[Record]:
        """The rows of an entity, written as one (`order:`) or as a list (`orders:`)."""
        section = _SECTION[entity]
        many = given.get(section) if section != entity else None
        one = given.get(entity)
        if isinstance(one, list | tuple) or (one is not None and many is not None):
            raise SnapshotError("wrong-shape", entity, f"write one `{entity}: {{…}}`, or a list under `{section}:`")
        if many is not None and not isinstance(many, list):
            raise SnapshotError("wrong-shape", section, "must be a list")
        rows = many if isinstance(many, list) else [one] if one is not None else []
        return [self.authored(entity, row) for row in rows]

    def authored(self, entity: str, row: object) -> Record:
        """A row whose numbers may be written as authors write them, `100_000`, as data writes them."""
        found = dict(_mapping(row, entity))
        for short, written in found.items():
            if isinstance(written, str):
                name = f"{entity}.{short}"
                declared = self.vocabulary.name(ALIASES.get(name, name))
                found[short] = ungrouped(written, declared.unit if declared else None)
        return found

    def refuse_unknown(self, given: Mapping[str, object]) -> None:
        known = {*SECTIONS, *SECTIONS.values(), *SINGLES, *BESIDE, "order", "orders"}
        for key in given:
            if key not in known:
                raise SnapshotError(
                    "unknown-section", "given", f"{shown(str(key))} is none of {', '.join(sorted(known))}"
                )

    def add_missing(self) -> None:
        """What the rule cannot do without: an account, an order to judge, the signal or pair it is about."""
        self.rows["account"] = self.rows["account"] or [{}]
        self.rows["trader"] = self.rows["trader"] or [{}]
        judged = self.rule.require is not None and self.rule.phases & _JUDGED
        if judged and not self.rows["order"]:
            self.rows["order"] = [{}]
        for entity in ("signal", "pair", "quote", "position"):
            if self.rule.for_each == entity and not self.rows[entity] and (entity != "position" or not judged):
                self.rows[entity] = [{}]

    # ---- the document --------------------------------------------------------------------------

    def document(self) -> Record:
        document: Record = {name: dict(facts) for name, facts in self.single.items() if facts}
        document["clock"], document["time"] = self.clock()
        document["firm"] = self.full("firm", self.single["firm"])
        document["lists"] = {k: _listed(v) for k, v in self.full("lists", self.single["lists"]).items()}
        document |= self.beside
        for entity, section in _SECTION.items():
            if entity not in {"order", "instrument", "market"}:
                document[section] = self.numbered(entity)
        symbols = list(dict.fromkeys(self.symbols()))
        document["instruments"] = [self.instrument(symbol) for symbol in symbols]
        document["market"] = [self.of_symbol("market", symbol) for symbol in symbols]
        return document

    def orders(self) -> list[Record]:
        return self.numbered("order")

    def clock(self) -> tuple[Record, str]:
        """Clock facts and the instant; a given date or time moves the instant."""
        given = self.single["clock"]
        now = str(given.get("now", self.examples("clock").get("now", "")))
        day = str(given.get("date", now[:10]))
        time = str(given.get("time", now[11:19] or "12:00:00"))
        time = f"{time}:00" if len(time) == 5 else time
        facts = {"now": f"{day}T{time}{now[19:]}", "date": day, "time": time}
        return facts, facts["now"]

    def numbered(self, entity: str) -> list[Record]:
        """All rows of an entity in full, with identifiers where none are given."""
        prefix = _PREFIX.get(entity, "")
        rows = []
        for place, row in enumerate(self.rows[entity], 1):
            full = self.full(entity, row)
            if prefix and "id" not in row:
                full["id"] = f"{prefix}-{place}"
            if entity == "fill" and "time" not in row and "time" in full:
                full["time"] = f"{self.clock()[1][:10]}{str(full['time'])[10:]}"
            rows.append(full)
        return rows

    def full(self, entity: str, row: Mapping[str, object]) -> Record:
        """A row with the vocabulary's examples for what it leaves out."""
        full = {**self.examples(entity), **row}
        if entity != "account" and "account" in full and "account" not in row and self.rows["account"]:
            full["account"] = self.rows["account"][0].get("id", full["account"])
        if entity == "position":
            full.pop("price", None)
            if "quantity" in row:
                full.pop("before.quantity", None)
        return full

    def examples(self, entity: str) -> Record:
        names = (n for n in self.vocabulary.of_entity(entity) if n.given and n.example is not None)
        return {n.name.split(".", 1)[1]: _example(n) for n in names}

    # ---- instruments ---------------------------------------------------------------------------

    def symbols(self) -> Iterable[str]:
        """Every symbol anything mentions."""
        for entity in ("order", "position", "working_order", "fill", "signal", "quote", "instrument", "market"):
            for row in self.rows[entity]:
                yield str(row.get("symbol", self.usual_symbol(entity)))
        for pair in self.numbered("pair"):
            yield str(pair["first"])
            yield str(pair["second"])
        if not any(self.rows[e] for e in ("order", "position", "signal", "instrument", "market", "pair")):
            yield self.usual_symbol("instrument")

    def usual_symbol(self, entity: str) -> str:
        return str(self.examples(entity).get("symbol") or self.examples("instrument")["symbol"])

    def instrument(self, symbol: str) -> Record:
        given = self.given_of("instrument", symbol)
        price = self.given_of("position", symbol).get("price")
        if price is not None:
            given.setdefault("mark", price)
        full = self.full("instrument", {**given, "symbol": symbol})
        if "issuer" not in given and symbol != self.usual_symbol("instrument"):
            own = ("issuer", "group") if full.get("kind") in DERIVATIVES else ("issuer", "group", "underlying")
            full |= {key: symbol for key in own if key not in given}
        if "mark" in given:
            full |= {key: given["mark"] for key in ("bid", "ask") if key not in given}
        return full

    def of_symbol(self, entity: str, symbol: str) -> Record:
        return self.full(entity, {**self.given_of(entity, symbol), "symbol": symbol})

    def given_of(self, entity: str, symbol: str) -> Record:
        rows = self.rows[entity]
        return next((dict(r) for r in rows if str(r.get("symbol", self.usual_symbol(entity))) == symbol), {})


def _listed(entries: object) -> object:
    """A list whose bare names need no instrument in the example: a rule is tested with whatever name reads well."""
    rows = entries if isinstance(entries, list) else []
    marked = [{"name": row, "elsewhere": True} if isinstance(row, str) else row for row in rows]
    return marked if isinstance(entries, list) else entries


def _example(name: Name) -> object:
    """The example as a document writes it; a duration needs its unit to be read back."""
    assert name.example is not None
    if name.unit.kind is Kind.DURATION and isinstance(name.example, Fraction):
        return duration_text(name.example)
    return plain(name.example)


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SnapshotError("wrong-shape", where, "must be a mapping, `{name: value}`")
    return value
