"""What all workers must have taken alike, counted and hashed step by step: the rules, and the world.

In: steps as the floor takes them. Out: two chains, each with how many steps it has and a hash of all of them.
Guaranteed: workers whose chains have the same end took the same steps in the same order; the hash leaves out what is
each worker's own (its clock, its part), and follows from records alone; a snapshot begins the world anew. Refused:
nothing. Why a chain and not the facts: facts differ between workers by the working orders each keeps. Before:
`shards.py`. After: `floor.py`, `catching_up.py`.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from lexorder.api.service.shards import PART

RULES, WORLD = "rules", "facts"

CHAINS = {"rulebook": RULES, "limit": RULES, "snapshot": WORLD, "events": WORLD}
"""The chain of each kind of step that all workers take."""

OWN = frozenset({"now", PART})
"""Keys of a step's body that each worker fills in for itself."""

KEPT = 10_000
"""Ends of a chain that are remembered: who is further behind has to be told everything."""

BEGINNING = "0" * 64


class Chain:
    """One chain. `digest` is its end."""

    def __init__(self) -> None:
        self.count = 0
        self.digest = BEGINNING
        self._past: deque[str] = deque([BEGINNING], maxlen=KEPT)

    def take(self, kind: str, body: Mapping[str, Any]) -> None:
        """One step more."""
        shared = {key: value for key, value in body.items() if key not in OWN}
        told = msgspec.json.encode([self.digest, kind, shared], order="deterministic")
        self.digest = hashlib.sha256(told).hexdigest()
        self.count += 1
        self._past.append(self.digest)

    def at(self, count: int) -> str | None:
        """Its end when it had so many steps; None when it never had, or when that is forgotten."""
        place = len(self._past) - 1 - (self.count - count)
        return self._past[place] if 0 <= place < len(self._past) and count >= 0 else None


class Agreed:
    """Both chains of one worker."""

    def __init__(self) -> None:
        self.chains = {RULES: Chain(), WORLD: Chain()}

    def take(self, kind: str, body: Mapping[str, Any]) -> None:
        """A step of the floor. What a worker alone is told of the world needs no agreement."""
        name = CHAINS.get(kind)
        if name is None or (name == WORLD and PART not in body):
            return
        if kind == "snapshot":
            self.chains[WORLD] = Chain()
        self.chains[name].take(kind, body)

    def ends(self) -> dict[str, list[Any]]:
        """How many steps, and the hash of them, by chain."""
        return {name: [chain.count, chain.digest] for name, chain in self.chains.items()}
