"""Which tier a customer is in, day by day."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalnest.campaign.memberships import settle
from loyalnest.campaign.models import Earning, Member
from loyalnest.campaign.tiers import Standing, TierRules, is_upgrade, months_after, standing
from loyalnest.kit.program import VipTier
from unit.campaign.reference import DAY, lived

FIRST = date(2024, 1, 1)


def rules(*thresholds: int, months: int | None = None, timezone: str = "UTC") -> TierRules:
    tiers = [VipTier(name=f"Tier {at}", threshold=at, multiplier=1 + Decimal(at) / 100) for at in thresholds]
    return TierRules(tuple(tiers), months, timezone)


@settings(max_examples=300, deadline=None)
@given(
    earned=st.dictionaries(st.integers(0, 800).map(lambda days: FIRST + timedelta(days=days)), st.integers(0, 60)),
    steps=st.lists(st.integers(1, 60), max_size=3),
    months=st.none() | st.integers(1, 12),
    today=st.integers(0, 1000).map(lambda days: FIRST + timedelta(days=days)),
    no_tiers=st.booleans(),
)
def test_tiers_are_those_of_the_model(
    earned: dict[date, int], steps: list[int], months: int | None, today: date, no_tiers: bool
) -> None:
    thresholds = [] if no_tiers and not steps else [sum(steps[:end]) for end in range(len(steps) + 1)]
    found = standing(sorted(earned.items()), rules(*thresholds, months=months), today)
    model = lived(earned, thresholds, months, today)
    assert (found.level, found.points, found.kept_through) == (model.level, model.points, model.kept_through)
    # Until it is due, nothing changes by itself; and it is due no sooner than tomorrow.
    assert found.due_on is None or found.due_on > today
    for ahead in (1, 30, 400):
        day = today + timedelta(days=ahead)
        if found.due_on is None or day < found.due_on:
            assert standing(sorted(earned.items()), rules(*thresholds, months=months), day).level == found.level


@pytest.mark.parametrize(
    ("day", "months", "after"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2026-08-31", 6, "2027-02-28"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-11-30", 60, "2031-11-30"),
    ],
)
def test_months_end_where_the_month_does(day: str, months: int, after: str) -> None:
    assert months_after(date.fromisoformat(day), months) == date.fromisoformat(after)


def test_a_tier_is_kept_to_the_end_of_its_last_day_and_then_falls_to_what_still_counts() -> None:
    ladder = rules(0, 100, 200, months=6)
    days = [(date(2026, 8, 31), 200), (date(2026, 10, 1), 99), (date(2027, 3, 1), 100)]
    assert standing(days, ladder, date(2026, 8, 30)).level == 0
    reached = Standing(2, 200, date(2026, 8, 31), date(2027, 2, 28), date(2027, 3, 1))
    assert standing(days[:1], ladder, date(2026, 8, 31)) == reached
    renewed = Standing(2, 299, date(2026, 8, 31), date(2027, 4, 1), date(2027, 4, 2))
    assert standing(days[:2], ladder, date(2026, 10, 1)) == renewed
    # Those of 31 August count through 28 February, so those of 1 March leave 199 and renew nothing.
    assert standing(days, ladder, date(2027, 4, 1)) == Standing(
        2, 199, date(2026, 8, 31), date(2027, 4, 1), date(2027, 4, 2)
    )
    fallen = Standing(1, 100, date(2027, 4, 2), date(2027, 10, 2), date(2027, 10, 3))
    assert standing(days, ladder, date(2027, 4, 2)) == fallen
    assert standing(days, ladder, date(2027, 10, 2)).points == 0
    assert standing(days, ladder, date(2027, 10, 3)) == Standing(0, 0)


def test_what_was_refunded_never_counted() -> None:
    ladder = rules(0, 100, months=12)
    day = date(2026, 1, 1)
    assert standing([(day, 100)], ladder, day).level == 1
    assert standing([(day, 99)], ladder, day).level == 0


def test_an_order_from_tomorrow_counts_tomorrow() -> None:
    found = standing([(FIRST + DAY, 100)], rules(0, 100), FIRST)
    assert (found.level, found.due_on) == (0, FIRST + DAY)
    assert standing([(FIRST + DAY, 100)], rules(0, 100), FIRST + DAY).level == 1
    assert standing([(date(9999, 12, 31), 100)], rules(0, 100), FIRST).due_on == FIRST + timedelta(days=365)


def test_days_are_the_merchants() -> None:
    auckland = rules(0, timezone="Pacific/Auckland")
    assert auckland.today(datetime(2026, 1, 1, 11, tzinfo=UTC)) == date(2026, 1, 2)
    assert auckland.midnight(date(2026, 1, 2)) == datetime(2026, 1, 1, 11, tzinfo=UTC)
    # A day that begins at 1 o'clock, for the clocks go forward at midnight.
    beirut = rules(0, timezone="Asia/Beirut")
    assert beirut.midnight(date(2024, 3, 31)) == datetime(2024, 3, 30, 22, tzinfo=UTC)
    assert beirut.today(beirut.midnight(date(2024, 3, 31))) == date(2024, 3, 31)


@pytest.mark.parametrize(
    ("level", "previous", "threshold", "rate", "up"),
    [
        (0, "", 0, "1", True),
        (1, "Tier 0", 0, "1", True),
        (0, "Tier 100", 100, "2", False),
        (1, "Gone", 99, "9", True),  # 100 now
        (1, "Gone", 500, "9", False),
        (1, "Tier 100", 50, "1.5", True),  # the same tier gives more
        (1, "Tier 100", 50, "2.5", False),
        (-1, "Tier 100", 100, "2", False),
    ],
)
def test_what_an_upgrade_is(level: int, previous: str, threshold: int, rate: str, up: bool) -> None:
    assert is_upgrade(rules(0, 100), level, previous, threshold, Decimal(rate)) is up


def test_a_members_moments_go_up_whatever_the_clock_does() -> None:
    member, now = Member("acme", 1), datetime(2026, 1, 1, tzinfo=UTC)
    first = settle(member, Standing(0, 0), rules(0, 100), now)
    second = settle(member, Standing(1, 100), rules(0, 100), now - timedelta(hours=1))
    assert first is not None
    assert second is not None
    assert first.changed_at < second.changed_at
    assert (second.previous_tier, second.tier, second.multiplier, second.upgrade) == (
        "Tier 0",
        "Tier 100",
        Decimal(2),
        True,
    )
    assert settle(member, Standing(1, 150), rules(0, 100), now) is None
    gone = settle(member, Standing(-1, 150), rules(), now)
    assert gone is not None
    assert (gone.tier, gone.multiplier, gone.upgrade) == ("", Decimal(1), False)


moments = st.none() | st.integers(0, 5).map(lambda days: datetime(2026, 1, 1 + days, tzinfo=UTC))
earnings = st.builds(Earning, st.just(1), moments, st.integers(0, 9), st.integers(0, 9))


@given(st.lists(earnings, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_what_is_said_of_an_earning_is_one_thing_in_any_order_and_however_often(
    said: list[Earning], random: object
) -> None:
    def together(facts: list[Earning]) -> Earning:
        whole = facts[0]
        for each in facts[1:]:
            whole = whole.combine(each)
        return whole

    again = [*said, *said]
    random.shuffle(again)  # type: ignore[attr-defined]
    assert together(again) == together(said)
