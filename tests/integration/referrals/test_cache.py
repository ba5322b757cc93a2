"""Redis holds statuses for hot reads, and nothing is lost with it."""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis

from integration.referrals.support import Rig, refund
from loyalnest.kit.breaker import Breaker
from loyalnest.kit.errors import NotFound
from loyalnest.referrals.cache import LIVES_SECONDS, StatusCache
from loyalnest.referrals.models import Referral
from loyalnest.referrals.service import ReferralsService


async def completed(rig: Rig) -> tuple[Referral, str]:
    """A referral by order 7, and its key in Redis."""
    await rig.buy(await rig.code(), order_id=7)
    found = await rig.of_friend()
    assert found is not None
    return found, f"test:referral:acme:{found.referral_id}"


async def test_a_batch_puts_what_it_changed(rig: Rig) -> None:
    found, key = await completed(rig)
    assert await rig.redis.keys("*") == [key.encode()]
    assert msgspec.json.decode(await rig.redis.get(key))["status"] == "completed"
    assert 0 < await rig.redis.ttl(key) <= LIVES_SECONDS
    await rig.apply(await rig.delivery(refund=refund(7)))
    assert msgspec.json.decode(await rig.redis.get(key))["status"] == "reversed"
    assert (await rig.service.referral("acme", found.referral_id)).status == "reversed"


async def test_what_is_emptied_is_filled_again_by_a_read(rig: Rig) -> None:
    found, key = await completed(rig)
    await rig.redis.flushall()
    assert await rig.service.referral("acme", found.referral_id) == found
    assert await rig.redis.exists(key)
    await rig.sql("DELETE FROM referrals.referrals")
    assert await rig.service.referral("acme", found.referral_id) == found, "read from Redis this time"
    await rig.redis.flushall()
    with pytest.raises(NotFound):
        await rig.service.referral("acme", found.referral_id)


async def test_a_slow_reader_does_not_put_back_what_has_changed(rig: Rig) -> None:
    before, key = await completed(rig)
    await rig.apply(await rig.delivery(refund=refund(7)))
    await rig.cache.put([before])
    assert msgspec.json.decode(await rig.redis.get(key))["status"] == "reversed"


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b"7", b'{"version": "x"}', b'{"version": null}', b"\xff"])
async def test_rubbish_in_redis_is_read_around_and_replaced(rig: Rig, rubbish: bytes) -> None:
    found, key = await completed(rig)
    await rig.redis.set(key, rubbish)
    assert await rig.service.referral("acme", found.referral_id) == found
    assert msgspec.json.decode(await rig.redis.get(key))["status"] == "completed"


async def test_another_merchant_does_not_find_it(rig: Rig) -> None:
    await rig.add_merchant("globex")
    found, _ = await completed(rig)
    with pytest.raises(NotFound):
        await rig.service.referral("globex", found.referral_id)


async def test_redis_may_be_away(rig: Rig) -> None:
    away = Rig(rig.database, rig.address, Redis.from_url("redis://127.0.0.1:9"), rig.clock, keys=rig.keys)
    found, _ = await completed(away)
    assert await away.service.referral("acme", found.referral_id) == found
    await away.apply(await away.delivery(refund=refund(7)))
    assert (await away.service.referral("acme", found.referral_id)).status == "reversed"
    await away.redis.aclose()


async def test_a_redis_that_hangs_is_left_alone_for_a_while(rig: Rig) -> None:
    found, _ = await completed(rig)
    connections = 0

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await asyncio.sleep(3600)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    hanging = Redis.from_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    cache = StatusCache(hanging, breaker=Breaker(pause=3600))
    service = ReferralsService(rig.database, rig.outbox, rig.projection, cache, rig.clock)
    for _ in range(3):
        assert await service.referral("acme", found.referral_id) == found
    assert connections == 1
    server.close()
    await hanging.aclose()
