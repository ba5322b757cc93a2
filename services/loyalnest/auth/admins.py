"""The merchant's admin users. Their names are personal data: sealed in the table, never in an event."""

from uuid import UUID

import asyncpg

from loyalnest.admin_core.events import AuditLog
from loyalnest.auth import admin_repository, repository, rules
from loyalnest.auth.keys import ADMIN_NAME, OwnKeys
from loyalnest.auth.models import AdminUser, Role
from loyalnest.auth.sessions import TokenValidator
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current, require_role
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, NotFound
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox

OWNER_NAME = "Owner"
"""Of the admin user that a merchant begins with, and begins with again after its redaction."""
_NAME_TAKEN = "Another admin user has this name already."


class AdminUsers:
    """Makes, lists and changes admin users; there is always an active owner."""

    def __init__(
        self, database: Database, outbox: Outbox, keys: OwnKeys, validator: TokenValidator, clock: Clock
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._validator = validator
        self._clock = clock

    async def create(self, merchant_id: str, name: str, role: str) -> AdminUser:
        """A new admin user. The same again is the same user, so the call may be repeated.

        Raises Conflict if the name is another one's in another role, or a deactivated one's.
        """
        require_role(Role.OWNER)
        given, wanted = rules.admin_name(name), rules.role_named(role)
        async with self._database.request(merchant_id) as connection:
            keys = await self._locked(connection, merchant_id)
            row = await admin_repository.user_by_name(connection, merchant_id, _name_hash(keys, given))
            if row is not None:
                user = admin_repository.read_user(row, keys)
                if user.active and user.role is wanted:
                    return user
                raise Conflict(_NAME_TAKEN)
            return await self.add(connection, keys, given, wanted)

    async def listed(self, merchant_id: str) -> list[AdminUser]:
        """Every admin user, oldest first."""
        require_role(*Role)
        async with self._database.request(merchant_id) as connection:
            rows = await admin_repository.users(connection, merchant_id)
            keys = await self._keys.load(connection, merchant_id)
        return [admin_repository.read_user(row, keys) for row in rows]

    async def update(
        self, merchant_id: str, admin_user_id: UUID, name: str, role: str, active: bool | None
    ) -> AdminUser:
        """Change what is given (not empty, not None) of a user. Deactivating ends the user's sessions.

        Raises NotFound, Conflict for a name that is taken, PreconditionFailed for the last active owner.
        """
        require_role(Role.OWNER)
        try:
            async with self._database.request(merchant_id) as connection:
                changed = await self._update(connection, merchant_id, admin_user_id, name, role, active)
        except asyncpg.UniqueViolationError:
            raise Conflict(_NAME_TAKEN) from None
        self._validator.forget(merchant_id)
        return changed

    async def _update(
        self, connection: Connection, merchant_id: str, admin_user_id: UUID, name: str, role: str, active: bool | None
    ) -> AdminUser:
        keys = await self._locked(connection, merchant_id)
        rows = await admin_repository.users(connection, merchant_id)
        users = [admin_repository.read_user(row, keys) for row in rows]
        before = next((user for user in users if user.admin_user_id == admin_user_id), None)
        if before is None:
            raise NotFound(f"No admin user {admin_user_id} is known.")
        after = AdminUser(
            admin_user_id,
            rules.admin_name(name) if name else before.name,
            rules.role_named(role) if role else before.role,
            before.active if active is None else active,
            before.created_at,
        )
        if after == before:
            return before
        rules.keep_an_owner(users, admin_user_id, after.role, active=after.active)
        now = self._clock()
        sealed = keys.seal(ADMIN_NAME, after.name.encode())
        await admin_repository.update_user(
            connection, merchant_id, admin_user_id, sealed, _name_hash(keys, after.name), after.role, after.active, now
        )
        if not after.active:
            await admin_repository.revoke_sessions_of(connection, merchant_id, admin_user_id, now)
        told = _facts(after) | ({"name": "changed"} if after.name != before.name else {})
        event = self._told(merchant_id, admin_user_id, "admin_user.updated", _facts(before), told)
        await self._outbox.append(connection, [event])
        return after

    async def of_shopify_user(self, connection: Connection, keys: MerchantKeys, shopify_user_id: str) -> AdminUser:
        """The admin user of one of the shop's users, made at the first visit: the shop's first is an owner, later
        ones staff. The merchant's row is locked.
        """
        merchant_id, shopify_hash = keys.merchant_id, keys.hash("shopify_user", shopify_user_id)
        row = await admin_repository.user_by_shopify_id(connection, merchant_id, shopify_hash)
        if row is not None:
            return admin_repository.read_user(row, keys)
        first = not await admin_repository.has_shopify_user(connection, merchant_id)
        name = f"Shopify user {shopify_user_id[:40]}"
        if await admin_repository.user_by_name(connection, merchant_id, _name_hash(keys, name)) is not None:
            name = f"{name} ({new_id()})"
        return await self.add(connection, keys, name, Role.OWNER if first else Role.STAFF, shopify_hash)

    async def add(
        self, connection: Connection, keys: MerchantKeys, name: str, role: Role, shopify_hash: bytes | None = None
    ) -> AdminUser:
        """A new admin user in the caller's transaction."""
        user = AdminUser(new_id(), name, role, True, self._clock())
        await admin_repository.insert_user(
            connection,
            keys.merchant_id,
            user.admin_user_id,
            keys.seal(ADMIN_NAME, name.encode()),
            _name_hash(keys, name),
            shopify_hash,
            role,
            user.created_at,
        )
        event = self._told(keys.merchant_id, user.admin_user_id, "admin_user.created", {}, _facts(user))
        await self._outbox.append(connection, [event])
        return user

    async def _locked(self, connection: Connection, merchant_id: str) -> MerchantKeys:
        if await repository.merchant(connection, merchant_id, lock=True) is None:
            raise NotFound(f"No merchant {merchant_id} is known: apply its LoyaltyProgram first.")
        return await self._keys.load(connection, merchant_id)

    def _told(
        self, merchant_id: str, admin_user_id: UUID, action: str, before: dict[str, str], after: dict[str, str]
    ) -> Event:
        context = current()
        return AuditLog(
            actor=context.actor,
            role=context.role,
            action=action,
            subject=f"admin_user:{admin_user_id}",
            before=before,
            after=after,
            at=self._clock(),
        ).event(merchant_id, str(admin_user_id))


def _facts(user: AdminUser) -> dict[str, str]:
    return {"role": user.role.value, "active": str(user.active).lower()}


def _name_hash(keys: MerchantKeys, name: str) -> bytes:
    return keys.hash("admin_name", name.casefold())
