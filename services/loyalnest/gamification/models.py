"""The nouns of gamification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

Key = tuple[str, int]
"""(merchant_id, customer_id)."""


class Kind(StrEnum):
    """What a rule counts. In brackets, what its target is in.

    orders: orders that count (orders). referrals: friends who completed one (referrals). weekly_streak: the most ISO
    weeks in a row, each with an order, in the merchant's time zone (weeks). spend: merchandise after discounts (money).
    category_spend: the same, of products of one type or of a list (money). lifetime_points: points ever earned.
    """

    ORDERS = "orders"
    REFERRALS = "referrals"
    WEEKLY_STREAK = "weekly_streak"
    SPEND = "spend"
    CATEGORY_SPEND = "category_spend"
    LIFETIME_POINTS = "lifetime_points"


IN_MONEY = frozenset({Kind.SPEND, Kind.CATEGORY_SPEND})


@dataclass(frozen=True, slots=True)
class Rule:
    """A badge is reached when what `kind` counts is `target` or more.

    product_type, product_ids: of a category; exactly one of them, and neither for the other kinds.
    """

    kind: Kind
    target: Decimal
    product_type: str = ""
    product_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Badge:
    """A merchant's definition of a badge.

    enabled: else nobody is given it, and nobody loses it. version: goes up with each change.
    take_back_on_refund: the rule counts what is left after refunds, and the badge is held as long as the rule is met.
        Otherwise the rule counts as if nothing were ever refunded, and who was given it keeps it.
    """

    key: str
    title: str
    description: str
    icon: str
    rule: Rule
    enabled: bool = True
    take_back_on_refund: bool = True
    version: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """What a customer has done: all of it, or what refunds and reversals have left of it.

    placed: when the orders were placed, in any order; filled only where a streak is asked for.
    categories: spend by the key of the badge that counts it.
    """

    orders: int = 0
    spend: Decimal = Decimal(0)
    points: int = 0
    referrals: int = 0
    placed: Sequence[datetime] = ()
    categories: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a customer has done, before and after refunds."""

    gross: Counted = Counted()
    net: Counted = Counted()

    def for_badge(self, badge: Badge) -> Counted:
        """What the badge's rule goes by."""
        return self.net if badge.take_back_on_refund else self.gross


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether a customer holds a badge. by_hand: an admin decided so, and the rule is not asked."""

    held: bool
    by_hand: bool = False
    awarded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A customer is given a badge, or loses it."""

    merchant_id: str
    customer_id: int
    badge: Badge
    held: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """A badge as its customer sees it: `current` of the rule's target is done; never more than the target."""

    badge: Badge
    held: bool
    awarded_at: datetime | None
    current: Decimal


@dataclass(frozen=True, slots=True)
class Holder:
    """A customer who holds a badge; negative ids are pseudonyms of redacted customers. actor: of an award by hand."""

    customer_id: int
    awarded_at: datetime
    by_hand: bool
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a leaderboard. rank: 1 for the most points; equal points have an equal rank."""

    customer_id: int
    rank: int
    points: int
    name_sealed: bytes = field(repr=False)
