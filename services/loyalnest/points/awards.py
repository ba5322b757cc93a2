"""What an order earns and what of it should stand: the rules of accrual and clawback, without I/O.

Any order of arrival and any repetition of an order's deliveries ends in the same award:

- the first delivery that says paid makes the award, later ones change nothing;
- refunds are counted once by their id, whether they come before the order, alone or inside its body;
- after each delivery the award is brought to what should stand, by the rate it was made with.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Context, Decimal

from loyalnest.api_gateway.events import OrderFacts
from loyalnest.kit.program import EarningRule
from loyalnest.points.models import OrderAward

MAX_POINTS = 10**15
"""No single award may exceed this, so that sums stay far inside a 64-bit integer."""

_EXACT = Context(prec=100, rounding=ROUND_FLOOR)
"""Wide enough for every product of a base, a rate and a multiplier, so that nothing is rounded before the floor."""


@dataclass(frozen=True, slots=True)
class Accrual:
    """Points that an order has just earned (0 is possible: it still counts as an order)."""

    award: OrderAward
    points: int
    placed_at: datetime
    currency: str


@dataclass(frozen=True, slots=True)
class Clawback:
    """Points of an award that no longer stand. `number` counts the award's clawbacks from 1."""

    award: OrderAward
    points: int
    number: int


def standing_points(award: OrderAward) -> int:
    """Points of `award` that should stand now.

    By rate: floor((base − refunded base) × points per unit × multiplier). For a fixed number of points per order the
    same share of it: floor(points × multiplier × (base − refunded base) / base). A cancelled order leaves 0.
    """
    if award.cancelled or award.base is None:
        return 0
    return _points_for(award, award.base, max(Decimal(0), _EXACT.subtract(award.base, award.refunded_base)))


def _points_for(award: OrderAward, base: Decimal, net: Decimal) -> int:
    if award.points_per_unit is not None:
        points = _EXACT.multiply(_EXACT.multiply(net, award.points_per_unit), award.multiplier)
    elif award.fixed_points is not None:
        points = _EXACT.multiply(Decimal(award.fixed_points), award.multiplier)
        if base > 0:
            points = _EXACT.divide_int(_EXACT.multiply(points, net), base)
    else:
        return 0
    return min(MAX_POINTS, int(points))


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
    award.awarded = _points_for(award, order.base, order.base)
    return Accrual(award, award.awarded, order.placed_at, order.currency)


def claw_back_excess(award: OrderAward) -> Clawback | None:
    """Bring the award down to what should stand. None if nothing is over."""
    excess = award.awarded - award.clawed_back - standing_points(award)
    if award.awarded_at is None or excess <= 0:
        return None
    award.clawed_back += excess
    award.clawbacks += 1
    return Clawback(award, excess, award.clawbacks)
