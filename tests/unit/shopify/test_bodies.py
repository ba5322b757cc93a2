"""The body factory: Shopify's shapes, exact sums, sizes as they come."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shopify.bodies import customer, encode, line, line_total, order, refund

cents = st.integers(0, 500_000).map(lambda value: Decimal(value) / 100)


def read(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal)


def test_ids_and_money_have_shopifys_types() -> None:
    sold = order(customer=customer(), lines=[line("19.90", 3, discounts=["1.00"], tax_rate="0.0825")])
    back = refund(sold)
    said, given_back = read(encode(sold)), read(encode(back))
    assert 2**53 < said["id"] < 2**63
    assert said["line_items"][0]["price"] == "19.90"
    assert said["total_price"] == "68.54"  # 58.70 + 4.84 tax + 5.00 shipping
    assert said["customer"]["id"] > 2**53
    assert given_back["refund_line_items"][0]["subtotal"] == Decimal("58.70")
    assert b'"subtotal":58.70' in encode(back)
    assert given_back["transactions"][0]["amount"] == "63.54"
    assert read(encode(order()))["customer"] is None


@given(st.lists(st.tuples(cents, st.integers(1, 9)), min_size=1, max_size=5))
def test_an_order_adds_up_and_can_be_given_back_whole(sold: list[tuple[Decimal, int]]) -> None:
    body = order(lines=[line(price, quantity) for price, quantity in sold])
    total = sum((price * quantity for price, quantity in sold), Decimal(0))
    assert sum((line_total(item) for item in body["line_items"]), Decimal(0)) == total
    assert Decimal(body["subtotal_price"]) == total
    assert sum((item["subtotal"] for item in refund(body)["refund_line_items"]), Decimal(0)) == total


def test_a_refund_names_lines_and_amounts() -> None:
    sold = order(lines=[line("10.00", 4), line("50.00", gift_card=True)])
    coffee = sold["line_items"][0]["id"]
    part = refund(sold, {coffee: 1})
    assert [(one["line_item_id"], one["subtotal"]) for one in part["refund_line_items"]] == [(coffee, Decimal("10.00"))]
    odd = refund(sold, {coffee: 1}, subtotals={coffee: "3.335"})
    assert odd["refund_line_items"][0]["subtotal"] == Decimal("3.34")


def test_sizes_are_as_they_come() -> None:
    assert 2_000 < len(encode(order(customer=customer()))) < 20_000
    for body in (order(), order(customer=customer()), refund(order())):
        assert len(encode(body, pad_to=18_000)) == 18_000
        assert read(encode(body, pad_to=18_000))["id"] == body["id"]
