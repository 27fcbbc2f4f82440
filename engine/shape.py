"""What a node must be: a mapping, a list of words, a text; and which keys it may have.

In: YAML nodes. Out: the same nodes, narrowed. Guaranteed: what is returned has the shape asked for. Refused
(RuleFileError): `wrong-shape`, `missing-key`, `unknown-key`, with the position and in the author's words.
Before: `source.py`. After: `vocabulary.py`, `rulefile.py`, `reactions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from lexorder.engine.codes import Findings, nearest_name, refuse
from lexorder.engine.errors import shown
from lexorder.engine.source import Mapping, Node, Scalar, Sequence
from lexorder.engine.terms import Span

LISTED_MAX = 8
"""Up to so many keys are listed in a message."""


def mapping(node: Node | None, what: str, span: Span) -> Mapping:
    """The node as a mapping; `what` names it in the message, `span` is where to point when it is absent."""
    if node is None:
        refuse("missing-key", f"{what} is missing", span)
    if not isinstance(node, Mapping):
        refuse("wrong-shape", f"{what} is a mapping, `key: value` on lines of their own", node.span)
    return node


def sequence(node: Node | None, what: str, span: Span) -> tuple[Node, ...]:
    """The items of a list."""
    if node is None:
        refuse("missing-key", f"{what} is missing", span)
    if not isinstance(node, Sequence):
        refuse("wrong-shape", f"{what} is a list: write `[a, b]` or one `- ` line for each", node.span)
    return node.items


def scalar(node: Node, what: str) -> Scalar:
    """The node as a text that is not empty."""
    if not isinstance(node, Scalar):
        refuse(
            "wrong-shape",
            f"{what} is a single value, not a list or a mapping: put text that starts with `[` or `{{` in quotes",
            node.span,
        )
    if not node.text.strip():
        refuse("missing-key", f"{what} has no value", node.span)
    return node


def words(node: Node | None, what: str, span: Span) -> tuple[Scalar, ...]:
    """The texts of a list."""
    return tuple(scalar(item, f"an item of {what}") for item in sequence(node, what, span))


def word(body: Mapping, key: str, span: Span) -> Scalar:
    """The text under a required key."""
    node = body.get(key)
    if node is None:
        refuse("missing-key", f"`{key}` is missing", span)
    return scalar(node, f"`{key}`")


def text(body: Mapping, key: str) -> str:
    """The text under an optional key, or empty."""
    node = body.get(key)
    return "" if node is None else scalar(node, f"`{key}`").text


def known_keys(body: Mapping, known: Iterable[str], what: str) -> None:
    """Refuse keys that are not known, all at once."""
    known = tuple(known)
    findings = Findings()
    for key, _ in body:
        if key.text not in known:
            near = nearest_name(key.text, known)
            listed = f", which has {', '.join(known)}" if len(known) <= LISTED_MAX and not near else ""
            findings.add("unknown-key", f"{shown(key.text)} is not a key of {what}{listed}", key.span, near)
    findings.raise_any()


def choice(written: Scalar, admissible: Iterable[str], what: str) -> str:
    """A text that must be one of the admissible ones."""
    admissible = tuple(admissible)
    if written.text not in admissible:
        refuse(
            "bad-choice",
            f"{what} is one of {', '.join(admissible)}, not {shown(written.text)}",
            written.span,
            nearest_name(written.text, admissible),
        )
    return written.text
