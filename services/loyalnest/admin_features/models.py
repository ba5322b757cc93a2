"""The nouns of admin_features."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from loyalnest.admin_features.defaults import Content
from loyalnest.admin_features.kinds import Channel, Kind


class Status(StrEnum):
    """How far a message is.

    PENDING: not decided yet. SUPPRESSED: decided against. QUEUED: given to event_tracking. SENT, FAILED: as it
    reported. BOUNCED, COMPLAINED: as the provider reported later.
    """

    PENDING = "pending"
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SUPPRESSED = "suppressed"


class Reason(StrEnum):
    """Why a message was not sent."""

    HISTORY = "history"
    DISABLED = "disabled"
    STALE = "stale"
    UNKNOWN_CUSTOMER = "unknown_customer"
    NO_ADDRESS = "no_address"
    NO_CONSENT = "no_consent"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced_before"
    COMPLAINED = "complained_before"
    DAILY_CAP = "daily_cap"
    INVITED_BEFORE = "invited_before"
    REDACTED = "redacted"
    UNREADABLE = "keys_destroyed"


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that should be sent, unless something is against it by then.

    cause: the business key, unique within the kind. facts: what its template needs, nothing personal.
    sealed: a friend's address or number. happened_at: the time of the fact. wait: seconds to let others catch up.
    """

    kind: Kind
    customer_id: int
    cause: str
    facts: dict[str, Any]
    happened_at: datetime
    channel: Channel = Channel.EMAIL
    sealed: bytes | None = None
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A row of `email_events`."""

    merchant_id: str
    message_id: UUID
    kind: Kind
    channel: Channel
    customer_id: int | None
    facts: dict[str, Any]
    sealed: bytes | None
    status: Status
    reason: str
    language: str
    template_version: int
    provider: str
    happened_at: datetime
    due_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """How a customer is reached, as core told it. Texts are empty where nothing is known."""

    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    first_name: str = field(default="", repr=False)
    locale: str = ""
    accepts_marketing: bool | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about an address, and about the customer whose it is."""

    unsubscribed: bool = False
    bounced: bool = False
    complained: bool = False


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """One version of a merchant's template. removed: from here on LoyalNest's own is in force.

    version 0 is LoyalNest's own, which nobody changed.
    """

    kind: Kind
    channel: Channel
    language: str
    version: int
    removed: bool
    content: Content
    changed_by: str = ""
    changed_at: datetime | None = None
