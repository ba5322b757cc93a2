"""Events: what a service tells the others, and how it is written down."""

from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

import msgspec
import uuid_utils.compat as uuid_utils
from opentelemetry import propagate

from loyalnest.kit.clock import system_clock


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event on the bus.

    id: its identity; a handler that has applied an id never applies it again.
    topic: what happened, e.g. `points.earned`.
    merchant_id: whose it is.
    key: events with one (merchant_id, key) keep their order.
    payload: the topic's payload struct as JSON.
    traceparent: W3C trace context of the work that caused it, or empty.
    """

    id: UUID
    topic: str
    merchant_id: str
    key: str
    payload: bytes
    occurred_at: datetime
    traceparent: str = ""


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every topic's payload. A subclass names its topic: `class PointsEarned(Payload, frozen=True,
    kw_only=True): topic = "points.earned"`.

    Reading ignores fields it does not know and writing must only ever add optional fields, so that services
    of two versions can live side by side.
    """

    topic: ClassVar[str] = ""

    def event(self, merchant_id: str, key: str, *, id: UUID | None = None) -> Event:  # noqa: A002 - the field's name
        """This payload as an event of `merchant_id`, ordered by `key`, with a new id unless one is given."""
        return Event(
            id=id or new_id(),
            topic=self.topic,
            merchant_id=merchant_id,
            key=key,
            payload=_encoder.encode(self),
            occurred_at=system_clock(),
            traceparent=current_traceparent(),
        )

    @classmethod
    def read(cls, event: Event) -> Self:
        """The payload of `event`. Raises msgspec.ValidationError if it is not of this type."""
        return _decoder(cls).decode(event.payload)  # type: ignore[no-any-return]


_encoder = msgspec.json.Encoder(decimal_format="string")
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def _decoder(cls: type) -> msgspec.json.Decoder[Any]:
    if cls not in _decoders:
        _decoders[cls] = msgspec.json.Decoder(cls)
    return _decoders[cls]


def new_id() -> UUID:
    """A new UUID of version 7: unique, and ascending in time, which keeps index inserts at the right edge."""
    return uuid_utils.uuid7()


def current_traceparent() -> str:
    """The W3C traceparent of the work under way, or empty."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", "")
