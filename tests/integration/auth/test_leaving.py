"""A shop leaves: uninstalled, redacted, its keys destroyed; and it may come back as a new one."""

from datetime import datetime, timedelta
from functools import partial

import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked
from integration.auth.conftest import Start
from integration.auth.support import KEK_1, KEK_2, Process, program
from integration.auth.test_install import begun, complete
from loyalnest.admin_core.events import GdprKind, GdprRequestCompleted
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.auth import auth_pb2 as pb
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.envelope import UnknownKeyVersion
from loyalnest.kit.errors import NotFound, PreconditionFailed, Unauthenticated
from loyalnest.kit.events import Event, new_id
from shopify.server import ACME, ShopifyServer


def uninstalled(at: datetime | None, merchant: str = "acme") -> Event:
    received = WebhookReceived(delivery_id=str(new_id()), shopify_topic="app/uninstalled", triggered_at=at)
    return received.event(merchant, "other")


def completed(process: Process, kind: GdprKind = GdprKind.SHOP_REDACT, merchant: str = "acme") -> Event:
    customer_id = None if kind is GdprKind.SHOP_REDACT else 1
    told = GdprRequestCompleted(request_id=new_id(), kind=kind, customer_id=customer_id, completed_at=process.now())
    return told.event(merchant, "x")


async def handle(process: Process, topic: str, *events: Event) -> None:
    (consumer,) = [each for each in process.parts.consumers if each.topic == topic]
    await consumer.handle(events)


async def leave(process: Process, *events: Event) -> None:
    await handle(process, "webhook.received", *(events or [uninstalled(process.now())]))


async def redact(process: Process, merchant: str = "acme") -> None:
    await handle(process, "gdpr_request.created", asked("shop_redact", None, merchant))


async def destroy(process: Process, *events: Event) -> None:
    await handle(process, "gdpr_request.completed", *(events or [completed(process)]))


async def merchant(process: Process, name: str = "acme") -> pb.Merchant:
    with as_merchant(name):
        return await process.stub.GetMerchant(pb.GetMerchantRequest())


async def enter(process: Process, user_id: str = "42") -> pb.Session:
    token = process.shopify.session_token(user_id=user_id)
    return await process.stub.ExchangeSessionToken(pb.ExchangeSessionTokenRequest(session_token=token))


async def counts(process: Process, name: str = "acme") -> dict[str, int]:
    """How many rows of a merchant each table has that has something about people or the way into the shop."""
    tables = ("admin_users", "admin_sessions", "shop_tokens", "oauth_states")
    return {
        table: (await process.rows(f"SELECT count(*) FROM auth.{table} WHERE merchant_id = $1", name))[0][0]
        for table in tables
    }


async def test_an_uninstalled_app_opens_nothing(auth: Process, shopify: ShopifyServer) -> None:
    session = await enter(auth)
    await begun(auth, shopify)
    assert (await merchant(auth)).connected
    before = await counts(auth, "globex")
    shopify.advance(10)
    event = uninstalled(auth.now())
    await leave(auth, event, event)
    await leave(auth, event, uninstalled(auth.now()))
    found = await merchant(auth)
    assert (found.status, found.connected) == ("uninstalled", False)
    with pytest.raises(Unauthenticated):
        await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=session.token))
    assert (await counts(auth))["shop_tokens"] == (await counts(auth))["oauth_states"] == 0
    told = [each for each in await auth.told("audit_log") if each["action"] == "merchant.uninstalled"]
    assert [(each["before"], each["after"]) for each in told] == [({"status": "active"}, {"status": "uninstalled"})]
    assert (await merchant(auth, "globex")).status == "active"
    assert await counts(auth, "globex") == before
    await auth.provision(program(shopify, access_token="shpat_1"))
    assert (await merchant(auth)).status == "uninstalled"
    assert not (await merchant(auth)).connected


async def test_what_is_told_of_an_earlier_installation_changes_nothing(auth: Process, shopify: ShopifyServer) -> None:
    shopify.advance(100)
    left = auth.now()
    await leave(auth, uninstalled(left))
    shopify.advance(100)
    await enter(auth)
    await leave(auth, uninstalled(left), uninstalled(left - timedelta(hours=1)))
    assert (await merchant(auth)).status == "active"
    await leave(auth, uninstalled(auth.now() + timedelta(seconds=1)))
    assert (await merchant(auth)).status == "uninstalled"


async def test_installing_is_told_once_each_time_a_shop_comes(auth: Process, shopify: ShopifyServer) -> None:
    assert (await merchant(auth)).installed_at == ""
    await enter(auth)
    await enter(auth)
    query, state = await begun(auth, shopify)
    await complete(auth, query, state)  # allowed anew, without having left
    assert len(await auth.told("merchant.installed")) == 1
    shopify.advance(10)
    await leave(auth)
    shopify.advance(10)
    query, state = await begun(auth, shopify)
    await complete(auth, query, state)
    told = await auth.told("merchant.installed")
    assert [each["shop_domain"] for each in told] == [ACME, ACME]
    assert (await merchant(auth)).installed_at


async def test_a_suspended_merchant_stays_so_and_is_uninstalled_besides(auth: Process, shopify: ShopifyServer) -> None:
    await auth.provision(program(shopify, suspend=True))
    await leave(auth)
    assert (await merchant(auth)).status == "suspended"
    await auth.provision(program(shopify))
    assert (await merchant(auth)).status == "uninstalled"


async def test_a_redacted_shop_is_forgotten_and_comes_back_as_new(
    auth: Process, start: Start, shopify: ShopifyServer
) -> None:
    await auth.provision(program(shopify, previous="of-last-month"))
    await enter(auth)
    theirs = await counts(auth, "globex")
    keys = await auth.keys_of("acme")
    sealed = keys.seal("core.customers.email", b"anna@example.com")
    shopify.advance(10)
    await leave(auth)
    await redact(auth)
    assert set((await counts(auth)).values()) == {0}
    assert (await auth.keys_of("acme")).current == keys.current, "others may still need them"
    with pytest.raises(PreconditionFailed, match="few minutes"):
        await enter(auth)
    await destroy(auth, completed(auth, GdprKind.CUSTOMER_REDACT), completed(auth, merchant="nobody"))
    assert (await auth.keys_of("acme")).current == keys.current
    event = completed(auth)
    await destroy(auth, event, event)
    for process in (auth, start()):
        with pytest.raises(NotFound):
            await process.keys_of("acme")
        with as_merchant("acme"), pytest.raises(NotFound):
            await process.stub.GetDataKeys(pb.GetDataKeysRequest())
    # Shopify's repetitions are still known to be its own.
    found = await auth.stub.ValidateMerchant(pb.ValidateMerchantRequest(shop_domain=ACME))
    assert (list(found.api_secrets), found.status) == ([shopify.shop().app.secret, "of-last-month"], "uninstalled")
    await auth.provision(program(shopify))
    with pytest.raises(NotFound):
        await auth.keys_of("acme")
    await destroy(auth)
    told = [
        each["after"].get("keys", "") for each in await auth.told("audit_log") if each["action"] == "keys.destroyed"
    ]
    assert told == ["2", ""]
    assert await counts(auth, "globex") == theirs
    assert (await auth.keys_of("globex")).current.version == 1

    with pytest.raises(PreconditionFailed, match="few minutes"):
        await enter(auth)
    shopify.advance(121)
    query, state = await begun(auth, shopify)
    session = await complete(auth, query, state)
    assert (await auth.stub.ValidateToken(pb.ValidateTokenRequest(token=session.token))).role == "owner"
    new = await auth.keys_of("acme")
    assert (new.current.version, new.index_key == keys.index_key) == (2, False)
    with pytest.raises(UnknownKeyVersion):
        new.open("core.customers.email", sealed)
    assert (await merchant(auth)).status == "active"
    await destroy(auth, event)  # told again, it is about the time before
    assert (await auth.keys_of("acme")).current == new.current


async def test_a_late_telling_of_an_old_redaction_does_not_close_the_shop(
    auth: Process, shopify: ShopifyServer
) -> None:
    """After a restore a request is told again, and its parts come in any order."""
    await leave(auth)
    await destroy(auth)
    await redact(auth)
    shopify.advance(121)
    assert (await enter(auth)).role == "owner"


async def test_keys_that_wait_are_wrapped_anew_and_not_given_out(
    auth: Process, start: Start, shopify: ShopifyServer
) -> None:
    await leave(auth)
    await redact(auth)
    await destroy(auth)
    rotated = start(keks=f"{KEK_2},{KEK_1}")
    done = await rotated.stub.RotateKeys(pb.RotateKeysRequest())
    assert (done.merchants, done.rewrapped, done.new_data_keys) == (2, 4, 1)
    newest = start(keks=KEK_2)
    with pytest.raises(NotFound):
        await newest.keys_of("acme")
    reseal = next(job for job in newest.parts.jobs if job.name == "reseal")
    assert await reseal.run() > 0
    shopify.advance(121)
    await enter(newest)
    assert (await newest.keys_of("acme")).current.version == 2


async def test_killed_anywhere_a_shop_is_left_once(auth: Process, database_url: str, shopify: ShopifyServer) -> None:
    await enter(auth)
    shopify.advance(10)
    deaths = 0
    left, asking, done = uninstalled(auth.now()), asked("shop_redact", None, "acme"), completed(auth)
    steps = (("webhook.received", left), ("gdpr_request.created", asking), ("gdpr_request.completed", done))
    for topic, event in steps:
        async for database in killed_before_each_statement(auth.database, database_url):
            victim = Process(database, shopify)
            deaths += await until_death(partial(handle, victim, topic, event))
            await victim.close()
        await handle(auth, topic, event)
    assert deaths > 10
    actions = [each["action"] for each in await auth.told("audit_log")]
    assert (actions.count("merchant.uninstalled"), actions.count("keys.destroyed")) == (1, 1)
    assert len(await auth.told("gdpr_request.confirmed")) == 1
    with pytest.raises(NotFound):
        await auth.keys_of("acme")
    assert set((await counts(auth)).values()) == {0}
