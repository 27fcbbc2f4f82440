"""A draft to the rules in force, one for each stretch of time between two of its dates.

In: a mapping node of a rule file and the vocabulary. Out: `Versions`. Guaranteed: every version is typechecked when the
file is loaded, so next year's limit cannot fail next year. Refused (RuleFileError): what the typechecker refuses,
unused `let` names, messages with unknown names, `rebalance` where nothing depends on fills.
Before: `rulefile.py`, `typecheck.py`, `classify.py`, `reactions.py`, `message.py`. After: `rulebook.py`.
"""

from __future__ import annotations

from datetime import date

from lexorder.engine import dated, reactions, shape
from lexorder.engine.classify import classify
from lexorder.engine.codes import Findings, nearest_name, refuse
from lexorder.engine.dated import Versions
from lexorder.engine.errors import shown
from lexorder.engine.message import BUILT_IN, slots
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Action, Classified, LetValue, Phase, Rule, TermClass
from lexorder.engine.rulefile import Draft, Reader
from lexorder.engine.source import Node, Scalar
from lexorder.engine.syntax import Syntax
from lexorder.engine.terms import Compare, Span, Term, conjuncts, depends_on_fills
from lexorder.engine.typecheck import Checker
from lexorder.engine.units import Kind

Derived = tuple[tuple[str, Term], ...]
Parts = tuple[Term | None, Term | None, Derived, tuple[Action, ...]]


def versions(node: Node, vocabulary: Vocabulary) -> Versions:
    """Every version of one rule.

    Raises:
        RuleFileError: with all findings of this rule.
    """
    reader = Reader(shape.mapping(node, "a rule", node.span), vocabulary)
    draft = reader.draft()
    findings = reader.findings
    found: list[tuple[date | None, Rule]] = []
    for since in dated.starts(draft.lets) if reader.checkable else ():
        with findings.catching():
            # With other findings a rule cannot be built, but what its expressions say can still be checked.
            compiler = _Compiler(draft, since, vocabulary)
            parts = compiler.parts()
            if not findings.problems:
                found.append((since, compiler.rule(*parts)))
    findings.raise_any()
    return Versions(draft.id, tuple(found), draft.node)


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

    def parts(self) -> Parts:
        """The typed expressions of the rule."""
        draft = self.draft
        when, require = self.condition(draft.when), self.condition(draft.require)
        derive = tuple(filter(None, (self.derived(key, tree) for key, tree in draft.derive)))
        then = self.actions()
        self.findings.raise_any()
        return when, require, derive, then

    def rule(self, when: Term | None, require: Term | None, derive: Derived, then: tuple[Action, ...]) -> Rule:
        """The rule, once its parts are known and nothing else is wrong with it."""
        draft = self.draft
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
            derive=derive,
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
        found = classify(require, self.vocabulary)
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
            near = self.vocabulary.nearest(name, self.draft.for_each, tuple(known))
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
