"""What signals mean and what the monitor does: the figures of `properties.py`, from the sample policies' words."""

from __future__ import annotations

from tests.rules.library import held, instrument, world
from tests.rules.properties import Document, Entry, Trigger


def market(**facts: str) -> Document:
    """What is seen of ACME."""
    return world(market=[{"symbol": "ACME", **facts}], instruments=[instrument()])


def signals(*rows: tuple[str, str], symbols: tuple[str, ...] = (), **facts: str) -> Document:
    """Signals for ACME, or for the symbols in turn, from (timeframe, direction), each of its own strategy."""
    listed = [
        {"id": f"S-{n}", "account": "A", "symbol": (symbols or ("ACME",) * len(rows))[n], "timeframe": frame}
        | {"direction": way, "strategy": f"X{n}", "confidence": "0.5", **facts}
        for n, (frame, way) in enumerate(rows)
    ]
    return world(signals=listed)


SHORT_TERM = (("1m", "long"), ("5m", "long"), ("15m", "long"))
FRAMES = (("1m", "short"), ("1h", "short"), ("1d", "short"))
CRASH = {"quote_age": "2 s", "luld_state": "NORMAL"}
OPPOSED = (("1d", "long"), ("1d", "short"))


def together(correlation: str) -> Document:
    """Signals to buy two names that move together."""
    pairs = [{"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": correlation}]
    return {**signals(("1d", "long"), ("1d", "long"), symbols=("ACME", "BETA")), "pairs": pairs}


def volatile(volatility: str) -> Document:
    return {**signals(("1d", "long")), "market": [{"symbol": "ACME", "volatility": volatility}]}


MARKET: tuple[Entry, ...] = (
    Trigger(
        "volatile-regime",
        (market(volatility="0.05", volume_spike="3"), market(volatility="0.06", volume_spike="2")),
        (market(volatility="0.050001", volume_spike="2.000001"),),
    ),
    Trigger(
        "flash-crash-exit",
        (market(return_10s="-0.02", **CRASH), market(return_10s="-0.03", quote_age="2.001 s")),
        (market(return_10s="-0.020001", **CRASH), market(return_10s="-0.5", **CRASH)),
    ),
    Trigger(
        "cross-venue-gap",
        (market(venue_gap="0.005", quote_age="2 s"),),
        (market(venue_gap="0.005001", quote_age="2 s"), market(venue_gap="1", quote_age="2 s")),
    ),
    Trigger(
        "fast-fall-reduces",
        (market(move="-0.049999", window="5 min"), market(move="-0.5", window="300.001 s")),
        (market(move="-0.05", window="5 min"), market(move="-0.5", window="5 min")),
    ),
)

SIGNALS: tuple[Entry, ...] = (
    Trigger("short-term-agreement", (signals(*SHORT_TERM[:2]),), (signals(*SHORT_TERM),)),
    Trigger("timeframe-agreement", (signals(*FRAMES[:2]),), (signals(*FRAMES),)),
    Trigger("strong-short-term-signal", (signals(*SHORT_TERM[:2]),), (signals(*SHORT_TERM),)),
    Trigger("strong-timeframe-signal", (signals(*FRAMES[:2]),), (signals(*FRAMES),)),
    Trigger(
        "low-reward-skipped",
        (signals(("1d", "long"), reward_risk="2"),),
        (signals(("1d", "long"), reward_risk="1.999999"), signals(("1d", "long"), reward_risk="0")),
    ),
    Trigger(
        "conflicting-signals",
        (signals(*OPPOSED, confidence="0.6"),),
        (signals(*OPPOSED, confidence="0.600001"), signals(*OPPOSED, confidence="1")),
    ),
    Trigger(
        "conflict-halves-confidence",
        (signals(*OPPOSED, confidence="0.6"),),
        (signals(*OPPOSED, confidence="0.600001"), signals(*OPPOSED, confidence="1")),
    ),
    Trigger("high-volatility-halves-size", (volatile("0.05"),), (volatile("0.050001"), volatile("1"))),
    Trigger("correlated-longs-scaled", (together("0.8"),), (together("0.800001"), together("1"))),
)


def stopped(tag: str, mark: str = "100", nav: str = "1000000", **position: str) -> Document:
    """An account that asks for an exit and holds 10 of ACME."""
    account = {"tags": [tag], "nav": nav, "drawdown_stop": "10%", "position_stop": "10%", "trailing_stop": "10%"}
    held_here = [{**held(10), **position}]
    return world(account=account, instruments=[instrument(mark=mark)], positions=held_here)


COST, BEST = {"average_price": "100"}, {"best_price": "200"}
STOPS: tuple[Entry, ...] = (
    Trigger(
        "portfolio-drawdown-exit",
        (stopped("drawdown-stop", nav="900000"),),
        (stopped("drawdown-stop", nav="899999.9999"), stopped("drawdown-stop", nav="1")),
    ),
    Trigger(
        "position-loss-exit",
        (stopped("position-stop", "90", **COST),),
        (stopped("position-stop", "89.9999", **COST), stopped("position-stop", "1", **COST)),
    ),
    Trigger(
        "trailing-stop-exit",
        (stopped("trailing-stop", "180", **BEST),),
        (stopped("trailing-stop", "179.9999", **BEST), stopped("trailing-stop", "1", **BEST)),
    ),
)

ENTRIES: tuple[Entry, ...] = (*MARKET, *SIGNALS, *STOPS)
