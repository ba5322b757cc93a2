"""Runs in the merchant's timezone, also where its clocks change."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.program import Rfm
from loyalnest.rfm.schedule import next_run, schedule_of


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs(cron: str, timezone: str, after: str, count: int) -> list[datetime]:
    """The next `count` runs, each asked for at the one before."""
    found = [utc(after)]
    for _ in range(count):
        found.append(next_run(cron, timezone, found[-1]))
    return found[1:]


def test_new_york_nights_through_spring() -> None:
    assert runs("0 1 * * *", "America/New_York", "2026-03-07T12:00", 3) == [
        utc("2026-03-08T06:00"),  # 01:00 EST, an hour before the change
        utc("2026-03-09T05:00"),  # 01:00 EDT
        utc("2026-03-10T05:00"),
    ]


def test_new_york_nights_through_autumn_run_once_in_the_repeated_hour() -> None:
    assert runs("0 1 * * *", "America/New_York", "2026-10-31T12:00", 3) == [
        utc("2026-11-01T05:00"),  # 01:00 EDT, the first of two
        utc("2026-11-02T06:00"),  # 01:00 EST
        utc("2026-11-03T06:00"),
    ]


def test_berlin_time_that_spring_skips_runs_after_the_gap() -> None:
    assert runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == [
        utc("2026-03-29T01:00"),  # 03:00 CEST: there is no 02:30
        utc("2026-03-30T00:30"),
    ]


def test_berlin_time_that_autumn_repeats_runs_once() -> None:
    assert runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == [
        utc("2026-10-25T00:30"),  # 02:30 CEST, the first of two
        utc("2026-10-26T01:30"),
    ]


@pytest.mark.parametrize("minute", ["00:31", "00:59", "01:00", "01:29", "01:30", "01:31"])
def test_a_run_that_ended_inside_the_repeated_hour_is_not_repeated(minute: str) -> None:
    assert next_run("30 2 * * *", "Europe/Berlin", utc(f"2026-10-25T{minute}")) == utc("2026-10-26T01:30")


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis's way
    st.sampled_from(["0 1 * * *", "30 2 * * *", "*/15 * * * *", "0 */6 * * *", "0 3 * * 1"]),
    st.sampled_from(["America/New_York", "Europe/Berlin", "UTC", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_the_next_run_is_always_ahead_and_comes_within_its_period(after: datetime, cron: str, timezone: str) -> None:
    found = next_run(cron, timezone, after)
    assert found > after
    assert found - after <= timedelta(days=7 if cron.endswith("1") else 1, hours=2)
    assert found.tzinfo is UTC


def test_a_schedule_comes_from_the_rules() -> None:
    rules = Rfm(schedule="15 4 * * *", timezone="Asia/Tokyo")
    schedule = schedule_of("acme", rules, 3, utc("2026-01-01T00:00"))
    assert (schedule.cron, schedule.timezone, schedule.settings_version) == ("15 4 * * *", "Asia/Tokyo", 3)
    assert schedule.next_run_at == utc("2026-01-01T19:15")
