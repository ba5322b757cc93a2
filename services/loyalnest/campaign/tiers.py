"""The rule of VIP tiers, without I/O.

What counts is what a customer earned by orders, joining, referrals and adjustments, each less what was clawed back of
it: as if what was refunded had never been earned. Redemptions, expiries and deductions take nothing off. An order's
points count on the day it was placed, others on the day they were granted, by the merchant's calendar.

Without a window (`tierQualification` is absent) a customer is in the highest tier whose threshold the sum reaches.

With a window of some months:

- Points count from their day through the same day of the month, months later; where that month is shorter, its last.
- A tier is reached at once, on the day on which the points that count reach its threshold.
- It is kept through the same day, months later. Every day on which points are earned that leave the sum at the
  threshold or above renews it.
- On the day after, the points that count then decide: the customer falls to the highest tier that they reach, which
  is kept for the same time from there. The first tier has no end.

So a tier depends on the facts, the rules in force and the day, and on nothing else: in whatever order facts come, and
however often, they end in the same tier. A refund takes a tier at once that was reached only by what it takes back,
and new rules count as though they had always been there.
"""

from bisect import bisect_right
from calendar import monthrange
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from loyalnest.kit.program import VipTier
from loyalnest.kit.rules_projection import VersionedRules

_DAY = timedelta(days=1)
_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class TierRules:
    """What of a merchant's rules decides about tiers. months: of the window; None for a lifetime."""

    tiers: tuple[VipTier, ...]
    months: int | None
    timezone: str

    @classmethod
    def of(cls, versioned: VersionedRules) -> "TierRules":
        """Those of a version of the rules."""
        rules = versioned.rules
        window = rules.tier_qualification
        return cls(rules.tiers, window.months if window else None, rules.rfm.timezone)

    def today(self, now: datetime) -> date:
        """The merchant's day at `now`."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

    def midnight(self, day: date) -> datetime:
        """The moment at which the merchant's `day` begins, in UTC."""
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)

    def place(self, name: str) -> int | None:
        """The level of the tier of that name; None if there is none any more."""
        return next((level for level, tier in enumerate(self.tiers) if tier.name == name), None)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a customer stands on a day.

    level: of the tier, 0 for the first; -1 where there are no tiers. points: those that count.
    reached_on: None for the first tier. kept_through: its last day; None for one without an end.
    due_on: the first day after today that may bring another standing although nothing happens; None for none.
    """

    level: int
    points: int
    reached_on: date | None = None
    kept_through: date | None = None
    due_on: date | None = None


def standing(days: Iterable[tuple[date, int]], rules: TierRules, today: date) -> Standing:
    """Where a customer stands today who earned so many points on each of `days`, which ascend; each day once.

    A day after today (the order's clock was ahead) counts from then on, and is looked at once a year at least.
    """
    walk = _Walk([tier.threshold for tier in rules.tiers], rules.months)
    ahead: date | None = None
    for day, points in days:
        if day > today:
            ahead = min(day, today + _YEAR)
            break
        if points > 0:
            walk.earn(day, points)
    walk.begin(today)
    over = None if walk.kept_through is None else walk.kept_through + _DAY
    due_on = min((each for each in (over, ahead) if each is not None), default=None)
    return Standing(walk.level, walk.points, walk.reached_on, walk.kept_through, due_on)


def months_after(day: date, months: int) -> date:
    """The same day of the month, `months` later, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def is_upgrade(rules: TierRules, level: int, previous: str, previous_threshold: int, previous_rate: Decimal) -> bool:
    """Whether the tier `level` is above the one before, by the rules of now; one that is gone is told by its threshold.

    A tier that stays the same and gives more is an upgrade too.
    """
    if level < 0 or not previous:
        return level >= 0
    place = rules.place(previous)
    if place == level:
        return rules.tiers[level].multiplier > previous_rate
    return level > place if place is not None else rules.tiers[level].threshold > previous_threshold


class _Walk:
    """Goes through a customer's days in their order."""

    def __init__(self, thresholds: Sequence[int], months: int | None) -> None:
        self._thresholds = thresholds
        self._months = months
        self._counting: deque[tuple[date, int]] = deque()
        self.points = 0
        self.level = min(0, len(thresholds) - 1)
        self.reached_on: date | None = None
        self.kept_through: date | None = None

    def begin(self, day: date) -> None:
        """Let terms end that end before `day`, and points that do not count on it any more."""
        while self.kept_through is not None and self.kept_through < day:
            first = self.kept_through + _DAY
            self._forget(first)
            self._stand(self._qualified(), first)
        self._forget(day)

    def earn(self, day: date, points: int) -> None:
        self.begin(day)
        self.points += points
        if self._months is not None:
            self._counting.append((months_after(day, self._months), points))
        qualified = self._qualified()
        if qualified >= self.level:
            self._stand(qualified, day)

    def _stand(self, level: int, day: date) -> None:
        """Put the customer into the tier, or renew it, on `day`."""
        if level != self.level:
            self.reached_on = day if level > 0 else None
        self.level = level
        self.kept_through = months_after(day, self._months) if self._months is not None and level > 0 else None

    def _forget(self, day: date) -> None:
        while self._counting and self._counting[0][0] < day:
            self.points -= self._counting.popleft()[1]

    def _qualified(self) -> int:
        return bisect_right(self._thresholds, self.points) - 1
