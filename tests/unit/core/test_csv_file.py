"""Reading a CSV of customers: whatever the bytes are, rows, a report without content, or a refusal in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.core import csv_file
from loyalnest.core.csv_file import COLUMNS, CustomerFile, Row
from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.import_repository import RejectedCell

HEADER = ",".join(COLUMNS)


def read(text: str | bytes) -> list[Row | list[RejectedCell]]:
    return list(CustomerFile(text.encode() if isinstance(text, str) else text).read())


def refusal(text: str | bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(text)
    return caught.value.detail


def problems(text: str) -> list[tuple[int, str, str]]:
    return [(each.line, each.column, each.reason) for cells in read(text) if isinstance(cells, list) for each in cells]


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_rows_a_report_or_a_refusal(content: bytes) -> None:
    try:
        file = CustomerFile(content)
    except InvalidInput:
        return
    assert len(list(file.read())) == file.rows


@given(st.lists(st.text(max_size=12), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_arbitrary_cells_below_a_header_are_taken_or_reported(cells: list[str], end: str) -> None:
    content = (HEADER + end + ",".join(cells)).encode()
    try:
        file = CustomerFile(content)
    except InvalidInput:
        return
    for row in file.read():
        assert isinstance(row, Row) or all(isinstance(each, RejectedCell) and each.reason for each in row)


# Begins as no word of ours does: Hypothesis also tries what it finds in the code, such as "customer".
_word = st.text(st.characters(categories=["L", "N"]), min_size=8, max_size=20).map("zqx".__add__)


@given(_word, _word)
def test_no_report_and_no_refusal_repeats_what_stands_in_the_file(one: str, other: str) -> None:
    for text in (f"{HEADER}\n{one},{other},{one}@@,,,{other}\n", f"{one},{other}\n", f'{HEADER}\n"{one}"{other}\n'):
        try:
            said = repr(read(text))
        except InvalidInput as error:
            said = error.detail
        assert one not in said
        assert other not in said


def test_a_row_says_what_its_cells_hold_and_empty_ones_say_nothing() -> None:
    rows = read(f"\ufeff{HEADER}\r\n 7 , Anna@Example.com ,+49 30 1,Anna,,YES\r\n8,,,,,\r\n")
    assert rows == [
        Row(7, {"email": "Anna@Example.com", "phone": "+49 30 1", "first_name": "Anna"}, True),
        Row(8, {}, None),
    ]


def test_columns_may_come_in_any_order_and_only_the_id_must_be_there() -> None:
    assert read("Email,CUSTOMER_ID\na@b.c,1\n") == [Row(1, {"email": "a@b.c"}, None)]


def test_a_cell_may_span_lines_and_lines_are_counted_where_rows_begin() -> None:
    text = f'{HEADER}\n\n1,,,"A\nB",,\n2,nonsense,,,,maybe\nx,,,,,\n3\n'
    assert problems(text) == [
        (3, "first_name", "must be one line of text without control characters"),
        (5, "email", "must be an e-mail address of at most 320 characters"),
        (5, "accepts_marketing", "must be true or false, or empty"),
        (6, "customer_id", "must be Shopify's numeric customer id"),
        (7, "", "has 1 cells, and the header has 6"),
    ]


@pytest.mark.parametrize("customer_id", ["0", "-1", "1.0", "1e3", "9223372036854775808", "٣", "", "0x1"])
def test_an_id_that_is_none_is_reported(customer_id: str) -> None:
    assert [column for _, column, _ in problems(f"{HEADER}\n{customer_id},a@b.c,,,,\n")] == ["customer_id"]


def test_the_largest_id_is_taken() -> None:
    assert read(f"{HEADER}\n9223372036854775807,,,,,\n") == [Row(2**63 - 1, {}, None)]


def test_of_a_customer_the_first_good_row_counts() -> None:
    text = f"{HEADER}\n1,bad,,,,\n1,a@b.c,,,,\n1,d@e.f,,,,\n"
    assert read(text)[1] == Row(1, {"email": "a@b.c"}, None)
    assert problems(text)[1] == (4, "customer_id", "is on line 3 already")


def test_a_file_that_cannot_be_read_is_refused_as_a_whole() -> None:
    assert "empty" in refusal("")
    assert "empty" in refusal("\n\n")
    assert "number 2 is none" in refusal("customer_id,anna@example.com\n1,2\n")
    assert "twice" in refusal("customer_id,email,email\n")
    assert "customer_id" in refusal("email\na@b.c\n")
    assert "UTF-8 (byte 21)" in refusal(b"customer_id,email\n1,a\xff\n")
    assert "from line 3 on" in refusal(f'{HEADER}\n1,,,,,\n2,"a,,,,\n3,,,,,\n')


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLarge, match="10485761"):
        CustomerFile(b"x" * (csv_file.MAX_BYTES + 1))
    monkeypatch.setattr(csv_file, "MAX_ROWS", 2)
    with pytest.raises(TooLarge, match="3 rows"):
        CustomerFile(b"customer_id\n1\n2\n3\n")
