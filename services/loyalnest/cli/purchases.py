"""Reads files of purchases and shapes each as the body that Shopify would deliver."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from loyalnest.kit.errors import InvalidInput

FIRST_CUSTOMER = 7_000_000_000_000
FIRST_ORDER = 5_000_000_000_000
"""Ids of made-up customers and orders begin here, where Shopify's own are in number of digits."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One delivery to send."""

    topic: str
    body: bytes
    delivery_id: str


class _Line(msgspec.Struct):
    topic: str = ""
    body: msgspec.Raw = msgspec.Raw()
    webhook_id: str = ""


def read_purchases(file: Path) -> list[Purchase]:
    """The deliveries of a file, in its order. Raises InvalidInput naming the line that cannot be read."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InvalidInput(f"{file} is not there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InvalidInput(f"{file} is empty.")
    read = _json_lines if lines[0][1].startswith("{") else _cdnow
    return list(read(file, lines))


def _json_lines(file: Path, lines: list[tuple[int, str]]) -> Iterator[Purchase]:
    for number, line in lines:
        try:
            envelope = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"{file}:{number}: not a JSON object: {error}.") from error
        body = bytes(envelope.body) if envelope.topic else line.encode()
        topic = envelope.topic or "orders/create"
        name = envelope.webhook_id or hashlib.sha256(f"{topic}\n".encode() + body).hexdigest()[:32]
        yield Purchase(topic, body, name)


def _cdnow(file: Path, lines: list[tuple[int, str]]) -> Iterator[Purchase]:
    """CDNOW: master id, (sample id,) date as YYYYMMDD, number of CDs, dollars. An order's id is its line's number."""
    seen: set[int] = set()
    for number, line in lines:
        fields = line.split()
        if fields[0].startswith("customer_id"):
            continue
        try:
            customer = int(fields[0])
            when = datetime.strptime(fields[-3], "%Y%m%d").replace(hour=12, tzinfo=UTC)
            quantity, dollars = int(fields[-2]), Decimal(fields[-1])
        except (ValueError, IndexError, InvalidOperation) as error:
            raise InvalidInput(f"{file}:{number}: not a line of CDNOW: {line[:60]!r}.") from error
        if customer not in seen:
            seen.add(customer)
            body = _customer(customer, when)
            yield Purchase("customers/create", _encode(body), f"cdnow-customer-{customer}")
        yield Purchase(
            "orders/create", _encode(_order(number, customer, when, quantity, dollars)), f"cdnow-order-{number}"
        )


def _customer(customer: int, when: datetime) -> dict[str, Any]:
    return {
        "id": FIRST_CUSTOMER + customer,
        "email": f"customer{customer:05d}@example.com",
        "first_name": _FIRST_NAMES[customer % len(_FIRST_NAMES)],
        "last_name": f"No. {customer}",
        "created_at": when.isoformat(),
        "updated_at": when.isoformat(),
        "email_marketing_consent": {"state": "subscribed" if customer % 3 else "not_subscribed"},
    }


def _order(number: int, customer: int, when: datetime, quantity: int, dollars: Decimal) -> dict[str, Any]:
    order_id = FIRST_ORDER + number
    return {
        "id": order_id,
        "name": f"#{number}",
        "currency": "USD",
        "financial_status": "paid",
        "cancelled_at": None,
        "created_at": when.isoformat(),
        "processed_at": when.isoformat(),
        "updated_at": when.isoformat(),
        "test": False,
        "total_price": str(dollars),
        "customer": _customer(customer, when),
        # CDNOW tells the dollars of a purchase, not of a disc: one line carries them all.
        "line_items": [
            {
                "id": order_id * 10 + 1,
                "product_id": 9_000_000_000_000 + quantity,
                "title": f"{quantity} CDs",
                "quantity": 1,
                "price": str(dollars),
                "gift_card": False,
                "discount_allocations": [],
            }
        ],
        "refunds": [],
    }


def _encode(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body)


_FIRST_NAMES = ("Ada", "Ben", "Chloé", "Dmitri", "Eun-ji", "Fatima", "Günther", "Hana", "Ines", "Jun", "Kofi", "Lucía")
