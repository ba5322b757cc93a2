"""Forgets what has expired."""

from datetime import timedelta

from loyalnest.auth import access_repository, admin_repository
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database

KEEP_SESSIONS = timedelta(days=30)
"""How long an expired session stays, for those who look into what happened."""


class Pruning:
    """Deletes expired installations and long-expired sessions."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> int:
        """Returns how many rows went."""
        now = self._clock()
        async with self._database.worker() as connection:
            states = await access_repository.prune_states(connection, now)
            return states + await admin_repository.prune_sessions(connection, now - KEEP_SESSIONS)
