"""The rules of badges against a model that works another way: day by day, with ISO's own week numbers."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loyalnest.gamification.models import Badge, Counted, Facts, Holding, Kind, Rule
from loyalnest.gamification.rules import current_streak, decide, longest_streak, progress, weeks_of

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu")]
zones = st.sampled_from(ZONES)


def within(first: date, days: int) -> st.SearchStrategy[datetime]:
    """Moments of so many days from the first on."""
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return st.integers(0, days * 86_400).map(lambda seconds: begin + timedelta(seconds=seconds))


# Around a year's end with 53 weeks (2020) and one with 52 (2024), around clock changes, and where Apia skipped a day.
moments = st.one_of(within(date(2020, 12, 1), 60), within(date(2024, 12, 15), 115), within(date(2011, 12, 20), 20))


def iso_weeks(placed: list[datetime], zone: ZoneInfo) -> set[tuple[int, int]]:
    """ISO year and week of each order, as the calendar itself names them."""
    return {tuple(moment.astimezone(zone).isocalendar()[:2]) for moment in placed}  # type: ignore[misc]


def naive_longest(placed: list[datetime], zone: ZoneInfo) -> int:
    """Walks over every day of the years in question and counts weeks as they come."""
    wanted, longest, run = iso_weeks(placed, zone), 0, 0
    day, last = date(2011, 12, 1), date(2025, 5, 1)
    before = None
    while day <= last:
        week = tuple(day.isocalendar()[:2])
        if week != before:
            run = run + 1 if week in wanted else 0
            longest, before = max(longest, run), week
        day += timedelta(days=1)
    return longest


def naive_current(placed: list[datetime], zone: ZoneInfo, today: date) -> int:
    wanted = iso_weeks(placed, zone)
    run, day = 0, today
    if tuple(day.isocalendar()[:2]) not in wanted:
        day -= timedelta(days=7)
    while tuple(day.isocalendar()[:2]) in wanted:
        run, day = run + 1, day - timedelta(days=7)
    return run


@given(st.lists(moments, max_size=12), zones)
@example([datetime(2020, 12, 28, tzinfo=UTC), datetime(2021, 1, 4, tzinfo=UTC)], ZONES[0])  # week 53, then week 1
@example([datetime(2024, 12, 29, 23, 30, tzinfo=UTC), datetime(2025, 1, 5, 22, 59, tzinfo=UTC)], ZONES[1])
@example([datetime(2025, 3, 30, 21, 59, tzinfo=UTC), datetime(2025, 3, 30, 22, 0, tzinfo=UTC)], ZONES[1])
def test_the_longest_streak(placed: list[datetime], zone: ZoneInfo) -> None:
    assert longest_streak(weeks_of(placed, zone)) == naive_longest(placed, zone)


@given(st.lists(moments, max_size=12), zones, moments)
def test_the_streak_that_can_still_go_on(placed: list[datetime], zone: ZoneInfo, now: datetime) -> None:
    today = now.astimezone(zone).date()
    assert current_streak(weeks_of(placed, zone), today) == naive_current(placed, zone, today)


@given(st.lists(moments, min_size=1, max_size=8), zones)
def test_neither_order_nor_repetition_of_orders_matters(placed: list[datetime], zone: ZoneInfo) -> None:
    weeks = weeks_of(placed, zone)
    assert weeks == weeks_of([*reversed(placed), *placed], zone)
    assert all(monday.isoweekday() == 1 for monday in weeks)
    assert 1 <= longest_streak(weeks) <= len(weeks)


@pytest.mark.parametrize(
    ("first", "second", "weeks"),
    [
        ("2025-03-30T21:59:59", "2025-03-30T22:00:00", 2),  # the Sunday that has 23 hours in Berlin ends at 22:00 UTC
        ("2025-10-26T22:59:59", "2025-10-26T23:00:00", 2),  # the one that has 25 ends at 23:00 UTC
        ("2025-03-23T23:00:00", "2025-03-30T21:59:59", 1),
        ("2025-01-01T12:00:00", "2024-12-30T12:00:00", 1),  # a week of two years
    ],
)
def test_the_borders_of_weeks_in_berlin(first: str, second: str, weeks: int) -> None:
    placed = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (first, second)]
    assert len(weeks_of(placed, ZoneInfo("Europe/Berlin"))) == weeks


def badge(kind: Kind, target: int, *, enabled: bool = True, take_back: bool = True) -> Badge:
    return Badge("b", "B", "", "star", Rule(kind, Decimal(target)), enabled, take_back)


counts = st.integers(0, 6)


@given(st.sampled_from(list(Kind)), st.integers(1, 6), counts, counts, st.booleans(), st.booleans(), st.booleans())
def test_every_kind_goes_by_its_own_count(
    kind: Kind,
    target: int,
    gross: int,
    net: int,
    take_back: bool,
    enabled: bool,
    was_held: bool,
) -> None:
    wanted = badge(kind, target, enabled=enabled, take_back=take_back)
    changes = decide([wanted], Facts(counted(kind, gross), counted(kind, net)), {"b": Holding(was_held)}, ZONES[0])
    reached = (net if take_back else gross) >= target
    expected = was_held if not enabled else reached or (was_held and not take_back)
    assert changes == ([] if expected == was_held else [(wanted, expected)])


def counted(kind: Kind, amount: int) -> Counted:
    """So much of one kind, and more than any target of all the others."""
    return Counted(
        orders=amount if kind is Kind.ORDERS else 99,
        referrals=amount if kind is Kind.REFERRALS else 99,
        spend=Decimal(amount if kind is Kind.SPEND else 99),
        points=amount if kind is Kind.LIFETIME_POINTS else 99,
        categories={"b": Decimal(amount if kind is Kind.CATEGORY_SPEND else 99), "other": Decimal(99)},
        placed=[
            datetime(2026, 1, 5, tzinfo=UTC) + timedelta(weeks=week)
            for week in range(amount if kind is Kind.WEEKLY_STREAK else 99)
        ],
    )


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("amount", [0, 99])
def test_what_was_decided_by_hand_stays(held: bool, amount: int) -> None:
    facts = Facts(counted(Kind.ORDERS, amount), counted(Kind.ORDERS, amount))
    assert decide([badge(Kind.ORDERS, 3)], facts, {"b": Holding(held, by_hand=True)}, ZONES[0]) == []


@given(st.sampled_from(list(Kind)), st.integers(1, 6), counts, st.booleans())
def test_progress_is_never_more_than_the_target(kind: Kind, target: int, amount: int, held: bool) -> None:
    wanted, now = badge(kind, target), datetime(2026, 1, 5, tzinfo=UTC) + timedelta(weeks=max(0, amount - 1))
    facts = Facts(Counted(), counted(kind, amount))
    seen = progress(wanted, facts, Holding(held, awarded_at=now), ZONES[0], now)
    assert seen.current == (target if held else min(target, amount))
    assert (seen.held, seen.awarded_at) == (held, now if held else None)


def test_a_streak_that_broke_is_no_progress() -> None:
    placed = counted(Kind.WEEKLY_STREAK, 3)
    for weeks, current in ((2, 3), (3, 3), (4, 0)):  # this week, the week after, and one too late
        now = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(weeks=weeks)
        seen = progress(badge(Kind.WEEKLY_STREAK, 5), Facts(placed, placed), Holding(held=False), ZONES[0], now)
        assert seen.current == current
