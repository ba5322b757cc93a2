"""What rfm does on request: segments, scores, history, and a refresh at once."""

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.errors import InvalidInput, NotFound
from loyalnest.kit.paging import number_after, page_limit, page_of
from loyalnest.kit.program import Program
from loyalnest.rfm import report_repository, repository
from loyalnest.rfm.models import Cell, CustomerScores, DayCount, Movement, Refreshed, RefreshState
from loyalnest.rfm.refresh import Refresher
from loyalnest.rfm.schedule import schedule_of
from loyalnest.rfm.scoring import SEGMENTS

DEFAULT_DAYS = 30
MAX_DAYS = 731


@dataclass(frozen=True, slots=True)
class DayRange:
    """Local days of the merchant, both ends included."""

    first: date
    last: date


class RfmService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(self, database: Database, refresher: Refresher, clock: Clock) -> None:
        self._database = database
        self._refresher = refresher
        self._clock = clock

    async def provision(self, program: Program) -> None:
        """Give a new merchant its schedule; the one it has stays."""
        now = self._clock()
        schedule = schedule_of(program.merchant_id, program.spec.rules.rfm, 1, now)
        async with self._database.request(program.merchant_id) as connection:
            await repository.upsert_schedules(connection, [schedule], now)

    async def refresh(self, merchant_id: str) -> Refreshed:
        """Score every customer anew, now."""
        return await self._refresher.refresh(merchant_id)

    async def segments(self, merchant_id: str) -> tuple[list[Cell], RefreshState]:
        """The scored customers by cell, and when they were refreshed."""
        async with self._database.request(merchant_id, snapshot=True) as connection:
            return await report_repository.grid(connection, merchant_id), await report_repository.state(
                connection, merchant_id
            )

    async def state(self, merchant_id: str) -> RefreshState:
        """The schedule. Raises NotFound for a merchant without one."""
        async with self._database.request(merchant_id) as connection:
            state = await report_repository.state(connection, merchant_id)
        if not state.cron:
            raise NotFound("No schedule is known for this merchant: apply its LoyaltyProgram first.")
        return state

    async def scores(self, merchant_id: str, customer_id: int) -> CustomerScores:
        """A customer's scores; zeros if none of its orders counts. Raises NotFound for one who never ordered."""
        async with self._database.request(merchant_id) as connection:
            found = await report_repository.scores(connection, merchant_id, customer_id)
        if found is None:
            raise NotFound(f"Customer {customer_id} has no order that earned, so there are no scores.")
        return found

    async def customers_of(
        self, merchant_id: str, segment: str, page_size: int, page_token: str
    ) -> tuple[list[CustomerScores], str]:
        """A page of a segment's customers by id, and the token of the next page (empty at the end)."""
        if segment not in SEGMENTS:
            raise NotFound(f"No segment {segment[:60]!r}; there is: {', '.join(SEGMENTS)}.")
        limit = page_limit(page_size)
        async with self._database.request(merchant_id) as connection:
            rows = await report_repository.customers_of(
                connection, merchant_id, segment, number_after(page_token), limit + 1
            )
        return page_of(rows, limit, lambda row: row.customer_id)

    async def history(self, merchant_id: str, first: str, last: str) -> tuple[DayRange, list[DayCount]]:
        """The segments' counts by the day of a refresh, and the days that were meant."""
        async with self._database.request(merchant_id) as connection:
            state = await report_repository.state(connection, merchant_id)
            days = self._days(state.timezone, first, last)
            return days, await report_repository.history(connection, merchant_id, days.first, days.last)

    async def movements(self, merchant_id: str, first: str, last: str) -> tuple[DayRange, list[Movement]]:
        """Movements between segments, and the days that were meant."""
        async with self._database.request(merchant_id) as connection:
            state = await report_repository.state(connection, merchant_id)
            days = self._days(state.timezone, first, last)
            return days, await report_repository.movements(
                connection, merchant_id, state.timezone, days.first, days.last
            )

    def _days(self, timezone: str, first: str, last: str) -> DayRange:
        """The days meant by two ISO dates: without the last, today; without the first, `DEFAULT_DAYS` up to the last.

        Raises InvalidInput for what is no date or no range, or for more than `MAX_DAYS`.
        """
        end = _date("last", last) if last else self._clock().astimezone(ZoneInfo(timezone)).date()
        earliest = end - timedelta(days=min(DEFAULT_DAYS - 1, (end - date.min).days))
        begin = _date("first", first) if first else earliest
        if begin > end:
            raise InvalidInput(f"The first day, {begin}, is after the last, {end}.")
        if (end - begin).days >= MAX_DAYS:
            raise InvalidInput(f"At most {MAX_DAYS} days can be asked for at once.")
        return DayRange(begin, end)


_LAST_DAY = date(9998, 12, 31)
"""A day later must still be a date, also in a timezone ahead."""


def _date(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{name} must be a date such as 2026-11-30.") from error
    if day > _LAST_DAY:
        raise InvalidInput(f"{name} must not be after {_LAST_DAY}.")
    return day
