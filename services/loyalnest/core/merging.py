"""How what several sources say becomes one customer. Pure but for the keys that seal.

Every field keeps the time of its value, and of two values the later one stands. So deliveries may come in any order
and any number of times: what was older never overwrites what is newer, and what is missing is filled by anything.

An order is a snapshot of the person at its placement, which Shopify repeats unchanged whenever the order changes
later. So what it says is as old as its placement, not as its `updated_at`: an order that is fulfilled today does not
bring back the address that the customer changed last week. At the very same instant the customer's own delivery wins.
"""

import re
from datetime import datetime, timedelta

import msgspec

from loyalnest.api_gateway.events import PersonalData, Topic, WebhookReceived
from loyalnest.core.models import Customer, Report, SealedField, Source
from loyalnest.core.sealing import hash_of, sealed_for
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.crypto.lookup import normalise_phone

_INSTANT = timedelta(microseconds=1)
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


def merge(customer: Customer, report: Report, keys: MerchantKeys | None) -> None:
    """Take `report` into `customer`. Without keys, which were destroyed, what is personal is left out."""
    if keys is not None:
        for name, text in report.personal.items():
            _merge_personal(customer, name, text, report.at, keys)
    if report.accepts_marketing is not None and _is_later(report.at, customer.marketing_at):
        customer.accepts_marketing, customer.marketing_at = report.accepts_marketing, report.at
    if report.locale and _is_later(report.at, customer.locale_at):
        customer.locale, customer.locale_at = report.locale, report.at
    if report.created_at is not None:
        customer.created_at = min(report.created_at, customer.created_at or report.created_at)
    customer.updated_at = max(customer.updated_at, report.updated_at)


def _merge_personal(customer: Customer, name: str, text: str, at: datetime, keys: MerchantKeys) -> None:
    field = customer.personal[name]
    if not _is_later(at, field.at):
        return
    if not text:
        customer.personal[name] = SealedField(at=at)
        return
    digest = hash_of(keys, customer.customer_id, name, text)
    field.at = at
    if digest != field.hash:  # an e-mail address that is merely spelt differently is no change either
        field.hash, field.sealed = digest, sealed_for(keys, name, text)


def _is_later(at: datetime, known: datetime | None) -> bool:
    return known is None or at >= known


def new_customer(report: Report, now: datetime) -> Customer:
    """The customer that `report` makes known; nothing of what it says is in it yet."""
    return Customer(report.merchant_id, report.customer_id, report.source, now, report.updated_at)


def stays_redacted(customer: Customer, report: Report) -> bool:
    """Whether `customer` was redacted and `report` does not tell that Shopify made it anew since."""
    return customer.redacted_at is not None and not (report.made and report.at > customer.redacted_at)


def changed_fields(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Names of what differs between two `Customer.values`, in a fixed order."""
    return [name for name, value in after.items() if before[name] != value]


def tells_of_customer(delivery: WebhookReceived) -> bool:
    """Whether a delivery is of a customer, or of the order of one."""
    return delivery.customer is not None or (delivery.order is not None and delivery.order.customer_id is not None)


def report_of(
    merchant_id: str, delivery: WebhookReceived, personal: PersonalData | None, received_at: datetime
) -> Report | None:
    """What a delivery says of a customer; None if it tells of none. `received_at` is for a delivery without times."""
    told = {} if personal is None else personal_texts(personal)
    if (facts := delivery.customer) is not None:
        at = facts.updated_at or delivery.triggered_at or received_at
        return Report(
            merchant_id,
            facts.customer_id,
            Source.SHOPIFY,
            at=at,
            updated_at=at,
            personal=told,
            accepts_marketing=facts.accepts_marketing,
            locale=locale_of(facts.locale),
            created_at=facts.created_at,
            made=delivery.shopify_topic == Topic.CUSTOMERS_CREATE,
        )
    if (order := delivery.order) is not None and order.customer_id is not None:
        updated_at = order.updated_at or order.placed_at
        at = order.placed_at - _INSTANT
        return Report(
            merchant_id,
            order.customer_id,
            Source.ORDER,
            at=at,
            updated_at=updated_at,
            personal=told,
            locale=locale_of(order.locale),
        )
    return None


def locale_of(text: str) -> str:
    """`text` if it is a language tag (RFC 5646, as far as shops use them); else empty, which says nothing."""
    return text if _LOCALE.fullmatch(text) else ""


def personal_texts(personal: PersonalData) -> dict[str, str]:
    """The fields of `personal` that say something. A phone number without a digit cannot be found and says nothing."""
    phone = personal.phone if personal.phone and normalise_phone(personal.phone) else None
    texts = {
        "email": personal.email,
        "phone": phone,
        "first_name": personal.first_name,
        "last_name": personal.last_name,
        "addresses": _encode(personal.addresses) if personal.addresses else None,
    }
    return {name: text for name, text in texts.items() if text}


def _encode(addresses: list[dict[str, str]]) -> str:
    return msgspec.json.encode(addresses, order="sorted").decode()
