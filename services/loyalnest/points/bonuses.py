"""What bonus campaigns add to an award, without I/O.

- A campaign counts for an order that was placed in its window, however late it is paid, unless it was ended by an admin
  meanwhile; and for a customer who is in one of its tiers and segments when the order is awarded.
- Campaigns do not add up: each line of the order earns by the one that multiplies it most. A campaign with a product
  filter counts for the lines of its products only. Among equals the one that was created first gives.
- A campaign adds floor(its lines' base × the award's rate × the tier's multiplier × (its multiplier − 1)), for a fixed
  number of points per order the lines' share of it.
- What would go beyond its budget is cut to what is left. With nothing left a campaign is as if it were not there.
- A refund leaves floor(bonus × net base / base) of each bonus, a cancellation nothing. What is taken back goes back to
  the budget: other orders may have it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from loyalnest.api_gateway.events import OrderFacts
from loyalnest.points.models import AwardBonus, OrderAward
from loyalnest.points.rates import MAX_POINTS, ONE, points_for


@dataclass(slots=True)
class Campaign:
    """A bonus campaign, as `CampaignChanged` told of it. Empty filters let everything through.

    spent: points that stand of all that it gave; stored_spent: the same as it was loaded.
    """

    merchant_id: str
    campaign_id: UUID
    multiplier: Decimal
    starts_at: datetime
    ends_at: datetime
    product_ids: frozenset[int]
    segments: frozenset[str]
    tiers: frozenset[str]
    budget_points: int | None
    ended: bool
    spent: int
    stored_spent: int

    @property
    def left(self) -> int:
        """Points that it may still give. A budget may have been made less than what was spent."""
        return MAX_POINTS if self.budget_points is None else max(0, self.budget_points - self.spent)

    def lets_in(self, placed_at: datetime, tier: str, segment: str) -> bool:
        """Whether it counts for an order of a customer."""
        return (
            not self.ended
            and self.starts_at <= placed_at < self.ends_at
            and (not self.tiers or tier in self.tiers)
            and (not self.segments or segment in self.segments)
            and self.left > 0
        )


Campaigns = Mapping[tuple[str, UUID], Campaign]
"""By (merchant_id, campaign_id), locked."""


def give(award: OrderAward, order: OrderFacts, campaigns: Iterable[Campaign], tier: str, segment: str) -> None:
    """Add the bonuses of an award that was just made, and take them from the campaigns' budgets."""
    counting = [each for each in campaigns if each.lets_in(order.placed_at, tier, segment)]
    if not counting:
        return
    counting.sort(key=lambda each: (-each.multiplier, each.campaign_id))
    bonuses: list[AwardBonus] = []
    for campaign, base in _shares(order, counting):
        wanted = points_for(award, order.base, base, campaign.multiplier - ONE)
        points = min(wanted, campaign.left, MAX_POINTS - award.awarded)
        if points > 0:
            bonuses.append(AwardBonus(campaign.campaign_id, points))
            campaign.spent += points
            award.awarded += points
    award.bonuses = tuple(bonuses)


def take_back(merchant_id: str, returned: Iterable[tuple[UUID, int]], campaigns: Campaigns) -> None:
    """Give clawed-back bonuses back to the budgets they came from."""
    for campaign_id, points in returned:
        campaigns[merchant_id, campaign_id].spent -= points


def _shares(order: OrderFacts, campaigns: Sequence[Campaign]) -> list[tuple[Campaign, Decimal]]:
    """The campaigns that give something, in their order, with the bases of the lines that are theirs."""
    shares: dict[UUID, Decimal] = {}
    for product_id, base in _parts(order):
        best = next((each for each in campaigns if not each.product_ids or product_id in each.product_ids), None)
        if best is not None:
            shares[best.campaign_id] = shares.get(best.campaign_id, Decimal(0)) + base
    return [(each, shares[each.campaign_id]) for each in campaigns if each.campaign_id in shares]


def _parts(order: OrderFacts) -> list[tuple[int | None, Decimal]]:
    """The order's base in parts by product; None for what is of no product, and for an order that costs nothing."""
    if not order.base:
        return [(None, order.base)]
    parts: list[tuple[int | None, Decimal]] = [
        (line.product_id, line.base) for line in order.lines if not line.gift_card
    ]
    rest = order.base - sum((base for _, base in parts), Decimal(0))
    return [*parts, (None, rest)] if rest > 0 else parts
