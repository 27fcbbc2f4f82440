"""Facts written through memory are those that CLIPS itself would make: the same to read, to match, to collect."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.errors import ExpertError
from lexorder.engine.expert import factmemory
from lexorder.engine.expert.clipslib import ffi, lib
from lexorder.engine.expert.factmemory import Memory
from lexorder.engine.expert.session import INT64_MAX, INT64_MIN, Session

TEMPLATE = "(deftemplate row (slot word (type SYMBOL)) (slot one (type INTEGER)) (slot two (type INTEGER)))"
SLOTS = (b"word", b"one", b"two")
FOUND = "(deftemplate found (slot is (type SYMBOL)))"
LESS = "(defrule less (row (one ?a) (two ?b&:(< ?a ?b))) => (assert (found (is less))))"
SAME = "(defrule same (row (one ?a) (two ?a)) => (assert (found (is same))))"
WORD = "(defrule word (row (word GME)) => (assert (found (is word))))"
EXACT = f"(defrule exact (row (two {INT64_MIN})) => (assert (found (is least))))"
CONSTRUCTS = (TEMPLATE, FOUND, LESS, SAME, WORD, EXACT)

numbers = st.one_of(
    st.sampled_from([INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX]),
    st.integers(INT64_MIN, INT64_MAX),
)
words = st.one_of(
    st.sampled_from(["GME", "gme", "TRUE", "nil", "*this*", "42", "a b", "(x)", "\uff27"]),
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=12),
)


@pytest.fixture
def session() -> Iterator[Session]:
    opened = Session()
    opened.load(CONSTRUCTS)
    yield opened
    opened.close()


def by_memory(memory: Memory, word: str, one: int, two: int) -> object:
    """The fact as `rows.py` makes it."""
    fact = memory.make(struct.pack("3Q", memory.symbol(word), memory.integer(one), memory.integer(two)))
    return factmemory.lib.Assert(fact)


def by_builder(session: Session, word: str, one: int, two: int) -> object:
    """The same fact in the ordinary way."""
    builder = session.builder("row")
    session.put(builder, b"word", session.symbol(word))
    session.put(builder, b"one", session.integer(one))
    session.put(builder, b"two", session.integer(two))
    return session.add(builder)


def outcome(session: Session) -> tuple[int, list[str | int]]:
    """How many rules fired, and what they found; the findings are taken back."""
    fired = session.run()
    found = []
    for fact in session.facts("found"):
        found.append(session.read(fact, b"is"))
        session.drop(fact)
    return fired, sorted(found, key=str)


def slots(session: Session) -> list[tuple[str | int, ...]]:
    """The rows CLIPS holds, read through CLIPS."""
    return [tuple(session.read(fact, slot) for slot in SLOTS) for fact in session.facts("row")]


class TestBesideTheOrdinaryWay:
    @given(words, numbers, numbers)
    @settings(max_examples=120, deadline=None)
    def test_the_same_slots_and_the_same_rules(self, word, one, two):
        session = Session()
        session.load(CONSTRUCTS)
        memory = Memory(session, "row", 3)
        fact = by_memory(memory, word, one, two)
        read, found = slots(session), outcome(session)
        factmemory.lib.Retract(fact)
        by_builder(session, word, one, two)
        assert read == slots(session) == [(word, one, two)]
        assert found == outcome(session)
        session.close()

    def test_a_literal_in_a_rule_is_the_integer_written(self, session):
        by_memory(Memory(session, "row", 3), "x", 0, INT64_MIN)
        assert outcome(session) == (1, ["least"])

    def test_both_kinds_join(self, session):
        """A fact by memory and one by the builder hold one and the same atoms."""
        session.load(["(defrule both (row (word a) (one ?n)) (row (word b) (one ?n)) => (assert (found (is both))))"])
        memory = Memory(session, "row", 3)
        by_memory(memory, "a", 2**62 + 1, 7)
        by_builder(session, "b", 2**62 + 1, 8)
        assert "both" in outcome(session)[1]

    def test_two_equal_rows_are_one_as_ever(self, session):
        memory = Memory(session, "row", 3)
        by_memory(memory, "x", 1, 2)
        by_memory(memory, "x", 1, 2)
        assert slots(session) == [("x", 1, 2)]


class TestCollecting:
    """CLIPS collects what nothing keeps; what is kept must be there still, and what is dropped must go."""

    def churn(self, session: Session, rounds: int = 400) -> None:
        """Many facts that come and go, so that CLIPS collects."""
        for number in range(rounds):
            session.drop(by_builder(session, "churn", 10**12 + number, -number))
            session.run()
            for fact in session.facts("found"):
                session.drop(fact)

    def test_a_kept_integer_stays_when_no_fact_holds_it(self, session):
        memory = Memory(session, "row", 3)
        kept = [memory.kept(n * 10**9 + 7) for n in range(50)]
        self.churn(session)
        for n, address in enumerate(kept):
            fact = factmemory.lib.Assert(memory.make(struct.pack("3Q", memory.symbol("k"), address, address)))
            assert slots(session) == [("k", n * 10**9 + 7, n * 10**9 + 7)]
            factmemory.lib.Retract(fact)

    def test_a_constant_is_made_once_and_stays(self, session):
        memory = Memory(session, "row", 3)
        address = memory.constant(77)
        self.churn(session)
        assert memory.constant(77) == address == memory.integer(77)

    def test_a_kept_integer_is_given_back(self, session):
        memory = Memory(session, "row", 3)

        before = references(memory, 123_456)
        address = memory.kept(123_456)
        memory.kept(123_456)
        assert references(memory, 123_456) == before + 2
        memory.drop([address, address])
        assert references(memory, 123_456) == before

    def test_closing_gives_constants_back_and_a_closed_session_is_left_alone(self, session):
        memory = Memory(session, "row", 3)
        before = references(memory, 991)
        memory.constant(991)
        assert references(memory, 991) == before + 1
        memory.close()
        assert references(memory, 991) == before
        memory.constant(992)
        session.close()
        memory.close()


def references(memory: Memory, number: int) -> int:
    """How many hold this integer in CLIPS: the word after the header and the link of its entry."""
    return int(factmemory.ffi.cast("long *", memory.integer(number))[2])


class TestRefusals:
    @pytest.mark.parametrize("number", [INT64_MIN, INT64_MAX])
    def test_the_ends_are_taken(self, session, number):
        by_memory(Memory(session, "row", 3), "x", number, number)
        assert slots(session) == [("x", number, number)]

    @pytest.mark.parametrize("number", [INT64_MIN - 1, INT64_MAX + 1, 10**40])
    def test_beyond_64_bits_is_refused(self, session, number):
        memory = Memory(session, "row", 3)
        for way in (memory.integer, memory.kept, memory.constant):
            with pytest.raises(ExpertError, match="expert-fact"):
                way(number)

    @pytest.mark.parametrize("slots_claimed", [1, 2, 4, 5])
    def test_another_number_of_slots_is_refused(self, session, slots_claimed):
        with pytest.raises(ExpertError, match="expert-library"):
            Memory(session, "row", slots_claimed)

    def test_a_template_that_is_not_there_is_refused(self, session):
        with pytest.raises(ExpertError, match="expert-library"):
            Memory(session, "nosuch", 3)

    @pytest.mark.parametrize("field", ["_LENGTH", "_FIRST"])
    def test_another_layout_is_noticed_before_anything_is_written(self, session, monkeypatch, field):
        monkeypatch.setattr(factmemory, field, getattr(factmemory, field) - 1)
        with pytest.raises(ExpertError, match="expert-library"):
            Memory(session, "row", 3)
        assert slots(session) == []

    def test_a_library_without_the_functions_is_refused(self, monkeypatch):
        class Bare:
            CreateFact = None

        monkeypatch.setattr(factmemory.ffi.__class__, "dlopen", lambda *_: Bare(), raising=False)
        with pytest.raises(ExpertError, match="expert-library"):
            factmemory._opened()

    def test_another_thread_and_a_closed_session_are_refused(self, session):
        session.owner = -2
        with pytest.raises(ExpertError, match="expert-thread"):
            Memory(session, "row", 3)
        session.close()
        with pytest.raises(ExpertError, match="expert-closed"):
            Memory(session, "row", 3)


def test_the_look_leaves_nothing_behind(session):
    for _ in range(3):
        Memory(session, "row", 3)
    assert slots(session) == []
    assert lib.GetNextActivation(session.environment, ffi.NULL) == ffi.NULL


def test_a_long_life_of_rows(session):
    """Rows come and go beside kept values, as on a desk; every one reads back as written."""
    random, memory = Random(5), Memory(session, "row", 3)
    kept: dict[int, int] = {}
    for number in range(2_000):
        value = random.choice((number, -number, 10**15 + number))
        if random.random() < 0.2:
            kept[value] = memory.kept(value)
        elif kept and random.random() < 0.2:
            memory.drop([kept.pop(random.choice(list(kept)))])
        one = random.choice(list(kept)) if kept else value
        address = kept.get(one) or memory.integer(one)
        packed = struct.pack("3Q", memory.symbol(f"S{number % 5}"), address, memory.integer(value))
        fact = factmemory.lib.Assert(memory.make(packed))
        assert slots(session) == [(f"S{number % 5}", one, value)]
        assert outcome(session)[1] in (["less"], ["same"], [])
        factmemory.lib.Retract(fact)
