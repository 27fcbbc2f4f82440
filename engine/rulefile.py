"""One rule of a rule file: YAML node to `Draft`.

In: a mapping node and the vocabulary. Out: `Draft`: every key read, expressions parsed, nothing typechecked yet.
Guaranteed: exactly one kind of rule; keys only where they have an effect. Refused (RuleFileError): unknown and missing
keys, words and dates that are none, mixed kinds, and what the parser refuses; all findings of the rule at once.
Before: `shape.py`, `dated.py`, `parse.py`. After: `inforce.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from lexorder.engine import dated, literals, shape
from lexorder.engine.codes import Findings, nearest_name, refuse
from lexorder.engine.dated import DatedValue
from lexorder.engine.errors import shown
from lexorder.engine.names import Vocabulary
from lexorder.engine.parse import parse
from lexorder.engine.reasons import BY_CODE
from lexorder.engine.rule import (
    Audience,
    Example,
    Override,
    Phase,
    Scope,
    Severity,
)
from lexorder.engine.source import Mapping, Node, Scalar, Sequence
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Span
from lexorder.engine.vocabulary import canonical

KINDS = ("require", "derive", "then")
KEYS = (
    *("rule", "title", "severity", "phases", "scope", "effective", "for_each", "let", "when"),
    *KINDS,
    *("if_already_breached", "if_missing", "message", "reason", "override", "audience", "priority"),
    *("owner", "cite", "tests"),
)
ONLY_FOR = {
    "severity": ("require",),
    "if_already_breached": ("require",),
    "if_missing": ("require",),
    "override": ("require",),
    "audience": ("require", "derive"),
    "priority": ("then",),
}
"""Keys with an effect in some kinds of rule only; elsewhere they would mislead."""

_IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_DEFAULT_PHASES = {
    "require": frozenset({Phase.PRE_TRADE}),
    "derive": frozenset(Phase),
    "then": frozenset({Phase.MONITOR}),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule as written, with expressions parsed but not typechecked."""

    id: str
    node: Mapping
    kind: str
    for_each: str
    lets: tuple[DatedValue, ...]
    when: Syntax | None
    require: Syntax | None
    derive: tuple[tuple[Scalar, Syntax], ...]
    then: tuple[Node, ...]
    fixed: dict[str, object] = field(compare=False)
    span: Span = field(compare=False)


class Reader:
    """Reads one rule's keys; one use."""

    def __init__(self, body: Mapping, vocabulary: Vocabulary) -> None:
        self.body = body
        self.vocabulary = vocabulary
        self.findings = Findings()
        self.span = body.span
        # Without subject and `let` names every expression would bring findings that are no mistakes.
        self.checkable = True

    def draft(self) -> Draft:
        """The whole rule; what is wrong with single keys is noted in `findings`.

        Raises:
            RuleFileError: when the identifier or the kind cannot be told, or `derive` cannot be read.
        """
        identifier = self.identifier()
        with self.findings.catching():
            shape.known_keys(self.body, KEYS, "a rule")
        kind = self.kind()
        derive = self.derive() if kind == "derive" else ()
        return Draft(
            id=identifier,
            node=self.body,
            kind=kind,
            for_each=self.subject(derive),
            lets=self.lets(),
            when=self.expression("when"),
            require=self.expression("require"),
            derive=derive,
            then=self.reactions(),
            fixed=self.fixed(kind),
            span=self.span,
        )

    def identifier(self) -> str:
        """The `rule` key."""
        written = shape.word(self.body, "rule", self.span)
        self.span = written.span
        if not _IDENTIFIER.match(written.text) or len(written.text) > 80:
            refuse(
                "bad-identifier",
                f"{shown(written.text)} is not an identifier: lower-case letters, digits and hyphens, "
                "such as `max-position-weight`",
                written.span,
            )
        return written.text

    def kind(self) -> str:
        """Which of `require`, `derive`, `then` is given; keys that do nothing beside it are findings."""
        given = [kind for kind in KINDS if self.body.get(kind) is not None]
        if len(given) != 1:
            said = "none" if not given else " and ".join(f"`{k}`" for k in given)
            refuse("no-rule-kind", f"a rule has one of `require`, `derive`, `then`; this has {said}", self.span)
        for key, kinds in ONLY_FOR.items():
            where = self.body.key(key)
            if where is not None and given[0] not in kinds:
                self.findings.add(
                    "key-not-used", f"`{key}` has no effect in a rule with `{given[0]}`: remove it", where.span
                )
        return given[0]

    def subject(self, derive: tuple[tuple[Scalar, Syntax], ...]) -> str:
        """The entity of `for_each`; for `derive` that of the name it sets."""
        node = self.body.get("for_each")
        entity = derive[0][0].text.split(".")[0] if derive else "order"
        if node is None:
            return entity
        with self.findings.catching():
            written = shape.scalar(node, "`for_each`")
            known = self.vocabulary.subjects()
            if written.text not in known:
                near = nearest_name(written.text, known)
                refuse("unknown-subject", f"`for_each` is one of {', '.join(known)}", written.span, near)
            if derive and written.text != entity:
                refuse(
                    "not-derived",
                    f"{shown(derive[0][0].text)} belongs to `{entity}`, so the rule is `for_each: {entity}`: write "
                    "that, or leave `for_each` out",
                    written.span,
                )
            return written.text
        self.checkable = False
        return entity

    def expression(self, key: str) -> Syntax | None:
        """An optional expression, parsed."""
        node = self.body.get(key)
        if node is None:
            return None
        with self.findings.catching():
            return parse(shape.scalar(node, f"`{key}`"))
        return None

    def lets(self) -> tuple[DatedValue, ...]:
        """The `let` values."""
        node = self.body.get("let")
        if node is None:
            return ()
        with self.findings.catching():
            return dated.read(shape.mapping(node, "`let`", self.span), self.vocabulary)
        self.checkable = False
        return ()

    def derive(self) -> tuple[tuple[Scalar, Syntax], ...]:
        """What is set, with parsed values."""
        found = []
        for key, node in shape.mapping(self.body.get("derive"), "`derive`", self.span):
            with self.findings.catching():
                self.be_derived(key)
                found.append((key, parse(shape.scalar(node, "a derived value"))))
        entities = {key.text.split(".")[0] for key, _ in found}
        if len(entities) > 1:
            self.findings.add(
                "not-derived",
                f"one rule derives facts of one entity, not of {' and '.join(sorted(entities))}: write two rules",
                self.span,
            )
        self.findings.raise_any()
        if not found:
            refuse("missing-key", "`derive` sets at least one name", self.span)
        return tuple(found)

    def be_derived(self, key: Scalar) -> None:
        """Refuse a name that `derive` may not set."""
        declared = self.vocabulary.name(key.text)
        if declared is None:
            near = nearest_name(key.text, [n.name for n in self.vocabulary.names.values() if n.derived])
            refuse("unknown-name", f"{shown(key.text)} is not in the vocabulary", key.span, near)
        if not declared.derived:
            refuse(
                "not-derived",
                f"{shown(key.text)} is not a derived name: the vocabulary must say `derived: true` for it",
                key.span,
            )

    def reactions(self) -> tuple[Node, ...]:
        """The items of `then`."""
        node = self.body.get("then")
        if node is None:
            return ()
        with self.findings.catching():
            items = shape.sequence(node, "`then`", self.span)
            if not items:
                refuse("missing-key", "`then` lists at least one reaction", node.span)
            return items
        return ()

    # ---- keys without expressions --------------------------------------------------------------

    def fixed(self, kind: str) -> dict[str, object]:
        """Everything that is the same in every version, by the field of `Rule` it fills."""
        readers: dict[str, Callable[[], object]] = {
            "title": self.title,
            "severity": self.severity,
            "phases": lambda: self.phases(kind),
            "scope": self.scope,
            "fail_if_missing": lambda: self.choice("if_missing", ("undecided", "fail"), "undecided") == "fail",
            "message": lambda: self.text("message"),
            "reason": self.reason,
            "override": self.override,
            "audience": lambda: Audience(self.choice("audience", tuple(Audience), Audience.EVERYONE)),
            "priority": self.priority,
            "owner": lambda: self.text("owner"),
            "cite": lambda: self.text("cite"),
            "examples": lambda: self.examples(kind),
        }
        found: dict[str, object] = {}
        for name, reader in readers.items():
            with self.findings.catching():
                found[name] = reader()
        with self.findings.catching():
            found["effective_from"], found["effective_until"] = self.effective()
        return found

    def title(self) -> str:
        """The required title."""
        return shape.word(self.body, "title", self.span).text

    def text(self, key: str) -> str:
        """An optional text."""
        return shape.text(self.body, key)

    def choice(self, key: str, admissible: tuple[str, ...], default: str) -> str:
        """An optional word out of a few."""
        node = self.body.get(key)
        if node is None:
            return default
        return shape.choice(shape.scalar(node, f"`{key}`"), admissible, f"`{key}`")

    def severity(self) -> Severity:
        """What a breach does."""
        return Severity(self.choice("severity", tuple(Severity), Severity.HARD))

    def phases(self, kind: str) -> frozenset[Phase]:
        """Where the rule applies."""
        node = self.body.get("phases")
        if node is None:
            return _DEFAULT_PHASES[kind]
        written = shape.words(node, "`phases`", self.span)
        if not written:
            refuse("missing-key", "`phases` lists at least one phase", node.span)
        return frozenset(Phase(shape.choice(w, tuple(Phase), "a phase")) for w in written)

    def scope(self) -> Scope:
        """Whom the rule covers."""
        node = self.body.get("scope")
        if node is None:
            return Scope()
        body = shape.mapping(node, "`scope`", self.span)
        shape.known_keys(body, ("accounts", "except"), "`scope`")
        accounts, tags = self.covered(body.get("accounts"))
        excluded = body.get("except")
        out = shape.words(excluded, "`except`", self.span) if excluded else ()
        return Scope(accounts, tags, tuple(w.text for w in out))

    def covered(self, node: Node | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Account identifiers, or tags; an empty list would cover everyone and is refused."""
        if node is None:
            return (), ()
        if isinstance(node, Sequence):
            named = shape.words(node, "`accounts`", node.span)
            found = (tuple(w.text for w in named), ())
        else:
            body = shape.mapping(node, "`accounts`", node.span)
            shape.known_keys(body, ("tag", "tags"), "`accounts`")
            tags = shape.words(body.get("tags"), "`tags`", node.span) if body.get("tags") else ()
            one = (shape.word(body, "tag", node.span),) if body.get("tag") else ()
            found = ((), tuple(w.text for w in (*one, *tags)))
        if found == ((), ()):
            refuse("missing-key", "`accounts` names at least one account or tag; leave it out to cover all", node.span)
        return found

    def effective(self) -> tuple[date | None, date | None]:
        """From (inclusive) and until (exclusive)."""
        node = self.body.get("effective")
        if node is None:
            return None, None
        body = shape.mapping(node, "`effective`", self.span)
        shape.known_keys(body, ("from", "until"), "`effective`")
        start, end = (dated.day_under(body, key) for key in ("from", "until"))
        if start and end and start >= end:
            refuse("bad-date", "`until` must be after `from`: the rule would never be in force", body.span)
        return start, end

    def reason(self) -> str:
        """A reason code of the closed list, or empty."""
        node = self.body.get("reason")
        if node is None:
            return ""
        written = shape.scalar(node, "`reason`")
        if written.text not in BY_CODE:
            near = nearest_name(written.text, BY_CODE)
            refuse("bad-choice", f"{shown(written.text)} is not a reason code", written.span, near)
        return written.text

    def override(self) -> Override | None:
        """Who may override; only of soft rules."""
        node = self.body.get("override")
        if node is None:
            return None
        body = shape.mapping(node, "`override`", self.span)
        shape.known_keys(body, ("roles", "reason", "approvers", "expires"), "`override`")
        if self.severity() is not Severity.SOFT:
            refuse("key-not-used", "only a rule with `severity: soft` can be overridden", body.span)
        roles = shape.words(body.get("roles"), "`roles`", body.span)
        if not roles:
            refuse("missing-key", "`override` names at least one role", body.span)
        reason = shape.text(body, "reason") or "required"
        if reason not in {"required", "optional"}:
            refuse("bad-choice", "`reason` of an override is `required` or `optional`", body.span)
        return Override(tuple(w.text for w in roles), reason == "required", self.approvers(body), self.expires(body))

    def approvers(self, body: Mapping) -> int:
        """How many must agree."""
        written = shape.text(body, "approvers") or "1"
        if not re.fullmatch(r"[1-9]", written):
            refuse("bad-value", f"`approvers` is a number from 1 to 9, not {shown(written)}", body.span)
        return int(written)

    def expires(self, body: Mapping) -> Fraction:
        """How long an override lasts, in seconds."""
        written = shape.text(body, "expires") or "0 s"
        seconds = literals.duration(written)
        if seconds is None:
            refuse("bad-value", f"`expires` is a duration like `1 day`, not {shown(written)}", body.span)
        return seconds

    def priority(self) -> int:
        """The rank among reactions."""
        written = shape.text(self.body, "priority") or "0"
        if not re.fullmatch(r"-?[0-9]{1,4}", written):
            key = self.body.key("priority")
            refuse("bad-value", f"`priority` is a whole number, not {shown(written)}", key.span if key else self.span)
        return int(written)

    def examples(self, kind: str) -> tuple[Example, ...]:
        """The inline tests."""
        node = self.body.get("tests")
        if node is None:
            return ()
        items = shape.sequence(node, "`tests`", self.span)
        return tuple(_example(item, place, kind) for place, item in enumerate(items, 1))


EXPECTATIONS = {
    "require": (("pass", "not_applicable", "undecided", "warn", "passive"), "fail"),
    "derive": (("not_applicable",), "derive"),
    "then": (("fires", "silent", "not_applicable"), "fires"),
}
"""What a test of each kind of rule may expect: words, or a mapping with this key."""


def _be_expectation(expect: Node, kind: str) -> None:
    """Refuse an expectation that no outcome could meet."""
    words, key = EXPECTATIONS[kind]
    if isinstance(expect, Mapping) and expect.get(key) is not None:
        return
    written = expect.text if isinstance(expect, Scalar) else "this"
    if not isinstance(expect, Scalar) or written not in words:
        refuse(
            "bad-example",
            f"a test of a rule with `{kind}` expects {', '.join(words)} or `{{{key}: …}}`, not {shown(written)}",
            expect.span,
            nearest_name(written, words),
        )


def _example(node: Node, place: int, kind: str) -> Example:
    body = shape.mapping(node, "a test", node.span)
    shape.known_keys(body, ("name", "given", "expect"), "a test")
    expect = body.get("expect")
    if expect is None:
        refuse("missing-key", "a test says what to `expect`", body.span)
    _be_expectation(expect, kind)
    given = body.get("given")
    facts = canonical(shape.mapping(given, "`given`", body.span)) if given else {}
    assert isinstance(facts, dict)
    return Example(shape.text(body, "name") or f"test {place}", facts, canonical(expect), span=body.span)
