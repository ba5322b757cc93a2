"""Fields of messages: what is read from a request is checked, and what an answer says is written in one way."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from loyalnest.kit.errors import InvalidInput


def customer_id_of(number: int) -> int:
    """Shopify's customer id in a request. Raises InvalidInput for none."""
    if number <= 0:
        raise InvalidInput("customer_id must be Shopify's numeric customer id.")
    return number


def uuid_of(text: str, what: str) -> UUID:
    """The id of a `what` (such as "session") in a request. Raises InvalidInput for text that is none."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text[:60]!r} is no {what} id.") from None


def moment_of(text: str, name: str) -> datetime | None:
    """A moment in a request's field `name`; None for none. Raises InvalidInput for what is none, or has no timezone."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput(f"{name} is a time in RFC 3339, such as 2026-05-01T12:00:00Z, not {text[:40]!r}.")
    return moment


def time_text(value: datetime | None) -> str:
    """A moment as ISO 8601 in UTC; empty for none."""
    return "" if value is None else value.astimezone(UTC).isoformat()


def decimal_text(value: Decimal | int | None) -> str:
    """An exact number without an exponent; empty for none."""
    return "" if value is None else f"{Decimal(value):f}"
