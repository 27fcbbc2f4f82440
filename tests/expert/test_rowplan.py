"""The layout of rows: which rules have one, where each value stands, and that CLIPS takes it as it is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lexorder.engine.desk import shipped_rules
from lexorder.engine.expert.emit import plan, variants_of
from lexorder.engine.expert.factmemory import Memory
from lexorder.engine.expert.lower import Scales
from lexorder.engine.expert.rowplan import ALL, RowPlan, is_of_working, is_single, places, rowplan
from lexorder.engine.expert.session import Session
from lexorder.engine.rule import Phase, Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.typecheck import term_of
from tests.agreement import compare
from tests.expert.books import DAY, rules, simple
from tests.worlds import VOCABULARY


def planned(book: tuple[Rule, ...], scales: Scales | None = None) -> RowPlan:
    return rowplan(plan(book, VOCABULARY), book, VOCABULARY, scales or {})


@pytest.fixture(scope="module")
def library() -> RowPlan:
    shipped = RuleBook.load(shipped_rules(), VOCABULARY).on(DAY)
    return planned(tuple(r for r in shipped if r.require is not None and Phase.PRE_TRADE in r.phases))


@pytest.fixture(scope="module", params=range(3))
def random_book(request: pytest.FixtureRequest) -> RowPlan:
    return planned(compare.rules_of(7_000 + int(request.param), 12, 0.1))


def slots_of(made: RowPlan) -> list[str]:
    """The slots of the row's template, in their order."""
    return re.findall(r"\(slot (\S+) ", made.constructs[0])


class TestLayout:
    def check(self, made: RowPlan) -> None:
        places_in_order = [c.place for c in made.cells]
        assert places_in_order == sorted(places_in_order, key=ALL.index), (
            "blocks are copied whole: places stand together"
        )
        assert [c for place in ALL for c in made.by_place[place]] == list(made.cells)
        switches = [f"on{r.number}" for r in made.rowed]
        own = [n.name.partition(".")[2].replace("_", "-") for n in made.order]
        assert slots_of(made) == [*switches, "side", *own, *(c.slot for c in made.cells)]
        assert len(set(slots_of(made))) == len(slots_of(made))
        assert [r.number for r in made.rowed] == list(range(len(made.rowed)))
        assert {r.variant.rule.id for r in made.rowed} <= {r.id for r in made.rules}
        assert not {r.id for r in made.rules} & {r.id for r in made.rest}

    def test_of_the_library(self, library):
        self.check(library)
        assert len(library.rules) > len(library.rest)

    def test_of_random_books(self, random_book):
        self.check(random_book)

    def test_clips_takes_it_and_has_as_many_slots(self, library):
        session = Session()
        session.load(library.constructs)
        memory = Memory(session, "row", len(slots_of(library)))
        memory.close()
        session.close()

    def test_every_cell_is_one_of_a_rule_and_every_leaf_has_a_cell(self, random_book):
        used = {c.number for r in random_book.rowed for c in r.cells}
        assert used == {c.number for c in random_book.cells}
        for rowed in random_book.rowed:
            assert [c.leaf for c in rowed.cells] == list(rowed.variant.lowered.leaves)

    def test_equal_leaves_of_two_rules_share_a_cell(self):
        book = (*simple("order.notional <= 5% * account.nav"), *simple("order.notional <= 9% * account.nav", name="s"))
        assert len([c for c in planned(book).cells if c.place == "account"]) == 1

    def test_sums_over_different_groups_do_not(self):
        text = "sum(abs(position.after.value)) <= 5% * account.nav"
        book = (*simple(text, "issuer"), *simple(text, "sector", name="s"), *simple(text, "account", name="t"))
        scopes = {c.scope for c in planned(book).by_place["sum"]}
        assert scopes == {"instrument.issuer", "instrument.sector", "all"}

    def test_a_rule_that_is_left_leaves_nothing_behind(self):
        """Its first part has a place, its second has none: both are given up."""
        book = simple("order.quantity <= instrument.adv and count(signal) <= 3")
        kept = simple("order.quantity <= 6", name="s")
        made = planned((*book, *kept))
        assert [r.id for r in made.rest] == ["r"]
        assert {r.variant.rule.id for r in made.rowed} == {"s"}
        assert not made.cells

    def test_the_formulas_are_those_of_lower_word_for_word(self, random_book):
        for rule in random_book.rules:
            expected = variants_of(rule, VOCABULARY.names["order.side"].unit.values, VOCABULARY, {})
            assert [r.variant for r in random_book.rowed if r.variant.rule.id == rule.id] == list(expected)


SINGLE = {
    ("order.quantity <= 5", "order", ""): True,
    ("sum(order.quantity) <= 5", "account", ""): True,
    ("sum(order.quantity) <= 5", "trader", ""): True,
    ("position.after.quantity <= 5", "position", ""): True,
    ("sum(order.filled) <= 5", "instrument", ""): True,
    ("sum(position.after.value) <= 5", "issuer", ""): True,
    ("sum(position.after.value) <= 5", "country", ""): True,
    ("sum(position.after.value) <= 5", "pair", ""): False,
    ("sum(position.after.value) <= 5", "strategy", ""): False,
    ("order.quantity <= 5", "order", "when: market.regime == VOLATILE"): False,
    ("sum(position.after.value) <= account.after.nav", "issuer", ""): False,
    ("sum(position.after.value) <= account.after.nav", "account", ""): True,
}


class TestWhichRules:
    @pytest.mark.parametrize(("rule", "single"), SINGLE.items(), ids=str)
    def test_a_rule_has_a_row_when_an_order_has_one_subject_of_it(self, rule, single):
        text, for_each, extra = rule
        deriving = rules(
            "rule: d\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
            f"rule: r\ntitle: T\nfor_each: {for_each}\nrequire: {text}\n{extra}",
        )
        (one,) = (r for r in deriving if r.id == "r")
        assert is_single(one, VOCABULARY) is single
        assert ("r" in {r.id for r in planned(deriving).rules}) <= single


PLACES = {
    "account.nav": {"account"},
    "order.account.nav": {"account"},
    "instrument.mark": {"instrument"},
    "market.volatility": {"instrument"},
    "order.trader.traded_today": {"trader"},
    "order.strategy.repeated_executions": {"strategy"},
    "firm.collar": {"single"},
    "sum(position.before.quantity)": {"sum", "line"},
    "sum(working_order.quantity)": {"sum"},
    "sum(fill.quantity)": {"fill"},
    "count(signal)": {"none"},
    "count(quote)": {"none"},
    "instrument.mark * account.nav": {"instrument", "account"},
    "1": {"single"},
}


class TestPlaces:
    @pytest.mark.parametrize(("text", "expected"), PLACES.items(), ids=PLACES)
    def test_what_a_term_reads(self, text, expected):
        term = term_of(f"{text} <= {text}", VOCABULARY, "order")
        assert places(term, VOCABULARY) == expected

    @pytest.mark.parametrize(
        ("text", "for_each", "place"),
        [
            ("order.quantity <= 5% * instrument.adv", "order", "instrument"),
            ("order.notional <= 5% * account.nav", "order", "account"),
            ("firm.collar <= 5%", "order", "single"),
            ("sum(order.filled) + sum(fill.quantity) <= 5", "instrument", "fill"),
            ("sum(order.quantity) + sum(working_order.quantity) <= 5", "account", "sum"),
            ("sum(order.quantity) + position.before.quantity <= 5", "position", "line"),
        ],
    )
    def test_where_its_value_stands(self, text, for_each, place):
        assert place in {c.place for c in planned(simple(text, for_each)).cells}

    def test_numbers_that_working_orders_add_money_to(self):
        made = planned(
            rules(
                "rule: cash\ntitle: T\nfor_each: account\nrequire: account.after.cash >= 2% * account.nav",
                "rule: gross\ntitle: T\nfor_each: account\nrequire: sum(abs(position.after.value)) <= account.nav",
            )
        )
        found = {c.leaf.what for c in made.cells if is_of_working(c)}
        assert found == {"old"}


def rules_in(made: RowPlan) -> Iterator[str]:
    return (text for text in made.constructs if text.startswith("(defrule ") and "finding" in text and "(row " in text)


class TestText:
    def test_a_rule_asks_for_its_switch_first(self, library):
        for text, rowed in zip(rules_in(library), library.rowed, strict=True):
            assert f"(row (on{rowed.number} TRUE)" in text

    def test_no_fact_ever_stands_in_the_text(self):
        book = rules("rule: r\ntitle: T\nrequire: order.symbol not in lists.restricted")
        assert "ACME" not in "".join(planned(book).constructs)

    def test_every_variable_a_test_reads_is_bound_before_it(self, library, random_book):
        """CLIPS would refuse it; the reason is given here by name."""
        for made in (library, random_book):
            for text in rules_in(made):
                left = text.split("=>")[0]
                for match in re.finditer(r"\(\S+ (\?\S+)&:", left):
                    before = left[: match.end()]
                    test = left[match.end() :]
                    read = set(re.findall(r"\?[a-z0-9-]+", test))
                    bound = set(re.findall(r"\(\S+ (\?[a-z0-9-]+)", before)) | {match.group(1)}
                    assert read <= bound

    def test_a_side_is_asked_for_where_it_matters(self):
        made = planned(simple("order.side != sell or order.quantity <= 5"))
        (text,) = rules_in(made)
        assert "(side sell)" in text
        made = planned(simple("order.quantity <= 5"))
        (text,) = rules_in(made)
        assert "(side " not in text
