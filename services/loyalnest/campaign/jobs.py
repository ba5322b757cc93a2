"""What campaign does by the clock: terms of tiers that end, and members who are evaluated by new rules."""

from loyalnest.campaign import repository, rules_repository
from loyalnest.campaign.memberships import Memberships
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.jobs import each_merchant

CHUNK = 500
"""Members that one transaction decides."""


class TierJobs:
    """Each is safe to kill and to run again."""

    def __init__(self, database: Database, memberships: Memberships, clock: Clock) -> None:
        self._database = database
        self._memberships = memberships
        self._clock = clock

    async def evaluate_due(self) -> int:
        """Decide every member anew whose term is over. Returns how many members."""
        total = 0
        while True:
            async with self._database.worker() as connection:
                keys = await repository.due(connection, self._clock(), CHUNK)
                if not keys:
                    return total
                await repository.lock_merchants(connection, (merchant_id for merchant_id, _ in keys))
                await self._memberships.evaluate(connection, keys, "ended")
            total += len(keys)

    async def reevaluate(self) -> int:
        """Decide all members of every merchant whose tiers changed, going on where the last run was killed.

        A merchant that fails does not hold up the others; the first failure is raised at the end. Returns how many
        members.
        """
        async with self._database.worker() as connection:
            merchants = await rules_repository.under_evaluation(connection)
        return await each_merchant("reevaluate", merchants, self._all_members)

    async def _all_members(self, merchant_id: str) -> int:
        total = 0
        while done := await self._chunk(merchant_id):
            total += done
        return total

    async def _chunk(self, merchant_id: str) -> int:
        """Decide the next members, and note how far that came. Returns how many; 0 once all are done."""
        async with self._database.worker() as connection:
            await repository.lock_merchants(connection, [merchant_id])
            keys = await rules_repository.next_members(connection, merchant_id, CHUNK)
            await self._memberships.evaluate(connection, keys, "rules")
            await rules_repository.note_evaluated(connection, merchant_id, keys[-1][1] if keys else None)
        return len(keys)
