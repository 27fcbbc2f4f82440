"""Rules that experts write in CLIPS themselves: read, checked, confined, then run.

In: a `.clp` text, its sidecar, facts. Out: `Finding`s of one rule for one order. Guaranteed: three walls: what is
admitted is checked on the text (`clp.py`); the environment has lost every other function; runs are bounded in firings
and time. A file that is not approved runs in a process of its own only
(`worker.py`). What a file can do is add a breach: nothing it does removes one. An error, a limit or a missing fact
makes the rule undecided. Refused (RuleFileError): what `clp.py` refuses, sidecars that do not fit. Before: `clp.py`,
`session.py`. After: `worker.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from lexorder.engine import shape
from lexorder.engine.codes import nearest_name
from lexorder.engine.errors import ExpertError, SnapshotError, shown
from lexorder.engine.expert.clipslib import ffi, lib, remove_function
from lexorder.engine.expert.clp import FUNCTIONS, Checker, read, refuse
from lexorder.engine.expert.session import INT64_MAX, Builder, Session
from lexorder.engine.facts import fact
from lexorder.engine.literals import ungrouped
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.rule import Facts, Severity
from lexorder.engine.source import Mapping as MappingNode
from lexorder.engine.source import Scalar, nodes
from lexorder.engine.terms import Span, Value
from lexorder.engine.units import Kind
from lexorder.engine.verdict import Finding, Status

ENTITIES = ("order", "instrument", "market", "account", "position", "trader")
"""Whose facts an expert file may match, each as a template with the vocabulary's names as slots."""
RESULTS = frozenset({"violation"})
"""`(assert (violation))` is how a file says that the order breaks its rule."""
KEPT = FUNCTIONS | {"progn"}
"""What stays in the language: `progn` is no call of the author's, CLIPS itself groups actions with it."""
FIRINGS_MAX = 1_000
DEADLINE_MS = 100
_SIDECAR = ("expert", "rule", "title", "severity", "cite", "owner", "tests")
_KINDS = (Kind.NUMBER, Kind.DURATION, Kind.BOOL, Kind.ENUM, Kind.TEXT)


@dataclass(frozen=True, slots=True)
class ExpertFile:
    """A checked file with its sidecar.

    `constructs` is written anew from the tree, so CLIPS reads nothing that was not checked; `hash` is the SHA-256 of
    both texts, by which a person approves it. `reads` are the (template, slot) pairs its patterns mention.
    """

    rule: str
    title: str
    severity: Severity
    cite: str
    owner: str
    constructs: tuple[str, ...]
    reads: frozenset[tuple[str, str]]
    tests: tuple[tuple[Mapping[str, str], str], ...]
    hash: str


def load(path: Path, vocabulary: Vocabulary) -> ExpertFile:
    """The expert file of a sidecar `NAME.yaml` and the `.clp` file it names, both in one folder.

    Raises:
        RuleFileError: with position.
    """
    text = path.read_text(encoding="utf-8")
    sidecar = _sidecar(text, path.name)
    clp = shape.word(sidecar, "expert", sidecar.span)
    if "/" in clp.text or not clp.text.endswith(".clp"):
        refuse("expert-sidecar", "`expert` names a `.clp` file beside this one", clp.span)
    return expert_file(text, (path.parent / clp.text).read_text(encoding="utf-8"), vocabulary, path.name, clp.text)


def expert_file(sidecar: str, clp: str, vocabulary: Vocabulary, file: str = "", clp_file: str = "") -> ExpertFile:
    """A checked file from two texts. Raises RuleFileError."""
    body = _sidecar(sidecar, file)
    forms = read(clp, clp_file)
    checker = Checker(all_functions(), {**_templates(vocabulary), "violation": frozenset()}, RESULTS)
    checker.check(forms)
    severity = shape.choice(shape.word(body, "severity", body.span), [s.value for s in Severity], "`severity`")
    digest = hashlib.sha256(f"{len(sidecar)}\n{sidecar}{clp}".encode()).hexdigest()
    return ExpertFile(
        rule=shape.word(body, "rule", body.span).text,
        title=shape.word(body, "title", body.span).text,
        severity=Severity(severity),
        cite=shape.word(body, "cite", body.span).text,
        owner=shape.text(body, "owner"),
        constructs=tuple(form.source() for form in forms),
        reads=frozenset(pair for pair in checker.reads if pair[0] in ENTITIES),
        tests=_tests(body, vocabulary),
        hash=digest,
    )


def _sidecar(text: str, file: str) -> MappingNode:
    root = nodes(text, file)
    body = shape.mapping(root, "a sidecar", root.span if root else Span(file, 1, 1))
    shape.known_keys(body, _SIDECAR, "a sidecar")
    return body


def _tests(body: MappingNode, vocabulary: Vocabulary) -> tuple[tuple[Mapping[str, str], str], ...]:
    """`tests: [{given: {order.quantity: 5}, expect: pass}]`."""
    node = body.get("tests")
    if node is None:
        refuse("expert-sidecar", "an expert file has `tests`", body.span)
    found = []
    for item in shape.sequence(node, "`tests`", body.span):
        test = shape.mapping(item, "a test", body.span)
        shape.known_keys(test, ("given", "expect"), "a test")
        given = shape.mapping(test.get("given"), "`given`", test.span)
        facts = {k.text: _fact(k, shape.scalar(v, "a fact"), vocabulary) for k, v in given}
        expect = shape.choice(shape.word(test, "expect", test.span), ("pass", "breach", "undecided"), "`expect`")
        found.append((facts, expect))
    return tuple(found)


def _fact(key: Scalar, given: Scalar, vocabulary: Vocabulary) -> str:
    """The text of a fact of a test, which must be one its name admits."""
    declared = vocabulary.name(key.text)
    if declared is None:
        near = nearest_name(key.text, vocabulary.names)
        refuse("expert-sidecar", f"{shown(key.text)} is no name of the vocabulary", key.span, near)
    text = ungrouped(given.text, declared.unit)
    try:
        fact(declared, text, key.text)
    except SnapshotError as error:
        refuse("expert-sidecar", error.message, given.span)
    return text


# ---- the engine's templates ------------------------------------------------------------------------


def slot_of(name: str) -> str:
    """The slot of a vocabulary name: `before.quantity` of a position is `before-quantity`."""
    return name.partition(".")[2].replace(".", "-").replace("_", "-").lower()


def _given(vocabulary: Vocabulary, entity: str) -> list[Name]:
    return [n for n in vocabulary.of_entity(entity) if n.means is None and n.unit.kind in _KINDS]


def _templates(vocabulary: Vocabulary) -> dict[str, frozenset[str]]:
    return {e: frozenset(slot_of(n.name) for n in _given(vocabulary, e)) for e in ENTITIES}


def _template_texts(vocabulary: Vocabulary) -> list[str]:
    found = ["(deftemplate violation)"]
    for entity in ENTITIES:
        slots = " ".join(f"(slot {slot_of(n.name)} (default absent))" for n in _given(vocabulary, entity))
        found.append(f"(deftemplate {entity} {slots})")
    return found


# ---- running ---------------------------------------------------------------------------------------


@cache
def all_functions() -> frozenset[str]:
    """The names of every function CLIPS has."""
    environment = lib.CreateEnvironment()
    cell = ffi.new("CLIPSValue *")
    lib.Eval(environment, b"(get-function-list)", cell)
    listed = cell.multifieldValue
    names = (ffi.string((listed.contents + i).lexemeValue.contents).decode("ascii") for i in range(listed.length))
    found = frozenset(names)
    lib.DestroyEnvironment(environment)
    return found


def confined(firings_max: int = FIRINGS_MAX, deadline_ms: int = DEADLINE_MS) -> Session:
    """A session whose language has lost every function but those in `KEPT`."""
    session = Session(firings_max, deadline_ms)
    for name in all_functions() - KEPT:
        remove_function(session.address, name)
    return session


class ExpertRule:
    """One checked file, loaded in an environment of its own."""

    def __init__(self, file: ExpertFile, vocabulary: Vocabulary) -> None:
        self.file = file
        self.vocabulary = vocabulary
        self.session = confined()
        self.session.load([*_template_texts(vocabulary), *file.constructs])
        self._builders: dict[str, Builder] = {}
        self._reads = tuple(n for e in ENTITIES for n in _given(vocabulary, e) if (e, slot_of(n.name)) in file.reads)

    def judge(self, facts: Facts, subject: str) -> Finding:
        """What the rule says of an order, given the facts it may match by vocabulary name; undecided on any error."""
        session = self.session
        known = {**{n.name: n.default for n in self._reads if n.default is not None}, **facts}
        missing = [n.name for n in self._reads if n.name not in known]
        if missing:
            # A pattern on a slot that is absent would just not match, and the order would pass.
            return Finding(self.file.rule, subject, Status.UNDECIDED, why=f"{missing[0]} is missing")
        try:
            session.reset()
            for entity in ENTITIES:
                self._assert(entity, {n: v for n, v in known.items() if n.split(".", 1)[0] == entity})
            session.run()
            broken = any(True for _ in session.facts("violation"))
            return Finding(self.file.rule, subject, Status.BREACH if broken else Status.PASS)
        except ExpertError as error:
            return Finding(self.file.rule, subject, Status.UNDECIDED, why=error.message)
        finally:
            session.recover()

    def _assert(self, entity: str, facts: Facts) -> None:
        session = self.session
        builder = self._builders.get(entity) or self._builders.setdefault(entity, session.builder(entity))
        for name, value in sorted(facts.items()):
            declared = self.vocabulary.names[name]
            if declared.means is None and declared.unit.kind in _KINDS:
                session.put(builder, slot_of(name).encode("ascii"), self._value(declared, value))
        session.add(builder)

    def _value(self, declared: Name, value: Value) -> Any:
        """Numbers in the name's own scale, words as symbols."""
        if isinstance(value, bool):
            return self.session.symbol("TRUE" if value else "FALSE")
        if isinstance(value, Fraction):
            number = value * 10**declared.scale
            if number.denominator != 1 or abs(number) > INT64_MAX:
                raise ExpertError("expert-fact", f"{declared.name} does not fit 64 bits")
            return self.session.integer(int(number))
        return self.session.loose_symbol(str(value))

    def close(self) -> None:
        """Give CLIPS's memory back."""
        self.session.close()


def failures(rule: ExpertRule, tests: Iterable[tuple[Mapping[str, Value], str]]) -> Sequence[str]:
    """What the rule's own tests say that it does not do: empty when all hold."""
    found = []
    for number, (facts, expect) in enumerate(tests):
        status = rule.judge(facts, "test").status.value
        if status != expect:
            found.append(f"test {number + 1}: expected {expect}, found {status}")
    return found
