"""What may be searched for and written by hand."""

import pytest

from loyalnest.core.service import search_terms
from loyalnest.core.values import checked_personal
from loyalnest.kit.errors import InvalidInput


def test_a_search_is_whatever_it_can_be() -> None:
    assert search_terms(" Anna@Example.com ") == (None, "Anna@Example.com", "")
    assert search_terms("+49 30 555") == (None, "", "+49 30 555")
    assert search_terms("7000000000001") == (7000000000001, "", "7000000000001")


@pytest.mark.parametrize("text", ["anna", "-", "x" * 400, "٣"])
def test_a_search_for_part_of_something_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        search_terms(text)


def test_every_wrong_field_is_named_and_no_value_repeated() -> None:
    values = {"email": "planted", "phone": "planted", "first_name": "planted" * 50, "last_name": "plan\nted"}
    with pytest.raises(InvalidInput) as caught:
        checked_personal(values)
    assert all(name in caught.value.detail for name in values)
    assert "plan" not in caught.value.detail
    assert checked_personal({"email": " a@b ", "phone": " "}) == {"email": "a@b", "phone": ""}
