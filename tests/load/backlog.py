"""How fast points works off a backlog: the consumer alone, through the full ledger, with fsync on."""

import asyncio
import json
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from loyalnest.api_gateway.events import LineFacts, OrderFacts, Topic, WebhookReceived
from loyalnest.kit import memory
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.database import Database, Pools
from loyalnest.kit.discovery import discover
from loyalnest.kit.embedded.stores import EmbeddedStores
from loyalnest.kit.migrations import migrate
from loyalnest.kit.program import ProgramRules
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.kit.runtime import Runtime

PARTITIONS = 4


async def backlog(orders: int, merchants: int, folder: Path) -> float:
    """Seconds that points takes for `orders` waiting orders of `merchants` merchants, three orders a customer."""
    stores = EmbeddedStores(folder)
    await asyncio.to_thread(stores.start)
    try:
        settings = stores.settings(
            http_port=0, log_level="WARNING", topic_partitions=PARTITIONS, peers={"auth": "127.0.0.1:1"}
        )
        await migrate(settings.placement(), [discover()["points"]])
        await _seed(settings.placement().database_url, merchants)
        await _publish(settings.placement().database_url, orders, merchants)
        process = Runtime(settings, ["points"], listen_grpc=False)
        started = time.perf_counter()
        await process.start()
        memory.settle()
        try:
            while (await process.bus.lag("points", WebhookReceived.topic)).events:  # noqa: ASYNC110 - what is measured is the consumer, by looking
                await asyncio.sleep(0.05)
            return time.perf_counter() - started
        finally:
            await process.stop()
    finally:
        await asyncio.to_thread(stores.stop)


async def _seed(url: str, merchants: int) -> None:
    rule = {"name": "purchase", "trigger": "order", "pointsPerUnit": "10"}
    rules = ProgramRules.from_json(json.dumps({"currency": "USD", "earning": {"expiryDays": 365, "rules": [rule]}}))
    pools = Pools(2)
    try:
        database = Database(await pools.open(url), "points")
        for number in range(merchants):
            async with database.request(f"m{number}") as connection:
                await RulesProjection("points").seed(connection, f"m{number}", rules)
    finally:
        await pools.close()


async def _publish(url: str, orders: int, merchants: int) -> None:
    chance = random.Random(3)
    bus = PostgresBus(url, partitions=PARTITIONS)
    await bus.start()
    await bus.ensure_topics([WebhookReceived.topic])
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for first in range(0, orders, 2000):
        events = []
        for number in range(first, min(orders, first + 2000)):
            customer_id = 7_000_000_000_000 + number // 3
            base = Decimal(chance.randrange(100, 20_000)).scaleb(-2)
            facts = OrderFacts(
                order_id=5_000_000_000_000 + number,
                customer_id=customer_id,
                base=base,
                currency="USD",
                paid=True,
                placed_at=began + timedelta(seconds=number),
                lines=[LineFacts(line_id=number * 2 + n, quantity=1, base=base / 2) for n in (1, 2)],
            )
            payload = WebhookReceived(
                delivery_id=f"d{number}", shopify_topic=Topic.ORDERS_CREATE, order=facts, sealed=b"x" * 300
            )
            events.append(payload.event(f"m{number // 3 % merchants}", str(customer_id)))
        await bus.publish(events)
    await bus.stop()


def measure(orders: int, merchants: int) -> float:
    """Orders a second, on servers of its own in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="loyalnest-bench-", ignore_cleanup_errors=True) as folder:
        return orders / asyncio.run(backlog(orders, merchants, Path(folder)))
