"""Pauses after losses: how many stops, how deep a drawdown, how long since the last exit.

In: fills that closed a trade, with time, reason and growth (closing over opening value); the firm's windows, limits and
pauses. Out: whether an account is locked after stops or after a drawdown, an instrument after losses or after any exit.
Guaranteed: exact; what happened exactly at the start of a window is outside it, and a pause ends at its last instant.
A fill without a time cannot be placed in a window: MissingFactError.

Source: the protections of freqtrade (StoplossGuard, MaxDrawdown, LowProfitPairs, CooldownPeriod; freqtrade.io), as
published with their tests. The drawdown is that of the sum of gains and losses from its peak, which is at least zero.
Before: `reading.py`. After: rules in `firm/lockouts.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import MissingFactError, Projection, Subject

STOP = "stop_loss"


@dataclass(frozen=True, slots=True)
class Exit:
    """A closed trade: when, whether a stop closed it, its closing over its opening value, in which instrument."""

    at: datetime
    stopped: bool
    growth: Fraction = Fraction(1)
    symbol: str = ""


def within(exits: Iterable[Exit], now: datetime, window: Fraction) -> tuple[Exit, ...]:
    """Those later than `window` seconds ago, in the order in which they happened."""
    since = now - _span(window)
    return tuple(sorted((e for e in exits if since < e.at <= now), key=lambda e: e.at))


def locked_until_after(exits: Sequence[Exit], now: datetime, pause: Fraction) -> bool:
    """Whether the pause after the last of these exits is still running."""
    return bool(exits) and now < max(e.at for e in exits) + _span(pause)


def stop_locked(exits: Iterable[Exit], now: datetime, window: Fraction, limit: Fraction, pause: Fraction) -> bool:
    """Whether `limit` or more stops within the window lock the account until `pause` after the last of them."""
    stops = tuple(e for e in within(exits, now, window) if e.stopped)
    return len(stops) >= limit and locked_until_after(stops, now, pause)


def drawdown(exits: Iterable[Exit]) -> Fraction:
    """The deepest fall of the sum of gains and losses (growth less 1) from its peak, which starts at zero."""
    total = peak = deepest = Fraction(0)
    for each in exits:
        total += each.growth - 1
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest


def profit(exits: Iterable[Exit]) -> Fraction:
    """The sum of gains and losses: growth less 1 of each trade."""
    return sum((each.growth - 1 for each in exits), Fraction(0))


def _span(seconds: Fraction) -> timedelta:
    return timedelta(microseconds=int(seconds * 10**6))


def _exits(seen: Projection) -> tuple[Exit, ...]:
    return tuple(_exit(f) for f in seen.members("fill") if f.get("fill.exit_reason", "none") != "none")


def _exit(fill: Facts) -> Exit:
    at, growth = fill.get("fill.time"), fill.get("fill.trade_growth", Fraction(1))
    if not isinstance(at, datetime) or not isinstance(growth, Fraction):
        raise MissingFactError("fill.time", str(fill.get("fill.id", "")))
    return Exit(at, fill["fill.exit_reason"] == STOP, growth, str(fill["fill.symbol"]))


def _firm(seen: Projection, subject: Subject, *names: str) -> tuple[Fraction, ...]:
    return tuple(reading.number(seen, subject, f"firm.{name}") for name in names)


@measure("account.stop_loss_locked")
def stop_loss_locked(seen: Projection, account: Subject) -> bool:
    """Whether too many stops within the firm's window lock the account now."""
    window, limit, pause = _firm(seen, account, "stop_loss_window", "stop_loss_limit", "stop_loss_pause")
    return stop_locked(_exits(seen), seen.snapshot.time, window, limit, pause)


@measure("account.recent_drawdown")
def recent_drawdown(seen: Projection, account: Subject) -> Fraction:
    """The drawdown of the trades closed within the firm's window, as a share, rounded half up to 10⁻⁶."""
    (window,) = _firm(seen, account, "drawdown_window")
    return reading.rounded_half_up(drawdown(within(_exits(seen), seen.snapshot.time, window)), 6)


@measure("account.drawdown_locked")
def drawdown_locked(seen: Projection, account: Subject) -> bool:
    """Whether a drawdown above the firm's limit, over at least so many trades of the window, locks the account now."""
    window, least, allowed, pause = _firm(
        seen, account, "drawdown_window", "drawdown_trades", "drawdown_allowed", "drawdown_pause"
    )
    recent = within(_exits(seen), seen.snapshot.time, window)
    deep = len(recent) >= least and drawdown(recent) > allowed
    return deep and locked_until_after(recent, seen.snapshot.time, pause)


@measure("instrument.low_profit_locked")
def low_profit_locked(seen: Projection, instrument: Subject) -> bool:
    """Whether the trades closed in this instrument within the firm's window, enough of them, gained too little."""
    window, least, required, pause = _firm(
        seen, instrument, "low_profit_window", "low_profit_trades", "low_profit_required", "low_profit_pause"
    )
    own = tuple(e for e in within(_exits(seen), seen.snapshot.time, window) if e.symbol == instrument.key)
    poor = len(own) >= least and profit(own) < required
    return poor and locked_until_after(own, seen.snapshot.time, pause)


@measure("instrument.cooling_down")
def cooling_down(seen: Projection, instrument: Subject) -> bool:
    """Whether the firm's pause after the last closed trade in this instrument is still running."""
    (pause,) = _firm(seen, instrument, "cooldown")
    own = tuple(e for e in _exits(seen) if e.symbol == instrument.key)
    return locked_until_after(own, seen.snapshot.time, pause)
