"""When: cron schedules and time zones, as texts of a program."""

import importlib.resources
from datetime import UTC, datetime
from functools import cache
from typing import Annotated

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Strict

from loyalnest.kit.program.cel import Rule
from loyalnest.kit.program.fields import Pattern, wrong

_FIELDS = "self.lowerAscii().split(' ').filter(field, field != '')"
_STEP = "(/0*[1-9][0-9]*)?"
_DAY_NAMES = "sun|mon|tue|wed|thu|fri|sat"
_MONTH_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"


def _field(place: int, words: str, value: str, more: str = "") -> Rule:
    """That each term of a field is a star, a `value` or a range of them, each with a step or without, or is `more`.

    The API server lets pass what only CronSim sees: ranges that go backwards, and days that no month has.
    """
    term = rf"^(\*|({value})(-({value}))?){_STEP}$" + (f"|^({more})$" if more else "")
    return Rule(f"{_FIELDS}.size() != 5 || {_FIELDS}[{place}].split(',').all(term, term.matches(r'{term}'))", words)


_CRON_RULES = (
    _field(0, "the minute (first field) must be of 0 to 59, such as 0, 1-5 or */15", "0*([0-9]|[1-5][0-9])"),
    _field(1, "the hour (second field) must be of 0 to 23, such as 1, 8-18 or */6", "0*([0-9]|1[0-9]|2[0-3])"),
    _field(2, "the day (third field) must be of 1 to 31, or L or LW", "0*([1-9]|[12][0-9]|3[01])", f"lw?{_STEP}"),
    _field(3, "the month (fourth field) must be of 1 to 12, or JAN to DEC", f"0*([1-9]|1[0-2])|{_MONTH_NAMES}"),
    _field(
        4,
        "the weekday (fifth field) must be of 0 to 7, or SUN to SAT",
        f"0*[0-7]|{_DAY_NAMES}",
        f"0*[0-7]l|(0*[0-7]|{_DAY_NAMES})#0*[1-5]",
    ),
)


def _cron(schedule: str) -> str:
    try:
        # A schedule may parse and still name a day that no calendar has; then it has no next time.
        next(CronSim(schedule, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, ValueError, StopIteration) as error:
        raise wrong('must be a cron schedule of minute, hour, day, month and weekday, such as "0 1 * * *"') from error
    return schedule


@cache
def timezones() -> frozenset[str]:
    """Names of the time zones of the tz database, the same on every machine."""
    return frozenset(importlib.resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


def _timezone(name: str) -> str:
    if name not in timezones():
        raise wrong("must be the name of a time zone, such as Europe/Berlin or UTC")
    return name


Cron = Annotated[
    str,
    Strict(),
    Pattern(r"^[!-~]+( +[!-~]+){4}$", 'a cron schedule of five fields, such as "0 1 * * *"', 100),
    AfterValidator(_cron),
    *_CRON_RULES,
]
Timezone = Annotated[
    str,
    Strict(),
    Pattern(
        r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$",
        "the name of a time zone, such as Europe/Berlin or UTC",
        64,
    ),
    AfterValidator(_timezone),
]
