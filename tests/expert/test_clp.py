"""Expert text before CLIPS sees it: read as it stands, and nothing but what is admitted, wherever it is planted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.errors import RuleFileError
from lexorder.engine.expert.clp import (
    BYTES_MAX,
    CODES,
    CONSTRUCTS,
    CONSTRUCTS_MAX,
    DEPTH_MAX,
    FUNCTIONS,
    SALIENCE_MAX,
    TOKENS_MAX,
    Checker,
    Form,
    read,
)
from lexorder.engine.expert.sandbox import all_functions

ENGINE = {"order": frozenset({"quantity", "side"}), "violation": frozenset[str]()}
RICH = """
(deftemplate lot "of what is left" (slot by (type INTEGER) (default 0)) (slot of (type SYMBOL) (default none)))
(defglobal ?*size* = 100 ?*word* = odd)
(deffunction rest "after whole lots" (?many ?size) (bind ?left (mod ?many ?size)) (max ?left 0))
(deffacts given "to begin with" (lot (by 0) (of none)))
(defrule find "odd lots" (declare (salience 10)) (order (quantity ?q&:(> (rest ?q ?*size*) 0)) (side buy|sell))
  (not (lot (of ?*word*))) (test (and (integerp ?q) (neq ?q 3)))
  => (if (> ?q 7) then (assert (lot (by (rest ?q 100)) (of odd))) else (assert (lot (by 1)))))
(defrule less ?lot <- (lot (by ?by&~0&~1)) (exists (lot)) (forall (lot (by ?a)) (lot (by ?a)))
  => (modify ?lot (by (- ?by 1)) (of even)))
(defrule say (or (lot (by 1)) (lot (of even))) (not (violation)) ?lot <- (lot) => (retract ?lot) (assert (violation)))
"""


def check(forms: tuple[Form, ...]) -> Checker:
    """The checker after a file, with the engine's templates as they are here."""
    checker = Checker(all_functions(), dict(ENGINE), frozenset({"violation"}))
    checker.check(forms)
    return checker


def refusal(text: str) -> tuple[str, int, int]:
    """Code, line and column of what is refused about a text."""
    with pytest.raises(RuleFileError) as caught:
        check(read(text, "x.clp"))
    (problem,) = caught.value.problems
    assert problem.code in CODES
    assert problem.file == "x.clp"
    return problem.code, problem.line, problem.column


# ---- reading ---------------------------------------------------------------------------------------

atoms = st.from_regex(r"[a-z?*&:~|<=>0-9+-][a-z0-9?*&:~|<=>-]{0,6}", fullmatch=True)
strings = st.from_regex(r'"[ a-z()?;]{0,6}"', fullmatch=True)
trees = st.recursive(
    st.builds(Form, st.one_of(atoms, strings)),
    lambda inner: st.builds(lambda items: Form(items=tuple(items), is_list=True), st.lists(inner, max_size=4)),
    max_leaves=12,
)
blanks = st.sampled_from([" ", "\n", "\t ", ' ; a comment (with) "all\n', "\r\n"])


def written(form: Form, blank: str) -> str:
    """A tree as somebody might lay it out."""
    if not form.is_list:
        return form.text
    return f"({blank}{blank.join(written(item, blank) for item in form.items)}{blank})"


class TestReading:
    @given(st.lists(trees, max_size=4), blanks)
    @settings(max_examples=150, deadline=None)
    def test_a_tree_is_read_however_it_is_laid_out(self, forms, blank):
        text = blank.join(written(f, blank) for f in forms) + blank
        assert list(read(text)) == forms
        assert list(read(" ".join(f.source() for f in forms))) == forms

    @pytest.mark.parametrize(
        ("text", "places"),
        [
            ("(a b)", [(1, 1), (1, 2), (1, 4)]),
            ("\n  (a\n b)", [(2, 3), (2, 4), (3, 2)]),
            ("; one\n(a ; two\n\n  b)", [(2, 1), (2, 2), (4, 3)]),
            ("\t(a\r\n\tb)", [(1, 2), (1, 3), (2, 2)]),
        ],
    )
    def test_every_word_knows_its_place(self, text, places):
        (form,) = read(text, "x.clp")
        assert [(f.span.line, f.span.column) for f in (form, *form.items)] == places

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("(a", (1, 1)),
            ("(a (b)\n (c", (2, 2)),
            ("a)", (1, 2)),
            ("(a)\n )", (2, 2)),
            ('(a "open', (1, 4)),
            ('(a "two\nlines")', (1, 4)),
            ('(a "back\\slash")', (1, 4)),
            ("(a é)", (1, 4)),
            ("(a \x00)", (1, 4)),
            ("(a \x1b[2J)", (1, 4)),
            ("(a ⁠)", (1, 4)),
        ],
    )
    def test_what_cannot_be_read_is_refused_where_it_stands(self, text, place):
        assert refusal(text) == ("expert-syntax", *place)

    @pytest.mark.parametrize("beyond", [0, 1])
    def test_bytes(self, beyond):
        text = "; " + "x" * (BYTES_MAX - 2 + beyond)
        assert refusal(text + "") == ("expert-too-large", 1, 1) if beyond else read(text) == ()

    def test_bytes_are_counted_not_characters(self):
        assert refusal("; " + "é" * (BYTES_MAX // 2))[0] == "expert-too-large"

    @pytest.mark.parametrize("beyond", [0, 1])
    def test_words(self, beyond):
        text = "a " * (TOKENS_MAX + beyond)
        if beyond:
            assert refusal(text) == ("expert-too-large", 1, 2 * TOKENS_MAX + 1)
        else:
            assert len(read(text)) == TOKENS_MAX

    @pytest.mark.parametrize("beyond", [0, 1])
    def test_levels(self, beyond):
        text = "(" * (DEPTH_MAX + beyond) + ")" * (DEPTH_MAX + beyond)
        if beyond:
            assert refusal(text)[0] == "expert-too-large"
        else:
            assert len(read(text)) == 1

    @pytest.mark.parametrize("beyond", [0, 1])
    def test_constructs(self, beyond):
        forms = read("".join(f"(deffunction f{n} () 1)" for n in range(CONSTRUCTS_MAX + beyond)))
        if beyond:
            with pytest.raises(RuleFileError, match="expert-too-large"):
                check(forms)
        else:
            assert len(check(forms).functions) == CONSTRUCTS_MAX


# ---- checking --------------------------------------------------------------------------------------


def planted(form: Form, other: Form) -> Iterator[Form]:
    """The tree with one part replaced, for every part but the construct's own head."""
    for place, item in enumerate(form.items):
        if place:
            yield Form(items=(*form.items[:place], other, *form.items[place + 1 :]), is_list=True)
        for changed in planted(item, other):
            yield Form(items=(*form.items[:place], changed, *form.items[place + 1 :]), is_list=True)


def everywhere(text: str) -> Iterator[tuple[Form, ...]]:
    """The rich file with a text planted at every place of every construct."""
    (other,), forms = read(text), read(RICH)
    for place, form in enumerate(forms):
        for changed in planted(form, other):
            yield (*forms[:place], changed, *forms[place + 1 :])


class TestPlanted:
    """One foreign thing, put at every place of a file that is admitted."""

    def test_the_file_itself_is_admitted(self):
        checker = check(read(RICH))
        assert checker.reads == {("order", "quantity"), ("order", "side")}
        assert checker.functions == {"rest"}
        assert checker.globals == {"?*size*", "?*word*"}

    @pytest.mark.parametrize(
        "foreign",
        ["(system x)", "(while TRUE do (bind ?x 1))", "(eval x)", "(halt)", "(rest 1 1 (system x))", "(never-defined)"],
    )
    def test_a_call_is_refused_wherever_it_stands(self, foreign):
        tried = 0
        for forms in everywhere(foreign):
            tried += 1
            with pytest.raises(RuleFileError):
                check(forms)
        assert tried > 100

    @pytest.mark.parametrize(
        "foreign", ["1.5", "1e3", "9999999999999999", "[x]", "<Fact-1>", "$?", "a'b", "?*no*", "a\\b"]
    )
    def test_a_word_that_is_no_plain_value_is_refused_wherever_it_stands(self, foreign):
        for forms in everywhere(foreign):
            with pytest.raises(RuleFileError):
                check(forms)

    def test_no_function_of_clips_is_called_but_those_admitted(self):
        for name in sorted(all_functions() - FUNCTIONS - {"assert", "modify"}):
            if name.isascii() and not set(name) & set('()";'):
                text = f"(defrule r (order (quantity ?q)) => ({name} ?q))"
                assert refusal(text)[0] == "expert-function", name

    def test_a_function_that_calls_itself_through_modify_is_refused(self):
        """CLIPS would run out of stack on it, and take the process along."""
        text = "(deftemplate t (slot a)) (deffunction f (?x) (modify (f ?x) (a 1))) (defrule r (order) => (f 1))"
        assert refusal(text) == ("expert-literal", 1, 54)

    @pytest.mark.parametrize("target", ["1", "(f)", "*", "word", '"text"'])
    def test_what_is_modified_is_a_fact_a_pattern_has_bound(self, target):
        text = f"(deftemplate t (slot a)) (deffunction f () 1) (defrule r ?t <- (t) => (modify {target} (a 1)))"
        assert refusal(text)[0] == "expert-literal"

    def test_a_modification_of_nothing_is_refused(self):
        assert refusal("(deftemplate t (slot a)) (defrule r (t) => (modify))")[0] == "expert-syntax"


class TestAdmitted:
    """Small texts on each side of a line."""

    @pytest.mark.parametrize(
        "text",
        [
            "(deftemplate t)",
            "(deftemplate t (slot a))",
            "(deftemplate t (slot a (type SYMBOL) (allowed-symbols one two) (default one)))",
            "(deftemplate t (slot a (type INTEGER) (range -5 +5) (default ?NONE)))",
            "(defglobal ?*a* = 1)",
            "(defglobal ?*a* = 1 ?*b* = two)",
            "(deffunction f ($?x) 1)",
            f"(defrule r (declare (salience {SALIENCE_MAX})) (order) => )",
            f"(defrule r (declare (salience -{SALIENCE_MAX})) (order) => )",
            "(defrule r (order (side ~buy)) => (assert (violation)))",
            "(defrule r (order (quantity ?q&:(> ?q 999999999999999))) => (assert (violation)))",
            "(defrule r (logical (order)) => (assert (violation)))",
            '(defrule r "why" ?o <- (order) => (retract ?o))',
        ],
    )
    def test_is_admitted(self, text):
        check(read(text))

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("(deftemplate T (slot a))", "expert-name"),
            ("(deftemplate t-- (slot))", "expert-slot"),
            ("(deftemplate t (slot a (type STRING)))", "expert-slot"),
            ("(deftemplate t (slot a (type)) (slot a))", "expert-slot"),
            ("(deftemplate t (slot a (default 1.0)))", "expert-literal"),
            ("(deftemplate t a)", "expert-slot"),
            ("(deftemplate t) (deftemplate t)", "expert-name"),
            ("(deftemplate t) (deffunction t () 1)", "expert-name"),
            ("(deftemplate slot)", "expert-name"),
            ("(deftemplate " + "t" * 65 + ")", "expert-name"),
            ("(deftemplate)", "expert-name"),
            ("(deftemplate (t))", "expert-name"),
            ("(defglobal ?*a* = 1 ?*a* = 2)", "expert-name"),
            ("(defglobal ?*a* = ?*b*)", "expert-literal"),
            ("(defglobal ?*a* 1 1)", "expert-name"),
            ("(defglobal ?*a* =)", "expert-syntax"),
            ("(defglobal ?a = 1)", "expert-name"),
            ("(deffunction f)", "expert-syntax"),
            ("(deffunction f x)", "expert-syntax"),
            ("(deffunction f (x) 1)", "expert-syntax"),
            ("(deffunction f (?x) (g ?x)) (deffunction g (?x) 1)", "expert-function"),
            ("(deffacts k (violation))", "expert-template"),
            ("(deftemplate t (slot a)) (deffacts k (t (a ?x)))", "expert-literal"),
            ("(deftemplate t (slot a)) (deffacts k (t (b 1)))", "expert-slot"),
            ("(defrule r (order))", "expert-syntax"),
            ("(defrule r => => )", "expert-syntax"),
            ("(defrule r ?o <- => )", "expert-template"),
            ("(defrule r o <- (order) => )", "expert-template"),
            ("(defrule r (order (price ?p)) => )", "expert-slot"),
            ("(defrule r (order quantity) => )", "expert-slot"),
            ("(defrule r (order (side Ünicode)) => )", "expert-syntax"),
            ("(defrule r (declare (salience 101)) (order) => )", "expert-salience"),
            ("(defrule r (declare (salience -101)) (order) => )", "expert-salience"),
            ("(defrule r (declare (salience)) (order) => )", "expert-salience"),
            ("(defrule r (declare) (order) => )", "expert-salience"),
            ("(defrule r (order) => (assert (order)))", "expert-template"),
            ("(defrule r (order) => (assert violation))", "expert-template"),
            ("(defrule r (order) => (assert (violation (a 1))))", "expert-slot"),
            ("(defrule r (order) => (bind ?x ?*undefined*))", "expert-name"),
            ("atom", "expert-construct"),
            ("()", "expert-construct"),
            ("(DefRule r)", "expert-construct"),
        ],
    )
    def test_is_refused(self, text, code):
        assert refusal(text)[0] == code

    @pytest.mark.parametrize(
        ("text", "nearest"),
        [
            ("(defrul r)", "defrule"),
            ("(defrule r (ordr) => )", "order"),
            ("(defrule r (order (quantty 1)) => )", "quantity"),
            ("(defrule r (order) => (asert (violation)))", "assert"),
            ("(defrule r (order) => (assert (violaton)))", "violation"),
        ],
    )
    def test_a_near_name_is_offered(self, text, nearest):
        with pytest.raises(RuleFileError) as caught:
            check(read(text))
        assert caught.value.problems[0].nearest == nearest

    def test_every_code_says_what_it_is(self):
        assert all(meaning.endswith(".") for meaning in CODES.values())
        assert len(CONSTRUCTS) == 5


def test_the_hole_that_was_open_kills_clips(tmp_path):
    """Why recursion must not pass: unchecked text, in a process of its own."""
    script = (
        "from lexorder.engine.expert.session import Session\n"
        "s = Session(deadline_ms=60_000)\n"
        "s.load(['(deffunction f (?x) (f (+ ?x 1)))', '(defrule r => (f 1))'])\n"
        "s.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=tmp_path, check=False, timeout=60)
    assert done.returncode < 0, "CLIPS survives deep recursion now: the reason for the wall has gone"
