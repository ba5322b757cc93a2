"""Verifies every merchant's audit log once a night, as VerifyAuditLog does for whoever asks."""

from datetime import timedelta

import structlog

from loyalnest.admin_core import verification_repository as repository
from loyalnest.admin_core.audit import AuditTrail
from loyalnest.admin_core.chain import Problem
from loyalnest.admin_core.metrics import AUDIT_PROBLEMS
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database

log = structlog.get_logger(__name__)

EVERY = timedelta(hours=24)


class NightlyVerification:
    """Keeps where each chain ended when it was proven, and finds what was written anew since.

    The same end goes to the process's log: whoever could change the whole database cannot change that.
    """

    def __init__(self, database: Database, trail: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    async def run(self) -> int:
        """Verify the logs that were not verified for a day, one after another. Returns how many."""
        async with self._database.worker() as connection:
            merchants = await repository.due(connection, self._clock() - EVERY)
        for merchant_id in merchants:
            await self.verify(merchant_id)
        return len(merchants)

    async def verify(self, merchant_id: str) -> tuple[int, list[Problem]]:
        """Prove one log. Returns how many entries it has, and what is wrong with them.

        The anchor moves only while nothing is wrong, so that a problem is found again until it is mended.
        """
        began = self._clock()
        async with self._database.request(merchant_id) as connection:
            anchor = await repository.anchor(connection, merchant_id)
        end, problems = await self._trail.verify(merchant_id, anchor)
        proven = end if not problems else anchor
        async with self._database.request(merchant_id) as connection:
            await repository.record(connection, merchant_id, began, len(problems), proven)
        if problems:
            log.error("audit.broken", merchant_id=merchant_id, problems=len(problems), first=problems[0].detail)
        else:
            log.info("audit.verified", merchant_id=merchant_id, sequence=end.sequence, hash=end.hash.hex())
        return end.sequence, problems

    async def observe(self) -> None:
        """Set the gauge."""
        async with self._database.worker() as connection:
            AUDIT_PROBLEMS.set(await repository.problems(connection))
