"""The rules of badges: what a customer has reached, and what follows from it. No I/O.

Of the facts, an order counts once it is known to have earned and was worth more than 0; after refunds, if it was not
cancelled and is still worth more than 0. An order's spend in a category is the category's part of its base; after
refunds, that part times net_base / base, rounded to four places, half away from zero.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from loyalnest.gamification.models import Badge, Counted, Facts, Holding, Kind, Progress

_WEEK = timedelta(days=7)


def weeks_of(moments: Iterable[datetime], zone: ZoneInfo) -> list[date]:
    """The Mondays of the ISO weeks (ISO 8601: Monday to Sunday) that the moments fall in by local time, ascending.

    A week is named by its Monday, so that neither the year's end nor a year of 53 weeks breaks a row of weeks.
    """
    days = {moment.astimezone(zone).date() for moment in moments}
    return sorted({day - timedelta(days=day.weekday()) for day in days})


def longest_streak(weeks: Iterable[date]) -> int:
    """The most weeks in a row among ascending Mondays."""
    mondays = list(weeks)
    longest = run = min(len(mondays), 1)
    for before, after in pairwise(mondays):
        run = run + 1 if after - before == _WEEK else 1
        longest = max(longest, run)
    return longest


def current_streak(weeks: Iterable[date], today: date) -> int:
    """The weeks in a row up to this week, or to the last one: this week is not over yet. 0 if neither had an order."""
    known = set(weeks)
    monday = today - timedelta(days=today.weekday())
    if monday not in known:
        monday -= _WEEK
    run = 0
    while monday in known:
        run, monday = run + 1, monday - _WEEK
    return run


def value(badge: Badge, counted: Counted, zone: ZoneInfo) -> Decimal:
    """What the badge's rule counts."""
    match badge.rule.kind:
        case Kind.ORDERS:
            return Decimal(counted.orders)
        case Kind.REFERRALS:
            return Decimal(counted.referrals)
        case Kind.SPEND:
            return counted.spend
        case Kind.CATEGORY_SPEND:
            return counted.categories.get(badge.key, Decimal(0))
        case Kind.LIFETIME_POINTS:
            return Decimal(counted.points)
        case Kind.WEEKLY_STREAK:
            return Decimal(longest_streak(weeks_of(counted.placed, zone)))


def decide(
    badges: Iterable[Badge], facts: Facts, holdings: Mapping[str, Holding], zone: ZoneInfo
) -> list[tuple[Badge, bool]]:
    """The badges that a customer is given (True) or loses (False); `holdings` are by the badge's key."""
    changes: list[tuple[Badge, bool]] = []
    for badge in badges:
        holding = holdings.get(badge.key, Holding(held=False))
        if holding.by_hand or not badge.enabled:
            continue
        reached = value(badge, facts.for_badge(badge), zone) >= badge.rule.target
        held = reached or (holding.held and not badge.take_back_on_refund)
        if held != holding.held:
            changes.append((badge, held))
    return changes


def progress(badge: Badge, facts: Facts, holding: Holding, zone: ZoneInfo, now: datetime) -> Progress:
    """How far a customer is. Of a streak that is not won yet, the one that can still go on counts."""
    counted, target = facts.for_badge(badge), badge.rule.target
    if holding.held:
        current = target
    elif badge.rule.kind is Kind.WEEKLY_STREAK:
        current = Decimal(current_streak(weeks_of(counted.placed, zone), now.astimezone(zone).date()))
    else:
        current = value(badge, counted, zone)
    return Progress(
        badge, holding.held, holding.awarded_at if holding.held else None, max(Decimal(0), min(current, target))
    )
