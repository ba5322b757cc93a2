"""Pages and their tokens, followed as a caller follows them."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.paging import number_after, page_limit, page_of, uuid_after

ID = UUID("01a20d43-30d9-7311-bb20-5411566205f1")


def test_the_size_of_a_page_is_bounded() -> None:
    assert (page_limit(0), page_limit(7), page_limit(10_000)) == (50, 7, 200)
    with pytest.raises(InvalidInput):
        page_limit(-1)


def test_tokens_that_were_given_out_are_read() -> None:
    assert (number_after(""), number_after("12"), number_after(str(2**63 - 1))) == (0, 12, 2**63 - 1)
    assert (uuid_after(""), uuid_after(str(ID))) == (None, ID)


@pytest.mark.parametrize("wrong", ["x", "-1", "0", "٣", "1" * 5000, str(2**63), " 1"])
def test_other_numbers_are_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        number_after(wrong)


@pytest.mark.parametrize("wrong", ["x", "12", str(ID) + "0", "\x00"])
def test_other_ids_are_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        uuid_after(wrong)


@given(st.sets(st.integers(1, 1000)), st.integers(1, 20))
def test_following_the_tokens_gives_every_row_once(keys: set[int], limit: int) -> None:
    rows, token, pages = sorted(keys), "", []
    while True:
        found = [row for row in rows if row > number_after(token)][: limit + 1]
        page, token = page_of(found, limit, lambda row: row)
        pages.append(page)
        if not token:
            break
    assert [row for page in pages for row in page] == rows
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == max(1, -(-len(rows) // limit))
