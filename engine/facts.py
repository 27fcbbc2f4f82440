"""Facts from outside: JSON documents and DataFrames to a `Snapshot`, orders to facts.

In: JSON text, plain dictionaries, or pandas DataFrames, with vocabulary names relative to their entity
(`{"positions": [{"account": "ACC-1", "symbol": "ACME", "quantity": "120"}]}`). Out: typed facts. Guaranteed: exact;
every value within the bounds and the scale its vocabulary entry declares; nothing unknown is ignored. Refused by
`SnapshotError`, with the path of the fact and never an echo of a long text: unknown sections and names, floats, NaN,
duplicate keys and things, finer than the scale, out of bounds, symbols that are not canonical. Before:
`names.py`, `literals.py`. After: `decide.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, NoReturn

from lexorder.engine import literals
from lexorder.engine.constituents import SECTION as INSIDE
from lexorder.engine.constituents import Constituents, constituents
from lexorder.engine.covered import Coverage, Lists, lists_on
from lexorder.engine.dated_lists import entries
from lexorder.engine.errors import SnapshotError, shown
from lexorder.engine.hierarchy import SECTIONS as ABOVE
from lexorder.engine.hierarchy import Hierarchy, hierarchy
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.quantity import exact, fits_scale
from lexorder.engine.rule import Facts
from lexorder.engine.sessions import session_facts, trade_date
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.symbols import is_canonical, is_symbol
from lexorder.engine.terms import Value
from lexorder.engine.units import Kind

BYTES_MAX = 256 * 1024 * 1024
"""A snapshot document above this size is refused unread."""

SECTIONS = {
    "accounts": "account",
    "instruments": "instrument",
    "market": "market",
    "positions": "position",
    "working_orders": "working_order",
    "fills": "fill",
    "signals": "signal",
    "pairs": "pair",
    "quotes": "quote",
    "traders": "trader",
    "strategies": "strategy",
}
"""List sections of a snapshot document and the entity each lists."""

SINGLES = ("clock", "session", "firm", "lists", "fx")
"""Sections that are one mapping."""

BESIDE = (*ABOVE, INSIDE)
"""Sections with keys of their own, which no rule reads by name: who stands above whom, and what funds are made of."""

HELD = "position.before.quantity"
"""What a row of a holding cannot do without."""

ALIASES = {"position.quantity": HELD}
"""Short names admitted in documents."""


def read_json(text: str | bytes) -> Any:
    """A JSON document with numbers kept as their text. Refuses duplicate keys, NaN and floats by SnapshotError."""
    if len(text) > BYTES_MAX:
        raise SnapshotError("too-large", "document", "is above the admissible size")
    try:
        return json.loads(
            text, object_pairs_hook=_pairs, parse_float=_number, parse_int=_number, parse_constant=_constant
        )
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        where = f"line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else "document"
        raise SnapshotError("json-syntax", where, "is not valid JSON") from None
    except RecursionError:
        raise SnapshotError("json-syntax", "document", "is nested too deep") from None


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        raise SnapshotError("duplicate-key", "document", "names one key twice in one object")
    return found


def _number(text: str) -> str:
    """JSON numbers stay text: a decimal written as a number loses no digit this way."""
    return text


def _constant(_text: str) -> NoReturn:
    raise SnapshotError("bad-value", "document", "holds NaN or an infinity")


def fact(declared: Name, raw: Any, where: str) -> Value:
    """One typed fact. Raises SnapshotError naming `where` when it does not fit its declaration exactly."""
    if declared.unit.kind is Kind.SET:
        return _set(raw, where)
    if isinstance(raw, bool):
        if declared.unit.kind is not Kind.BOOL:
            raise SnapshotError("bad-value", where, "must be text and is a truth value")
        raw = "true" if raw else "false"
    if isinstance(raw, int):
        raw = str(raw)
    if not isinstance(raw, str):
        raise SnapshotError(
            "bad-value", where, "must be text or a whole number, never a float: amounts are decimal text"
        )
    value = literals.told(raw, declared.unit)
    if value is None:
        raise SnapshotError("bad-value", where, f"{shown(raw)} is not {_expected(declared)}")
    if isinstance(value, Fraction):
        _admissible(declared, value, where)
    return value


def _expected(declared: Name) -> str:
    kind = declared.unit.kind
    if kind is Kind.NUMBER:
        return f"{declared.unit.describe()} written as a decimal, such as `1250.25`"
    examples = {Kind.TIMESTAMP: "a timestamp with its offset, such as `2026-06-15T12:00:00-04:00`"}
    return examples.get(kind) or (
        f"a {declared.unit.describe()}" if kind is not Kind.ENUM else declared.unit.describe()
    )


def _admissible(declared: Name, value: Fraction, where: str) -> None:
    if declared.unit.kind is Kind.NUMBER and not fits_scale(value, declared.scale):
        raise SnapshotError("too-fine", where, f"has more than {declared.scale} decimals, the scale of {declared.name}")
    low, high = declared.minimum, declared.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"{exact(low) if low is not None else '…'} to {exact(high) if high is not None else '…'}"
        raise SnapshotError("out-of-bounds", where, f"is outside {limits}, the bounds of {declared.name}")


def _set(raw: Any, where: str) -> frozenset[str]:
    if not isinstance(raw, list | tuple | set | frozenset) or not all(isinstance(x, str) for x in raw):
        raise SnapshotError("bad-value", where, "must be a list of texts")
    return frozenset(raw)


def record(vocabulary: Vocabulary, entity: str, raw: Any, where: str) -> dict[str, Value]:
    """The facts of one thing, by vocabulary name; names in `raw` are relative to `entity`."""
    if not isinstance(raw, Mapping):
        raise SnapshotError("wrong-shape", where, f"must be an object with the facts of one {entity}")
    found: dict[str, Value] = {}
    for short, value in raw.items():
        name = ALIASES.get(f"{entity}.{short}", f"{entity}.{short}")
        declared = vocabulary.name(name)
        if declared is None:
            _unknown(vocabulary, entity, str(short), where)
        if declared.means is not None or declared.supplied_by == "engine":
            raise SnapshotError("not-given", f"{where}.{short}", "is worked out by the engine and cannot be given")
        if value is not None:
            found[name] = fact(declared, value, f"{where}.{short}")
    _canonical(found, entity, where)
    return found


def _unknown(vocabulary: Vocabulary, entity: str, short: str, where: str) -> NoReturn:
    known = [n.name.removeprefix(entity + ".") for n in vocabulary.of_entity(entity)]
    near = get_close_matches(short, known, 1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    raise SnapshotError("unknown-name", where, f"{shown(short)} is not a name of {entity}{hint}")


def _canonical(facts: Facts, entity: str, where: str) -> None:
    for short in ("symbol", "id", "account", "first", "second"):
        value = facts.get(f"{entity}.{short}")
        admitted = is_canonical if short in ("id", "account") else is_symbol
        if isinstance(value, str) and not admitted(value):
            message = f"{shown(value)} has blanks or characters not admitted; symbols are in upper case"
            raise SnapshotError("not-canonical", f"{where}.{short}", message)


def load_snapshot(document: Mapping[str, Any], vocabulary: Vocabulary) -> Snapshot:
    """A snapshot from a plain dictionary (see `docs/snapshot.md`). Raises SnapshotError."""
    sections = (*SECTIONS, *BESIDE, *SINGLES, "time")
    unknown = [key for key in document if key not in sections]
    if unknown:
        near = get_close_matches(str(unknown[0]), sections, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise SnapshotError("unknown-section", "document", f"{shown(str(unknown[0]))} is not a section{hint}")
    lists = {section: _section(document, section, vocabulary) for section in SECTIONS}
    moment, single = _single(document, vocabulary)
    if vocabulary.name("fill.date") is not None:
        lists["fills"] = [dated_fill(row, single["clock.date"]) for row in lists["fills"]]
    instruments, tree = _instruments(lists["instruments"], lists["market"]), hierarchy(document)
    listed, inside = _listed(document, vocabulary), constituents(document, instruments)
    single |= lists_on(listed, _day(single), Coverage(instruments, tree))
    return Snapshot(
        time=moment,
        accounts=_keyed(lists["accounts"], "account.id", "accounts"),
        instruments=instruments,
        positions=_positions(lists["positions"]),
        working_orders=_unique(lists["working_orders"], "working_order.id", "working_orders"),
        fills=_unique(lists["fills"], "fill.id", "fills"),
        signals=_unique(lists["signals"], "signal.id", "signals"),
        pairs=_unique(lists["pairs"], "pair.id", "pairs"),
        quotes=_unique(lists["quotes"], "quote.id", "quotes"),
        traders=_keyed(lists["traders"], "trader.id", "traders"),
        strategies=_keyed(lists["strategies"], "strategy.id", "strategies"),
        single=single,
        lists=listed,
        hierarchy=tree,
        constituents=inside,
        hash=snapshot_hash(moment, lists, single, _reference(listed, tree, inside)),
    )


def _single(document: Mapping[str, Any], vocabulary: Vocabulary) -> tuple[datetime, dict[str, Value]]:
    """The instant, and the facts of the single sections but the lists, which need the instruments."""
    single: dict[str, Value] = {}
    for section in ("clock", "session", "firm", "fx"):
        single |= record(vocabulary, section, document.get(section, {}), section)
    moment = _moment(document, single)
    single |= {k: v for k, v in session_facts(moment).items() if k not in single}
    return moment, single


def _day(single: Facts) -> date:
    today = single["clock.date"]
    assert isinstance(today, date)
    return today


def _listed(document: Mapping[str, Any], vocabulary: Vocabulary) -> Lists:
    """The entries of every list, under names the vocabulary admits."""
    given = document.get("lists", {})
    if not isinstance(given, Mapping):
        raise SnapshotError("wrong-shape", "lists", "must be an object with one list for each name")
    record(vocabulary, "lists", dict.fromkeys(given, ()), "lists")
    return {str(name): entries(rows, f"lists.{name}") for name, rows in given.items() if rows is not None}


def _reference(listed: Lists, tree: Hierarchy, inside: Constituents) -> dict[str, object]:
    """Lists, hierarchy and constituents as the hash takes them; nothing of what is not there."""
    written = {name: sorted((e.to_json() for e in found), key=canonical_bytes) for name, found in listed.items()}
    found = {"lists": written, "above": tree.to_json() if tree != Hierarchy() else {}, "inside": inside.to_json()}
    return {name: part for name, part in found.items() if part}


def dated_fill(fill: dict[str, Value], today: Value) -> dict[str, Value]:
    """A fill with its trade date: as given, else the day of its time at the exchange, else that of the snapshot."""
    moment = fill.get("fill.time")
    return {"fill.date": trade_date(moment) if isinstance(moment, datetime) else today, **fill}


def _section(document: Mapping[str, Any], section: str, vocabulary: Vocabulary) -> list[dict[str, Value]]:
    rows = document.get(section, [])
    if not isinstance(rows, list | tuple):
        raise SnapshotError("wrong-shape", section, "must be a list")
    return [record(vocabulary, SECTIONS[section], row, f"{section}[{n}]") for n, row in enumerate(rows)]


def _moment(document: Mapping[str, Any], single: dict[str, Value]) -> datetime:
    raw = document.get("time")
    moment = literals.timestamp(raw) if isinstance(raw, str) else single.get("clock.now")
    if not isinstance(moment, datetime):
        raise SnapshotError(
            "missing-time", "time", "must be a timestamp with its offset, such as `2026-06-15T12:00:00-04:00`"
        )
    return moment


def _keyed(rows: Iterable[Facts], key: str, section: str) -> dict[str, Facts]:
    return {str(row[key]): row for row in _unique(rows, key, section)}


def _unique(rows: Iterable[Facts], key: str, section: str) -> tuple[Facts, ...]:
    seen: set[Value] = set()
    kept = []
    for n, row in enumerate(rows):
        if key not in row:
            raise SnapshotError("missing-key", f"{section}[{n}]", f"has no `{key.split('.', 1)[1]}`")
        if row[key] in seen:
            raise SnapshotError("duplicate-thing", f"{section}[{n}]", f"repeats {shown(str(row[key]))}")
        seen.add(row[key])
        kept.append(row)
    return tuple(kept)


def _instruments(rows: Iterable[Facts], market: Iterable[Facts]) -> dict[str, Facts]:
    found = {k: dict(v) for k, v in _keyed(rows, "instrument.symbol", "instruments").items()}
    for n, extra in enumerate(market):
        symbol = str(extra.get("market.symbol", ""))
        if symbol not in found:
            raise SnapshotError("unknown-thing", f"market[{n}]", f"{shown(symbol)} is not among the instruments")
        found[symbol] |= extra
    return dict(found)


def _positions(rows: Iterable[Facts]) -> dict[str, dict[str, Facts]]:
    found: dict[str, dict[str, Facts]] = {}
    for n, row in enumerate(rows):
        if "position.account" not in row or "position.symbol" not in row:
            raise SnapshotError("missing-key", f"positions[{n}]", "needs `account` and `symbol`")
        if HELD not in row:  # nobody said that it is flat: that is a quantity of 0, or no row
            raise SnapshotError("missing-key", f"positions[{n}]", "has no `quantity`")
        book = found.setdefault(str(row["position.account"]), {})
        if row["position.symbol"] in book:
            raise SnapshotError("duplicate-thing", f"positions[{n}]", f"repeats {shown(str(row['position.symbol']))}")
        book[str(row["position.symbol"])] = row
    return found


def load_order(raw: Mapping[str, Any], vocabulary: Vocabulary, where: str = "order") -> dict[str, Value]:
    """The facts of one order, the vocabulary's defaults filled in. Raises SnapshotError.

    Needs `id`, `account`, `symbol`, `side`, `quantity`; a limit or stop-limit order needs `price`.
    """
    facts = record(vocabulary, "order", raw, where)
    for short in ("id", "account", "symbol", "side", "quantity"):
        if f"order.{short}" not in facts:
            raise SnapshotError("missing-key", where, f"has no `{short}`")
    for declared in vocabulary.of_entity("order"):
        if declared.default is not None:
            facts.setdefault(declared.name, declared.default)
    if facts["order.ord_type"] in ("limit", "stop_limit") and "order.price" not in facts:
        raise SnapshotError("missing-key", where, "is a limit order without `price`")
    return facts


def plain(value: Value) -> str | bool | list[str]:
    """A fact as it is written in JSON: decimals as text, sets sorted, times in ISO 8601."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return exact(value)


def canonical_bytes(document: object) -> bytes:
    """The bytes a hash is taken of: sorted keys, no blanks, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def snapshot_hash(
    moment: datetime, lists: Mapping[str, list[dict[str, Value]]], single: Facts, reference: Mapping[str, object]
) -> str:
    """SHA-256 of a snapshot, whatever the order its things were given in; `reference` is what stands beside them."""
    write: Callable[[Facts], dict[str, object]] = lambda facts: {k: plain(v) for k, v in facts.items()}  # noqa: E731
    document = {
        "time": moment.isoformat(),
        "single": write(single),
        **reference,
        **{name: sorted((write(row) for row in rows), key=canonical_bytes) for name, rows in lists.items()},
    }
    return hashlib.sha256(canonical_bytes(document)).hexdigest()
