"""What of a rebalance somebody outside compliance may read.

In: a result in full, and the rules that are for compliance alone. Out: the result, its plain data and its certificate
without them. Guaranteed: no finding, figure or conflict of such a rule is left; nothing carries the hash of the
snapshot, since whoever knows the rest could try names on a list until the hash fits; the certificate is the same but
for that hash, so the stand-alone verifier still accepts it, and none where a withheld rule stands in it. A minimal
conflict that such a rule is part of is not shown in part: it would look like one that it is not. Refused: nothing. Why
beside `engine/audience.py`: that is the same promise for a decision. Before: `optimizers/outcome.py`. After:
`rebalance_worker.py`, `rebalance_record.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from lexorder.engine.rule import Audience
from lexorder.engine.rulebook import RuleBook

if TYPE_CHECKING:  # or whoever only reads records would import the solvers
    from lexorder.optimizers.outcome import Binding, Clash, Headroom, Infeasible, Rebalanced
    from lexorder.optimizers.rows import Refusal
    from lexorder.optimizers.signals import SignalReport

ZEROS = "0" * 64
"""In place of the hash of a snapshot."""

REFERRED = "Ask compliance."

Found = TypeVar("Found", "Headroom", "Binding", "Refusal")


def withheld_rules(book: RuleBook) -> frozenset[str]:
    """The rules that are for compliance alone, in any of their versions."""
    return frozenset(v.id for v in book.versions if any(rule.audience is not Audience.EVERYONE for _, rule in v.items))


def orders_shown(result: Rebalanced, withheld: Collection[str]) -> Rebalanced:
    """The orders and figures without withheld rules, without decisions and without the snapshot's hash."""
    return replace(
        result,
        decisions=(),
        headroom=_open(result.headroom, withheld),
        binding=_open(result.binding, withheld),
        left_out=_open(result.left_out, withheld),
        incurable=result.incurable if all_open(result.incurable, withheld) else (),
        by_order=tuple(rule for rule in result.by_order if rule not in withheld),
        signals=signals_shown(result.signals, withheld),
        snapshot_hash=ZEROS,
    )


def signals_shown(report: SignalReport, withheld: Collection[str]) -> SignalReport:
    """The signals without the names of withheld rules among those that acted."""
    rows = (replace(row, rules=tuple(r for r in row.rules if r not in withheld)) for row in report.signals)
    return replace(report, signals=tuple(rows))


def conflict_shown(result: Infeasible, withheld: Collection[str]) -> Infeasible:
    """The conflict, empty when a withheld rule is part of it, without the snapshot's hash."""
    clashes = result.clashes if all_open(result.clashes, withheld) else ()
    return replace(result, clashes=clashes, snapshot_hash=ZEROS)


def all_open(clashes: Collection[Clash], withheld: Collection[str]) -> bool:
    """Whether everyone may read the whole conflict."""
    return not any(clash.rule in withheld for clash in clashes)


def data_shown(result: Rebalanced | Infeasible) -> dict[str, object]:
    """The plain data of a result that is shown: hashes have no place in it."""
    from lexorder.optimizers.outcome import Infeasible

    found = {key: value for key, value in result.to_json().items() if key not in ("snapshot_hash", "decisions")}
    return {**found, "referred": REFERRED} if isinstance(result, Infeasible) and not result.clashes else found


def certificate_shown(text: str, snapshot_hash: str, withheld: Collection[str]) -> str:
    """The certificate without the snapshot's hash; empty when the name of a withheld rule stands anywhere in it."""
    return "" if names_any(text, withheld) else text.replace(snapshot_hash, ZEROS)


def words_shown(text: str, withheld: Collection[str]) -> str:
    """A message, or whom to ask where it names a withheld rule."""
    return REFERRED if names_any(text, withheld) else text


def names_any(text: str, withheld: Collection[str]) -> bool:
    """Whether a text holds the name of a withheld rule, also as part of another word: rather too little is shown."""
    return any(rule in text for rule in withheld)


def _open(found: tuple[Found, ...], withheld: Collection[str]) -> tuple[Found, ...]:
    return tuple(each for each in found if each.rule not in withheld)
