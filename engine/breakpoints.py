"""The largest compliant quantity of an order, and which rules stop one share more.

In: prepared rules, a projection with one order under test, a cap. Out: for each rule studied the set of quantities it
admits, the largest that all admit, and the rules that refuse the next one. Guaranteed: exact: a quantity is admitted
when `judge` at that quantity neither breaches nor is undecided; found through piecewise functions of the quantity, not
by search, so quantities that are refused below an admitted one (a minimum size) are seen too; the answer is judged once
more as a whole. Refused: where a rule is not
piecewise of degree two in the quantity, quantities up to `TRIED_MAX` are tried one by one; beyond that the rule is
called not analysable and no largest quantity is claimed. Before: `symbolic.py`, `worst.py`. After: `compile.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import product
from typing import Any

from lexorder.engine.along import Along, lifted
from lexorder.engine.decision import Largest
from lexorder.engine.evaluate import Fills, Point
from lexorder.engine.intervals import Intervals, common, complement, joined
from lexorder.engine.judge import Derivations, Move, blocks, moves
from lexorder.engine.piecewise import InexpressibleError, Piecewise, constant, greatest, identity
from lexorder.engine.rule import Severity, TermClass
from lexorder.engine.snapshot import MissingFactError, Projection
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.symbolic import Unknown, condition, number
from lexorder.engine.terms import Aggregate, Compare, Field, Term, depends_on_fills
from lexorder.engine.verdict import Status
from lexorder.engine.weights import Weight
from lexorder.engine.worst import (
    Known,
    Part,
    Prepared,
    greatest_excess,
    judge_subject,
    narrowed,
    nested,
    reach,
    settled,
    sign_of,
)

TRIED_MAX = 256
"""Up to this many quantities are tried one by one where no function is found."""
CORNERS_MAX = 64
"""Up to this many corner states of working orders are followed through the quantity."""
ADMITTED = (Status.PASS, Status.PASSIVE, Status.NOT_APPLICABLE)


View = tuple[Projection, Known]
"""Where a rule is studied: the whole account and nothing known, or the ordered name and the excesses of the account."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What a search works with. `quick` and `view` are asked by rule index, `refusing` by quantity.

    `quick` gives what a rule admits where that is known without a study of its terms.
    `refusing` names (by index) the rules, warnings left out, that breach or are undecided at a quantity.
    """

    rules: Sequence[Prepared]
    derived: Derivations
    quick: Callable[[int], Intervals | None]
    view: Callable[[int], View]
    refusing: Callable[[int], frozenset[int]]


def largest(sought: Sought, first: frozenset[int], cap: int) -> tuple[Largest, Mapping[str, int]]:
    """The largest quantity from 1 to `cap` that every rule admits (0: none), and its own for each rule studied.

    `first` are the rules to study anyway (those with something to report). The largest quantity that the studied rules
    admit is the answer when no other rule refuses it; one that does is studied too. `binding` are rules that refuse
    one share more, none when the cap is admitted. Where a rule is not analysable nothing is claimed: the quantity is
    0, `note` says why, and the mapping leaves that rule out.
    """
    studied: dict[int, Intervals] = {}
    pending = first
    while True:
        unknown = _study(sought, pending - studied.keys(), studied, cap)
        tops = {sought.rules[i].rule.id: found[-1][1] if found else 0 for i, found in studied.items()}
        if unknown:
            return Largest(0, (), f"not analysable: {', '.join(unknown)}"), tops
        counting = (found for i, found in studied.items() if sought.rules[i].rule.severity is not Severity.WARN)
        both: Intervals = reduce(common, counting, joined([(1, cap)]))
        best = both[-1][1] if both else 0
        pending = sought.refusing(best) if best else frozenset()
        if not pending:
            stop = sought.refusing(best + 1) if best < cap else frozenset()
            return Largest(best, tuple(sorted(sought.rules[i].rule.id for i in stop))), tops
        if pending <= studied.keys():
            return Largest(0, (), f"not analysable: {best} shares"), tops


def _study(sought: Sought, indexes: Iterable[int], studied: dict[int, Intervals], cap: int) -> list[str]:
    """Add what each rule admits; returns the rules that are not analysable and do more than warn."""
    unknown = []
    for index in sorted(indexes):
        prepared = sought.rules[index]
        try:
            known = sought.quick(index)
            studied[index] = admitted(prepared, sought.view(index), sought.derived, cap) if known is None else known
        except InexpressibleError:
            if prepared.rule.severity is not Severity.WARN:
                unknown.append(prepared.rule.id)
    return unknown


def admitted(prepared: Prepared, view: View, derived: Derivations, cap: int) -> Intervals:
    """The quantities from 1 to `cap` that one rule admits for all its subjects. Raises InexpressibleError."""
    projection, known = view
    found = joined([(1, cap)])
    account = account_subject(projection)
    for subject in subjects_of(prepared.rule, projection):
        at = Point(projection, (account, subject), {}, derived)
        try:
            found = common(found, _for_subject(prepared, at, cap, known))
        except MissingFactError:
            return ()
        except InexpressibleError:
            if cap > TRIED_MAX or known:
                raise
            found = common(found, _tried(prepared, at, cap))
    return found


def weighed(prepared: Prepared, weights: Sequence[Weight], at: Point, cap: int) -> Intervals | None:
    """The quantities from 1 to `cap` that a rule admits, from its weights as functions of the quantity 0 to `cap`.

    `at` sees the ordered name. None where the weights do not say it.
    """
    found = joined([(1, cap)])
    for part, weight in zip(prepared.parts, weights, strict=True):
        if weight is None or weight is False:
            return None
        if weight is not True:
            over, old, below, under = weight
            if isinstance(below, Along) or isinstance(under, Along):
                return None
            pair = _Weighed(lifted(over, 0, cap), None if old is None else lifted(old, 0, cap), below, under)
            found = common(found, pair.admits(part, at, may_improve=prepared.rule.may_improve))
    return found


@dataclass(frozen=True, slots=True)
class _Weighed:
    """The worst excess as a function of the quantity, times `below`, and without the order, times `under`."""

    over: Piecewise
    old: Piecewise | None
    below: int
    under: int

    def admits(self, part: Part, at: Point, *, may_improve: bool) -> Intervals:
        """The quantities for which a conjunct is not breached; as `_Study.admits`."""
        low, high = self.over.low, self.over.high
        strict = isinstance(part.term, Compare) and part.term.op in ("<", ">")
        held = self.over.at_most(strict=strict)
        if not may_improve or held == ((low, high),):
            return held
        if self.old is None:
            return ((low, high),)
        no_worse = (self.over.scaled(self.under) - self.old.scaled(self.below)).at_most()
        better = common(complement(self.old.at_most(strict=strict), low, high), no_worse)
        if better and part.reads_holdings:
            better = common(better, _Study(at, high, {}).without_flip())
        return joined((*held, *better))


def _tried(prepared: Prepared, at: Point, cap: int) -> Intervals:
    """The quantities that pass when judged one by one."""
    return joined((q, q) for q in range(1, cap + 1) if judge_subject(prepared, with_quantity(at, q)).status in ADMITTED)


def with_quantity(at: Point, quantity: int) -> Point:
    """The same point with another quantity of the order under test."""
    order = {**at.projection.orders[0], "order.quantity": Fraction(quantity)}
    subject = at.stack[-1]
    stack = (at.stack[0], replace(subject, facts=order)) if subject.entity == "order" else at.stack
    return replace(at, projection=replace(at.projection, orders=(order,)), stack=stack)


def _for_subject(prepared: Prepared, at: Point, cap: int, known: Known) -> Intervals:
    if not at.stack[-1].key:
        return ()
    given: Any = at.projection.orders[0]["order.quantity"]
    study = _Study(at, max(cap, int(given)), known)
    applies: Intervals = study.everywhere
    if prepared.guard is not None:
        applies = condition(prepared.guard, at, study.still())
    if not applies:
        return study.everywhere
    parts = (study.admits(place, part, prepared.rule.may_improve) for place, part in enumerate(prepared.parts))
    held = reduce(common, parts, study.everywhere)
    return joined((*held, *complement(applies, 0, study.cap)))


@dataclass(frozen=True, slots=True)
class _Study:
    """One subject's requirement as a function of the order's quantity, 0 to `cap` (the given quantity is within).

    `known` are excesses at the given quantity: then the point sees only the ordered name, whose part of a sum over
    names differs from the whole by a constant.
    """

    at: Point
    cap: int
    known: Known

    @property
    def everywhere(self) -> Intervals:
        return ((0, self.cap),)

    @property
    def order(self) -> Move:
        return next(m for m in moves(self.at.projection) if m.new)

    @property
    def working(self) -> list[Move]:
        return [m for m in moves(self.at.projection) if not m.new]

    # ---- what varies with the quantity -------------------------------------------------------------

    def still(self) -> Unknown:
        """The quantity varies and nothing of the order is filled."""
        return Unknown(0, self.cap, quantities={self.order.key[1]: identity(0, self.cap)})

    def filling(self, fills: Fills, *, named: bool = True) -> Unknown:
        """The order is filled whole, working orders as `fills`; unless `named`, its quantity stays as given."""
        x = identity(0, self.cap)
        order, sign = self.order, sign_of(self.at, self.order)
        now: Any = self.at.projection.positions[order.symbol].get("position.before.quantity", Fraction(0))
        for move in self.working:
            if move.symbol == order.symbol:
                now += sign_of(self.at, move) * fills.get(move.key, Fraction(0))
        held = x.scaled(sign) + constant(now, 0, self.cap)
        quantities = {order.key[1]: x} if named else {}
        return Unknown(0, self.cap, {order.symbol: held}, {order.key: x}, quantities)

    def excess(self, term: Compare, at: Point, fills: Fills, unknown: Unknown) -> Piecewise:
        here = replace(at, fills=fills)
        difference = number(term.left, here, unknown) - number(term.right, here, unknown)
        return difference if term.op in ("<", "<=") else -difference

    # ---- what is admitted --------------------------------------------------------------------------

    def admits(self, place: int, part: Part, may_improve: bool) -> Intervals:
        """The quantities for which a part is not breached."""
        if not part.measured:
            return self.holds(part)
        strict = isinstance(part.term, Compare) and part.term.op in ("<", ">")
        worst = self.placed(part, place, new=True)
        held = worst.at_most(strict=strict)
        if held == self.everywhere or not may_improve:
            return held
        before = self.placed(part, place, new=False)
        old = common(complement(before.at_most(strict=strict), 0, self.cap), (worst - before).at_most())
        if part.reads_holdings:
            old = common(old, self.without_flip())
        return joined((*held, *old))

    def placed(self, part: Part, place: int, *, new: bool) -> Piecewise:
        """The greatest excess of the whole account; from that of the ordered name where it is known at one quantity."""
        pair = self.known.get(place)
        if pair is None:
            return self.worst(part, new=new)
        if _reads_quantity(part.term):
            shape = self.worst(part, new=new)
        elif not new:
            return constant(pair[1], 0, self.cap)
        else:
            shape = self.own_block(part)
        given: Any = self.at.projection.orders[0]["order.quantity"]
        return shape + constant(pair[0 if new else 1] - shape(int(given)), 0, self.cap)

    def own_block(self, part: Part) -> Piecewise:
        """What changes with the quantity where only fills do: the ordered name's own states, up to a constant."""
        assert isinstance(part.term, Compare)
        working = [] if part.kind is TermClass.LINEAR else self.working
        return self.block(part, part.term, self.at, (working, True))

    def holds(self, part: Part) -> Intervals:
        """The quantities for which a condition holds in every state."""
        if not part.depends:
            return condition(part.term, self.at, self.still())
        if self.working or _reads_quantity(part.term):
            raise InexpressibleError("several-numbers", "a condition depends on several fills")
        held = condition(part.term, self.at, self.filling({}, named=False))
        return held[:1] if held and held[0][0] == 0 else ()

    def without_flip(self) -> Intervals:
        """The quantities that cannot take the position through zero."""
        order, sign = self.order, sign_of(self.at, self.order)
        now: Any = self.at.projection.positions[order.symbol].get("position.before.quantity", Fraction(0))
        low, high = reach(self.at, order.symbol, self.working)
        room = (now + low if now > 0 else None) if sign < 0 else (-now - high if now < 0 else None)
        if (now > 0 and now + low < 0) or (now < 0 and now + high > 0):
            return ()
        return self.everywhere if room is None else joined([(0, min(self.cap, int(room)))])

    # ---- the worst state as a function of the quantity ---------------------------------------------

    def worst(self, part: Part, *, new: bool) -> Piecewise:
        """The greatest excess over all states, with the order filling (`new`) or not."""
        assert isinstance(part.term, Compare)
        if not part.depends:
            return self.excess(part.term, self.at, {}, self.still())
        linear = part.kind is TermClass.LINEAR
        if not linear and not part.separable:
            return self.block(part, part.term, self.at, (self.working, new))
        narrow = not nested(part.term) and not any(
            isinstance(n, Aggregate) and not depends_on_fills(n) and _reads_quantity(n) for n in part.term.walk()
        )
        term = settled(part.term, self.at) if narrow else part.term
        total = self.excess(part.term, self.at, {}, self.still())
        for block, filling in self.blocks(part, new):
            symbol = block[0].symbol if block else self.order.symbol
            alone = narrowed(self.at, symbol) if narrow else self.at
            best = self.block(part, term, alone, (block, filling))
            total += best - self.excess(term, alone, {}, self.still())
        return total

    def blocks(self, part: Part, new: bool) -> list[tuple[list[Move], bool]]:
        """Working orders that are judged together, and whether the order under test is judged with them."""
        if part.kind is TermClass.LINEAR:
            alone: list[tuple[list[Move], bool]] = [([m], False) for m in self.working]
            return [*alone, ([], True)] if new else alone
        found = blocks(part.term, self.at.projection, moves(self.at.projection))
        own = next(block for block in found if any(m.new for m in block))
        others = [(block, False) for block in found if block is not own]
        return [*others, ([m for m in own if not m.new], new)]

    def block(self, part: Part, term: Compare, at: Point, movers: tuple[list[Move], bool]) -> Piecewise:
        """The greatest excess over the states of some working orders, with the order under test or without."""
        working, filling = movers
        if not part.at_corners:
            return self.mixed(part, term, at, movers)
        found = []
        for fills in self.corners(part, working):
            found.append(self.excess(term, at, fills, self.still()))
            if filling:
                found.append(self.excess(term, at, fills, self.filling(fills)))
        return reduce(greatest, found)

    def corners(self, part: Part, working: list[Move]) -> list[Fills]:
        """Corner states that include a worst one."""
        if not part.reads_filled and len({m.symbol for m in working}) == 1:
            falls = {m.key: m.quantity if sign_of(self.at, m) < 0 else Fraction(0) for m in working}
            return [falls, {m.key: m.quantity - falls[m.key] for m in working}]
        if 2 ** len(working) > CORNERS_MAX:
            raise InexpressibleError("too-many-states", f"more than {CORNERS_MAX} corner states")
        choices = product(*((Fraction(0), m.quantity) for m in working))
        return [{m.key: f for m, f in zip(working, fills, strict=True)} for fills in choices]

    def mixed(self, part: Part, term: Compare, at: Point, movers: tuple[list[Move], bool]) -> Piecewise:
        """The same where the worst state may lie between the corners: a running maximum over the fills."""
        working, filling = movers
        if _reads_quantity(term):
            raise InexpressibleError("several-numbers", "fills and the ordered quantity enter together")
        at_rest, _ = greatest_excess(part, term, at, working)
        rest = constant(at_rest, 0, self.cap)
        if not filling:
            return rest
        if working and (part.reads_filled or any(m.symbol != self.order.symbol for m in working)):
            raise InexpressibleError("several-numbers", "several fills enter one by one")
        # with only the holding read, the order goes on from the working orders' end of the interval
        sign = sign_of(self.at, self.order)
        ahead = {m.key: m.quantity for m in working if sign_of(self.at, m) == sign}
        path = self.excess(term, at, {}, self.filling(ahead, named=False))
        return greatest(rest, path.running_greatest())


def _reads_quantity(term: Term) -> bool:
    return any(isinstance(n, Field) and n.name == "order.quantity" for n in term.walk())
