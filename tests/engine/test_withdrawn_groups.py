"""A group that is taken from an instrument is not known; it is no group by the name of nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexorder.engine.decision import Outcome
from lexorder.engine.desk import Desk, shipped_vocabulary
from lexorder.engine.events import InstrumentChanged
from lexorder.engine.facts import load_snapshot
from tests.worlds import order, world

RULE = """\
- rule: cap
  title: At most a tenth
  for_each: {kind}
  require: sum(abs(position.after.value)) <= 10% * account.nav
"""


def desk(folder: Path, kind: str) -> Desk:
    (folder / "cap.yaml").write_text(RULE.format(kind=kind))
    vocabulary = shipped_vocabulary()
    return Desk(folder, load_snapshot(world(), vocabulary), vocabulary)


@pytest.mark.parametrize("kind", ["issuer", "sector"])
@pytest.mark.parametrize("gone", [None, ""])
@pytest.mark.parametrize("asked_before", [True, False])
def test_an_order_in_a_name_without_its_group_is_undecided(tmp_path, kind, gone, asked_before):
    made = desk(tmp_path, kind)
    asked = {**order("buy", 1, "ACME"), "id": "O-1"}
    if asked_before:
        assert made.check(asked).outcome is Outcome.APPROVE
    made.apply(InstrumentChanged("ACME", {f"instrument.{kind}": gone}))
    decision = made.check({**asked, "id": "O-2"})
    assert decision.outcome is Outcome.UNDECIDED
    assert [(r.rule, r.reason, r.subject) for r in decision.reports] == [("cap", "MISSING_FACT", "")]
    made.apply(InstrumentChanged("ACME", {f"instrument.{kind}": "BACK"}))
    assert made.check({**asked, "id": "O-3"}).outcome is Outcome.APPROVE
