"""What other services tell the audit log, and what they are asked by and answer to privacy requests."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from loyalnest.kit.events import Payload


class AuditLog(Payload, frozen=True, kw_only=True):
    """Somebody changed something. `before` and `after` hold no personal data in the clear.

    action: e.g. `points.adjusted`; subject: what it was done to, e.g. `customer:123`.
    Whom it is about is said by that subject, by an actor such as `shopper:123`, or by a field of `before` or `after`
    that is called `customer_id` (or `…_customer_id`, `referrer_id`, `friend_id`): what is said then goes with that
    customer, if the customer is redacted.
    """

    topic: ClassVar[str] = "audit_log"

    actor: str
    role: str
    action: str
    subject: str
    before: dict[str, str]
    after: dict[str, str]
    at: datetime


class GdprKind(StrEnum):
    """What a person's or a shop's right asks for."""

    CUSTOMER_REDACT = "customer_redact"
    CUSTOMER_DATA = "customer_data"
    SHOP_REDACT = "shop_redact"


class GdprRequestCreated(Payload, frozen=True, kw_only=True):
    """Every service that keeps something about customers has to do this and say so by `GdprRequestConfirmed`.

    Told again (after a restore, say), under a new event's id too, it is still the same request by its `request_id`.
    customer_id: None for `shop_redact` only. due_at: when the law wants it done. at: when it was asked for.
    """

    topic: ClassVar[str] = "gdpr_request.created"

    request_id: UUID
    kind: GdprKind
    customer_id: int | None = None
    due_at: datetime
    at: datetime

    def __post_init__(self) -> None:
        if (self.customer_id is None) != (self.kind is GdprKind.SHOP_REDACT):
            raise ValueError(f"{self.kind} needs {'no ' if self.customer_id is not None else 'a '}customer_id")

    def confirmed(
        self, service: str, counts: dict[str, int], at: datetime, *, sealed: bytes = b"", part: int = 1, parts: int = 1
    ) -> "GdprRequestConfirmed":
        """The confirmation that `service` has done this request, or one of its `parts`."""
        return GdprRequestConfirmed(
            request_id=self.request_id,
            kind=self.kind,
            service=service,
            counts=counts,
            sealed=sealed,
            part=part,
            parts=parts,
            at=at,
        )


class GdprRequestConfirmed(Payload, frozen=True, kw_only=True):
    """A service has done its share of a request. Published by that service, in the transaction that did it.

    counts: rows that were redacted or exported, by what they are; 0 or nothing where it held none.
    sealed: of `customer_data`, what is held about the customer, sealed under the merchant's data key; see
        `loyalnest.kit.privacy.open_export`. Empty for the other kinds, and where nothing is held.
    part, parts: a long export comes in several events, numbered from 1; it is done once all have come.
    """

    topic: ClassVar[str] = "gdpr_request.confirmed"

    request_id: UUID
    kind: GdprKind
    service: str
    counts: dict[str, int]
    sealed: bytes = b""
    part: int = 1
    parts: int = 1
    at: datetime


class GdprRequestCompleted(Payload, frozen=True, kw_only=True):
    """Every service has confirmed. Of `shop_redact`, the merchant's keys are destroyed upon this."""

    topic: ClassVar[str] = "gdpr_request.completed"

    request_id: UUID
    kind: GdprKind
    customer_id: int | None = None
    completed_at: datetime
