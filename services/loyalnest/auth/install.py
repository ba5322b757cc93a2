"""Shopify's ways in: the OAuth installation, and the session token of the embedded admin page."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

import jwt
import structlog

from loyalnest.admin_core.events import AuditLog
from loyalnest.auth import access, access_repository, admin_repository, leaving_repository, repository, rules
from loyalnest.auth.admins import OWNER_NAME, AdminUsers
from loyalnest.auth.events import MerchantInstalled
from loyalnest.auth.keys import API_SECRET, API_SECRET_PREVIOUS, OwnKeys
from loyalnest.auth.models import Merchant, OpenedSession, Role, Status
from loyalnest.auth.sessions import Sessions
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import Forbidden, InvalidInput, NotFound, PreconditionFailed, Unauthenticated, Unavailable
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.shopify.endpoint import ShopEndpoint, shop_domain
from loyalnest.kit.shopify.oauth import AppCredentials, OAuthClient, ShopToken, authorize_url
from loyalnest.kit.shopify.session_token import verify_session_token
from loyalnest.kit.shopify.signatures import oauth_query_is_genuine

log = structlog.get_logger(__name__)

Query = Sequence[tuple[str, str]]

_MAX_TOKEN = 8192
_NO_SESSION_TOKEN = "This is no session token of a shop."  # noqa: S105
_NO_PROGRAM = "No loyalty program is set up for this shop: ask the platform's admin."


class Installs:
    """Lets a merchant's people in from Shopify, and gets the shop's access token on the way."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: OwnKeys,
        oauth: OAuthClient,
        endpoint: ShopEndpoint,
        sessions: Sessions,
        admins: AdminUsers,
        unbroken: access.Unbroken,
        clock: Clock,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._oauth = oauth
        self._endpoint = endpoint
        self._sessions = sessions
        self._admins = admins
        self._unbroken = unbroken
        self._clock = clock

    async def begin(self, shop: str, redirect_uri: str) -> tuple[str, str]:
        """(Where to send the browser, the state that it keeps in a cookie). The state is good once, for 10 minutes.

        Raises InvalidInput for what is no shop's domain, NotFound for a shop without a program, PreconditionFailed
        for one that is suspended.
        """
        _check_redirect(redirect_uri)
        merchant = await self._merchant_of(shop_domain(shop))
        if merchant is None:
            raise NotFound(_NO_PROGRAM)
        self._refuse_closed(merchant)
        state = secrets.token_urlsafe(32)
        async with self._database.request(merchant.merchant_id) as connection:
            expires_at = self._clock() + rules.STATE_LIFETIME
            await access_repository.insert_state(connection, merchant.merchant_id, _hash(state), expires_at)
        app = AppCredentials(merchant.api_key, "")
        url = authorize_url(
            self._endpoint, merchant.shop_domain, app, scopes=rules.SCOPES, redirect_uri=redirect_uri, state=state
        )
        return url, state

    async def complete(self, query: Query, cookie_state: str) -> OpenedSession:
        """The owner's session after Shopify sent the browser back with `query`.

        Raises Unauthenticated, saying what does not fit, and Unavailable if Shopify is away: then the same may be
        tried again, because the state is used up only by success.
        """
        state, code = _single(query, "state"), _single(query, "code")
        if not cookie_state or not hmac.compare_digest(state.encode(), cookie_state.encode()):
            raise Unauthenticated("This installation was not begun in this browser: begin at /auth/install again.")
        try:
            merchant = await self._merchant_of(shop_domain(_single(query, "shop")))
        except InvalidInput:
            merchant = None
        if merchant is None:
            raise Unauthenticated(_NO_PROGRAM)
        return await self._unbroken.run(self._complete(merchant.merchant_id, query, state, code))

    async def _complete(self, merchant_id: str, query: Query, state: str, code: str) -> OpenedSession:
        async with self._database.request(merchant_id) as connection:
            merchant, keys = await self._locked(connection, merchant_id)
            if not any([oauth_query_is_genuine(secret, query) for secret in secrets_of(merchant, keys)]):  # noqa: C419
                raise Unauthenticated("Shopify's signature on this address is wrong: it was changed on its way.")
            if not await access_repository.take_state(connection, merchant_id, _hash(state), self._clock()):
                raise Unauthenticated("This installation has expired or was completed: begin at /auth/install again.")
            self._refuse_closed(merchant)
            # All that can be refused comes before the exchange: Shopify's side of it cannot be rolled back.
            if not await admin_repository.users(connection, merchant_id):  # they went with the shop's redaction
                await self._admins.add(connection, keys, OWNER_NAME, Role.OWNER)
            owner = await self._sessions.first_owner(connection, merchant_id, keys)
            token = await self._oauth.exchange_code(merchant.shop_domain, access.app_of(merchant, keys), code)
            await self._connected(connection, merchant, keys, token)
            return await self._sessions.open(
                connection, keys, owner, Role.OWNER, rules.INSTALL_LIFETIME, "shopify installation"
            )

    async def exchange_session_token(self, token: str) -> OpenedSession:
        """A session for the person whose Shopify session token this is: the shop's first one is an owner.

        Raises Unauthenticated for a token that does not fit, Forbidden for a deactivated admin user,
        PreconditionFailed for a merchant that is not active.
        """
        merchant = await self._merchant_of(_claimed_shop(token))
        if merchant is None:
            raise Unauthenticated(_NO_PROGRAM)
        async with self._database.request(merchant.merchant_id) as connection:
            keys = await self._keys.load(connection, merchant.merchant_id)
        verified = verify_session_token(
            token, api_key=merchant.api_key, secrets=secrets_of(merchant, keys), now=self._clock()
        )
        if verified.shop_domain != merchant.shop_domain:
            raise Unauthenticated("The session token is for another shop.")
        self._refuse_closed(merchant)
        return await self._unbroken.run(self._let_in(merchant.merchant_id, token, verified.user_id))

    async def _let_in(self, merchant_id: str, token: str, shopify_user_id: str) -> OpenedSession:
        async with self._database.request(merchant_id) as connection:
            merchant, keys = await self._locked(connection, merchant_id)
            self._refuse_closed(merchant)
            user = await self._admins.of_shopify_user(connection, keys, shopify_user_id)
            if not user.active:
                raise Forbidden("Your admin user was deactivated: ask an owner of the merchant.")
            connected = await self._connect(connection, merchant, keys, token)
            if merchant.status is Status.UNINSTALLED and not connected:
                raise PreconditionFailed("The app is not installed in this shop: install it again.")
            return await self._sessions.open(
                connection, keys, user, user.role, rules.EMBEDDED_LIFETIME, "shopify session token"
            )

    async def _connect(self, connection: Connection, merchant: Merchant, keys: MerchantKeys, token: str) -> bool:
        """Whether the shop was connected now. One that is stays as it is: a new token would end the one it has.

        A person gets in without it, too, so a failure of Shopify is only logged.
        """
        stored = await access_repository.tokens(connection, merchant.merchant_id)
        now, reinstalled = self._clock(), merchant.status is Status.UNINSTALLED
        if not reinstalled and any(access.is_usable(each, now) for each in stored.values()):
            return False
        try:
            app = access.app_of(merchant, keys)
            new = await self._oauth.exchange_session_token(merchant.shop_domain, app, token)
        except (Unauthenticated, Unavailable) as error:
            log.warning("shopify.not_connected", merchant_id=merchant.merchant_id, said=error.detail)
            return False
        await self._connected(connection, merchant, keys, new)
        return True

    async def _connected(
        self, connection: Connection, merchant: Merchant, keys: MerchantKeys, token: ShopToken
    ) -> None:
        now, events = self._clock(), []
        await access.store(connection, keys, token, now)
        await repository.update_status(connection, merchant.merchant_id, Status.ACTIVE, now)
        if merchant.installed_at is None or merchant.status is Status.UNINSTALLED:
            await leaving_repository.come_back(connection, merchant.merchant_id, now)
            installed = MerchantInstalled(shop_domain=merchant.shop_domain, installed_at=now)
            events.append(installed.event(merchant.merchant_id, merchant.merchant_id))
        told = AuditLog(
            actor="shopify",
            role="system",
            action="merchant.connected",
            subject=f"merchant:{merchant.merchant_id}",
            before={"status": merchant.status.value},
            after={"status": Status.ACTIVE.value, "scope": token.scope},
            at=now,
        )
        events.append(told.event(merchant.merchant_id, merchant.merchant_id))
        await self._outbox.append(connection, events)

    def _refuse_closed(self, merchant: Merchant) -> None:
        if merchant.status is Status.SUSPENDED:
            raise PreconditionFailed("The shop's loyalty program is suspended: ask the platform's admin.")
        if merchant.redacting or (merchant.reopens_at is not None and self._clock() < merchant.reopens_at):
            raise PreconditionFailed(
                "The shop's data is being erased after it uninstalled the app: install it again in a few minutes."
            )

    async def _locked(self, connection: Connection, merchant_id: str) -> tuple[Merchant, MerchantKeys]:
        merchant = await repository.merchant(connection, merchant_id, lock=True)
        if merchant is None:
            raise Unauthenticated(_NO_PROGRAM)
        rules.refuse_closed(merchant)
        return merchant, await self._keys.load(connection, merchant_id)

    async def _merchant_of(self, shop: str) -> Merchant | None:
        async with self._database.worker() as connection:
            return await repository.merchant_of_shop(connection, shop)


def secrets_of(merchant: Merchant, keys: MerchantKeys) -> list[str]:
    """The app's secrets that may sign now: the current one, then the previous while a rotation lasts."""
    found = [keys.open(API_SECRET, merchant.api_secret).decode()]
    if merchant.api_secret_previous is not None:
        found.append(keys.open(API_SECRET_PREVIOUS, merchant.api_secret_previous).decode())
    return found


def _claimed_shop(token: str) -> str:
    """The shop that a session token claims; nothing is proven yet. Raises Unauthenticated if it claims none."""
    if not token.isascii() or len(token) > _MAX_TOKEN:
        raise Unauthenticated(_NO_SESSION_TOKEN)
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return shop_domain(urlsplit(str(claims["dest"])).netloc)
    except (jwt.PyJWTError, InvalidInput, ValueError, TypeError, KeyError, RecursionError):
        raise Unauthenticated(_NO_SESSION_TOKEN) from None


def _check_redirect(redirect_uri: str) -> None:
    try:
        parts = urlsplit(redirect_uri)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and not parts.fragment
    except ValueError:
        good = False
    if not good:
        raise InvalidInput("redirect_uri must be the absolute http(s) address of /auth/callback.")


def _single(query: Query, name: str) -> str:
    values = [value for key, value in query if key == name]
    if len(values) != 1 or not values[0]:
        raise Unauthenticated(f"Shopify's answer must have one {name!r}: begin at /auth/install again.")
    return values[0]


def _hash(state: str) -> bytes:
    """What is kept of a state: it is random, so a plain hash cannot be turned back."""
    return hashlib.sha256(state.encode()).digest()
