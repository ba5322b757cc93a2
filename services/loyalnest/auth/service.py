"""The merchants: provisioned from their programs, found by their shops."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from loyalnest.admin_core.events import AuditLog
from loyalnest.auth import access_repository, admin_repository, repository
from loyalnest.auth.admins import OWNER_NAME, AdminUsers
from loyalnest.auth.events import MerchantCreated
from loyalnest.auth.install import secrets_of
from loyalnest.auth.keys import ACCESS_TOKEN, API_SECRET, API_SECRET_PREVIOUS, OwnKeys
from loyalnest.auth.models import Merchant, Origin, Role, Status, StoredToken
from loyalnest.auth.sessions import TokenValidator
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import current
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.crypto.keyring import MerchantKeys, WrappedKey
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of
from loyalnest.kit.program import Program
from loyalnest.kit.shopify.endpoint import shop_domain

_NO_PROGRAM = "No loyalty program is set up for this shop."


class AuthService:
    """Use cases about merchants as such."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: OwnKeys,
        admins: AdminUsers,
        validator: TokenValidator,
        clock: Clock,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._admins = admins
        self._validator = validator
        self._clock = clock

    async def provision(self, program: Program) -> None:
        """Bring a merchant to what its program says; again it changes nothing.

        Raises Conflict if the shop is another merchant's, or the program names another shop than before.
        """
        try:
            async with self._database.request(program.merchant_id) as connection:
                await repository.lock_provisioning(connection, program.merchant_id)
                await self._provision(connection, program)
        except asyncpg.UniqueViolationError:
            raise Conflict(
                f"{program.source}: the shop {program.spec.shop.domain} belongs to another merchant already."
            ) from None
        self._validator.forget(program.merchant_id)

    async def _provision(self, connection: Connection, program: Program) -> None:
        merchant_id, shop = program.merchant_id, program.spec.shop.domain
        merchant = await repository.merchant(connection, merchant_id, lock=True)
        keys = await self._keys.load_or_make(connection, merchant_id)
        now = self._clock()
        if merchant is None:
            await self._create(connection, keys, program, now)
        elif merchant.shop_domain != shop:
            raise Conflict(
                f"{program.source}: the merchant {merchant_id} has the shop {merchant.shop_domain}, which cannot "
                f"become {shop}: give the other shop a program of its own."
            )
        else:
            await self._update_credentials(connection, keys, merchant, program, now)
            await self._update_status(connection, merchant, program, now)
        if merchant is None or merchant.uninstalled_at is None:  # Shopify takes no token of an app that it took out
            await self._update_access_token(connection, keys, program, now)
        await repository.open_again(connection, merchant_id)

    async def _create(self, connection: Connection, keys: MerchantKeys, program: Program, now: datetime) -> None:
        shop, status = program.spec.shop.domain, Status.SUSPENDED if program.spec.suspend else Status.ACTIVE
        await repository.insert_merchant(connection, keys.merchant_id, shop, status, *_sealed(keys, program), now)
        if not await admin_repository.users(connection, keys.merchant_id):
            await self._admins.add(connection, keys, OWNER_NAME, Role.OWNER)
        created = MerchantCreated(shop_domain=shop, created_at=now)
        await self._outbox.append(connection, [created.event(keys.merchant_id, keys.merchant_id)])

    async def _update_credentials(
        self, connection: Connection, keys: MerchantKeys, merchant: Merchant, program: Program, now: datetime
    ) -> None:
        wanted = program.credentials
        try:
            had = secrets_of(merchant, keys)
        except SealError:  # the keys they were sealed under were destroyed
            had = []
        named = [wanted.api_secret, *([wanted.api_secret_previous] if wanted.api_secret_previous else [])]
        if (merchant.api_key, had) == (wanted.api_key, named):
            return
        await repository.update_credentials(connection, merchant.merchant_id, *_sealed(keys, program), now)
        after = {
            "api_key": "changed" if merchant.api_key != wanted.api_key else "kept",
            "api_secret": "changed" if had[:1] != named[:1] else "kept",
            "previous_secret": "accepted" if wanted.api_secret_previous else "none",
        }
        await self._tell(connection, merchant.merchant_id, "merchant.credentials_changed", {}, after, now)

    async def _update_status(self, connection: Connection, merchant: Merchant, program: Program, now: datetime) -> None:
        """Suspend and resume. An app that was uninstalled comes back by an installation, not by its program."""
        status = merchant.status
        if program.spec.suspend:
            status = Status.SUSPENDED
        elif status is Status.SUSPENDED:
            status = Status.ACTIVE if merchant.uninstalled_at is None else Status.UNINSTALLED
        if status is merchant.status:
            return
        await repository.update_status(connection, merchant.merchant_id, status, now)
        before, after = {"status": merchant.status.value}, {"status": status.value}
        await self._tell(connection, merchant.merchant_id, "merchant.status_changed", before, after, now)

    async def _update_access_token(
        self, connection: Connection, keys: MerchantKeys, program: Program, now: datetime
    ) -> None:
        """Take the Secret's access token. One that Shopify refused stays refused until another takes its place."""
        stored = (await access_repository.tokens(connection, keys.merchant_id)).get(Origin.PROGRAM)
        wanted = program.credentials.access_token
        if wanted is None:
            if stored is not None:
                await access_repository.delete_token(connection, keys.merchant_id, Origin.PROGRAM)
            return
        if stored is not None and _opened(keys, stored) == wanted:
            return
        token = StoredToken(
            merchant_id=keys.merchant_id,
            origin=Origin.PROGRAM,
            access_token=keys.seal(ACCESS_TOKEN, wanted.encode()),
            expires_at=None,
            refresh_token=None,
            refresh_expires_at=None,
            scope="",
            refused=False,
        )
        await access_repository.store_token(connection, token, now)

    async def _tell(
        self,
        connection: Connection,
        merchant_id: str,
        action: str,
        before: dict[str, str],
        after: dict[str, str],
        now: datetime,
    ) -> None:
        context = current()
        told = AuditLog(
            actor=context.actor,
            role=context.role,
            action=action,
            subject=f"merchant:{merchant_id}",
            before=before,
            after=after,
            at=now,
        )
        await self._outbox.append(connection, [told.event(merchant_id, merchant_id)])

    async def merchant(self, merchant_id: str) -> Merchant:
        """The merchant. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            found = await repository.merchant(connection, merchant_id)
        if found is None:
            raise NotFound(f"No merchant {merchant_id} is known: apply its LoyaltyProgram first.")
        return found

    async def close(self, merchant_id: str) -> datetime:
        """Let nothing in any more, until the merchant is provisioned again; since when. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            await repository.lock_provisioning(connection, merchant_id)
            closed_at = await repository.close(connection, merchant_id, self._clock())
        if closed_at is None:
            raise NotFound(f"No merchant {merchant_id} is known here.")
        self._validator.forget(merchant_id)
        return closed_at

    async def merchant_of_shop(self, shop: str) -> tuple[Merchant, list[str]]:
        """The merchant of a shop and the app's secrets that may sign now. Raises NotFound, for nonsense too."""
        try:
            shop_domain(shop)
        except InvalidInput:
            raise NotFound(_NO_PROGRAM) from None
        async with self._database.worker() as connection:
            found = await repository.merchant_of_shop(connection, shop)
            if found is None:
                raise NotFound(_NO_PROGRAM)
            keys = await self._keys.load(connection, found.merchant_id)
        return found, secrets_of(found, keys)

    async def merchants(self, page_size: int, page_token: str) -> tuple[list[Merchant], str]:
        """A page of all merchants by id, and the token of the next page (empty at the end)."""
        limit = page_limit(page_size)
        async with self._database.worker() as connection:
            found = await repository.merchants(connection, page_token, limit + 1)
        return page_of(found, limit, lambda merchant: merchant.merchant_id)

    async def keys(self, merchant_id: str) -> Sequence[WrappedKey]:
        """The merchant's wrapped keys. Raises NotFound once they are destroyed."""
        async with self._database.request(merchant_id) as connection:
            found = await repository.keys(connection, merchant_id)
        if not found:
            raise NotFound(f"Merchant {merchant_id} has no keys: it is unknown, or its keys were destroyed.")
        return found


def _sealed(keys: MerchantKeys, program: Program) -> tuple[str, bytes, bytes | None]:
    """The app's key and its secrets as they are stored."""
    given = program.credentials
    previous = given.api_secret_previous
    return (
        given.api_key,
        keys.seal(API_SECRET, given.api_secret.encode()),
        keys.seal(API_SECRET_PREVIOUS, previous.encode()) if previous else None,
    )


def _opened(keys: MerchantKeys, token: StoredToken) -> str | None:
    try:
        return keys.open(ACCESS_TOKEN, token.access_token).decode()
    except SealError:
        return None
