"""API keys: bearer tokens for a merchant's own programs, with scopes, a limit and a rotation that overlaps."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from loyalnest.admin_core.events import AuditLog
from loyalnest.auth import api_key_repository as repository
from loyalnest.auth import api_key_rules as rules
from loyalnest.auth.models import ApiKey, Identity, Role, Status
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import CallContext, require_role
from loyalnest.kit.database import Database
from loyalnest.kit.errors import Conflict, NotFound, PreconditionFailed, Unauthenticated
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox

USE_NOTED_EVERY: Final = timedelta(hours=1)
_TAKEN = "Another API key has this name: choose one that says which program uses it."


class ApiKeys:
    """Makes, lists, changes and ends keys; owners only. `forget` makes this process check a merchant's tokens anew."""

    def __init__(self, database: Database, outbox: Outbox, forget: Callable[[str], None], clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._forget = forget
        self._clock = clock

    async def create(
        self, merchant_id: str, name: str, scopes: Sequence[str], days: int, per_minute: int
    ) -> tuple[ApiKey, str]:
        """A new key and its secret. Raises Conflict if the name is another key's, PreconditionFailed for too many."""
        context = require_role(Role.OWNER)
        rules.bounded("expires_in_days", days, 0, rules.MOST_DAYS)
        now = self._clock()
        key = ApiKey(
            api_key_id=new_id(),
            name=rules.name_of(name),
            scopes=rules.scopes_of(scopes),
            requests_per_minute=rules.bounded(
                "requests_per_minute", per_minute or rules.DEFAULT_PER_MINUTE, 1, rules.MOST_PER_MINUTE
            ),
            created_by=context.actor,
            created_at=now,
            expires_at=now + timedelta(days=days) if days else None,
            last_used_at=None,
            previous_until=None,
            revoked_at=None,
        )
        secret = rules.new_secret(merchant_id)
        try:
            async with self._database.request(merchant_id) as connection:
                if await repository.count(connection, merchant_id) >= repository.MOST:
                    raise PreconditionFailed(f"There are {repository.MOST} API keys: revoke one that is not used.")
                await repository.insert(connection, merchant_id, key, rules.digest(secret))
                await self._outbox.append(
                    connection, [self._told(merchant_id, context, "created", key, {}, _facts(key))]
                )
        except asyncpg.UniqueViolationError:
            raise Conflict(_TAKEN) from None
        return key, secret

    async def listed(self, merchant_id: str) -> list[ApiKey]:
        """The keys that are not revoked, oldest first."""
        require_role(Role.OWNER)
        async with self._database.request(merchant_id) as connection:
            return await repository.listed(connection, merchant_id)

    async def update(
        self, merchant_id: str, api_key_id: UUID, name: str, scopes: Sequence[str], per_minute: int
    ) -> ApiKey:
        """Change what is given (not empty, not 0) of a key. Raises NotFound, Conflict for a name that is taken."""
        context = require_role(Role.OWNER)
        try:
            async with self._database.request(merchant_id) as connection:
                before = _there(await repository.locked(connection, merchant_id, api_key_id), api_key_id)
                new_name = rules.name_of(name) if name else before.name
                new_scopes = rules.scopes_of(scopes) if scopes else before.scopes
                limit = rules.bounded(
                    "requests_per_minute", per_minute or before.requests_per_minute, 1, rules.MOST_PER_MINUTE
                )
                await repository.update(connection, merchant_id, api_key_id, new_name, new_scopes, limit)
                after = _there(await repository.locked(connection, merchant_id, api_key_id), api_key_id)
                if after != before:
                    told = self._told(merchant_id, context, "updated", after, _facts(before), _facts(after))
                    await self._outbox.append(connection, [told])
        except asyncpg.UniqueViolationError:
            raise Conflict(_TAKEN) from None
        self._forget(merchant_id)
        return after

    async def rotate(self, merchant_id: str, api_key_id: UUID, overlap_hours: int) -> tuple[ApiKey, str]:
        """A new secret for a key; the present one goes on for `overlap_hours`. Raises NotFound."""
        context = require_role(Role.OWNER)
        rules.bounded("overlap_hours", overlap_hours, 0, rules.MOST_OVERLAP_HOURS)
        secret = rules.new_secret(merchant_id)
        until = self._clock() + timedelta(hours=overlap_hours)
        async with self._database.request(merchant_id) as connection:
            _there(await repository.locked(connection, merchant_id, api_key_id), api_key_id)
            await repository.rotate(connection, merchant_id, api_key_id, rules.digest(secret), until)
            key = _there(await repository.locked(connection, merchant_id, api_key_id), api_key_id)
            after = {"previous_until": until.isoformat()}
            await self._outbox.append(connection, [self._told(merchant_id, context, "rotated", key, {}, after)])
        self._forget(merchant_id)
        return key, secret

    async def revoke(self, merchant_id: str, api_key_id: UUID) -> bool:
        """End a key. False if it had been ended. Raises NotFound."""
        context = require_role(Role.OWNER)
        async with self._database.request(merchant_id) as connection:
            key = await repository.locked(connection, merchant_id, api_key_id)
            if key is None:
                raise NotFound(f"No API key {api_key_id} is known.")
            if key.revoked_at is None:
                await repository.revoke(connection, merchant_id, api_key_id, self._clock())
                await self._outbox.append(
                    connection, [self._told(merchant_id, context, "revoked", key, _facts(key), {})]
                )
        self._forget(merchant_id)
        return key.revoked_at is None

    def _told(
        self,
        merchant_id: str,
        context: CallContext,
        what: str,
        key: ApiKey,
        before: dict[str, str],
        after: dict[str, str],
    ) -> Event:
        return AuditLog(
            actor=context.actor,
            role=context.role,
            action=f"api_key.{what}",
            subject=key.actor,
            before=before,
            after=after,
            at=self._clock(),
        ).event(merchant_id, str(key.api_key_id))


async def identity_of(database: Database, secret: str, now: datetime) -> Identity:
    """Whom an API key's secret speaks for: it acts as staff, within its scopes. Raises Unauthenticated."""
    merchant_id = rules.merchant_of(secret)
    async with database.request(merchant_id) as connection:
        found = await repository.by_secret(connection, merchant_id, rules.digest(secret), now)
        if found is None or found[0].revoked_at is not None:
            raise Unauthenticated(rules.NOT_OURS)
        key, status = found
        if key.expires_at is not None and now >= key.expires_at:
            raise Unauthenticated("The API key has expired: make a new one.")
        if status is not Status.ACTIVE:
            raise Unauthenticated(f"The merchant is {status}: its API keys are of no use.")
        if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY:
            await repository.note_use(connection, merchant_id, key.api_key_id, now)
    return Identity(
        merchant_id, key.actor, Role.STAFF, key.api_key_id, key.expires_at, key.scopes, key.requests_per_minute
    )


def _there(key: ApiKey | None, api_key_id: UUID) -> ApiKey:
    if key is None or key.revoked_at is not None:
        raise NotFound(f"No API key {api_key_id} is known.")
    return key


def _facts(key: ApiKey) -> dict[str, str]:
    return {"name": key.name, "scopes": " ".join(key.scopes), "requests_per_minute": str(key.requests_per_minute)}
