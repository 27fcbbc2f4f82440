"""Sums of one-name functions and conditions made of them, against plain evaluation in every state."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from random import Random

import pytest

from lexorder.engine.intervals import contains
from lexorder.engine.piecewise import Piecewise, constant, identity, joined_pieces
from lexorder.optimizers.separable import (
    ALTERNATIVES_MAX,
    FALSE,
    TRUE,
    Atom,
    Every,
    Known,
    LoweringError,
    Open,
    Some,
    Sum,
    Tree,
    added,
    alternatives,
    atoms,
    closed,
    every,
    leaves,
    of_function,
    opposite,
    plainest,
    region,
    settled,
    some,
    variable_of,
    within,
)

LOW, HIGH = -3, 4
INSIDE = range(LOW, HIGH + 1)
NAMES = 2
STATES = list(product(INSIDE, repeat=NAMES))
X = identity(LOW, HIGH)


def a_function(random: Random) -> Piecewise:
    starts = sorted({LOW, *random.choices(INSIDE, k=random.randint(0, 3))})
    polys = [(random.randint(-4, 4), Fraction(random.randint(-4, 4), random.choice([1, 2, 3])), 0) for _ in starts]
    return joined_pieces(LOW, HIGH, zip(starts, polys, strict=True))


def a_sum(random: Random) -> Sum:
    total = Sum(Fraction(random.randint(-4, 4), random.choice([1, 3])))
    for name in range(NAMES):
        if random.random() < 0.7:
            total = total.plus(of_function(name, a_function(random)))
    return total


def a_condition(random: Random, depth: int = 3) -> Tree:
    kind = random.random()
    if depth == 0 or kind < 0.35:
        return settled(Atom(a_sum(random), random.random() < 0.5))
    if kind < 0.42:
        return random.choice([TRUE, FALSE])
    join = every if kind < 0.7 else some
    return join([a_condition(random, depth - 1) for _ in range(random.randint(0, 3))])


def truth(tree: Tree, x: tuple[int, ...]) -> bool:
    """The plain meaning of a condition, with no shortcut."""
    match tree:
        case Known(value=known):
            return known
        case Atom(sum=total, strict=strict):
            value = total.constant + sum(Fraction(f(x[v])) for v, f in total.parts.items())
            return value < 0 if strict else value <= 0
        case Every(items=items):
            return all(truth(i, x) for i in items)
        case Some(items=items):
            return any(truth(i, x) for i in items)
    raise AssertionError(tree)


# ---- sums --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_sums_differences_and_multiples_are_those_of_the_values(seed):
    random = Random(seed)
    one, other = a_sum(random), a_sum(random)
    factor = Fraction(random.choice([0, 1, -1, -5]), random.choice([1, 3]))
    for x in STATES:
        assert one.plus(other).value(x) == one.value(x) + other.value(x)
        assert one.minus(other).value(x) == one.value(x) - other.value(x)
        assert one.scaled(factor).value(x) == factor * one.value(x)


@pytest.mark.parametrize("seed", range(40))
def test_the_range_is_reached_at_both_ends_and_never_left(seed):
    total = a_sum(Random(100 + seed))
    values = [total.value(x) for x in STATES]
    assert total.range() == (min(values), max(values))


@pytest.mark.parametrize("seed", range(40))
def test_the_plainest_form_is_the_same_function_in_no_more_pieces(seed):
    function = a_function(Random(200 + seed))
    tidy = plainest(function)
    assert [tidy(x) for x in INSIDE] == [function(x) for x in INSIDE]
    assert len(tidy.polys) <= len(function.polys)


def test_absent_at_nought_else_in_proportion_is_one_line():
    jumps = joined_pieces(LOW, HIGH, [(LOW, (0, 7, 0)), (0, (0, 0, 0)), (1, (0, 7, 0))])
    assert plainest(jumps) == Piecewise(LOW, HIGH, (LOW,), ((0, 7, 0),))


def test_a_jump_that_no_neighbour_describes_stays():
    jumps = joined_pieces(LOW, HIGH, [(LOW, (0, 7, 0)), (0, (1, 0, 0)), (1, (0, 7, 0))])
    assert plainest(jumps) == jumps


def test_a_constant_function_is_no_variable():
    assert of_function(0, constant(3, LOW, HIGH)) == Sum(Fraction(3))
    assert Sum(Fraction(3)).fixed
    assert Sum(Fraction(3)).only() is None
    assert of_function(1, X).only() == 1
    assert of_function(0, X).plus(of_function(1, X)).only() is None
    assert of_function(1, X).scaled(0) == Sum()


def test_a_variable_that_cancels_out_still_reads_as_nought():
    gone = of_function(0, X).minus(of_function(0, X))
    assert [gone.value((x, 0)) for x in INSIDE] == [0] * len(INSIDE)
    assert gone.range() == (Fraction(0), Fraction(0))


# ---- conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(120))
def test_negation_alternatives_and_simplification_keep_the_meaning_in_every_state(seed):
    tree = a_condition(Random(300 + seed))
    against = opposite(tree)
    options = alternatives(tree)
    for x in STATES:
        assert truth(against, x) is not truth(tree, x)
        assert any(all(truth(atom, x) for atom in option) for option in options) is truth(tree, x)


@pytest.mark.parametrize("seed", range(60))
def test_a_condition_of_one_name_is_the_set_of_its_holdings(seed):
    random = Random(500 + seed)
    single = [Atom(of_function(0, a_function(random)), random.random() < 0.5) for _ in range(3)]
    tree = every([single[0], some([single[1], opposite(single[2])])])
    inside = region(tree, LOW, HIGH)
    written = within(0, inside, LOW, HIGH)
    for x in INSIDE:
        assert contains(inside, x) is truth(tree, (x,))
        assert truth(written, (x,)) is truth(tree, (x,))


@pytest.mark.parametrize("items", [[], [TRUE], [FALSE], [TRUE, FALSE]])
def test_nothing_is_all_true_and_none_of_it_true(items):
    assert every(items) == Known(all(i.value for i in items))
    assert some(items) == Known(any(i.value for i in items))


def test_joins_of_the_same_kind_are_flat_and_of_one_item_that_item():
    a, b, c = (Atom(of_function(n, X)) for n in range(3))
    assert every([every([a, b]), c]) == Every((a, b, c))
    assert some([a, some([b, c])]) == Some((a, b, c))
    assert every([some([a, b])]) == Some((a, b))
    assert every([a, TRUE]) == a
    assert some([a, TRUE]) == TRUE


def test_what_no_variable_enters_is_known_exactly_at_nought():
    assert [settled(Atom(Sum(Fraction(n, 7)))) for n in (-1, 0, 1)] == [TRUE, TRUE, FALSE]
    assert [settled(Atom(Sum(Fraction(n, 7)), strict=True)) for n in (-1, 0, 1)] == [TRUE, FALSE, FALSE]


def test_the_variable_of_a_condition_is_named_only_when_it_is_alone():
    a, b = Atom(of_function(0, X)), Atom(of_function(1, X))
    assert variable_of(every([a, opposite(a)])) == 0
    assert variable_of(some([a, b])) is None
    assert variable_of(TRUE) is None
    assert list(atoms(every([a, some([b, a])]))) == [a, b, a]


def test_everywhere_is_no_condition_and_nowhere_is_false():
    assert within(0, ((LOW, HIGH),), LOW, HIGH) == TRUE
    assert within(0, (), LOW, HIGH) == FALSE


def test_the_ends_of_a_range_need_no_atom_at_the_ends_of_reach():
    assert len(list(atoms(within(0, ((LOW, 0),), LOW, HIGH)))) == 1
    assert len(list(atoms(within(0, ((0, 0),), LOW, HIGH)))) == 2


# ---- numbers that are no sums ------------------------------------------------------------------------------------


def a_number(random: Random, depth: int = 2) -> Tree:
    if depth == 0 or random.random() < 0.4:
        return Open(a_sum(random))
    return random.choice([every, some])([a_number(random, depth - 1) for _ in range(2)])


def figure(tree: Tree, x: tuple[int, ...]) -> Fraction:
    """All-of is the greatest, one-of the least."""
    match tree:
        case Open(sum=total):
            return total.value(x)
        case Every(items=items):
            return max(figure(i, x) for i in items)
        case Some(items=items):
            return min(figure(i, x) for i in items)
    raise AssertionError(tree)


@pytest.mark.parametrize("seed", range(60))
def test_sums_of_extremes_are_compared_as_their_values_are(seed):
    random = Random(700 + seed)
    one, other = a_number(random), a_number(random)
    total = added(one, other)
    for x in STATES:
        assert figure(total, x) == figure(one, x) + figure(other, x)
        for strict in (False, True):
            value = figure(total, x)
            assert truth(closed(total, strict=strict), x) is (value < 0 if strict else value <= 0)


def test_leaves_are_replaced_and_the_rest_is_kept():
    a, b = Open(of_function(0, X)), Atom(of_function(1, X))
    assert leaves(every([a, b]), lambda leaf: Open(leaf.sum.scaled(2))) == Every((Open(a.sum.scaled(2)), b))


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [opposite, alternatives, lambda tree: region(tree, LOW, HIGH)])
def test_a_number_is_no_condition(ask):
    with pytest.raises(LoweringError, match="a number stands") as refused:
        ask(Open(of_function(0, X)))
    assert refused.value.code == "not-lowered"


def choices(*sizes: int) -> Tree:
    atom = Atom(of_function(0, X))
    return Every(tuple(Some((atom,) * size) for size in sizes))


def test_as_many_alternatives_as_admitted_are_opened_and_one_more_is_refused():
    assert len(alternatives(choices(16, 16))) == ALTERNATIVES_MAX == 256
    with pytest.raises(LoweringError, match="more than 256 alternatives"):
        alternatives(choices(257))
    with pytest.raises(LoweringError, match="more than 256 alternatives"):
        alternatives(choices(2, 129))


def test_too_many_alternatives_are_refused_before_they_are_built():
    with pytest.raises(LoweringError, match="alternatives"):
        alternatives(choices(*[200] * 40))
