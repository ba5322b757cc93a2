"""Tiers by a model that lives through every day, and looks at all that was earned before on each."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

DAY = timedelta(days=1)


@dataclass
class Lived:
    level: int
    points: int
    kept_through: date | None


def later(day: date, months: int) -> date:
    """Month by month, from the first of the month; then the day, or the last that there is."""
    year, month = day.year, day.month
    for _ in range(months):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def lived(earned: dict[date, int], thresholds: list[int], months: int | None, today: date) -> Lived:
    """Where a customer stands at the end of `today`."""

    def score(on: date, before: date) -> int:
        return sum(
            points for day, points in earned.items() if day <= before and (months is None or on <= later(day, months))
        )

    def reached(points: int) -> int:
        return max((level for level, threshold in enumerate(thresholds) if threshold <= points), default=-1)

    level, end = min(0, len(thresholds) - 1), None
    day = min([*earned, today])
    while day <= today:
        if end is not None and day > end:
            level = reached(score(day, before=day - DAY))
            end = later(day, months) if level > 0 and months else None
        if earned.get(day, 0) > 0 and reached(score(day, before=day)) >= level:
            level = reached(score(day, before=day))
            end = later(day, months) if level > 0 and months else None
        day += DAY
    return Lived(level, score(today, before=today), end)
