"""The rule of scores, worked out another way: fractions over sorted lists, and the segments as the design has them."""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

PATTERNS = {
    "hibernating": "[12][12]",
    "at_risk": "[12][34]",
    "cannot_lose": "[12]5",
    "about_to_sleep": "3[12]",
    "need_attention": "33",
    "loyal": "[34][45]",
    "promising": "41",
    "new": "51",
    "potential_loyalist": "[45][23]",
    "champions": "5[45]",
}


class Values(NamedTuple):
    """What a customer is scored by."""

    last_order: date
    orders: int
    monetary: Decimal


class Scored(NamedTuple):
    recency: int
    frequency: int
    monetary: int
    segment: str


def by_recency(population: Sequence[Any], value: Any) -> int:
    """The fifth, counted up, that the share of values at or below falls in; at least the first."""
    share = Fraction(bisect_right(population, value), len(population))
    return max(1, math.ceil(share * 5))


def by_size(population: Sequence[Any], value: Any) -> int:
    """The fifth, counted down, that the share of values below falls in; at most the last."""
    share = Fraction(bisect_left(population, value), len(population))
    return min(5, math.floor(share * 5) + 1)


def segment(recency: int, frequency: int) -> str:
    """The only segment whose pattern fits."""
    (name,) = [name for name, pattern in PATTERNS.items() if re.fullmatch(pattern, f"{recency}{frequency}")]
    return name


def scores(population: Mapping[int, Values]) -> dict[int, Scored]:
    """Everyone's scores by the rule."""
    dates = sorted(each.last_order for each in population.values())
    orders = sorted(each.orders for each in population.values())
    money = sorted(each.monetary for each in population.values())
    found = {}
    for customer, each in population.items():
        recency, frequency = by_recency(dates, each.last_order), by_size(orders, each.orders)
        found[customer] = Scored(recency, frequency, by_size(money, each.monetary), segment(recency, frequency))
    return found
