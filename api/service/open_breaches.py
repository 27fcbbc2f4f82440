"""The breaches of holdings that have begun and not ended, as the ledger tells them.

In: records of the kinds `breach-begun` and `breach-ended`. Out: the open ones, at once. Guaranteed: only records change
what is open, so a floor rebuilt from its ledger has the same open breaches and none begins twice; a breach outlives a
snapshot, because a snapshot says what is held and not since when a rule is broken. Refused: nothing; the end of a
breach nobody knows changes nothing. Why no look here: who notices breaches is `monitoring.py`, and a floor reads
nothing but records. Before: nothing. After: `floor.py`, `noticing.py`, `routes_breaches.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

BEGUN, ENDED = "breach-begun", "breach-ended"
KINDS = (BEGUN, ENDED)
"""Kinds of records. The reference of one is its rule, its account the account."""

Key = tuple[str, str, str]
"""Account, rule, subject."""

WITHHELD = "withheld"
"""What stands for the name of a rule that only compliance may know."""


class OpenBreaches:
    """What is open, by account, then rule and subject; the value is the body of the record that began it."""

    def __init__(self) -> None:
        self.of: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = defaultdict(dict)

    def begin(self, body: Mapping[str, Any]) -> None:
        """A breach begins; told twice, the first time counts."""
        self.of[body["account"]].setdefault((body["rule"], body["subject"]), body)

    def end(self, body: Mapping[str, Any]) -> None:
        """It has ended."""
        account = body["account"]
        self.of.get(account, {}).pop((body["rule"], body["subject"]), None)
        if not self.of.get(account):
            self.of.pop(account, None)

    def counts(self) -> Counter[tuple[str, str]]:
        """How many are open, by rule and severity; the names of rules for compliance alone are withheld."""
        return Counter((shown_rule(body), str(body["severity"])) for of in self.of.values() for body in of.values())

    def __len__(self) -> int:
        """How many are open."""
        return sum(len(of) for of in self.of.values())


def shown_rule(body: Mapping[str, Any]) -> str:
    """The rule of a recorded breach as figures and logs may name it."""
    return WITHHELD if body["audience"] == "compliance" else str(body["rule"])
