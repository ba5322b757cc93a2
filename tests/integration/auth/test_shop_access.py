"""Access tokens: where they come from, and how they are refreshed in one place at a time."""

import asyncio

import pytest

from integration.auth.conftest import Start
from integration.auth.support import Process, program
from loyalnest.auth import auth_pb2 as pb
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import NotFound, Unavailable
from shopify.server import ShopifyServer


@pytest.fixture
async def connected(auth: Process, shopify: ShopifyServer) -> Process:
    token = shopify.session_token()
    await auth.stub.ExchangeSessionToken(pb.ExchangeSessionTokenRequest(session_token=token))
    return auth


async def access(auth: Process, refused: str = "") -> pb.GetShopAccessResponse:
    with as_merchant("acme"):
        return await auth.stub.GetShopAccess(pb.GetShopAccessRequest(refused_token=refused))


def good(shopify: ShopifyServer, token: str) -> bool:
    return shopify.state.authenticate(shopify.shop(), token) is not None


async def test_a_shop_that_never_was_connected(auth: Process) -> None:
    found = await access(auth)
    assert (found.connected, found.access_token, found.shop_domain) == (False, "", "acme.myshopify.com")
    with as_merchant("nobody"), pytest.raises(NotFound):
        await auth.stub.GetShopAccess(pb.GetShopAccessRequest())


async def test_a_token_that_runs_out_is_refreshed(connected: Process, shopify: ShopifyServer) -> None:
    first = await access(connected)
    shopify.advance(3500)
    second = await access(connected)
    assert second.access_token != first.access_token
    assert good(shopify, second.access_token)
    assert (await access(connected)).access_token == second.access_token
    shopify.advance(2 * 24 * 3600)
    assert good(shopify, (await access(connected)).access_token)


async def test_processes_do_not_refresh_at_once(connected: Process, start: Start, shopify: ShopifyServer) -> None:
    other = start()
    shopify.advance(3600)
    found = await asyncio.gather(*(access(process) for process in (connected, other) * 10))
    assert len({each.access_token for each in found}) == 1
    assert good(shopify, found[0].access_token)
    assert len(shopify.seen("refresh_token")) == 1


async def test_a_refused_token_is_not_given_again(connected: Process, start: Start, shopify: ShopifyServer) -> None:
    first = (await access(connected)).access_token
    other = start()
    found = await asyncio.gather(*(access(process, first) for process in (connected, other) * 3))
    assert {each.access_token for each in found} != {first}
    assert len({each.access_token for each in found}) == 1
    assert len(shopify.seen("refresh_token")) == 1
    assert (await access(connected, first)).access_token == found[0].access_token  # told late: nothing to do
    assert len(shopify.seen("refresh_token")) == 1


async def test_an_uninstalled_app_is_not_connected_any_more(connected: Process, shopify: ShopifyServer) -> None:
    token = (await access(connected)).access_token
    shopify.revoke()
    assert not (await access(connected, token)).connected
    assert not (await access(connected)).connected
    with as_merchant("acme"):
        assert not (await connected.stub.GetMerchant(pb.GetMerchantRequest())).connected
    assert len(shopify.seen("refresh_token")) == 1  # a refresh token that was refused is not tried again


async def test_an_outage_is_survived_as_long_as_the_token_lives(connected: Process, shopify: ShopifyServer) -> None:
    first = (await access(connected)).access_token
    shopify.advance(3500)  # about to run out
    shopify.fail("error", path="access_token", times=100)
    assert (await access(connected)).access_token == first
    with pytest.raises(Unavailable):
        await access(connected, first)
    with pytest.raises(Unavailable):  # the mark has stayed
        await access(connected)
    shopify.advance(200)
    with pytest.raises(Unavailable):
        await access(connected)
    shopify.state.failures.clear()
    assert good(shopify, (await access(connected)).access_token)


async def test_a_caller_that_gives_up_does_not_cost_the_token(connected: Process, shopify: ShopifyServer) -> None:
    first = (await access(connected)).access_token
    shopify.advance(3600)
    shopify.fail("hang", path="access_token", seconds=0.5)
    with as_merchant("acme"), pytest.raises(Exception, match=r"in time|deadline"):
        await connected.stub.GetShopAccess(pb.GetShopAccessRequest(), timeout=0.2)
    async with asyncio.timeout(10):
        while not shopify.seen("refresh_token"):  # noqa: ASYNC110 - it goes on by itself, in another thread
            await asyncio.sleep(0.05)
    second = (await access(connected)).access_token
    assert second != first
    assert good(shopify, second)
    assert len(shopify.seen("refresh_token")) == 1


async def test_the_programs_own_token_goes_first_until_it_is_refused(
    connected: Process, shopify: ShopifyServer
) -> None:
    by_oauth = (await access(connected)).access_token
    await connected.provision(program(shopify, access_token="shpat_static"))
    assert (await access(connected)).access_token == "shpat_static"
    assert (await access(connected, "shpat_static")).access_token == by_oauth
    await connected.provision(program(shopify, access_token="shpat_static"))  # still the one that was refused
    assert (await access(connected)).access_token == by_oauth
    await connected.provision(program(shopify, access_token="shpat_newer"))
    assert (await access(connected)).access_token == "shpat_newer"
    await connected.provision(program(shopify))
    assert (await access(connected)).access_token == by_oauth
