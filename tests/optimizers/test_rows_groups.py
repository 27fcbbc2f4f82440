"""Sums over issuers as rows: exact where one name stands for each issuer, refused by name where several do."""

from __future__ import annotations

from itertools import product

import pytest

from lexorder.optimizers.rows import RowsRefused
from tests.optimizers.test_rows import holds, lowered, rule, small

FORTY = (
    "sum(issuer.sum(position.after.value) where issuer.sum(position.after.value) > 5% * account.nav)"
    " <= 10% * account.nav"
)


def large(*shares: int) -> int:
    """Value of the issuers above 5% of 1,000, each one name at 10."""
    return sum(10 * x for x in shares if 10 * x > 50)


def one_issuer(*shares: int) -> dict[str, object]:
    """The same holdings, all of one issuer."""
    given = small(*shares)
    rows = given["instruments"]
    assert isinstance(rows, list)
    return {**given, "instruments": [{**row, "issuer": "SAME"} for row in rows]}


def test_one_name_for_each_issuer_is_exact():
    found, _ = lowered(rule(FORTY, for_each="account"), small(3, 2, 0))
    for x in product(range(12), repeat=3):
        assert holds(found, x) == (large(*x) <= 100), x


def test_several_names_of_an_issuer_are_refused_with_the_reason():
    given = one_issuer(3, 2)
    with pytest.raises(RowsRefused, match="several names"):
        lowered(rule(FORTY, for_each="account"), given)


def test_a_plain_sum_over_issuers_needs_no_choice():
    given = one_issuer(3, 2)
    found, _ = lowered(rule("sum(issuer.after.value) <= 80", for_each="account"), given)
    assert [holds(found, x) for x in ((3, 5), (4, 5), (8, 0), (0, 9))] == [True, False, True, False]


def test_an_issuer_counts_once_it_is_held():
    found, _ = lowered(
        rule("count(issuer where issuer.sum(position.after.quantity) != 0) <= 1", for_each="account"), small(0, 0)
    )
    assert [holds(found, x) for x in ((0, 0), (3, 0), (0, 3), (1, 1))] == [True, True, True, False]


def test_sums_of_the_account_in_a_rule_for_each_issuer_take_all_of_it():
    text = rule("sum(position.after.value) <= 50% * account.sum(position.after.value)", for_each="issuer")
    found, _ = lowered(text, small(3, 3))
    assert [holds(found, x) for x in ((3, 3), (4, 3), (5, 5))] == [True, False, True]
