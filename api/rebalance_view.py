"""A rebalance as tables for the terminal.

In: `Rebalanced`, `Infeasible`, `SignalReport`. Out: Rich tables and text. Guaranteed: every figure is one of the
result's, rounded for reading; nothing is worked out here. Before: `figures.py`. After: `cli_rebalance.py`,
`cli_demo.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rich import box
from rich.table import Table
from rich.text import Text

from lexorder.api.figures import DASH, figure, number, percent
from lexorder.optimizers.models import Target
from lexorder.optimizers.outcome import Clash, Headroom, Infeasible, Rebalanced, Weight
from lexorder.optimizers.signals import SignalReport, SignalRow

QUIET = {"pass", "not_applicable", ""}
"""What needs no line by itself: kept, not asked for, or not there before."""

CLOSE = Fraction(9, 10)
"""Headroom is shown for rules of which this share of the limit is used, before or after."""


def table(title: str, *columns: str, right: Sequence[int] = ()) -> Table:
    """A table in the house style; the columns numbered in `right` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="dim")
    for n, column in enumerate(columns):
        made.add_column(column, justify="right" if n in right else "left", overflow="fold")
    return made


def signals_table(report: SignalReport, *, most: int = 60) -> Table:
    """Every signal before and after the rules, with the rules that acted."""
    columns = ("name", "strategy", "direction", "expects", "confidence", "after rules", "size", "rules that acted")
    made = table("Signals, before and after the rules", *columns, right=(3, 4, 5, 6))
    for row in sorted(report.signals, key=lambda r: (r.symbol, r.strategy))[:most]:
        made.add_row(
            *_signal_cells(row, report.sizes.get(row.symbol, Fraction(1))), style="dim" if row.skipped else None
        )
    left = len(report.signals) - most
    if left > 0:
        made.caption = f"and {left} more"
    return made


def _signal_cells(row: SignalRow, size: Fraction) -> tuple[str | Text, ...]:
    after = Text("skipped", "red") if row.skipped else Text(percent(row.after, 1), _shade(row))
    why = ", ".join(row.rules) + (f": {row.skipped}" if row.skipped else "")
    strong = " (strong)" if row.strong else ""
    return (
        row.symbol,
        row.strategy,
        row.direction + strong,
        percent(row.expected_return),
        percent(row.before, 1),
        after,
        DASH if row.skipped else Text(percent(size, 0), "yellow" if size < 1 else ""),
        why or DASH,
    )


def _shade(row: SignalRow) -> str:
    if row.after == row.before:
        return ""
    return "yellow" if row.after < row.before else "green"


def orders_table(result: Rebalanced) -> Table:
    """Orders in waves."""
    made = table("Orders", "wave", "ClOrdID", "side", "quantity", "limit", "value at mark", right=(3, 4, 5))
    for n, order in enumerate(result.orders):
        last = n + 1 == len(result.orders) or result.orders[n + 1].wave != order.wave
        colour = "green" if order.side == "buy" else "red"
        made.add_row(
            str(order.wave),
            order.id,
            Text(order.side.replace("_", " "), colour),
            number(order.quantity),
            number(order.price, 2),
            number(order.value),
            end_section=last,
        )
    return made


def weights_table(result: Rebalanced) -> Table:
    """Weights before and after, by name."""
    made = table("Weights", "name", "sector", "before", "after", "change", "expects", right=(2, 3, 4, 5))
    for w in result.weights:
        change = w.weight_after - w.weight_before
        colour = "green" if change > 0 else "red" if change < 0 else "dim"
        made.add_row(
            w.symbol,
            w.sector,
            percent(w.weight_before),
            percent(w.weight_after),
            Text(percent(change) if change else DASH, colour),
            percent(w.expected),
        )
    return made


def targets_table(result: Rebalanced, *, most: int = 60) -> Table:
    """Target weights: what was proposed, what the rules left of it, what is held after."""
    made = table("Target weights", "name", "proposed", "target", "after", "what the rules took", right=(1, 2, 3))
    after = {w.symbol: w.weight_after for w in result.weights}
    targets = heaviest_targets(result)
    for t in targets[:most]:
        cut = Text(percent(t.weight), "yellow" if t.weight != t.proposed else "")
        made.add_row(t.symbol, percent(t.proposed), cut, percent(after.get(t.symbol, Fraction(0))), t.why or DASH)
    if len(targets) > most:
        made.caption = f"and {len(targets) - most} more"
    return made


def heaviest_targets(result: Rebalanced) -> list[Target]:
    """Target weights, heaviest proposal first."""
    return sorted(result.steered.targets, key=lambda t: (-abs(t.proposed), t.symbol))


def headroom_table(result: Rebalanced) -> Table:
    """Rules that are broken, were broken or are close to their limit."""
    shown = [h for h in result.headroom if notable(h)]
    made = table("Limits, before and after", "rule", "subject", "before", "after", "limit", "", right=(2, 3, 4))
    for h in shown:
        made.add_row(
            h.rule,
            h.subject,
            Text(figure(h.before, ratio=h.ratio), "red" if h.status_before in {"breach", "passive"} else ""),
            Text(figure(h.after, ratio=h.ratio), "red" if h.status_after in {"breach", "passive"} else ""),
            figure(h.limit, ratio=h.ratio),
            state(h),
        )
    if not shown:
        made.add_row("none is near its limit", "", "", "", "", "")
    made.caption = f"{len(result.headroom) - len(shown)} more have more room"
    return made


def notable(h: Headroom) -> bool:
    """Whether a rule and subject is worth a line: not plainly passing, or much of the limit used."""
    return not {h.status_before, h.status_after} <= QUIET or used(h) >= CLOSE


def used(h: Headroom) -> Fraction:
    """Share of the limit that is used, before or after, whichever is more; 0 where that has no meaning."""
    return _share(h, [h.before, h.after])


def used_after(h: Headroom) -> Fraction:
    """Share of the limit that is used once all orders are filled."""
    return _share(h, [h.after])


def _share(h: Headroom, values: Sequence[object]) -> Fraction:
    sides = [v for v in values if isinstance(v, Fraction)]
    limit = h.limit if isinstance(h.limit, Fraction) else Fraction(0)
    floor = h.margin is not None and isinstance(h.after, Fraction) and h.margin > 0 and h.after > limit
    if limit <= 0 or not sides:
        return Fraction(0)
    return max((limit / v if floor and v else v / limit) for v in sides)


def state(h: Headroom) -> str:
    """What became of a rule, in a word or two."""
    old, new = h.status_before in {"breach", "passive"}, h.status_after in {"breach", "passive"}
    if old:
        return "still broken, no worse" if new else "cured"
    return "broken" if new else "kept"


def binding_table(result: Rebalanced) -> Table:
    """Rules that hold the portfolio back."""
    made = table("Binding rules", "rule", "subject", "limit", "1% wider would gain", right=(2, 3))
    for b in result.binding:
        ratio = b.limit is not None and abs(b.limit) <= 5
        made.add_row(b.rule, b.subject, figure(b.limit, ratio=ratio), f"{b.price:.3f} bp")
    return made


def conflict_table(clashes: Sequence[Clash]) -> Table:
    """A minimal conflict with the smallest relaxations."""
    made = table("A minimal set of rules in conflict", "rule", "for", "limit", "enough by itself", right=(2, 3))
    for c in clashes:
        eased = figure(c.relaxed, ratio=c.ratio) if c.relaxed is not None else "none is enough"
        made.add_row(
            Text(c.rule, "bold") + Text(f"\n{c.title}", "dim"), c.subject, figure(c.limit, ratio=c.ratio), eased
        )
    return made


def summary(result: Rebalanced) -> str:
    """The figures of a rebalance in a few lines."""
    cash = f"{percent(result.cash_before / result.nav)} → {percent(result.cash_after / result.nav)}"
    waves = f"{result.waves} wave{'s' if result.waves != 1 else ''}"
    steered = f"model {result.steered.words}\n" if result.steered.tracks else ""
    return (
        f"{steered}{len(result.orders)} orders in {waves}, each wave approved by both evaluators\n"
        f"turnover {percent(result.turnover, 1)}, cost against the marks at most {number(result.cost)}, cash {cash}\n"
        f"{certified_words(result)}; {number(result.confirmed)} comparisons of rows with the evaluator"
        f"{left_out_words(result)}"
    )


def certified_words(result: Rebalanced) -> str:
    """What the certificate says of the objective, and by which path the holdings were found."""
    path = result.route.split(":", maxsplit=1)[0]
    far = ""
    if result.steered.tracks and result.value_bp is not None:
        far = f"{number(result.value_bp, 3)} bp of NAV from the target weights (root of the summed squares), "
    if result.gap_bp is None:
        return f"{far}no certified distance to the best value of the stated objective ({path} path)"
    what = "the stated objective, that distance" if far else "the stated objective"
    return f"{far}certified within {gap_words(result)} of NAV of the optimum of {what} ({path} path)"


def left_out_words(result: Rebalanced) -> str:
    """Which rules could not be decided, so that what they cover is not traded; empty when there are none."""
    if not result.left_out:
        return ""
    rules = sorted({item.rule for item in result.left_out})
    first = result.left_out[0]
    return f"\nnot traded where these cannot be decided: {', '.join(rules)} (for {first.subject}: {first.why})"


def gap_words(result: Rebalanced) -> str:
    """The certified gap in basis points; below a thousandth it says so."""
    if result.gap_bp is None:
        return DASH
    return "0.001 bp or less" if result.gap_bp <= Fraction(1, 1000) else f"{number(result.gap_bp, 3)} bp"


def heaviest(result: Rebalanced) -> list[Weight]:
    """Names by the larger of their two weights."""
    return sorted(result.weights, key=lambda w: -max(w.weight_before, w.weight_after))


def words_of(result: Infeasible) -> str:
    """A conflict in a sentence that claims no more than was proved."""
    return (
        f"No whole-share holding within the bounds meets these {len(result.clashes)} rules together; "
        "any one fewer can be met. (There may be other such sets.)"
    )
