"""The order of tables, and how far groups are."""

import pytest

from loyalnest.kit.errors import PreconditionFailed
from loyalnest.kit.moving.draining import slowest
from loyalnest.kit.moving.tables import Table, in_order


def table(name: str, *needs: str) -> Table:
    return Table("there", name, ("merchant_id",), (), needs)


def test_a_table_comes_after_those_that_it_refers_to() -> None:
    found = in_order([table("a", "c"), table("b"), table("c", "b"), table("d", "elsewhere")])
    assert [each.name for each in found] == ["b", "d", "c", "a"]


def test_a_circle_is_named() -> None:
    with pytest.raises(PreconditionFailed, match="a, b"):
        in_order([table("a", "b"), table("b", "a"), table("c")])


def test_the_slowest_group_counts_and_one_that_has_not_begun_is_at_the_beginning() -> None:
    assert slowest([{0: 5, 1: 9, 2: 3}, {0: 7, 1: 2}]) == {0: 5, 1: 2}
    assert slowest([{0: 5}]) == {0: 5}
