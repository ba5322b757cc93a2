"""The way into a shop: its Admin API's access token, refreshed in one place at a time."""

import asyncio
import hmac
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import structlog

from loyalnest.auth import access_repository, repository, rules
from loyalnest.auth.keys import ACCESS_TOKEN, API_SECRET, REFRESH_TOKEN, OwnKeys
from loyalnest.auth.models import Merchant, Origin, StoredToken
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import NotFound, Unauthenticated, Unavailable
from loyalnest.kit.shopify.oauth import AppCredentials, OAuthClient, ShopToken

log = structlog.get_logger(__name__)

T = TypeVar("T")

REFRESH_BEFORE = timedelta(minutes=2)
"""A token that has less left is refreshed: longer than any call to Shopify takes."""
AT_ONCE = 4
"""Transactions that may wait for Shopify at the same time, because each keeps a connection."""
_PREFERRED = (Origin.PROGRAM, Origin.OAUTH)


@dataclass(frozen=True, slots=True)
class Access:
    """What opens the shop's Admin API. `access_token` is empty where the shop is not connected."""

    shop_domain: str
    access_token: str = field(default="", repr=False)
    expires_at: datetime | None = None


class Unbroken:
    """Runs work that changes something at Shopify and here to its end, whoever gives up waiting for it: a token that
    Shopify gave and nobody stored would lock the merchant out.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`."""
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        async with self._room:
            return await work

    async def close(self) -> None:
        """Wait for what is under way; Shopify's client limits how long that takes."""
        if self._tasks:
            await asyncio.wait(self._tasks)


class ShopAccess:
    """Gives out access tokens. A token from the program's Secret goes before one from OAuth while Shopify takes it."""

    def __init__(self, database: Database, keys: OwnKeys, oauth: OAuthClient, unbroken: Unbroken, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._oauth = oauth
        self._unbroken = unbroken
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, merchant_id: str, refused: str = "") -> Access:
        """An access token that is good for a while. `refused`: one that Shopify did not accept, never given again.

        Raises NotFound for an unknown merchant, Unavailable if the only token has to be refreshed and Shopify is away.
        """
        settled, access = await self._read(merchant_id, refused)
        if settled:
            return access
        lock = self._locks.setdefault(merchant_id, asyncio.Lock())
        async with lock:  # one in this process waits for the row, so that the others keep no connections
            settled, access = await self._read(merchant_id, refused)
            return access if settled else await self._unbroken.run(self._renew(merchant_id, refused))

    async def _read(self, merchant_id: str, refused: str) -> tuple[bool, Access]:
        """What is stored, and whether that is the answer; if not, something has to be refreshed or marked."""
        async with self._database.request(merchant_id) as connection:
            merchant = await repository.merchant(connection, merchant_id)
            if merchant is None:
                raise NotFound(f"No merchant {merchant_id} is known: apply its LoyaltyProgram first.")
            rules.refuse_closed(merchant)
            stored = await access_repository.tokens(connection, merchant_id)
            if not stored:
                return True, Access(merchant.shop_domain)
            keys = await self._keys.load(connection, merchant_id)
        now = self._clock()
        for token in _in_order(stored):
            given = keys.open(ACCESS_TOKEN, token.access_token).decode()
            if not token.refused and not _same(given, refused) and not _runs_out(token, now):
                return True, Access(merchant.shop_domain, given, token.expires_at)
            if can_refresh(token, now) or (not token.refused and _same(given, refused)):
                return False, Access(merchant.shop_domain)
            if not token.refused and _is_alive(token, now):
                return True, Access(merchant.shop_domain, given, token.expires_at)
        return True, Access(merchant.shop_domain)

    async def _renew(self, merchant_id: str, refused: str) -> Access:
        """As `get`, with the merchant's row locked: what another process has refreshed meanwhile is found."""
        failure: Unavailable | None = None
        async with self._database.request(merchant_id) as connection:
            merchant = await repository.merchant(connection, merchant_id, lock=True)
            if merchant is None:
                raise NotFound(f"No merchant {merchant_id} is known.")
            rules.refuse_closed(merchant)
            stored = await access_repository.tokens(connection, merchant_id)
            keys = await self._keys.load(connection, merchant_id)
            for token in _in_order(stored):
                now = self._clock()
                given = keys.open(ACCESS_TOKEN, token.access_token).decode()
                dead = token.refused or _same(given, refused)
                if not dead and not _runs_out(token, now):
                    return Access(merchant.shop_domain, given, token.expires_at)
                if can_refresh(token, now):
                    try:
                        return await self._refresh(connection, merchant, token, keys)
                    except Unavailable as error:
                        failure = error
                if not dead and _is_alive(token, now):
                    return Access(merchant.shop_domain, given, token.expires_at)
                if dead:
                    await access_repository.mark_refused(connection, merchant_id, token.origin)
        if failure is not None:  # raised only now, so that the marks are kept
            raise failure
        return Access(merchant.shop_domain)

    async def _refresh(
        self, connection: Connection, merchant: Merchant, token: StoredToken, keys: MerchantKeys
    ) -> Access:
        """A refreshed token, stored; no access if Shopify refuses, after which the merchant has to open the app.

        Raises Unavailable if Shopify does not answer.
        """
        assert token.refresh_token is not None
        refresh_token = keys.open(REFRESH_TOKEN, token.refresh_token).decode()
        try:
            new = await self._oauth.refresh_offline_token(merchant.shop_domain, app_of(merchant, keys), refresh_token)
        except Unauthenticated as error:
            log.warning("shopify.refresh_refused", merchant_id=merchant.merchant_id, said=error.detail)
            ended = replace(token, refused=True, refresh_token=None, refresh_expires_at=None)
            await access_repository.store_token(connection, ended, self._clock())
            return Access(merchant.shop_domain)
        await store(connection, keys, new, self._clock())
        return Access(merchant.shop_domain, new.access_token, new.expires_at)


async def store(connection: Connection, keys: MerchantKeys, token: ShopToken, now: datetime) -> None:
    """Seal and store a token that OAuth gave."""
    sealed = StoredToken(
        merchant_id=keys.merchant_id,
        origin=Origin.OAUTH,
        access_token=keys.seal(ACCESS_TOKEN, token.access_token.encode()),
        expires_at=token.expires_at,
        refresh_token=keys.seal(REFRESH_TOKEN, token.refresh_token.encode()) if token.refresh_token else None,
        refresh_expires_at=token.refresh_expires_at,
        scope=token.scope,
        refused=False,
    )
    await access_repository.store_token(connection, sealed, now)


def app_of(merchant: Merchant, keys: MerchantKeys) -> AppCredentials:
    """The merchant's app as Shopify knows it, with the current secret."""
    return AppCredentials(merchant.api_key, keys.open(API_SECRET, merchant.api_secret).decode())


def can_refresh(token: StoredToken, now: datetime) -> bool:
    """Whether there is a refresh token that has not expired."""
    return token.refresh_token is not None and (token.refresh_expires_at is None or token.refresh_expires_at > now)


def is_usable(token: StoredToken, now: datetime) -> bool:
    """Whether this token, or one that it can be refreshed to, opens the shop as far as is known here."""
    return can_refresh(token, now) or (not token.refused and _is_alive(token, now))


def _runs_out(token: StoredToken, now: datetime) -> bool:
    return token.expires_at is not None and token.expires_at - now <= REFRESH_BEFORE


def _is_alive(token: StoredToken, now: datetime) -> bool:
    return token.expires_at is None or token.expires_at > now


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _in_order(stored: dict[Origin, StoredToken]) -> list[StoredToken]:
    return [stored[origin] for origin in _PREFERRED if origin in stored]
