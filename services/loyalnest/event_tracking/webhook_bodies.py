"""What merchants' webhooks say: the public form of events. Pure.

It tells ids and numbers only: no name, no address, and no customer but the one whom the event is about, so that
redacting that customer reaches all that is kept of it. Fields are only ever added.
"""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final
from uuid import UUID

import msgspec

from loyalnest.campaign.events import TierChanged
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.kit.events import Event, Payload
from loyalnest.points.events import PointsClawedBack, PointsEarned, PointsExpired, PointsRedeemed
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed

WEBHOOK_PURPOSE: Final = "event_tracking.webhook"
"""The purpose that the content of webhook tasks is sealed for."""

_SHOWN: Final[Mapping[type[Payload], tuple[str, tuple[str, ...]]]] = {
    PointsEarned: ("customer_id", ("points", "reason", "transaction_id", "available_at", "order_id")),
    PointsRedeemed: ("customer_id", ("redemption_id", "reward", "points", "cancelled")),
    PointsExpired: ("customer_id", ("lot_id", "points")),
    PointsClawedBack: ("customer_id", ("order_id", "points", "clawed_back", "cancelled")),
    TierChanged: ("customer_id", ("tier", "previous_tier", "multiplier", "upgrade", "changed_at")),
    ReferralCompleted: (
        "referrer_id",
        ("referral_id", "referrer_points", "friend_points", "channel", "completed_at"),
    ),
    ReferralReversed: ("referrer_id", ("referral_id", "reversed_at")),
    BadgeAwarded: ("customer_id", ("badge", "title", "revoked", "at")),
}
"""Where each payload names its customer, and which of its fields are told. Of a referral it is the referrer."""

_BY_TOPIC: Final = {payload.topic: payload for payload in _SHOWN}
TOPICS: Final = tuple(_BY_TOPIC)
"""What a merchant can subscribe to."""

_encoder: Final = msgspec.json.Encoder(decimal_format="string", order="deterministic")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a webhook task. body: the JSON that is posted, byte for byte the same at every attempt."""

    merchant_id: str
    subscription_id: UUID
    event_id: UUID
    body: str


def public_form(event: Event) -> tuple[int, str] | None:
    """The customer whom an event is about, and the JSON that tells of it.

    None for a pseudonym: nobody is told of a redacted customer. Raises msgspec.ValidationError for a payload that is
    none of its topic, KeyError for another topic. Ids of Shopify are strings: they may exceed 2^53.
    """
    kind = _BY_TOPIC[event.topic]
    read = kind.read(event)
    customer_field, fields = _SHOWN[kind]
    customer_id: int = getattr(read, customer_field)
    if customer_id <= 0:
        return None
    data: dict[str, Any] = {name: getattr(read, name) for name in fields} | {"customer_id": str(customer_id)}
    if data.get("order_id") is not None:
        data["order_id"] = str(data["order_id"])
    body = {
        "id": str(event.id),
        "type": event.topic,
        "created_at": event.occurred_at.astimezone(UTC),
        "merchant": event.merchant_id,
        "data": data,
    }
    return customer_id, _encoder.encode(body).decode()
