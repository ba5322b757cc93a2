"""A little service of one table, counters per (merchant, key), and ways to disturb what it stands on."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import pytest
import structlog

from loyalnest.kit import logs
from loyalnest.kit.bus import EventBus
from loyalnest.kit.database import Connection, Database, Locks, Pools
from loyalnest.kit.environment import Environment
from loyalnest.kit.events import Event, Payload
from loyalnest.kit.inbox import take_new
from loyalnest.kit.migrations import migrate
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.placement import Placement
from loyalnest.kit.service import Parts, Service
from loyalnest.kit.settings import Settings

COUNTERS = """
from loyalnest.kit.migrations import create_inbox, create_outbox, create_roles, protect, run

revision = "0001"
down_revision = None


def upgrade():
    create_roles("{schema}")
    run('''
        CREATE TABLE {schema}.counters (
            merchant_id text NOT NULL,
            key text NOT NULL,
            value bigint NOT NULL CHECK (value >= 0),
            PRIMARY KEY (merchant_id, key)
        )
    ''')
    protect("{schema}", "counters")
    create_inbox("{schema}")
    create_outbox("{schema}")
"""


class Counted(Payload, frozen=True, kw_only=True):
    """What the counters add up."""

    topic: ClassVar[str] = "counter.asked"

    amount: int = 1


@pytest.fixture
def plain_logs() -> Iterator[None]:
    """Logs as in production. structlog's own default shows every local variable of a traceback, which takes seconds."""
    logs.configure(Settings())
    yield
    structlog.reset_defaults()


def no_parts(_environment: Environment) -> Parts:
    return Parts()


def write_migrations(folder: Path, package: str, files: Mapping[str, str]) -> str:
    """Make `package` with these revisions importable from `folder`, and return its name."""
    versions = folder / package / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (folder / package / "__init__.py").touch()
    for name, source in files.items():
        (versions / name).write_text(source)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return package


def counters_service(folder: Path, schema: str = "counters", **fields: Any) -> Service:
    """The declaration of the service; `schema` is its name."""
    package = write_migrations(folder, f"{schema}_migrations", {"0001_counters.py": COUNTERS.format(schema=schema)})
    declared: dict[str, Any] = {"summary": "Counts.", "build": no_parts, "consumes": (Counted.topic,)}
    return Service(name=schema, migrations=package, **(declared | fields))


@dataclass
class Counters:
    """One process's counters. The hooks run before a batch's transaction, and in it when everything is written."""

    url: str
    pools: Pools
    database: Database
    locks: Locks
    outbox: Outbox
    batches: list[list[Event]] = field(default_factory=list)
    before: Callable[[Sequence[Event]], Awaitable[None]] | None = None
    within: Callable[[Sequence[Event], Connection], Awaitable[None]] | None = None

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply a batch of `counter.asked`."""
        self.batches.append(list(events))
        if self.before is not None:
            await self.before(events)
        schema = self.database.schema
        async with self.database.worker() as connection:
            new = await take_new(connection, schema, events)
            await connection.execute(
                f"""
                INSERT INTO {schema}.counters AS c (merchant_id, key, value)
                SELECT n.merchant_id, n.key, sum(n.amount)
                FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(merchant_id, key, amount)
                GROUP BY n.merchant_id, n.key ORDER BY n.merchant_id, n.key
                ON CONFLICT (merchant_id, key) DO UPDATE SET value = c.value + excluded.value
                """,
                [event.merchant_id for event in new],
                [event.key for event in new],
                [Counted.read(event).amount for event in new],
            )
            if self.within is not None:
                await self.within(events, connection)

    async def values(self) -> dict[tuple[str, str], int]:
        """Every counter."""
        rows = await self.sql(f"SELECT merchant_id, key, value FROM {self.database.schema}.counters")
        return {(row["merchant_id"], row["key"]): row["value"] for row in rows}

    async def total(self) -> int:
        return sum((await self.values()).values())

    async def write(self, events: Sequence[Event]) -> None:
        """Put events into the outbox in a transaction of their own."""
        async with self.database.worker() as connection:
            await self.outbox.append(connection, events)

    async def waiting(self) -> int:
        """How many events are in the outbox."""
        rows = await self.sql(f"SELECT count(*) FROM {self.database.schema}.outbox")
        count: int = rows[0][0]
        return count

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        async with self.database.session() as session:
            return await session.fetch(statement, *arguments)


@asynccontextmanager
async def counters(url: str, schema: str = "counters", connections: int = 8) -> AsyncIterator[Counters]:
    """A process of the service on a migrated database."""
    pools = Pools(connections)
    try:
        yield await in_process(pools, url, schema)
    finally:
        await pools.close()


async def in_process(pools: Pools, url: str, schema: str = "counters") -> Counters:
    """The service in a process that has these pools."""
    return Counters(url, pools, Database(await pools.open(url), schema), pools.locks(url), Outbox(schema))


async def migrated(url: str, *services: Service) -> str:
    """Migrate the services; returns `url`."""
    await migrate(Placement(database_url=url), services)
    return url


def asked(count: int, keys: int = 1, merchant_id: str = "acme", amount: int = 1) -> list[Event]:
    """So many events, spread over `keys` keys."""
    return [Counted(amount=amount).event(merchant_id, f"k{number % keys}") for number in range(count)]


class Tap:
    """A bus before the real one, with which a test can watch publishes, refuse them, and hold them up."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.published: list[Event] = []
        self.attempts = 0
        self.before: Callable[[Sequence[Event]], Awaitable[None]] | None = None
        self.after: Callable[[Sequence[Event]], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, events: Sequence[Event]) -> None:
        self.attempts += 1
        if self.before is not None:
            await self.before(events)
        await self._bus.publish(events)
        self.published += events
        if self.after is not None:
            await self.after(events)


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait until `condition` holds. Returns how long that took; fails after `seconds`."""
    started = time.perf_counter()
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return time.perf_counter() - started
        if time.perf_counter() - started > seconds:
            raise AssertionError(f"not within {seconds} s")
        await asyncio.sleep(0.01)


async def terminate(url: str, where: str) -> int:
    """End the backends of this database of which `where` is true. Returns how many."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity AS a "
            f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND ({where})"
        )
    finally:
        await connection.close()
    return len(rows)


async def everything(bus: EventBus, topic: str) -> list[Event]:
    return [event async for event in bus.read_all(topic)]


def ids(events: Iterable[Event]) -> list[str]:
    return [str(event.id) for event in events]
