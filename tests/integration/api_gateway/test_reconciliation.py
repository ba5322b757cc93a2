"""What no webhook brought is found at Shopify: once, whatever is killed, and in the shape of a delivery."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from integration.auth.support import program
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.api_gateway.shop_orders import whole_order
from loyalnest.api_gateway.shopify_bodies import decode
from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.context import as_merchant
from loyalnest.kit.discovery import discover
from loyalnest.kit.events import Event
from loyalnest.kit.migrations import migrate
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.shopify.connections import ShopConnections
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub
from shopify import bodies
from shopify.model import FailureKind
from shopify.server import ACME, GLOBEX, ShopifyServer

KEK = "k1:" + "A" * 43 + "="
NAMES = ("api_gateway", "auth", "points")
CUSTOMERS = (7_000_000_000_001, 7_000_000_000_002, 7_000_000_000_003)


@dataclass
class World:
    """The gateway, auth and points in one process, connected to the stand-in Shopify. Its clock is the stand-in's."""

    process: Runtime
    shopify: ShopifyServer
    http: httpx.AsyncClient

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.shopify.state.now(), UTC)

    async def first_run(self) -> None:
        """Wait for the run that a start brings with it: nothing else may run beside those of the test."""
        database = self.process._running["api_gateway"].database
        done: datetime | None = None
        while done is None or done < self.now - timedelta(minutes=16):
            await asyncio.sleep(0.02)
            async with database.worker() as connection:
                done = await connection.fetchval("SELECT since FROM api_gateway.reconciliations")

    async def reconcile(self) -> int:
        """One run of the job, twenty minutes later, so that what has happened until now is old enough."""
        self.shopify.advance(20 * 60)
        parts = self.process._running["api_gateway"].parts
        return await next(job for job in parts.jobs if job.name == "reconcile_orders").run()

    def order(self, number: int, **changes: Any) -> dict[str, Any]:
        """An order at the shop that changed just now."""
        moment = self.now.isoformat()
        customer = bodies.customer(CUSTOMERS[number % 3])
        body = bodies.order(
            8_000_000_000_000 + number,
            **({"customer": customer, "created_at": moment, "updated_at": moment} | changes),
        )
        self.shopify.place(body)
        return body

    async def deliver(self, body: dict[str, Any], topic: str = "orders/create") -> None:
        content = bodies.encode(body)
        answer = await self.http.post(
            f"/webhooks/{topic}", content=content, headers=self.shopify.webhook_headers(content, topic)
        )
        assert answer.status_code == 200, answer.text

    async def settle(self) -> None:
        while not await self.process.settled():  # noqa: ASYNC110 - the end of a chain of services is nobody's event
            await asyncio.sleep(0.02)

    async def balance(self, customer_id: int, merchant: str = "acme") -> int:
        await self.settle()
        with as_merchant(merchant):
            request = points_pb2.GetPointsBalanceRequest(customer_id=customer_id)
            stub = PointsServiceStub(self.process.channel("points"))
            return int((await stub.GetPointsBalance(request)).available)

    async def events(self) -> list[Event]:
        return [event async for event in self.process.bus.read_all(WebhookReceived.topic)]

    async def view(self) -> dict[str, Any]:
        with as_merchant("acme"):
            auth = AuthServiceStub(self.process.channel("auth"))
            token = (await auth.CreateSession(auth_pb2.CreateSessionRequest(admin="test"))).token
        answer = await self.http.get("/frontend/reconciliation", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def world(database_url: str, redis_url: str, shopify: ShopifyServer) -> AsyncIterator[World]:
    services = {name: each for name, each in discover().items() if name in NAMES}
    settings = shopify.settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        encryption_keys=SecretStr(KEK),
        http_port=0,
        drain_seconds=2,
    )
    await migrate(settings.placement(), services.values())
    shopify.shop().token_seconds = 30 * 24 * 3600
    programs = [program(shopify, access_token=shopify.install(ACME)), program(shopify, "globex")]
    process = Runtime(
        settings,
        list(services),
        programs,
        listen_grpc=False,
        services=services,
        clock=lambda: datetime.fromtimestamp(shopify.state.now(), UTC),
    )
    await process.start()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{process.http_port}", trust_env=False, timeout=30
        ) as http:
            world = World(process, shopify, http)
            await world.first_run()
            yield world
    finally:
        await process.stop()


async def test_one_delivery_in_ten_is_lost_and_every_order_counts_once(world: World) -> None:
    chance = random.Random(7)
    wanted = dict.fromkeys(CUSTOMERS, 0)
    lost = 0
    for number in range(120):  # three pages
        body = world.order(number)
        wanted[body["customer"]["id"]] += int(10 * Decimal(body["subtotal_price"]))
        if chance.random() < 0.1:
            lost += 1
        else:
            await world.deliver(body)
    assert lost
    await world.settle()
    assert await world.reconcile() == lost
    assert {each: await world.balance(each) for each in CUSTOMERS} == wanted
    assert await world.reconcile() == 0
    view = await world.view()
    assert (view["orders"], view["recovered"], view["problem"]) == (120, lost, "")
    assert datetime.fromisoformat(view["compared_until"]) > world.now - timedelta(minutes=20)


async def test_refunds_and_cancellations_are_found_too(world: World) -> None:
    kept, returned, cancelled = (world.order(3 * number, lines=[bodies.line("30.00")]) for number in range(3))
    for body in (kept, returned, cancelled):
        await world.deliver(body)
    await world.settle()
    assert await world.reconcile() == 0
    before = await world.balance(CUSTOMERS[0])
    moment = world.now.isoformat()
    world.shopify.place(
        returned | {"refunds": [bodies.refund(returned)], "financial_status": "refunded", "updated_at": moment}
    )
    world.shopify.place(cancelled | {"cancelled_at": moment, "updated_at": moment})
    assert await world.reconcile() == 2
    assert await world.balance(CUSTOMERS[0]) == before // 3
    assert await world.reconcile() == 0


async def test_an_order_looks_as_its_delivery_would(shopify: ShopifyServer) -> None:
    lines = [bodies.line("12.34", 3, discounts=["1.01"]), bodies.line("50.00", gift_card=True)]
    lines += [bodies.line("0.10") for _ in range(120)]  # two pages of lines
    body = bodies.order(customer=bodies.customer(), lines=lines, discount_codes=[{"code": "SAVE"}], phone="+4930123")
    body["refunds"] = [bodies.refund(body, {lines[0]["id"]: 1, lines[1]["id"]: 1, lines[5]["id"]: 1})]
    shopify.place(body)
    token = shopify.install()

    async def ask(_refused: str) -> auth_pb2.GetShopAccessResponse:
        return auth_pb2.GetShopAccessResponse(connected=True, shop_domain=ACME, access_token=token)

    shops = ShopConnections(ShopEndpoint(shopify.settings()), ask)
    shop = await shops.graphql("acme")
    assert shop is not None
    told = await whole_order(shop, body["admin_graphql_api_id"])
    await shops.close()
    assert told is not None
    assert decode("orders/updated", told) == decode("orders/updated", bodies.encode(body))


@pytest.mark.parametrize("kind", ["error", "reset", "reset_after_commit", "rate_limited"])
async def test_a_failing_shopify_is_asked_again_from_the_same_place(world: World, kind: FailureKind) -> None:
    for number in range(60):
        world.order(number)
    world.shopify.fail(kind, path="graphql", times=1 if kind == "rate_limited" else 5)
    recovered = await world.reconcile()
    if kind != "rate_limited":
        assert "Shopify" in (await world.view())["problem"]
    for _ in range(6):
        recovered += await world.reconcile()
    assert recovered == 60
    assert (await world.view())["problem"] == ""
    events = [WebhookReceived.read(event) for event in await world.events()]
    assert len({event.order.order_id for event in events if event.order}) == 60


async def test_a_kill_between_publishing_and_noting_repeats_the_same_events(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.order(1)

    class Killed(BaseException):
        pass

    async def killed(*_arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("loyalnest.api_gateway.reconciliation_repository.store", killed)
        with pytest.raises(Killed):
            await world.reconcile()
    await world.reconcile()
    events = await world.events()
    assert len({event.id for event in events}) == 1
    assert await world.balance(CUSTOMERS[1]) > 0


async def test_guests_unpaid_orders_and_shops_that_are_not_connected_are_left(world: World) -> None:
    world.order(1, customer=None)
    world.order(2, financial_status="pending")
    world.shopify.place(bodies.order(5, created_at=world.now, updated_at=world.now.isoformat()), GLOBEX)
    assert await world.reconcile() == 0
    assert await world.events() == []
    assert (await world.view())["orders"] == 2


async def test_a_revoked_token_is_told_in_words(world: World) -> None:
    world.order(1)
    world.shopify.revoke(ACME)
    assert await world.reconcile() == 0
    assert "install the app again" in (await world.view())["problem"]


async def test_what_ails_one_shop_is_said_and_ends_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.order(1)

    async def nonsense(*_arguments: Any) -> None:
        raise KeyError("nodes")

    with monkeypatch.context() as patch:
        patch.setattr("loyalnest.api_gateway.reconciliation.changed_orders", nonsense)
        assert await world.reconcile() == 0
    assert (await world.view())["problem"] == "KeyError"
    assert await world.reconcile() == 1
    assert (await world.view())["problem"] == ""


async def test_a_merchant_who_moves_is_left_until_it_is_open_again(world: World) -> None:
    world.order(1)
    with as_merchant("acme"):
        await AuthServiceStub(world.process.channel("auth")).CloseMerchant(auth_pb2.CloseMerchantRequest())
    assert await world.reconcile() == 0
    assert await world.events() == []
    await world.process.provision()
    assert await world.reconcile() == 1
