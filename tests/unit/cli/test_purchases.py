"""Files of purchases: what each line becomes, and which line is named when it cannot be read."""

import json
from pathlib import Path

import pytest

from loyalnest.api_gateway.shopify_bodies import decode
from loyalnest.cli.purchases import read_purchases
from loyalnest.kit.errors import InvalidInput


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "purchases.txt"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_line_of_cdnow_is_a_customer_once_and_an_order(tmp_path: Path) -> None:
    lines = (" 00004 19970101 2 29.33", " 00004 19970118 2 29.73", "00021 19970101 3 63.34")
    found = read_purchases(written(tmp_path, "\n".join(lines)))
    assert [each.topic for each in found] == [
        *("customers/create", "orders/create", "orders/create"),
        *("customers/create", "orders/create"),
    ]
    assert len({each.delivery_id for each in found}) == len(found)
    order = decode("orders/create", found[1].body).order
    assert order is not None
    assert (str(order.base), order.customer_id, order.paid) == ("29.33", 7_000_000_000_004, True)
    assert f"{order.placed_at:%Y-%m-%d}" == "1997-01-01"


def test_the_sample_with_its_second_id_reads_alike(tmp_path: Path) -> None:
    one = read_purchases(written(tmp_path, "00004 19970101 2 29.33\n"))
    two = read_purchases(written(tmp_path, "00004 0001 19970101 2 29.33\n"))
    assert one == two


def test_json_lines_are_bodies_or_name_their_topic(tmp_path: Path) -> None:
    refund = {"topic": "refunds/create", "body": {"id": 1}, "webhook_id": "w1"}
    lines = [json.dumps({"id": 5}), json.dumps(refund), json.dumps({"topic": "a/b", "body": {"id": 5}})]
    found = read_purchases(written(tmp_path, "\ufeff" + "\n\n".join(lines)))
    assert [(each.topic, json.loads(each.body)) for each in found] == [
        *(("orders/create", {"id": 5}), ("refunds/create", {"id": 1}), ("a/b", {"id": 5})),
    ]
    assert found[1].delivery_id == "w1"
    assert found == read_purchases(written(tmp_path, "\n".join(lines))), "the same line keeps its delivery's id"
    assert found[0].delivery_id != found[2].delivery_id


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("00004 19970101 2 29.33\nabc\n", "purchases.txt:2: not a line of CDNOW"),
        ("00004 19971301 2 29.33\n", ":1: not a line of CDNOW"),
        ('{"id": 1}\n[1]\n', ":2: not a JSON object"),
        ('{"id": 1}\n{"id"\n', ":2: not a JSON object"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_purchases(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.txt is not there"):
        read_purchases(tmp_path / "nothing.txt")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_purchases(tmp_path)
