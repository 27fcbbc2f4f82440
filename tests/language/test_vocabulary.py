"""The vocabulary file: what it may say, what is refused, and how names are resolved."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from lexorder.engine.desk import shipped_vocabulary
from lexorder.engine.errors import Problem, RuleFileError
from lexorder.engine.names import Vocabulary
from lexorder.engine.render import render
from lexorder.engine.terms import Field
from lexorder.engine.units import FX, SET, SHARES, UNITS
from lexorder.engine.vocabulary import vocabulary_of

ENTITIES = """
entities:
  order: {key: id, collection: true, links: {instrument: symbol, account: account}}
  position: {key: symbol, collection: true, links: {instrument: symbol}}
  instrument: {key: symbol}
  market: {key: symbol}
  account: {key: id}
  issuer: {key: id, groups: instrument.issuer}
  firm: {single: true}
  lists: {single: true, open: true}
  fx: {single: true, open: true}
names:
  order.quantity: {type: shares, min: 1, max: 10_000, meaning: Shares ordered, example: 100}
  instrument.mark: {type: price, min: 0.01, meaning: Mark}
  instrument.fx: {type: fx_rate, min: 0.01, meaning: Rate}
  instrument.issuer: {type: text, meaning: Issuer}
  account.nav: {type: money, min: 1, meaning: Net assets}
  market.return: {type: ratio, meaning: Return}
  lists.restricted: {type: set, meaning: Restricted}
"""


def with_name(line: str) -> str:
    return f"{ENTITIES}  {line}\n"


def refused(text: str) -> list[Problem]:
    with pytest.raises(RuleFileError) as caught:
        vocabulary_of(text)
    return list(caught.value.problems)


@pytest.fixture(scope="module")
def small() -> Vocabulary:
    return vocabulary_of(ENTITIES)


def test_a_name(small):
    name = small.names["order.quantity"]
    assert (name.entity, name.type, name.unit, name.meaning) == ("order", "shares", SHARES, "Shares ordered")
    assert (name.minimum, name.maximum, name.example, name.default) == (1, 10_000, 100, None)
    assert (name.scale, name.positive, name.given, name.derived) == (0, True, True, False)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("order.x: {type: money, meaning: X}", "scale", 4),
        ("order.x: {type: ratio, meaning: X}", "scale", 6),
        ("order.x: {type: fx_rate, meaning: X}", "scale", 8),
        ("order.x: {type: duration, meaning: X}", "scale", 3),
        ("order.x: {type: text, meaning: X}", "scale", 0),
        ("order.x: {type: shares, scale: 6, meaning: X}", "scale", 6),
        ("order.x: {type: ratio, default: 5%, meaning: X}", "default", Fraction(1, 20)),
        ("order.x: {type: bool, default: 'false', meaning: X}", "default", False),
        ("order.x: {type: date, example: 2026-06-04, meaning: X}", "example", date(2026, 6, 4)),
        ("order.x: {type: set, example: [A, B], meaning: X}", "example", frozenset({"A", "B"})),
        ("order.x: {type: set, example: [], meaning: X}", "example", frozenset()),
        ("order.x: {type: enum, values: [a, b], default: b, meaning: X}", "default", "b"),
        ("order.x: {type: duration, min: 0 s, max: 30 days, meaning: X}", "maximum", Fraction(2_592_000)),
        ("order.x: {type: price, max_age: 15 min, meaning: X}", "max_age", Fraction(900)),
        ("order.x: {type: price, as_of: order.quantity, meaning: X}", "as_of", "order.quantity"),
        ("order.x: {type: ratio, derived: true, meaning: X}", "derived", True),
        ("order.x: {type: ratio, fix: 'OrderQty(38)', meaning: X}", "fix", "OrderQty(38)"),
        ("order.x: {type: ratio, supplied_by: oms, meaning: X}", "supplied_by", "oms"),
        ("order.x: {type: ratio, supplied_by: engine, meaning: X}", "given", False),
        ("order.x: {type: ratio, derived: true, meaning: X}", "given", False),
        ("order.x: {type: ratio, min: 0, meaning: X}", "positive", False),
        ("order.x: {type: ratio, min: 0.000001, meaning: X}", "positive", True),
    ],
)
def test_keys_of_a_name(line, field, value):
    assert getattr(vocabulary_of(with_name(line)).names["order.x"], field) == value


@pytest.mark.parametrize("kind", [k for k in UNITS if k != "set"])
def test_every_type_is_admitted(kind):
    assert vocabulary_of(with_name(f"order.x: {{type: {kind}, meaning: X}}")).names["order.x"].unit == UNITS[kind]


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("order.x: {type: mony, meaning: X}", "bad-type", "`mony`"),
        ("order.x: {meaning: X}", "missing-key", "`type`"),
        ("order.x: {type: money}", "missing-key", "`meaning`"),
        ("order.x: {type: enum, meaning: X}", "missing-key", "`values`"),
        ("order.x: {type: enum, values: [], meaning: X}", "bad-type", "values"),
        ("order.x: {type: enum, values: [a, a], meaning: X}", "bad-type", "once"),
        ("order.x: {type: money, meening: X, meaning: X}", "unknown-key", "`meening`"),
        ("order: {type: money, meaning: X}", "bad-identifier", "`order`"),
        ("order.a-b: {type: money, meaning: X}", "bad-identifier", "a-b"),
        ("order.and: {type: money, meaning: X}", "bad-identifier", "order.and"),
        ("ordr.x: {type: money, meaning: X}", "unknown-name", "`ordr`"),
        ("order.x: {type: money, min: 5, max: 3, meaning: X}", "bad-bounds", "`min` is above"),
        ("order.x: {type: money, min: low, meaning: X}", "bad-bounds", "`low`"),
        ("order.x: {type: text, min: 5, meaning: X}", "bad-bounds", "`min`"),
        ("order.x: {type: money, min: 5, default: 3, meaning: X}", "bad-bounds", "`default`"),
        ("order.x: {type: money, max: 5, example: 6, meaning: X}", "bad-bounds", "`example`"),
        ("order.x: {type: money, scale: many, meaning: X}", "bad-bounds", "`scale`"),
        ("order.x: {type: money, scale: 19, meaning: X}", "bad-bounds", "`scale`"),
        ("order.x: {type: money, default: much, meaning: X}", "bad-value", "`much`"),
        ("order.x: {type: enum, values: [a, b], default: c, meaning: X}", "bad-value", "`c`"),
        ("order.x: {type: money, default: [1], meaning: X}", "wrong-shape", "money"),
        ("order.x: {type: set, default: A, meaning: X}", "wrong-shape", "list"),
        ("order.x: {type: bool, derived: yes, meaning: X}", "bad-choice", "`derived`"),
        ("order.x: {type: price, max_age: 15, meaning: X}", "bad-value", "`15 min`"),
        ("order.x: {type: price, max_age: 0 s, meaning: X}", "bad-value", "`max_age`"),
        ("order.x: {type: price, as_of: order.time, meaning: X}", "unknown-name", "`order.time`"),
        ("order.x: {type: money, means: order.quantity, meaning: X}", "unit-mismatch", "shares"),
        ("order.x: {type: money, means: order.quantity *, meaning: X}", "syntax", "missing after"),
        ("order.x: {type: money, means: order.nothing, meaning: X}", "unknown-name", "order.nothing"),
        ("order.x: {type: money, means: position.y, meaning: X}", "unknown-name", "position.y"),
        ("order.x: {type: shares, means: order.x + 1, meaning: X}", "definition-cycle", "order.x → order.x"),
    ],
)
def test_refused(line, code, part):
    found = refused(with_name(line))
    assert found[0].code == code, found[0].message
    assert part in found[0].message


def test_circles_of_definitions_are_named():
    text = with_name(
        "order.a: {type: shares, means: order.b + 1, meaning: A}\n"
        "  order.b: {type: shares, means: order.c + 1, meaning: B}\n"
        "  order.c: {type: shares, means: order.a + 1, meaning: C}"
    )
    assert any("order.a → order.b → order.c → order.a" in p.message for p in refused(text))


def test_definitions_may_use_later_ones():
    words = vocabulary_of(
        with_name(
            "order.a: {type: money, means: order.b * 2, meaning: A}\n"
            "  order.b: {type: money, means: order.quantity * instrument.mark * instrument.fx, meaning: B}"
        )
    )
    means = words.names["order.a"].means
    assert means is not None
    assert render(means) == "order.quantity * order.instrument.mark * order.instrument.fx * 2"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("entities:", "entitys:", "unknown-key"),
        ("firm: {single: true}", "firm: {singel: true}", "unknown-key"),
        ("firm: {single: true}", "2firm: {single: true}", "bad-identifier"),
        ("firm: {single: true}", "and: {single: true}", "bad-identifier"),
        ("firm: {single: true}", "firm: true", "wrong-shape"),
        ("links: {instrument: symbol}", "links: {instrumnt: symbol}", "unknown-name"),
        ("links: {instrument: symbol}", "links: [instrument]", "wrong-shape"),
    ],
)
def test_entities_that_are_refused(old, new, code):
    assert code in {p.code for p in refused(ENTITIES.replace(old, new))}


@pytest.mark.parametrize("text", ["", "- a", "entities: {}", "names: {}", "text"])
def test_no_vocabulary(text):
    assert refused(text)[0].code in {"wrong-shape", "missing-key"}


def test_all_findings_at_once():
    text = with_name(
        "order.x: {type: mony, meaning: X}\n  order.y: {type: money}\n  order.z: {type: money, min: x, meaning: Z}"
    )
    assert [p.code for p in refused(text)] == ["bad-type", "missing-key", "bad-bounds"]


# ---- resolution ----------------------------------------------------------------------------------


def test_what_can_be_reached(small):
    assert small.reachable("order") == {"order", "instrument", "account", "market"}
    assert small.reachable("instrument") == {"instrument", "market"}
    assert small.reachable("market") == {"market", "instrument"}
    assert small.reachable("issuer") == {"issuer"}
    assert small.everywhere("firm")
    assert small.everywhere("account")
    assert not small.everywhere("order")


def test_subjects_and_collections(small):
    assert small.collections() == ("order", "position")
    assert small.subjects() == ("order", "position", "instrument", "market", "account", "issuer")
    assert [n.name for n in small.of_entity("instrument")] == ["instrument.mark", "instrument.fx", "instrument.issuer"]


@pytest.mark.parametrize(
    ("path", "name", "via"),
    [
        ("order.quantity", "order.quantity", ""),
        ("order.instrument.mark", "instrument.mark", "order"),
        ("order.instrument.market.return", "market.return", "order"),
        ("order.market.return", "market.return", "order"),
        ("instrument.market.return", "market.return", "instrument"),
        ("order.account.nav", "account.nav", "order"),
        ("lists.own", "lists.own", ""),
        ("fx.EUR", "fx.EUR", ""),
    ],
)
def test_resolve(path, name, via, small):
    found = small.resolve(path)
    assert found is not None
    assert (found.declared.name, found.via) == (name, via)


@pytest.mark.parametrize(
    "path",
    [
        "order",
        "quantity",
        "order.nothing",
        "issuer.instrument.mark",
        "order.order.quantity",
        "account.order.quantity",
        "lists.restrictd",
        "lists.a.b",
        "fx.USB",
        "fx.usd",
        "nothing.nav",
    ],
)
def test_no_name(path, small):
    assert small.resolve(path) is None


def test_open_names_have_their_siblings_type(small):
    assert small.names["lists.own"].unit == SET
    assert small.names["fx.JPY"].unit == FX
    assert small.names["fx.JPY"].positive
    assert "lists.own" not in list(small.names), "only declared names are listed"
    with pytest.raises(KeyError):
        small.names["order.nothing"]


@pytest.mark.parametrize(
    ("word", "subject", "near"),
    [
        ("nav", "order", "account.nav"),
        ("mark", "order", "instrument.mark"),
        ("quantity", "position", "order.quantity"),
        ("order.quantiti", "", "order.quantity"),
        ("order.trader.nav", "", ""),
        ("position.account.nav", "", "account.nav"),
        ("zzz", "", ""),
    ],
)
def test_nearest(word, subject, near, small):
    if near or word == "zzz":
        assert small.nearest(word, subject) == near


def test_the_digest_is_blind_to_comments_and_order():
    one = vocabulary_of(ENTITIES)
    other = vocabulary_of(
        "# a comment\n" + ENTITIES.replace("{key: id, collection: true,", "{collection: true, key: id,")
    )
    assert one.digest == other.digest
    assert vocabulary_of(ENTITIES.replace("max: 10_000", "max: 10_001")).digest != one.digest


def test_the_shipped_vocabulary_is_complete():
    vocabulary = shipped_vocabulary()
    for name in vocabulary.names.values():
        assert name.meaning
        assert name.given or name.means is not None or name.derived or name.supplied_by == "engine"
        if name.means is not None:
            fields = [n for n in name.means.walk() if isinstance(n, Field)]
            assert all(vocabulary.names[f.name].means is None for f in fields), "fully expanded"
        numeric = name.unit.kind.value in {"number", "duration"}
        if numeric and name.given:
            assert name.minimum is not None, f"{name.name} needs bounds: the proofs of 64-bit safety use them"
            assert name.maximum is not None
