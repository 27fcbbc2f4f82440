"""Expert `.clp` files: refused on the text, powerless in the confined environment, survived by the worker."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from lexorder.engine.desk import shipped_rules
from lexorder.engine.errors import ExpertError, RuleFileError
from lexorder.engine.expert import worker
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.expert.clp import BYTES_MAX, CODES, CONSTRUCTS_MAX, DEPTH_MAX, FUNCTIONS, read
from lexorder.engine.expert.sandbox import (
    KEPT,
    ExpertRule,
    all_functions,
    confined,
    expert_file,
    failures,
    load,
)
from lexorder.engine.terms import Value
from lexorder.engine.verdict import Status
from tests.worlds import VOCABULARY

SIDECAR = """
expert: odd.clp
rule: odd-lots
title: Orders are in round lots
severity: hard
cite: Sample
tests:
  - {given: {order.quantity: 150, order.side: buy}, expect: breach}
  - {given: {order.quantity: 200, order.side: buy}, expect: pass}
"""
GOOD = """
; What is left over after whole lots.
(defglobal ?*lot* = 100)
(deffunction rest (?quantity) (mod ?quantity ?*lot*))
(deftemplate odd (slot by (type INTEGER) (default 0)))
(deffacts known (odd (by 0)))
(defrule find-odd "odd lots" (declare (salience 10))
  (order (quantity ?q&:(> (rest ?q) 0)) (side buy|sell))
  => (assert (odd (by (rest ?q)))))
(defrule say-so ?odd <- (odd (by ?by&~0)) (not (violation)) => (retract ?odd) (assert (violation)))
"""
RULE = "(defrule r (order (quantity ?q)) => {})"


def file(clp: str = GOOD):
    return expert_file(SIDECAR, clp, VOCABULARY, "odd.yaml", "odd.clp")


def bought(quantity: int) -> dict[str, Value]:
    return {"order.quantity": Fraction(quantity), "order.side": "buy"}


def code_of(clp: str) -> str:
    with pytest.raises(RuleFileError) as caught:
        file(clp)
    assert caught.value.code in CODES
    return caught.value.code


class TestAGoodFile:
    def test_it_judges_orders(self):
        rule = ExpertRule(file(), VOCABULARY)
        assert rule.judge(bought(150), "O").status is Status.BREACH
        assert rule.judge(bought(100), "O").status is Status.PASS
        assert rule.judge({**bought(150), "order.side": "sell_short"}, "O").status is Status.PASS

    def test_its_tests_hold(self):
        rule = ExpertRule(file(), VOCABULARY)
        given = [(bought(int(g["order.quantity"])), e) for g, e in file().tests]
        assert failures(rule, given) == []
        assert failures(rule, [(bought(150), "pass")]) == ["test 1: expected pass, found breach"]

    def test_the_constructs_are_written_anew(self):
        assert ";" not in "".join(file().constructs)
        assert file().constructs[0] == "(defglobal ?*lot* = 100)"

    def test_the_hash_is_of_both_texts(self):
        other = expert_file(SIDECAR.replace("Sample", "Other"), GOOD, VOCABULARY)
        assert len({file().hash, other.hash, file(GOOD + " ").hash}) == 3

    def test_a_missing_fact_is_undecided(self):
        found = ExpertRule(file(), VOCABULARY).judge({"order.quantity": Fraction(150)}, "O")
        assert found.status is Status.UNDECIDED
        assert found.why == "order.side is missing"

    def test_a_fact_with_a_default_is_not_missing(self):
        rule = ExpertRule(file("(defrule r (order (time-in-force DAY)) => (assert (violation)))"), VOCABULARY)
        assert rule.judge({}, "O").status is Status.BREACH

    def test_a_number_beyond_64_bits_is_undecided(self):
        found = ExpertRule(file(), VOCABULARY).judge(bought(2**63), "O")
        assert found.status is Status.UNDECIDED

    def test_it_loads_from_a_folder(self, tmp_path):
        (tmp_path / "odd.yaml").write_text(SIDECAR)
        (tmp_path / "odd.clp").write_text(GOOD)
        assert load(tmp_path / "odd.yaml", VOCABULARY).rule == "odd-lots"

    @pytest.mark.parametrize("name", ["../odd.clp", "odd.txt", "/etc/odd.clp"])
    def test_but_from_no_other_folder(self, tmp_path, name):
        (tmp_path / "odd.yaml").write_text(SIDECAR.replace("odd.clp", name))
        with pytest.raises(RuleFileError, match="expert-sidecar"):
            load(tmp_path / "odd.yaml", VOCABULARY)


ATTACKS = [
    '(system "touch /tmp/x")',
    '(open "/etc/passwd" f)',
    '(load "x.clp")',
    '(load* "x.clp")',
    '(batch "x")',
    '(batch* "x")',
    '(eval "(system ls)")',
    '(build "(defrule x =>)")',
    '(remove "x")',
    '(rename "x" "y")',
    "(exit)",
    "(clear)",
    "(reset)",
    "(halt)",
    "(while TRUE do (bind ?x 1))",
    "(loop-for-count 9 (bind ?x 1))",
    "(progn (system x))",
    "(funcall system x)",
    "(assert-string x)",
    '(str-assert "x")',
    "(undefrule r)",
    "(undeftemplate order)",
    "(set-salience-evaluation every-cycle)",
    "(unwatch all)",
    "(printout t x)",
    "(read)",
    "(readline)",
    "(gensym)",
    "(get-function-list)",
    "(python-function x)",
    "(sym-cat a b)",
    '(format t "%s" x)',
    "(dribble-on x)",
    "(save x)",
    "(bsave x)",
    "(getenv)",
    "(focus MAIN)",
    "(run)",
    "(refresh r)",
    "(if (system x) then 1)",
    "(bind ?x (system x))",
    "(assert (violation (x (system y))))",
    "(+ 1 (system x))",
    "(/ 1 2)",
    "(sqrt 2)",
    "(float 2)",
    "(rest 5)",
]


class TestText:
    @pytest.mark.parametrize("attack", ATTACKS)
    def test_a_call_that_is_not_admitted(self, attack):
        assert code_of(RULE.format(attack)) in {"expert-function", "expert-slot", "expert-literal", "expert-template"}

    @pytest.mark.parametrize(
        "text",
        [
            "(defrule r (order (quantity ?q&=(system ls))) => (assert (violation)))",
            "(defrule r (order (quantity ?q&:(system ls))) => (assert (violation)))",
            "(defrule r (order (quantity =(system ls))) => (assert (violation)))",
            "(defrule r (test (system ls)) => (assert (violation)))",
            "(defrule r (not (and (order) (test (system ls)))) => (assert (violation)))",
        ],
    )
    def test_a_call_hidden_in_a_condition(self, text):
        assert code_of(text) == "expert-function"

    @pytest.mark.parametrize(
        "text",
        [
            "(deftemplate t (slot a (default (system ls))))",
            "(deftemplate t (slot a (default-dynamic 1)))",
            "(deftemplate t (slot a (default ?DERIVE)))",
            "(deftemplate t (multislot a))",
            "(deftemplate t (slot a (type FLOAT)))",
            "(deftemplate t (slot a) (slot a))",
            "(deftemplate t (slot system))",
            "(defglobal ?*x* = (system ls))",
            "(defglobal MAIN ?*x* = 1)",
            "(deffacts f (order (quantity 1)))",
            "(deftemplate t (slot a)) (deffacts f (t (a (system ls))))",
            "(defrule r (declare (salience (system ls))) (order) => )",
            "(defrule r (declare (salience 1000)) (order) => )",
            "(defrule r (declare (auto-focus TRUE)) (order) => )",
        ],
    )
    def test_what_clips_would_run_while_it_reads(self, text):
        code_of(text)

    @pytest.mark.parametrize("kind", ["defmodule", "defclass", "defmethod", "defgeneric", "definstances", "system", ""])
    def test_other_constructs(self, kind):
        assert code_of(f"({kind} x)") == "expert-construct"

    @pytest.mark.parametrize(
        "text",
        [
            "(deffunction f (?x) (f ?x))",
            "(deffunction f (?x) (g ?x)) (deffunction g (?x) (f ?x))",
            "(deffunction f (?x) 1) (deffunction f (?x) (f ?x))",
            "(deffunction system (?x) 1)",
            "(deffunction + (?x) 1)",
            "(deffunction order (?x) 1)",
        ],
    )
    def test_functions_that_recurse_or_replace(self, text):
        assert code_of(text) in {"expert-function", "expert-name"}

    @pytest.mark.parametrize(
        "text",
        [
            f"{RULE.format('(assert (violation))')} {RULE.format('(assert (violation))')}",
            "(deftemplate order (slot x))",
            "(deftemplate violation)",
            "(deftemplate MAIN::t (slot x))",
            "(deftemplate Ünicode (slot x))",
        ],
    )
    def test_a_name_used_twice_or_taken(self, text):
        assert code_of(text) in {"expert-name", "expert-syntax"}

    @pytest.mark.parametrize(
        "text",
        ["(", ")", "(defrule r", '(defrule r "open', "(defrule r (order) (order))", "(defrule r => => )", "a\0b"],
    )
    def test_text_that_is_no_clips(self, text):
        assert code_of(text) in {"expert-syntax", "expert-construct", "expert-template"}

    @pytest.mark.parametrize("literal", ["1.5", "1e9", "99999999999999999999", "[x]", "<Fact-1>", "?x.y", "$?"])
    def test_what_is_no_plain_value(self, literal):
        code_of(RULE.format(f"(bind ?x {literal})"))

    def test_only_results_and_own_facts_are_asserted(self):
        assert code_of(RULE.format("(assert (order (quantity 1)))")) == "expert-template"
        assert code_of(RULE.format("(assert (nosuch 1))")) == "expert-template"

    def test_an_engine_slot_is_not_modified(self):
        assert code_of("(defrule r ?o <- (order) => (modify ?o (quantity 1)))") == "expert-slot"

    def test_positions_and_near_names(self):
        with pytest.raises(RuleFileError) as caught:
            file("(defrule r\n  (ordr (quantity ?q)) => )")
        (problem,) = caught.value.problems
        assert (problem.file, problem.line, problem.column, problem.nearest) == ("odd.clp", 2, 3, "order")

    def test_sizes(self):
        assert code_of("x" * (BYTES_MAX + 1)) == "expert-too-large"
        assert code_of("(" * (DEPTH_MAX + 2)) == "expert-too-large"
        many = "".join(f"(deffunction f{n} (?x) 1)" for n in range(CONSTRUCTS_MAX + 1))
        assert code_of(many) == "expert-too-large"

    def test_a_nesting_bomb_is_refused_quickly(self):
        assert code_of("(defrule r (order) => " + "(+ 1 " * 10_000) == "expert-too-large"

    def test_a_tree_reads_back_as_itself(self):
        forms = read(GOOD)
        assert [f.source() for f in read(" ".join(f.source() for f in forms))] == [f.source() for f in forms]


class TestConfinement:
    """The second wall by itself: text that was never checked, in the confined environment."""

    def test_what_is_left(self):
        assert FUNCTIONS | {"progn"} == KEPT
        assert len(KEPT) < 30 < len(all_functions())

    @pytest.mark.parametrize("attack", ATTACKS[:13] + ATTACKS[14:16] + ATTACKS[17:31])
    def test_an_attack_cannot_even_be_built(self, attack):
        session = confined()
        with pytest.raises(ExpertError, match="expert-construct"):
            session.load(["(deftemplate order (slot quantity))", RULE.format(attack)])

    def test_every_file_function_is_gone(self):
        session = confined()
        for name in ("open", "close", "rename", "remove", "system", "load", "batch", "bload", "eval", "build", "exit"):
            assert lib.Eval(session.environment, f"({name})".encode(), session._cell) != lib.EE_NO_ERROR


class TestBounds:
    """The third wall: firings and time, on text that was never checked."""

    def rule(self, *constructs: str) -> ExpertRule:
        rule = ExpertRule(file(), VOCABULARY)
        for text in constructs:
            assert lib.Build(rule.session.environment, text.encode()) == lib.BE_NO_ERROR
        return rule

    def test_rules_that_fire_for_ever(self):
        rule = self.rule(
            "(deftemplate count (slot n))",
            "(defrule on (order) => (assert (count (n 0))))",
            "(defrule more ?c <- (count (n ?n)) => (retract ?c) (assert (count (n (+ ?n 1)))))",
        )
        found = rule.judge(bought(100), "O")
        assert found.status is Status.UNDECIDED
        assert "rules wanted to fire" in found.why

    def test_it_is_usable_afterwards(self):
        rule = self.rule("(defrule bad (order (quantity 7)) => (div 1 0))")
        assert rule.judge(bought(7), "O").status is Status.UNDECIDED
        assert rule.judge(bought(100), "O").status is Status.PASS


class TestWorker:
    VOCABULARY = shipped_rules() / "vocabulary.yaml"

    def test_a_good_file_is_accepted(self):
        found = worker.trial(SIDECAR, GOOD, self.VOCABULARY)
        assert found.accepted
        assert found.hash == file().hash

    def test_a_failing_test_is_told(self):
        found = worker.trial(SIDECAR.replace("150", "300"), GOOD, self.VOCABULARY)
        assert found.failures == ("test 1: expected breach, found pass",)
        assert not found.accepted

    def test_a_refusal_is_told_with_its_place(self):
        found = worker.trial(SIDECAR, RULE.format('(system "ls")'), self.VOCABULARY)
        assert found.problems == (":1:37: expert-function: `system` may not be called here",)

    def test_a_process_that_dies_is_an_error(self, tmp_path):
        with pytest.raises(ExpertError, match="expert-worker"):
            worker.trial(SIDECAR, GOOD, tmp_path / "nosuch.yaml")

    def test_a_process_that_is_late_is_an_error(self, monkeypatch):
        monkeypatch.setattr(worker, "SECONDS_MAX", 0.01)
        with pytest.raises(ExpertError, match="TimeoutExpired"):
            worker.trial(SIDECAR, GOOD, self.VOCABULARY)

    def test_a_confined_process_writes_nothing(self, tmp_path):
        import subprocess
        import sys

        script = f"from lexorder.engine.expert import worker\nworker._confine()\nopen({str(tmp_path / 'x')!r}, 'w')\n"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert list(Path(tmp_path).iterdir()) == []
