"""The nouns of rfm."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class OrderState:
    """What is known of an order. Knowledge only grows, so it can be combined in any order and any number of times.

    placed_at: None until the order is known to have earned; before that it does not count.
    net_base: merchandise after discounts less refunds. Refunds are cumulative, so the least that was heard is newest.
    """

    merchant_id: str
    order_id: int
    customer_id: int
    placed_at: datetime | None
    net_base: Decimal
    cancelled: bool

    def combine(self, other: "OrderState") -> "OrderState":
        """What both say together. Commutative, associative and idempotent; the repository says the same in SQL."""
        return OrderState(
            merchant_id=self.merchant_id,
            order_id=self.order_id,
            customer_id=self.customer_id,
            placed_at=self.placed_at or other.placed_at,
            net_base=min(self.net_base, other.net_base),
            cancelled=self.cancelled or other.cancelled,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a merchant is refreshed. `settings_version` is that of the rules it comes from."""

    merchant_id: str
    cron: str
    timezone: str
    next_run_at: datetime
    settings_version: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did: customers scored, those whose scores or segment changed, and the seconds it took."""

    customers: int
    changed: int
    seconds: float
    as_of: datetime


@dataclass(frozen=True, slots=True)
class CustomerScores:
    """A customer's values and scores; scores are 0 and the segment is empty without counted orders.

    as_of: when the scores last changed.
    """

    customer_id: int
    orders: int
    monetary: Decimal
    last_order_at: datetime | None
    recency: int
    frequency: int
    monetary_score: int
    segment: str
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Cell:
    """Customers of one recency and frequency score, and the sum of their monetary values."""

    recency: int
    frequency: int
    customers: int
    revenue: Decimal


@dataclass(frozen=True, slots=True)
class RefreshState:
    """When a merchant was last refreshed and will be next; None where it never was or no schedule is known."""

    cron: str
    timezone: str
    settings_version: int
    next_run_at: datetime | None
    refreshed_at: datetime | None
    population: int


@dataclass(frozen=True, slots=True)
class DayCount:
    """A segment on the local day of a refresh."""

    day: date
    segment: str
    customers: int
    revenue: Decimal


@dataclass(frozen=True, slots=True)
class Movement:
    """How often customers went from one segment to another; an empty name is for outside the population."""

    from_segment: str
    to_segment: str
    times: int
