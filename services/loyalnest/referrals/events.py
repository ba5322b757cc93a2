"""What referrals publishes."""

from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from loyalnest.kit.events import Payload

SHARE_PURPOSE: Final = "referral.share"
"""The purpose that `ReferralShared.sealed` is sealed for."""


class ReferralCompleted(Payload, frozen=True, kw_only=True):
    """A referred friend's first order counted; both sides earn their points (0 for none).

    channel: how the friend was reached: `link`, `email` or `sms`. order_id: the friend's order.
    """

    topic: ClassVar[str] = "referral.completed"

    referral_id: str
    referrer_id: int
    friend_id: int
    referrer_points: int
    friend_points: int
    channel: str = "link"
    order_id: int | None = None
    completed_at: datetime


class ReferralReversed(Payload, frozen=True, kw_only=True):
    """The order that completed a referral was refunded or cancelled: both sides lose what they were given for it."""

    topic: ClassVar[str] = "referral.reversed"

    referral_id: str
    referrer_id: int
    friend_id: int
    reversed_at: datetime


class ReferralShared(Payload, frozen=True, kw_only=True):
    """A customer asks that a friend be invited by e-mail or SMS.

    channel: `email` or `sms`. friend_points: what the friend will get. sealed: the friend's address or number, sealed
    under the merchant's data key for `SHARE_PURPOSE`.
    """

    topic: ClassVar[str] = "referral.shared"

    share_id: UUID
    customer_id: int
    channel: str
    link: str
    friend_points: int
    sealed: bytes
    shared_at: datetime
