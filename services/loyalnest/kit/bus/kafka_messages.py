"""An event as a Kafka message: the envelope in headers, the payload as the value."""

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import structlog
from confluent_kafka import Message

from loyalnest.kit.events import Event

log = structlog.get_logger(__name__)


def headers_of(event: Event) -> list[tuple[str, str | bytes | None]]:
    """The envelope of `event`. `traceparent` is named as W3C names it, so that any tool can follow a trace."""
    return [
        ("id", str(event.id)),
        ("merchant_id", event.merchant_id),
        ("key", event.key),
        ("occurred_at", event.occurred_at.isoformat()),
        ("traceparent", event.traceparent),
    ]


def message_key(event: Event) -> bytes:
    """What the partition follows from."""
    return f"{event.merchant_id}:{event.key}".encode()


def event_of(topic: str, message: Message) -> Event:
    """The event that `message` carries. Raises ValueError if this was not written by us."""
    envelope = dict(cast("list[tuple[str, str | bytes | None]]", message.headers() or []))
    payload = message.value()
    try:
        texts = {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in envelope.items()}
        return Event(
            id=UUID(texts["id"]),
            topic=topic,
            merchant_id=texts["merchant_id"],
            key=texts["key"],
            payload=bytes(payload),  # type: ignore[arg-type]  # bytes, or None
            occurred_at=datetime.fromisoformat(texts["occurred_at"]).astimezone(UTC),
            traceparent=texts.get("traceparent", ""),
        )
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"not an event of ours: {error!r}") from error


class ClientLog:
    """librdkafka's own log, by way of structlog. It writes a line every second of an outage: that is for debugging."""

    def log(self, _level: int, text: str, *arguments: object) -> None:
        """Take one line."""
        log.debug("kafka.client", text=text % arguments if arguments else text)
