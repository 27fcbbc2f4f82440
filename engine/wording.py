"""The words of a report: a rule's message with the figures of one finding.

In: a rule, its report, and the projection it was judged on. Out: text for a trader. Guaranteed: every vocabulary name a
message mentions is looked up for the finding's subject, names defined by `means` included; what is not known shows as
`?`; where rounding would make a breached limit and the observed figure look alike, decimals are added.
Refused: nothing: a message must never stop a decision. Before: `message.py`, `evaluate.py`. After: `decide.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from lexorder.engine.decision import Report
from lexorder.engine.evaluate import Point, value
from lexorder.engine.message import fill, formatted
from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import MissingFactError, Projection
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import Field, Literal, Term, Value

_NAMES = re.compile(r"\{([a-z_]+(?:\.[A-Za-z_]+)+|[a-z][a-z0-9_]*)(?::[^{}]*)?\}")
_OBSERVED = re.compile(r"\{observed:(,?)\.(\d)([f%])\}")
_MORE = 7


def message_of(report: Report, rule: Rule, seen: Projection) -> str:
    """The rule's message with this report's figures; the title where the rule has none."""
    template = rule.message or rule.title
    values: dict[str, Value] = dict(report.inputs)
    values |= mentioned(template, rule, report.subject, seen)
    values |= {let.name: let.term.value for let in rule.lets if isinstance(let.term, Literal)}
    values[rule.for_each] = report.subject
    given = (("observed", report.observed), ("margin", report.margin))
    values |= {name: figure for name, figure in given if figure is not None}
    if report.limit is not None:
        values.setdefault("limit", report.limit)
    if report.largest is not None:
        values["max_order"] = Fraction(report.largest)
    return fill(telling(template, report.observed, report.limit), values)


def mentioned(template: str, rule: Rule, subject: str, seen: Projection) -> Mapping[str, Value]:
    """The vocabulary names and the worked-out `let` values a template mentions, for the subject of that key."""
    lets = {let.name: let.term for let in rule.lets if not isinstance(let.term, Literal)}
    names = {name for name in _NAMES.findall(template) if "." in name or name in lets}
    if not names:
        return {}
    whom = next((s for s in subjects_of(rule, seen) if s.key == subject), None)
    stack = (account_subject(seen), *([whom] if whom else []))
    at = Point(seen, stack, {}, {})
    terms = {name: lets.get(name) or _named(name, seen) for name in sorted(names)}
    return {name: found for name, term in terms.items() if term and (found := _value(term, at)) is not None}


def _named(name: str, seen: Projection) -> Term | None:
    declared = seen.vocabulary.name(name)
    return None if declared is None else declared.means or Field(declared.unit, name)


def _value(term: Term, at: Point) -> Value | None:
    try:
        return value(term, at)
    except (MissingFactError, LookupError):
        return None


def telling(template: str, observed: Value | None, limit: Value | None) -> str:
    """`template` with as many more decimals for `{observed}` as it takes to tell it from the limit."""
    found = _OBSERVED.search(template)
    if found is None or not isinstance(observed, Fraction) or not isinstance(limit, Fraction) or observed == limit:
        return template
    forms = [f"{found[1]}.{places}{found[3]}" for places in range(int(found[2]), _MORE + 1)]
    tells = [form for form in forms if formatted(observed, form) != formatted(limit, form)]
    return template.replace(found[0], f"{{observed:{(tells or forms[-1:])[0]}}}")
