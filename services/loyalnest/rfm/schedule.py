"""When a merchant's scores are refreshed, without I/O."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from loyalnest.kit.program import Rfm
from loyalnest.rfm.models import Schedule


def next_run(cron: str, timezone: str, after: datetime) -> datetime:
    """The first moment after `after` that the five-field schedule names in the timezone, in UTC.

    As Debian's cron has it: a fixed time that a spring change skips runs right after the gap, and one that an autumn
    change repeats runs once. Both `cron` and `timezone` are valid (`loyalnest.kit.program` has checked them).
    """
    for local in CronSim(cron, after.astimezone(ZoneInfo(timezone))):
        moment: datetime = local.astimezone(UTC)
        # In the repeated hour a fixed time means its first pass, which may be over.
        if moment > after:
            return moment
    raise AssertionError(f"{cron!r} names no moment")


def schedule_of(merchant_id: str, rules: Rfm, version: int, now: datetime) -> Schedule:
    """The schedule that a version of a merchant's rules names, seen from `now`."""
    return Schedule(
        merchant_id=merchant_id,
        cron=rules.schedule,
        timezone=rules.timezone,
        next_run_at=next_run(rules.schedule, rules.timezone, now),
        settings_version=version,
    )
