"""A shop is redacted: its admins are erased at once, its keys destroyed once every service has confirmed.

Only then, because services read what they keep while they redact it; and what the shop's redaction needs after that
needs no keys. Where the keys stood stay new ones, parked: the app's own secrets, which are the platform's and no
personal data, are sealed under them, so that the shop's next installation can be checked and begins with these keys.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog

from loyalnest.admin_core.events import AuditLog, GdprKind, GdprRequestCompleted
from loyalnest.auth import leaving_repository, repository
from loyalnest.auth.install import secrets_of
from loyalnest.auth.keys import API_SECRET, API_SECRET_PREVIOUS, OwnKeys
from loyalnest.auth.models import Merchant
from loyalnest.auth.sessions import TokenValidator
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import TTL_SECONDS, KeyRing, MerchantKeys, WrappedKey, next_keys, unwrap_keys
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import Counts, Redaction

log = structlog.get_logger(__name__)

CLOSED_FOR = timedelta(seconds=2 * TTL_SECONDS)
"""How long a shop cannot come back after its keys were destroyed: until no process has them in memory any more."""


class AdminsKept:
    """The keeper of what auth has about people (see `loyalnest.kit.privacy`): admins, and nothing about customers."""

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Nothing: customers are not known here."""
        return {}

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """Erase the shop's admins, sessions and tokens, and let nobody in before the keys are destroyed."""
        await repository.merchant(connection, redaction.merchant_id, lock=True)
        erased = await leaving_repository.erase(connection, redaction.merchant_id)
        await leaving_repository.begin_redaction(connection, redaction.merchant_id, redaction.at)
        return erased if any(erased.values()) else {}

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """Nothing about a customer."""
        return {}


class KeyDestruction:
    """The consumer of `gdpr_request.completed`."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        own: OwnKeys,
        ring: KeyRing,
        keks: KeyEncryptionKeys,
        validator: TokenValidator,
        clock: Clock,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._own = own
        self._ring = ring
        self._keks = keks
        self._validator = validator
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Destroy the keys of the shops whose redaction is complete. Requests of customers change nothing here."""
        completed = {event.id: GdprRequestCompleted.read(event) for event in events}
        of_shops = [event for event in events if completed[event.id].kind is GdprKind.SHOP_REDACT]
        for event in sorted(of_shops, key=lambda event: event.merchant_id):  # rare, and each locks one merchant only
            await self._destroy(event, completed[event.id])
            self._own.forget(event.merchant_id)
            self._ring.forget(event.merchant_id)
            self._validator.forget(event.merchant_id)

    async def _destroy(self, event: Event, completed: GdprRequestCompleted) -> None:
        merchant_id = event.merchant_id
        async with self._database.worker() as connection:
            if not await take_new(connection, self._database.schema, [event]):
                return
            merchant = await repository.merchant(connection, merchant_id, lock=True)
            if merchant is None:
                return
            if merchant.installed_at is not None and merchant.installed_at > completed.completed_at:
                log.warning("keys.kept", merchant_id=merchant_id, why="the shop came back after its redaction")
                return
            now = self._clock()
            erased = await leaving_repository.erase(connection, merchant_id)
            if stored := await repository.keys(connection, merchant_id):
                erased["keys"] = await self._replace(connection, merchant, stored)
            await leaving_repository.end_redaction(connection, merchant_id, now + CLOSED_FOR, now)
            told = AuditLog(
                actor="auth",
                role="system",
                action="keys.destroyed",
                subject=f"merchant:{merchant_id}",
                before={"status": merchant.status.value},
                after={"request": str(completed.request_id), **{name: str(count) for name, count in erased.items()}},
                at=now,
            )
            await self._outbox.append(connection, [told.event(merchant_id, merchant_id)])

    async def _replace(self, connection: Connection, merchant: Merchant, stored: Sequence[WrappedKey]) -> int:
        """Put parked keys in the place of those in use, with the app's secrets sealed under them."""
        self._keks.reload()
        parked, now = next_keys(merchant.merchant_id, stored, self._keks), self._clock()
        try:
            secrets = secrets_of(merchant, unwrap_keys(merchant.merchant_id, stored, self._keks))
        except SealError:  # provisioning takes them from the program again
            secrets = []
        if secrets:
            keys = unwrap_keys(merchant.merchant_id, parked, self._keks)
            sealed = [keys.seal(name, each.encode()) for name, each in zip(_SECRETS, secrets, strict=False)]
            await repository.update_credentials(
                connection,
                merchant.merchant_id,
                merchant.api_key,
                sealed[0],
                sealed[1] if len(sealed) > 1 else None,
                now,
            )
        return await leaving_repository.destroy_keys(connection, merchant.merchant_id, parked, now)


_SECRETS = (API_SECRET, API_SECRET_PREVIOUS)
