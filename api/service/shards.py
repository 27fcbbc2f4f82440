"""Which worker an account belongs to.

In: the accounts with their facts, how many workers there are. Out: a number. Guaranteed: accounts of one beneficial
owner belong to one worker. Refused: nothing. Before: nothing. After: `sharding.py`, `service.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32


def shard_of(accounts: Mapping[str, Mapping[str, Any]], account: str, count: int) -> int:
    """Which of `count` shards an account belongs to: that of its beneficial owner, where one is known."""
    owner = accounts.get(account, {}).get("account.beneficial_owner", account)
    return crc32(str(owner).encode()) % count
