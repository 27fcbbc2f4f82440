"""The answers of all workers put together as one worker would have answered.

In: documents of several workers, in the order of their numbers given beside them. Out: one answer. Guaranteed: what
each knows of its own accounts is listed and added up; what all know alike is told once; a feed is in doubt when one
worker doubts it; whoever goes on reading is told where, for each worker. Refused: nothing. Why a hash for each worker:
each keeps the working orders of its accounts alone, so no two have the same facts. Before: `peers.py`. After:
`sharding.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lexorder.api.service.peers import Answer

SNAPSHOT = "/v1/snapshot"

LISTED = ("items", "decisions", "overrides", "behind")
"""Keys whose lists come one after the other."""

SUMMED = ("count", "accounts", "behind_count", "breaches")
"""Keys whose numbers are added up, but for a snapshot, which counts what all know."""


def joined(path: str, parts: Sequence[Any], shards: Sequence[int]) -> Answer:
    """Lists, or objects with `items` and `count`, as one."""
    if all(isinstance(part, list) for part in parts):
        return Answer.json(_feeds(parts) if path == "/v1/feeds" else [row for part in parts for row in part])
    merged = dict(parts[0])
    for key in LISTED:
        if all(isinstance(part.get(key), list) for part in parts):
            merged[key] = [row for part in parts for row in part[key]]
    told = list(zip(shards, parts, strict=True))
    if "next" in merged:  # each worker goes on from a place of its own: ask it with `?shard=`
        left = {str(shard): part["next"] for shard, part in told if part.get("next") is not None}
        merged |= {"next": None, "next_by_worker": left}
    if "snapshot_hash" in merged:
        merged["snapshot_hash_by_worker"] = {str(shard): part["snapshot_hash"] for shard, part in told}
    for key in ("working_orders",) if path == SNAPSHOT else SUMMED:
        if all(isinstance(part.get(key), int) for part in parts):
            merged[key] = sum(part[key] for part in parts)
    if path == SNAPSHOT:
        merged["doubts"] = {feed: why for part in parts for feed, why in part["doubts"].items()}
    if path.startswith("/v1/limits/"):  # measured account by account: listed as one worker lists them
        merged["items"].sort(key=lambda row: row["account"])
    return Answer.json(merged)


def _feeds(parts: Sequence[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """Each feed as the worker tells it that doubts it, where one does."""
    return [next((row for row in rows if row["doubt"]), rows[0]) for rows in zip(*parts, strict=True)]


def woven(size: int, places: Sequence[Sequence[int]], parts: Sequence[Mapping[str, Any]]) -> Answer:
    """The decisions of a batch in the order of its orders; the records of all workers that took part."""
    decisions: list[Any] = [None] * size
    for own, part in zip(places, parts, strict=True):
        for n, decision in zip(own, part["decisions"], strict=True):
            decisions[n] = decision
    return Answer.json(
        {
            "mode": parts[0]["mode"],
            "count": size,
            "approved": sum(part["approved"] for part in parts),
            "decisions": decisions,
            "recorded": [part["recorded"] for part in parts],
        }
    )
