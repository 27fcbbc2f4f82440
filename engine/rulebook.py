"""A folder of rule files to one rule book.

In: files or folders, and the vocabulary. Out: `RuleBook`: all versions of all rules, hashed, with the rules in force
on any date. Guaranteed: all or nothing; rules are ordered by id, so neither file names nor their order matter; the
hash is the SHA-256 of canonical bytes of the vocabulary and the rules, blind to comments, blank space and layout.
Refused (RuleFileError): every finding of every file at once, duplicate identifiers, contradictions on any date.
Before: `inforce.py`, `conflicts.py`, `vocabulary.py`. After: everything that decides.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from collections.abc import Mapping as StdMapping
from dataclasses import dataclass, field, fields
from datetime import date
from fractions import Fraction
from pathlib import Path

from lexorder.engine.codes import Findings, refuse
from lexorder.engine.conflicts import stratified
from lexorder.engine.dated import Versions
from lexorder.engine.errors import RuleFileError
from lexorder.engine.inforce import versions
from lexorder.engine.names import Vocabulary
from lexorder.engine.parse import parse
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.source import Mapping, Node, Scalar, Sequence, nodes, read
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Span
from lexorder.engine.vocabulary import digest, load

VOCABULARY_FILE = "vocabulary.yaml"

Stretch = tuple[date, tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rules with all their versions.

    `hash` is the SHA-256 (hex) of the canonical bytes. `stretches` are the rules in force from each day on which
    something changes; the first begins at `date.min`.
    """

    vocabulary: Vocabulary
    versions: tuple[Versions, ...]
    hash: str
    stretches: tuple[Stretch, ...] = field(repr=False)

    @classmethod
    def load(cls, paths: Path | str | Iterable[Path | str], vocabulary: Vocabulary | None = None) -> RuleBook:
        """The rule book of files and folders (every `*.yaml` below, without the vocabulary).

        Without `vocabulary`, that of the first folder is used.

        Raises:
            RuleFileError: with every problem in every file; nothing is loaded then. `no-rules` when there is none.
        """
        listed = [Path(paths)] if isinstance(paths, Path | str) else [Path(p) for p in paths]
        words = vocabulary or load(_vocabulary_beside(listed))
        findings = Findings()
        roots: list[Node] = []
        for path in rule_files(listed):
            with findings.catching():
                roots.extend(filter(None, [read(path)]))
        where = listed[0].as_posix() if listed else ""
        return cls._built(roots, words, findings)._with_rules(where)

    @classmethod
    def of(cls, text: str, vocabulary: Vocabulary, file: str = "rules.yaml") -> RuleBook:
        """The rule book of one YAML text.

        Raises:
            RuleFileError: with every problem in it.
        """
        root = nodes(text, file)
        return cls._built([root] if root else [], vocabulary, Findings())

    @classmethod
    def of_files(cls, files: StdMapping[str, str], vocabulary: Vocabulary) -> RuleBook:
        """The rule book of several YAML texts, by the names that findings shall give their files.

        Raises:
            RuleFileError: with every problem in every file; `no-rules` when there is none.
        """
        findings = Findings()
        roots: list[Node] = []
        for name, text in files.items():
            with findings.catching():
                roots.extend(filter(None, [nodes(text, name)]))
        return cls._built(roots, vocabulary, findings)._with_rules(next(iter(files), ""))

    def _with_rules(self, where: str) -> RuleBook:
        """This book. Raises RuleFileError when nothing is in it: a wrong path must not approve every order."""
        if not self.versions:
            refuse("no-rules", "there is no rule here, and a book without rules decides nothing", Span(where, 1, 1))
        return self

    @classmethod
    def _built(cls, roots: list[Node], vocabulary: Vocabulary, findings: Findings) -> RuleBook:
        found = [v for root in roots for v in _rules(root, vocabulary, findings)]
        return cls._ordered(found, vocabulary, findings)

    def joined(self, others: Iterable[RuleBook]) -> RuleBook:
        """This book with the rules of others, of the same vocabulary; the same as one book of all their texts.

        Raises:
            RuleFileError: rules of one name, contradictions on any date.
        """
        found = [v for book in (self, *others) for v in book.versions]
        return self._ordered(found, self.vocabulary, Findings())

    def only(self, identifiers: Iterable[str]) -> RuleBook:
        """The book of some of its rules; names it does not have are left out."""
        wanted = frozenset(identifiers)
        kept = [v for v in self.versions if v.id in wanted]
        return self._ordered(kept, self.vocabulary, Findings())

    @classmethod
    def _ordered(cls, found: list[Versions], vocabulary: Vocabulary, findings: Findings) -> RuleBook:
        _refuse_duplicates(found, findings)
        findings.raise_any()
        ordered = tuple(sorted(found, key=lambda v: v.id))
        stretches = _stretches(ordered, findings)
        findings.raise_any()
        content = [vocabulary.digest, [_canonical(v.node, "") for v in ordered]]
        return cls(vocabulary, ordered, digest(content), stretches)

    def on(self, day: date, phase: Phase | None = None) -> tuple[Rule, ...]:
        """The rules in force on a day, by id; with `phase`, those that apply in it."""
        place = bisect_right([start for start, _ in self.stretches], day) - 1
        rules = self.stretches[place][1] if place >= 0 else ()
        return rules if phase is None else tuple(r for r in rules if phase in r.phases)

    def rule(self, identifier: str, day: date) -> Rule | None:
        """One rule as in force on a day, or None."""
        return next((r for r in self.on(day) if r.id == identifier), None)

    def ids(self) -> tuple[str, ...]:
        """All identifiers, in order, whether in force or not."""
        return tuple(v.id for v in self.versions)

    def dates(self) -> tuple[date, ...]:
        """The days on which the rules change, in order."""
        return tuple(start for start, _ in self.stretches if start != date.min)


def rule_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The rule files under files and folders, each once, sorted.

    Raises:
        RuleFileError: `file-unreadable` for a path that does not exist.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {p for p in path.rglob("*.yaml") if p.name != VOCABULARY_FILE and p.is_file()}
        elif path.is_file():
            found.add(path)
        else:
            refuse("file-unreadable", "there is no such file or folder", Span(path.as_posix(), 1, 1))
    return tuple(sorted(found))


def _vocabulary_beside(paths: list[Path]) -> Path:
    """The vocabulary in the first folder given, or in a folder above it."""
    start = paths[0] if paths else Path()
    for folder in (start, *start.resolve().parents):
        if (folder / VOCABULARY_FILE).is_file():
            return folder / VOCABULARY_FILE
    return refuse(
        "file-unreadable", f"there is no {VOCABULARY_FILE} in this folder or above it", Span(start.as_posix(), 1, 1)
    )


def _rules(root: Node, vocabulary: Vocabulary, findings: Findings) -> list[Versions]:
    found: list[Versions] = []
    if not isinstance(root, Sequence):
        findings.add("wrong-shape", "a rule file is a list: begin each rule with `- rule: …`", root.span)
        return found
    for node in root.items:
        with findings.catching():
            found.append(versions(node, vocabulary))
    return found


def _refuse_duplicates(found: list[Versions], findings: Findings) -> None:
    seen: dict[str, Span] = {}
    for item in found:
        span = item.items[0][1].span
        if item.id in seen:
            first = seen[item.id]
            place = f"line {first.line}" + (f" of {first.file}" if first.file != span.file else "")
            findings.add(
                "duplicate-rule", f"the identifier `{item.id}` is already used on {place}: choose another", span
            )
        seen.setdefault(item.id, span)


def _stretches(ordered: tuple[Versions, ...], findings: Findings) -> tuple[Stretch, ...]:
    days = sorted({date.min}.union(*(v.dates() for v in ordered)))
    found: list[Stretch] = []
    for day in days:
        in_force = tuple(rule for rule in (v.on(day) for v in ordered) if rule is not None)
        try:
            found.append((day, stratified(in_force)))
        except RuleFileError as error:
            findings.problems.extend(error.problems)
    return tuple(found)


# ---- canonical content -------------------------------------------------------------------------

_EXPRESSIONS = frozenset({"when", "require", "let", "derive", "then"})


def _canonical(node: Node, key: str) -> object:
    """A rule as plain data; expressions as their trees, so that blank space in them does not count."""
    if isinstance(node, Mapping):
        pairs = sorted(node.entries, key=lambda e: e[0].text)
        return {k.text: _canonical(v, key or (k.text if k.text in _EXPRESSIONS else "-")) for k, v in pairs}
    if isinstance(node, Sequence):
        return [_canonical(item, key) for item in node.items]
    return _expression(node) if key in _EXPRESSIONS else node.text


def _expression(scalar: Scalar) -> object:
    """The tree of an expression as plain data; words of reactions and citations are taken as written."""
    try:
        return _plain(parse(scalar))
    except RuleFileError:
        return scalar.text


def _plain(item: object) -> object:
    if isinstance(item, Syntax):
        kept = [getattr(item, f.name) for f in fields(item) if f.name not in {"text", "span"}]
        return [type(item).__name__, *map(_plain, kept)]
    if isinstance(item, tuple):
        return [_plain(part) for part in item]
    return str(item) if isinstance(item, Fraction) or not isinstance(item, bool) else item
