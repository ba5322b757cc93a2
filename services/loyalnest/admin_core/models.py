"""Admin_core's nouns."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from loyalnest.admin_core.events import GdprKind


class Status(StrEnum):
    """Where a GDPR request stands. scheduled: not told yet; open: told, and not all have confirmed."""

    SCHEDULED = "scheduled"
    OPEN = "open"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class Source(StrEnum):
    """Who asked: a delivery of Shopify's, the shop by uninstalling the app, or an admin."""

    SHOPIFY = "shopify"
    UNINSTALL = "uninstall"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class GdprRequest:
    """A row of `admin_core.gdpr_requests`.

    source_key: the business key; one that comes again is the same request.
    customer_sealed, customer_hash: of the customer; None for a shop, and once nobody has to be told again.
    starts_at: when the services are told. told_at: when they were, for the last time. ended_at: of whichever end.
    """

    merchant_id: str
    request_id: UUID
    kind: GdprKind
    source: Source
    source_key: str
    status: Status
    reason: str
    customer_sealed: bytes | None = field(repr=False)
    customer_hash: bytes | None = field(repr=False)
    requested_by: str
    requested_at: datetime
    starts_at: datetime
    due_at: datetime
    told_at: datetime | None = None
    tellings: int = 0
    ended_at: datetime | None = None
    export_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a service said of a request. It has confirmed once every part has come."""

    service: str
    parts: int
    received: tuple[int, ...]
    counts: dict[str, int]
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Installation:
    """When the app was last installed and uninstalled in a shop, as far as has been told."""

    installed_at: datetime | None = None
    uninstalled_at: datetime | None = None
