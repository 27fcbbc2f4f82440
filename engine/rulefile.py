"""One rule of a rule file: YAML node to `Draft`, and draft to the `Rule` in force on each date.

In: a mapping node and the vocabulary. Out: `Versions`: the rule for each stretch of time between two of its dates.
Guaranteed: every version is typechecked when the file is loaded, so next year's limit cannot fail next year.
Refused (RuleFileError): unknown and missing keys, kinds mixed in one rule, unused `let` names, bad messages, and what
the parser and typechecker refuse; as many findings at once as can be told apart.
Before: `shape.py`, `dated.py`, `reactions.py`, `message.py`, `typecheck.py`, `classify.py`. After: `rulebook.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from lexorder.engine import dated, literals, reactions, shape
from lexorder.engine.classify import classify
from lexorder.engine.codes import Findings, nearest_name, refuse
from lexorder.engine.dated import DatedValue, Versions
from lexorder.engine.errors import shown
from lexorder.engine.message import BUILT_IN, slots
from lexorder.engine.names import Vocabulary
from lexorder.engine.parse import parse
from lexorder.engine.reasons import BY_CODE
from lexorder.engine.rule import (
    Action,
    Classified,
    Example,
    LetValue,
    Override,
    Phase,
    Rule,
    Scope,
    Severity,
    TermClass,
)
from lexorder.engine.source import Mapping, Node, Scalar, Sequence
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Compare, Span, Term, conjuncts, depends_on_fills
from lexorder.engine.typecheck import Checker
from lexorder.engine.units import Kind
from lexorder.engine.vocabulary import canonical

KINDS = ("require", "derive", "then")
KEYS = (
    *("rule", "title", "severity", "phases", "scope", "effective", "for_each", "let", "when"),
    *KINDS,
    *("if_already_breached", "if_missing", "message", "reason", "override", "priority", "owner", "cite", "tests"),
)
ONLY_FOR = {
    "severity": ("require",),
    "if_already_breached": ("require",),
    "if_missing": ("require",),
    "override": ("require",),
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


def versions(node: Node, vocabulary: Vocabulary) -> Versions:
    """Every version of one rule.

    Raises:
        RuleFileError: with all findings of this rule.
    """
    draft = _Reader(shape.mapping(node, "a rule", node.span), vocabulary).draft()
    findings = Findings()
    found: list[tuple[date | None, Rule]] = []
    for since in dated.starts(draft.lets):
        with findings.catching():
            found.append((since, _Compiler(draft, since, vocabulary).rule()))
    findings.raise_any()
    return Versions(draft.id, tuple(found), draft.node)


class _Reader:
    """Reads one rule's keys; one use."""

    def __init__(self, body: Mapping, vocabulary: Vocabulary) -> None:
        self.body = body
        self.vocabulary = vocabulary
        self.findings = Findings()
        self.span = body.span

    def draft(self) -> Draft:
        identifier = self.identifier()
        with self.findings.catching():
            shape.known_keys(self.body, KEYS, "a rule")
        kind = self.kind()
        derive = self.derive() if kind == "derive" else ()
        found = Draft(
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
        self.findings.raise_any()
        return found

    def identifier(self) -> str:
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
                    f"{shown(derive[0][0].text)} belongs to `{entity}`, so the rule is `for_each: {entity}`",
                    written.span,
                )
            return written.text
        return entity

    def expression(self, key: str) -> Syntax | None:
        node = self.body.get(key)
        if node is None:
            return None
        with self.findings.catching():
            return parse(shape.scalar(node, f"`{key}`"))
        return None

    def lets(self) -> tuple[DatedValue, ...]:
        node = self.body.get("let")
        if node is None:
            return ()
        with self.findings.catching():
            return dated.read(shape.mapping(node, "`let`", self.span), self.vocabulary)
        return ()

    def derive(self) -> tuple[tuple[Scalar, Syntax], ...]:
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
        readers = {
            "title": self.title,
            "severity": self.severity,
            "phases": lambda: self.phases(kind),
            "scope": self.scope,
            "fail_if_missing": lambda: self.choice("if_missing", ("undecided", "fail"), "undecided") == "fail",
            "message": lambda: self.text("message"),
            "reason": self.reason,
            "override": self.override,
            "priority": self.priority,
            "owner": lambda: self.text("owner"),
            "cite": lambda: self.text("cite"),
            "examples": self.examples,
        }
        found: dict[str, object] = {}
        for name, reader in readers.items():
            with self.findings.catching():
                found[name] = reader()
        with self.findings.catching():
            found["effective_from"], found["effective_until"] = self.effective()
        return found

    def title(self) -> str:
        return shape.word(self.body, "title", self.span).text

    def text(self, key: str) -> str:
        return shape.text(self.body, key)

    def choice(self, key: str, admissible: tuple[str, ...], default: str) -> str:
        node = self.body.get(key)
        if node is None:
            return default
        return shape.choice(shape.scalar(node, f"`{key}`"), admissible, f"`{key}`")

    def severity(self) -> Severity:
        return Severity(self.choice("severity", tuple(Severity), Severity.HARD))

    def phases(self, kind: str) -> frozenset[Phase]:
        node = self.body.get("phases")
        if node is None:
            return _DEFAULT_PHASES[kind]
        written = shape.words(node, "`phases`", self.span)
        if not written:
            refuse("missing-key", "`phases` lists at least one phase", node.span)
        return frozenset(Phase(shape.choice(w, tuple(Phase), "a phase")) for w in written)

    def scope(self) -> Scope:
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
        node = self.body.get("reason")
        if node is None:
            return ""
        written = shape.scalar(node, "`reason`")
        if written.text not in BY_CODE:
            near = nearest_name(written.text, BY_CODE)
            refuse("bad-choice", f"{shown(written.text)} is not a reason code", written.span, near)
        return written.text

    def override(self) -> Override | None:
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
        written = shape.text(body, "approvers") or "1"
        if not re.fullmatch(r"[1-9]", written):
            refuse("bad-value", f"`approvers` is a number from 1 to 9, not {shown(written)}", body.span)
        return int(written)

    def expires(self, body: Mapping) -> Fraction:
        written = shape.text(body, "expires") or "0 s"
        seconds = literals.duration(written)
        if seconds is None:
            refuse("bad-value", f"`expires` is a duration like `1 day`, not {shown(written)}", body.span)
        return seconds

    def priority(self) -> int:
        written = shape.text(self.body, "priority") or "0"
        if not re.fullmatch(r"-?[0-9]{1,4}", written):
            key = self.body.key("priority")
            refuse("bad-value", f"`priority` is a whole number, not {shown(written)}", key.span if key else self.span)
        return int(written)

    def examples(self) -> tuple[Example, ...]:
        node = self.body.get("tests")
        if node is None:
            return ()
        items = shape.sequence(node, "`tests`", self.span)
        return tuple(_example(item, place) for place, item in enumerate(items, 1))


def _example(node: Node, place: int) -> Example:
    body = shape.mapping(node, "a test", node.span)
    shape.known_keys(body, ("name", "given", "expect"), "a test")
    expect = body.get("expect")
    if expect is None:
        refuse("missing-key", "a test says what to `expect`", body.span)
    given = body.get("given")
    facts = canonical(shape.mapping(given, "`given`", body.span)) if given else {}
    assert isinstance(facts, dict)
    return Example(shape.text(body, "name") or f"test {place}", facts, canonical(expect), span=body.span)


class _Compiler:
    """Typechecks a draft as in force from one date; one use."""

    def __init__(self, draft: Draft, since: date | None, vocabulary: Vocabulary) -> None:
        self.draft = draft
        self.since = since
        self.vocabulary = vocabulary
        self.findings = Findings()
        self.in_force = dated.in_force(draft.lets, since)
        lets = {name: value.tree for name, value in self.in_force.items()}
        self.checker = Checker(vocabulary, draft.for_each, lets)

    def rule(self) -> Rule:
        draft = self.draft
        when = self.condition(draft.when)
        require = self.condition(draft.require)
        derive = tuple(self.derived(key, tree) for key, tree in draft.derive)
        then = self.actions()
        self.findings.raise_any()
        self.check_message()
        self.check_lets()
        classified = self.classified(require)
        may_improve = self.may_improve(require)
        self.findings.raise_any()
        values = {**draft.fixed, "reason": draft.fixed["reason"] or _reason(require)}
        return Rule(
            id=draft.id,
            for_each=draft.for_each,
            when=when,
            require=require,
            derive=tuple(pair for pair in derive if pair),
            then=then,
            lets=self.let_values(),
            history=self.history(),
            may_improve=may_improve,
            classified=classified,
            span=draft.span,
            **values,  # type: ignore[arg-type]
        )

    def condition(self, tree: Syntax | None) -> Term | None:
        if tree is None:
            return None
        with self.findings.catching():
            return self.checker.condition(tree)
        return None

    def derived(self, key: Scalar, tree: Syntax) -> tuple[str, Term] | None:
        with self.findings.catching():
            return key.text, self.checker.term(tree, self.vocabulary.names[key.text].unit)
        return None

    def actions(self) -> tuple[Action, ...]:
        found = []
        for node in self.draft.then:
            with self.findings.catching():
                found.append(reactions.action(node, self.checker))
        return tuple(found)

    def classified(self, require: Term | None) -> Classified | None:
        if require is None:
            return None
        found = classify(require)
        phases = self.draft.fixed["phases"]
        assert isinstance(phases, frozenset)
        if Phase.REBALANCE in phases and found.term_class is TermClass.FACTS_ONLY:
            where = self.draft.node.key("phases")
            self.findings.add(
                "not-rebalanceable",
                "`rebalance` needs a requirement on what is held or filled, such as `position.after.quantity`, "
                "for the optimizer to choose; this one only reads facts: leave `rebalance` out",
                where.span if where else self.draft.span,
            )
        return found

    def may_improve(self, require: Term | None) -> bool:
        depends = require is not None and depends_on_fills(require)
        node = self.draft.node.get("if_already_breached")
        if node is None:
            return depends
        with self.findings.catching():
            written = shape.scalar(node, "`if_already_breached`")
            wanted = shape.choice(written, ("must_not_worsen", "block"), "`if_already_breached`")
            if wanted == "must_not_worsen" and not depends:
                refuse(
                    "key-not-used",
                    "`must_not_worsen` has no effect: the requirement does not depend on what is held or filled",
                    written.span,
                )
            return wanted == "must_not_worsen"
        return False

    def check_message(self) -> None:
        node = self.draft.node.get("message")
        if not isinstance(node, Scalar):
            return
        known = {*BUILT_IN, *self.in_force, self.draft.for_each}
        with self.findings.catching():
            for slot in slots(node):
                span = node.at(slot.offset, slot.length)
                if slot.name not in known:
                    self.be_message_name(slot.name, span, known)
                if slot.format and not self.numeric(slot.name):
                    self.findings.add("bad-message", f"{shown(slot.name)} is not a number and takes no format", span)

    def be_message_name(self, name: str, span: Span, known: set[str]) -> None:
        found = self.vocabulary.resolve(name)
        if found is None:
            near = nearest_name(name, [*known, *self.vocabulary.names])
            self.findings.add(
                "bad-message",
                f"{shown(name)} in the message is neither a `let` name, the subject, in the vocabulary, nor one of "
                f"{', '.join(BUILT_IN)}",
                span,
                near,
            )
            return
        entity = found.via or found.declared.entity
        reachable = self.vocabulary.reachable(self.draft.for_each)
        if entity not in reachable and not self.vocabulary.everywhere(entity):
            self.findings.add(
                "bad-message",
                f"{shown(name)} cannot be shown: the rule is for each `{self.draft.for_each}`, which has no `{entity}`",
                span,
            )

    def numeric(self, name: str) -> bool:
        """Whether a number format makes sense; a `let` name counts by the value it has where it is used."""
        if name in self.in_force:
            term = self.checker.used.get(name)
            return term is None or term.unit.kind in {Kind.NUMBER, Kind.DURATION}
        found = self.vocabulary.resolve(name)
        if found is None:
            return name != self.draft.for_each
        return found.declared.unit.kind in {Kind.NUMBER, Kind.DURATION}

    def check_lets(self) -> None:
        for name, value in self.in_force.items():
            if name not in self.checker.used:
                near = nearest_name(name, self.checker.used)
                self.findings.add(
                    "let-unused",
                    f"{shown(name)} is never used: remove it or mend the name where it is",
                    value.key.span,
                    near,
                )

    def let_values(self) -> tuple[LetValue, ...]:
        return tuple(
            LetValue(name, value.since, self.checker.used[name], value.cite) for name, value in self.in_force.items()
        )

    def history(self) -> tuple[LetValue, ...]:
        """Every dated value; those not in force now are typechecked by themselves, in the unit of the one that is."""
        found = []
        for value in self.draft.lets:
            unit = self.checker.used[value.name].unit
            with self.findings.catching():
                found.append(LetValue(value.name, value.since, self.checker.term(value.tree, unit), value.cite))
        return tuple(found)


def _reason(require: Term | None) -> str:
    """The reason code of a rule that names none: a limit on an amount, or a condition."""
    if require is None:
        return ""
    parts = conjuncts(require)
    limits = all(isinstance(p, Compare) and p.op not in {"==", "!="} for p in parts)
    return "LIMIT_EXCEEDED" if limits else "RULE_BREACHED"
