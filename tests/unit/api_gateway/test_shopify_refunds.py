"""What a refund becomes, delivered by itself or inside its order."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from loyalnest.api_gateway.events import RefundFacts
from loyalnest.api_gateway.shopify_bodies import Decoded
from unit.api_gateway.bodies import facts, line, read, refund, refusal


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
