"""A migrated database for each test of rfm."""

from collections.abc import AsyncIterator

import pytest

from integration.rfm.support import Rig
from loyalnest.kit.database import Database, Pools
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement
from loyalnest.rfm.manifest import SERVICE


@pytest.fixture
async def rig(database_url: str) -> AsyncIterator[Rig]:
    await migrate(Placement(database_url), [SERVICE])
    pools = Pools(8)
    yield Rig(Database(await pools.open(database_url), "rfm"))
    await pools.close()
