"""What Shopify's bodies are made of: ids, money, addresses, lines of an order."""

import itertools
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Body = dict[str, Any]
Money = Decimal | int | str

_ids = itertools.count(random.SystemRandom().randrange(2**53 + 1, 2**60), 7)
CENT = Decimal("0.01")


def new_id() -> int:
    """An id that no other body of this process has: above 2^53, below 2^63."""
    return next(_ids)


def money(value: Money) -> str:
    """`value` as Shopify writes money: two decimals, rounded half up; what is given as a string is not touched."""
    return value if isinstance(value, str) else str(Decimal(value).quantize(CENT, ROUND_HALF_UP))


def written(at: str | datetime) -> str:
    """`at` as Shopify writes times; what is given as a string is not touched."""
    return at if isinstance(at, str) else at.astimezone(UTC).isoformat(timespec="seconds")


def address(**changes: Any) -> Body:
    """A postal address."""
    return {
        "first_name": "Anna",
        "last_name": "Example",
        "company": None,
        "address1": "1 Main Street",
        "address2": None,
        "city": "Springfield",
        "province": "Illinois",
        "province_code": "IL",
        "country": "United States",
        "country_code": "US",
        "zip": "62701",
        "phone": "+12175550123",
        "name": "Anna Example",
        "latitude": Decimal("39.7817213"),
        "longitude": Decimal("-89.6501481"),
        **changes,
    }


def line(
    price: Money = "19.90",
    quantity: int = 1,
    *,
    discounts: Sequence[Money] = (),
    gift_card: bool = False,
    tax_rate: Money = "0",
    currency: str = "USD",
    **changes: Any,
) -> Body:
    """A line of an order: `price` for one piece, `discounts` the amounts allocated to the whole line.

    What it adds to an order's merchandise is price × quantity - sum(discounts); see `line_total`.
    """
    line_id, product_id = new_id(), new_id()
    rate = Decimal(tax_rate)
    taxable = Decimal(price) * quantity - sum((Decimal(one) for one in discounts), Decimal(0))
    return {
        "id": line_id,
        "admin_graphql_api_id": f"gid://shopify/LineItem/{line_id}",
        "current_quantity": quantity,
        "fulfillable_quantity": quantity,
        "fulfillment_service": "gift_card" if gift_card else "manual",
        "fulfillment_status": None,
        "gift_card": gift_card,
        "grams": 0 if gift_card else 250,
        "name": "Gift Card - $50" if gift_card else "Coffee - 250 g",
        "price": money(price),
        "price_set": money_set(money(price), currency),
        "product_exists": True,
        "product_id": product_id,
        "properties": [],
        "quantity": quantity,
        "requires_shipping": not gift_card,
        "sku": "GIFT-50" if gift_card else "COF-250",
        "taxable": bool(rate),
        "title": "Gift Card" if gift_card else "Coffee",
        "total_discount": "0.00",
        "total_discount_set": money_set("0.00", currency),
        "variant_id": new_id(),
        "variant_inventory_management": None if gift_card else "shopify",
        "variant_title": "250 g",
        "vendor": "Acme",
        "tax_lines": [_tax(taxable, rate, currency)] if rate else [],
        "duties": [],
        "discount_allocations": [
            {"amount": money(one), "amount_set": money_set(money(one), currency), "discount_application_index": index}
            for index, one in enumerate(discounts)
        ],
        **changes,
    }


def line_total(item: Mapping[str, Any]) -> Decimal:
    """A line's price × quantity less its discount allocations, exactly."""
    allocated = sum((Decimal(one["amount"]) for one in item["discount_allocations"]), Decimal(0))
    gross: Decimal = Decimal(item["price"]) * item["quantity"]
    return gross - allocated


def _tax(base: Decimal, rate: Decimal, currency: str) -> Body:
    price = money(base * rate)
    return {
        "channel_liable": False,
        "price": price,
        "price_set": money_set(price, currency),
        "rate": rate,
        "title": "Tax",
    }


def money_set(amount: str, currency: str) -> Body:
    """`amount` in the shop's currency and the buyer's, which are the same here."""
    side = {"amount": amount, "currency_code": currency}
    return {"shop_money": side, "presentment_money": side}
