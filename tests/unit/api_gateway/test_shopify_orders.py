"""What an order's body becomes: its facts, and the base that its points are counted from."""

import decimal
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from loyalnest.api_gateway.events import LineFacts
from loyalnest.kit.shopify.values import MAX_ID
from unit.api_gateway.bodies import BIG_ID, base, facts, line, order, read, refusal, without


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


def test_the_caller_s_decimal_context_changes_nothing() -> None:
    with decimal.localcontext(decimal.Context(prec=2)):
        assert base(line(price="123456.789", quantity=7)) == Decimal("864197.523")
