"""A place where merchants live: a database of its own login, topics, keys, and all services running on them."""

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from pydantic import SecretStr

from loyalnest.cli.admin import ledger_report
from loyalnest.cli.deadletters import kept
from loyalnest.kit import migrations
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.environment import open_bus
from loyalnest.kit.events import Event
from loyalnest.kit.moving.tables import tables_of
from loyalnest.kit.program import Program, load_programs
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.service import Service
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import webhook_signature
from loyalnest_operator import databases, names
from loyalnest_operator.desired.addresses import database_url
from loyalnest_operator.facts import Generated
from loyalnest_operator.generated import OWNER, purposes
from shopify import bodies

DEMO = Path(__file__).parents[3] / "clusters" / "demo"
PATIENCE_SECONDS = 180.0


def program(name: str) -> Program:
    """A demo merchant's program."""
    return next(each for each in load_programs([DEMO]) if each.merchant_id == name)


HERE = ("api_gateway", "auth", "campaign", "core", "points", "products", "rfm")
"""The services of these places: an order's way, and what is peculiar among tables (partitions, numbers that a sequence
gives, views). With all thirteen in four runtimes, hundreds of Kafka's readers would be waited for."""


def every() -> list[Service]:
    """The services, each after those that it needs."""
    found = discover()
    return in_dependency_order(found, HERE)


@dataclass
class Place:
    """`settings` are those of the owner of the tables, who is no superuser. `runtime` runs from `start` to `stop`."""

    name: str
    settings: Settings
    runtime: Runtime | None = None
    http: httpx.AsyncClient | None = field(default=None, repr=False)

    async def start(self, *merchants: str) -> None:
        """Run all services; `merchants` are provisioned."""
        self.runtime = Runtime(
            self.settings, [each.name for each in every()], [program(each) for each in merchants], listen_grpc=False
        )
        await self.runtime.start()
        url = f"http://127.0.0.1:{self.runtime.http_port}"
        self.http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)

    async def stop(self) -> None:
        """Stop what runs."""
        if self.http is not None:
            await self.http.aclose()
        if self.runtime is not None:
            await self.runtime.stop()
        self.http = self.runtime = None

    async def provision(self, *merchants: str) -> None:
        """What the operator's preparation does, beside what runs."""
        process = Runtime(
            self.settings, [each.name for each in every()], [program(each) for each in merchants], listen_grpc=False
        )
        try:
            await process.open()
            await process.provision()
        finally:
            await process.stop()

    async def deliver(self, merchant: str, body: Mapping[str, Any], delivery_id: str, topic: str) -> int:
        """Send one signed delivery; the status."""
        assert self.http is not None
        content = bodies.encode(body)
        answer = await self.http.post(
            f"/webhooks/{topic}",
            content=content,
            headers={
                "X-Shopify-Hmac-Sha256": webhook_signature(f"{merchant}-secret", content),
                "X-Shopify-Shop-Domain": f"{merchant}.myshopify.com",
                "X-Shopify-Webhook-Id": delivery_id,
                "X-Shopify-Topic": topic,
                "Content-Type": "application/json",
            },
        )
        return answer.status_code

    async def settle(self) -> None:
        """Return when nothing waits."""
        assert self.runtime is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.runtime.settled():  # noqa: ASYNC110 - what is awaited happens in a server
                await asyncio.sleep(0.1)

    async def publish(self, merchant: str, topic: str) -> None:
        """Publish an event that nobody can apply."""
        bus = open_bus(self.settings)
        await bus.start()
        try:
            nonsense = Event(
                id=uuid.uuid4(), topic=topic, merchant_id=merchant, key="", payload=b"{", occurred_at=datetime.now(UTC)
            )
            await bus.publish([nonsense])
        finally:
            await bus.stop()

    async def dead_letters(self) -> list[uuid.UUID]:
        """The ids of the events that services gave up on."""
        bus = open_bus(self.settings)
        await bus.start()
        try:
            return [each.original.id for each in await kept(bus, ["points"])]
        finally:
            await bus.stop()

    async def sql(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows, seen by a superuser."""
        connection = await asyncpg.connect(self.superuser)
        try:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    @property
    def superuser(self) -> str:
        """The address for who sees all rows."""
        found = self.settings.database_url.get_secret_value()
        login, at, rest = found.partition("@")
        assert at, found
        return f"postgresql://postgres@{rest}" if login else rest

    async def counts(self, merchant: str) -> dict[str, int]:
        """Rows of a merchant in each table that has any, but for outboxes."""
        found: dict[str, int] = {}
        connection = await asyncpg.connect(self.superuser)
        try:
            for service in every():
                for table in await tables_of(connection, service.name):
                    count = await connection.fetchval(
                        f"SELECT count(*) FROM {table.full} WHERE merchant_id = $1", merchant
                    )
                    if count and table.name != "outbox":
                        found[table.full] = count
        finally:
            await connection.close()
        return found

    async def problems(self, merchant: str) -> Sequence[Any]:
        """What is wrong with a merchant's ledger."""
        assert self.runtime is not None
        return list((await ledger_report(self.runtime, merchant)).problems)


@asynccontextmanager
async def place(admin_url: str, brokers: str, redis_url: str) -> AsyncIterator[Place]:
    """A new place, migrated."""
    name = f"place-{uuid.uuid4().hex[:8]}"
    generated = Generated("", dict.fromkeys(purposes([each.name for each in every()]), "p"))
    await databases.ensure_database(admin_url, name, generated, every())
    settings = Settings(
        bus="kafka",
        database_url=SecretStr(database_url(admin_url, names.login(name, OWNER), "p", names.database(name))),
        redis_url=SecretStr(redis_url),
        redis_prefix=f"{name}:",
        kafka_brokers=brokers,
        topic_prefix=f"{name}.",
        topic_partitions=2,
        encryption_keys=SecretStr(f"{name}:{base64.b64encode(os.urandom(32)).decode()}"),
        http_port=0,
        grpc_port=0,
        drain_seconds=5,
        disabled_services=sorted(set(discover()) - set(HERE)),
    )
    await migrations.migrate(settings.placement(), every())
    found = Place(name, settings)
    try:
        yield found
    finally:
        await found.stop()
        await databases.drop_database(admin_url, name)
