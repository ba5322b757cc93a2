"""Examples of every rule by which a Shopify body becomes facts, and of every way to refuse one."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from loyalnest.api_gateway.events import CustomerFacts, LineFacts, PersonalData, RefundFacts
from loyalnest.api_gateway.facts import MAX_ID, MAX_LINES
from loyalnest.api_gateway.shopify_bodies import MAX_ADDRESSES, MAX_BODY_BYTES, MAX_TEXT, OTHER_KEY, Decoded, decode
from loyalnest.kit.errors import InvalidInput, TooLarge

BIG_ID = 2**53 + 1


def line(**changes: Any) -> dict[str, Any]:
    return {"id": 11, "product_id": 21, "price": "10.00", "quantity": 2, "gift_card": False} | changes


def order(**changes: Any) -> dict[str, Any]:
    return {
        "id": 820982911946154508,
        "currency": "USD",
        "financial_status": "paid",
        "created_at": "2026-01-02T03:04:05-05:00",
        "customer": {"id": BIG_ID},
        "line_items": [line()],
    } | changes


def refund(**changes: Any) -> dict[str, Any]:
    return {"id": 31, "order_id": 41, "refund_line_items": []} | changes


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def read(body: object, topic: str = "orders/create") -> Decoded:
    return decode(topic, body if isinstance(body, bytes) else json.dumps(body).encode())


def facts(**changes: Any) -> Any:
    return read(order(**changes)).order


def base(*lines: dict[str, Any]) -> Decimal:
    found = facts(line_items=list(lines)).base
    assert isinstance(found, Decimal)
    return found


def refusal(body: object, topic: str = "orders/create") -> str:
    with pytest.raises(InvalidInput) as caught:
        read(body, topic)
    assert caught.value.__cause__ is None
    return caught.value.detail


class TestOrder:
    def test_a_whole_order(self) -> None:
        decoded = read(order(updated_at="2026-01-03T00:00:00Z", test=True, currency="usd"))
        assert decoded.refund is None
        assert decoded.customer is None
        found = decoded.order
        assert found is not None
        assert found.order_id == 820982911946154508
        assert found.customer_id == BIG_ID
        assert found.currency == "USD"
        assert found.test
        assert found.paid
        assert not found.cancelled
        assert found.placed_at == datetime(2026, 1, 2, 8, 4, 5, tzinfo=UTC)
        assert found.updated_at == datetime(2026, 1, 3, tzinfo=UTC)
        assert found.lines == [LineFacts(line_id=11, product_id=21, quantity=2, base=Decimal(20))]
        assert found.base == Decimal("20.00")
        assert decoded.ordering_key == str(BIG_ID)

    def test_processed_at_goes_before_created_at(self) -> None:
        assert facts(processed_at="2025-05-05T00:00:00Z").placed_at == datetime(2025, 5, 5, tzinfo=UTC)
        assert facts(processed_at=None).placed_at == datetime(2026, 1, 2, 8, 4, 5, tzinfo=UTC)
        assert "processed_at" in refusal(without(order(), "created_at"))

    @pytest.mark.parametrize(
        ("status", "paid"),
        [
            ("paid", True),
            ("partially_refunded", True),
            ("refunded", True),
            ("pending", False),
            ("authorized", False),
            ("partially_paid", False),
            ("voided", False),
        ],
    )
    def test_paid_is_what_the_status_says(self, status: str, paid: bool) -> None:
        found = read(order(financial_status=status), "orders/updated").order
        assert found is not None
        assert found.paid is paid

    def test_cancelled_by_topic_or_body(self) -> None:
        by_topic = read(order(), "orders/cancelled").order
        assert by_topic is not None
        assert by_topic.cancelled
        assert facts(cancelled_at="2026-01-02T03:04:05Z").cancelled
        assert not facts(cancelled_at=None).cancelled

    @pytest.mark.parametrize("guest", [order(customer=None), without(order(), "customer")])
    def test_a_guest_order_is_kept_without_anything_personal(self, guest: dict[str, Any]) -> None:
        decoded = read(guest | {"email": "guest@example.com"})
        assert decoded.order is not None
        assert decoded.order.customer_id is None
        assert decoded.personal is None
        assert decoded.ordering_key == "order:820982911946154508"

    def test_ids_may_be_text_and_as_large_as_int64(self) -> None:
        decoded = read(order(id=str(MAX_ID), customer={"id": str(BIG_ID)}, line_items=[line(id="12", product_id=None)]))
        assert decoded.order is not None
        assert decoded.order.order_id == MAX_ID
        assert decoded.order.customer_id == BIG_ID
        assert decoded.order.lines[0].line_id == 12
        assert decoded.order.lines[0].product_id is None

    def test_unknown_fields_and_unicode_do_no_harm(self) -> None:
        body = order(note="\U0001f9fe émile — 注文\u0000", note_attributes=[{"name": "\u202e", "value": None}])
        assert read(body) == read(order())
        assert read(json.dumps(body, ensure_ascii=False).replace("\0", "").encode()) == read(order())


class TestBase:
    def test_money_is_exact_as_text_and_as_number(self) -> None:
        assert base(line(price="0.10", quantity=3)) == Decimal("0.3")
        assert read(json.dumps(order()).replace('"10.00"', "0.1").encode()).order == facts(
            line_items=[line(price="0.1")]
        )
        assert base(line(price="123456789012.345678", quantity=3)) == Decimal("370370367037.037034")

    def test_discount_allocations_are_taken_off(self) -> None:
        allocations = [{"amount": "1.50"}, {"amount": 0.25, "amount_set": {"presentment_money": {"amount": "99"}}}]
        assert base(line(discount_allocations=allocations)) == Decimal("18.25")
        assert base(line(discount_allocations=[])) == base(line(discount_allocations=None)) == Decimal(20)

    def test_a_discount_above_its_line_does_not_reach_another(self) -> None:
        assert base(line(discount_allocations=[{"amount": "25"}]), line(id=12, price="5", quantity=1)) == Decimal(5)

    def test_gift_cards_are_listed_but_not_counted(self) -> None:
        found = facts(line_items=[line(), line(id=12, gift_card=True, price="50", quantity=1)])
        assert found.base == Decimal(20)
        assert found.lines[1] == LineFacts(line_id=12, product_id=21, quantity=1, base=Decimal(50), gift_card=True)

    def test_tax_and_shipping_never_count_and_included_tax_stays_in(self) -> None:
        extras = {"total_tax": "9.99", "shipping_lines": [{"price": "7.00"}], "total_price": "36.99"}
        taxed = line(tax_lines=[{"price": "3.33"}])
        assert facts(line_items=[taxed], **extras).base == Decimal(20)
        assert facts(line_items=[taxed], taxes_included=True, **extras).base == Decimal(20)

    def test_no_lines_and_no_quantity_make_nothing(self) -> None:
        assert facts(line_items=[]).base == 0
        assert base(line(quantity=0)) == 0
        assert str(base(line(price="-0.00"))) == "0"

    def test_shop_money_counts_and_not_the_buyers(self) -> None:
        sets = {"shop_money": {"amount": "10.00"}, "presentment_money": {"amount": "1400"}}
        assert base(line(price_set=sets)) == Decimal(20)

    def test_float_noise_is_rounded_half_even_to_six_places(self) -> None:
        assert base(line(price=29.989999999999998, quantity=1)) == Decimal("29.99")
        assert base(line(price="0.0000005", quantity=1)) == 0
        assert base(line(price="0.0000015", quantity=1)) == Decimal("0.000002")

    def test_an_exponent_is_written_out(self) -> None:
        assert str(base(line(price="1e3", quantity=1))) == "1000"
        assert str(base(line(price="0e999999999", quantity=7))) == "0"


class TestRefund:
    def test_the_base_is_the_sum_of_subtotals_without_gift_cards(self) -> None:
        body = refund(
            created_at="2026-02-01T00:00:00Z",
            refund_line_items=[
                {"line_item_id": 1, "quantity": 1, "subtotal": 195.67, "line_item": {"gift_card": False}},
                {"line_item_id": 2, "quantity": 1, "subtotal": "4.33", "line_item": None},
                {"line_item_id": 3, "quantity": 1, "subtotal": "50.00", "line_item": {"gift_card": True}},
            ],
        )
        decoded = read(body, "refunds/create")
        made = datetime(2026, 2, 1, tzinfo=UTC)
        assert decoded == Decoded(
            refund=RefundFacts(refund_id=31, order_id=41, base=Decimal(200), created_at=made), ordering_key="order:41"
        )

    def test_a_refund_of_shipping_alone_is_0(self) -> None:
        body = refund(order_adjustments=[{"amount": "-7.00"}], transactions=[{"amount": "7.00"}])
        found = read(body, "refunds/create").refund
        assert found is not None
        assert found.base == 0

    @pytest.mark.parametrize("refunded", [{}, {"subtotal": None}])
    def test_a_refund_line_without_its_subtotal_is_refused_not_guessed(self, refunded: dict[str, Any]) -> None:
        body = refund(refund_line_items=[{"line_item": {"price": "10.00"}, "quantity": 1} | refunded])
        assert refusal(body, "refunds/create").startswith("refund_line_items[0].subtotal: ")

    def test_refunds_inside_an_order(self) -> None:
        inner = [
            {
                "id": 31,
                "refund_line_items": [{"line_item_id": 11, "subtotal": 5.5}, {"line_item_id": 12, "subtotal": 50}],
            },
            {"id": "32", "order_id": 999, "refund_line_items": []},
        ]
        lines = [line(), line(id=12, gift_card=True, price="50", quantity=1)]
        own = 820982911946154508
        assert facts(line_items=lines, refunds=inner).refunds == [
            RefundFacts(refund_id=31, order_id=own, base=Decimal("5.5")),
            RefundFacts(refund_id=32, order_id=own, base=Decimal(0)),
        ]
        assert facts(refunds=None).refunds == []

    def test_a_refund_listed_twice_is_there_once(self) -> None:
        twice = {"id": 31, "refund_line_items": [{"subtotal": "1"}]}
        assert len(facts(refunds=[twice, twice]).refunds) == 1


class TestCustomer:
    def test_a_whole_customer(self) -> None:
        body = {
            "id": BIG_ID,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": None,
            "email": "ana@example.com",
            "phone": "+15551234567",
            "first_name": "Ana",
            "last_name": "Núñez",
            "email_marketing_consent": {"state": "subscribed", "opt_in_level": "single_opt_in"},
            "default_address": {"id": 5, "city": "Lugo", "zip": "27001", "default": True},
            "addresses": [{"id": 5, "city": "Lugo", "zip": "27001"}, {"city": "Vigo", "address2": None}],
        }
        assert read(body, "customers/update") == Decoded(
            customer=CustomerFacts(
                customer_id=BIG_ID, created_at=datetime(2026, 1, 1, tzinfo=UTC), accepts_marketing=True
            ),
            personal=PersonalData(
                email="ana@example.com",
                phone="+15551234567",
                first_name="Ana",
                last_name="Núñez",
                addresses=[{"city": "Lugo", "zip": "27001"}, {"city": "Vigo"}],
            ),
            ordering_key=str(BIG_ID),
        )

    @pytest.mark.parametrize(
        ("body", "accepts"),
        [
            ({"email_marketing_consent": {"state": "unsubscribed"}, "accepts_marketing": True}, False),
            ({"email_marketing_consent": None, "accepts_marketing": True}, True),
            ({"email_marketing_consent": {"state": None}, "accepts_marketing": False}, False),
            ({}, None),
        ],
    )
    def test_consent(self, body: dict[str, Any], accepts: bool | None) -> None:
        found = read(body | {"id": 1}, "customers/create").customer
        assert found is not None
        assert found.accepts_marketing is accepts

    def test_nothing_personal_is_none(self) -> None:
        assert read({"id": 1, "email": "", "addresses": [{}]}, "customers/create").personal is None


class TestPersonal:
    def personal(self, **changes: Any) -> PersonalData:
        found = read(order(**changes)).personal
        assert found is not None
        return found

    def test_from_an_order(self) -> None:
        address = {"address1": "1 Rúa", "city": "Lugo", "country": "Spain", "province": None, "latitude": 43.0}
        assert self.personal(
            email="a@example.com",
            phone=None,
            customer={"id": 1, "first_name": "Ana", "last_name": " Núñez ", "phone": "+34", "email": "b@example.com"},
            billing_address=address,
            shipping_address=address | {"company": "ACME", "phone": "+1"},
        ) == PersonalData(
            email="a@example.com",
            phone="+34",
            first_name="Ana",
            last_name="Núñez",
            addresses=[
                {"address1": "1 Rúa", "city": "Lugo", "country": "Spain"},
                {"company": "ACME", "address1": "1 Rúa", "city": "Lugo", "country": "Spain", "phone": "+1"},
            ],
        )

    def test_the_email_is_the_first_there_is(self) -> None:
        customer = {"id": 1, "email": "c@example.com"}
        assert self.personal(email="", contact_email="b@x.io", customer=customer).email == "b@x.io"
        assert self.personal(email=None, customer=customer).email == "c@example.com"

    @pytest.mark.parametrize("odd", [1, 1.5, True, [], {}, {"a": ["b"]}, ["x"], None, 10**400])
    def test_fields_of_an_odd_type_are_left_out(self, odd: object) -> None:
        body = order(email=odd, phone="+1", billing_address=odd, shipping_address={"city": odd, "zip": "1"})
        body["customer"] = {"id": 1, "first_name": odd, "last_name": "N"}
        assert self.personal(**body) == PersonalData(phone="+1", last_name="N", addresses=[{"zip": "1"}])

    def test_control_characters_are_cleaned_away(self) -> None:
        found = self.personal(email="a\u0000@example.com", customer={"id": 1, "first_name": "An\na\u0085\u0007"})
        assert found == PersonalData(email="a@example.com", first_name="An a")

    def test_joiners_of_emoji_and_scripts_stay(self) -> None:
        name = "\U0001f469\u200d\U0001f680 क्\u200dष O\u2019Neil"
        assert self.personal(customer={"id": 1, "first_name": name}).first_name == name

    def test_long_texts(self) -> None:
        customer = {"id": 1, "first_name": "é" * 1000}
        found = self.personal(email="a" * 400 + "@example.com", phone="1" * 65, customer=customer)
        assert found == PersonalData(first_name="é" * MAX_TEXT)

    def test_many_addresses(self) -> None:
        cities = [{"city": f"c{number}"} for number in range(100)]
        body = {"id": 1, "default_address": {"city": "home"}, "addresses": cities}
        found = read(body, "customers/create").personal
        assert found is not None
        assert found.addresses == [{"city": "home"}, *cities[: MAX_ADDRESSES - 1]]


class TestOtherTopics:
    @pytest.mark.parametrize("body", [b"{}", b" [] ", b'{"a":[1,{"b":1e999}]}', '{"é":"ü"}'.encode()])
    @pytest.mark.parametrize("topic", ["products/create", "shop/redact", "", "orders/CREATE", "../x"])
    def test_any_json_is_let_through(self, topic: str, body: bytes) -> None:
        assert decode(topic, body) == Decoded(ordering_key=OTHER_KEY)

    @pytest.mark.parametrize("body", [b"", b"{", b"1", b'"x"', b"null", b"NaN", b"{}{}", b'{"a":"\xff"}', b'{"a":01}'])
    def test_anything_else_is_refused(self, body: bytes) -> None:
        assert refusal(body, "products/create")


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
    assert decode("products/create", b"{}" + b" " * (MAX_BODY_BYTES - 2)).ordering_key == OTHER_KEY
    with pytest.raises(TooLarge):
        decode("orders/create", b"\xff" * (MAX_BODY_BYTES + 1))


def test_a_refusal_repeats_nothing_of_the_body() -> None:
    secret = "jane.doe@example.com"
    for body in (order(id=secret), order(financial_status=[secret]), order(created_at=secret), order(currency=secret)):
        assert secret not in refusal(body)


def test_the_caller_s_decimal_context_changes_nothing() -> None:
    import decimal

    with decimal.localcontext(decimal.Context(prec=2)):
        assert base(line(price="123456.789", quantity=7)) == Decimal("864197.523")
