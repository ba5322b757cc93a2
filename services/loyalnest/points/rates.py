"""How many points an award's rate gives, exactly."""

from decimal import ROUND_FLOOR, Context, Decimal

from loyalnest.points.models import OrderAward

MAX_POINTS = 10**15
"""No single award may exceed this, so that sums stay far inside a 64-bit integer."""

ONE = Decimal(1)
_EXACT = Context(prec=100, rounding=ROUND_FLOOR)
"""Wide enough for every product of a base, a rate and multipliers, so that nothing is rounded before the floor."""


def points_for(award: OrderAward, base: Decimal, part: Decimal, factor: Decimal = ONE) -> int:
    """Points for a `part` of the base, times `factor`.

    By rate: floor(part × points per unit × multiplier × factor). For a fixed number of points per order the same share
    of it: floor(points × multiplier × factor × part / base), all of it if the base is 0.
    """
    multiplier = award.multiplier if factor == ONE else _EXACT.multiply(award.multiplier, factor)
    if award.points_per_unit is not None:
        points = _EXACT.multiply(_EXACT.multiply(part, award.points_per_unit), multiplier)
    elif award.fixed_points is not None:
        points = _EXACT.multiply(Decimal(award.fixed_points), multiplier)
        if base > 0:
            points = _EXACT.divide_int(_EXACT.multiply(points, part), base)
    else:
        return 0
    return min(MAX_POINTS, int(points))


def net_base(award: OrderAward, base: Decimal) -> Decimal:
    """What is left of the base after its refunds; never below 0."""
    return max(Decimal(0), _EXACT.subtract(base, award.refunded_base))


def in_proportion(points: int, base: Decimal, part: Decimal) -> int:
    """floor(points × part / base), all of them if the base is 0."""
    return int(_EXACT.divide_int(_EXACT.multiply(Decimal(points), part), base)) if base > 0 else points
