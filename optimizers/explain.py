"""A solution and its release, or a conflict, in the words of the rules.

In: rows with their sources, the solver's answer, the decided orders. Out: `Rebalanced` or `Infeasible`. Guaranteed:
weights, headroom, turnover and cost are exact and come from the evaluator on the snapshots before and after (all
orders filled at their limit prices), not from the solver; a relaxed limit is given back in the rule's own unit.
Refused: nothing. Before: `release.py`. After: `rebalance.py`, `api/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from lexorder.engine.judge import judge
from lexorder.engine.render import render
from lexorder.engine.rule import Facts, Phase, Rule
from lexorder.engine.snapshot import Projection, Snapshot, project
from lexorder.engine.terms import Compare
from lexorder.engine.verdict import Finding
from lexorder.optimizers.board import Board
from lexorder.optimizers.models import UNTOLD, Steered
from lexorder.optimizers.outcome import Binding, Clash, Headroom, Infeasible, Rebalanced, TradeOrder, Weight
from lexorder.optimizers.reached import reached_by
from lexorder.optimizers.release import Released
from lexorder.optimizers.rows import Refusal, RowSet, Source
from lexorder.optimizers.signals import SignalReport
from lexorder.optimizers.solve import Conflict, Relaxation, Solution
from lexorder.optimizers.universe import account_fact, value_of_share

NEGLIGIBLE = 1e-3
"""Shadow prices below this many basis points per percent are left out."""


def account_for(
    board: Board,
    found: RowSet,
    rules: Sequence[Rule],
    *,
    solution: Solution,
    released: Released,
    signals: SignalReport,
    left: Sequence[Refusal],
    steered: Steered = UNTOLD,
) -> Rebalanced:
    """All that is reported about accepted orders."""
    before = project(board.projection.snapshot, board.projection.vocabulary, board.projection.account, ())
    after = project(released.after, before.vocabulary, before.account, ())
    orders = tuple(_order(facts, w, board) for w, wave in enumerate(released.waves, 1) for facts in wave)
    nav, traded = account_fact(before, "account.nav"), sum((o.value for o in orders), Fraction(0))
    reached = reached_by(solution)
    return Rebalanced(
        account=before.account,
        time=before.snapshot.time.isoformat(),
        orders=orders,
        decisions=released.decisions,
        weights=tuple(_weights(board, before, after, nav, signals)),
        headroom=tuple(headroom(rules, before, after, board)),
        binding=tuple(_binding(found, solution, reached.marginal)),
        signals=signals,
        nav=nav,
        cash_before=account_fact(before, "account.cash"),
        cash_after=account_fact(after, "account.cash"),
        turnover=traded / nav,
        cost=_cost(before, after),
        gap_bp=reached.gap,
        route=f"{solution.route.path}: {solution.route.reason}",
        certificate=solution.text,
        confirmed=released.confirmed,
        by_order=tuple(sorted({r.rule for r in found.left_to_orders})),
        left_out=(*left, *(Refusal("", s, "no safe wave for its order") for s in solution.trimmed)),
        rulebook_hash=solution.certificate.rulebook,
        snapshot_hash=solution.certificate.snapshot,
        steered=steered,
        value_bp=reached.value,
        bound_bp=reached.bound,
    )


def _order(facts: Facts, wave: int, board: Board) -> TradeOrder:
    quantity, symbol = Fraction(facts["order.quantity"]), str(facts["order.symbol"])  # type: ignore[arg-type]
    return TradeOrder(
        wave=wave,
        id=str(facts["order.id"]),
        account=str(facts["order.account"]),
        symbol=symbol,
        side=str(facts["order.side"]),
        quantity=int(quantity),
        order_type=str(facts["order.ord_type"]),
        price=Fraction(facts["order.price"]),  # type: ignore[arg-type]
        time_in_force=str(facts["order.time_in_force"]),
        value=quantity * value_of_share(board.projection, symbol),
        decision=wave - 1,
    )


def _weights(board: Board, before: Projection, after: Projection, nav: Fraction, signals: SignalReport) -> list[Weight]:
    found = []
    for c in board.candidates:
        value = value_of_share(before, c.symbol) / nav
        end = int(_held(after, c.symbol))
        sector = str(before.snapshot.instruments.get(c.symbol, {}).get("instrument.sector", ""))
        expected = signals.expected.get(c.symbol, Fraction(0))
        if c.held or end or expected:
            found.append(Weight(c.symbol, c.held, end, c.held * value, end * value, sector, expected))
    return found


def _held(projection: Projection, symbol: str) -> Fraction:
    return Fraction(projection.positions.get(symbol, {}).get("position.before.quantity", 0))  # type: ignore[arg-type]


def _cost(before: Projection, after: Projection) -> Fraction:
    """What is lost if every order fills at its limit: net worth at the same marks, before less after."""
    return _worth(before) - _worth(after)


def _worth(projection: Projection) -> Fraction:
    held = (_held(projection, s) * value_of_share(projection, s) for s in projection.positions)
    return account_fact(projection, "account.cash") + sum(held, Fraction(0))


def headroom(rules: Sequence[Rule], before: Projection, after: Projection, board: Board) -> list[Headroom]:
    """Every rebalance rule and subject that has figures, before any order and once all are filled.

    Working orders stand at their worst in both.
    """
    found = []
    for rule in (r for r in rules if Phase.REBALANCE in r.phases):
        old, new = (_findings(rule, p, board) for p in (before, after))
        for subject in sorted({*old, *new}):
            a, b = old.get(subject), new.get(subject)
            told = b or a
            if told is not None and told.observed is not None:
                found.append(_headroom(rule, subject, a, b))
    return found


def _findings(rule: Rule, projection: Projection, board: Board) -> dict[str, Finding]:
    return {f.subject: f for f in judge(rule, projection, board.derived)}


def _headroom(rule: Rule, subject: str, before: Finding | None, after: Finding | None) -> Headroom:
    told = after or before
    assert told is not None
    return Headroom(
        rule=rule.id,
        title=rule.title,
        subject=subject,
        status_before=before.status.value if before else "not_applicable",
        status_after=after.status.value if after else "not_applicable",
        before=before.observed if before else None,
        after=after.observed if after else None,
        limit=told.limit,
        margin=told.margin,
        ratio=isinstance(told.limit, Fraction) and "%" in render(rule.require) if rule.require else False,
    )


def _binding(found: RowSet, solution: Solution, unit: Fraction) -> list[Binding]:
    """Rows with a shadow price, dearest first."""
    priced = []
    for source, dual in zip(found.sources, solution.duals, strict=False):
        step = (source.base or Fraction(0)) / 100 or Fraction(1)
        price = abs(dual) * float(source.scale * step * unit)
        if price > NEGLIGIBLE:
            priced.append(Binding(source.rule.id, source.subject.key, source.limit, price))
    return sorted(priced, key=lambda b: -b.price)


def explain(
    conflict: Conflict, board: Board, found: RowSet, rulebook: str, signals: SignalReport, *, steered: Steered = UNTOLD
) -> Infeasible:
    """A conflict by rule names, limits and smallest relaxations."""
    snapshot: Snapshot = board.projection.snapshot
    return Infeasible(
        account=board.projection.account,
        time=snapshot.time.isoformat(),
        clashes=clashes_of(conflict, found),
        certificate=conflict.text,
        signals=signals,
        rulebook_hash=rulebook,
        snapshot_hash=snapshot.hash,
        steered=steered,
    )


def clashes_of(conflict: Conflict, found: RowSet) -> tuple[Clash, ...]:
    """The rules of a conflict, each once for each subject and limit."""
    eased = {r.row: r for r in conflict.relaxations}
    clashes = [_clash(found.sources[r], eased.get(r)) for r in conflict.rows]
    for c in conflict.clauses:
        rule, subject = found.clause_sources[c]
        clashes.append(Clash(rule.id, rule.title, subject.key, _requirement(rule), None, None, ratio=False))
    return tuple(dict.fromkeys(clashes))


def _clash(source: Source, eased: Relaxation | None) -> Clash:
    limit, relaxed = source.limit, None
    if eased is not None and eased.by is not None and limit is not None:
        # The row's limit was rounded down to a whole row unit: that much of the relaxation is not needed.
        step = (eased.by - source.spared) / source.scale / (source.base or Fraction(1))
        upward = isinstance(source.part, Compare) and source.part.op in ("<", "<=")
        relaxed = limit + step if upward else limit - step
    ratio = source.base not in (None, Fraction(1))
    return Clash(
        source.rule.id, source.rule.title, source.subject.key, _requirement(source.rule), limit, relaxed, ratio
    )


def _requirement(rule: Rule) -> str:
    return render(rule.require) if rule.require is not None else ""
