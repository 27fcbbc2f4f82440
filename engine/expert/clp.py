"""Expert `.clp` text to a tree, and everything that is refused about it before CLIPS sees it.

In: text of a file a rule author wrote. Out: `Form` trees. Guaranteed of what passes: only the five admitted
constructs; only functions of the whitelist and the file's own deffunctions are called, each defined before it is called
(so nothing recurses); no name is defined twice or shadows anything CLIPS knows; no loops, no floats, no output; sizes,
depths and salience are bounded. Refused (RuleFileError, with line and column): everything else. Why here and not in
CLIPS: reading a construct already runs parts of it (slot defaults, globals, salience). Before: `codes.py`. After:
`sandbox.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from lexorder.engine.codes import nearest_name
from lexorder.engine.errors import Problem, RuleFileError, shown
from lexorder.engine.terms import NOWHERE, Span

CODES = {
    "expert-too-large": "An expert file is too long, too deep or has too many constructs.",
    "expert-syntax": "The text is no CLIPS, or not in the form a construct has.",
    "expert-construct": "Only deftemplate, defrule, deffunction, defglobal and deffacts are admitted.",
    "expert-name": "A name is used twice, not defined above, or CLIPS has one like it.",
    "expert-slot": "A slot or facet that is not there or not admitted.",
    "expert-template": "A template that is not there or may not be asserted.",
    "expert-function": "A function that may not be called.",
    "expert-literal": "Something that is neither a whole number nor a plain word.",
    "expert-salience": "Salience must be a small number.",
    "expert-sidecar": "The sidecar does not fit.",
}
"""Every code a refusal of an expert file can have."""
BYTES_MAX = 64 * 1024
DEPTH_MAX = 40
TOKENS_MAX = 20_000
CONSTRUCTS_MAX = 200
SALIENCE_MAX = 100

CONSTRUCTS = frozenset({"deftemplate", "defrule", "deffunction", "defglobal", "deffacts"})
ARITHMETIC = frozenset({"+", "-", "*", "div", "mod", "abs", "min", "max"})
TESTS = frozenset({"=", "<>", "<", "<=", ">", ">=", "eq", "neq", "and", "or", "not", "integerp", "symbolp"})
ACTIONS = frozenset({"if", "bind", "assert", "retract", "modify"})
FUNCTIONS = ARITHMETIC | TESTS | ACTIONS
"""What expressions may call. No loops, no text, no floats, nothing that touches files, rules or the session."""
ELEMENTS = frozenset({"test", "exists", "forall", "logical", "and", "or", "not"})
"""Conditional elements of a left-hand side."""
FACETS = frozenset({"type", "default", "range", "allowed-symbols", "allowed-values"})
TYPES = frozenset({"INTEGER", "SYMBOL"})

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+|;[^\n]*)|(?P<open>\()|(?P<close>\))|(?P<text>\"[^\"\\\n]*\")|(?P<atom>[^\s()\";]+)"
)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_VARIABLE = re.compile(r"\$?\?[a-z][a-z0-9_-]{0,63}\Z")
_GLOBAL = re.compile(r"\?\*[a-z][a-z0-9_-]{0,63}\*\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,15}\Z")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")
_PIECES = re.compile(r"[&|~]+")


@dataclass(frozen=True, slots=True)
class Form:
    """An atom (`text`, no `items`) or a list in parentheses."""

    text: str = ""
    items: tuple[Form, ...] = ()
    is_list: bool = False
    span: Span = field(default=NOWHERE, compare=False)

    @property
    def head(self) -> str:
        """The first atom of a list, or empty."""
        return self.items[0].text if self.items and not self.items[0].is_list else ""

    def source(self) -> str:
        """CLIPS text again, from the tree and nothing else."""
        return f"({' '.join(i.source() for i in self.items)})" if self.is_list else self.text


def refuse(code: str, message: str, span: Span, nearest: str = "") -> NoReturn:
    """Raise RuleFileError with one problem, of one of `CODES`."""
    assert code in CODES, code
    raise RuleFileError((Problem(code, message, span.file, span.line, span.column, nearest),))


def read(text: str, file: str = "") -> tuple[Form, ...]:
    """The top-level lists of a file.

    Raises:
        RuleFileError: `expert-too-large`, `expert-syntax`.
    """
    if len(text.encode("utf-8", "replace")) > BYTES_MAX:
        refuse("expert-too-large", f"an expert file has at most {BYTES_MAX} bytes", Span(file, 1, 1))
    stack: list[list[Form]] = [[]]
    opened: list[Span] = []
    for count, (kind, token, span) in enumerate(_tokens(text, file), 1):
        if count > TOKENS_MAX or len(opened) > DEPTH_MAX:
            refuse("expert-too-large", f"more than {TOKENS_MAX} words or {DEPTH_MAX} levels", span)
        if kind == "open":
            opened.append(span)
            stack.append([])
        elif kind == "close":
            if not opened:
                refuse("expert-syntax", "a `)` without its `(`", span)
            items = tuple(stack.pop())
            stack[-1].append(Form(items=items, is_list=True, span=opened.pop()))
        else:
            stack[-1].append(Form(token, span=span))
    if opened:
        refuse("expert-syntax", "this `(` is never closed", opened[-1])
    return tuple(stack[0])


def _tokens(text: str, file: str) -> Iterator[tuple[str, str, Span]]:
    place, line, start = 0, 1, 0
    while place < len(text):
        span = Span(file, line, place - start + 1, 1)
        found = _TOKEN.match(text, place)
        if found is None or not found.group().isascii() or not _printable(found.group()):
            refuse("expert-syntax", f"{shown(text[place : place + 1])} cannot stand here: ASCII text only", span)
        token = found.group()
        if found.lastgroup != "blank":
            yield str(found.lastgroup), token, span
        line += token.count("\n")
        if "\n" in token:
            start = place + token.rindex("\n") + 1
        place = found.end()


def _printable(token: str) -> bool:
    return all(c.isprintable() or c in "\t\r\n" for c in token)


# ---- what is admitted ------------------------------------------------------------------------------


@dataclass(slots=True)
class Checker:
    """Checks the constructs of one file, in order.

    Args:
        known: every function name CLIPS has; no name of the file may be one of them.
        templates: the engine's templates and their slots, which rules may match.
        results: those among them that rules may assert.

    `reads` collects the engine's (template, slot) pairs that patterns mention: a fact missing there makes the rule
    undecided, since a pattern would just not match.
    """

    known: frozenset[str]
    templates: dict[str, frozenset[str]]
    results: frozenset[str]
    reads: set[tuple[str, str]] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)

    def check(self, forms: tuple[Form, ...]) -> None:
        """Check a whole file. Raises RuleFileError at the first thing that is not admitted."""
        if len(forms) > CONSTRUCTS_MAX:
            refuse("expert-too-large", f"more than {CONSTRUCTS_MAX} constructs", forms[CONSTRUCTS_MAX].span)
        for form in forms:
            if form.head not in CONSTRUCTS:
                near = nearest_name(form.head, CONSTRUCTS)
                refuse("expert-construct", f"{shown(form.head or form.text)} is not admitted here", form.span, near)
            getattr(self, form.head)(form)

    def named(self, form: Form) -> str:
        """The name a construct defines: new, plain, and nothing CLIPS knows."""
        name = form.items[1].text if len(form.items) > 1 else ""
        span = form.items[1].span if len(form.items) > 1 else form.span
        reserved = self.known | CONSTRUCTS | ELEMENTS | FACETS | {"declare", "salience", "slot", "multislot"}
        if not _NAME.match(name) or name in reserved or name in self.templates:
            refuse("expert-name", f"{shown(name)} is no free name: lower-case letters, digits and `-`", span)
        kind = "name" if form.head in ("deftemplate", "deffunction") else form.head
        if (kind, name) in self.names:
            refuse("expert-name", f"{shown(name)} is defined twice", span)
        self.names.add((kind, name))
        return name

    # ---- constructs ----------------------------------------------------------------------------

    def deftemplate(self, form: Form) -> None:
        """Slots of plain types, with literal defaults."""
        name, slots = self.named(form), set()
        for slot in _body(form, 2):
            if slot.head != "slot" or len(slot.items) < 2 or not _NAME.match(slot.items[1].text):
                refuse("expert-slot", "a template has slots: `(slot name (type INTEGER))`", slot.span)
            if slot.items[1].text in self.known or slot.items[1].text in slots:
                refuse("expert-slot", f"{shown(slot.items[1].text)} is no free name of a slot", slot.span)
            slots.add(slot.items[1].text)
            for facet in slot.items[2:]:
                self.facet(facet)
        self.templates = {**self.templates, name: frozenset(slots)}
        self.own.add(name)

    def facet(self, form: Form) -> None:
        """A facet with literals only: CLIPS would run anything else while it reads the template."""
        if form.head not in FACETS or any(i.is_list for i in form.items):
            refuse("expert-slot", f"{shown(form.head or form.text)} is not admitted in a slot", form.span)
        for item in form.items[1:]:
            if form.head == "type" and item.text not in TYPES:
                refuse("expert-slot", "a slot's type is INTEGER or SYMBOL", item.span)
            if item.text != "?NONE":
                self.literal(item)

    def defglobal(self, form: Form) -> None:
        """`?*name* = integer or word` only."""
        items = form.items[1:]
        if len(items) % 3:
            refuse("expert-syntax", "write `(defglobal ?*limit* = 100)`", form.span)
        for variable, equals, value in zip(items[::3], items[1::3], items[2::3], strict=True):
            if not _GLOBAL.match(variable.text) or equals.text != "=" or variable.text in self.globals:
                refuse("expert-name", f"{shown(variable.text)} is no free name of a global", variable.span)
            self.literal(value)
            self.globals.add(variable.text)

    def deffunction(self, form: Form) -> None:
        """A function of what is defined above it; it is known only afterwards, so it cannot call itself."""
        name = self.named(form)
        rest = [i for i in form.items[2:] if not i.text.startswith('"')]
        if not rest or not rest[0].is_list or any(not _VARIABLE.match(p.text) for p in rest[0].items):
            refuse("expert-syntax", "a function lists its parameters: `(deffunction name (?x) …)`", form.span)
        for action in rest[1:]:
            self.expression(action)
        self.functions.add(name)

    def deffacts(self, form: Form) -> None:
        """Facts of the file's own templates, literals only."""
        self.named(form)
        for fact in _body(form, 2):
            if fact.head not in self.own:
                refuse("expert-template", f"{shown(fact.head)} is no template of this file", fact.span)
            self.slots(fact, plain=True)

    def defrule(self, form: Form) -> None:
        """Patterns, an arrow, actions."""
        self.named(form)
        body = [i for i in form.items[2:] if not (i.text.startswith('"') and not i.is_list)]
        arrows = [n for n, item in enumerate(body) if item.text == "=>"]
        if len(arrows) != 1:
            refuse("expert-syntax", "a rule has one `=>` between conditions and actions", form.span)
        skip = 0
        for n, item in enumerate(body[: arrows[0]]):
            if skip:
                skip -= 1
            elif not item.is_list and n + 2 < arrows[0] and body[n + 1].text == "<-" and _VARIABLE.match(item.text):
                skip = 1
            else:
                self.condition(item)
        for action in body[arrows[0] + 1 :]:
            self.expression(action)

    # ---- parts ---------------------------------------------------------------------------------

    def condition(self, form: Form) -> None:
        """One conditional element of a left-hand side."""
        if form.head == "declare":
            self.declaration(form)
        elif form.head == "test":
            for item in form.items[1:]:
                self.expression(item)
        elif form.head in ELEMENTS:
            for item in form.items[1:]:
                self.condition(item)
        elif form.head in self.templates:
            self.slots(form, plain=False)
        else:
            near = nearest_name(form.head, self.templates)
            refuse("expert-template", f"{shown(form.head or form.text)} is no template", form.span, near)

    def declaration(self, form: Form) -> None:
        """`(declare (salience n))` with a small literal."""
        (one,) = form.items[1:] if len(form.items) == 2 else (form,)
        value = one.items[1].text if one.head == "salience" and len(one.items) == 2 else ""
        if not _INTEGER.match(value) or abs(int(value)) > SALIENCE_MAX:
            refuse("expert-salience", f"salience is a number of at most {SALIENCE_MAX}", form.span)

    def slots(self, form: Form, *, plain: bool) -> None:
        """The slots of a pattern or a fact; `plain` admits literals only."""
        for slot in form.items[1:]:
            if not slot.is_list or slot.head not in self.templates[form.head]:
                near = nearest_name(slot.head, self.templates[form.head])
                refuse("expert-slot", f"{shown(slot.head or slot.text)} is no slot of `{form.head}`", slot.span, near)
            if form.head not in self.own:
                self.reads.add((form.head, slot.head))
            for item in slot.items[1:]:
                if item.is_list:
                    self.expression(item) if not plain else self.literal(item)
                elif plain:
                    self.literal(item)
                else:
                    self.constraint(item)

    def constraint(self, atom: Form) -> None:
        """`?x`, `~CLOSED`, `A|B`, `?x&:` and the like; the expression after `:` or `=` is a form of its own."""
        for piece in _PIECES.split(atom.text):
            if piece not in ("", ":", "=", "?"):
                self.operand(Form(piece, span=atom.span))

    def expression(self, form: Form) -> None:
        """A call of something admitted, or an operand."""
        if not form.is_list:
            self.operand(form)
            return
        head = form.head
        if head == "assert":
            self.assertion(form)
        elif head == "modify":
            self.modification(form)
        elif head in FUNCTIONS or head in self.functions:
            for item in form.items[1:]:
                self.expression(item)
        else:
            known = sorted(FUNCTIONS | self.functions)
            near = nearest_name(head, known)
            refuse("expert-function", f"{shown(head)} may not be called here", form.span, near)

    def assertion(self, form: Form) -> None:
        """`(assert (template …))` of the file's own templates or a result."""
        for fact in form.items[1:]:
            if fact.head not in self.own | self.results:
                near = nearest_name(fact.head, self.own | self.results)
                refuse("expert-template", f"{shown(fact.head or fact.text)} may not be asserted", fact.span, near)
            for slot in fact.items[1:]:
                if slot.head not in self.templates[fact.head]:
                    refuse("expert-slot", f"{shown(slot.head or slot.text)} is no slot of `{fact.head}`", slot.span)
                for item in slot.items[1:]:
                    self.expression(item)

    def modification(self, form: Form) -> None:
        """`(modify ?fact (slot value))`, the fact by its variable: CLIPS would run anything else."""
        if len(form.items) < 2:
            refuse("expert-syntax", "write `(modify ?fact (slot value))`", form.span)
        if form.items[1].is_list or not _VARIABLE.match(form.items[1].text):
            refuse("expert-literal", "what is modified is a fact bound by `?fact <- (…)`", form.items[1].span)
        slots = frozenset().union(*(self.templates[name] for name in self.own)) if self.own else frozenset()
        for slot in form.items[2:]:
            if slot.head not in slots:
                refuse(
                    "expert-slot", f"{shown(slot.head or slot.text)} is no slot of a template of this file", slot.span
                )
            for item in slot.items[1:]:
                self.expression(item)

    def operand(self, atom: Form) -> None:
        """A variable, a global defined above, an integer or a word."""
        if _GLOBAL.match(atom.text):
            if atom.text not in self.globals:
                refuse("expert-name", f"{shown(atom.text)} is not defined above", atom.span)
        elif not _VARIABLE.match(atom.text) and atom.text not in ("then", "else"):
            self.literal(atom)

    def literal(self, atom: Form) -> None:
        """An integer or a word."""
        if atom.is_list or not (_INTEGER.match(atom.text) or _WORD.match(atom.text)):
            what = atom.text or f"({atom.head} …)"
            refuse("expert-literal", f"{shown(what)} is neither a whole number nor a plain word", atom.span)


def _body(form: Form, start: int) -> tuple[Form, ...]:
    """The items of a construct after its name and its comment."""
    return tuple(i for i in form.items[start:] if i.is_list or not i.text.startswith('"'))
