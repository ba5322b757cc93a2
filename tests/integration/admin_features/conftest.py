"""One migrated database for these tests, emptied before each."""

from collections.abc import AsyncIterator, Iterator

import pytest

from integration.admin_features.support import Rig
from loyalnest.admin_features.manifest import SERVICE
from loyalnest.core.manifest import SERVICE as CORE
from loyalnest.kit.database import Pools
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement

DATABASE = "admin_features_tests"
EMPTY = """
    DO $$ DECLARE tables text; BEGIN
        SELECT string_agg(c.oid::regclass::text, ', ') INTO tables FROM pg_class c
        WHERE c.relnamespace IN ('admin_features'::regnamespace, 'core'::regnamespace)
            AND c.relkind = 'r' AND c.relname <> 'alembic_version';
        EXECUTE 'TRUNCATE ' || tables;
    END $$
"""


@pytest.fixture(scope="session")
def admin_features_database(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database for the tests of admin_features."""
    postgres_server.create_database_if_missing(DATABASE)
    yield postgres_server.url(DATABASE)
    postgres_server.drop_database(DATABASE)


@pytest.fixture(scope="session")
async def migrated(admin_features_database: str) -> str:
    """The same with the schemas of core and admin_features."""
    await migrate(Placement(database_url=admin_features_database), [CORE, SERVICE])
    return admin_features_database


@pytest.fixture
async def rig(migrated: str) -> AsyncIterator[Rig]:
    """The service with the real core beside it, and the merchants acme and brew."""
    pools = Pools(12)
    opened = Rig(await pools.open(migrated), migrated)
    await opened.sql(EMPTY)
    for merchant in ("acme", "brew"):
        await opened.add_merchant(merchant)
    yield opened
    await pools.close()
