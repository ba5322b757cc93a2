"""What an order earns and what of it should stand: the rules of accrual and clawback, without I/O.

Any order of arrival and any repetition of an order's deliveries ends in the same award:

- the first delivery that says paid makes the award, later ones change nothing;
- refunds are counted once by their id, whether they come before the order, alone or inside its body;
- after each delivery the award is brought to what should stand, by the rate it was made with.

Bonus campaigns are the exception: what they add depends on what they are when the award is made (see `bonuses`).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from loyalnest.api_gateway.events import OrderFacts
from loyalnest.kit.program import EarningRule
from loyalnest.points.models import AwardBonus, OrderAward
from loyalnest.points.rates import in_proportion, net_base, points_for


@dataclass(frozen=True, slots=True)
class Accrual:
    """An order has just earned, be it 0 points: it still counts as an order."""

    award: OrderAward
    order: OrderFacts


@dataclass(frozen=True, slots=True)
class Clawback:
    """Points of an award that no longer stand. `number` counts the award's clawbacks from 1.

    returned: what of them campaigns had given.
    """

    award: OrderAward
    points: int
    number: int
    returned: tuple[tuple[UUID, int], ...] = ()


def standing_points(award: OrderAward) -> int:
    """Points of `award` that should stand now, without what campaigns gave.

    By rate: floor((base − refunded base) × points per unit × multiplier). For a fixed number of points per order the
    same share of it: floor(points × multiplier × (base − refunded base) / base). A cancelled order leaves 0.
    """
    if award.cancelled or award.base is None:
        return 0
    return points_for(award, award.base, net_base(award, award.base))


def standing_bonus(award: OrderAward, bonus: AwardBonus) -> int:
    """Points of `bonus` that should stand now: floor(points × (base − refunded base) / base), 0 if cancelled."""
    if award.cancelled or award.base is None:
        return 0
    return in_proportion(bonus.points, award.base, net_base(award, award.base))


def earn(
    award: OrderAward,
    order: OrderFacts,
    rule: EarningRule | None,
    *,
    multiplier: Decimal,
    settings_version: int,
    now: datetime,
) -> Accrual | None:
    """Make the award of a paid order of a known customer, once. None if there is nothing to award.

    The full award is posted even when refunds or a cancellation came first: `claw_back_excess` takes those off, so
    that the ledger tells the same story in any order of arrival.
    """
    if award.awarded_at is not None or not order.paid or order.customer_id is None:
        return None
    award.customer_id = order.customer_id
    award.base = order.base
    award.awarded_at = now
    award.multiplier = multiplier
    award.settings_version = settings_version
    if rule is not None:
        award.rule = rule.name
        award.points_per_unit = rule.points_per_unit
        award.fixed_points = rule.points
    award.awarded = points_for(award, order.base, order.base)
    return Accrual(award, order)


def claw_back_excess(award: OrderAward) -> Clawback | None:
    """Bring the award and its bonuses down to what should stand. None if nothing is over."""
    if award.awarded_at is None:
        return None
    standing = [standing_bonus(award, bonus) for bonus in award.bonuses]
    excess = award.awarded - award.clawed_back - standing_points(award) - sum(standing)
    if excess <= 0:
        return None
    returned = tuple(
        (bonus.campaign_id, bonus.points - bonus.clawed_back - stands)
        for bonus, stands in zip(award.bonuses, standing, strict=True)
        if bonus.points - bonus.clawed_back > stands
    )
    award.bonuses = tuple(
        replace(bonus, clawed_back=bonus.points - stands) for bonus, stands in zip(award.bonuses, standing, strict=True)
    )
    award.clawed_back += excess
    award.clawbacks += 1
    return Clawback(award, excess, award.clawbacks, returned)
