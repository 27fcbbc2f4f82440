"""Signals of models, through the signal rules, to one expected return for each name.

In: a snapshot with signals and market facts, and rules in force, of which those of phase `signal` that cover the
account act. Out: `SignalReport`: every signal of the account, or of none in particular, before and after the rules
(skipped, scaled, strong), which rules acted and why, the blended expected return of each name, and how large a holding
or an order the rules allow. Guaranteed: exact
fractions; every such signal is accounted for; factors multiply, caps take the least (DESIGN, reactions compose); names
without a live signal expect the prior; a rule about the account acts on every name. Refused (`SnapshotError`): a signal
on an unknown instrument, without a return or confidence, or whose direction and return contradict each other
(`signal-contradicts`); (`RowsRefused`) what a rebalance cannot do, such as a halt
or a factor on an order's quantity, and a `then` rule about something no signal leads to. A rule that cannot be decided
for want of a fact skips the signals it is about, in so many words: a signal must not pass a check that could not be
made.

The blend of name *s* over its live signals *i*: `μ_s = size_s · Σ w_i (c_i r_i + (1 - c_i) prior) / Σ w_i`, with r
the expected return, c the confidence after the rules, w = 3/2 for a strong signal and 1 otherwise, size the product
of the factors set on `position.after.quantity`; without a live signal, `μ_s = size_s · prior`. Confidence enters as
shrinkage towards the prior and not only as a weight, so that one weak signal alone moves little. Holdings of the
mean-variance problem are proportional to μ where no limit binds, which is why a factor on size acts there. Before:
`signal_rules.py`. After: `rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from lexorder.engine.compose import compose
from lexorder.engine.errors import SnapshotError
from lexorder.engine.names import Vocabulary
from lexorder.engine.react import Act
from lexorder.engine.rule import Facts, Phase, Rule
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.subjects import NAMED, covering_rules
from lexorder.optimizers.rows import Refusal, RowsRefused
from lexorder.optimizers.signal_rules import Reacted, Reaction, Reactor, agreed

STRONG_WEIGHT = Fraction(3, 2)
"""A strong signal counts this much against an ordinary one."""

EVERYBODY = "NONE"
"""The account of a signal that is for no account in particular, as the vocabulary has it."""

LOOKED_AT = ("signal", "pair", "instrument", "market", "account")
"""What a `then` rule of phase signal may be about."""

DONE = ("scale", "cap", "skip", "alert")
"""What a signal rule may ask for; an alert is told with the reactions."""

CONTRADICTS = "signal-contradicts"
"""The code of a signal whose direction and expected return cannot both be meant."""

SIZE, CONFIDENCE, ORDERED = "position.after.quantity", "signal.confidence", "order.quantity"


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One signal before and after the rules; `skipped` gives the reason, `rules` who acted on it."""

    id: str
    symbol: str
    strategy: str
    timeframe: str
    direction: str
    expected_return: Fraction
    before: Fraction
    after: Fraction
    strong: bool
    skipped: str = ""
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalReport:
    """All signals, what each name expects in the end, and the factor on its size.

    `raw`: the blend as it would be without rules. `regimes`: the names in a volatile regime. `most`, `ordered`: the
    largest holding and order in shares, either way, of names that a rule caps.
    """

    signals: tuple[SignalRow, ...]
    expected: dict[str, Fraction]
    raw: dict[str, Fraction]
    sizes: dict[str, Fraction] = field(default_factory=dict)
    regimes: frozenset[str] = frozenset()
    reactions: tuple[Reaction, ...] = ()
    most: dict[str, Fraction] = field(default_factory=dict)
    ordered: dict[str, Fraction] = field(default_factory=dict)


def through_rules(
    rules: Sequence[Rule],
    vocabulary: Vocabulary,
    snapshot: Snapshot,
    account: str,
    *,
    react: Reactor | None = None,
    prior: Fraction = Fraction(0),
) -> SignalReport:
    """Pass the snapshot's signals through the signal rules and blend them. Raises SnapshotError, RowsRefused.

    `prior`: expected return over the horizon of a name nothing is said about.
    """
    own = (s for s in snapshot.signals if s.get("signal.account", EVERYBODY) in (account, EVERYBODY))
    snapshot = replace(snapshot, signals=tuple(own))
    for signal in snapshot.signals:
        if signal.get("signal.symbol") not in snapshot.instruments:
            raise SnapshotError("unknown-thing", f"signal {signal['signal.id']}", "is on an unknown instrument")
    covered = covering_rules(rules, account, snapshot.accounts.get(account, {}))
    chosen = [r for r in covered if Phase.SIGNAL in r.phases or r.derive]
    _refuse_unlooked(chosen)
    done = (react or agreed)(chosen, vocabulary, snapshot, account)
    _refuse_undone(done.reactions)
    rows = tuple(_row(signal, done, snapshot) for signal in snapshot.signals)
    sizes = _sizes(done.reactions, snapshot)
    volatile = {s for name, s, v, _ in done.derived if name == "market.regime" and v == "VOLATILE"}
    live = blended(rows, prior)
    expected = {s: live.get(s, prior) * sizes.get(s, Fraction(1)) for s in snapshot.instruments}
    most, ordered = (_caps(done.reactions, snapshot, target) for target in (SIZE, ORDERED))
    return SignalReport(
        rows, expected, _raw(rows, prior), sizes, frozenset(volatile), done.reactions, most=most, ordered=ordered
    )


def blended(rows: Iterable[SignalRow], prior: Fraction = Fraction(0)) -> dict[str, Fraction]:
    """The blend of each name's live signals, before the size factor; see the module."""
    top: dict[str, Fraction] = {}
    bottom: dict[str, Fraction] = {}
    for row in rows:
        weight = Fraction(0) if row.skipped else (STRONG_WEIGHT if row.strong else Fraction(1))
        told = row.after * row.expected_return + (1 - row.after) * prior
        top[row.symbol] = top.get(row.symbol, Fraction(0)) + weight * told
        bottom[row.symbol] = bottom.get(row.symbol, Fraction(0)) + weight
    return {s: top[s] / bottom[s] if bottom[s] else prior for s in top}


def _raw(rows: Sequence[SignalRow], prior: Fraction) -> dict[str, Fraction]:
    plain = [
        SignalRow(r.id, r.symbol, r.strategy, r.timeframe, r.direction, r.expected_return, r.before, r.before, False)
        for r in rows
    ]
    return blended(plain, prior)


def _row(signal: Facts, done: Reacted, snapshot: Snapshot) -> SignalRow:
    identity, symbol = str(signal["signal.id"]), str(signal["signal.symbol"])
    own = [r for r in done.reactions if concerns(r, signal, snapshot)]
    before = _fraction(signal, "signal.confidence")
    skips = [str(r.argument("reason") or "skipped") for r in own if r.kind == "skip"]
    strong = [rule for name, s, v, rule in done.derived if (name, s, v) == ("signal.strength", identity, "STRONG")]
    flat = signal.get("signal.direction") == "flat"
    if why := contradiction(signal):
        raise SnapshotError(CONTRADICTS, f"signal {identity}", why)
    return SignalRow(
        id=identity,
        symbol=symbol,
        strategy=str(signal.get("signal.strategy", "NONE")),
        timeframe=str(signal.get("signal.timeframe", "")),
        direction=str(signal.get("signal.direction", "")),
        expected_return=Fraction(0) if flat else _fraction(signal, "signal.expected_return"),
        before=before,
        after=Fraction(0) if skips else min(composed(before, own, CONFIDENCE), Fraction(1)),
        strong=bool(strong),
        skipped=skips[0] if skips else "",
        rules=tuple(dict.fromkeys([*strong, *(r.rule for r in own)])),
    )


def contradiction(signal: Facts) -> str:
    """Why a signal's direction and its expected return cannot both be meant; empty where they can.

    Rules read the direction and the blend the return: one that is about shorts would pass over what is bought.
    """
    direction, expected = signal.get("signal.direction"), signal.get("signal.expected_return")
    if not isinstance(expected, Fraction):
        return ""
    if direction == "short" and expected > 0:
        return "is short and expects a gain; the return is the instrument's own: write it below 0, or make it long"
    if direction == "long" and expected < 0:
        return "is long and expects a loss; the return is the instrument's own: write it above 0, or make it short"
    return ""


def _fraction(facts: Facts, name: str) -> Fraction:
    found = facts.get(name)
    if not isinstance(found, Fraction):
        raise SnapshotError("missing-fact", f"signal {facts['signal.id']}", f"has no `{name.split('.')[1]}`")
    return found


def concerns(reaction: Reaction, signal: Facts, snapshot: Snapshot) -> bool:
    """Whether a reaction is about a signal: on the signal itself, or on what its name is in."""
    if reaction.entity == "signal":
        return reaction.subject == signal["signal.id"]
    return str(signal["signal.symbol"]) in names_under(reaction, snapshot)


def names_under(reaction: Reaction, snapshot: Snapshot) -> frozenset[str]:
    """The names a reaction acts on; all of them where it is about none in particular."""
    entity, subject = reaction.entity, reaction.subject
    if entity == "signal":
        return frozenset(str(s["signal.symbol"]) for s in snapshot.signals if s["signal.id"] == subject)
    if entity == "pair":
        return frozenset(_pair_names(subject, snapshot))
    return frozenset({subject}) if entity in NAMED else frozenset(snapshot.instruments)


def _pair_names(pair: str, snapshot: Snapshot) -> tuple[str, ...]:
    found = next((p for p in snapshot.pairs if p["pair.id"] == pair), None)
    return () if found is None else (str(found["pair.first"]), str(found["pair.second"]))


def composed(start: Fraction, reactions: Iterable[Reaction], target: str) -> Fraction:
    """A number after the reactions on it: factors multiply, then the least cap holds."""
    acts = [Act(r.rule, r.subject, 0, r.kind, r.arguments) for r in reactions if r.kind in {"scale", "cap"}]
    return compose(acts).applied(target, start)


def _sizes(reactions: Sequence[Reaction], snapshot: Snapshot) -> dict[str, Fraction]:
    """The factor on each name's size. A rule acts once on a name, by its least factor, however many signals fire it."""
    acted: dict[str, dict[tuple[str, str], Reaction]] = {}
    for r in reactions:
        if r.kind != "scale" or r.argument("target") != SIZE:
            continue
        for name in names_under(r, snapshot):
            place = (r.rule, r.subject if r.entity == "pair" else "")
            before = acted.setdefault(name, {}).setdefault(place, r)
            acted[name][place] = min(before, r, key=_factor)
    return {name: composed(Fraction(1), found.values(), SIZE) for name, found in acted.items()}


def _factor(reaction: Reaction) -> Fraction:
    factor = reaction.argument("factor")
    assert isinstance(factor, Fraction)
    return factor


def _caps(reactions: Sequence[Reaction], snapshot: Snapshot, target: str) -> dict[str, Fraction]:
    """The least cap on a target for each name that has one."""
    least: dict[str, Fraction] = {}
    for r in reactions:
        cap = r.argument("at")
        if r.kind == "cap" and r.argument("target") == target and isinstance(cap, Fraction):
            least.update({name: min(cap, least.get(name, cap)) for name in names_under(r, snapshot)})
    return least


def _refuse_unlooked(rules: Sequence[Rule]) -> None:
    """A rule about an issuer, say, would only be asked for what is held: signals on other names would pass unseen."""
    unseen = [r for r in rules if r.then and Phase.SIGNAL in r.phases and r.for_each not in LOOKED_AT]
    if unseen:
        why = f"is not looked at for signals: make it `for_each` one of {', '.join(LOOKED_AT)}"
        raise RowsRefused(tuple(Refusal(r.id, r.for_each, why) for r in unseen))


def _refuse_undone(reactions: Sequence[Reaction]) -> None:
    """What a rebalance cannot do for a rule must not pass for done."""
    undone = [Refusal(r.rule, r.subject, why) for r in reactions if (why := _undone(r))]
    if undone:
        raise RowsRefused(tuple(undone))


def _undone(reaction: Reaction) -> str:
    """Why a rebalance cannot do what a reaction asks for; nothing where it can."""
    if reaction.kind not in DONE:
        return f"asks for `{reaction.kind}`, which is no matter of signals: leave it to rules of phase monitor"
    if reaction.kind == "scale" and reaction.argument("target") == ORDERED:
        return "scales an order's quantity, which a rebalance chooses itself: scale `position.after.quantity`"
    return ""
