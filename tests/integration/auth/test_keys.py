"""Rotation of keys, and what each role sees of the tables."""

import asyncio

import pytest

from fixtures.privacy import asked
from integration.auth.conftest import Start
from integration.auth.support import KEK_1, KEK_2, KEK_3, Process, program
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.auth import auth_pb2 as pb
from loyalnest.auth import keys as auth_keys
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import NotFound, Unauthenticated, Unavailable
from shopify.server import ACME, ShopifyServer


async def rotate(process: Process, rotation_id: str = "") -> tuple[int, int, int]:
    done = await process.stub.RotateKeys(pb.RotateKeysRequest(rotation_id=rotation_id))
    return done.merchants, done.rewrapped, done.new_data_keys


async def test_everything_opens_after_a_rotation(auth: Process, start: Start, shopify: ShopifyServer) -> None:
    exchanged = pb.ExchangeSessionTokenRequest(session_token=shopify.session_token())
    session = await auth.stub.ExchangeSessionToken(exchanged)
    before = await auth.keys_of("acme")
    sealed = before.seal("core.customers.email", b"anna@example.com")
    rotated = start(keks=f"{KEK_2},{KEK_1}")
    assert await rotate(rotated) == (2, 4, 2)
    for process in (rotated, start(keks=KEK_2)):  # the old key may go
        after = await process.keys_of("acme")
        assert after.current.version == 2
        assert after.index_key == before.index_key
        assert after.open("core.customers.email", sealed) == b"anna@example.com"
        assert (await process.stub.ValidateToken(pb.ValidateTokenRequest(token=session.token))).role == "owner"
        found = await process.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=ACME))
        assert list(found.api_secrets) == [shopify.shop().app.secret]
        with as_merchant("acme"):
            assert (await process.stub.GetShopAccess(pb.GetShopAccessRequest())).connected
            users = (await process.stub.ListAdminUsers(pb.ListAdminUsersRequest())).admin_users
            assert {user.name for user in users} == {"Owner", "Shopify user 42"}
        again = pb.ExchangeSessionTokenRequest(session_token=shopify.session_token())
        assert (await process.stub.ExchangeSessionToken(again)).actor == session.actor
    await rotated.provision(program(shopify))  # compares with what the older key sealed
    assert not [each for each in await auth.told("audit_log") if each["action"] == "merchant.credentials_changed"]
    told = [each for each in await auth.told("audit_log") if each["action"] == "keys.rotated"]
    assert [(each["subject"], each["after"]) for each in told] == [
        ("merchant:acme", {"kek": "k2", "data_key_version": "2"}),
        ("merchant:globex", {"kek": "k2", "data_key_version": "2"}),
    ]


async def test_a_rotation_goes_on_where_it_was_interrupted(
    auth: Process, start: Start, shopify: ShopifyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_keys, "PAGE", 1)
    rotated = start(keks=f"{KEK_2},{KEK_1}")
    async with auth.database.worker() as connection:  # globex cannot be unwrapped: the rotation ends after acme
        await connection.execute("UPDATE auth.data_keys SET kek_id = 'lost' WHERE merchant_id = 'globex'")
    with pytest.raises(Unavailable, match="'lost'"):
        await rotate(rotated, "november")
    assert (await rotated.keys_of("acme")).current.version == 2
    async with auth.database.worker() as connection:
        await connection.execute("UPDATE auth.data_keys SET kek_id = 'k1' WHERE merchant_id = 'globex'")
    assert await rotate(rotated, "november") == (1, 2, 1)
    assert await rotate(rotated, "november") == (0, 0, 0)
    assert await rotate(start(keks=f"{KEK_3},{KEK_2},{KEK_1}"), "november") == (2, 6, 0)  # wraps only
    rotated = start(keks=KEK_3)
    assert (await rotated.keys_of("acme")).current.version == 2
    assert await rotate(rotated) == (2, 0, 2)


async def test_rotations_at_once_leave_good_keys(auth: Process, start: Start, shopify: ShopifyServer) -> None:
    processes = [start(keks=f"{KEK_2},{KEK_1}") for _ in range(3)]
    await asyncio.gather(*(rotate(process) for process in processes))
    for merchant in ("acme", "globex"):
        keys = await processes[0].keys_of(merchant)
        assert 2 <= keys.current.version <= 4
        assert sorted(keys.by_version) == list(range(1, keys.current.version + 1))


async def test_one_merchant_alone(auth: Process) -> None:
    with as_merchant("globex"):
        assert await rotate(auth) == (1, 0, 1)
    assert (await auth.keys_of("acme")).current.version == 1
    assert (await auth.keys_of("globex")).current.version == 2


async def test_destroyed_keys_are_gone_for_everyone(auth: Process, start: Start) -> None:
    with as_merchant("acme"):
        token = (await auth.stub.CreateSession(pb.CreateSessionRequest())).token
    async with auth.database.worker() as connection:
        await connection.execute("DELETE FROM auth.data_keys WHERE merchant_id = 'acme'")
    with pytest.raises(NotFound):
        await auth.keys_of("acme")
    assert await rotate(auth) == (1, 0, 1)
    with as_merchant("acme"), pytest.raises(NotFound):
        await auth.stub.GetDataKeys(pb.GetDataKeysRequest())
    with pytest.raises(Unauthenticated):
        await start().stub.ValidateToken(pb.ValidateTokenRequest(token=token))


async def test_a_request_sees_no_row_of_another_merchant(auth: Process, shopify: ShopifyServer) -> None:
    with as_merchant("acme"):
        await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="program", scopes=["points:read"]))
    tables = [
        row["relname"]
        for row in await auth.rows(
            """
            SELECT c.relname FROM pg_class c
            WHERE c.relnamespace = 'auth'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version'
            """
        )
    ]
    assert len(tables) == 10
    received = WebhookReceived(delivery_id="d", shopify_topic="app/uninstalled").event("acme", "x")
    events = {"webhook.received": received, "gdpr_request.created": asked("customer_redact", 1, "acme")}
    for consumer in auth.parts.consumers:
        if consumer.topic in events:
            await consumer.handle([events[consumer.topic]])
    await auth.stub.BeginInstall(pb.BeginInstallRequest(shop_domain=ACME, redirect_uri="http://127.0.0.1/x"))
    await auth.stub.ExchangeSessionToken(pb.ExchangeSessionTokenRequest(session_token=shopify.session_token()))
    for table in tables:
        async with auth.database.worker() as connection:
            assert await connection.fetchval(f"SELECT count(*) FROM auth.{table} WHERE merchant_id = 'acme'"), table
        async with auth.database.request("globex") as connection:
            assert not await connection.fetchval(f"SELECT count(*) FROM auth.{table} WHERE merchant_id = 'acme'")
        async with auth.database.request("") as connection:
            assert not await connection.fetchval(f"SELECT count(*) FROM auth.{table}")
    async with auth.database.request("globex") as connection:
        assert await connection.execute("UPDATE auth.merchants SET status = 'suspended'") == "UPDATE 1"
