"""Sealing anew what older data keys sealed, so that a rotation of a merchant's keys completes."""

import structlog

from loyalnest.core.repository import Registry, lock_sealed_before, merchants
from loyalnest.core.sealing import Vault, reseal
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Database

log = structlog.get_logger(__name__)

BATCH = 500


class Resealing:
    """Rows are found by the oldest key they need, so a run that was killed is taken up where it stopped.

    Index keys never change, so hashes stay and search works all the while.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def run(self) -> int:
        """Seal every row anew that needs an older data key than its merchant's current. Returns how many."""
        async with self._database.worker() as connection:
            found = await merchants(connection)
        done = 0
        for merchant_id in found:
            keys = await self._vault.keys(merchant_id)
            if keys is not None:  # destroyed keys are never read again, and there is nothing to seal with
                done += await self._merchant(merchant_id, keys)
        return done

    async def _merchant(self, merchant_id: str, keys: MerchantKeys) -> int:
        done = lost = after = 0
        while True:
            async with self._database.worker() as connection:
                rows = await lock_sealed_before(connection, merchant_id, keys.current.version, after, BATCH)
                registry = Registry()
                for customer in rows:
                    registry.add(customer)
                    lost_here = reseal(keys, customer)
                    lost += lost_here
                    done += 0 if lost_here else 1
                await registry.store(connection)
            if len(rows) < BATCH:
                break
            after = rows[-1].customer_id
        if lost:
            log.error("core.reseal_lost", merchant_id=merchant_id, fields=lost)
        return done
