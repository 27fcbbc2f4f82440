"""One CLIPS environment: every measured hazard of CLIPS and clipspy is noticed, and the session survives it."""

from __future__ import annotations

import gc
import resource
import threading
import time

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.expert.clipslib import ffi, lib, remove_function
from lexorder.engine.expert.session import INT64_MAX, INT64_MIN, Session

ORDER = "(deftemplate order (slot symbol (type SYMBOL)) (slot quantity (type INTEGER)) (slot free))"
FINDING = "(deftemplate finding (slot rule (type SYMBOL)))"
TOO_MANY = "(defrule too-many (order (quantity ?q&:(> ?q 10))) => (assert (finding (rule too-many))))"


def session_of(*constructs: str, firings_max: int = 100, deadline_ms: int = 100) -> Session:
    session = Session(firings_max, deadline_ms)
    session.load((ORDER, FINDING, *constructs))
    return session


def order(session: Session, quantity: int, symbol: str = "ACME"):
    builder = session.builder("order")
    session.put(builder, b"symbol", session.symbol(symbol))
    session.put(builder, b"quantity", session.integer(quantity))
    return session.add(builder)


def findings(session: Session) -> list[str | int]:
    return [session.read(fact, b"rule") for fact in session.facts("finding")]


class TestDecision:
    def test_a_rule_fires_on_a_typed_fact(self):
        session = session_of(TOO_MANY)
        order(session, 11)
        assert session.run() == 1
        assert findings(session) == ["too-many"]

    def test_exactly_at_the_limit_nothing_fires(self):
        session = session_of(TOO_MANY)
        order(session, 10)
        assert session.run() == 0
        assert findings(session) == []

    def test_a_retracted_fact_is_gone(self):
        session = session_of(TOO_MANY)
        session.drop(order(session, 11))
        assert session.run() == 0


class TestConstructs:
    def test_a_rule_name_used_twice_is_refused_instead_of_replacing_the_first(self):
        with pytest.raises(ExpertError, match="`too-many` is used twice"):
            session_of(TOO_MANY, TOO_MANY.replace("10", "99"))

    def test_all_or_nothing_after_an_error_the_session_is_closed(self):
        session = Session()
        with pytest.raises(ExpertError, match="CLIPS refuses defrule `broken`"):
            session.load((ORDER, "(defrule broken (order (nosuch 1)) =>)"))
        with pytest.raises(ExpertError, match="expert-closed"):
            session.run()

    @pytest.mark.parametrize("text", ["(system ls)", "", "(defrule)", "(defclass A (is-a USER))", "(deftemplate ü)"])
    def test_text_that_is_no_construct_is_refused(self, text):
        with pytest.raises(ExpertError, match="expert-construct"):
            session_of(text)

    def test_the_number_of_loaded_constructs_is_checked(self):
        session = session_of(TOO_MANY)
        session.expected["defrule"].add("never-loaded")
        with pytest.raises(ExpertError, match="CLIPS holds 1 of 2 defrule constructs"):
            session.check_constructs()

    def test_a_construct_that_disappears_is_noticed(self):
        session = session_of(TOO_MANY)
        rule = lib.FindDefrule(session.environment, b"too-many")
        assert lib.Undefrule(rule, session.environment)
        with pytest.raises(ExpertError, match="CLIPS holds 0 of 1"):
            session.check_constructs()


class TestErrorsThatClipsSwallows:
    def test_division_by_zero_on_a_left_hand_side_is_raised_at_the_assert(self):
        session = session_of(
            "(defrule bad (order (quantity ?q)) (test (> (div 10 ?q) 1)) => (assert (finding (rule bad))))"
        )
        with pytest.raises(ExpertError, match="expert-error"):
            order(session, 0)

    def test_a_type_error_on_a_left_hand_side_is_raised(self):
        session = session_of("(defrule bad (order (free ?x)) (test (> ?x 1)) => (assert (finding (rule bad))))")
        with pytest.raises(ExpertError, match="expert-error"):
            order(session, 1)

    def test_division_by_zero_on_a_right_hand_side_halts_and_is_raised(self):
        session = session_of(
            "(defrule bad (declare (salience 9)) (order (quantity ?q)) => (div 1 (- ?q ?q)))",
            TOO_MANY,
        )
        order(session, 11)
        with pytest.raises(ExpertError, match="expert-error"):
            session.run()

    def test_the_session_is_usable_after_an_error(self):
        session = session_of(
            "(defrule bad (order (quantity ?q&:(> ?q 50))) => (div 1 (- ?q ?q)))",
            TOO_MANY,
        )
        fact = order(session, 60)
        with pytest.raises(ExpertError):
            session.run()
        session.drop(fact)
        for found in list(session.facts("finding")):
            session.drop(found)
        order(session, 11)
        assert session.run() == 1
        assert findings(session) == ["too-many"]

    def test_a_halt_by_a_rule_is_not_taken_for_a_clean_end(self):
        session = session_of("(defrule stop (declare (salience 9)) (order) => (halt))", TOO_MANY)
        order(session, 11)
        with pytest.raises(ExpertError, match="stopped before all rules had fired"):
            session.run()
        assert session.run() == 0

    def test_what_clips_prints_never_reaches_the_terminal(self, capfd):
        session = session_of('(defrule talk (order) => (printout t "secret" crlf))')
        order(session, 1)
        session.run()
        assert capfd.readouterr() == ("", "")


class TestLimits:
    def test_more_firings_than_allowed_are_an_error(self):
        session = session_of(
            "(deftemplate count (slot n (type INTEGER)))",
            "(defrule on (order) => (assert (count (n 0))))",
            "(defrule more ?f <- (count (n ?n)) => (retract ?f) (assert (count (n (+ ?n 1)))))",
        )
        order(session, 1)
        with pytest.raises(ExpertError, match="more than 100 rules wanted to fire"):
            session.run()
        assert session.run() == 0

    @pytest.mark.parametrize(
        "body",
        ["(while TRUE do (bind ?x 1))", "(loop-for-count 1000000000 do (bind ?x 1))", "(spin)"],
    )
    def test_a_loop_inside_one_right_hand_side_is_stopped(self, body):
        session = session_of(
            "(deffunction spin () (while TRUE do (bind ?y 1)))",
            f"(defrule loop (order (quantity 1)) => {body})",
            TOO_MANY,
        )
        fact = order(session, 1)
        started = time.monotonic()
        with pytest.raises(ExpertError, match="expert-deadline"):
            session.run()
        assert time.monotonic() - started < 5
        session.drop(fact)
        order(session, 11)
        assert session.run() == 1

    def test_a_loop_on_a_left_hand_side_is_stopped_at_the_assert(self):
        session = session_of(
            "(deffunction spin (?q) (while (> ?q 0) do (bind ?y 1)) TRUE)",
            "(defrule loop (order (quantity ?q)) (test (spin ?q)) => (assert (finding (rule loop))))",
        )
        with pytest.raises(ExpertError, match="expert-deadline"):
            order(session, 1)

    def test_a_deadline_does_not_leak_into_the_next_decision(self):
        session = session_of("(defrule loop (order (quantity 1)) => (while TRUE do (bind ?x 1)))", TOO_MANY)
        for _ in range(3):
            fact = order(session, 1)
            with pytest.raises(ExpertError, match="expert-deadline"):
                session.run()
            session.drop(fact)
            fact = order(session, 12)
            assert session.run() == 1
            session.drop(fact)
            for found in list(session.facts("finding")):
                session.drop(found)


class TestIntegers:
    @pytest.mark.parametrize("number", [INT64_MIN, INT64_MAX, 0, -1])
    def test_the_whole_range_is_taken_exactly(self, number):
        session = session_of(TOO_MANY)
        assert session.read(order(session, number), b"quantity") == number

    @pytest.mark.parametrize("number", [INT64_MIN - 1, INT64_MAX + 1, 10**30, True, 1.0, "1", None])
    def test_anything_else_is_refused_before_clips_could_wrap_or_abort(self, number):
        session = session_of(TOO_MANY)
        with pytest.raises(ExpertError, match="expert-fact"):
            session.integer(number)

    def test_clips_itself_would_wrap(self):
        session = session_of(
            "(defrule wraps (order (quantity ?q)) (test (< (* ?q 4) 0)) => (assert (finding (rule wraps))))"
        )
        order(session, 2**61)
        assert session.run() == 1, "if this ever fails, CLIPS has learned to check and the guard could go"


class TestSymbols:
    HELD = "(defrule held (order (symbol GME)) => (assert (finding (rule held))))"

    @pytest.mark.parametrize("text", ["gme", "GME ", " GME", "\uff27\uff2d\uff25", "GME\u200b", "Gme"])
    def test_only_the_canonical_spelling_matches(self, text):
        session = session_of(self.HELD)
        order(session, 1, text)
        assert session.run() == 0

    def test_the_canonical_spelling_matches(self):
        session = session_of(self.HELD)
        order(session, 1, "GME")
        assert session.run() == 1

    @pytest.mark.parametrize(
        "text", ['=(system "touch x")', "?x", "(order)", '") (system "ls', "a b", "&~x", "nil", "42", "\n;", "<-"]
    )
    def test_hostile_text_stays_one_symbol(self, text):
        session = session_of(TOO_MANY)
        assert session.read(order(session, 1, text), b"symbol") == text
        assert session.run() == 0
        assert len(list(session.facts("order"))) == 1

    @pytest.mark.parametrize("text", ["", "A\0B"])
    def test_what_c_would_cut_short_is_refused(self, text):
        session = session_of(TOO_MANY)
        with pytest.raises(ExpertError, match="expert-fact"):
            session.symbol(text)

    def test_a_pinned_symbol_survives_when_no_fact_holds_it(self):
        session = session_of(self.HELD, TOO_MANY)
        atom = session.symbol("UNUSED-FOR-LONG")
        for number in range(3_000):
            session.drop(order(session, 11 + number, f"S{number % 7}"))
            session.run()
        gc.collect()
        builder = session.builder("order")
        session.put(builder, b"symbol", atom)
        assert session.read(session.add(builder), b"symbol") == "UNUSED-FOR-LONG"

    def test_a_symbol_is_made_once(self):
        session = session_of(TOO_MANY)
        assert session.symbol("X") is session.symbol("X")


class TestFacts:
    def test_a_wrong_slot_is_refused(self):
        session = session_of(TOO_MANY)
        with pytest.raises(ExpertError, match="takes no such nosuch"):
            session.put(session.builder("order"), b"nosuch", session.integer(1))

    def test_a_wrong_type_is_refused(self):
        session = session_of(TOO_MANY)
        with pytest.raises(ExpertError, match="takes no such quantity"):
            session.put(session.builder("order"), b"quantity", session.symbol("many"))

    def test_two_equal_facts_do_not_collapse_unnoticed(self):
        session = session_of(TOO_MANY)
        order(session, 11)
        with pytest.raises(ExpertError, match="expert-fact"):
            order(session, 11)

    def test_an_unknown_template_is_refused(self):
        session = session_of(TOO_MANY)
        with pytest.raises(ExpertError, match="there is no template `nosuch`"):
            session.builder("nosuch")
        with pytest.raises(ExpertError, match="there is no template `nosuch`"):
            list(session.facts("nosuch"))

    def test_a_fact_retracted_twice_is_refused(self):
        session = session_of(TOO_MANY)
        kept = order(session, 1)
        lib.RetainFact(kept)
        session.drop(kept)
        with pytest.raises(ExpertError, match="expert-fact"):
            session.drop(kept)

    def test_reading_a_slot_that_is_not_there_is_refused(self):
        session = session_of(TOO_MANY)
        with pytest.raises(ExpertError, match="no slot nosuch"):
            session.read(order(session, 1), b"nosuch")

    @pytest.mark.parametrize(
        ("condition", "code"),
        [("(test (> (div 1 (- ?q ?q)) 0))", "expert-error"), ("(test (spin ?q))", "expert-deadline")],
    )
    def test_a_fact_whose_assertion_failed_is_not_there(self, condition, code):
        session = session_of(
            "(deffunction spin (?q) (while TRUE do (bind ?x 1)))",
            f"(defrule bad (order (quantity ?q)) {condition} => (assert (finding (rule bad))))",
        )
        for _ in range(2):
            with pytest.raises(ExpertError, match=code):
                order(session, 1)
            assert list(session.facts("order")) == []

    def test_a_refused_twin_leaves_the_first_fact(self):
        session = session_of(TOO_MANY)
        order(session, 11)
        with pytest.raises(ExpertError, match="expert-fact"):
            order(session, 11)
        assert len(list(session.facts("order"))) == 1


class TestThreads:
    def test_another_thread_is_refused(self):
        session = session_of(TOO_MANY)
        seen: list[str] = []

        def use() -> None:
            try:
                session.run()
            except ExpertError as error:
                seen.append(error.code)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        assert seen == ["expert-thread"]

    def test_another_thread_may_adopt_it(self):
        session = session_of(TOO_MANY)
        fired: list[int] = []

        def use() -> None:
            session.adopt()
            order(session, 11)
            fired.append(session.run())

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        assert fired == [1]
        with pytest.raises(ExpertError, match="expert-thread"):
            session.run()

    def test_a_closed_session_cannot_be_adopted(self):
        session = session_of(TOO_MANY)
        session.close()
        with pytest.raises(ExpertError, match="expert-closed"):
            session.adopt()

    def test_two_sessions_in_two_threads_do_not_disturb_each_other(self):
        totals: list[int] = []

        def work() -> None:
            session = session_of(TOO_MANY)
            fired = 0
            for number in range(2_000):
                fact = order(session, number % 20)
                fired += session.run()
                session.drop(fact)
                for found in list(session.facts("finding")):
                    session.drop(found)
            totals.append(fired)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert totals == [900, 900]


class TestMemory:
    def grown(self, session: Session, rounds: int) -> int:
        builder = session.builder("order")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(rounds):
            session.put(builder, b"symbol", session.loose_symbol(f"O-{number}"))
            session.put(builder, b"quantity", session.integer(11 + number))
            fact = session.add(builder)
            session.run()
            session.drop(fact)
            for found in list(session.facts("finding")):
                session.drop(found)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    def test_memory_is_flat(self):
        session = session_of(TOO_MANY)
        self.grown(session, 2_000)
        assert self.grown(session, 20_000) < 2_000  # KiB

    @pytest.mark.slow
    def test_memory_is_flat_over_a_million(self):
        session = session_of(TOO_MANY)
        self.grown(session, 10_000)
        assert self.grown(session, 1_000_000) < 4_000  # KiB


def test_removed_functions_are_gone():
    session = Session()
    assert remove_function(session.address, "system")
    assert not remove_function(session.address, "system")
    with pytest.raises(ExpertError, match="expert-construct"):
        session.load((ORDER, '(defrule x (order) => (system "true"))'))


def test_the_binding_is_the_one_measured():
    assert ffi.sizeof("CLIPSValue") > 0
