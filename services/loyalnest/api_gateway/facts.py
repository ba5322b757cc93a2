"""Shopify's shapes, and the rules that make facts of them.

The structs declare only what LoyalNest reads; msgspec skips the rest without building it. What a fact is made of is
read strictly, so that a delivery which cannot be understood is refused and not guessed at; what is personal, or tells
only how an order came to be, is kept as raw JSON and read leniently, so that an odd name never costs a customer their
points.

Amounts are the shop's currency (`price`, `amount`, `subtotal`; never the presentment currency of `*_set`), as strings
or as JSON numbers, both exact. Shopify writes some amounts as floats, so more than six decimal places are taken as
float noise and rounded, half to even, to six.

Known simplification: prices count as they stand. Where `taxes_included` is true they contain tax, which is not taken
out again: the base is price times quantity less discount allocations, and nothing else.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw

from loyalnest.api_gateway.attribution import discount_codes, locale_of, referral_code
from loyalnest.api_gateway.events import CustomerFacts, LineFacts, OrderFacts, RefundFacts
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.shopify.lenient import NOTHING
from loyalnest.kit.shopify.values import (
    EXACT,
    MONEY_DIGITS,
    ZERO,
    Id,
    Time,
    invalid,
    moment,
    money,
    shopify_id,
)

MAX_QUANTITY: Final = 10**7
MAX_LINES: Final = 5_000
MAX_REFUNDS: Final = 1_000
MAX_ALLOCATIONS: Final = 1_000

PAID: Final = frozenset({"paid", "partially_refunded", "refunded"})


class Allocation(msgspec.Struct, gc=False):
    amount: Decimal


class Line(msgspec.Struct, gc=False):
    id: Id
    price: Decimal
    quantity: Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
    product_id: Id | None = None
    gift_card: bool | None = None
    discount_allocations: Annotated[list[Allocation], Meta(max_length=MAX_ALLOCATIONS)] | None = None


class RefundedItem(msgspec.Struct, gc=False):
    gift_card: bool | None = None


class RefundLine(msgspec.Struct, gc=False):
    subtotal: Decimal
    line_item_id: Id | None = None
    line_item: RefundedItem | None = None


class OrderRefund(msgspec.Struct, gc=False):
    """A refund inside an order's body; the order it belongs to is the one around it."""

    id: Id
    refund_line_items: Annotated[list[RefundLine], Meta(max_length=MAX_LINES)]
    created_at: Time | None = None


class ShopifyRefund(OrderRefund, kw_only=True, gc=False):
    order_id: Id


class OrderCustomer(msgspec.Struct, gc=False):
    id: Id
    email: Raw = NOTHING
    phone: Raw = NOTHING
    first_name: Raw = NOTHING
    last_name: Raw = NOTHING


class ShopifyOrder(msgspec.Struct, gc=False, kw_only=True):
    id: Id
    line_items: Annotated[list[Line], Meta(max_length=MAX_LINES)]
    financial_status: str
    currency: str | None = None
    customer: OrderCustomer | None = None
    test: bool | None = None
    cancelled_at: Time | None = None
    processed_at: Time | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    refunds: Annotated[list[OrderRefund], Meta(max_length=MAX_REFUNDS)] | None = None
    email: Raw = NOTHING
    contact_email: Raw = NOTHING
    phone: Raw = NOTHING
    billing_address: Raw = NOTHING
    shipping_address: Raw = NOTHING
    note_attributes: Raw = NOTHING
    landing_site: Raw = NOTHING
    discount_codes: Raw = NOTHING
    customer_locale: Raw = NOTHING


class Consent(msgspec.Struct, gc=False):
    state: str | None = None


class ShopifyCustomer(OrderCustomer, kw_only=True, gc=False):
    created_at: Time | None = None
    updated_at: Time | None = None
    email_marketing_consent: Consent | None = None
    accepts_marketing: bool | None = None
    addresses: Raw = NOTHING
    default_address: Raw = NOTHING


def order_facts(order: ShopifyOrder, *, cancelled: bool = False) -> OrderFacts:
    """The facts of an order; `cancelled` if the topic says so already. Raises InvalidInput."""
    lines = [_line(line, index) for index, line in enumerate(order.line_items)]
    gift_cards = {line.line_id for line in lines if line.gift_card}
    # By id, the first one: "each counted once by its id".
    refunds: dict[int, RefundFacts] = {}
    order_id = shopify_id(order.id, "id")
    for index, refund in enumerate(order.refunds or ()):
        facts = _refund(refund, order_id, gift_cards, f"refunds[{index}].")
        refunds.setdefault(facts.refund_id, facts)
    placed_at = moment(order.processed_at, "processed_at") or moment(order.created_at, "created_at")
    if placed_at is None:
        raise InvalidInput("processed_at: is missing, and so is created_at")
    return OrderFacts(
        order_id=order_id,
        customer_id=shopify_id(order.customer.id, "customer.id") if order.customer else None,
        base=_sum((line.base for line in lines if not line.gift_card), "line_items"),
        currency=_currency(order.currency),
        paid=order.financial_status in PAID,
        cancelled=cancelled or order.cancelled_at is not None,
        test=bool(order.test),
        placed_at=placed_at,
        updated_at=moment(order.updated_at, "updated_at"),
        lines=lines,
        refunds=list(refunds.values()),
        locale=locale_of(order.customer_locale),
        referral_code=referral_code(order.note_attributes, order.landing_site),
        discount_codes=discount_codes(order.discount_codes),
    )


def refund_facts(refund: ShopifyRefund) -> RefundFacts:
    """The facts of a refund that came by itself. Raises InvalidInput."""
    return _refund(refund, shopify_id(refund.order_id, "order_id"), frozenset(), "")


def customer_facts(customer: ShopifyCustomer) -> CustomerFacts:
    """The facts of a customer. Raises InvalidInput.

    The consent object decides on marketing; without one, the boolean that older API versions send.
    """
    consent = customer.email_marketing_consent
    return CustomerFacts(
        customer_id=shopify_id(customer.id, "id"),
        created_at=moment(customer.created_at, "created_at"),
        updated_at=moment(customer.updated_at, "updated_at"),
        accepts_marketing=(consent.state == "subscribed" if consent and consent.state else customer.accepts_marketing),
    )


# -- amounts, ids, times: strict


def _line(line: Line, index: int) -> LineFacts:
    """price times quantity less the discount allocations, never below 0: a discount cannot reach another line."""
    base = EXACT.multiply(money(line.price, "line_items", index, "price"), line.quantity)
    for number, allocation in enumerate(line.discount_allocations or ()):
        amount = money(allocation.amount, "line_items", index, "discount_allocations", number, "amount")
        base = EXACT.subtract(base, amount)
    return LineFacts(
        line_id=shopify_id(line.id, "line_items", index, "id"),
        product_id=None if line.product_id is None else shopify_id(line.product_id, "line_items", index, "product_id"),
        quantity=line.quantity,
        base=_sum((base,), "line_items", index) if base > 0 else ZERO,
        gift_card=bool(line.gift_card),
    )


def _refund(refund: OrderRefund, order_id: int, gift_cards: frozenset[int] | set[int], prefix: str) -> RefundFacts:
    """A refund's facts. A line is a gift card's if it says so itself or if the order around it does.

    A line without a `subtotal` has been refused before: 0 would leave points standing that were paid back, and
    price times quantity would claw back more than was paid where there was a discount.
    """
    path = f"{prefix}refund_line_items"
    amounts: list[Decimal] = []
    for index, line in enumerate(refund.refund_line_items):
        amount = money(line.subtotal, path, index, "subtotal")
        of_line = line.line_item_id and shopify_id(line.line_item_id, path, index, "line_item_id")
        if not ((line.line_item and line.line_item.gift_card) or of_line in gift_cards):
            amounts.append(amount)
    return RefundFacts(
        refund_id=shopify_id(refund.id, f"{prefix}id"),
        order_id=order_id,
        base=_sum(amounts, path),
        created_at=moment(refund.created_at, f"{prefix}created_at"),
    )


def _sum(amounts: Iterable[Decimal], *path: str | int) -> Decimal:
    """The exact sum, written without an exponent because 0 is in it. Raises InvalidInput above the bound."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    if total and total.adjusted() >= MONEY_DIGITS:
        raise invalid(path, f"a sum below 10^{MONEY_DIGITS}")
    return total


def _currency(value: str | None) -> str:
    if not value:
        return ""
    if len(value) != 3 or not (value.isascii() and value.isalpha()):
        raise invalid(("currency",), "a code of three letters")
    return value.upper()
