"""The closed list of reason codes, in order of precedence, each with its FIX OrdRejReason.

In: a code a rule names or the engine gives. Out: `Reason`. Guaranteed: codes are stable and documented (a test compares
this list with the manual); when several apply, the earlier one leads, so one order has one leading reason.
Refused: a code outside the list is an error in the rule file. Before: nothing. After: `rulebook.py`, `decide.py`.
FIX values: tag 103 of FIX 5.0 SP2, https://www.onixs.biz/fix-dictionary/5.0.sp2/tagnum_103.html
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code; `fix` is the value of tag 103."""

    code: str
    fix: int
    meaning: str


REASONS: tuple[Reason, ...] = (
    Reason("EVALUATORS_DISAGREE", 99, "The two evaluators gave different verdicts"),
    Reason("ENGINE_FAULT", 99, "An evaluator failed or ran out of time"),
    Reason("VERDICT_MISSING", 99, "A rule gave no verdict"),
    Reason("NO_RULE", 99, "No rule that is in force covers the account"),
    Reason("MISSING_FACT", 99, "A fact that a rule needs is missing, stale or cannot be bounded"),
    Reason("UNKNOWN_ACCOUNT", 15, "The account is not in the snapshot"),
    Reason("UNKNOWN_SYMBOL", 1, "The instrument is not in the snapshot"),
    Reason("UNKNOWN_TRADER", 10, "The trader is not in the snapshot"),
    Reason("DUPLICATE_ORDER", 6, "The same order identifier twice"),
    Reason("INCORRECT_QUANTITY", 13, "The quantity is not a whole number of lots"),
    Reason("TRADING_HALTED", 2, "Trading in the instrument is halted"),
    Reason("SESSION_CLOSED", 2, "Outside the permitted trading hours"),
    Reason("RESTRICTED", 0, "The instrument is on a list that forbids the trade"),
    Reason("REFERRED", 99, "The order needs a word with compliance; the trader is told no more"),
    Reason("NOT_PERMITTED", 0, "The person, role or account may not place this order"),
    Reason("SHORT_SALE", 0, "A short sale condition is not met"),
    Reason("DAY_TRADING", 0, "A day trading condition is not met"),
    Reason("PRICE_BAND", 16, "The price is outside the permitted band"),
    Reason("ORDER_SIZE", 3, "A single order limit is exceeded"),
    Reason("PARTICIPATION", 3, "Too large a share of the instrument's volume"),
    Reason("CONCENTRATION", 3, "A concentration limit is exceeded"),
    Reason("LEVERAGE", 3, "A leverage limit is exceeded"),
    Reason("CASH", 3, "Too little cash"),
    Reason("MARGIN", 3, "A margin condition is not met"),
    Reason("LOSS_LIMIT", 3, "A loss or drawdown limit is reached"),
    Reason("UNSUPPORTED_ORDER", 11, "The order's characteristics are not supported"),
    Reason("LIMIT_EXCEEDED", 3, "A limit is exceeded"),
    Reason("RULE_BREACHED", 99, "A rule's condition is not met"),
)
"""All reasons, most decisive first."""

BY_CODE = {reason.code: reason for reason in REASONS}
PRECEDENCE = {reason.code: place for place, reason in enumerate(REASONS)}
