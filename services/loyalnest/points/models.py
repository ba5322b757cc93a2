"""The ledger's nouns."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID


class Account(StrEnum):
    """Accounts of the double entry. Pending, available and held are the member's; the others are the merchant's.

    issued: where points come from (its balance is negative: what was ever granted, less adjustments).
    pending: granted and waiting for approval.
    available: may be spent; below zero it is a debt that later earning pays.
    held: set aside for a redemption that is not yet issued.
    redeemed, expired, clawback: where points end.
    """

    ISSUED = "issued"
    PENDING = "pending"
    AVAILABLE = "available"
    HELD = "held"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    CLAWBACK = "clawback"


class Kind(StrEnum):
    """Why a transaction was posted."""

    ACCRUAL = "accrual"
    APPROVAL = "approval"
    CLAWBACK = "clawback"
    EXPIRY = "expiry"
    HOLD = "hold"
    REDEMPTION = "redemption"
    RELEASE = "release"
    ADJUSTMENT = "adjustment"


@dataclass(slots=True)
class Lot:
    """Points granted together, which expire together. `lot_id` is the id of the accrual's transaction.

    remaining: neither spent, expired nor clawed back; never below zero.
    expired: how many of `granted` ran out.
    pending: waiting for `available_at`.
    expires_at: None for never.
    """

    merchant_id: str
    lot_id: UUID
    customer_id: int
    order_id: int | None
    granted: int
    remaining: int
    expired: int
    pending: bool
    available_at: datetime
    expires_at: datetime | None


@dataclass(slots=True)
class Member:
    """A customer's balances, and the lots that a decision needs. A redacted customer's id is negative, a pseudonym.

    `lots` holds those that were loaded or made since; an operation that spends needs all with points left.
    lifetime_earned: what was awarded less what was clawed back.
    """

    merchant_id: str
    customer_id: int
    pending: int = 0
    available: int = 0
    held: int = 0
    lifetime_earned: int = 0
    lifetime_redeemed: int = 0
    lots: dict[UUID, Lot] = field(default_factory=dict)

    @property
    def debt(self) -> int:
        """Points that later earning pays before it is available."""
        return max(0, -self.available)


@dataclass(slots=True)
class Origin:
    """Where a transaction comes from: its business key, and what it was decided by."""

    source: str
    order_id: int | None = None
    rule: str = ""
    settings_version: int = 0
    actor: str = "system"
    note: str = ""


@dataclass(slots=True)
class Transaction:
    """A posting: amounts over accounts that sum to zero. `points` is its effect on what the member owns."""

    transaction_id: UUID
    merchant_id: str
    customer_id: int
    kind: Kind
    points: int
    origin: Origin
    entries: dict[Account, int]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AwardBonus:
    """What a bonus campaign added to an award, and how many points of it were clawed back."""

    campaign_id: UUID
    points: int
    clawed_back: int = 0


@dataclass(slots=True)
class OrderAward:
    """What an order has earned, and by which rule, so that a refund is reckoned by that rule and no later one.

    base: merchandise after discounts of the delivery that earned, in the shop's currency; None before it was paid.
    refunded_base: sum of the bases of its refunds, each counted once by its id.
    points_per_unit or fixed_points: the rule's rate; both None if no rule earned.
    multiplier: of the customer's tier when it earned.
    awarded, clawed_back: points; clawed_back never exceeds awarded.
    clawbacks: how many were posted; numbers their business keys.
    bonuses: what of `awarded` campaigns gave; their `clawed_back` is part of the award's.
    """

    merchant_id: str
    order_id: int
    customer_id: int | None = None
    base: Decimal | None = None
    refunded_base: Decimal = Decimal(0)
    cancelled: bool = False
    awarded_at: datetime | None = None
    rule: str = ""
    points_per_unit: Decimal | None = None
    fixed_points: int | None = None
    multiplier: Decimal = Decimal(1)
    settings_version: int = 0
    awarded: int = 0
    clawed_back: int = 0
    clawbacks: int = 0
    lot_id: UUID | None = None
    bonuses: tuple[AwardBonus, ...] = ()
