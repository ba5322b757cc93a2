"""Merchants come from their programs."""

from itertools import product
from typing import Any

import pytest

from integration.auth.conftest import Start
from integration.auth.support import Process, program
from loyalnest.auth import auth_pb2 as pb
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Conflict, Forbidden, NotFound
from shopify.server import ACME, ShopifyServer


async def test_a_new_merchant_has_keys_an_owner_and_its_event(auth: Process, shopify: ShopifyServer) -> None:
    found = await auth.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=ACME))
    assert (found.merchant_id, found.shop_domain, found.status) == ("acme", ACME, "active")
    assert (found.api_key, list(found.api_secrets)) == ("acme-key", [shopify.shop().app.secret])
    assert not found.connected
    keys = await auth.keys_of("acme")
    assert keys.current.version == 1
    assert keys.index_key != (await auth.keys_of("globex")).index_key
    with as_merchant("acme"):
        users = (await auth.stub.ListAdminUsers(pb.ListAdminUsersRequest())).admin_users
    assert [(user.name, user.role, user.active) for user in users] == [("Owner", "owner", True)]
    assert [each["shop_domain"] for each in await auth.told("merchant.created")] == [ACME, "globex.myshopify.com"]


async def test_provisioning_again_writes_nothing(auth: Process, start: Start, shopify: ShopifyServer) -> None:
    await auth.provision(program(shopify, previous="older", access_token="shpat_1"))
    before = await auth.everything()
    for process in (auth, start()):
        await process.provision(program(shopify, previous="older", access_token="shpat_1"))
    assert await auth.everything() == before


async def test_changed_credentials_take_effect_and_are_audited_without_their_values(
    auth: Process, shopify: ShopifyServer
) -> None:
    old = shopify.shop().app.secret
    await auth.provision(program(shopify, secret="shpss_new", previous=old))
    found = await auth.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=ACME))
    assert list(found.api_secrets) == ["shpss_new", old]
    await auth.provision(program(shopify, secret="shpss_new", api_key="another-key"))
    found = await auth.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=ACME))
    assert (found.api_key, list(found.api_secrets)) == ("another-key", ["shpss_new"])
    changes = [
        each["after"] for each in await auth.told("audit_log") if each["action"] == "merchant.credentials_changed"
    ]
    assert [(each["api_secret"], each["api_key"]) for each in changes] == [("changed", "kept"), ("kept", "changed")]
    stored = str(await auth.everything())
    for secret in ("shpss_new", old):
        assert secret not in stored


async def test_a_shop_belongs_to_one_merchant_for_good(auth: Process, shopify: ShopifyServer) -> None:
    with pytest.raises(Conflict, match=r"cannot become other\.myshopify\.com"):
        await auth.provision(program(shopify, domain="other.myshopify.com"))
    with pytest.raises(Conflict, match="belongs to another merchant"):
        await auth.provision(program(shopify, "third", domain=ACME))
    with pytest.raises(NotFound):
        await auth.keys_of("third")


async def test_suspend_and_resume(auth: Process, shopify: ShopifyServer) -> None:
    with as_merchant("acme"):
        token = (await auth.stub.CreateSession(pb.CreateSessionRequest())).token
    await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=token))
    for suspended in (True, False):
        await auth.provision(program(shopify, suspend=suspended))
        found = await auth.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=ACME))
        assert found.status == ("suspended" if suspended else "active")
        if suspended:
            with pytest.raises(Exception, match="suspended"):
                await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=token))
    assert (await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=token))).merchant_id == "acme"


async def test_an_unknown_shop_is_not_found(auth: Process) -> None:
    for shop in ("nobody.myshopify.com", "", "ACME.myshopify.com/", "x' OR 1=1", "ü.myshopify.com", "a\0"):
        with pytest.raises(NotFound):
            await auth.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=shop))


async def test_merchants_are_listed_by_page_to_the_platform_only(auth: Process) -> None:
    names: list[str] = []
    token = ""
    while True:
        page = await auth.stub.ListMerchants(pb.ListMerchantsRequest(page_size=1, page_token=token))
        names += [each.merchant_id for each in page.merchants]
        assert not any(each.api_secrets for each in page.merchants)
        if not (token := page.next_page_token):
            break
    assert names == ["acme", "globex"]


async def test_what_holds_keys_and_secrets_is_for_our_own_services(auth: Process) -> None:
    calls: tuple[tuple[Any, Any], ...] = (
        (auth.stub.ValidateMerchant, pb.ValidateMerchantRequest(shop_domain=ACME)),
        (auth.stub.ListMerchants, pb.ListMerchantsRequest()),
        (auth.stub.GetDataKeys, pb.GetDataKeysRequest()),
        (auth.stub.RotateKeys, pb.RotateKeysRequest()),
        (auth.stub.GetShopAccess, pb.GetShopAccessRequest()),
    )
    for (call, request), role in product(calls, ("owner", "staff", "support", "")):
        with as_merchant("acme", actor="admin:someone", role=role), pytest.raises(Forbidden):
            await call(request)
