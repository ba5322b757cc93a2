"""From the raw body of a Shopify delivery to facts: pure, bounded, and refusing in words.

Whatever the bytes are, `decode` returns a `Decoded` or raises `InvalidInput` or `TooLarge`, and no detail of an error
repeats a value of the body: it names the field and what was expected of it.

What bounds a hostile body: `MAX_BODY_BYTES`, msgspec's own guard against deep nesting (it counts against Python's
recursion limit also inside the fields it skips), and the limits on lengths and numbers in `facts`.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from loyalnest.api_gateway.events import CustomerFacts, OrderFacts, PersonalData, ProductFacts, RefundFacts, Topic
from loyalnest.api_gateway.facts import (
    OrderCustomer,
    ShopifyCustomer,
    ShopifyOrder,
    ShopifyRefund,
    customer_facts,
    order_facts,
    refund_facts,
)
from loyalnest.api_gateway.product_facts import product_facts
from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.shopify.lenient import NOTHING, first_text, list_of, text_of
from loyalnest.kit.shopify.reading import read

MAX_BODY_BYTES: Final = 1024 * 1024
"""The longest body that is read. Shopify's are 2 to 20 KB."""

OTHER_KEY: Final = "other"
"""The ordering key of topics that carry no facts."""

MAX_EMAIL: Final = 320
MAX_PHONE: Final = 64
"""A longer e-mail address or phone number is left out: cut short, it would be somebody else's."""
MAX_TEXT: Final = 255
"""Names and address fields are cut to this many characters, which is Shopify's own limit."""
MAX_ADDRESSES: Final = 20


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery says. At most one of the facts is set; none for a topic without facts.

    personal: None when the body holds nothing personal that a service needs: refunds, guest orders, other topics.
    ordering_key: deliveries of one key keep their order: the customer's id; `order:<id>` for guest orders and for
        refunds, which do not name the customer; `product:<id>`; `OTHER_KEY` for the rest.
    """

    order: OrderFacts | None = None
    refund: RefundFacts | None = None
    customer: CustomerFacts | None = None
    product: ProductFacts | None = None
    personal: PersonalData | None = None
    ordering_key: str


_order_decoder = msgspec.json.Decoder(ShopifyOrder)
_refund_decoder = msgspec.json.Decoder(ShopifyRefund)
_customer_decoder = msgspec.json.Decoder(ShopifyCustomer)
_any_decoder = msgspec.json.Decoder(Raw)

_ORDER_TOPICS: Final = frozenset({Topic.ORDERS_CREATE, Topic.ORDERS_UPDATED, Topic.ORDERS_PAID, Topic.ORDERS_CANCELLED})
_CUSTOMER_TOPICS: Final = frozenset({Topic.CUSTOMERS_CREATE, Topic.CUSTOMERS_UPDATE})
_PRODUCT_TOPICS: Final = frozenset({Topic.PRODUCTS_CREATE, Topic.PRODUCTS_UPDATE, Topic.PRODUCTS_DELETE})


def decode(topic: str, body: bytes) -> Decoded:
    """The facts in a delivery of `topic` (such as `orders/create`) with the raw `body`.

    A topic without facts is only checked to be a JSON object or array.
    Raises TooLarge for more than `MAX_BODY_BYTES`, InvalidInput for everything else that is wrong with the body.
    """
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(f"The body has {len(body)} bytes; at most {MAX_BODY_BYTES} are accepted")
    # msgspec does not look at the encoding of what it skips, and a sealed body must be text all through.
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The body is not UTF-8 (byte {error.start})") from None
    try:
        return _decode(topic, body)
    except RecursionError:
        raise InvalidInput("The body is nested too deeply") from None


def _decode(topic: str, body: bytes) -> Decoded:
    if topic in _ORDER_TOPICS:
        return _order(topic, read(_order_decoder, body))
    if topic in _CUSTOMER_TOPICS:
        customer = read(_customer_decoder, body)
        told = customer_facts(customer)
        return Decoded(customer=told, personal=customer_personal(customer), ordering_key=str(told.customer_id))
    if topic == Topic.REFUNDS_CREATE:
        refund = refund_facts(read(_refund_decoder, body))
        return Decoded(refund=refund, ordering_key=f"order:{refund.order_id}")
    if topic in _PRODUCT_TOPICS:
        product = product_facts(topic, body)
        return Decoded(product=product, ordering_key=f"product:{product.product_id}")
    if bytes(read(_any_decoder, body))[:1] not in (b"{", b"["):
        raise InvalidInput("body: expected an object or a list")
    return Decoded(ordering_key=OTHER_KEY)


def _order(topic: str, order: ShopifyOrder) -> Decoded:
    facts = order_facts(order, cancelled=topic == Topic.ORDERS_CANCELLED)
    if facts.customer_id is None:
        return Decoded(order=facts, ordering_key=f"order:{facts.order_id}")
    return Decoded(order=facts, personal=order_personal(order), ordering_key=str(facts.customer_id))


# -- personal data: read leniently, cleaned, bounded


class Address(msgspec.Struct, gc=False):
    """The fields of an address that are kept, under Shopify's names."""

    name: Raw = NOTHING
    company: Raw = NOTHING
    address1: Raw = NOTHING
    address2: Raw = NOTHING
    city: Raw = NOTHING
    zip: Raw = NOTHING
    province: Raw = NOTHING
    country: Raw = NOTHING
    phone: Raw = NOTHING


_address_decoder = msgspec.json.Decoder(Address | None)


def _cut(raw: Raw) -> str | None:
    return text_of(raw)[:MAX_TEXT].rstrip() or None


def _address(raw: Raw) -> dict[str, str]:
    try:
        address = _address_decoder.decode(raw)
    except msgspec.DecodeError:
        return {}
    if address is None:
        return {}
    kept = {name: _cut(getattr(address, name)) for name in Address.__struct_fields__ if name != "phone"}
    kept["phone"] = first_text((address.phone,), MAX_PHONE)
    return {name: text for name, text in kept.items() if text}


def _personal(
    *, emails: Iterable[Raw], phones: Iterable[Raw], first_name: Raw, last_name: Raw, addresses: Iterable[Raw]
) -> PersonalData | None:
    kept: list[dict[str, str]] = []
    for address in map(_address, addresses):
        if address and address not in kept:
            kept.append(address)
    personal = PersonalData(
        email=first_text(emails, MAX_EMAIL),
        phone=first_text(phones, MAX_PHONE),
        first_name=_cut(first_name),
        last_name=_cut(last_name),
        addresses=kept[:MAX_ADDRESSES],
    )
    return personal if personal != PersonalData() else None


def order_personal(order: ShopifyOrder) -> PersonalData | None:
    """What an order says about the person, the order's own e-mail and phone before the customer's; None for nothing."""
    customer = order.customer or OrderCustomer(id=0)
    return _personal(
        emails=(order.email, order.contact_email, customer.email),
        phones=(order.phone, customer.phone),
        first_name=customer.first_name,
        last_name=customer.last_name,
        addresses=(order.billing_address, order.shipping_address),
    )


def customer_personal(customer: ShopifyCustomer) -> PersonalData | None:
    """What a customer's body says about the person, the default address first; None for nothing."""
    return _personal(
        emails=(customer.email,),
        phones=(customer.phone,),
        first_name=customer.first_name,
        last_name=customer.last_name,
        addresses=(customer.default_address, *list_of(customer.addresses, MAX_ADDRESSES)),
    )
