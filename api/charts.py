"""Charts of a rebalance as inline SVG, in text, without scripts.

In: labels and exact ratios. Out: SVG markup that takes its colours from the page's style sheet (so light, dark and
print follow). Guaranteed: every chart has a title and a description for screen readers, labels are escaped, and the
figures are also in a table of the page. Refused: nothing. Before: `figures.py`. After: `report.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape

from lexorder.api.figures import percent

WIDTH, LEFT, RIGHT, ROW, TOP = 720, 170, 84, 26, 30


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart: a ratio before and after, and the limit it is held against, if any."""

    label: str
    before: Fraction
    after: Fraction
    limit: Fraction | None = None


def before_after(name: str, title: str, bars: Sequence[Bar]) -> str:
    """A dumbbell for each bar: hollow before, full after, a tick at the limit. `name` makes identifiers unique."""
    if not bars:
        return ""
    top = max([max(b.before, b.after, b.limit or Fraction(0)) for b in bars]) * Fraction(21, 20) or Fraction(1)
    height = TOP + ROW * len(bars) + 26
    parts = [_head(name, title, _described(bars), height), *_axis(top, len(bars))]
    for n, bar in enumerate(bars):
        parts += _line(bar, TOP + ROW * n + ROW // 2, top)
    return "".join([*parts, "</svg>"])


def _head(name: str, title: str, description: str, height: int) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>'
    )


def _described(bars: Sequence[Bar]) -> str:
    said = [f"{b.label} from {percent(b.before, 1)} to {percent(b.after, 1)}" for b in bars]
    return "; ".join(said) + "."


def _x(value: Fraction, top: Fraction) -> float:
    """Where a ratio is drawn, in user units."""
    return round(float(LEFT + value / top * (WIDTH - LEFT - RIGHT)), 1)


def _axis(top: Fraction, count: int) -> list[str]:
    step = next(s for s in (Fraction(1, 100), Fraction(1, 50), Fraction(1, 20), Fraction(1, 10), top) if top / s <= 8)
    bottom = TOP + ROW * count
    marks = [step * n for n in range(int(top / step) + 1)]
    lines = [f'<line class="grid" x1="{_x(m, top)}" x2="{_x(m, top)}" y1="{TOP}" y2="{bottom}"/>' for m in marks]
    words = [
        f'<text class="tick" x="{_x(m, top)}" y="{bottom + 16}" text-anchor="middle">{percent(m, 0)}</text>'
        for m in marks
    ]
    return [*lines, *words]


def _line(bar: Bar, y: int, top: Fraction) -> list[str]:
    a, b = _x(bar.before, top), _x(bar.after, top)
    over = bar.limit is not None and bar.before > bar.limit
    return [
        f'<text class="name" x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(bar.label)}</text>',
        *_limit(bar, y, top),
        f'<line class="move" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/>',
        f'<circle class="{"over" if over else "before"}" cx="{a}" cy="{y}" r="4.5"/>',
        f'<circle class="after" cx="{b}" cy="{y}" r="5"/>',
        f'<text class="value" x="{WIDTH - RIGHT + 12}" y="{y + 4}">{percent(bar.after)}</text>',
    ]


def _limit(bar: Bar, y: int, top: Fraction) -> list[str]:
    if bar.limit is None:
        return []
    x = _x(bar.limit, top)
    return [f'<line class="limit" x1="{x}" x2="{x}" y1="{y - 10}" y2="{y + 10}"/>']


def usage(share: Fraction) -> str:
    """A small bar that shows how much of a limit is used; full at 100%, marked beyond."""
    wide = min(float(share), 1.0) * 96
    kind = "bad" if share > 1 else "near" if share >= Fraction(19, 20) else "ok"
    return (
        '<svg class="usage" viewBox="0 0 100 10" width="100" height="10" role="img" '
        f'aria-label="{percent(share, 0)} used">'
        f'<rect class="rail" x="2" y="2" width="96" height="6" rx="3"/>'
        f'<rect class="{kind}" x="2" y="2" width="{wide:.1f}" height="6" rx="3"/></svg>'
    )
