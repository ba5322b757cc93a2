"""What campaign publishes."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from loyalnest.kit.events import Payload


class TierChanged(Payload, frozen=True, kw_only=True):
    """A customer moved to another VIP tier; orders that are paid from now on earn at its multiplier.

    tier: empty, with the multiplier 1, once the program has no tiers any more. previous_tier: empty for a customer who
    had none; equal to `tier` if only the multiplier changed. upgrade: whether the new tier is above the one before.
    """

    topic: ClassVar[str] = "tier.changed"

    customer_id: int
    tier: str
    multiplier: Decimal
    previous_tier: str = ""
    upgrade: bool = True
    changed_at: datetime


class CampaignChanged(Payload, frozen=True, kw_only=True):
    """A bonus campaign as it now is, whole; the highest `version` counts, in whatever order they come.

    While it runs (`starts_at` <= when the order was placed < `ends_at`, not `ended`), orders that its filters let
    through earn `multiplier` times the points; empty filters let everything through.

    product_ids: only lines of these count for the bonus. segments, tiers: of the customer, as names.
    budget_points: most points that it may add over all customers; None for no limit.
    """

    topic: ClassVar[str] = "campaign.changed"

    campaign_id: UUID
    version: int
    name: str
    multiplier: Decimal
    starts_at: datetime
    ends_at: datetime
    product_ids: tuple[int, ...] = ()
    segments: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    budget_points: int | None = None
    ended: bool = False
    changed_at: datetime
