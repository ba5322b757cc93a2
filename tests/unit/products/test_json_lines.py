"""Files of products."""

import pytest

from loyalnest.api_gateway.events import ProductFacts
from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.import_repository import RejectedCell
from loyalnest.products.json_lines import MAX_BYTES, MAX_LINES, ProductFile


def read(text: str) -> list[ProductFacts | list[RejectedCell]]:
    return list(ProductFile(text.encode()).read())


def test_lines_become_products_or_say_what_is_wrong() -> None:
    found = read('\ufeff{"id": 1, "title": "A\u2028B"}\r\n\n{"id": 0}\nno\n{"id": 1}\n[]\n{"title": "x"}\n')
    assert isinstance(found[0], ProductFacts)
    assert (found[0].product_id, found[0].title) == (1, "A\u2028B")
    wrong = [each[0] for each in found[1:] if isinstance(each, list)]
    assert [(each.line, each.column) for each in wrong] == [(3, "id"), (4, ""), (5, "id"), (6, ""), (7, "id")]
    assert wrong[2].reason == "is on line 1 already"
    assert all(each.reason for each in wrong)


def test_a_bomb_of_brackets_is_one_wrong_line() -> None:
    deep = '{"id": 1, "tags": ' + "[" * 60_000
    (wrong,) = read(deep)
    assert isinstance(wrong, list)


def test_rows_are_counted() -> None:
    assert ProductFile(b'\n{"id": 1}\n\n{"id": 2}').rows == 2


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff{}"])
def test_a_file_that_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        ProductFile(content)


@pytest.mark.parametrize("content", [b" " * (MAX_BYTES + 1), b"{}\n" * (MAX_LINES + 1)])
def test_a_file_that_is_too_large_is_refused(content: bytes) -> None:
    with pytest.raises(TooLarge):
        ProductFile(content)
