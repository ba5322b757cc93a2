"""Verifies every merchant's ledger once a night, as `loyalnest verify` does for whoever asks."""

from collections import Counter
from datetime import datetime, timedelta

import structlog

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.points import verification_repository
from loyalnest.points.metrics import LEDGER_MISMATCHES, LEDGERS_UNVERIFIED
from loyalnest.points.service import PointsService

log = structlog.get_logger(__name__)

HOUR = 3
"""UTC: after the nights of RFM's refreshes began, before most shops' day does."""


class NightlyVerification:
    """Keeps in `points.verifications` who was verified when, so that a restart verifies nobody again."""

    def __init__(self, database: Database, service: PointsService, clock: Clock) -> None:
        self._database = database
        self._service = service
        self._clock = clock

    async def run(self) -> int:
        """Verify the merchants that were not verified tonight, one after another. Returns how many."""
        async with self._database.worker() as connection:
            merchants = await verification_repository.due(connection, night(self._clock()))
        for merchant_id in merchants:
            began = self._clock()
            _, _, problems = await self._service.verify(merchant_id)
            for check, count in Counter(check for check, _, _ in problems).items():
                log.error("points.ledger_mismatch", merchant_id=merchant_id, check=check, mismatches=count)
            async with self._database.worker() as connection:
                await verification_repository.record(connection, merchant_id, began, len(problems))
        return len(merchants)

    async def observe(self) -> None:
        """Set the gauges."""
        async with self._database.worker() as connection:
            mismatches, unverified = await verification_repository.standing(connection, night(self._clock()))
        LEDGER_MISMATCHES.set(mismatches)
        LEDGERS_UNVERIFIED.set(unverified)


def night(now: datetime) -> datetime:
    """When the night began that `now` belongs to: the last `HOUR` o'clock UTC."""
    began = now.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return began if began <= now else began - timedelta(days=1)
