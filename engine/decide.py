"""The decision: the one function with the control flow.

In: orders of one account, the facts of its desk, and two evaluators. Out: a `Decision`. Guaranteed: both evaluators run
on every decision and must agree on every verdict and on how many there are; whatever goes wrong, the answer is no with
its own reason code; what nobody said to be covered by rules is undecided; all findings are reported whatever the
outcome. Precedence: undecided, hard reject, soft (needs override), approve with warnings, approve. Refused: nothing
raises for a user's input here. Before: `compile.py`, `expert/`. After: `desk.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Protocol

from lexorder.engine.decision import Decision, Largest, Outcome, Report
from lexorder.engine.listed import entries_behind
from lexorder.engine.names import Vocabulary
from lexorder.engine.ports import Exact, ExactAnswer, ExpertAnswer, Second
from lexorder.engine.reasons import PRECEDENCE
from lexorder.engine.rule import Facts, Rule, Severity
from lexorder.engine.snapshot import Projection
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.wording import Words

ENGINE = "lexorder"
"""The rule name of findings the engine makes by itself."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What a desk decides by: the rules of an account (by id), the time, and the hashes that name the inputs.

    `withheld` are the rules among them that only compliance may know of; `words` may be shared by all of these rules.
    `covered` says that they cover the account or need not; unless somebody says so, nothing is approved.
    """

    vocabulary: Vocabulary
    rules: Mapping[str, Rule]
    time: datetime
    rulebook_hash: str
    snapshot_hash: str
    withheld: frozenset[str] = frozenset()
    covered: bool = False
    words: dict[str, Words] = field(default_factory=dict, compare=False, repr=False)

    def words_of(self, rule: str) -> Words:
        """What is settled about the reports of a rule, kept in `words` once asked for."""
        found = self.words.get(rule)
        if found is None:
            found = self.words[rule] = Words(self.rules[rule], self.vocabulary)
        return found


@dataclass(frozen=True, slots=True)
class Evaluators:
    """The two that must agree."""

    exact: Exact
    second: Second


class State(Protocol):
    """The facts a decision is about, as they are now."""

    @property
    def accounts(self) -> Mapping[str, Facts]:
        """Facts of accounts by id."""
        ...

    @property
    def instruments(self) -> Mapping[str, Facts]:
        """Facts of instruments by symbol."""
        ...

    @property
    def traders(self) -> Mapping[str, Facts]:
        """Facts of traders by id."""
        ...

    def is_working(self, order: str) -> bool:
        """Whether an order of this id is working."""
        ...

    def projection(self, account: str, orders: tuple[Facts, ...]) -> Projection:
        """The state seen from an account with orders under test."""
        ...


def decide(orders: tuple[Facts, ...], account: str, known: State, in_force: InForce, by: Evaluators) -> Decision:
    """Decide `orders` (all of `account`) together, against every fill state they can reach."""
    case = _Case(orders, account, in_force)
    refused = admission(orders, account, known)
    if refused:
        return _decision(Outcome.REJECT, case, refused)
    if not in_force.covered and not all(o.get("order.action") == "cancel" for o in orders):  # taking away is allowed
        return _decision(Outcome.UNDECIDED, case, (UNCOVERED,))
    try:
        first = by.exact.check(account, orders)
        answer = by.second.check(account, orders, first)
    except Exception as error:  # whatever an evaluator dies of, the order must not pass
        return faulted(orders, account, in_force, error)
    dispute = disagreement(first, answer)
    if not first.keys and not dispute:
        return _decision(Outcome.APPROVE, case, (), answer)
    seen = known.projection(account, orders)
    findings = first.findings()
    outcome = (
        Outcome.UNDECIDED if dispute else _outcome({(f.status, in_force.rules[f.rule].severity) for f in findings})
    )
    if outcome in (Outcome.APPROVE, Outcome.UNDECIDED) or len(orders) != 1:
        reports = (_report(f, in_force.words_of(f.rule), seen) for f in findings)
        return _decision(outcome, case, (*dispute, *reports), answer)
    largest, by_rule = _largest(by.exact, account, orders[0])
    told = tuple(_report(f, in_force.words_of(f.rule), seen, by_rule.get(f.rule)) for f in findings)
    return _decision(outcome, case, told, answer, largest)


def faulted(orders: tuple[Facts, ...], account: str, in_force: InForce, error: Exception) -> Decision:
    """The undecided answer to a failure of the engine itself; names its kind and nothing of its text."""
    fault = _own("ENGINE_FAULT", f"The engine failed: {type(error).__name__}. Report this with the order and snapshot.")
    return _decision(Outcome.UNDECIDED, _Case(orders, account, in_force), (fault,))


def admission(orders: Sequence[Facts], account: str, known: State) -> tuple[Report, ...]:
    """Why orders cannot be judged at all: unknown account, instrument or trader, or an identifier used twice."""
    if len(orders) == 1 and _admitted(orders[0], account, known):
        return ()
    found = []
    if account not in known.accounts:
        found.append(_own("UNKNOWN_ACCOUNT", "The account is not known here."))
    for order in orders:
        if order["order.symbol"] not in known.instruments:
            found.append(_own("UNKNOWN_SYMBOL", f"The instrument {order['order.symbol']} is not known here."))
        if not priced(order, known):
            found.append(_own("PRICE_BAND", f"A price of {order['order.symbol']} must be above zero."))
        trader = order.get("order.trader")
        if trader is not None and trader not in known.traders:
            found.append(_own("UNKNOWN_TRADER", "The trader is not known here."))
    ids = Counter([str(o["order.id"]) for o in orders])
    for identifier, times in ids.items():
        if times > 1 or known.is_working(identifier):
            found.append(_own("DUPLICATE_ORDER", f"The order identifier {identifier} is used twice."))
    return tuple(found)


def _admitted(order: Facts, account: str, known: State) -> bool:
    """Whether there is nothing to refuse in one order by itself; `admission` says what, where there is."""
    trader = order.get("order.trader")
    return (
        account in known.accounts
        and order["order.symbol"] in known.instruments
        and (trader is None or trader in known.traders)
        and not known.is_working(str(order["order.id"]))
        and priced(order, known)
    )


def priced(order: Facts, known: State) -> bool:
    """Whether limit and stop price, where given, are above zero, or the instrument may trade at zero and below.

    Checked here and not only by a rule: a negative amount would slip under every value limit of a book without one.
    """
    for price in (order.get("order.price"), order.get("order.stop_price")):
        if isinstance(price, Fraction) and price.numerator <= 0:
            facts = known.instruments.get(str(order["order.symbol"]), {})
            return bool(facts.get("instrument.negative_prices"))
    return True


def disagreement(first: ExactAnswer, answer: ExpertAnswer) -> tuple[Report, ...]:
    """A report when the evaluators differ in any verdict or in how many they gave."""
    if first.count != answer.count:
        why = f"One evaluator gave {first.count} verdicts, the other {answer.count}."
        return (_own("VERDICT_MISSING", why),)
    if first.keys != answer.keys:
        rules = sorted({rule for rule, _, _ in first.keys ^ answer.keys})
        return (_own("EVALUATORS_DISAGREE", f"The two evaluators differ on: {', '.join(rules)}."),)
    return ()


def outcome_of(reports: Iterable[Report]) -> Outcome:
    """The outcome by precedence; warnings and passive breaches do not stop an order.

    An undecided rule counts as the worst it can say. For a rule that only warns that is a warning: it is reported and
    stops nothing (docs/decisions/0010-an-undecided-warning.md).
    """
    return _outcome({(r.status, r.severity) for r in reports})


def _outcome(kinds: Set[tuple[Status, Severity]]) -> Outcome:
    if any(status is Status.UNDECIDED and severity is not Severity.WARN for status, severity in kinds):
        return Outcome.UNDECIDED
    if (Status.BREACH, Severity.HARD) in kinds:
        return Outcome.REJECT
    if (Status.BREACH, Severity.SOFT) in kinds:
        return Outcome.NEEDS_OVERRIDE
    return Outcome.APPROVE


def _largest(exact: Exact, account: str, order: Facts) -> tuple[Largest | None, Mapping[str, int]]:
    quantity = order["order.quantity"]
    try:
        return exact.largest(account, order, int(quantity))  # type: ignore[arg-type]
    except Exception as error:  # the verdict stands; only the hint is lost
        return Largest(0, (), f"not worked out: {type(error).__name__}"), {}


def _own(reason: str, message: str) -> Report:
    status = Status.UNDECIDED if PRECEDENCE[reason] <= PRECEDENCE["MISSING_FACT"] else Status.BREACH
    return Report(ENGINE, "The engine's own checks", Severity.HARD, status, "", reason, message)


def _report(finding: Finding, words: Words, seen: Projection, largest: int | None = None) -> Report:
    """What is told of a finding; `largest` is the largest quantity its rule admits."""
    rule = words.rule
    missing = finding.status is Status.UNDECIDED or (finding.why and finding.observed is None)
    report = Report(
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        status=finding.status,
        subject=finding.subject,
        reason="MISSING_FACT" if missing else rule.reason,
        message=f"{rule.title}: {finding.why}." if missing else "",
        observed=finding.observed,
        limit=finding.limit,
        margin=finding.margin,
        cite=words.cite,
        inputs=tuple(finding.inputs.items()),
        override=rule.override,
        largest=largest,
        audience=rule.audience,
        listed=entries_behind(rule, finding.subject, seen, words.lists),
    )
    return report if missing else replace(report, message=words.message(report, seen))


UNCOVERED = _own("NO_RULE", "No rule that is in force today covers this account before a trade: risk control adds one.")
"""What is said of orders of an account that no rule covers."""

_RANK = {Status.UNDECIDED: 0, Status.BREACH: 1, Status.PASSIVE: 2}
_WEIGHT = {Severity.HARD: 0, Severity.SOFT: 1, Severity.WARN: 2}


def _rank(report: Report) -> int:
    """Most decisive first; an undecided rule that only warns decides nothing and stands with the warnings."""
    warns = report.severity is Severity.WARN and report.status is Status.UNDECIDED
    return _RANK[Status.BREACH] if warns else _RANK.get(report.status, 3)


@dataclass(frozen=True, slots=True)
class _Case:
    """What a decision is about."""

    orders: tuple[Facts, ...]
    account: str
    in_force: InForce


def _order_of(report: Report) -> tuple[int, int, int, str]:
    return _rank(report), _WEIGHT[report.severity], PRECEDENCE[report.reason], report.rule


def _decision(
    outcome: Outcome,
    case: _Case,
    reports: Sequence[Report] = (),
    answer: ExpertAnswer | None = None,
    largest: Largest | None = None,
) -> Decision:
    ranked = sorted(reports, key=_order_of) if reports else ()
    return Decision(
        outcome=outcome,
        account=case.account,
        orders=tuple(str(o["order.id"]) for o in case.orders),
        time=case.in_force.time,
        reports=tuple(ranked),
        derived=answer.derived if answer else (),
        fired=answer.fired if answer else (),
        largest=largest,
        verdicts=answer.count if answer else 0,
        rulebook_hash=case.in_force.rulebook_hash,
        snapshot_hash=case.in_force.snapshot_hash,
        withheld=case.in_force.withheld,
    )
