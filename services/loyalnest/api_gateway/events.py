"""What the gateway publishes: Shopify's deliveries, normalised at the edge.

The commerce facts (ids, amounts, times) are in the clear; everything personal is in `sealed`, encrypted under the
merchant's data key before it leaves the process. What no service needs is not kept at all.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid5

from loyalnest.kit.events import Payload

SEALED_PURPOSE = "webhook.personal"
"""What `WebhookReceived.sealed` is sealed for: the purpose to open it with."""

BODY_PURPOSE = "webhook.body"
"""The purpose to open it with where it holds the raw body: for topics without facts."""

_DELIVERIES = UUID("7c0c7a4e-2f0c-5d0e-9c56-3d1f4c0f6b1a")


def delivery_event_id(merchant_id: str, delivery_id: str) -> UUID:
    """The id of a delivery's event: the same for each repetition of it, in every process."""
    return uuid5(_DELIVERIES, f"{merchant_id}:{delivery_id}")


class Topic(StrEnum):
    """Shopify topics that carry facts. Any other is kept as it came, sealed."""

    ORDERS_CREATE = "orders/create"
    ORDERS_UPDATED = "orders/updated"
    ORDERS_PAID = "orders/paid"
    ORDERS_CANCELLED = "orders/cancelled"
    REFUNDS_CREATE = "refunds/create"
    CUSTOMERS_CREATE = "customers/create"
    CUSTOMERS_UPDATE = "customers/update"
    PRODUCTS_CREATE = "products/create"
    PRODUCTS_UPDATE = "products/update"
    PRODUCTS_DELETE = "products/delete"


class LineFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order line. `base` is price × quantity less the line's discount allocations, in the shop's currency."""

    line_id: int
    product_id: int | None = None
    quantity: int
    base: Decimal
    gift_card: bool = False


class RefundFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refund. `base` is the sum of its lines' subtotals without gift-card lines; 0 for a refund of shipping alone."""

    refund_id: int
    order_id: int
    base: Decimal
    created_at: datetime | None = None


class OrderFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as a delivery described it.

    customer_id: None for a guest order.
    base: merchandise after discounts: the sum of the lines' bases, gift-card lines left out; no tax, no shipping.
    paid: `financial_status` is paid, partially_refunded or refunded.
    cancelled: the topic or the body says so.
    placed_at: Shopify's `processed_at`, else `created_at`.
    locale: of the checkout, a language tag such as `de-DE`; empty if Shopify did not say.
    referral_code: the cart attribute `loyalnest_referral`, else `ref` in the query of the landing page; empty for none.
    discount_codes: those that were used, as they were typed.
    """

    order_id: int
    customer_id: int | None = None
    base: Decimal
    currency: str = ""
    paid: bool
    cancelled: bool = False
    test: bool = False
    placed_at: datetime
    updated_at: datetime | None = None
    lines: list[LineFacts] = []
    refunds: list[RefundFacts] = []
    locale: str = ""
    referral_code: str = ""
    discount_codes: list[str] = []


class CustomerFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer's facts that are not personal."""

    customer_id: int
    created_at: datetime | None = None
    updated_at: datetime | None = None
    accepts_marketing: bool | None = None
    locale: str = ""


class ProductFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A product as a delivery described it; of a deletion, only `product_id`. Nothing here is personal.

    description: without markup. status: active, archived or draft; unpublished products are not for shoppers.
    lowest_price, highest_price: of its variants, in the shop's currency. inventory: of all variants; None if untold.
    """

    product_id: int
    deleted: bool = False
    title: str = ""
    handle: str = ""
    description: str = ""
    vendor: str = ""
    product_type: str = ""
    tags: list[str] = []
    status: str = ""
    published: bool = False
    lowest_price: Decimal | None = None
    highest_price: Decimal | None = None
    skus: list[str] = []
    image_url: str = ""
    inventory: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class PersonalData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `sealed` holds, as JSON, for orders and customers. Fields of an unexpected type are left out at the edge."""

    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    addresses: list[dict[str, str]] = []


class WebhookReceived(Payload, frozen=True, kw_only=True):
    """One delivery from Shopify, acknowledged to it once this is durable.

    delivery_id: `X-Shopify-Webhook-Id`; the event's id is derived from the merchant and it: a repeat is the same event.
    shopify_topic: e.g. `orders/create`, also for topics that carry no facts.
    sealed: base64 of the encrypted PersonalData; for a topic without facts, of the encrypted raw body; empty for none.
    """

    topic: ClassVar[str] = "webhook.received"

    delivery_id: str
    shopify_topic: str
    triggered_at: datetime | None = None
    order: OrderFacts | None = None
    refund: RefundFacts | None = None
    customer: CustomerFacts | None = None
    product: ProductFacts | None = None
    sealed: bytes = b""
