"""Shopify's session tokens become sessions of ours."""

import httpx
import pytest
from fastapi import FastAPI

from integration.auth.support import Process, program
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth.http import public_routes
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Forbidden, PreconditionFailed, Unauthenticated
from loyalnest.kit.http import problems
from shopify.server import ACME, GLOBEX, ShopifyServer


async def exchange(auth: Process, token: str) -> pb.Session:
    return await auth.stub.ExchangeSessionToken(pb.ExchangeSessionTokenRequest(session_token=token))


async def test_the_first_person_is_an_owner_and_later_ones_are_staff(auth: Process, shopify: ShopifyServer) -> None:
    first = await exchange(auth, shopify.session_token(user_id="42"))
    second = await exchange(auth, shopify.session_token(user_id="43"))
    again = await exchange(auth, shopify.session_token(user_id="42"))
    assert [each.role for each in (first, second, again)] == ["owner", "staff", "owner"]
    assert first.actor == again.actor != second.actor
    valid = await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=second.token))
    assert (valid.merchant_id, valid.actor, valid.role) == ("acme", second.actor, "staff")
    theirs = await exchange(auth, shopify.session_token(GLOBEX, user_id="42"))
    assert (theirs.merchant_id, theirs.role) == ("globex", "owner")
    with as_merchant("acme"):
        users = (await auth.stub.ListAdminUsers(pb.ListAdminUsersRequest())).admin_users
    assert [user.name for user in users] == ["Owner", "Shopify user 42", "Shopify user 43"]
    assert "Shopify user" not in str(await auth.everything())


async def test_the_shop_is_connected_once(auth: Process, shopify: ShopifyServer) -> None:
    await exchange(auth, shopify.session_token())
    with as_merchant("acme"):
        access = await auth.stub.GetShopAccess(pb.GetShopAccessRequest())
    assert access.connected
    await exchange(auth, shopify.session_token())
    with as_merchant("acme"):
        assert (await auth.stub.GetShopAccess(pb.GetShopAccessRequest())).access_token == access.access_token
    assert len(shopify.seen("urn:ietf:params:oauth:grant-type:token-exchange")) == 1


async def test_people_get_in_while_shopifys_token_endpoint_is_away(auth: Process, shopify: ShopifyServer) -> None:
    shopify.fail("error", path="access_token")
    assert (await exchange(auth, shopify.session_token())).role == "owner"
    with as_merchant("acme"):
        assert not (await auth.stub.GetShopAccess(pb.GetShopAccessRequest())).connected
    await exchange(auth, shopify.session_token())
    with as_merchant("acme"):
        assert (await auth.stub.GetShopAccess(pb.GetShopAccessRequest())).connected


async def test_tokens_that_do_not_fit(auth: Process, shopify: ShopifyServer) -> None:
    now = int(shopify.state.now())
    wrong = {
        "expired": shopify.session_token(exp=now - 60),
        "not yet": shopify.session_token(nbf=now + 60),
        "audience": shopify.session_token(aud="another-key"),
        "algorithm none": shopify.session_token(algorithm="none", secret=""),
        "another algorithm": shopify.session_token(algorithm="HS512"),
        "secret": shopify.session_token(secret="shpss_wrong"),
        "another shop's": shopify.session_token(iss=f"https://{GLOBEX}/admin", dest=f"https://{GLOBEX}"),
        "issuer": shopify.session_token(iss=f"https://{GLOBEX}/admin"),
        "nobody": shopify.session_token(sub=None),
        "unknown shop": shopify.session_token(dest="https://nobody.myshopify.com"),
        "no shop": shopify.session_token(dest="https://evil.example"),
        "odd shop": shopify.session_token(dest=["https://acme.myshopify.com"]),
        "nothing": "",
        "garbage": "a.b.c",
        "unicode": "ü" * 10,
        "long": "a" * 9000,
    }
    for name, token in wrong.items():
        with pytest.raises(Unauthenticated) as caught:
            await exchange(auth, token)
        assert caught.value.detail.count("\n") == 0, name
    assert not (await auth.everything())["admin_sessions"]


async def test_the_previous_secret_is_accepted_while_a_rotation_lasts(auth: Process, shopify: ShopifyServer) -> None:
    old = shopify.shop().app.secret
    shopify.rotate_secret()
    await auth.provision(program(shopify, previous=old))
    assert (await exchange(auth, shopify.session_token(secret=old))).role == "owner"
    await auth.provision(program(shopify))
    with pytest.raises(Unauthenticated, match="signature"):
        await exchange(auth, shopify.session_token(secret=old))


async def test_deactivated_people_and_suspended_shops_stay_out(auth: Process, shopify: ShopifyServer) -> None:
    await exchange(auth, shopify.session_token(user_id="1"))
    staff = await exchange(auth, shopify.session_token(user_id="2"))
    with as_merchant("acme"):
        staff_id = staff.actor.removeprefix("admin:")
        await auth.stub.UpdateAdminUser(pb.UpdateAdminUserRequest(admin_user_id=staff_id, active=False))
    with pytest.raises(Forbidden, match="deactivated"):
        await exchange(auth, shopify.session_token(user_id="2"))
    await auth.provision(program(shopify, suspend=True))
    with pytest.raises(PreconditionFailed, match="suspended"):
        await exchange(auth, shopify.session_token(user_id="1"))


async def test_a_session_token_brings_an_uninstalled_shop_back(auth: Process, shopify: ShopifyServer) -> None:
    async with auth.database.worker() as connection:
        await connection.execute("UPDATE auth.merchants SET status = 'uninstalled' WHERE merchant_id = 'acme'")
    shopify.fail("error", path="access_token")
    with pytest.raises(PreconditionFailed, match="not installed"):
        await exchange(auth, shopify.session_token())
    session = await exchange(auth, shopify.session_token())
    assert (await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=session.token))).merchant_id == "acme"


async def test_the_route(auth: Process, shopify: ShopifyServer) -> None:
    app = FastAPI()
    problems.install(app)
    app.include_router(public_routes(auth.environment))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        done = await client.post("/auth/token", json={"session_token": shopify.session_token(ACME)})
        assert (done.status_code, done.headers["cache-control"]) == (200, "no-store")
        assert set(done.json()) == {"token", "expires_at", "role"}
        assert (await client.post("/auth/token", json={"session_token": "nonsense"})).status_code == 401
        assert (await client.post("/auth/token", json={})).status_code == 422
