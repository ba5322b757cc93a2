"""What referrals publishes."""

from datetime import datetime
from typing import ClassVar

from loyalnest.kit.events import Payload


class ReferralCompleted(Payload, frozen=True, kw_only=True):
    """A referred friend's first order counted; both sides earn their points (0 for none)."""

    topic: ClassVar[str] = "referral.completed"

    referral_id: str
    referrer_id: int
    friend_id: int
    referrer_points: int
    friend_points: int
    completed_at: datetime
