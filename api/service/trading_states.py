"""Who may trade: ACTIVE, REDUCING or HALTED for the firm, an account, a strategy or a trader.

In: scopes and states set by risk staff. Out: the strictest state that concerns an order. Guaranteed: HALTED is answered
here, before any rule, so that no book and no evaluator can let an order through once the call that halted was
answered; REDUCING is judged by the rule `reducing-only`, which stands beside every book. Refused: nothing here.
Before: nothing. After: `floor.py`, `halting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lexorder.engine.rule import Facts

STATES = ("ACTIVE", "REDUCING", "HALTED")
"""From the mildest to the strictest."""

SCOPES = ("firm", "account", "strategy", "trader")
FIRM = "*"

KEPT = ("scope", "id", "state", "reason", "by", "person", "now")


class TradingStates:
    """States by scope and identifier; what is not named is ACTIVE."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], dict[str, Any]] = {}
        self.halted: frozenset[tuple[str, str]] = frozenset()

    def apply(self, body: Mapping[str, Any]) -> None:
        """Take over a recorded change."""
        key = (str(body["scope"]), str(body["id"]))
        if body["state"] == "ACTIVE":
            self.known.pop(key, None)
        else:
            self.known[key] = {k: body.get(k, "") for k in KEPT}
        self.halted = frozenset(k for k, v in self.known.items() if v["state"] == "HALTED")

    def state(self, scope: str, identifier: str) -> str:
        """The state of one scope."""
        entry = self.known.get((scope, identifier))
        return "ACTIVE" if entry is None else str(entry["state"])

    def is_milder(self, scope: str, identifier: str, state: str) -> bool:
        """Whether the state would let more out than the present one."""
        return STATES.index(state) < STATES.index(self.state(scope, identifier))

    def stops(self, order: Facts) -> tuple[str, str] | None:
        """The halted scope an order falls under, or None."""
        if not self.halted or order.get("order.action") == "cancel":  # taking an order away is always allowed
            return None
        # An order without a trader or strategy falls under nobody's halt, whatever it may be called.
        named = ((scope, order.get(f"order.{scope}")) for scope in SCOPES[1:])
        concerned = (("firm", FIRM), *((scope, key) for scope, key in named if isinstance(key, str)))
        return next((key for key in concerned if key in self.halted), None)
