"""What gamification publishes."""

from datetime import datetime
from typing import ClassVar

from loyalnest.kit.events import Payload


class BadgeAwarded(Payload, frozen=True, kw_only=True):
    """A customer was given a badge, or (`revoked`) lost it because what had earned it was refunded.

    badge: its key, unique for the merchant. title: what customers see.
    """

    topic: ClassVar[str] = "badge.awarded"

    customer_id: int
    badge: str
    title: str
    revoked: bool = False
    at: datetime
