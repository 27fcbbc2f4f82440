"""What lowered formulas mean: worked out in Python from prepared leaves, they say what the judge says.

No CLIPS here: formulas, leaves and atoms by themselves, so that a fault is seen where it is.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.evaluate import Point, number
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.atoms import Atom, NotLoweredError, Times, atoms_of, is_settled, is_static, times_term
from lexorder.engine.expert.emit import Plan, plan
from lexorder.engine.expert.leaves import leaf_slots, prepared, put_leaves
from lexorder.engine.expert.live import Live
from lexorder.engine.expert.lowered import Leaf, LeafKind, variable_of
from lexorder.engine.expert.prepare import Here, OutsideError, Preparer
from lexorder.engine.expert.session import Session
from lexorder.engine.expert.worst import Reading, contribution
from lexorder.engine.judge import excess, judge_subject
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import MissingFactError, Subject, project
from lexorder.engine.states import states
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import Binary, Compare, Field, Literal
from lexorder.engine.typecheck import term_of
from lexorder.engine.units import Kind
from lexorder.engine.verdict import Status
from tests.agreement import compare, worlds
from tests.worlds import VOCABULARY

compare.quick_classes()

# ---- formulas --------------------------------------------------------------------------------------


def worked(node: f.Node, values: dict[str, Any]) -> Any:
    """A formula in Python's integers."""
    names = {name: f"v[{name!r}]" for name in f.variables(node)}
    return eval(f"lambda v: {f.python(node, names)}")(values)


def order_values(made: Plan, order: Facts) -> dict[str, Any]:
    """The order's own variables, in their slots' scales; a number it lacks is not among them."""
    values: dict[str, Any] = {}
    for name in made.slots:
        found: Any = order.get(name.name, name.default)
        if name.unit.kind is Kind.NUMBER:
            if found is not None:
                values[variable_of(name.name)] = int(found * 10**name.scale)
        else:
            values[variable_of(name.name)] = {True: "TRUE", False: "FALSE"}.get(found, found)
    return values


def by_formulas(rule: Rule, made: Plan, here: Here, subject: Subject, preparer: Preparer) -> Status | None:
    """The verdict of the formulas; None where a leaf is not known or does not hold."""
    values = order_values(made, here.order)
    if not subject.key:
        return None
    side, found = here.order["order.side"], Status.PASS
    try:
        if not preparer.applies(rule, subject, here):
            return Status.PASS
        for variant in (v for v in made.variants[rule.id] if side in v.sides):
            raw = preparer.raw(variant, subject, here)
            slots = prepared(variant.lowered.leaves, raw, (), {})
            given = {**values, "d": slots[0], **{f"k{n}": v for n, v in enumerate(slots[1:])}}
            if worked(variant.lowered.broken, given):
                passive = found is not Status.BREACH and worked(variant.lowered.passive, given)
                found = Status.PASSIVE if passive else Status.BREACH
    except (MissingFactError, OutsideError, f.WideError, KeyError):
        return None
    return found


@pytest.mark.parametrize("seed", range(12))
def test_formulas_say_what_the_judge_says(seed):
    """Random rules, worlds and orders: status for status, wherever the leaves are known."""
    random, counts = Random(f"lowering {seed}"), Counter[str]()
    book = compare.rules_of(3_000 + seed, 14, 0.1)
    made = plan(book, VOCABULARY)
    judged = [r for r in book if r.id in made.variants and not reads_derived(r)]
    for turn in range(8):
        snapshot = worlds.snapshot(random, worlds.Rates(1, 1, 20))
        live, order = Live(snapshot, VOCABULARY), worlds.order(random, turn, random.choice((1, 3, 8)))
        preparer = Preparer(made, book, live, {})
        seen = project(snapshot, VOCABULARY, "A", (order,))
        here = Here(live.accounts["A"], live.projection("A", (order,)), order, str(order["order.symbol"]))
        for rule in judged:
            for subject in subjects_of(rule, seen):
                found = by_formulas(rule, made, here, subject, preparer)
                expected = judge_subject(rule, Point(seen, (account_subject(seen), subject), {}, {})).status
                if found is None:
                    counts["left"] += 1
                    continue
                plain = Status.PASS if expected is Status.NOT_APPLICABLE else expected
                assert found is plain, (rule.id, subject.key, order)
                counts[found.value] += 1
    assert counts["pass"] > counts["left"]
    assert counts["breach"]


def reads_derived(rule: Rule) -> bool:
    terms = [t for t in (rule.when, rule.require) if t is not None]
    return any(isinstance(n, Field) and VOCABULARY.names[n.name].derived for t in terms for n in t.walk())


# ---- atoms -----------------------------------------------------------------------------------------

SUMS = (
    ("sum(position.after.value) <= 5% * account.nav", "account"),
    ("sum(position.after.value) >= 5% * account.nav", "account"),
    ("sum(abs(position.after.value)) - 2 * sum(position.after.value) < account.nav / 4", "issuer"),
    ("account.after.cash >= 2% * account.nav", "account"),
    ("2 * (sum(position.after.value) + 100) / 5 <= account.nav", "account"),
    ("-sum(max(position.after.value, 0)) >= -account.nav", "account"),
    ("position.after.quantity * 3 <= max(0, position.before.quantity)", "position"),
    ("sum(order.filled) + sum(working_order.filled) <= 1% * instrument.adv", "instrument"),
)


@pytest.mark.parametrize(("text", "for_each"), SUMS)
@pytest.mark.parametrize("seed", range(2))
def test_atoms_add_up_to_the_excess_in_every_fill_state(text, for_each, seed):
    random = Random(f"atoms {seed} {text}")
    part = term_of(text, VOCABULARY, for_each)
    assert isinstance(part, Compare)
    atoms = atoms_of(part)
    for turn in range(3):
        snapshot = worlds.snapshot(random, worlds.Rates(0, 0, 0))
        live, order = Live(snapshot, VOCABULARY), worlds.order(random, turn, 3)
        seen = live.projection("A", (order,))
        entity = "position" if for_each == "position" else for_each
        key = {"account": "A", "issuer": "ACME"}.get(for_each, str(order["order.symbol"]))
        facts: Any = {"position": seen.positions.get(key, {}), "instrument": live.instruments.get(key, {})}
        subject = account_subject(seen) if for_each == "account" else Subject(entity, key, facts.get(entity, {}))
        reading = Reading(live, live.accounts["A"], subject, {})
        moves: list[Any] = [("order", order, "order"), *(("working_order", w, "working_order") for w in seen.working)]
        able = [((c, str(o[f"{c}.id"])), o[f"{c}.quantity"]) for c, o, _ in moves]
        for fills in list(states(able, corners=True))[:16]:
            at = reading.at(seen, fills=fills)
            moving = (contribution(a, key, reading, seen, fills) for a in atoms if a.kind != "static")
            static = (standing(a, at) for a in atoms if a.kind == "static")
            assert sum((*moving, *static), Fraction(0)) == excess(part, at)


def standing(atom: Atom, at: Point) -> Fraction:
    """What a summand that no fill changes adds."""
    factor = Fraction(1) if atom.times.term is None else number(atom.times.term, at)
    return atom.times.ratio * factor * number(atom.term, at)


class TestTimes:
    HALF = Literal(VOCABULARY.names["firm.collar"].unit, Fraction(1, 2))
    NAV = Field(VOCABULARY.names["account.nav"].unit, "account.nav")
    PRICE = Field(VOCABULARY.names["order.price"].unit, "order.price")

    @given(st.fractions(max_denominator=50), st.fractions(max_denominator=50))
    @settings(max_examples=50, deadline=None)
    def test_scales_multiply_and_size_and_sign_part_a_factor(self, one, other):
        times = Times(one).scaled(other)
        assert times.ratio == one * other
        assert times.magnitude().ratio * times.sign().ratio == times.ratio
        assert times.magnitude().ratio >= 0

    def test_literals_are_taken_into_the_ratio(self):
        assert Times().and_term(self.HALF, "subject") == Times(Fraction(1, 2))
        assert Times().over(self.HALF, "subject") == Times(Fraction(2))

    def test_a_factor_is_read_where_it_stands(self):
        times = Times().and_term(self.NAV, "subject")
        assert times.term == self.NAV
        assert isinstance(times_term(self.NAV, times, "subject"), Binary)
        with pytest.raises(NotLoweredError, match="meets an amount inside"):
            times_term(self.NAV, times, "order")

    def test_what_the_order_changes_divides_nothing(self):
        with pytest.raises(NotLoweredError, match="divides by an amount of the order"):
            Times().over(self.PRICE, "subject")
        with pytest.raises(NotLoweredError, match="sign of a factor"):
            Times(term=Field(self.NAV.unit, "account.cash")).magnitude()

    def test_a_division_by_nought_is_left(self):
        zero = Literal(self.HALF.unit, Fraction(0))
        assert Times().over(zero, "subject").term is not None

    @pytest.mark.parametrize(
        ("text", "static"),
        [
            ("account.nav > 1", True),
            ("order.symbol in lists.restricted", True),
            ("order.trader.traded_today > 1", True),
            ("sum(position.before.value) > 1", True),
            ("order.quantity > 1", False),
            ("order.side == buy", False),
            ("sum(position.after.value) > 1", False),
            ("any(order.price > 1)", False),
        ],
    )
    def test_what_is_the_same_for_every_order(self, text, static):
        term = term_of(text, VOCABULARY, "order")
        assert is_static(term) is is_settled(term) is static
        assert is_settled(None)


# ---- leaves ----------------------------------------------------------------------------------------

KINDS: tuple[LeafKind, ...] = ("number", "raw", "flag", "word")
NUMBER, RAW, FLAG, WORD = (Leaf(kind, "term") for kind in KINDS)
fractions = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=60)


class TestLeaves:
    @given(st.lists(fractions, min_size=1, max_size=6))
    @settings(max_examples=80, deadline=None)
    def test_numbers_share_the_least_denominator_and_stay_exact(self, raw):
        scale, *found = prepared([NUMBER] * len(raw), raw, (), {})
        assert isinstance(scale, int)
        assert [Fraction(int(n), scale) for n in found] == raw
        assert all(scale % v.denominator == 0 for v in raw)
        assert not any(all((scale // p) % v.denominator == 0 for v in raw) for p in (2, 3, 5, 7) if scale % p == 0), (
            "a smaller denominator would do"
        )

    def test_the_kinds(self):
        raw = [Fraction(1, 2), Fraction(7), True, "limit"]
        assert prepared([NUMBER, RAW, FLAG, WORD], raw, (), {}) == (2, 1, 7, "TRUE", "limit")
        assert prepared([], [], (), {}) == (1,)
        assert prepared([FLAG], [False], (), {}) == (1, "FALSE")

    @pytest.mark.parametrize(
        ("leaf", "amount", "fits"),
        [
            (RAW, Fraction(2**63 - 1), True),
            (RAW, Fraction(-(2**63) + 1), True),
            (RAW, Fraction(2**63), False),
            (RAW, Fraction(1, 2), False),
            (NUMBER, Fraction(2**63 - 1), True),
            (NUMBER, Fraction(2**63), False),
            (NUMBER, Fraction(2**63 - 1, 2), True),
            (NUMBER, Fraction(2**63 + 1, 2), False),
        ],
    )
    def test_what_does_not_fit_64_bits_is_too_wide(self, leaf, amount, fits):
        if fits:
            assert prepared([leaf], [amount], (), {})[1] == amount.numerator
        else:
            with pytest.raises(f.WideError):
                prepared([leaf], [amount], (), {})

    def test_formulas_are_proved_for_the_order_as_well(self):
        node = f.test(">", f.times(f.Var("k0"), f.Var("o-quantity")), f.Int(0))
        raw = [Fraction(2**40)]
        assert prepared([NUMBER], raw, (node,), {"o-quantity": (0, 2**22)})
        with pytest.raises(f.WideError):
            prepared([NUMBER], raw, (node,), {"o-quantity": (0, 2**23)})

    def test_slots_hold_what_was_put(self):
        session = Session()
        leaves = [NUMBER, RAW, FLAG, WORD]
        session.load([f"(deftemplate leaves {leaf_slots(leaves)})"])
        values = prepared(leaves, [Fraction(-3, 4), Fraction(9), False, "stop_limit"], (), {})
        builder = session.builder("leaves")
        put_leaves(session, builder, values)
        fact = session.add(builder)
        assert [session.read(fact, s) for s in (b"d", b"k0", b"k1", b"k2", b"k3")] == [4, -3, 9, "FALSE", "stop_limit"]
        session.close()
