"""What the words of a query may stand for."""

import pytest

from loyalnest.kit.errors import InvalidInput
from loyalnest.products.models import Sort
from loyalnest.products.query import FEW, MAX_WORDS, REACH, Filters, Known, Meaning, Query, meanings, spellings

SHIRT, SHIRTS, SKIRT, HAT, SHORT = (
    Known(number, word, 100) for number, word in enumerate(("shirt", "shirts", "skirt", "hat", "short"), 1)
)
ALL = [SHIRT, SHIRTS, SKIRT, HAT, SHORT]


def query(text: str = "", filters: Filters | None = None, offset: int = 0, limit: int = 24) -> Query:
    return Query(text, filters or Filters(), Sort.RELEVANCE, offset, limit)


def test_a_word_that_many_have_means_itself() -> None:
    assert meanings(["shirt", "hat"], ALL) == [Meaning((1,), (1,)), Meaning((4,), (4,))]


def test_the_last_word_may_go_on() -> None:
    assert meanings(["hat", "shirt"], ALL)[1] == Meaning((1,), (1, 2))
    assert meanings(["shi"], ALL) == [Meaning((), (1, 2))]


def test_a_word_that_few_have_may_be_a_slip() -> None:
    rare = Known(9, "shrit", FEW - 1)
    assert meanings(["shrit", "hat"], [*ALL, rare])[0] == Meaning((9,), (9, 1))
    common = Known(9, "shrit", FEW)
    assert meanings(["shrit", "hat"], [*ALL, common])[0] == Meaning((9,), (9,))


def test_an_unknown_word_may_be_any_that_is_one_slip_away() -> None:
    assert meanings(["shart", "hat"], ALL)[0] == Meaning((), (1, 5))
    assert meanings(["xyzzy"], ALL) == [Meaning((), ())]
    assert meanings(["hot"], ALL) == [Meaning((), ())], "three letters have too many neighbours"


def test_what_is_looked_up_for_slips() -> None:
    assert spellings(["cat", "1234", "abcd"]) == ["abc", "abcd", "abd", "acd", "bcd"]


def test_words_are_taken_once_and_not_too_many() -> None:
    assert query("a b A").words == ["a", "b"]
    assert len(query(" ".join("abcdefghijkl")).words) == MAX_WORDS


@pytest.mark.parametrize(
    ("filters", "bare"),
    [
        (Filters(), True),
        (Filters(visible=True), True),
        (Filters(visible=False), False),
        (Filters(status="draft"), False),
        (Filters(tags=("a",)), False),
    ],
)
def test_what_has_been_counted_beforehand(filters: Filters, bare: bool) -> None:
    assert filters.bare is bare


def test_results_reach_so_far_and_no_further() -> None:
    assert query(offset=REACH - 10, limit=24).end == REACH
    with pytest.raises(InvalidInput):
        query(offset=REACH)
