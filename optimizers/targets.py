"""Target weights: what a library or the caller proposes, and what the rules on signals leave of it.

In: a `Model` other than the native one, the board, the signals after the rules, the estimates. Out: `Steered`: for each
name the weight proposed and the weight tracked, exact. Guaranteed: rules only lower a weight, and what they take stays
in cash, so that no other name grows by it; a name all of whose signals are skipped is never bought (`stopped`). Refused
(`UsageError`): `unknown-symbol`, `short-target`, `returns-needed`; what the libraries' modules refuse. Before:
`signals.py`, `estimates.py`, `models.py`. After: `objective.py`, by way of `rebalance.py`.

A library chooses among all names with a price, except those that live signals speak against: none of them expects a
gain, or together they expect a loss. Then, for each name, as a mean-variance objective would do it (see `signals.py`):

    size factors      multiply the weight
    confidence        a model that is told expected returns has it in them; else the weight is multiplied by the share
                      of confidence that the rules left to the signals pointing the same way
    all are skipped   at most what is held: not bought, and not sold for that

Caps on holdings and orders bound the whole-share holdings themselves (`universe.py`), whatever is proposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lexorder.engine.errors import UsageError, shown
from lexorder.optimizers.board import Board
from lexorder.optimizers.estimates import Aims, risk_of, risk_over, scenarios
from lexorder.optimizers.models import Model, Steered, Target
from lexorder.optimizers.risk_models import FactorModel, Floats
from lexorder.optimizers.signals import SignalReport, SignalRow, blended
from lexorder.optimizers.universe import account_fact, value_of_share

DIGITS = 9
"""Decimals of a library's weight that are taken over."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a library is given: past returns, or a factor model of all `symbols`; the aims; seconds for its solver."""

    returns: Any
    symbols: tuple[str, ...]
    aims: Aims
    seconds: float

    def of(self, names: list[str]) -> Any:
        """The returns, or the factor model of some names."""
        if not isinstance(self.returns, FactorModel):
            return self.returns
        model = risk_of(self.returns, self.aims, list(self.symbols))
        places = [self.symbols.index(s) for s in names]
        return FactorModel(model.loadings[:, places], model.idiosyncratic[places])


def steered(model: Model, board: Board, signals: SignalReport, sources: Sources) -> Steered:
    """The weights to track. Raises: see the module, ModelError, ProposalError."""
    weights = _weights_held(board)
    if model.targets is not None:
        proposed = _given(model.targets, weights)
    else:
        proposed = _proposed(model, _chosen(weights, signals), signals, sources)
    cut = _Cut(model, signals, _by_name(signals))
    found = [cut.of(s, proposed.get(s, Fraction(0)), held) for s, held in weights.items()]
    told = tuple(t for t in found if t.proposed or weights[t.symbol])
    return Steered(model.told(sources.aims.aversion), told)


def stopped(signals: SignalReport) -> frozenset[str]:
    """The names that may not be bought: they have signals, and the rules skip every one."""
    return frozenset(s for s, rows in _by_name(signals).items() if all(r.skipped for r in rows))


def _by_name(signals: SignalReport) -> dict[str, list[SignalRow]]:
    found: dict[str, list[SignalRow]] = {}
    for row in signals.signals:
        found.setdefault(row.symbol, []).append(row)
    return found


def _weights_held(board: Board) -> dict[str, Fraction]:
    """Weights in NAV of all names with a price."""
    nav = account_fact(board.projection, "account.nav")
    values = ((c, value_of_share(board.projection, c.symbol)) for c in board.candidates)
    return {c.symbol: c.held * value / nav for c, value in values if value}


# ---- proposals -------------------------------------------------------------------------------------------------------


def _given(targets: Mapping[str, Fraction], held: Mapping[str, Fraction]) -> Mapping[str, Fraction]:
    """The caller's own, once every one can be followed. Raises UsageError."""
    for symbol, weight in targets.items():
        if symbol not in held:
            raise UsageError("unknown-symbol", f"{shown(symbol)} has a target weight, but no price here")
        if weight < 0 <= held[symbol]:
            raise UsageError(
                "short-target", f"{shown(symbol)} has a target below 0; a rebalance opens no short position"
            )
    return targets


def _chosen(held: Mapping[str, Fraction], signals: SignalReport) -> list[str]:
    """The names a library chooses among: all but those that live signals speak against."""
    by_name = _by_name(signals)
    return [s for s in held if not _against([r for r in by_name.get(s, []) if not r.skipped], signals, s)]


def _against(live: list[SignalRow], signals: SignalReport, symbol: str) -> bool:
    """Whether live signals expect a loss of a name, or none of them a gain."""
    return bool(live) and (all(r.expected_return <= 0 for r in live) or signals.expected[symbol] < 0)


def _proposed(model: Model, names: list[str], signals: SignalReport, sources: Sources) -> dict[str, Fraction]:
    """A library's weights by name, as decimals that were taken over exactly."""
    if not names:
        raise UsageError("nothing-to-choose", "the signals speak against every name with a price")
    found = _asked(model, names, signals, sources)
    return {s: Fraction(f"{weight:.{DIGITS}f}") for s, weight in zip(names, found, strict=True)}


def _asked(model: Model, names: list[str], signals: SignalReport, sources: Sources) -> list[float]:
    """What the library answers. Each is imported only here, when it is asked."""
    aims = sources.aims
    live = blended(signals.signals, aims.prior)
    expected = [float(live.get(s, aims.prior)) for s in names]
    limits: dict[str, Any] = {"invested": float(model.invested or 1), "seconds": sources.seconds}
    if model.name != "risk_parity":
        limits |= {"risk_aversion": aims.aversion, "cap": model.cap_of(len(names))}
    if model.name == "max_utility":
        from lexorder.optimizers.pypfopt import max_utility_weights

        covariance = risk_over(sources.of(names), aims, names, signals.regimes).covariance()
        return _listed(max_utility_weights(expected, covariance, **limits))
    history = scenarios(sources.returns, aims, names, signals.regimes)
    from lexorder.optimizers.riskfolio import mean_risk_weights, risk_parity_weights

    if model.name == "risk_parity":
        return _listed(risk_parity_weights(history, measure=model.measure, **limits))
    if model.weighs_returns:
        limits["expected"] = [r / aims.periods for r in expected]
    return _listed(mean_risk_weights(history, measure=model.measure, goal=model.aim, **limits))


def _listed(weights: Floats) -> list[float]:
    return [float(w) for w in weights]


# ---- what the rules leave --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cut:
    """What the rules on signals leave of proposed weights."""

    model: Model
    signals: SignalReport
    by_name: Mapping[str, list[SignalRow]]

    def of(self, symbol: str, proposed: Fraction, held: Fraction) -> Target:
        """A proposed weight once the rules had their say; `held` is the weight now."""
        rows, size = self.by_name.get(symbol, []), self.signals.sizes.get(symbol, Fraction(1))
        if not proposed:
            return Target(symbol, proposed, proposed, "its signals speak against it" if self._shunned(symbol) else "")
        weight, why = proposed * size, [f"size times {_short(size)}"] if size != 1 else []
        if rows and all(r.skipped for r in rows):
            weight = _no_larger(weight, held)
            why.append("every signal is skipped: not bought")
        elif not self.model.weighs_returns:
            kept = _kept(rows, proposed)
            weight *= kept
            why += [f"confidence times {_short(kept)}"] if kept != 1 else []
        return Target(symbol, proposed, weight, "; ".join(why))

    def _shunned(self, symbol: str) -> bool:
        """Whether a library was not even asked about a name."""
        live = [r for r in self.by_name.get(symbol, []) if not r.skipped]
        return self.model.targets is None and _against(live, self.signals, symbol)


def _no_larger(weight: Fraction, held: Fraction) -> Fraction:
    """A weight that is no further from 0 than what is held the same way."""
    return min(weight, max(held, Fraction(0))) if weight > 0 else max(weight, min(held, Fraction(0)))


def _kept(rows: list[SignalRow], proposed: Fraction) -> Fraction:
    """The share of confidence the rules left to the signals that point the way of a weight; never more than all."""
    same = [r for r in rows if r.expected_return * proposed > 0]
    before, after = sum(r.before for r in same), sum(r.after for r in same)
    return min(Fraction(after) / Fraction(before), Fraction(1)) if before else Fraction(1)


def _short(factor: Fraction) -> str:
    return f"{float(factor):.4g}"
