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


def time_text(value: datetime | None) -> str:
    """A moment as ISO 8601 in UTC; empty for none."""
    return "" if value is None else value.astimezone(UTC).isoformat()


def decimal_text(value: Decimal | int | None) -> str:
    """An exact number without an exponent; empty for none."""
    return "" if value is None else f"{Decimal(value):f}"
