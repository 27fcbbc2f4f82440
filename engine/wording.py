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
from lexorder.engine.listed import lists_of
from lexorder.engine.message import fill, formatted
from lexorder.engine.names import Vocabulary
from lexorder.engine.readers import Readers
from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import MissingFactError, Projection
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import Field, Literal, Term, Value

_NAMES = re.compile(r"\{([a-z_]+(?:\.[A-Za-z_]+)+|[a-z][a-z0-9_]*)(?::[^{}]*)?\}")
_OBSERVED = re.compile(r"\{observed:(,?)\.(\d)([f%])\}")
_MORE = 7


class Words:
    """What is settled once about the report of a rule: its message's names, its citations, the lists it reads."""

    def __init__(self, rule: Rule, vocabulary: Vocabulary) -> None:
        self.rule = rule
        self.template = rule.message or rule.title
        self.lists = lists_of(rule)
        self.cite = _cite(rule)
        self._constants = {let.name: let.term.value for let in rule.lets if isinstance(let.term, Literal)}
        lets = {let.name: let.term for let in rule.lets if not isinstance(let.term, Literal)}
        names = sorted({name for name in _NAMES.findall(self.template) if "." in name or name in lets})
        named = {name: lets.get(name) or _named(name, vocabulary) for name in names}
        readers, kinds = Readers(vocabulary, {}), ("account", rule.for_each)
        self._named = {n: (term, readers.of(term, kinds)) for n, term in named.items() if term is not None}

    def message(self, report: Report, seen: Projection) -> str:
        """The rule's message with a report's figures; the title where the rule has none."""
        values: dict[str, Value] = dict(report.inputs)
        if self._named:
            values |= self.mentioned(report.subject, seen)
        values |= self._constants
        values[self.rule.for_each] = report.subject
        given = (("observed", report.observed), ("margin", report.margin))
        values |= {name: figure for name, figure in given if figure is not None}
        if report.limit is not None:
            values.setdefault("limit", report.limit)
        if report.largest is not None:
            values["max_order"] = Fraction(report.largest)
        return fill(telling(self.template, report.observed, report.limit), values)

    def mentioned(self, subject: str, seen: Projection) -> Mapping[str, Value]:
        """The vocabulary names and the worked-out `let` values the message mentions, for the subject of that key."""
        whom = next((s for s in subjects_of(self.rule, seen) if s.key == subject), None)
        at = Point(seen, (account_subject(seen), *([whom] if whom else [])), {}, {})
        found: dict[str, Value] = {}
        for name, (term, read) in self._named.items():
            try:
                found[name] = read(at) if whom else value(term, at)
            except (MissingFactError, LookupError):
                continue
        return found


def _cite(rule: Rule) -> str:
    dated = [let.cite for let in rule.lets if let.cite]
    return "; ".join(dict.fromkeys([*([rule.cite] if rule.cite else []), *dated]))


def _named(name: str, vocabulary: Vocabulary) -> Term | None:
    declared = vocabulary.name(name)
    return None if declared is None else declared.means or Field(declared.unit, name)


def telling(template: str, observed: Value | None, limit: Value | None) -> str:
    """`template` with as many more decimals for `{observed}` as it takes to tell it from the limit."""
    found = _OBSERVED.search(template)
    if found is None or not isinstance(observed, Fraction) or not isinstance(limit, Fraction) or observed == limit:
        return template
    form = ""
    for places in range(int(found[2]), _MORE + 1):
        form = f"{found[1]}.{places}{found[3]}"
        if formatted(observed, form) != formatted(limit, form):
            break
    return template.replace(found[0], f"{{observed:{form}}}") if form else template
