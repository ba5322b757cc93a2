"""Forgets what has expired, and seals anew what older data keys sealed, so that a rotation of keys completes."""

from datetime import timedelta

import structlog

from loyalnest.auth import access_repository, admin_repository, sealed_repository
from loyalnest.auth.keys import OwnKeys
from loyalnest.auth.sealed_repository import SEALED
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.database import Database
from loyalnest.kit.errors import NotFound

log = structlog.get_logger(__name__)

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


class Resealing:
    """Values are found by the key they need, so a run that was killed is taken up where it stopped.

    Index keys never change, so the hashes by which people are found stay.
    """

    def __init__(self, database: Database, keys: OwnKeys) -> None:
        self._database = database
        self._keys = keys

    async def run(self) -> int:
        """Seal every value anew that needs an older data key than its merchant's current. Returns how many."""
        async with self._database.worker() as connection:
            found = await sealed_repository.merchants_sealed_before(connection)
        return sum([await self._merchant(merchant_id) for merchant_id in found])

    async def _merchant(self, merchant_id: str) -> int:
        done = lost = 0
        async with self._database.request(merchant_id) as connection:
            try:
                keys = await self._keys.load(connection, merchant_id)
            except NotFound:  # destroyed meanwhile: nothing opens any more, and there is nothing to seal with
                return 0
            values = await sealed_repository.sealed_before(connection, merchant_id, keys.current.version)
            for purpose in SEALED:
                old, new = [], []
                for value in values:
                    if value.purpose != purpose:
                        continue
                    try:
                        new.append(keys.seal(purpose, keys.open(purpose, value.sealed)))
                        old.append(value.sealed)
                    except SealError:
                        lost += 1
                if old:
                    done += await sealed_repository.replace_sealed(connection, merchant_id, purpose, old, new)
        if lost:
            log.error("auth.reseal_lost", merchant_id=merchant_id, values=lost)
        return done
