"""Whether each feed can still be believed: its sequence numbers, its gaps, its age.

In: batches of events with an event id and a sequence number; the time. Out: what to do with a batch (`take`, `repeat`,
`gap`), and which feeds may not be relied on now. Guaranteed: an event id is taken once; numbers of one feed go up by
one; a batch beyond a gap is not taken, and the feed stays doubtful until the missing numbers arrive in order (as with a
resend request of FIX) or a snapshot of it does that holds them. Refused as Problem by the caller: a gap, and a number
that went backwards under a new event id. Why doubtful: nobody knows which facts the lost event would have changed, so
every rule that reads them must be undecided. Before: nothing. After: `floor.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

REMEMBERED = 100_000
"""Event ids kept for each feed; older ones are recognised by their sequence number."""

SEQUENCE_MAX = 10**18
"""The largest sequence number."""

FEEDS = ("accounts", "positions", "prices", "fills", "working-orders", "lists", "signals")

NAMES: dict[str, tuple[str, ...]] = {
    "accounts": ("account.", "trader.", "strategy."),
    "positions": ("position.",),
    "prices": ("instrument.", "market.", "quote.", "session.", "fx.", "firm.", "constituent."),
    "fills": ("fill.", "position.", "account.cash", "working_order."),
    "working-orders": ("working_order.", "position.after."),
    "lists": ("lists.",),
    "signals": ("signal.", "pair."),
}
"""The beginnings of the vocabulary names each feed changes."""

EVERY_FEED = frozenset(beginnings[0] for beginnings in NAMES.values())
"""Names that make `reads` true for every feed."""

Taking = Literal["take", "repeat", "behind", "gap"]


@dataclass(slots=True)
class Feed:
    """One feed: the last sequence number taken and the highest heard of (None before the first), when it last spoke."""

    name: str
    last: int | None = None
    highest: int | None = None
    heard: datetime | None = None
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @property
    def missing_from(self) -> int | None:
        """The first number of a gap, or None."""
        if self.last is None or self.highest is None or self.last >= self.highest:
            return None
        return self.last + 1

    def offer(self, event_id: str, sequence: int | None) -> Taking:
        """What a batch is: new, a repetition, behind (an old number under a new id), or beyond a gap."""
        if event_id in self.seen:
            return "repeat"
        if sequence is None or self.last is None or sequence == self.last + 1:
            return "take"
        return "behind" if sequence <= self.last else "gap"

    def beyond(self, sequence: int) -> None:
        """A batch beyond a gap was offered."""
        self.highest = max(sequence, self.highest or 0)

    def taken(self, event_id: str, sequence: int | None, at: datetime) -> None:
        """The batch is in: remember it."""
        if sequence is not None:
            self.last = sequence
        self.heard = at
        self.seen[event_id] = None
        while len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)

    def whole(self, at: datetime, sequence: int | None = None) -> None:
        """A snapshot of this feed arrived: numbers start from it where it names one, and the doubt is gone.

        Unless it was made before the newest batch that was heard of: what came after its number is missing still.
        """
        older = None not in (sequence, self.last, self.highest) and self.last < sequence < self.highest  # type: ignore[operator]
        self.last, self.highest, self.heard = sequence, self.highest if older else None, at


class Feeds:
    """All feeds, and the ages from which they are stale (seconds by feed; none by default)."""

    def __init__(self, ages: dict[str, float] | None = None) -> None:
        self.feeds = {name: Feed(name) for name in FEEDS}
        self.ages = {name: timedelta(seconds=s) for name, s in (ages or {}).items()}

    def __getitem__(self, name: str) -> Feed:
        """One feed; KeyError for a name that is none."""
        return self.feeds[name]

    def doubts(self, now: datetime) -> dict[str, str]:
        """Why each feed that cannot be relied on cannot."""
        found = {}
        for name, feed in self.feeds.items():
            if feed.missing_from is not None:
                found[name] = f"the {name} feed has a gap from sequence number {feed.missing_from}"
            elif name in self.ages and (feed.heard is None or now - feed.heard > self.ages[name]):
                found[name] = f"the {name} feed has been silent for more than {self.ages[name].total_seconds():g} s"
        return found


def reads(feed: str, names: frozenset[str]) -> bool:
    """Whether any of these vocabulary names comes from a feed."""
    return any(name.startswith(beginning) for name in names for beginning in NAMES[feed])
