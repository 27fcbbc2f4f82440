"""Every name for every subject: it is read, or the refusal says what to write, and that works.

The shipped vocabulary's names are tried for all its subjects, thousands of pairs; what may be read where is told by a
walk along the links that knows nothing of the checker.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from lexorder.engine.errors import Problem, RuleFileError
from lexorder.engine.names import ALWAYS
from lexorder.engine.terms import Aggregate, Field, Term
from lexorder.engine.typecheck import term_of
from lexorder.engine.units import Kind
from tests.worlds import VOCABULARY

SUBJECTS = VOCABULARY.subjects()
PLAIN = tuple(n for n in VOCABULARY.names.values() if n.means is None)


def tried(text: str, subject: str) -> Term | Problem:
    """What an expression is for a subject, or the refusal."""
    try:
        return term_of(text, VOCABULARY, subject)
    except RuleFileError as error:
        (found,) = error.problems
        return found


@cache
def leads_to(subject: str) -> frozenset[str]:
    """The entities whose names a subject can read: along links, one after the other, and market data by the symbol."""
    found, pending = {subject}, [subject]
    while pending:
        entity = VOCABULARY.entities[pending.pop()]
        linked = set(entity.links)
        if {"instrument", "market"} & {entity.name, *linked}:
            linked |= {"market", "instrument"}
        pending += linked - found
        found |= linked
    always = {e.name for e in VOCABULARY.entities.values() if e.single}
    return frozenset(found | always | set(ALWAYS))


def test_the_walk_knows_the_links_everybody_knows():
    assert {"instrument", "market", "trader", "account", "clock", "firm"} <= leads_to("order")
    assert "order" not in leads_to("instrument")
    assert "signal" not in leads_to("order")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_name_is_read_exactly_where_something_leads_to_it(subject):
    for declared in PLAIN:
        found = tried(declared.name, subject)
        if declared.entity in leads_to(subject):
            assert isinstance(found, Field), (declared.name, found)
            assert found.name == declared.name
            assert found.unit == declared.unit
        else:
            assert isinstance(found, Problem), declared.name
            assert found.code == "no-subject", found


@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_is_advised_instead_works(subject):
    """`write for_each: X` makes the same words right, and so does the sum where one is advised."""
    for declared in PLAIN:
        found = tried(declared.name, subject)
        if not isinstance(found, Problem):
            continue
        (advised,) = re.findall(r"`for_each: ([a-z_]+)`", found.message)
        assert isinstance(tried(declared.name, advised), Field), declared.name
        if "put it inside `sum`" in found.message and declared.unit.kind is Kind.NUMBER:
            within = tried(f"sum({declared.name})", subject)
            assert isinstance(within, Aggregate), (within, declared)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_an_entity_alone_is_answered_with_one_of_its_names_that_can_be_read(subject):
    for entity in set(VOCABULARY.entities) - {subject}:
        found = tried(f"{entity} == 5", subject)
        if not isinstance(found, Problem) or found.code != "unknown-name":
            continue
        (example,) = re.findall(r"such as `([^`]+)`", found.message) or [None]
        assert example is not None, found.message
        assert VOCABULARY.name(example) is not None
        assert isinstance(tried(example, VOCABULARY.names[example].entity), Term)


@pytest.mark.parametrize("declared", [n for n in VOCABULARY.names.values() if n.means], ids=lambda n: n.name)
def test_a_definition_reads_what_its_own_entity_leads_to_wherever_it_is_used(declared):
    """Put in for another subject, every name in it still starts at the entity the definition was written for."""
    own = tried(declared.name, declared.entity)
    assert isinstance(own, Term), own
    counted = {n.collection for n in own.walk() if isinstance(n, Aggregate)}
    for node in (n for n in own.walk() if isinstance(n, Field)):
        entity = node.name.split(".")[0]
        followed = entity not in {declared.entity, *counted} and not VOCABULARY.everywhere(entity)
        assert not followed or node.via in {declared.entity, *counted}, node.name
    for subject in SUBJECTS:
        found = tried(declared.name, subject)
        if isinstance(found, Problem):
            assert found.code == "no-subject"
            continue
        assert found.unit == own.unit
        names = [n.name for n in found.walk() if isinstance(n, Field)]
        assert names == [n.name for n in own.walk() if isinstance(n, Field)]
        for node in (n for n in found.walk() if isinstance(n, Field) and n.via):
            assert node.name.split(".")[0] in leads_to(node.via) | {node.via}, (subject, node)


@pytest.mark.parametrize(
    ("text", "subject", "code", "nearest"),
    [
        ("order.quantty", "order", "unknown-name", "order.quantity"),
        ("order.instrument.sectr", "order", "unknown-name", "instrument.sector"),
        ("instrument.sector.quantity", "order", "unknown-name", "instrument.sector"),
        ("nav", "account", "unknown-name", "account.nav"),
        ("nav", "order", "unknown-name", "account.nav"),
        ("quantity", "order", "unknown-name", "order.quantity"),
        ("quantity", "fill", "unknown-name", "fill.quantity"),
        ("order.", "order", "syntax", ""),
        ("ordér.quantity", "order", "syntax", ""),
        ("count(positon)", "account", "no-collection", "position"),
        ("sum(account.nav)", "account", "no-collection", ""),
        ("sum(fill.quantity * signal.confidence)", "account", "no-collection", ""),
    ],
)
def test_what_is_not_there_is_refused_with_what_is_near(text, subject, code, nearest):
    found = tried(text, subject)
    assert isinstance(found, Problem)
    assert (found.code, found.nearest or "") == (code, nearest), found
