"""The compiled evaluator of a live desk.

In: rules, vocabulary, snapshot; then events and orders. Out: the answers of `ports.Exact`. Guaranteed: the meaning of
`judge.py`. Before: `reference.py`. After: `desk.py`.
"""

from __future__ import annotations

from lexorder.engine.reference import Reference


class CompiledBook(Reference):
    """The exact evaluator of a live desk; for now the reference meaning itself."""
