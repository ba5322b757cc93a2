"""OAuth against the stand-in Shopify, from /auth/install to a session."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from fastapi import FastAPI

from integration.auth.support import CALLBACK, Process, program
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.http import public_routes
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed, Unauthenticated, Unavailable
from loyalnest.kit.http import problems
from shopify.server import ACME, GLOBEX, ShopifyServer

Query = list[tuple[str, str]]


@pytest.fixture
async def browser(auth: Process) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(public_routes(auth.environment))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as client:
        yield client


async def begun(auth: Process, shopify: ShopifyServer, shop: str = ACME) -> tuple[Query, str]:
    """The callback's query after the merchant allowed the app, and the state of the cookie."""
    answer = await auth.stub.BeginInstall(pb.BeginInstallRequest(shop_domain=shop, redirect_uri=CALLBACK))
    back = await shopify.visit(answer.authorize_url)
    assert back.status_code == 302, back.text
    return parse_qsl(urlsplit(back.headers["location"]).query, keep_blank_values=True), answer.state


async def complete(auth: Process, query: Query, state: str) -> pb.Session:
    items = [pb.QueryItem(name=name, value=value) for name, value in query]
    return await auth.stub.CompleteInstall(pb.CompleteInstallRequest(query=items, cookie_state=state))


async def test_the_round_trip_of_a_browser(auth: Process, shopify: ShopifyServer, browser: httpx.AsyncClient) -> None:
    sent = await browser.get("/auth/install", params={"shop": ACME})
    assert sent.status_code == 302
    cookie = sent.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie  # the public address is http here
    back = await shopify.visit(sent.headers["location"])
    done = await browser.get(back.headers["location"])
    assert done.status_code == 200, done.text
    assert done.headers["cache-control"] == "no-store"
    session = done.json()
    assert (session["merchant_id"], session["role"]) == ("acme", "owner")
    assert not browser.cookies
    valid = await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=session["token"]))
    assert (valid.merchant_id, valid.role, valid.session_id) == ("acme", "owner", session["session_id"])
    with as_merchant("acme"):
        access = await auth.stub.GetShopAccess(pb.GetShopAccessRequest())
        assert (await auth.stub.GetMerchant(pb.GetMerchantRequest())).connected
    assert shopify.state.authenticate(shopify.shop(), access.access_token) is not None
    assert access.access_token not in str(await auth.everything())
    again = await browser.get(back.headers["location"])
    assert (again.status_code, again.headers["content-type"]) == (401, "application/problem+json")


async def test_the_cookie_is_secure_behind_https(auth: Process) -> None:
    auth.settings.public_url = "https://loyal.example/"
    app = FastAPI()
    app.include_router(public_routes(auth.environment))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://loyal.example") as client:
        sent = await client.get("/auth/install", params={"shop": ACME})
    assert "secure" in sent.headers["set-cookie"].lower()
    assert dict(parse_qsl(urlsplit(sent.headers["location"]).query))["redirect_uri"] == (
        "https://loyal.example/auth/callback"
    )


async def test_a_changed_query_is_refused_and_uses_nothing_up(auth: Process, shopify: ShopifyServer) -> None:
    query, state = await begun(auth, shopify)
    for name in ("code", "state", "shop", "timestamp", "host", "hmac"):
        changed = [(key, value + "0" if key == name else value) for key, value in query]
        with pytest.raises(Unauthenticated):
            await complete(auth, changed, state)
        with pytest.raises(Unauthenticated):
            await complete(auth, [item for item in query if item[0] != name], state)
        with pytest.raises(Unauthenticated):
            await complete(auth, [*query, (name, "again")], state)
    assert (await complete(auth, query, state)).role == "owner"


async def test_another_shops_signature_and_state_are_refused(auth: Process, shopify: ShopifyServer) -> None:
    query, state = await begun(auth, shopify)
    theirs, their_state = await begun(auth, shopify, GLOBEX)
    for items, cookie in ((query, their_state), (theirs, state), (query, ""), (query, "ü")):
        with pytest.raises(Unauthenticated, match="not begun in this browser"):
            await complete(auth, items, cookie)
    moved = [(name, dict(theirs)[name] if name in ("shop", "hmac") else value) for name, value in query]
    with pytest.raises(Unauthenticated, match="signature"):
        await complete(auth, moved, state)


async def test_a_state_is_good_once_and_for_ten_minutes(auth: Process, shopify: ShopifyServer) -> None:
    query, state = await begun(auth, shopify)
    results = await asyncio.gather(*(complete(auth, query, state) for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(each, pb.Session) for each in results) == 1
    assert sum(isinstance(each, Unauthenticated) for each in results) == 2
    query, state = await begun(auth, shopify)
    shopify.advance(601)
    with pytest.raises(Unauthenticated, match="has expired or was completed"):
        await complete(auth, query, state)
    prune = next(job for job in auth.parts.jobs if job.name == "prune")
    assert await prune.run() == 1
    assert await prune.run() == 0


async def test_an_outage_of_shopify_leaves_the_installation_to_be_finished(
    auth: Process, shopify: ShopifyServer
) -> None:
    query, state = await begun(auth, shopify)
    shopify.fail("error", path="access_token", times=10)
    with pytest.raises(Unavailable):
        await complete(auth, query, state)
    shopify.state.failures.clear()
    assert (await complete(auth, query, state)).merchant_id == "acme"


async def test_the_previous_secret_signs_while_a_rotation_lasts(auth: Process, shopify: ShopifyServer) -> None:
    old = shopify.shop().app.secret
    query, state = await begun(auth, shopify)  # signed with the old one
    shopify.rotate_secret()
    await auth.provision(program(shopify, previous=old))
    assert (await complete(auth, query, state)).role == "owner"
    query, state = await begun(auth, shopify)  # signed with the new one
    assert (await complete(auth, query, state)).role == "owner"
    await auth.provision(program(shopify, secret="shpss_third"))
    query, state = await begun(auth, shopify)
    with pytest.raises(Unauthenticated, match="signature"):
        await complete(auth, query, state)


async def test_what_cannot_be_begun(auth: Process, shopify: ShopifyServer, browser: httpx.AsyncClient) -> None:
    begin = auth.stub.BeginInstall
    for shop in ("acme.myshopify.com.evil.example", "evil.example", "", "ACME.myshopify.com", "acme.myshopify.com\n"):
        with pytest.raises(InvalidInput):
            await begin(pb.BeginInstallRequest(shop_domain=shop, redirect_uri=CALLBACK))
    for uri in ("", "/auth/callback", "javascript:alert(1)", "http://[", "https://"):
        with pytest.raises(InvalidInput):
            await begin(pb.BeginInstallRequest(shop_domain=ACME, redirect_uri=uri))
    with pytest.raises(NotFound):
        await begin(pb.BeginInstallRequest(shop_domain="nobody.myshopify.com", redirect_uri=CALLBACK))
    await auth.provision(program(shopify, suspend=True))
    with pytest.raises(PreconditionFailed, match="suspended"):
        await begin(pb.BeginInstallRequest(shop_domain=ACME, redirect_uri=CALLBACK))
    assert (await browser.get("/auth/install", params={"shop": "evil.example"})).status_code == 400
    assert (await browser.get("/auth/install")).status_code == 422
    assert (await browser.get("/auth/callback")).status_code == 401
    assert (await browser.get("/auth/callback?" + "a=b&" * 60)).status_code == 400
