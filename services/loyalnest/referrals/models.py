"""The nouns of referrals."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID


class Channel(StrEnum):
    """How a friend was reached."""

    LINK = "link"
    EMAIL = "email"
    SMS = "sms"


class Status(StrEnum):
    """Where a referral stands.

    pending: the friend has ordered by the code, and no order of theirs is paid.
    completed: both sides were given their points. held: a person has to decide. refused: gave nothing.
    reversed: had been completed, and the order does not count any more. That is final.
    """

    PENDING = "pending"
    COMPLETED = "completed"
    HELD = "held"
    REFUSED = "refused"
    REVERSED = "reversed"


class Reason(StrEnum):
    """Why a referral is held, refused or reversed."""

    NONE = ""
    SELF_REFERRAL = "self_referral"
    EXISTING_CUSTOMER = "existing_customer"
    BELOW_MINIMUM = "below_minimum"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    NOT_OFFERED = "not_offered"
    SAME_ADDRESS = "same_address"
    VELOCITY = "velocity"
    REVIEW = "review"
    REDACTED = "redacted"


@dataclass(slots=True)
class Order:
    """An order that came by a code, or one of which only a refund is known so far (then without a customer).

    base: of the first delivery that said paid, in the shop's currency. refunded_base: each refund counted once.
    """

    merchant_id: str
    order_id: int
    customer_id: int | None = None
    referrer_id: int | None = None
    channel: str = Channel.LINK
    placed_at: datetime | None = None
    base: Decimal | None = None
    refunded_base: Decimal = Decimal(0)
    paid: bool = False
    cancelled: bool = False


@dataclass(slots=True)
class Buyer:
    """A customer with the first of their paid orders, by the time it was placed; None for one without.

    redacted_at: while set, nothing personal is kept of the customer.
    """

    merchant_id: str
    customer_id: int
    first_order_id: int | None = None
    first_placed_at: datetime | None = None
    redacted_at: datetime | None = None


@dataclass(slots=True)
class Referral:
    """One friend's referral; a friend has one ever.

    minimum_spend, referrer_points, friend_points, settings_version: the terms, fixed when the friend's first paid order
        was first seen; minimum_spend is None before.
    judged_at: when the person was checked, or the referral decided for good; never again after that.
    converted_at: when it was completed or held. version: counts its changes.
    """

    merchant_id: str
    referral_id: UUID
    friend_id: int
    referrer_id: int
    channel: str
    status: str
    created_at: datetime
    updated_at: datetime
    reason: str = Reason.NONE
    order_id: int | None = None
    minimum_spend: Decimal | None = None
    referrer_points: int = 0
    friend_points: int = 0
    settings_version: int = 0
    judged_at: datetime | None = None
    converted_at: datetime | None = None
    completed_at: datetime | None = None
    reviewed_by: str = ""
    note: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Link:
    """A customer's code."""

    customer_id: int
    code: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """An invitation that a customer sent. Whom it went to is not kept but as a hash."""

    share_id: UUID
    customer_id: int
    channel: str
    shared_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelCounts:
    """What came by one channel."""

    channel: str
    clicks: int
    shares: int
    conversions: int
