"""What points publishes. Points are integers; `base` and `net_base` are money in the shop's currency.

A negative `customer_id` is the pseudonym of a redacted customer, whose points go on expiring and being clawed back.
"""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

import msgspec

from loyalnest.kit.events import Payload


class ProductSpend(msgspec.Struct, frozen=True, kw_only=True):
    """What an order spent on one product: its lines' bases, in the shop's currency."""

    product_id: int
    base: Decimal


class CampaignBonus(msgspec.Struct, frozen=True, kw_only=True):
    """What a bonus campaign added to an award."""

    campaign_id: UUID
    points: int


class PointsEarned(Payload, frozen=True, kw_only=True):
    """A customer was granted points.

    reason: `order`, `joining`, `referral` or `adjustment`.
    order_id, base, currency, placed_at: of the order, if one earned. `points` may be 0 for an order: it still counts.
    products: what the order was for. A later refund lessens each in proportion to the order's `net_base`.
    bonus: what of `points` bonus campaigns added.
    transaction_id: None where no points were posted.
    """

    topic: ClassVar[str] = "points.earned"

    customer_id: int
    points: int
    reason: str
    transaction_id: UUID | None = None
    available_at: datetime
    order_id: int | None = None
    base: Decimal | None = None
    currency: str = ""
    placed_at: datetime | None = None
    products: tuple[ProductSpend, ...] = ()
    bonus: tuple[CampaignBonus, ...] = ()


class PointsClawedBack(Payload, frozen=True, kw_only=True):
    """A refund or a cancellation changed an order that had earned.

    points: taken back by this change; may be 0. clawed_back: of the award in all so far, this change included.
    net_base: what the order is worth now: its base less all its refunds, 0 if cancelled.
    """

    topic: ClassVar[str] = "points.clawed_back"

    customer_id: int
    order_id: int
    points: int
    net_base: Decimal
    cancelled: bool
    clawed_back: int = 0


class GrantReversed(Payload, frozen=True, kw_only=True):
    """A grant that no order had earned was taken back, once and whole: its referral was reversed.

    transaction_id: of the grant, as `points.earned` told it.
    """

    topic: ClassVar[str] = "points.grant_reversed"

    customer_id: int
    transaction_id: UUID
    points: int


class PointsRedeemed(Payload, frozen=True, kw_only=True):
    """A reward was issued for points, or (`cancelled`) its points came back."""

    topic: ClassVar[str] = "points.redeemed"

    customer_id: int
    redemption_id: UUID
    reward: str
    points: int
    cancelled: bool = False


class PointsExpired(Payload, frozen=True, kw_only=True):
    """Points of a lot ran out."""

    topic: ClassVar[str] = "points.expired"

    customer_id: int
    lot_id: UUID
    points: int


class PointsExpiring(Payload, frozen=True, kw_only=True):
    """Points of lots will run out soon; told once for each lot and some days ahead."""

    topic: ClassVar[str] = "points.expiring"

    customer_id: int
    points: int
    expires_at: datetime
