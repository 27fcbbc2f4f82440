"""What of a decision a trader may see.

In: a decision in full, as compliance and the record have it. Out: the decision for a trader. Guaranteed: rules for
compliance alone leave no trace (no report, no derived fact, no name among the rules that bind), and a rule that reads
a list says that a name is listed, never by which entry, why, or what else is on it. Whatever stands on a list that only
such rules read, the view is the same byte for byte, as long as these rules only warn. So it carries no hash: whoever
knows the rest could try names until the hash fits. Where a withheld rule decides, the trader reads REFERRED and no
more. Refused: nothing. Why a view and not another decision: one record is judged, hashed and kept, and stays whole.
Before: `decision.py`, `decide.py`. After: `api/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lexorder.engine.decide import ENGINE, outcome_of
from lexorder.engine.decision import Decision, Largest, Outcome, Report
from lexorder.engine.listed import PREFIX
from lexorder.engine.rule import Audience, Severity
from lexorder.engine.verdict import Status

HASHES = ("snapshot_hash", "hash")
"""What a view for traders has no place for."""
REFERRED = Report(
    ENGINE,
    "The engine's own checks",
    Severity.HARD,
    Status.BREACH,
    "",
    "REFERRED",
    "This order may not go out. Ask compliance.",
)


def for_trader(decision: Decision) -> Decision:
    """The decision with what a trader may not see taken out. Its outcome is the decision's; its hashes are not."""
    shown = tuple(_open(r) for r in decision.reports if r.audience is Audience.EVERYONE)
    if outcome_of(shown) is not decision.outcome and not decision.approved:
        shown = (_referred(decision), *shown)
    return replace(
        decision,
        reports=shown,
        derived=tuple(d for d in decision.derived if d.rule not in decision.withheld),
        fired=tuple(replace(f, why="") for f in decision.fired if f.rule not in decision.withheld),
        largest=_largest(decision),
        verdicts=0,
        snapshot_hash="",
        withheld=frozenset(),
    )


def to_json(decision: Decision, audience: Audience = Audience.COMPLIANCE) -> Mapping[str, object]:
    """Plain data for an audience: in full with its hash for compliance, the view without hashes for everyone else."""
    if audience is Audience.COMPLIANCE:
        return decision.to_json()
    body = for_trader(decision).body()
    return {key: value for key, value in body.items() if key not in (*HASHES, "verdicts")}


def _open(report: Report) -> Report:
    """A report everyone may read: without entries, and without the lists among its inputs."""
    if report.rule == ENGINE and report.reason == "EVALUATORS_DISAGREE":
        return replace(report, message="The two evaluators differ.")  # it names rules
    inputs = tuple((name, value) for name, value in report.inputs if not name.startswith(PREFIX))
    return replace(report, inputs=inputs, listed=())


def _referred(decision: Decision) -> Report:
    """In place of the withheld findings that decide."""
    status = Status.UNDECIDED if decision.outcome is Outcome.UNDECIDED else Status.BREACH
    severity = Severity.SOFT if decision.outcome is Outcome.NEEDS_OVERRIDE else Severity.HARD
    return replace(REFERRED, status=status, severity=severity)


def _largest(decision: Decision) -> Largest | None:
    largest = decision.largest
    if largest is None:
        return None
    note = "not analysable" if any(rule in largest.note for rule in decision.withheld) else largest.note
    return replace(largest, binding=tuple(r for r in largest.binding if r not in decision.withheld), note=note)
