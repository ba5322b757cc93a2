"""Orders as Shopify's GraphQL Admin API tells them: a page of what changed, and one order whole.

A page asks only for what shows whether a delivery was missed. An order that was is asked for whole, and put into the
shape of a delivery's body, so that one set of rules makes facts of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from loyalnest.api_gateway.facts import PAID
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.shopify.graphql import GraphQL

PAGE: Final = 50
LINES: Final = 100
"""Of an order or refund, in one call: what Shopify reckons for it stays below the 1,000 points of a single query."""

_CHANGED: Final = """
query ChangedOrders($first: Int!, $after: String, $query: String!) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes { id updatedAt cancelledAt displayFinancialStatus customer { id } refunds { id } }
  }
}
"""
_LINES_OF_ORDER: Final = """
  lineItems(first: $first, after: $after) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id quantity isGiftCard product { id }
      originalUnitPriceSet { shopMoney { amount } }
      discountAllocations { allocatedAmountSet { shopMoney { amount } } }
    }
  }
"""
_ORDER: Final = f"""
query WholeOrder($id: ID!, $first: Int!, $after: String) {{
  order(id: $id) {{
    id createdAt processedAt updatedAt cancelledAt test currencyCode displayFinancialStatus customerLocale email phone
    discountCodes customAttributes {{ key value }}
    customer {{ id firstName lastName }}
    billingAddress {{ name company address1 address2 city zip province country phone }}
    shippingAddress {{ name company address1 address2 city zip province country phone }}
    refunds {{ id createdAt }}
    {_LINES_OF_ORDER}
  }}
}}
"""
_MORE_LINES: Final = f"""
query OrderLines($id: ID!, $first: Int!, $after: String) {{ order(id: $id) {{ {_LINES_OF_ORDER} }} }}
"""
_REFUND: Final = """
query WholeRefund($id: ID!, $first: Int!, $after: String) {
  refund(id: $id) {
    refundLineItems(first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { quantity subtotalSet { shopMoney { amount } } lineItem { id isGiftCard } }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class ChangedOrder:
    """What a page says of an order. updated_at is Shopify's text of it."""

    order_id: int
    node_id: str
    updated_at: str
    paid: bool
    cancelled: bool
    has_customer: bool
    refunds: frozenset[int]


async def changed_orders(shop: GraphQL, since: datetime, until: datetime, after: str) -> tuple[list[ChangedOrder], str]:
    """A page of the orders that changed in [since, until), and the cursor of the next page; empty after the last.

    Raises as `GraphQL.call`, InvalidInput for an answer that is no page of orders.
    """
    variables = {
        "first": PAGE,
        "after": after or None,
        "query": f"updated_at:>='{since.isoformat()}' updated_at:<'{until.isoformat()}'",
    }
    page = (await shop.call(_CHANGED, variables))["orders"]
    return [_changed(node) for node in page["nodes"]], _next(page)


async def whole_order(shop: GraphQL, node_id: str) -> bytes | None:
    """An order as the JSON body of a delivery would tell it; None if the shop has deleted it. Raises as above."""
    order = (await shop.call(_ORDER, {"id": node_id, "first": LINES, "after": None}))["order"]
    if order is None:
        return None
    lines, after = list(order["lineItems"]["nodes"]), _next(order["lineItems"])
    while after:
        more = (await shop.call(_MORE_LINES, {"id": node_id, "first": LINES, "after": after}))["order"]["lineItems"]
        lines, after = [*lines, *more["nodes"]], _next(more)
    refunds = [_refund_body(refund, await _refund_lines(shop, refund["id"])) for refund in order["refunds"]]
    return _encoder.encode(_body(order, lines, refunds))


_encoder = msgspec.json.Encoder(decimal_format="string")


async def _refund_lines(shop: GraphQL, node_id: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = (await shop.call(_REFUND, {"id": node_id, "first": LINES, "after": after}))["refund"]["refundLineItems"]
        lines += page["nodes"]
        after = _next(page)
        if not after:
            return lines


def number_of(node_id: str) -> int:
    """The number at the end of `gid://shopify/Order/123`. Raises InvalidInput if there is none."""
    text = node_id.rpartition("/")[2].partition("?")[0]
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput("Shopify's API named something without a number.")
    return int(text)


def _next(page: Mapping[str, Any]) -> str:
    info = page["pageInfo"]
    return str(info["endCursor"]) if info["hasNextPage"] else ""


def _changed(node: Mapping[str, Any]) -> ChangedOrder:
    return ChangedOrder(
        order_id=number_of(node["id"]),
        node_id=node["id"],
        updated_at=node["updatedAt"],
        paid=_status(node) in PAID,
        cancelled=node["cancelledAt"] is not None,
        has_customer=node["customer"] is not None,
        refunds=frozenset(number_of(refund["id"]) for refund in node["refunds"]),
    )


def _status(node: Mapping[str, Any]) -> str:
    """`PARTIALLY_REFUNDED` as deliveries write it."""
    return str(node["displayFinancialStatus"] or "").lower()


def _amount(money: Mapping[str, Any]) -> Any:
    return money["shopMoney"]["amount"]


def _body(order: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], refunds: list[Any]) -> dict[str, Any]:
    customer = order["customer"]
    return {
        "id": number_of(order["id"]),
        "created_at": order["createdAt"],
        "processed_at": order["processedAt"],
        "updated_at": order["updatedAt"],
        "cancelled_at": order["cancelledAt"],
        "test": order["test"],
        "currency": order["currencyCode"],
        "financial_status": _status(order),
        "customer_locale": order["customerLocale"],
        "email": order["email"],
        "phone": order["phone"],
        "discount_codes": [{"code": code} for code in order["discountCodes"]],
        "note_attributes": [{"name": each["key"], "value": each["value"]} for each in order["customAttributes"]],
        "customer": customer
        and {
            "id": number_of(customer["id"]),
            "first_name": customer["firstName"],
            "last_name": customer["lastName"],
        },
        "billing_address": order["billingAddress"],
        "shipping_address": order["shippingAddress"],
        "line_items": [_line_body(line) for line in lines],
        "refunds": refunds,
    }


def _line_body(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": number_of(line["id"]),
        "quantity": line["quantity"],
        "gift_card": line["isGiftCard"],
        "product_id": number_of(line["product"]["id"]) if line["product"] else None,
        "price": _amount(line["originalUnitPriceSet"]),
        "discount_allocations": [
            {"amount": _amount(each["allocatedAmountSet"])} for each in line["discountAllocations"]
        ],
    }


def _refund_body(refund: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "id": number_of(refund["id"]),
        "created_at": refund["createdAt"],
        "refund_line_items": [
            {
                "subtotal": _amount(line["subtotalSet"]),
                "line_item_id": number_of(line["lineItem"]["id"]),
                "line_item": {"gift_card": line["lineItem"]["isGiftCard"]},
            }
            for line in lines
        ],
    }
