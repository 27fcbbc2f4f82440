"""The report of a rebalance: one HTML page that needs nothing else.

In: a result, the verifier's words, and for the demonstration a refused order and an impossible request. Out: HTML
text. Guaranteed: self-contained (style and charts inside, no script, nothing fetched), every text escaped, readable
printed, dark and by screen readers; the same bytes for the same inputs. Refused: nothing. Before: `charts.py`,
`figures.py`. After: `cli_rebalance.py`, `cli_demo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lexorder.api.charts import Bar, before_after, usage
from lexorder.api.figures import figure, number, percent
from lexorder.api.rebalance_view import (
    certified_words,
    gap_words,
    heaviest,
    heaviest_targets,
    notable,
    state,
    used_after,
)
from lexorder.engine.decision import Decision
from lexorder.optimizers.outcome import Headroom, Infeasible, Rebalanced

TEMPLATE = Path(__file__).parent / "templates" / "report.html"


@dataclass(frozen=True, slots=True)
class Page:
    """What a report shows. Parts that are None are left out.

    `source` says where the prices came from; `verdict` holds the stand-alone verifier's own lines; `refused` is a
    decision with `asked` saying what was asked; `impossible` a conflict with `request` saying what was asked.
    """

    title: str
    source: str
    result: Rebalanced | None
    verdict: str = ""
    refused: Decision | None = None
    asked: str = ""
    impossible: Infeasible | None = None
    request: str = ""


def html(page: Page) -> str:
    """The page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"pct": percent, "num": number, "usage": _usage}
    environment.globals |= {"figure": figure, "state": state, "gap_words": gap_words, "certified": certified_words}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(page=page, r=page.result, **_parts(page.result))


def _usage(headroom: Headroom) -> object:
    from markupsafe import Markup

    return Markup(usage(used_after(headroom)))  # noqa: S704  (numbers only)


def _parts(result: Rebalanced | None) -> dict[str, object]:
    from markupsafe import Markup

    if result is None:
        return {"names": "", "sectors": "", "close": [], "rest": 0, "targets": [], "after": {}}
    close = [h for h in result.headroom if notable(h)]
    return {
        "names": Markup(before_after("names", "Weight of each name before and after", name_bars(result))),  # noqa: S704
        "sectors": Markup(before_after("sectors", "Weight of each sector before and after", sector_bars(result))),  # noqa: S704
        "close": close,
        "rest": len(result.headroom) - len(close),
        "targets": heaviest_targets(result),
        "after": {w.symbol: w.weight_after for w in result.weights},
    }


def name_bars(result: Rebalanced) -> list[Bar]:
    """Weights by name, heaviest first, with the tightest limit any rule for each issuer or position puts on it."""
    limits = _limits(result, {w.symbol for w in result.weights})
    return [Bar(w.symbol, w.weight_before, w.weight_after, limits.get(w.symbol)) for w in heaviest(result)]


def sector_bars(result: Rebalanced) -> list[Bar]:
    """Weights by sector, heaviest first."""
    sums: dict[str, list[Fraction]] = {}
    for w in result.weights:
        pair = sums.setdefault(w.sector or "no sector", [Fraction(0), Fraction(0)])
        pair[0] += w.weight_before
        pair[1] += w.weight_after
    limits = _limits(result, set(sums))
    bars = [Bar(sector, a, b, limits.get(sector)) for sector, (a, b) in sums.items()]
    return sorted(bars, key=lambda bar: -max(bar.before, bar.after))


def _limits(result: Rebalanced, subjects: set[str]) -> dict[str, Fraction]:
    """The least upper weight limit of each subject, read from rules whose figures are its weight."""
    weights = {w.symbol: w.weight_after for w in result.weights}
    found: dict[str, Fraction] = {}
    for h in result.headroom:
        shown = h.ratio and isinstance(h.limit, Fraction) and h.rule.endswith("weight") and h.subject in subjects
        if shown and isinstance(h.limit, Fraction) and weights.get(h.subject, 0) <= 1:
            found[h.subject] = min(h.limit, found.get(h.subject, h.limit))
    return found
