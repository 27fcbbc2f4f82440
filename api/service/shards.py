"""Which worker an account belongs to, and what of the world only that worker keeps.

In: the accounts with their facts, how many workers there are. Out: a number; `Part`, one worker among them. Guaranteed:
accounts of one beneficial owner belong to one worker; what a part leaves out depends on the record alone, so that a
floor rebuilt from records leaves the same out. Refused: nothing. Why a step says which part it was taken for: records
are all a floor is made of, and the number of workers is no fact. Before: nothing. After: `feed_events.py`, `floor.py`,
`sharding.py`, `service.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

PART = "part"
"""The key of a step's body under which it says for which part it was taken."""


def shard_of(accounts: Mapping[str, Mapping[str, Any]], account: str, count: int) -> int:
    """Which of `count` shards an account belongs to: that of its beneficial owner, where one is known."""
    owner = accounts.get(account, {}).get("account.beneficial_owner", account)
    return crc32(str(owner).encode()) % count


@dataclass(frozen=True, slots=True)
class Part:
    """Worker `shard` of `count`. Working orders are kept by the owner of their account alone: nobody else decides."""

    shard: int = 0
    count: int = 1

    @property
    def whole(self) -> bool:
        """Whether there is no other worker."""
        return self.count == 1

    def owns(self, accounts: Mapping[str, Mapping[str, Any]], account: str) -> bool:
        """Whether this worker decides about an account."""
        return self.whole or shard_of(accounts, account, self.count) == self.shard

    def told(self) -> dict[str, list[int]]:
        """What a step's body says of it: nothing where there is one worker."""
        return {} if self.whole else {PART: [self.shard, self.count]}


ALONE = Part()


def part_of(body: Mapping[str, Any]) -> Part:
    """The part a recorded step was taken for."""
    return Part(*body[PART]) if PART in body else ALONE
