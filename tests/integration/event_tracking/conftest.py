"""One migrated database for these tests, emptied before each, and the stand-ins of providers."""

from collections.abc import AsyncIterator, Iterator

import pytest

from integration.event_tracking.providers import HttpProviders, SmtpServer
from integration.event_tracking.receiver import Receiver
from integration.event_tracking.support import EventTracking, open_event_tracking
from loyalnest.event_tracking.manifest import SERVICE
from loyalnest.kit.database import Pools
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.migrations import migrate
from loyalnest.kit.placement import Placement

DATABASE = "event_tracking_tests"
EMPTY = """
    DO $$ DECLARE tables text; BEGIN
        SELECT string_agg(c.oid::regclass::text, ', ') INTO tables FROM pg_class c
        WHERE c.relnamespace = 'event_tracking'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version';
        EXECUTE 'TRUNCATE ' || tables;
    END $$
"""


@pytest.fixture(scope="session")
def event_tracking_database(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database for these tests."""
    postgres_server.create_database_if_missing(DATABASE)
    yield postgres_server.url(DATABASE)
    postgres_server.drop_database(DATABASE)


@pytest.fixture(scope="session")
async def migrated(event_tracking_database: str) -> str:
    """The same with the schema."""
    await migrate(Placement(database_url=event_tracking_database), [SERVICE])
    return event_tracking_database


@pytest.fixture
async def tracking(migrated: str) -> AsyncIterator[EventTracking]:
    """The service on empty tables."""
    pools = Pools(24)
    opened = await open_event_tracking(migrated, pools)
    await opened.sql(EMPTY)
    yield opened
    for handler in opened.closing:
        await handler.close()
    await pools.close()


@pytest.fixture
async def providers() -> AsyncIterator[HttpProviders]:
    """The HTTP providers, without memory."""
    server = HttpProviders()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    """The SMTP server, without memory."""
    server = SmtpServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A merchant's server that has got nothing yet."""
    server = Receiver()
    await server.start()
    yield server
    await server.stop()
