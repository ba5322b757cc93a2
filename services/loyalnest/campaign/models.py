"""The nouns of tiers and campaigns."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from loyalnest.campaign.events import CampaignChanged

Key = tuple[str, int]
"""(merchant_id, customer_id)."""


@dataclass(frozen=True, slots=True)
class Earning:
    """What is known of one order, or of another transaction that gave points. `combine` knows no order and no twice.

    earned_at: when it counts; None while only a clawback of it is known.
    """

    customer_id: int
    earned_at: datetime | None = None
    points: int = 0
    clawed_back: int = 0

    def combine(self, other: "Earning") -> "Earning":
        """What both say together. An earning that is known stays its customer's, redacted or not."""
        moments = [each.earned_at for each in (self, other) if each.earned_at is not None]
        return Earning(
            customer_id=self.customer_id,
            earned_at=min(moments, default=None),
            points=max(self.points, other.points),
            clawed_back=max(self.clawed_back, other.clawed_back),
        )


@dataclass(slots=True)
class Member:
    """A customer's tier, as it was last decided and told. tier: empty where there are none.

    due_at: when it has to be decided anew although nothing happens; None for never.
    changed_at: when tier or multiplier last changed; None before that.
    """

    merchant_id: str
    customer_id: int
    tier: str = ""
    threshold: int = 0
    multiplier: Decimal = Decimal(1)
    reached_on: date | None = None
    kept_through: date | None = None
    due_at: datetime | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TierChange:
    """One line of a customer's history. cause: joined, earned, refunded, ended (of a term) or rules."""

    change_id: UUID
    merchant_id: str
    customer_id: int
    previous_tier: str
    tier: str
    multiplier: Decimal
    cause: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What an admin says of a campaign. See `CampaignChanged` for the fields."""

    name: str
    multiplier: Decimal
    starts_at: datetime
    ends_at: datetime
    product_ids: tuple[int, ...] = ()
    segments: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    budget_points: int | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it is. version: goes up by one with every change."""

    campaign_id: UUID
    version: int
    plan: Plan
    ended: bool
    created_at: datetime
    changed_at: datetime

    def state(self, now: datetime) -> str:
        """`planned`, `running`, `over` (its window is past) or `ended` (by an admin)."""
        if self.ended:
            return "ended"
        if now < self.plan.starts_at:
            return "planned"
        return "running" if now < self.plan.ends_at else "over"

    def told(self) -> CampaignChanged:
        """The event that tells of it."""
        plan = self.plan
        return CampaignChanged(
            campaign_id=self.campaign_id,
            version=self.version,
            name=plan.name,
            multiplier=plan.multiplier,
            starts_at=plan.starts_at,
            ends_at=plan.ends_at,
            product_ids=plan.product_ids,
            segments=plan.segments,
            tiers=plan.tiers,
            budget_points=plan.budget_points,
            ended=self.ended,
            changed_at=self.changed_at,
        )
