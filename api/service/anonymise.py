"""Records without anybody in them: identifiers become pseudonyms, everything not known to be harmless is left out.

In: records of the ledger, a key of 32 bytes, the vocabulary. Out: rows whose `ref` and `account` are pseudonyms and
whose bodies hold only what is on a closed list. Guaranteed: a value is kept only when its field is known *and* it has
the form the field must have (an amount, a time, a word of the enumeration, a reason code, a symbol); a field nobody
listed is dropped with all that is in it, so a new kind of record leaks nothing; equal identifiers have equal pseudonyms
within a key, wherever they stand; hashes that cover the original are dropped, because whoever guesses an identifier
could confirm the guess with them. Refused: nothing. Why keyed: without the key, a pseudonym of `ACC-17` could be looked
up by trying all account numbers. What is left is pseudonymous, not anonymous in the law's sense: times and amounts stay
and may be recognised by who knows the trades (GDPR, recital 26). Before: `engine/ledger/`. After: `export.py`.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from lexorder.engine.ledger.record import Record
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.reasons import BY_CODE
from lexorder.engine.symbols import is_symbol
from lexorder.engine.units import Kind

KEY_BYTES: Final = 32

PSEUDONYMS: Final = frozenset({
    "account", "accounts", "approver", "beneficial_owner", "by", "email", "event_id", "group", "groups", "id", "issuer",
    "issuers", "name", "order", "orders", "owner", "parent", "person", "ref", "strategies", "strategy", "subject",
    "tax_id", "team", "trader", "traders", "workspace",
})  # fmt: skip
"""Fields whose text says who or which: replaced."""

SECTIONS: Final = frozenset({
    "decision", "decisions", "derived", "document", "fills", "fired", "inputs", "instruments", "items",
    "largest_compliant", "market", "pairs", "passive", "positions", "quotes", "signals", "undecided", "violations",
    "warnings", "working_orders",
})  # fmt: skip
"""Fields that hold other fields: looked into."""

RULES: Final = frozenset({"binding", "rule"})
"""Fields that name rules. A limit's rule may be named after an account, so only known names are kept."""

AMOUNTS: Final = frozenset({"count", "limit", "margin", "max_order", "observed", "quantity", "sequence", "verdicts"})
TIMES: Final = frozenset({"active_from", "at", "decided_at", "expires", "heard", "now", "requested_at", "time"})
FLAGS: Final = frozenset({"granted", "reserved", "whole"})
SYMBOLS: Final = frozenset({"first", "second", "symbol", "underlying"})
WORDS: Final[Mapping[str, frozenset[str]]] = {
    "action": frozenset({"activate", "approve", "propose", "refuse", "reject", "request", "retire", "set", "upload"}),
    "feed": frozenset({"accounts", "fills", "lists", "positions", "prices", "signals", "working-orders"}),
    "mode": frozenset({"basket", "cumulative", "independent"}),
    "outcome": frozenset({"approve", "needs_override", "reject", "undecided"}),
    "reason": frozenset(BY_CODE),  # of a decision; the reason a person gave is none of these
    "scope": frozenset({"account", "firm", "strategy", "trader"}),
    "severity": frozenset({"hard", "soft", "warn"}),
    "state": frozenset({"ACTIVE", "HALTED", "REDUCING", "granted", "open", "rejected"}),
    "status": frozenset({"breach", "passive", "undecided"}),
}
"""Fields with a closed list of words."""

_AMOUNT = re.compile(r"-?\d{1,40}(\.\d{1,40})?(/\d{1,40})?%?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?|\d\d:\d\d(:\d\d)?", re.ASCII)
_DURATION = re.compile(r"\d{1,20}(\.\d{1,9})?( ?(ms|s|min|h|day|days))?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_HASH = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z][a-z-]{0,39}")

_BOOL = re.compile(r"true|false")
_FORMS = {
    Kind.NUMBER: _AMOUNT,
    Kind.BOOL: _BOOL,
    Kind.DURATION: _DURATION,
    Kind.TIMESTAMP: _TIME,
    Kind.DATE: _TIME,
    Kind.TIME: _TIME,
}

Test = Callable[[str], object]


class Anonymiser:
    """Makes records anonymous with one key; `rules` are the identifiers of rules anybody may know."""

    def __init__(self, key: bytes, vocabulary: Vocabulary, rules: Iterable[str] = ()) -> None:
        self._key = key
        self._rules = frozenset(rules)
        self._tests = _tests(vocabulary)

    def record(self, record: Record) -> Record:
        """The record without identifiers and without hashes; an unknown form of `kind` becomes empty."""
        return replace(
            record,
            kind=record.kind if _KIND.fullmatch(record.kind) else "",
            ref=self.pseudonym(record.ref),
            account=self.pseudonym(record.account),
            body=self.body(record.body),
            prev=b"",
            hash=b"",
        )

    def pseudonym(self, text: str) -> str:
        """The pseudonym of an identifier; nothing stays nothing."""
        if not text:
            return ""
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        return "anon-" + base64.b32encode(digest[:15]).decode("ascii").lower()

    def body(self, body: bytes) -> bytes:
        """What may be kept of a body; an empty object when it is no JSON object."""
        try:
            found = json.loads(body, parse_float=str)
            kept = self._object(found) if isinstance(found, dict) else {}
        except (ValueError, RecursionError):
            kept = {}
        return json.dumps(kept, separators=(",", ":"), ensure_ascii=True).encode("ascii")

    def _object(self, found: Mapping[str, Any]) -> dict[str, Any]:
        kept = {}
        for name, value in found.items():
            field = name.rpartition(".")[2]  # `account.nav` among a report's inputs is a `nav`
            what = self._value(field, value) if self._known(name, field) else None
            if what is not None:
                kept[name] = what
        return kept

    def _known(self, name: str, field: str) -> bool:
        """Whether the name itself may be shown: it is on a list, not an identifier that stands where names stand."""
        if name != field:
            return name in self._tests
        return field in PSEUDONYMS or field in SECTIONS or field in RULES or field in self._tests

    def _value(self, field: str, value: Any) -> Any:
        """What may be kept of a value; None when nothing."""
        if isinstance(value, Mapping):
            return self._object(value) if field in SECTIONS or field in PSEUDONYMS else None
        if isinstance(value, list):
            return [kept for each in value if (kept := self._value(field, each)) is not None]
        if isinstance(value, bool):
            return value if self._passes(field, "true") else None
        if isinstance(value, int):
            return self._number(field, value)
        return self._text(field, value) if isinstance(value, str) else None

    def _number(self, field: str, value: int) -> int | str | None:
        if field in PSEUDONYMS:
            return self.pseudonym(str(value))
        return value if self._passes(field, str(value)) else None

    def _text(self, field: str, value: str) -> str | None:
        if field in PSEUDONYMS:
            return self.pseudonym(value)
        if field in RULES:
            return value if value in self._rules else self.pseudonym(value)
        return value if self._passes(field, value) else None

    def _passes(self, field: str, value: str) -> bool:
        test = self._tests.get(field)
        return test is not None and bool(test(value))


def _tests(vocabulary: Vocabulary) -> dict[str, Test]:
    """Field, and full name of the vocabulary → what its value must look like to be kept."""
    forms: dict[str, list[Test]] = {}
    for name in vocabulary.names.values():
        test = _test(name)
        if test is not None:
            forms.setdefault(name.name, []).append(test)
            forms.setdefault(name.name.rpartition(".")[2], []).append(test)
    own: dict[str, Test] = {
        **dict.fromkeys(AMOUNTS, _AMOUNT.fullmatch),
        **dict.fromkeys(TIMES, _TIME.fullmatch),
        **dict.fromkeys(SYMBOLS, is_symbol),
        **dict.fromkeys(FLAGS, _BOOL.fullmatch),
        **{field: words.__contains__ for field, words in WORDS.items()},
        "currency": _CURRENCY.fullmatch,
        "base": _CURRENCY.fullmatch,
        "rulebook_hash": _HASH.fullmatch,
    }
    for field, test in own.items():
        forms.setdefault(field, []).append(test)
    return {field: _any(tests) for field, tests in forms.items()}


def _any(tests: list[Test]) -> Test:
    """One test that is passed by what passes one of them; a field may have several meanings."""
    return lambda value: any(test(value) for test in tests)


def _test(name: Name) -> Test | None:
    """What a value of this name looks like; None for texts and sets, which may hold anything."""
    kind = name.unit.kind
    if kind is Kind.ENUM:
        return frozenset(name.unit.values).__contains__
    form = _FORMS.get(kind)
    return None if form is None else form.fullmatch
