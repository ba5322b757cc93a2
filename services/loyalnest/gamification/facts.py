"""What events say of orders, grants, referrals and products: read, and combined within a batch.

Knowledge only grows, so it can be combined in any order and any number of times; the repository goes on in SQL.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.kit.events import Event
from loyalnest.points.events import PointsClawedBack, PointsEarned
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed


@dataclass(frozen=True, slots=True)
class OrderEarned:
    """An order earned; `products` are spend by product."""

    merchant_id: str
    order_id: int
    customer_id: int
    placed_at: datetime
    base: Decimal
    points: int
    products: tuple[tuple[int, Decimal], ...]


@dataclass(frozen=True, slots=True)
class OrderLessened:
    """An order is worth `net_base` now, and `points` were taken back with that change."""

    merchant_id: str
    order_id: int
    customer_id: int
    net_base: Decimal
    cancelled: bool
    points: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Points that neither an order nor a referral earned. They count from when they can be spent."""

    merchant_id: str
    transaction_id: UUID
    customer_id: int
    points: int
    earned_at: datetime


@dataclass(frozen=True, slots=True)
class Referral:
    """What is known of a referral. completed_at and the points are None until its completion is known."""

    merchant_id: str
    referral_id: str
    referrer_id: int
    friend_id: int
    referrer_points: int | None
    friend_points: int | None
    completed_at: datetime | None
    reversed: bool

    def combine(self, other: "Referral") -> "Referral":
        """What both say together."""
        known, more = (self, other) if self.completed_at is not None else (other, self)
        return Referral(
            merchant_id=known.merchant_id,
            referral_id=known.referral_id,
            referrer_id=known.referrer_id,
            friend_id=known.friend_id,
            referrer_points=known.referrer_points,
            friend_points=known.friend_points,
            completed_at=known.completed_at,
            reversed=known.reversed or more.reversed,
        )


@dataclass(frozen=True, slots=True)
class ProductType:
    """A product is of this type since `told_at`; the newest counts, and of two at one moment the greater text."""

    merchant_id: str
    product_id: int
    folded_type: str
    told_at: datetime


def folded(product_type: str) -> str:
    """A product type as it is compared: whatever its case and its spaces."""
    return " ".join(product_type.split()).casefold()


def read_earned(event: Event) -> OrderEarned | Grant | None:
    """What `points.earned` says; None of a referral's points, which `referral.completed` tells of, and its reversal."""
    read = PointsEarned.read(event)
    if read.reason != "order":
        if read.reason == "referral" or read.transaction_id is None:
            return None
        return Grant(event.merchant_id, read.transaction_id, read.customer_id, read.points, read.available_at)
    if read.order_id is None or read.base is None or read.placed_at is None:
        raise ValueError("points.earned by an order lacks its order_id, base or placed_at")
    spend: dict[int, Decimal] = {}
    for each in read.products:
        spend[each.product_id] = spend.get(each.product_id, Decimal(0)) + each.base
    return OrderEarned(
        event.merchant_id,
        read.order_id,
        read.customer_id,
        read.placed_at,
        read.base,
        read.points,
        tuple(sorted(spend.items())),
    )


def read_clawed_back(event: Event) -> OrderLessened:
    """What `points.clawed_back` says."""
    read = PointsClawedBack.read(event)
    return OrderLessened(
        event.merchant_id,
        read.order_id,
        read.customer_id,
        max(read.net_base, Decimal(0)),
        read.cancelled,
        read.points,
    )


def read_referral(event: Event) -> Referral:
    """What `referral.completed` or `referral.reversed` says."""
    if event.topic == ReferralReversed.topic:
        gone = ReferralReversed.read(event)
        return Referral(
            event.merchant_id, gone.referral_id, gone.referrer_id, gone.friend_id, None, None, None, reversed=True
        )
    read = ReferralCompleted.read(event)
    return Referral(
        event.merchant_id,
        read.referral_id,
        read.referrer_id,
        read.friend_id,
        read.referrer_points,
        read.friend_points,
        read.completed_at,
        reversed=False,
    )


def read_product(event: Event) -> ProductType | None:
    """What `webhook.received` says of a product's type; None of anything else. A deleted product keeps its type."""
    read = WebhookReceived.read(event)
    if read.product is None or read.product.deleted:
        return None
    told_at = read.product.updated_at or read.triggered_at or event.occurred_at
    return ProductType(event.merchant_id, read.product.product_id, folded(read.product.product_type), told_at)


def combined(referrals: Iterable[Referral]) -> list[Referral]:
    """What is said together of each referral, in the order of merchant and id."""
    known: dict[tuple[str, str], Referral] = {}
    for each in referrals:
        key = each.merchant_id, each.referral_id
        known[key] = known[key].combine(each) if key in known else each
    return [known[key] for key in sorted(known)]


def newest(products: Iterable[ProductType]) -> list[ProductType]:
    """The newest that is said of each product, in the order of merchant and id."""
    known: dict[tuple[str, int], ProductType] = {}
    for each in products:
        key = each.merchant_id, each.product_id
        if key not in known or (known[key].told_at, known[key].folded_type) < (each.told_at, each.folded_type):
            known[key] = each
    return [known[key] for key in sorted(known)]
