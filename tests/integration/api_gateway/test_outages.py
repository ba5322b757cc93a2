"""What the gateway does while something behind it is away."""

import asyncio
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from integration.api_gateway.conftest import Gateway, Start
from integration.api_gateway.test_webhooks import counted
from loyalnest.kit.embedded.redis import EmbeddedRedis
from shopify import bodies


def skipped() -> float:
    return REGISTRY.get_sample_value("loyalnest_rate_limits_skipped_total") or 0.0


async def test_without_redis_deliveries_are_taken_uncounted_and_fast(start: Start, server_folder: Path) -> None:
    redis = EmbeddedRedis(server_folder / "redis-that-stops")
    redis.start()
    try:
        async with start(redis_url=SecretStr(redis.url), webhook_limit_per_minute=6) as gateway:
            assert (await gateway.deliver(bodies.order())).status_code == 200
            assert (await gateway.deliver(bodies.order())).status_code == 429
            redis.stop()
            before, began = skipped(), time.perf_counter()
            for _ in range(20):
                assert (await gateway.deliver(bodies.order())).status_code == 200
            assert time.perf_counter() - began < 15.0
            assert skipped() == before + 20
            redis.start()
            for _ in range(100):
                if (await gateway.deliver(bodies.order())).status_code == 429:
                    break
                await asyncio.sleep(0.1)
            else:
                pytest.fail("the limit does not come back with Redis")
    finally:
        redis.stop()


async def test_without_redis_forged_deliveries_are_refused_all_the_same(start: Start, server_folder: Path) -> None:
    redis = EmbeddedRedis(server_folder / "redis-that-stops")
    redis.start()
    try:
        async with start(redis_url=SecretStr(redis.url), forged_limit_per_minute=6) as gateway:
            redis.stop()
            for _ in range(5):
                assert (await gateway.deliver(bodies.order(), secret="wrong")).status_code == 401
            assert (await gateway.deliver(bodies.order())).status_code == 200
    finally:
        redis.stop()


async def test_without_the_bus_shopify_is_told_to_come_again(gateway: Gateway) -> None:
    bus = gateway.environment.bus
    before = counted("orders/create", "unavailable")
    await bus.stop()
    answer = await gateway.deliver(bodies.order(), delivery_id="patient")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert counted("orders/create", "unavailable") == before + 1
    await bus.start()
    assert (await gateway.deliver(bodies.order(), delivery_id="patient")).status_code == 200
    assert len(await gateway.events()) == 1


async def test_a_connection_to_the_bus_that_is_cut(gateway: Gateway) -> None:
    assert (await gateway.deliver(bodies.order())).status_code == 200
    async with gateway.environment.database.session() as session:
        await session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'loyalnest bus append'"
        )
    statuses = [(await gateway.deliver(bodies.order())).status_code for _ in range(5)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200
    assert len(await gateway.events()) == 1 + statuses.count(200)


async def test_a_bus_that_hangs(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.api_gateway.webhooks.DURABLE_SECONDS", 0.3)
    async with gateway.environment.database.session() as session, session.transaction():
        await session.execute("LOCK TABLE bus.events IN ACCESS EXCLUSIVE MODE")
        assert (await gateway.deliver(bodies.order())).status_code == 503
    for _ in range(20):
        if (await gateway.deliver(bodies.order())).status_code == 200:
            return
        await asyncio.sleep(0.1)
    pytest.fail("deliveries are not taken again")


async def test_without_auth_shops_that_are_known_are_served(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.api_gateway.merchants.KNOWN_SECONDS", 0.0)
    assert (await gateway.deliver(bodies.order())).status_code == 200
    gateway.auth.away = True
    assert (await gateway.deliver(bodies.order())).status_code == 200
    unseen = await gateway.deliver(bodies.order(), shop="brew.myshopify.com", secret="brew-secret")
    assert unseen.status_code == 503
    token = {"Authorization": "Bearer acme-owner"}
    assert (await gateway.http.get("/frontend/points/totals", headers=token)).status_code == 503


async def test_without_points_its_routes_are_unavailable(gateway: Gateway) -> None:
    token = {"Authorization": "Bearer acme-owner"}
    answer = await gateway.http.get("/frontend/points/totals", headers=token)
    assert answer.status_code in (503, 504)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "127.0.0.1" not in answer.text
