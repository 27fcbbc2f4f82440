"""One look at an account: which of the rules that are due hold, on a copy of the facts that nothing changes meanwhile.

In: a view of one account, what is due of it, what was found before. Out: all that is broken or undecided now.
Guaranteed: the meaning of `engine/judge.py` by the closed forms of `engine/worst.py`, with working orders in every fill
state; a subject that is no longer there keeps no finding; what a rule read of other instruments is noted, so that a
change of theirs is answered too. Refused: nothing; what cannot be known is an undecided finding. Why a subject sees
only its own instruments where nothing else can matter: a hundred issuers then cost a hundred names and not ten
thousand. Before: `watched.py`, `due.py`, `engine/worst.py`. After: `monitoring.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from lexorder.api.service.due import WHOLE, Due
from lexorder.api.service.watched import Watch, Watched
from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import Derivations
from lexorder.engine.live import Live
from lexorder.engine.measuring import with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import MissingFactError, Projection, Snapshot, Subject, project
from lexorder.engine.subjects import NAMED, account_subject, subjects_of
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.worst import judge_subject

Found = Mapping[tuple[str, str], Finding]
"""What does not hold, by rule and subject."""

BROKEN = frozenset({Status.BREACH, Status.PASSIVE, Status.UNDECIDED})


@dataclass(frozen=True, slots=True)
class Job:
    """What to look at: an account in a view, what is due of it, the rules that cover it, what was found before."""

    account: str
    view: Snapshot
    due: Due
    watches: tuple[Watch, ...]
    before: Found


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found: all that is broken now, the instruments that were read, whether that were all there are."""

    found: Found
    read: frozenset[str]
    all_read: bool


class Noted(Mapping[str, Facts]):
    """The instruments, noting which are asked for."""

    def __init__(self, table: Mapping[str, Facts]) -> None:
        self.table = table
        self.asked: set[str] = set()
        self.all = False

    def __getitem__(self, symbol: str) -> Facts:
        """The facts of one. Raises KeyError."""
        self.asked.add(symbol)
        return self.table[symbol]

    def __iter__(self) -> Iterator[str]:
        """All of them."""
        self.all = True
        return iter(self.table)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.table)


def common_view(live: Live) -> Snapshot:
    """A copy of what all accounts share, without what is theirs; later events do not change it."""
    return replace(
        live.snapshot,
        accounts=dict(live.accounts),
        instruments=dict(live.instruments),
        traders=dict(live.traders),
        strategies=dict(live.strategies),
        positions={},
        fills=(),
        quotes=(),
        signals=(),
        working_orders=(),
    )


def view_of(live: Live, common: Snapshot, account: str) -> Snapshot:
    """The same with what one account has."""
    return replace(
        common,
        positions={account: dict(live.positions.get(account, {}))},
        fills=tuple(live.fills.of(account)),
        quotes=tuple(live.quotes.of(account)),
        signals=tuple(live.signals.of(account)),
        working_orders=tuple(live.working.get(account, {}).values()),
    )


def look(job: Job, known: Watched, vocabulary: Vocabulary, step_aside: Callable[[], None]) -> Seen:
    """Judge what is due, and keep what was found of the rest. `step_aside` is called between two subjects."""
    noted = Noted(job.view.instruments)
    plain = project(job.view, vocabulary, job.account, ())
    noting = replace(plain, snapshot=replace(job.view, instruments=noted))
    if known.measured:
        noting, _ = with_measures(noting, known.measured)
        plain = replace(noting, snapshot=replace(noting.snapshot, instruments=job.view.instruments))
    found: dict[tuple[str, str], Finding] = {}
    derived = known.deriving(job.account, job.view.accounts.get(job.account, {}))
    for watch in job.watches:
        symbols = job.due.asks(watch)
        if symbols is None:
            found |= _kept(job.before, watch.rule.id)
            continue
        at = _Place(watch, noting if watch.whole else plain, derived)
        found |= at.some(symbols, job.before, step_aside) if symbols is not WHOLE else at.all(step_aside)
    return Seen(found, frozenset(noted.asked), noted.all)


def _kept(before: Found, rule: str) -> Found:
    return {key: finding for key, finding in before.items() if key[0] == rule}


class _Place:
    """One rule on one account."""

    def __init__(self, watch: Watch, seen: Projection, derived: Derivations) -> None:
        self.watch = watch
        self.seen = seen
        self.derived = derived
        self.outer = account_subject(seen)
        self.grouped = seen.vocabulary.entities[watch.rule.for_each].groups
        self._members: dict[str, list[str]] | None = None

    def all(self, step_aside: Callable[[], None]) -> Found:
        """What is broken of all its subjects."""
        subjects = subjects_of(self.watch.rule, self.seen)
        if len(subjects) > 1 and self._is_off():
            subjects = tuple(s for s in subjects if not s.key)  # who they are decides before whether the rule applies
        return self._judged(subjects, step_aside)

    def _is_off(self) -> bool:
        """Whether the rule applies to no subject of the account."""
        at = Point(self.seen, (self.outer,), {}, self.derived)
        for switch in self.watch.switches:
            try:
                if not value(switch, at):
                    return True
            except MissingFactError:
                continue
        return False

    def some(self, symbols: frozenset[str], before: Found, step_aside: Callable[[], None]) -> Found:
        """The same, where only the subjects of these instruments can have changed."""
        subjects = subjects_of(self.watch.rule, self.seen)
        touched = {self._key(symbol) for symbol in symbols}
        there = {subject.key for subject in subjects}
        kept = {k: f for k, f in _kept(before, self.watch.rule.id).items() if k[1] in there and k[1] not in touched}
        return {**kept, **self._judged((s for s in subjects if s.key in touched), step_aside)}

    def _key(self, symbol: str) -> str:
        """The subject an instrument belongs to."""
        if not self.grouped:
            return symbol
        return str(self.seen.snapshot.instruments.get(symbol, {}).get(self.grouped, ""))

    def _judged(self, subjects: Iterator[Subject] | tuple[Subject, ...], step_aside: Callable[[], None]) -> Found:
        found = {}
        for subject in subjects:
            seen = self._narrowed(subject.key) if self.watch.local else self.seen
            at = Point(seen, (self.outer, subject), {}, self.derived)
            finding = judge_subject(self.watch.prepared, at)
            if finding.status in BROKEN:
                found[finding.rule, finding.subject] = finding
            step_aside()
        return found

    def _narrowed(self, subject: str) -> Projection:
        """The projection with the names of one subject only: nothing else counts in its sums."""
        symbols = [subject] if self.watch.rule.for_each in NAMED else self._groups().get(subject, [])
        held = {symbol: self.seen.positions[symbol] for symbol in symbols if symbol in self.seen.positions}
        working = tuple(w for w in self.seen.working if w["working_order.symbol"] in held)
        return replace(self.seen, positions=held, working=working)

    def _groups(self) -> Mapping[str, list[str]]:
        if self._members is None:
            self._members = {}
            for symbol in self.seen.positions:
                self._members.setdefault(self._key(symbol), []).append(symbol)
        return self._members
