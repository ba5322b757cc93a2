"""What rfm does by the clock: nightly refreshes, and partitions made ahead."""

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.jobs import each_merchant
from loyalnest.rfm import repository
from loyalnest.rfm.metrics import REFRESH_OVERDUE_SECONDS
from loyalnest.rfm.refresh import Refresher

MONTHS_AHEAD = 3


class RfmJobs:
    """Each is safe to kill and to run again."""

    def __init__(self, database: Database, refresher: Refresher, clock: Clock) -> None:
        self._database = database
        self._refresher = refresher
        self._clock = clock

    async def refresh_due(self) -> int:
        """Refresh every merchant whose time has come, one after another; a run missed while down runs once.

        A merchant that fails does not hold up the others; the first failure is raised at the end. Returns how many.
        """
        async with self._database.worker() as connection:
            merchants = await repository.due(connection, self._clock())

        async def one(merchant_id: str) -> int:
            await self._refresher.refresh(merchant_id)
            return 1

        return await each_merchant("refresh_due", merchants, one)

    async def observe(self) -> None:
        """Set the gauge of refreshes that are due and do not happen."""
        now = self._clock()
        async with self._database.worker() as connection:
            due = await repository.next_due(connection)
        REFRESH_OVERDUE_SECONDS.set(max(0.0, (now - due).total_seconds()) if due else 0.0)

    async def make_partitions(self) -> int:
        """Make the history's partitions of this month and the next ones. Returns how many were missing."""
        async with self._database.worker() as connection:
            return await repository.make_partitions(connection, self._clock().date(), MONTHS_AHEAD)
