"""What products does by itself: it forgets."""

from datetime import timedelta

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.products import pruning_repository
from loyalnest.products.pruning_repository import CHUNK


class Pruning:
    """Forgets deletions once no delivery from before them can come any more, and words that no product has."""

    def __init__(self, database: Database, clock: Clock, keep_days: int) -> None:
        """keep_days: how long deletions are remembered (see Settings.remembered_days)."""
        self._database = database
        self._clock = clock
        self._keep = timedelta(days=keep_days)

    async def forget_deletions(self) -> int:
        """Returns how many were forgotten."""
        async with self._database.worker() as connection:
            return await pruning_repository.forget_deletions(connection, self._clock() - self._keep)

    async def delete_unused_terms(self) -> int:
        """Returns how many were deleted. Each transaction is short, since it keeps a merchant's writers waiting."""
        async with self._database.worker() as connection:
            merchants = await pruning_repository.merchants_with_unused_terms(connection)
        total = 0
        for merchant_id in merchants:
            deleted = CHUNK
            while deleted == CHUNK:
                async with self._database.worker() as connection:
                    deleted = await pruning_repository.delete_unused_terms(connection, merchant_id)
                total += deleted
        return total
