"""Several reactions at once: what they come to together.

In: `Act`s that concern one thing (an instrument, a signal, an account), from one or many rules. Out: one `Effect`.
Guaranteed: exact; the order of the acts does not matter. Factors multiply, caps take the least, alerts the most urgent,
trading states the strictest, exits the largest fraction. Where acts contradict (ACTIVE beside something stricter, two
styles or prices of exit) the higher `priority` holds, and at equal priority the stricter: the lint refuses such ties.
Refused: nothing. Why a pure function of its own: monitors, signal pipelines and tests compose alike, with no rule
engine near. Before: `react.py`. After: `acting.py`, `optimizers/signals.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import cast

from lexorder.engine.react import Act, in_order
from lexorder.engine.reactions import ALERTS, TRADING_STATES

ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Exit:
    """Close `fraction` of what is held; `participation` is the largest share of the volume, None for no limit."""

    fraction: Fraction
    style: str = "limit"
    price: Fraction | None = None
    participation: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """What all acts together ask for; None and empty mean that nobody asks.

    `seconds` is how long the trading state lasts, None until it is lifted. `reduce_to` is by unit, `shares` or
    `money`. `factors` and `caps` are by target, such as `signal.confidence`. `rules` are those behind it.
    """

    trading_state: str | None = None
    seconds: Fraction | None = None
    exit: Exit | None = None
    reduce_to: Mapping[str, Fraction] = field(default_factory=dict)
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    caps: Mapping[str, Fraction] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    cancel: bool = False
    alert: str | None = None
    rules: tuple[str, ...] = ()

    def applied(self, target: str, amount: Fraction) -> Fraction:
        """`amount` of a target after factors and caps; a cap holds for the amount without its sign, and from 0 up."""
        scaled = amount * self.factors.get(target, ONE)
        cap = self.caps.get(target)
        if cap is None or abs(scaled) <= cap:
            return scaled
        return max(cap, Fraction(0)) if scaled > 0 else min(-cap, Fraction(0))


def compose(acts: Iterable[Act]) -> Effect:
    """The effect of acts on one thing."""
    ordered = in_order(list(acts))
    by_kind: dict[str, list[Act]] = {}
    for act in ordered:
        by_kind.setdefault(act.kind, []).append(act)
    state, seconds = _state([*by_kind.get("set", ()), *by_kind.get("halt", ())])
    return Effect(
        trading_state=state,
        seconds=seconds,
        exit=_exit(by_kind.get("exit", ())),
        reduce_to=_least(by_kind.get("reduce", ()), "unit", "to"),
        factors=_products(by_kind.get("scale", ())),
        caps=_least(by_kind.get("cap", ()), "target", "at"),
        skip=tuple(sorted({str(a.argument("reason")) for a in by_kind.get("skip", ())})),
        cancel="cancel" in by_kind,
        alert=_alert(by_kind.get("alert", ())),
        rules=tuple(sorted({a.rule for a in ordered})),
    )


def _state(acts: Sequence[Act]) -> tuple[str | None, Fraction | None]:
    """The strictest state, and the longest time any act asks for it; ACTIVE lifts what has a lower priority."""
    asked = [(a, str(a.argument("trading_state") or TRADING_STATES[-1])) for a in acts]
    lifted = max((a.priority for a, state in asked if state == TRADING_STATES[0]), default=None)
    left = [(a, s) for a, s in asked if lifted is None or s == TRADING_STATES[0] or a.priority >= lifted]
    if not left:
        return None, None
    strictest = max((s for _, s in left), key=TRADING_STATES.index)
    times = [a.argument("for") for a, s in left if s == strictest]
    return strictest, None if None in times else max(cast(list[Fraction], times))


def _exit(acts: Sequence[Act]) -> Exit | None:
    """The largest fraction, in the way of the act that ranks first; the least participation anyone allows."""
    if not acts:
        return None
    rank = max(a.priority for a in acts)
    first = max((a for a in acts if a.priority == rank), key=_exit_strictness)
    limits = [cast(Fraction, p) for a in acts if (p := a.argument("participation")) is not None]
    return Exit(
        fraction=max(cast(Fraction, a.argument("fraction")) for a in acts),
        style=str(first.argument("style") or "limit"),
        price=cast("Fraction | None", first.argument("price")),
        participation=min(limits, default=None),
    )


def _exit_strictness(act: Act) -> tuple[bool, Fraction, str]:
    """At equal priority: a market order leaves for certain, then the larger fraction, then the rule's name."""
    return act.argument("style") == "market", cast(Fraction, act.argument("fraction")), act.rule


def _least(acts: Sequence[Act], group: str, amount: str) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for act in acts:
        key, value = str(act.argument(group)), cast(Fraction, act.argument(amount))
        found[key] = min(value, found.get(key, value))
    return dict(sorted(found.items()))


def _products(acts: Sequence[Act]) -> dict[str, Fraction]:
    targets = sorted({str(a.argument("target")) for a in acts})
    return {
        t: prod((cast(Fraction, a.argument("factor")) for a in acts if a.argument("target") == t), start=ONE)
        for t in targets
    }


def _alert(acts: Sequence[Act]) -> str | None:
    levels = [str(a.argument("level")) for a in acts]
    return max(levels, key=ALERTS.index) if levels else None
