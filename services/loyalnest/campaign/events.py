"""What campaign publishes."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from loyalnest.kit.events import Payload


class TierChanged(Payload, frozen=True, kw_only=True):
    """A customer moved to another VIP tier; orders that are paid from now on earn at its multiplier."""

    topic: ClassVar[str] = "tier.changed"

    customer_id: int
    tier: str
    multiplier: Decimal
    changed_at: datetime
