"""Badges in Redis: found there, never stale after a change, and not needed: emptied and really stopped."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from integration.gamification.support import Rig, clawed_back, earned
from loyalnest.gamification.cache import BadgeCache
from loyalnest.gamification.models import Progress
from loyalnest.kit.breaker import Breaker
from loyalnest.kit.context import as_merchant
from loyalnest.kit.embedded.redis import EmbeddedRedis

KEY = "test:badge:acme:7"


async def held(rig: Rig) -> bool:
    return (await rig.progress("acme", 7))["one"][0]


@pytest.fixture(autouse=True)
async def badge(rig: Rig) -> None:
    await rig.add_badge("acme", "one", "orders", "1")


async def test_a_hot_read_does_not_ask_postgresql(rig: Rig) -> None:
    await rig.give(earned("acme", 1, 7, "1"))
    first = await rig.service.customer_badges("acme", 7)
    assert await rig.redis.ttl(KEY) > 0
    await rig.as_owner("UPDATE gamification.customer_badges SET held = false")  # behind the service's back
    assert await rig.service.customer_badges("acme", 7) == first
    assert await rig.redis.keys() == [KEY.encode()]


async def test_every_change_shows_at_once(rig: Rig) -> None:
    assert not await held(rig)
    await rig.give(earned("acme", 1, 7, "1"))
    assert await held(rig)
    await rig.give(clawed_back("acme", 1, 7, "0"))
    assert not await held(rig)
    with as_merchant("acme", actor="admin:1", role="owner"):
        await rig.service.decide("acme", 7, "one", held=True, reason="sorry")
    assert await held(rig)


async def test_emptied_redis_loses_nothing(rig: Rig) -> None:
    await rig.give(earned("acme", 1, 7, "1"))
    assert await held(rig)
    await rig.redis.flushall()
    assert await held(rig)
    assert await rig.redis.exists(KEY)


async def test_what_was_read_before_a_change_is_not_kept(rig: Rig) -> None:
    """A reader reads, a writer commits and forgets, and only then the reader comes to keep what it had read."""
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> list[Progress]:
        read.set()
        await go_on.wait()
        return []

    reader = asyncio.create_task(rig.cache.get(("acme", 7), slowly))
    await read.wait()
    await rig.give(earned("acme", 1, 7, "1"))
    go_on.set()
    assert await reader == []
    assert not await rig.redis.exists(KEY)
    assert await held(rig)


async def test_two_readers_at_once(rig: Rig) -> None:
    await rig.give(earned("acme", 1, 7, "1"))
    both = await asyncio.gather(*(rig.service.customer_badges("acme", 7) for _ in range(5)))
    assert all(each == both[0] for each in both)


@pytest.mark.parametrize("strange", [b"{", b"[{}]", b"\xff", b"null"])
async def test_what_cannot_be_read_is_read_anew(rig: Rig, strange: bytes) -> None:
    await rig.redis.set(KEY, strange)
    assert not await held(rig)


async def test_without_redis_everything_works_and_comes_back(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("r")
    server = EmbeddedRedis(folder / "redis")
    server.start()
    redis: Redis = Redis.from_url(server.url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        rig.cache = BadgeCache(redis, "test:", Breaker(pause=0.0))
        assert not await held(rig)
        assert await redis.exists(KEY)
        server.stop()
        assert not await held(rig)
        await rig.give(earned("acme", 1, 7, "1"))  # Redis cannot be told
        assert await held(rig)
        await redis.aclose()
        server.start()
        await redis.flushall()
        assert await held(rig)
        assert await redis.exists(KEY)
        await rig.give(clawed_back("acme", 1, 7, "0"))
        assert not await held(rig)
    finally:
        await redis.aclose()
        server.stop()
