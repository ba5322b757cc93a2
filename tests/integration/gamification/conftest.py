"""A migrated database, a Redis and two merchants for each test of gamification."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from integration.gamification.support import Rig
from loyalnest.gamification.manifest import SERVICE
from loyalnest.kit.database import Database, Pools
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement


@pytest.fixture
async def rig(database_url: str, redis_url: str) -> AsyncIterator[Rig]:
    """`acme` in Berlin and `brew` in UTC, without badges."""
    await migrate(Placement(database_url), [SERVICE])
    pools = Pools(8)
    redis: Redis = Redis.from_url(redis_url)
    rig = Rig(Database(await pools.open(database_url), "gamification"), redis)
    await rig.add_merchant("acme", "Europe/Berlin")
    await rig.add_merchant("brew")
    yield rig
    await redis.aclose()
    await pools.close()
