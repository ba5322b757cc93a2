"""Bodies shaped like Shopify's webhooks (REST, 2026-10): `order`, `refund`, `customer`; `encode` makes the bytes.

Money is a string as in Shopify's JSON; where Shopify sends a number (a refund line's `subtotal` and `total_tax`, a tax
`rate`, `grams`), it is a Decimal or an int, and `encode` writes its digits exactly. Ids are above 2^53.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from shopify.parts import CENT, Body, Money, address, line, line_total, money, money_set, new_id, written

__all__ = [
    "Body",
    "Money",
    "address",
    "customer",
    "encode",
    "line",
    "line_total",
    "money",
    "new_id",
    "order",
    "refund",
    "written",
]

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(body: Mapping[str, Any], *, pad_to: int = 0) -> bytes:
    """The JSON of `body`; `pad_to` bytes long if it is shorter (18_000 for a large order), by a note attribute as
    gift messages and checkout apps leave them.
    """
    content = _encoder.encode(body)
    if len(content) >= pad_to:
        return content
    attribute = {"name": "gift_message", "value": ""}
    padded = {**body, "note_attributes": [*body.get("note_attributes", []), attribute]}
    missing = pad_to - len(_encoder.encode(padded))
    attribute["value"] = ("All the best, and many more to come! " * (missing // 30 + 1))[: max(0, missing)]
    return _encoder.encode(padded)


def customer(customer_id: int | None = None, **changes: Any) -> Body:
    """A customer, as in customers/create and customers/update, and inside an order. `changes` replace fields."""
    customer_id = new_id() if customer_id is None else customer_id
    home = {"id": new_id(), "customer_id": customer_id, **address(), "country_name": "United States", "default": True}
    return {
        "id": customer_id,
        "email": f"customer-{customer_id}@example.com",
        "created_at": "2026-01-02T10:00:00-05:00",
        "updated_at": "2026-11-03T09:30:00-05:00",
        "first_name": "Anna",
        "last_name": "Example",
        "orders_count": 1,
        "state": "enabled",
        "total_spent": "199.00",
        "last_order_id": None,
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "tags": "",
        "last_order_name": None,
        "currency": "USD",
        "phone": "+12175550123",
        "addresses": [home],
        "tax_exemptions": [],
        "email_marketing_consent": {
            "state": "subscribed",
            "opt_in_level": "single_opt_in",
            "consent_updated_at": "2026-01-02T10:00:00-05:00",
        },
        "sms_marketing_consent": None,
        "admin_graphql_api_id": f"gid://shopify/Customer/{customer_id}",
        "default_address": home,
        **changes,
    }


def order(
    order_id: int | None = None,
    *,
    customer: Body | None = None,
    lines: Sequence[Body] | None = None,
    financial_status: str = "paid",
    refunds: Sequence[Body] = (),
    shipping: Money = "5.00",
    currency: str = "USD",
    created_at: str | datetime = "2026-11-03T09:30:00-05:00",
    test: bool = False,
    **changes: Any,
) -> Body:
    """An order, as in orders/create, orders/updated, orders/paid and orders/cancelled (then with `cancelled_at`).

    customer: None for a guest; lines: from `line`, one by default; refunds: from `refund`. `changes` replace fields.
    """
    order_id = new_id() if order_id is None else order_id
    lines = [line(currency=currency)] if lines is None else list(lines)
    moment = written(created_at)
    gross = sum((Decimal(item["price"]) * item["quantity"] for item in lines), Decimal(0))
    subtotal = sum((line_total(item) for item in lines), Decimal(0))
    taxes = [tax for item in lines for tax in item["tax_lines"]]
    tax = sum((Decimal(one["price"]) for one in taxes), Decimal(0))
    total = subtotal + tax + Decimal(shipping)
    number = order_id % 100_000
    email = customer["email"] if customer else "guest@example.com"
    totals = {
        "subtotal_price": subtotal,
        "total_discounts": gross - subtotal,
        "total_line_items_price": gross,
        "total_price": total,
        "total_tax": tax,
    }
    return {
        "id": order_id,
        "admin_graphql_api_id": f"gid://shopify/Order/{order_id}",
        "app_id": 580111,
        "browser_ip": "203.0.113.7",
        "buyer_accepts_marketing": True,
        "cancel_reason": None,
        "cancelled_at": None,
        "cart_token": None,
        "checkout_id": new_id(),
        "closed_at": None,
        "confirmed": True,
        "contact_email": email,
        "created_at": moment,
        "currency": currency,
        **{name: money(value) for name, value in totals.items()},
        **{f"current_{name}": money(value) for name, value in totals.items() if name != "total_line_items_price"},
        "total_price_set": money_set(money(total), currency),
        "total_shipping_price_set": money_set(money(shipping), currency),
        "customer_locale": "en-US",
        "discount_codes": [],
        "email": email,
        "estimated_taxes": False,
        "financial_status": financial_status,
        "fulfillment_status": None,
        "name": f"#{number}",
        "note": None,
        "note_attributes": [{"name": "source", "value": "newsletter"}],
        "number": number,
        "order_number": number + 1000,
        "payment_gateway_names": ["shopify_payments"],
        "phone": None,
        "presentment_currency": currency,
        "processed_at": moment,
        "source_name": "web",
        "tags": "",
        "tax_lines": taxes,
        "taxes_included": False,
        "test": test,
        "total_outstanding": "0.00" if financial_status != "pending" else money(total),
        "total_tip_received": "0.00",
        "total_weight": sum(item["grams"] * item["quantity"] for item in lines),
        "updated_at": moment,
        "user_id": None,
        "billing_address": address(),
        "customer": customer,
        "discount_applications": [
            {
                "type": "discount_code",
                "code": "SAVE",
                "value": "1.0",
                "value_type": "fixed_amount",
                "target_type": "line_item",
            }
            for _ in range(max((len(item["discount_allocations"]) for item in lines), default=0))
        ],
        "fulfillments": [],
        "line_items": lines,
        "payment_terms": None,
        "refunds": list(refunds),
        "shipping_address": address(),
        "shipping_lines": [
            {
                "id": new_id(),
                "code": "Standard",
                "discounted_price": money(shipping),
                "price": money(shipping),
                "price_set": money_set(money(shipping), currency),
                "source": "shopify",
                "title": "Standard",
                "tax_lines": [],
                "discount_allocations": [],
            }
        ],
        **changes,
    }


def refund(
    of: Mapping[str, Any],
    quantities: Mapping[int, int] | None = None,
    *,
    refund_id: int | None = None,
    subtotals: Mapping[int, Money] | None = None,
    created_at: str | datetime = "2026-11-04T12:00:00-05:00",
    **changes: Any,
) -> Body:
    """A refund of the order `of`, as in refunds/create and in an order's `refunds`.

    quantities: pieces given back by line id; everything if None. subtotals: what is given back for a line, where it
    is not its share of the line's total (rounded half up to a cent).
    """
    refund_id = new_id() if refund_id is None else refund_id
    moment = written(created_at)
    lines = {item["id"]: item for item in of["line_items"]}
    back = {line_id: item["quantity"] for line_id, item in lines.items()} if quantities is None else quantities
    items = [
        _refund_line(lines[line_id], count, (subtotals or {}).get(line_id), of["currency"])
        for line_id, count in back.items()
    ]
    amount = sum((item["subtotal"] + item["total_tax"] for item in items), Decimal(0))
    return {
        "id": refund_id,
        "admin_graphql_api_id": f"gid://shopify/Refund/{refund_id}",
        "created_at": moment,
        "note": None,
        "order_id": of["id"],
        "processed_at": moment,
        "restock": True,
        "user_id": new_id(),
        "duties": [],
        "total_duties_set": money_set("0.00", of["currency"]),
        "order_adjustments": [],
        "refund_line_items": items,
        "refund_shipping_lines": [],
        "return": None,
        "transactions": [
            {
                "id": new_id(),
                "amount": money(amount),
                "currency": of["currency"],
                "created_at": moment,
                "gateway": "shopify_payments",
                "kind": "refund",
                "order_id": of["id"],
                "parent_id": new_id(),
                "status": "success",
                "test": of["test"],
            }
        ],
        **changes,
    }


def _refund_line(item: Mapping[str, Any], quantity: int, subtotal: Money | None, currency: str) -> Body:
    share = line_total(item) * quantity / item["quantity"] if subtotal is None else Decimal(subtotal)
    share = share.quantize(CENT, ROUND_HALF_UP)
    taxes = sum((Decimal(tax["price"]) for tax in item["tax_lines"]), Decimal(0))
    tax = (taxes * quantity / item["quantity"]).quantize(CENT, ROUND_HALF_UP)
    return {
        "id": new_id(),
        "line_item_id": item["id"],
        "location_id": new_id(),
        "quantity": quantity,
        "restock_type": "return",
        "subtotal": share,
        "subtotal_set": money_set(money(share), currency),
        "total_tax": tax,
        "total_tax_set": money_set(money(tax), currency),
        "line_item": dict(item),
    }
