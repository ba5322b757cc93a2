"""Shopify's OAuth: the authorization page and the three ways to an offline access token.

Sources: shopify.dev "Authorization code grant", "Token exchange", "About offline access tokens". Offline tokens are
asked for with `expiring=1`: they live for an hour, and each refresh gives a new refresh token (90 days) that takes
the place of the one used. Store both in one write. Acquiring a token revokes the shop's earlier ones, so refresh in
one place at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

import httpx
import msgspec

from loyalnest.kit.clock import Clock, system_clock
from loyalnest.kit.errors import Unauthenticated, Unavailable
from loyalnest.kit.shopify.endpoint import ShopEndpoint, shop_domain

TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_TOKEN_PATH = "/admin/oauth/access_token"  # noqa: S105
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105
_OFFLINE = "urn:shopify:params:oauth:token-type:offline-access-token"


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """The app as Shopify knows it: client id and client secret. Merchants with an app of their own have their own."""

    api_key: str
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShopToken:
    """An offline access token. The times are None (and `refresh_token` with them) for one that does not expire."""

    access_token: str = field(repr=False)
    expires_at: datetime | None
    refresh_token: str | None = field(repr=False)
    refresh_expires_at: datetime | None
    scope: str


class _Answer(msgspec.Struct):
    access_token: str
    scope: str = ""
    expires_in: int | None = None
    refresh_token: str | None = None
    refresh_token_expires_in: int | None = None


class _Refusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


def authorize_url(
    endpoint: ShopEndpoint, shop: str, app: AppCredentials, *, scopes: str, redirect_uri: str, state: str
) -> str:
    """Where the merchant's browser goes to allow the app.

    scopes: comma-separated; redirect_uri: one of those the app registered; state: a random value bound to this
    browser, which must come back with the callback. Raises InvalidInput if `shop` is no shop's domain.
    """
    query = {"client_id": app.api_key, "scope": scopes, "redirect_uri": redirect_uri, "state": state}
    return f"{endpoint.browser_url(shop, '/admin/oauth/authorize')}?{urlencode(query)}"


class OAuthClient:
    """Gets tokens from a shop's token endpoint.

    Every method raises InvalidInput if the shop is no shop's domain, Unauthenticated if Shopify refuses (a used
    code, wrong credentials, a revoked refresh token: the merchant has to open the app again), and Unavailable for
    outages, after which the same call may be made again.
    """

    def __init__(self, http: httpx.AsyncClient, endpoint: ShopEndpoint, *, clock: Clock = system_clock) -> None:
        self._http = http
        self._endpoint = endpoint
        self._clock = clock

    async def exchange_code(self, shop: str, app: AppCredentials, code: str) -> ShopToken:
        """The token for the `code` of a callback whose hmac and state were checked. A code works once."""
        return await self._ask(shop, app, {"code": code, "expiring": "1"})

    async def exchange_session_token(self, shop: str, app: AppCredentials, session_token: str) -> ShopToken:
        """An offline token for a session token of the shop's admin, without a redirect (token exchange)."""
        form = {
            "grant_type": _EXCHANGE,
            "subject_token": session_token,
            "subject_token_type": _ID_TOKEN,
            "requested_token_type": _OFFLINE,
            "expiring": "1",
        }
        return await self._ask(shop, app, form)

    async def refresh_offline_token(self, shop: str, app: AppCredentials, refresh_token: str) -> ShopToken:
        """A new token and refresh token for `refresh_token`.

        If the answer is lost, the same refresh token may be tried again: since August 2026 Shopify keeps it until
        its replacement is first used, for 30 days at most.
        """
        return await self._ask(shop, app, {"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def _ask(self, shop: str, app: AppCredentials, form: Mapping[str, str]) -> ShopToken:
        shop_domain(shop)
        try:
            response = await self._http.post(
                self._endpoint.url(shop, _TOKEN_PATH),
                data={"client_id": app.api_key, "client_secret": app.api_secret, **form},
                headers={**self._endpoint.headers(shop), "Accept": "application/json"},
                extensions=dict(self._endpoint.extensions(shop)),
                timeout=TIMEOUT,
                follow_redirects=False,
            )
        except httpx.TransportError as error:
            raise Unavailable(
                f"Shopify's token endpoint of {shop} does not answer ({type(error).__name__})."
            ) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise Unavailable(f"Shopify's token endpoint of {shop} answered {response.status_code}; try again later.")
        if response.status_code != 200:
            raise Unauthenticated(f"Shopify refuses a token for {shop}: {_words(response)}.")
        return self._token(shop, response.content)

    def _token(self, shop: str, content: bytes) -> ShopToken:
        now = self._clock()
        try:
            answer = msgspec.json.decode(content, type=_Answer)
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"Shopify's token endpoint of {shop} answered with something else than a token."
            ) from error
        return ShopToken(
            answer.access_token,
            _after(now, answer.expires_in),
            answer.refresh_token,
            _after(now, answer.refresh_token_expires_in),
            answer.scope,
        )


def _after(now: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


def _words(response: httpx.Response) -> str:
    """Shopify's own words, never more than a line of them; a code or token that was sent is not among them."""
    try:
        refusal = msgspec.json.decode(response.content, type=_Refusal)
    except msgspec.DecodeError:
        refusal = _Refusal()
    words = refusal.error_description or refusal.error or f"status {response.status_code}"
    return words.splitlines()[0][:200].rstrip(".")
