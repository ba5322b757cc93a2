"""A migrated database with the merchants acme and globex, and auth in a process."""

from collections.abc import AsyncIterator, Callable

import pytest

from integration.auth.support import CALLBACK, Process, program
from loyalnest.auth.manifest import SERVICE
from loyalnest.kit.database import Database, Pools
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement
from shopify.server import ACME, GLOBEX, ShopifyServer

Start = Callable[..., Process]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(Placement(database_url), [SERVICE])
    pools = Pools(8)
    yield Database(await pools.open(database_url), "auth")
    await pools.close()


@pytest.fixture
async def start(database: Database, shopify: ShopifyServer) -> AsyncIterator[Start]:
    """Starts a process on the test's database."""
    started: list[Process] = []

    def one(**options: str) -> Process:
        started.append(Process(database, shopify, **options))
        return started[-1]

    yield one
    for each in started:
        await each.close()


@pytest.fixture
async def auth(start: Start, shopify: ShopifyServer) -> Process:
    for shop in (ACME, GLOBEX):
        shopify.shop(shop).app.redirect_uris.append(CALLBACK)
    process = start()
    await process.provision(program(shopify, "acme"))
    await process.provision(program(shopify, "globex"))
    return process
