"""One shard of the service: its ledger, its floor, its doors, and how it starts, fails and stops.

In: settings. Out: `Service`, which every route works with. Guaranteed: what a start finds in the ledger is what the
floor is; nothing is answered that changes something before its record is durable; while the ledger is down, or the
floor is being rebuilt, everything that decides answers 503. Refused by `LedgerError` and `UsageError` at the start:
a ledger that is broken or written by somebody else. Before: `floor.py`, `journal.py`, `access.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog

from lexorder.api.service.access import Access
from lexorder.api.service.floor import Floor
from lexorder.api.service.halting import KIND as TRADING_STATE
from lexorder.api.service.halting import Halts
from lexorder.api.service.heads_task import HeadsTask
from lexorder.api.service.hub import Hub
from lexorder.api.service.journal import Journal, Keeper, NoLedger, unavailable
from lexorder.api.service.key_sets import KeySet
from lexorder.api.service.keys import KeyStore, first_key
from lexorder.api.service.metrics import Metrics
from lexorder.api.service.monitoring import Monitor
from lexorder.api.service.oidc import Issuer, Tokens
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.rebalance_worker import Worker
from lexorder.api.service.repeats import Repeats
from lexorder.api.service.restoring import SYSTEM, first_records, restore
from lexorder.api.service.roles import Role, shipped_matrix
from lexorder.api.service.running_clock import RunningClock, wall_now
from lexorder.api.service.settings import Settings, feed_ages, made
from lexorder.api.service.shards import Part
from lexorder.api.service.traces import from_environment as traces_of_environment
from lexorder.api.service.warming import warm
from lexorder.api.service.watching import watch_feeds, watch_heads, watch_ledger, watch_monitor, watch_stream
from lexorder.engine.desk import Desk, shipped_vocabulary
from lexorder.engine.errors import LexorderError, UsageError
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.record import Record
from lexorder.engine.names import Vocabulary
from lexorder.engine.vocabulary import load as load_vocabulary

SETTLED_S = 10.0
"""How long what is on its way to the ledger may take before the floor is rebuilt."""

TIME = "time"
"""The kind of a record that moves the time and nothing else."""

log = structlog.get_logger("lexorder.service")


class Service:
    """Everything a route needs; made by `open`, used from one event loop."""

    def __init__(self, settings: Settings, vocabulary: Vocabulary, ledger: Ledger | None, access: Access) -> None:
        self.settings = settings
        self.vocabulary = vocabulary
        self.ledger = ledger
        self.access = access
        self.part = Part(settings.shard, settings.workers)
        self.clock = RunningClock(settings.clock)
        self.floor = self._new_floor()
        self.repeats = Repeats()
        # By the desk's clock, which is what makes a feed stale; a snapshot of last week runs in its own time.
        expected = feed_ages(settings.feed_ages)
        self.metrics = Metrics(settings.shard, feeds=expected, clock=lambda: self.clock.now().timestamp())
        self.traces = traces_of_environment(settings.shard)
        keeper: Keeper = ledger if ledger is not None else NoLedger()
        self.journal = Journal(keeper, wall_now, self.rebuild)
        self.halts = Halts(self.journal, lambda: self.floor, settings.data_dir, settings.shard)
        self.journal.back = self.halts.flush
        self.journal.taken = self._taken
        self.heads = None if ledger is None else HeadsTask(ledger, settings.data_dir, settings.second_place, wall_now)
        self.rebalancer = Worker()
        self.hub = Hub()
        self.journal.listeners.append(self.hub.offer)
        watch_ledger(self.metrics, self.traces, self.journal, ledger)
        watch_feeds(self.metrics, lambda: self.floor)
        watch_stream(self.metrics, self.hub.readers)
        self.monitor = Monitor(self, self.owns)
        watch_monitor(self.metrics, self.monitor, lambda: self.floor)
        watch_heads(self.metrics, lambda: "" if self.heads is None else self.heads.problem)
        self.standing = False
        self.failed: LexorderError | None = None
        self._warmed: Desk | None = None
        self.warming: asyncio.Task[int] | None = None
        self.warmers: list[Callable[[], object]] = []
        self.apart = ""
        self.differed, self.unheard, self.missed = False, True, ""
        self.stricter: frozenset[tuple[str, ...]] = frozenset()

    @classmethod
    def open(cls, settings: Settings) -> Service:
        """Open ledger and keys. Raises LedgerError, UsageError, RuleFileError."""
        made(settings.data_dir)
        own = settings.rules / "vocabulary.yaml"
        vocabulary = load_vocabulary(own) if own.is_file() else shipped_vocabulary()
        durability = "normal" if settings.ledger == "normal" else "full"
        ledger = None if settings.ledger == "off" else Ledger.open(settings.url, settings.shard, durability=durability)
        if durability != "full" or ledger is None:
            log.warning("not-durable", ledger=settings.ledger, use="for measuring only")
        # Keys live beside the records; without a ledger they still need a database.
        database = Database(settings.keys_url)
        database.create()
        keys = KeyStore(database)
        written = first_key(keys, settings.data_dir, settings.admin_key)
        if written is not None:
            log.info("admin-key-written", file=str(written))
        return cls(settings, vocabulary, ledger, Access(keys, _tokens(settings)))

    def _new_floor(self) -> Floor:
        floor = Floor(self.vocabulary, self.clock, feed_ages(self.settings.feed_ages), self.settings.tick_s)
        floor.keep_time = self._keep_time
        return floor

    def _taken(self) -> None:
        """A record was taken: it is as late as the floor is."""
        self.floor.untold = False

    def _keep_time(self, now: str) -> None:
        """Record a time the floor was moved to for something that nobody recorded."""
        body = msgspec.json.encode({"now": now, "by": SYSTEM})
        with contextlib.suppress(Problem):  # the ledger is down: the floor will be rebuilt from it
            self.journal.hand(TIME, "", "", body, lambda _record, _problem: None)

    # ---- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """From within the event loop: rebuild the floor, or make its first records, and open the doors."""
        self.access.start()
        self.journal.start()
        await self.rebuild()
        if self.floor.desk is None:
            for kind, ref, body in first_records(self.settings.rules, self.floor):
                await self.step(kind, ref, "", body)
        await self.halts.start(partial(self.recorded, kind=TRADING_STATE))
        if self.heads is not None:
            await self.heads.start(self.settings.head_every_s)
        self.standing = True
        self.monitor.start()
        self._warm()

    async def stop(self) -> None:
        """Let what is waiting be committed, then close everything."""
        self.standing = False
        if self.warming is not None:
            self.warming.cancel()
        await self.monitor.stop()
        self.access.stop()
        if self.heads is not None:
            await self.heads.stop()
        await asyncio.to_thread(self.rebalancer.close)
        await asyncio.to_thread(self.traces.close)
        if self.ledger is not None:
            await asyncio.to_thread(self.ledger.close)
        await asyncio.to_thread(self.access.keys.close)

    async def rebuild(self) -> None:
        """A floor from what is in the ledger, in place of the one there is."""
        if self.ledger is None:
            return
        floor = self._new_floor()
        await asyncio.to_thread(restore, floor, self.ledger)
        self.halts.hold(floor)
        self.floor = floor
        self.repeats = Repeats()

    async def _start_over(self) -> None:
        """Rebuild the floor from all that was taken; the doors are closed meanwhile, and stay so if that fails."""
        self.standing = False
        ledger = self.ledger
        if ledger is not None and ledger.size:
            await asyncio.to_thread(ledger.wait, ledger.size - 1, SETTLED_S)
        await self.rebuild()
        self.standing = True

    def ready(self) -> None:
        """Nothing when orders can be decided. Raises Problem 503."""
        if not self.standing:
            raise Problem(503, "not-ready", "The service is starting or stopping; nothing is approved.")
        if self.apart:
            raise Problem(503, "shard-apart", f"This worker and the others have different {self.apart}.")
        if self.journal.down:
            self.journal.require("request")

    # ---- steps -----------------------------------------------------------------------------------

    async def step(self, kind: str, ref: str, account: str, body: Mapping[str, Any]) -> Record:
        """Take a step over and record it; returns when it is durable. Raises what the floor refuses, Problem 503."""
        self.journal.require(kind)
        try:
            self.floor.apply(kind, body)
        except (LexorderError, Problem):
            raise
        except Exception:
            # The floor may have taken half of it: only what the ledger says is true.
            log.exception("step-failed", kind=kind)
            await self._start_over()
            raise
        record, durable = self.journal.take(kind, ref, account, msgspec.json.encode(body))
        await durable
        self._warm()
        self.monitor.stir()
        return record

    def owns(self, account: str) -> bool:
        """Whether this worker decides about an account, and therefore watches it and knows its working orders."""
        return self.part.owns({} if self.floor.desk is None else self.floor.desk.accounts, account)

    def _warm(self) -> None:
        """Let a new desk work out in the background what first orders would wait for."""
        desk = self.floor.desk
        if desk is not None and desk is not self._warmed and self.standing:
            self._warmed = desk
            self.warming = asyncio.create_task(warm(desk, lambda: self.floor.desk, self.warmers))

    def stamp(self, principal: Principal, **body: Any) -> dict[str, Any]:
        """The body of a step: when, by whom, what."""
        return {"now": self.floor.advance(), "by": principal.id, "person": principal.person, **body}

    async def recorded(self, **equal: Any) -> list[Record]:
        """Durable records with these fields (`ref`, `kind`, `account`, `start`, `stop`), oldest first."""
        ledger = self.ledger
        if ledger is None:
            return []

        def read() -> list[Record]:
            return list(ledger.read(**equal))

        try:
            return await asyncio.to_thread(read)
        except LexorderError:
            raise unavailable() from None


def _tokens(settings: Settings) -> Tokens | None:
    """The verifier of bearer tokens, where an issuer is named. Raises UsageError."""
    if not settings.oidc_issuer:
        return None
    if not (settings.oidc_audience and settings.oidc_jwks):
        raise UsageError("bad-setting", "LEXORDER_OIDC_ISSUER needs LEXORDER_OIDC_AUDIENCE and LEXORDER_OIDC_JWKS")
    issuer = Issuer(
        settings.oidc_issuer,
        settings.oidc_audience,
        role_claim=settings.oidc_role_claim,
        accounts_claim=settings.oidc_accounts_claim,
        scopes_claim=settings.oidc_scopes_claim,
        person_claim=settings.oidc_person_claim,
        roles=_roles(settings.oidc_roles),
    )
    return Tokens(issuer, KeySet(settings.oidc_jwks), shipped_matrix())


def _roles(written: str) -> dict[str, Role]:
    """`risk=risk_officer,pm=portfolio_manager` as roles by the provider's words. Raises UsageError."""
    found = {}
    for part in filter(None, written.split(",")):
        theirs, _, ours = part.partition("=")
        try:
            found[theirs.strip()] = Role(ours.strip())
        except ValueError:
            roles = ", ".join(role.value for role in Role)
            raise UsageError("bad-setting", f"LEXORDER_OIDC_ROLES maps words to roles, which are {roles}") from None
    return found


def visible(principal: Principal, accounts: Iterable[str]) -> list[str]:
    """Those of these accounts that a principal may see, sorted."""
    return sorted(a for a in accounts if principal.accounts is None or a in principal.accounts)
