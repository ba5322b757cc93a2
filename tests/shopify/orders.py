"""Orders of the stand-in's shops: kept as the bodies of their deliveries, told by GraphQL in its own shapes."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

Body = Mapping[str, Any]

_UPDATED = re.compile(r"updated_at:(>=|<)'([^']+)'")
_ADDRESS = ("name", "company", "address1", "address2", "city", "zip", "province", "country", "phone")


def changed(bodies: Sequence[Body], query: str) -> list[Body]:
    """Those that `updated_at` conditions let through, by that time and then by id. Any other condition is refused."""
    if _UPDATED.sub("", query).strip():
        raise ValueError(f"The stand-in filters orders by updated_at only: {query}")
    found = list(bodies)
    for sign, text in _UPDATED.findall(query):
        bound = datetime.fromisoformat(text)
        found = [each for each in found if (_updated(each) >= bound) is (sign == ">=")]
    return sorted(found, key=lambda each: (_updated(each), each["id"]))


def page(items: Sequence[Any], first: int, after: str | None, made: Callable[[Any], Any]) -> dict[str, Any]:
    """A page of a connection; a cursor is the number of items before it."""
    start = int(after or 0)
    return {
        "nodes": [made(item) for item in items[start : start + first]],
        "pageInfo": {"hasNextPage": start + first < len(items), "endCursor": str(start + first)},
    }


def node(body: Body) -> dict[str, Any]:
    """An order as GraphQL tells it."""
    customer = body["customer"]
    return {
        "id": body["admin_graphql_api_id"],
        "createdAt": body["created_at"],
        "processedAt": body["processed_at"],
        "updatedAt": body["updated_at"],
        "cancelledAt": body["cancelled_at"],
        "test": body["test"],
        "currencyCode": body["currency"],
        "displayFinancialStatus": body["financial_status"].upper(),
        "customerLocale": body["customer_locale"],
        "email": body["email"],
        "phone": body["phone"],
        "discountCodes": [each["code"] for each in body["discount_codes"]],
        "customAttributes": [{"key": each["name"], "value": each["value"]} for each in body["note_attributes"]],
        "customer": customer
        and {
            "id": customer["admin_graphql_api_id"],
            "firstName": customer["first_name"],
            "lastName": customer["last_name"],
        },
        "billingAddress": _address(body["billing_address"]),
        "shippingAddress": _address(body["shipping_address"]),
        "refunds": lambda _info, first=None: [refund(body, each) for each in body["refunds"]][:first],
        "lineItems": lambda _info, first, after=None: page(
            body["line_items"], first, after, lambda one: _line(body, one)
        ),
    }


def refund(order: Body, body: Body) -> dict[str, Any]:
    """A refund as GraphQL tells it."""

    def line(item: Body) -> dict[str, Any]:
        subtotal = _money(str(item["subtotal"]), order)
        return {"quantity": item["quantity"], "subtotalSet": subtotal, "lineItem": _line(order, item["line_item"])}

    return {
        "id": body["admin_graphql_api_id"],
        "createdAt": body["created_at"],
        "refundLineItems": lambda _info, first, after=None: page(body["refund_line_items"], first, after, line),
    }


def _updated(body: Body) -> datetime:
    return datetime.fromisoformat(body["updated_at"])


def _address(address: Body | None) -> dict[str, Any] | None:
    return {name: address.get(name) for name in _ADDRESS} if address else None


def _line(order: Body, item: Body) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/LineItem/{item['id']}",
        "quantity": item["quantity"],
        "isGiftCard": item["gift_card"],
        "product": {"id": f"gid://shopify/Product/{item['product_id']}"} if item["product_id"] else None,
        "originalUnitPriceSet": _money(item["price"], order),
        "discountAllocations": [
            {"allocatedAmountSet": _money(each["amount"], order)} for each in item["discount_allocations"]
        ],
    }


def _money(amount: str, order: Body) -> dict[str, Any]:
    money = {"amount": amount, "currencyCode": order["currency"]}
    return {"shopMoney": money, "presentmentMoney": money}
