"""The client against the stand-in Shopify, over real HTTP: OAuth and the life of tokens."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import pytest_asyncio

from loyalnest.kit.errors import InvalidInput, Unauthenticated, Unavailable
from loyalnest.kit.shopify.admin_api import AdminApi
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.kit.shopify.graphql import GraphQL
from loyalnest.kit.shopify.oauth import AppCredentials, OAuthClient, ShopToken, authorize_url
from loyalnest.kit.shopify.session_token import verify_session_token
from loyalnest.kit.shopify.signatures import oauth_query_is_genuine, webhook_is_genuine
from loyalnest.kit.shopify.throttle import CostBucket
from shopify.server import ACME, GLOBEX, ShopifyServer

CALLBACK = "http://127.0.0.1:8080/auth/callback"


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
def app(shopify: ShopifyServer) -> AppCredentials:
    registered = shopify.shop().app
    registered.redirect_uris.append(CALLBACK)
    return AppCredentials(registered.api_key, registered.secret)


@pytest.fixture
def oauth(shopify: ShopifyServer, http: httpx.AsyncClient) -> OAuthClient:
    return OAuthClient(http, ShopEndpoint(shopify.settings()))


def api_of(shopify: ShopifyServer, http: httpx.AsyncClient, shop: str = ACME, *, token: str = "") -> AdminApi:
    token = token or shopify.install(shop)

    async def provide() -> str:
        return token

    return AdminApi(GraphQL(http, ShopEndpoint(shopify.settings()), shop, provide, CostBucket()))


async def allowed(shopify: ShopifyServer, app: AppCredentials, state: str = "nonce") -> list[tuple[str, str]]:
    """The callback's query after the merchant allowed the app."""
    url = authorize_url(
        ShopEndpoint(shopify.settings()), ACME, app, scopes="read_orders", redirect_uri=CALLBACK, state=state
    )
    answer = await shopify.visit(url)
    assert answer.status_code == 302, answer.text
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == CALLBACK
    return parse_qsl(location.query, keep_blank_values=True)


async def test_the_whole_round_of_oauth(shopify: ShopifyServer, app: AppCredentials, oauth: OAuthClient) -> None:
    query = await allowed(shopify, app, state="n-1")
    assert oauth_query_is_genuine(app.api_secret, query)
    answer = dict(query)
    assert (answer["state"], answer["shop"]) == ("n-1", ACME)
    token = await oauth.exchange_code(ACME, app, answer["code"])
    assert token.expires_at is not None
    assert token.refresh_expires_at is not None
    assert abs(token.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=30)
    assert abs(token.refresh_expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(seconds=30)
    assert "write_discounts" in token.scope
    for secret in (token.access_token, token.refresh_token or "", app.api_secret):
        assert secret not in repr((token, app))
    with pytest.raises(Unauthenticated, match="already used"):
        await oauth.exchange_code(ACME, app, answer["code"])


async def test_a_tampered_callback_is_not_genuine(shopify: ShopifyServer, app: AppCredentials) -> None:
    query = await allowed(shopify, app)
    for name in ("code", "state", "shop", "timestamp", "host", "hmac"):
        changed = [(key, value + "0" if key == name else value) for key, value in query]
        assert not oauth_query_is_genuine(app.api_secret, changed), name
    assert not oauth_query_is_genuine(shopify.shop(GLOBEX).app.secret, query)


async def test_shopify_sends_nobody_to_an_address_that_is_not_registered(
    shopify: ShopifyServer, app: AppCredentials
) -> None:
    endpoint = ShopEndpoint(shopify.settings())
    for credentials, scopes, uri in (
        (app, "read_orders", "https://evil.example/auth/callback"),
        (AppCredentials("unknown", ""), "read_orders", CALLBACK),
        (app, "write_everything", CALLBACK),
    ):
        url = authorize_url(endpoint, ACME, credentials, scopes=scopes, redirect_uri=uri, state="n")
        assert (await shopify.visit(url)).status_code == 400


async def test_a_session_token_is_exchanged_for_an_offline_token(
    shopify: ShopifyServer, app: AppCredentials, oauth: OAuthClient, http: httpx.AsyncClient
) -> None:
    session = shopify.session_token()
    verified = verify_session_token(session, api_key=app.api_key, secrets=[app.api_secret], now=datetime.now(UTC))
    assert verified.shop_domain == ACME
    token = await oauth.exchange_session_token(ACME, app, session)
    assert (await api_of(shopify, http, token=token.access_token).shop()).currency == "USD"
    for wrong in (shopify.session_token(GLOBEX), shopify.session_token(exp=1), "no token"):
        with pytest.raises(Unauthenticated, match="invalid, expired or for another shop"):
            await oauth.exchange_session_token(ACME, app, wrong)


async def test_an_expired_token_is_refreshed_and_its_refresh_token_works_once(
    shopify: ShopifyServer, app: AppCredentials, oauth: OAuthClient, http: httpx.AsyncClient
) -> None:
    shopify.shop().token_seconds = 60
    first = await oauth.exchange_session_token(ACME, app, shopify.session_token())
    assert await api_of(shopify, http, token=first.access_token).shop()
    shopify.advance(61)
    with pytest.raises(Unauthenticated, match="401"):
        await api_of(shopify, http, token=first.access_token).shop()
    second = await oauth.refresh_offline_token(ACME, app, first.refresh_token or "")
    assert await api_of(shopify, http, token=second.access_token).shop()
    assert second.refresh_token != first.refresh_token
    with pytest.raises(Unauthenticated, match="active refresh_token"):
        await oauth.refresh_offline_token(ACME, app, first.refresh_token or "")
    shopify.advance(91 * 24 * 3600)
    with pytest.raises(Unauthenticated, match="active refresh_token"):
        await oauth.refresh_offline_token(ACME, app, second.refresh_token or "")


async def test_a_refresh_whose_answer_was_lost_can_be_made_again(
    shopify: ShopifyServer, app: AppCredentials, oauth: OAuthClient
) -> None:
    shopify.shop().keeps_used_refresh_token = True  # Shopify since August 2026
    first = await oauth.exchange_session_token(ACME, app, shopify.session_token())
    shopify.fail("reset_after_commit", path="access_token")
    with pytest.raises(Unavailable):
        await oauth.refresh_offline_token(ACME, app, first.refresh_token or "")
    second = await oauth.refresh_offline_token(ACME, app, first.refresh_token or "")
    third = await oauth.refresh_offline_token(ACME, app, second.refresh_token or "")
    assert third.refresh_token not in (first.refresh_token, second.refresh_token)
    with pytest.raises(Unauthenticated):  # retired when its replacement was used
        await oauth.refresh_offline_token(ACME, app, first.refresh_token or "")


async def test_wrong_credentials_are_refused_without_being_repeated(
    shopify: ShopifyServer, app: AppCredentials, oauth: OAuthClient
) -> None:
    wrong = AppCredentials(app.api_key, "shpss_wrong")
    with pytest.raises(Unauthenticated) as caught:
        await oauth.refresh_offline_token(ACME, wrong, "shprt_secret")
    assert "credentials are wrong" in caught.value.detail
    assert "shpss_wrong" not in caught.value.detail
    assert "shprt_secret" not in caught.value.detail
    with pytest.raises(InvalidInput):
        await oauth.refresh_offline_token("evil.example", app, "x")
    shopify.rotate_secret()
    assert await oauth.exchange_session_token(ACME, app, shopify.session_token())  # the previous one still works


async def test_an_outage_of_the_token_endpoint_is_told_from_a_refusal(
    shopify: ShopifyServer, app: AppCredentials, oauth: OAuthClient
) -> None:
    for kind in ("error", "rate_limited", "reset"):
        shopify.fail(kind, path="access_token")
        with pytest.raises(Unavailable):
            await oauth.exchange_session_token(ACME, app, shopify.session_token())
    assert isinstance(await oauth.exchange_session_token(ACME, app, shopify.session_token()), ShopToken)


async def test_a_delivery_of_the_stand_in_is_genuine(shopify: ShopifyServer) -> None:
    headers = shopify.webhook_headers(b"{}", "orders/create")
    secret = shopify.shop().app.secret
    assert webhook_is_genuine([secret], b"{}", headers["X-Shopify-Hmac-Sha256"])
    new = shopify.rotate_secret()
    assert webhook_is_genuine([new, secret], b"{}", headers["X-Shopify-Hmac-Sha256"])
    assert not webhook_is_genuine([new], b"{}", headers["X-Shopify-Hmac-Sha256"])
