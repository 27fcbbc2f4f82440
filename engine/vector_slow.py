"""Rules that the generated check leaves to the general path, lowered from their terms for columns.

In: a prepared rule (`worst.Prepared`), the order's side. Out: the step that says where the rule fails. Guaranteed: what
`worst.judge` finds for the rule's one subject: facts are compared as they are; a requirement on one name's holding that
is linear or convex in it is judged at both ends of what all orders can bring it to. Refused: `NotVectorError` for sums
that fills change, requirements that are neither, and rules with several subjects for one order.
Why apart: these rules have no generated source to run. Before: `vector_terms.py`, `worst.py`. After: `vector_first.py`.
"""

from __future__ import annotations

from functools import reduce

from lexorder.engine.rule import TermClass
from lexorder.engine.snapshot import BUY
from lexorder.engine.subjects import NAMED, reaches_everything
from lexorder.engine.terms import Aggregate, depends_on_fills
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_terms import Around, Terms
from lexorder.engine.worst import Part, Prepared

HELD = "position.after.quantity"


def failing(prepared: Prepared, side: str, terms: Terms) -> int:
    """The step that is true where a rule fails for orders of one side. Raises NotVectorError."""
    rule, code = prepared.rule, terms.code
    kind = rule.for_each
    if (kind not in ("order", "account", "trader") and kind not in NAMED) or reaches_everything(rule):
        raise NotVectorError(f"{rule.id} is for each {kind} and has no generated check")
    around = Around(("account",) if kind == "account" else ("account", kind))
    try:
        parts = [_part(part, around, side, terms) for part in prepared.parts]
        guard = code.truth(True) if prepared.guard is None else terms.truth(prepared.guard, around)
    except NotVectorError as reason:
        raise NotVectorError(f"{rule.id} has no generated check: {reason}") from reason
    held = reduce(lambda a, b: code.apply("and", a, b), parts)
    return code.apply("and", guard, code.apply("not", held))


def _part(part: Part, around: Around, side: str, terms: Terms) -> int:
    """The step that is true where one conjunct holds in every fill state."""
    if not part.depends:
        return terms.truth(part.term, around)
    sums = any(isinstance(n, Aggregate) and depends_on_fills(n) for n in part.term.walk())
    if not part.measured or part.kind is TermClass.MIXED_INTEGER or part.reads_filled or sums:
        raise NotVectorError("it is no limit on what is held of one name")
    code = terms.code
    low, high = code.read(Level.ROW, "low"), code.read(Level.ROW, "high")
    quantity = code.read(Level.ROW, "order", "order.quantity")
    ends = (low, code.apply("+", high, quantity)) if side == BUY else (code.apply("-", low, quantity), high)
    at = [terms.truth(part.term, Around(around.kinds, {HELD: end})) for end in ends]
    return code.apply("and", *at)
