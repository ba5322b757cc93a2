"""Makes the event of a delivery: its facts in the clear, everything personal sealed."""

import hashlib
from datetime import datetime
from typing import Final

import msgspec

from loyalnest.api_gateway.events import (
    BODY_PURPOSE,
    SEALED_PURPOSE,
    Topic,
    WebhookReceived,
    delivery_event_id,
)
from loyalnest.api_gateway.shopify_bodies import Decoded, decode
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.errors import NotFound
from loyalnest.kit.events import Event

MAX_DELIVERY_ID: Final = 200

_WITH_FACTS: Final = frozenset(map(str, Topic))
_personal_encoder = msgspec.json.Encoder()


class UnknownShop(NotFound):
    """No merchant has the shop's domain, or its keys are gone."""


class Deliveries:
    """Makes events of deliveries' bodies, wherever those come from."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def event(
        self, merchant_id: str, topic: str, body: bytes, delivery_id: str, triggered_at: datetime | None
    ) -> Event:
        """The event of a delivery; one without a sensible id is named by its content, so that a repeat is the same.

        Raises InvalidInput for a body that cannot be understood, UnknownShop if the merchant has no keys.
        """
        decoded = decode(topic, body)
        sealed = await self._sealed(merchant_id, topic, body, decoded)
        if not (0 < len(delivery_id) <= MAX_DELIVERY_ID and delivery_id.isascii() and delivery_id.isprintable()):
            delivery_id = "sha256:" + hashlib.sha256(topic.encode() + b"\n" + body).hexdigest()
        received = WebhookReceived(
            delivery_id=delivery_id,
            shopify_topic=topic,
            triggered_at=triggered_at,
            order=decoded.order,
            refund=decoded.refund,
            customer=decoded.customer,
            product=decoded.product,
            sealed=sealed,
        )
        return received.event(merchant_id, decoded.ordering_key, id=delivery_event_id(merchant_id, delivery_id))

    async def _sealed(self, merchant_id: str, topic: str, body: bytes, decoded: Decoded) -> bytes:
        if topic not in _WITH_FACTS:
            purpose, plain = BODY_PURPOSE, body
        elif decoded.personal is not None:
            purpose, plain = SEALED_PURPOSE, _personal_encoder.encode(decoded.personal)
        else:
            return b""
        try:
            keys = await self._keys.for_merchant(merchant_id)
        except NotFound:
            if topic == "shop/redact":  # a repetition, after the shop's keys were destroyed: it needs no body
                return b""
            raise UnknownShop("This shop was redacted, or is not set up completely.") from None
        return keys.seal(purpose, plain)
