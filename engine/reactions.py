"""The `then` list of a rule: what to do when its condition holds.

In: YAML nodes and the rule's checker. Out: `Action` values with typed arguments. Guaranteed: every argument has the
unit its reaction needs. Refused (RuleFileError): unknown reactions, keys, targets and words.
Before: `shape.py`, `typecheck.py`. After: `rulefile.py`, `conflicts.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lexorder.engine import shape
from lexorder.engine.codes import nearest_name, refuse
from lexorder.engine.errors import shown
from lexorder.engine.fit import a_unit
from lexorder.engine.parse import parse
from lexorder.engine.rule import Action
from lexorder.engine.source import Mapping as MappingNode
from lexorder.engine.source import Node, Scalar
from lexorder.engine.terms import Term
from lexorder.engine.typecheck import Checker
from lexorder.engine.units import DURATION, MONEY, PRICE, RATIO, SHARES, Unit

TRADING_STATES = ("ACTIVE", "REDUCING", "HALTED")
"""From loosest to strictest; of several the strictest holds."""
STYLES = ("limit", "market")
ALERTS = ("info", "warning", "critical")
TARGETS = ("signal.confidence", "order.quantity", "position.after.quantity")
"""What `scale` and `cap` may change."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One key of a reaction: its admissible units (empty: one of `words`), and whether it must be given."""

    units: tuple[Unit, ...] = ()
    words: tuple[str, ...] = ()
    required: bool = True


_LAST = Argument((DURATION,), required=False)
SHAPES: Mapping[str, Mapping[str, Argument]] = {
    "set": {"trading_state": Argument(words=TRADING_STATES), "for": _LAST},
    "exit": {
        "fraction": Argument((RATIO,)),
        "style": Argument(words=STYLES, required=False),
        "price": Argument((PRICE,), required=False),
        "participation": Argument((RATIO,), required=False),
    },
    "reduce": {"to": Argument((SHARES, MONEY))},
    "scale": {"target": Argument(words=TARGETS), "factor": Argument((RATIO,))},
    "cap": {"target": Argument(words=TARGETS), "at": Argument()},
    "halt": {"for": _LAST},
}
"""Reactions that take a mapping, with their keys."""

ONE_WORD: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "skip": ("reason", ()),
    "cancel": ("what", ("working_orders",)),
    "alert": ("level", ALERTS),
}
"""Reactions that take one word (any text when none is listed), and what the argument is called."""

KINDS = (*SHAPES, *ONE_WORD)

Expression = Callable[[Scalar], Term]


def action(node: Node, checker: Checker) -> Action:
    """One item of `then`.

    Raises:
        RuleFileError: `unknown-action`, `unknown-key`, `missing-key`, `bad-choice`, or what the typechecker refuses.
    """
    if not isinstance(node, MappingNode) or len(node.entries) != 1:
        refuse("wrong-shape", "each reaction is one `- kind: …`, such as `- alert: critical`", node.span)
    key, value = node.entries[0]
    if key.text in ONE_WORD:
        return _one_word(key, value)
    if key.text not in SHAPES:
        refuse(
            "unknown-action",
            f"{shown(key.text)} is not a reaction; there are {', '.join(KINDS)}",
            key.span,
            nearest_name(key.text, KINDS),
        )
    body = shape.mapping(value, f"`{key.text}`", key.span)
    shape.known_keys(body, SHAPES[key.text], f"`{key.text}`")
    _all_given(key, body)
    arguments = tuple((k.text, _argument(key.text, k, v, body, checker)) for k, v in body)
    return Action(key.text, arguments, span=key.span)


def _all_given(key: Scalar, body: MappingNode) -> None:
    for name, argument in SHAPES[key.text].items():
        if argument.required and body.get(name) is None:
            refuse("missing-key", f"`{key.text}` needs `{name}`", key.span)


def _one_word(key: Scalar, value: Node) -> Action:
    name, admissible = ONE_WORD[key.text]
    written = shape.scalar(value, f"`{key.text}`")
    if admissible:
        shape.choice(written, admissible, f"`{key.text}`")
    return Action(key.text, ((name, written.text),), span=key.span)


def _argument(kind: str, key: Scalar, node: Node, body: MappingNode, checker: Checker) -> Term | str:
    argument = SHAPES[kind][key.text]
    written = shape.scalar(node, f"`{key.text}`")
    if argument.words:
        return shape.choice(written, argument.words, f"`{key.text}`")
    tree = parse(written)
    units = argument.units or (_target_unit(body, checker),)
    if len(units) == 1:
        return checker.term(tree, units[0])
    term = checker.term(tree)
    if all(term.unit.joined(unit) is None for unit in units):
        needed = " or ".join(a_unit(unit) for unit in units)
        refuse("unit-mismatch", f"{shown(tree.text)} is {a_unit(term.unit)}, but {needed} is needed", tree.span)
    return term


def _target_unit(body: MappingNode, checker: Checker) -> Unit:
    """`cap` compares with its target, so `at` has the target's unit."""
    target = body.get("target")
    declared = checker.vocabulary.name(target.text) if isinstance(target, Scalar) else None
    return declared.unit if declared else RATIO
