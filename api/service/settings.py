"""What the service is told by its environment and its flags.

In: `LEXORDER_*` variables; flags of `lexorder serve` override them. Out: frozen `Settings`. Guaranteed: every setting
has a default that is safe for one process on one machine; a value that cannot be read stops the start. Refused by
`UsageError` (`bad-setting`): numbers, durations and choices that do not parse, naming the variable and never its value
(it may be a secret). Before: `feeds.py`. After: `app.py`, `cli_serve.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

from lexorder.api.service.feeds import FEEDS
from lexorder.engine.codes import nearest_name
from lexorder.engine.desk import shipped_rules
from lexorder.engine.errors import UsageError

PREFIX = "LEXORDER_"

OTHERS = frozenset({PREFIX + "IS_WORKER", PREFIX + "PSEUDONYM_KEY"})
"""Variables that are no settings of the service: of its own workers, and of exports."""

WHOLE_DIGITS = 12
BOUNDS: Mapping[str, tuple[int, int]] = {
    "port": (1, 65_535),
    "workers": (1, 64),
    "shard": (0, 63),
    "checkpoint_every": (1, 10**9),
    "batch_max": (1, 10_000),
    "rebalance_sync_names": (0, 10**6),
    "connections_per_client": (1, 10**6),
}
"""What whole numbers may be."""

SHARD_MAX = BOUNDS["shard"][1]

ClockSource = Literal["snapshot", "wall", "feed"]
Keeping = Literal["full", "normal", "off"]
CHOICES: Mapping[str, tuple[str, ...]] = {"clock": get_args(ClockSource), "ledger": get_args(Keeping)}
"""What words may be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one service runs. Durations are seconds.

    `data_dir`: ledger, keys and signed heads. `database`: SQLAlchemy address, SQLite in `data_dir` when empty.
    `heads_dir`: the second place for signed tree heads, `data_dir/heads` when empty (give another disk). `rules`: rule
    book of a first start. `clock`: `snapshot` runs from the snapshot's time at the speed of the wall clock, `wall` is
    the machine's time, `feed` moves only with events. `tick_s`: how often running time is told to the desk.
    `feed_ages`: feeds that are stale after so many seconds without a word, as `prices=5,fills=60`.
    `ledger`: `full` (durable), `normal` (a control for tests) or `off` (no record; only for measuring).
    `oidc_…`: the identity provider; `oidc_roles` maps its words for roles to ours, as `risk=risk_officer,pm=analyst`.
    `admin_key`: the key of a first start, made up and written to `data_dir/admin.key` when empty.
    """

    data_dir: Path = Path("lexorder-data")
    database: str = ""
    heads_dir: str = ""
    rules: Path = field(default_factory=shipped_rules)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    shard: int = 0
    clock: ClockSource = "snapshot"
    tick_s: float = 1.0
    feed_ages: str = ""
    ledger: Keeping = "full"
    head_every_s: float = 10.0
    checkpoint_every: int = 100_000
    batch_max: int = 10_000
    rebalance_sync_names: int = 50
    rebalance_timeout_s: float = 120.0
    rate_per_key: float = 0.0
    connections_per_client: int = 256
    tls_certificate: str = ""
    tls_key: str = ""
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_jwks: str = ""
    oidc_role_claim: str = "lexorder_role"
    oidc_accounts_claim: str = "lexorder_accounts"
    oidc_scopes_claim: str = ""
    oidc_person_claim: str = "sub"
    oidc_roles: str = ""
    open_metrics: bool = False
    docs: bool = True
    admin_key: str = field(default="", repr=False)
    pii_key: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The address of this shard's records: with SQLite a file for each shard, since each file has one writer."""
        return self.database or self._sqlite(self.shard)

    @property
    def keys_url(self) -> str:
        """The address of the table of keys, which all shards share."""
        return self.database or self._sqlite(0)

    def _sqlite(self, shard: int) -> str:
        name = f"ledger-{shard}.sqlite" if shard else "ledger.sqlite"
        return f"sqlite:///{quote(str((self.data_dir / name).resolve()))}"  # SQLAlchemy unquotes it

    @property
    def second_place(self) -> Path:
        """The folder of signed tree heads."""
        return Path(self.heads_dir) if self.heads_dir else self.data_dir / "heads"


def from_environment(environ: Mapping[str, str] = os.environ, **flags: Any) -> Settings:
    """Settings from variables, overridden by flags that are not None. Raises UsageError."""
    found: dict[str, Any] = {}
    for known in fields(Settings):
        written = environ.get(PREFIX + known.name.upper())
        if written is not None and written != "":
            found[known.name] = _read(known.name, str(known.type), written)
    settings = replace(Settings(**found), **{k: v for k, v in flags.items() if v is not None})
    for name, (least, most) in BOUNDS.items():
        if not least <= getattr(settings, name) <= most:
            raise UsageError("bad-setting", f"{PREFIX}{name.upper()} must be from {least:,} to {most:,}")
    for name, choices in CHOICES.items():  # a flag was not read by `_read`
        if getattr(settings, name) not in choices:
            raise UsageError("bad-setting", f"{PREFIX}{name.upper()} must be one of {', '.join(choices)}")
    if settings.workers > 1 and settings.port + settings.workers > BOUNDS["port"][1]:
        raise UsageError("bad-setting", f"{PREFIX}PORT leaves no ports above it for {settings.workers} workers")
    feed_ages(settings.feed_ages)
    return settings


def made(folder: Path) -> None:
    """The folder is there. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("file-unwritable", f"{folder} cannot be made: {error.strerror}") from None


def unknown(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that begin like settings and are none, each with the nearest setting or nothing: misspelt, perhaps."""
    known = {PREFIX + f.name.upper() for f in fields(Settings)}
    odd = sorted(name for name in environ if name.startswith(PREFIX) and name not in known | OTHERS)
    near = {name: nearest_name(name.removeprefix(PREFIX), (n.removeprefix(PREFIX) for n in known)) for name in odd}
    return {name: PREFIX + found if found else "" for name, found in near.items()}


def _read(name: str, kind: str, written: str) -> Any:
    readers: dict[str, Callable[[str], Any]] = {"Path": Path, "int": _whole, "float": _positive, "bool": _truth}
    try:
        if name in CHOICES:
            return _choice(written, CHOICES[name])
        return readers.get(kind, str)(written)
    except ValueError as error:
        raise UsageError("bad-setting", f"{PREFIX}{name.upper()} {error if error.args else 'is not usable'}") from None


def _whole(written: str) -> int:
    if not (written.isascii() and written.isdecimal() and len(written) <= WHOLE_DIGITS):
        raise ValueError("must be a whole number")
    return int(written)


def _positive(written: str) -> float:
    try:
        number = float(written)
    except ValueError:
        raise ValueError("must be a number") from None
    if not 0 <= number < 1e9:
        raise ValueError("must be a number from 0 to 1e9")
    return number


def _truth(written: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if written.lower() not in known:
        raise ValueError("must be true or false")
    return known[written.lower()]


def _choice(written: str, choices: tuple[str, ...]) -> str:
    if written not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return written


def feed_ages(written: str) -> dict[str, float]:
    """`prices=5,fills=60` as seconds by feed. Raises UsageError."""
    found = {}
    for part in filter(None, written.split(",")):
        name, _, seconds = part.partition("=")
        if name.strip() not in FEEDS:  # a misspelt feed would never be called stale
            raise UsageError("bad-setting", f"{PREFIX}FEED_AGES names feeds, which are {', '.join(FEEDS)}")
        try:
            found[name.strip()] = _positive(seconds)
        except ValueError:
            raise UsageError("bad-setting", f"{PREFIX}FEED_AGES must look like prices=5,fills=60") from None
    return found
