"""The rule of scores and segments, without I/O.

Scores are of one merchant's population: its customers with at least one counted order. An order counts once it has
earned and while it is not cancelled, whatever refunds left of it, be it 0.

- Recency: the local date, in the merchant's timezone, of the customer's last counted order; later is better.
- Frequency: the number of counted orders.
- Monetary: the sum of the orders' net bases (merchandise after discounts less refunds), in the shop's currency.

With n customers, by integer division:

- Frequency and monetary score = 1 + (5 × the number of customers strictly below) / n.
  So the smallest value always scores 1, and equal values score alike.
- Recency score = (5 × the number of customers at or below + n − 1) / n.
  So the most recent buyers always score 5, and equal dates score alike.

A single customer so scores recency 5, frequency 1, monetary 1: "new". Quintiles need not have equal sizes where
values tie: ties are never split.

Segments are a disjoint partition of the 25 cells of recency × frequency (see `SEGMENTS`).

Between two refreshes a customer is scored by cut points, four for each score, which the refresh reads off the sorted
values. They give each value of that population exactly its score by the rule; a value that was not there scores as
against that population, the extremes clamped to 1 and 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType

SEGMENTS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "champions": (("5", "45"),),
        "loyal": (("34", "45"),),
        "potential_loyalist": (("45", "23"),),
        "new": (("5", "1"),),
        "promising": (("4", "1"),),
        "need_attention": (("3", "3"),),
        "about_to_sleep": (("3", "12"),),
        "at_risk": (("12", "34"),),
        "cannot_lose": (("12", "5"),),
        "hibernating": (("12", "12"),),
    }
)
"""Each segment's cells: recency scores, and the frequency scores that go with each of them."""


def _grid() -> tuple[str, ...]:
    cells = {
        (int(recency), int(frequency)): segment
        for segment, areas in SEGMENTS.items()
        for recencies, frequencies in areas
        for recency in recencies
        for frequency in frequencies
    }
    return tuple(cells[recency, frequency] for recency in range(1, 6) for frequency in range(1, 6))


GRID: Sequence[str] = _grid()
"""The segment of each cell, at (recency − 1) × 5 + frequency − 1."""


def segment_of(recency: int, frequency: int) -> str:
    """The segment of a pair of scores; empty for 0, which is the score of a customer outside the population."""
    return GRID[(recency - 1) * 5 + frequency - 1] if recency else ""


def recency_places(population: int) -> list[int]:
    """Where the cut points of recency stand among the sorted values, counted from 1; population > 0.

    The score is at least s where 5 × at or below > (s − 1) × n, so from the value at place (s − 1) × n / 5 + 1 on.
    """
    return [step * population // 5 + 1 for step in range(1, 5)]


def other_places(population: int) -> list[int]:
    """Where the cut points of frequency and monetary stand among the sorted values, counted from 1; population > 0.

    The score is at least s where 5 × strictly below ≥ (s − 1) × n, so for values above the one at place
    (s − 1) × n / 5, rounded up.
    """
    return [(step * population + 4) // 5 for step in range(1, 5)]


@dataclass(frozen=True, slots=True)
class CutPoints:
    """The four cut points of each score, ascending, of the scores 2 to 5.

    recency: a date at or after the cut point has its score.
    frequency, monetary: a value above the cut point has its score.
    """

    recency: Sequence[date]
    frequency: Sequence[int]
    monetary: Sequence[Decimal]

    def score(self, last_order: date, orders: int, monetary: Decimal) -> tuple[int, int, int]:
        """The scores of a customer. The repository says the same in SQL."""
        return (
            1 + sum(last_order >= cut for cut in self.recency),
            1 + sum(orders > cut for cut in self.frequency),
            1 + sum(monetary > cut for cut in self.monetary),
        )
