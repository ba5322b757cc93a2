"""Every way to refuse a body, with the path of the field that is wrong; and bodies of topics that are only kept."""

import json
from typing import Any

import pytest

from loyalnest.api_gateway.facts import MAX_LINES
from loyalnest.api_gateway.shopify_bodies import MAX_BODY_BYTES, OTHER_KEY, Decoded, decode
from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.shopify.values import MAX_ID
from unit.api_gateway.bodies import facts, line, order, read, refund, refusal, without


class TestOtherTopics:
    @pytest.mark.parametrize("body", [b"{}", b" [] ", b'{"a":[1,{"b":1e999}]}', '{"é":"ü"}'.encode()])
    @pytest.mark.parametrize("topic", ["collections/create", "shop/redact", "", "orders/CREATE", "../x"])
    def test_any_json_is_let_through(self, topic: str, body: bytes) -> None:
        assert decode(topic, body) == Decoded(ordering_key=OTHER_KEY)

    @pytest.mark.parametrize("body", [b"", b"{", b"1", b'"x"', b"null", b"NaN", b"{}{}", b'{"a":"\xff"}', b'{"a":01}'])
    def test_anything_else_is_refused(self, body: bytes) -> None:
        assert refusal(body, "collections/create")


BAD_IDS: list[object] = [
    0,
    -1,
    MAX_ID + 1,
    10**300,
    1.5,
    True,
    "",
    "0",
    "-1",
    "01",
    "1\n",
    "\N{ARABIC-INDIC DIGIT ONE}",
]
BAD_PRICES: list[object] = [
    *("-1", "-0.01", -1, "NaN", "sNaN", "Infinity", "-Infinity", "", "ten", "1,5", None, True, [], {}),
    *("1e999999999", "1e-999999999", "1e9999999999999999999999", "1000000000000000", 10**15, "0." + "0" * 40 + "1"),
]
BAD_QUANTITIES: list[object] = [-1, 10**7 + 1, 10**30, 10**4000, "2", 1.5, None, False]
BAD_TIMES: list[object] = ["", "soon", "2026-01-02", "2026-01-02T03:04:05", "0001-01-01T00:00:00+14:00", 1700000000]


def wrong(where: str, **changes: Any) -> tuple[object, str]:
    """An order with `changes`, and what the refusal must begin with."""
    return order(**changes), where


def wrong_line(where: str, **changes: Any) -> tuple[object, str]:
    return wrong(f"line_items[1]{where}", line_items=[line(), line(**changes)])


REFUSED: list[tuple[object, str]] = [
    *((without(order(), name), f"{name}: is missing") for name in ("id", "line_items", "financial_status")),
    *(wrong(f"{name}: expected ", **{name: None}) for name in ("id", "line_items", "financial_status")),
    *(
        (order(line_items=[line(), without(line(), name)]), f"line_items[1].{name}: is missing")
        for name in ("id", "price", "quantity")
    ),
    *(wrong("id: expected ", id=bad) for bad in BAD_IDS),
    wrong("id: expected a whole number from 1 to", id=str(MAX_ID + 1)),
    *(wrong_line(".price: expected ", price=bad) for bad in BAD_PRICES),
    *(wrong_line(".quantity: expected ", quantity=bad) for bad in BAD_QUANTITIES),
    *(wrong("created_at: expected a time", created_at=bad) for bad in BAD_TIMES),
    wrong_line(".discount_allocations[0].amount: expected ", discount_allocations=[{"amount": "-1"}]),
    wrong_line(".discount_allocations[0].amount: is missing", discount_allocations=[{}]),
    wrong_line(".discount_allocations[0]: expected an object", discount_allocations=[None]),
    wrong_line(".product_id: expected ", product_id="9999999999999999999"),
    wrong_line(": expected a sum below", price="999999999999999", quantity=2),
    wrong("line_items: expected a sum below", line_items=[line(price="999999999999999", quantity=1)] * 2),
    wrong("line_items: expected a list of length", line_items=[line()] * (MAX_LINES + 1)),
    wrong("line_items[0]: expected an object, got null", line_items=[None]),
    wrong("customer.id: is missing", customer={}),
    wrong("customer: expected an object or null, got a whole number", customer=7),
    wrong("customer.id: expected ", customer={"id": 0}),
    wrong("currency: expected a code of three letters", currency="US\0"),
    wrong("currency: expected a code of three letters", currency="ßßß"),
    wrong("currency: expected text or null", currency=840),
    wrong("test: expected true or false or null, got text", test="yes"),
    wrong("updated_at: expected a time from 1970 to 2199", updated_at="9999-12-31T23:59:59-23:59"),
    wrong("cancelled_at: expected a time or null", cancelled_at=True),
    wrong("refunds[0].refund_line_items[0].subtotal: ", refunds=[{"id": 1, "refund_line_items": [{"subtotal": "-1"}]}]),
    wrong("refunds[0].id: expected", refunds=[{"id": str(MAX_ID + 1), "refund_line_items": []}]),
    ([], "body: expected an object, got a list"),
]


@pytest.mark.parametrize(("body", "detail"), REFUSED)
def test_a_wrong_order_is_refused_with_the_fields_path(body: object, detail: str) -> None:
    assert refusal(body).startswith(detail)


@pytest.mark.parametrize(
    ("topic", "body", "detail"),
    [
        ("refunds/create", without(refund(), "order_id"), "order_id: is missing"),
        ("refunds/create", without(refund(), "refund_line_items"), "refund_line_items: is missing"),
        (
            "refunds/create",
            refund(refund_line_items=[{"subtotal": "9e14"}] * 2),
            "refund_line_items: expected a sum below",
        ),
        ("refunds/create", refund(order_id=-1), "order_id: "),
        ("customers/create", {}, "id: is missing"),
        ("customers/update", {"id": 1, "accepts_marketing": "yes"}, "accepts_marketing: "),
        ("customers/update", {"id": 1, "email_marketing_consent": []}, "email_marketing_consent: "),
    ],
)
def test_a_wrong_refund_or_customer_is_refused(topic: str, body: object, detail: str) -> None:
    assert refusal(body, topic).startswith(detail)


ORDER_BYTES = json.dumps(order()).encode()


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "not valid JSON"),
        (ORDER_BYTES[:-1], "not valid JSON"),
        (ORDER_BYTES + b"x", "not valid JSON"),
        (b"\xef\xbb\xbf" + ORDER_BYTES, "not valid JSON"),
        (ORDER_BYTES.replace(b'"10.00"', b"NaN"), "not valid JSON"),
        (ORDER_BYTES[:-1] + b',"x":Infinity}', "not valid JSON"),
        (ORDER_BYTES[:-1] + rb',"note":"\ud800 alone, high"}', "not valid JSON"),
        (ORDER_BYTES[:-1] + rb',"email":"\udc00 alone, low"}', "not valid JSON"),
        (ORDER_BYTES.replace(b"820982911946154508", b"9" * 5000), "id: expected a smaller number"),
        (ORDER_BYTES[:-1] + b',"note":"\xff"}', "not UTF-8"),
        (ORDER_BYTES.decode().encode("utf-16"), "not UTF-8"),
    ],
)
def test_bytes_that_no_encoder_writes_are_refused(body: bytes, detail: str) -> None:
    assert detail in refusal(body)


@pytest.mark.parametrize("topic", ["orders/create", "refunds/create", "customers/update", "products/create"])
@pytest.mark.parametrize("opening", ["[", '{"a":', '{"line_items":[', '[{"x":'])
@pytest.mark.parametrize("prefix", ["", '{"id":1,"x":', '{"email":', '{"shipping_address":', '{"addresses":[{"zip":'])
def test_a_depth_bomb_is_refused(topic: str, prefix: str, opening: str) -> None:
    refusal((prefix + opening * 60_000).encode(), topic)


@pytest.mark.parametrize("field", ["note", "email", "shipping_address"])
def test_no_depth_near_the_guards_limit_escapes(field: str) -> None:
    for depth in range(800, 1001):
        nested = "[" * depth + "]" * depth
        value = nested if field != "shipping_address" else f'{{"latitude":{nested}}}'
        try:
            assert read(ORDER_BYTES[:-1] + f',"{field}":{value}}}'.encode()).order == facts()
        except InvalidInput as error:
            assert error.detail == "The body is nested too deeply"  # noqa: PT017 - either is right here


def test_a_body_above_the_limit_is_not_even_looked_at() -> None:
    assert decode("collections/create", b"{}" + b" " * (MAX_BODY_BYTES - 2)).ordering_key == OTHER_KEY
    with pytest.raises(TooLarge):
        decode("orders/create", b"\xff" * (MAX_BODY_BYTES + 1))


def test_a_refusal_repeats_nothing_of_the_body() -> None:
    secret = "jane.doe@example.com"
    for body in (order(id=secret), order(financial_status=[secret]), order(created_at=secret), order(currency=secret)):
        assert secret not in refusal(body)
