"""Shared expressions are worked out once and change nothing."""

from __future__ import annotations

import pytest

from lexorder.engine.sharing import shared


def result(lines: list[str], **names: object) -> tuple[int, ...]:
    space: dict[str, object] = {"r": (), **names}
    exec("\n".join(lines), space)
    found = space["r"]
    assert isinstance(found, tuple)
    return found


LINES = [
    "if not ((a * b) <= 6): r += (0,)",
    "if not (((a * b) + L[0]) <= 6): r += (1,)",
    "if L[0]:",
    "    if not (max((a * b), -L[1]) in (6, 7)): r += (2,)",
    "if not ((5 if (T[0] == 'x') else 7) > a and not (b != 3)): r += (3,)",
    "L[0]",
]


@pytest.mark.parametrize("a", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("flag", [0, 1])
def test_the_same_result(a, flag):
    names = {"a": a, "b": 3, "L": [flag, 4], "T": ["x"]}
    assert result(shared(LINES), **names) == result(LINES, **names)


def test_what_occurs_twice_is_named_once():
    written = shared(LINES)
    assert sum("(a * b)" in line for line in written) == 1
    assert written[0].startswith("s0 = ")
    assert sum("L[0]" in line for line in written) == 1


def test_parts_of_a_shared_expression_come_before_it():
    written = shared(["if (a * b) + c: r += (0,)", "if (a * b) + c: r += (1,)", "if (a * b) > 1: r += (2,)"])
    assert [line.split(" = ")[0] for line in written[:2]] == ["s0", "s1"]
    assert "s0" in written[1]


def test_what_occurs_once_stays_in_place():
    assert shared(["if a + 1 > b: r += (0,)"]) == ["if ((a + 1) > b):", "    r += (0,)"]
    assert shared([]) == []


@pytest.mark.parametrize("line", ["x = 1", "for i in y: r += (0,)", "f'{a}'", "[a for a in b]"])
def test_other_python_is_refused(line):
    with pytest.raises(TypeError):
        shared([line])
