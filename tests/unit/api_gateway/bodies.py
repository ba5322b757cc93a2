"""Shopify bodies to change and read, for the tests of what they become."""

import json
from decimal import Decimal
from typing import Any

import pytest

from loyalnest.api_gateway.shopify_bodies import Decoded, decode
from loyalnest.kit.errors import InvalidInput

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
