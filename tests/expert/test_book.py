"""The whole expert: rows used again, planned anew at finer scales, and beside them the way of prepared leaves.

What both ways have in common stands in `test_judging.py`.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.events import InstrumentChanged
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.facts import load_order
from tests.expert.books import NOTHING, Pair, simple
from tests.worlds import VOCABULARY, order, world

WEIGHT = "sum(abs(position.after.value)) <= 5% * account.nav"


class TestRows:
    def test_what_is_known_of_an_account_and_a_name_is_used_again(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        pair.agree(order(quantity=51))
        blocks = pair.expert.rows._blocks
        before = {place: dict(found) for place, found in blocks.items()}
        pair.agree(order(quantity=52))
        assert all(blocks[place][key] is block for place, found in before.items() for key, block in found.items())

    def test_a_finer_value_brings_finer_scales_and_the_same_verdicts(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        pair.agree(order(quantity=50))
        first = pair.expert.rows
        pair.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(1000001, 10_000)}))
        assert pair.agree(order(quantity=50)).keys
        assert pair.agree(order(quantity=49)).keys == frozenset()
        assert pair.expert.rows is not first

    def test_a_value_finer_than_any_scale_is_left_to_the_exact_verdict(self):
        pair = Pair(simple("order.quantity * (1 / account.nav) <= 1", "order"), world(account={"nav": "1000000007"}))
        pair.agree(order(quantity=50))
        rows = pair.expert.rows
        _, off = rows.packed(load_order(order(), VOCABULARY), pair.expert.live.accounts["A"])
        assert rows.off_rules(off) == {"r"}

    def test_nothing_stays_in_clips_for_an_order(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        for quantity in (10, 51, 10, 51):
            pair.agree(order(quantity=quantity))
        for template in ("row", "finding", "verdict"):
            assert list(pair.expert.session.facts(template)) == []

    def test_a_word_beside_a_test_is_tested_too(self):
        """CLIPS takes `?x&word&:(test)` for the word alone: the row never writes it."""
        text = "count(order where order.position_effect == open) <= 1"
        pair = Pair(simple(text, "account", "when: any(order.position_effect == open)"))
        assert pair.agree(order()).keys == frozenset()
        assert all("&open" not in construct for construct in pair.expert.rows.plan.constructs)

    def test_a_run_without_its_last_rule_is_an_error(self):
        pair = Pair(simple("order.quantity <= 5"))
        pair.agree(order())
        environment = pair.expert.session.environment
        assert lib.Undefrule(lib.FindDefrule(environment, b"row-done"), environment)
        with pytest.raises(ExpertError, match="stopped before"):
            pair.both(order())

    def test_closing_gives_everything_back(self):
        pair = Pair(simple(WEIGHT, "issuer"))
        pair.expert.close()
        with pytest.raises(ExpertError):
            pair.expert.check("A", (load_order(order(), VOCABULARY),), NOTHING)
