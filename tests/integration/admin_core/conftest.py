"""Migrated databases: for the service alone one that is emptied before each test, for the platform copies of one that
was migrated once. Both are ten times as fast as to migrate.
"""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from integration.admin_core.platform import Platform, running
from integration.admin_core.support import EMPTY, AdminCore, open_admin_core
from loyalnest.admin_core.manifest import SERVICE
from loyalnest.kit.database import Pools
from loyalnest.kit.discovery import discover
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement
from shopify.server import ShopifyServer

TEMPLATE = "admin_core_template"
OWN = "admin_core_tests"


@pytest.fixture(scope="session")
async def migrated(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database with every service's schema and no rows."""
    postgres_server.create_database_if_missing(TEMPLATE)
    await migrate(Placement(database_url=postgres_server.url(TEMPLATE)), discover().values())
    return TEMPLATE


@pytest.fixture
async def url(postgres_server: EmbeddedPostgres, migrated: str) -> AsyncIterator[str]:
    """The address of a migrated database of the test's own."""
    name = f"admin_core_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(postgres_server.url("postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated} STRATEGY file_copy")
    yield postgres_server.url(name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture(scope="session")
async def own_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address of a database with admin_core's schema."""
    postgres_server.create_database_if_missing(OWN)
    await migrate(Placement(database_url=postgres_server.url(OWN)), [SERVICE])
    yield postgres_server.url(OWN)
    postgres_server.drop_database(OWN)


@pytest.fixture
async def admin_core(own_database: str) -> AsyncIterator[AdminCore]:
    """The service's parts alone, on empty tables, with keys in memory."""
    pools = Pools(12)
    opened = await open_admin_core(own_database, pools)
    await opened.sql(EMPTY)
    yield opened
    await pools.close()


@pytest.fixture
def stopped(url: str, redis_url: str, shopify: ShopifyServer) -> Platform:
    """The platform, not started."""
    return Platform(url, redis_url, shopify)


@pytest.fixture
async def platform(stopped: Platform) -> AsyncIterator[Platform]:
    """The platform with all its services."""
    async with running(stopped) as started:
        yield started
