"""The merchants' keys, which auth keeps wrapped in its own tables, and their rotation."""

from collections.abc import Sequence

import structlog

from loyalnest.admin_core.events import AuditLog
from loyalnest.auth import repository
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import (
    KeyRing,
    MerchantKeys,
    WrappedKey,
    new_merchant_keys,
    next_data_key,
    rewrap,
    unwrap_keys,
)
from loyalnest.kit.database import OUTAGES, Connection, Database
from loyalnest.kit.errors import InvalidInput, NotFound, Unavailable
from loyalnest.kit.events import new_id
from loyalnest.kit.outbox import Outbox

log = structlog.get_logger(__name__)

API_SECRET = "auth.merchants.api_secret"  # noqa: S105 - purposes that sealed columns are bound to
API_SECRET_PREVIOUS = "auth.merchants.api_secret_previous"  # noqa: S105
ACCESS_TOKEN = "auth.shop_tokens.access_token"  # noqa: S105
REFRESH_TOKEN = "auth.shop_tokens.refresh_token"  # noqa: S105
ADMIN_NAME = "auth.admin_users.name"

PAGE = 500
"""Merchants that one transaction of a rotation takes."""
_MAX_ROTATION_ID = 100


class OwnKeys:
    """Reads the keys from auth's own tables; other services get them through `KeyRing` and GetDataKeys."""

    def __init__(self, database: Database, keks: KeyEncryptionKeys, clock: Clock) -> None:
        self._database = database
        self._keks = keks
        self._clock = clock
        self._ring = KeyRing(self._source, keks)

    async def load(self, connection: Connection, merchant_id: str) -> MerchantKeys:
        """The keys as they are in the caller's transaction. Read what is to be opened before: then no key is missing.

        Of a redacted shop, those that wait for it to come back. Raises NotFound if there are none.
        """
        rows = await repository.keys(connection, merchant_id, parked=True)
        if not rows:
            raise NotFound(f"Merchant {merchant_id!r} has no encryption keys any more: it was redacted.")
        return unwrap_keys(merchant_id, rows, self._keks)

    async def load_or_make(self, connection: Connection, merchant_id: str) -> MerchantKeys:
        """As `load`, for a merchant that may be new: its first keys are made in the caller's transaction."""
        if not await repository.keys(connection, merchant_id, parked=True):
            self._keks.reload()
            made = new_merchant_keys(merchant_id, self._keks)
            await repository.insert_keys(connection, made, "", self._clock())
        return await self.load(connection, merchant_id)

    async def cached(self, merchant_id: str) -> MerchantKeys:
        """The keys as of a minute ago at most, for what never changes: the index key. Raises as `KeyRing`."""
        return await self._ring.for_merchant(merchant_id)

    def forget(self, merchant_id: str) -> None:
        """Drop the cached keys."""
        self._ring.forget(merchant_id)

    async def _source(self, merchant_id: str) -> Sequence[WrappedKey]:
        try:
            async with self._database.request(merchant_id) as connection:
                return await repository.keys(connection, merchant_id)
        except OUTAGES as error:
            raise Unavailable("The merchants' keys cannot be read at the moment; try again.") from error


class KeyRotation:
    """Gives merchants new data keys and wraps every key under the newest key-encryption key.

    Each page of merchants is one transaction that is complete in itself: a rotation that was killed leaves some
    merchants rotated and the others as they were, and goes on if it is asked for again under its name. What was
    sealed under older data keys stays readable, and is sealed anew by each service's job, not here.
    """

    def __init__(
        self, database: Database, outbox: Outbox, keys: OwnKeys, keks: KeyEncryptionKeys, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._keks = keks
        self._clock = clock

    async def rotate(self, only: str, rotation_id: str) -> tuple[int, int, int]:
        """Rotate one merchant, or all if `only` is empty. Returns how many merchants, keys wrapped anew, new data keys.

        Raises Unavailable, naming it, if a key-encryption key that still wraps something is not configured.
        """
        if len(rotation_id) > _MAX_ROTATION_ID or not rotation_id.isprintable():
            raise InvalidInput(f"A rotation's id has at most {_MAX_ROTATION_ID} printable characters.")
        rotation, after = rotation_id or str(new_id()), ""
        merchants = rewrapped = made = 0
        self._keks.reload()
        while True:
            async with self._database.worker() as connection:
                page = await repository.to_rotate(connection, only, after, rotation, self._keks.newest, PAGE)
                if not page:
                    return merchants, rewrapped, made
                again, new = await self._rotate(connection, dict(page), rotation)
            for merchant_id, _ in page:
                self._keys.forget(merchant_id)
            after = page[-1][0]
            merchants, rewrapped, made = merchants + len(page), rewrapped + again, made + new
            log.info("keys.rotated", rotation=rotation, merchants=merchants)

    async def _rotate(self, connection: Connection, page: dict[str, bool], rotation: str) -> tuple[int, int]:
        """Rotate the merchants of a page; the value says whether one needs a new data key."""
        stored: dict[str, list[WrappedKey]] = {}
        for row in await repository.lock_keys(connection, sorted(page)):
            stored.setdefault(row.merchant_id, []).append(row)
        newest = self._keks.newest
        old = [row for rows in stored.values() for row in rows if row.kek_id != newest]
        await repository.update_wrapped(connection, [rewrap(row, self._keks) for row in old])
        new = [
            next_data_key(merchant_id, rows, self._keks) for merchant_id, rows in stored.items() if page[merchant_id]
        ]
        now, context = self._clock(), current()
        made = await repository.insert_keys(connection, new, rotation, now)
        versions = {row.merchant_id: row.version for row in new}
        told = [
            AuditLog(
                actor=context.actor,
                role=context.role,
                action="keys.rotated",
                subject=f"merchant:{merchant_id}",
                before={},
                after={"kek": newest, "data_key_version": str(versions.get(merchant_id, ""))},
                at=now,
            ).event(merchant_id, merchant_id)
            for merchant_id in stored
        ]
        await self._outbox.append(connection, told)
        return len(old), made
