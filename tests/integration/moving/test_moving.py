"""A merchant moves between two places while its orders go on arriving: nothing is lost, nothing counts twice."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from integration.moving.place import PATIENCE_SECONDS, Place, every, place
from loyalnest.api_gateway import merchants
from loyalnest.campaign.events import TierChanged
from loyalnest.cli.moving import close_merchant, erase_closed, forward_merchant, move_merchant
from loyalnest.kit.database import Connection
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.errors import Conflict, Unavailable
from loyalnest.kit.moving import erasing
from loyalnest.kit.moving.copying import copy_merchant
from loyalnest.kit.moving.tables import Table
from shopify import bodies

QUIET = 0.5
"""Shorter than gateways go by what they know, so that some deliveries come late and have to be forwarded."""


@pytest.fixture
async def places(
    postgres_server: EmbeddedPostgres, kafka_brokers: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Place, Place]]:
    monkeypatch.setattr(merchants, "KNOWN_SECONDS", 2.0)
    admin = postgres_server.url("postgres")
    async with place(admin, kafka_brokers, redis_url) as pool, place(admin, kafka_brokers, redis_url) as own:
        yield pool, own


@dataclass
class Shop:
    """Sends a merchant's orders to where its gateway is, and each again until it is taken, as Shopify does."""

    merchant: str
    at: Place
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    _stopping: bool = False

    async def send(self) -> None:
        """One order by one of a few customers."""
        order = bodies.order(customer=bodies.customer(7_000 + len(self.taken) % 5))
        await self.deliver(order, str(uuid.uuid4()))

    async def deliver(self, order: dict[str, Any], delivery_id: str) -> None:
        """Until it is taken."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                status = await self.at.deliver(self.merchant, order, delivery_id, "orders/create")
                self.answers[status] += 1
                if status == 200:
                    self.taken[delivery_id] = order
                    return
                assert status == 503, status
                await asyncio.sleep(0.05)

    async def go_on(self) -> None:
        """Send orders until `stop`, from two places at once."""

        async def sender() -> None:
            while not self._stopping:
                await self.send()
                await asyncio.sleep(0.01)

        await asyncio.gather(sender(), sender())

    def stop(self) -> None:
        """End after the orders under way."""
        self._stopping = True

    def restart(self) -> None:
        """Let `go_on` be called again."""
        self._stopping = False


COUNTS = """
SELECT (SELECT count(*) FROM points.order_awards WHERE merchant_id = $1 AND order_id = ANY($2::bigint[])),
       (SELECT count(*) FROM points.order_awards WHERE merchant_id = $1),
       (SELECT count(*) FROM points.points_transactions WHERE merchant_id = $1 AND kind = 'accrual'),
       (SELECT count(*) FROM rfm.orders WHERE merchant_id = $1),
       (SELECT coalesce(sum(orders), 0)::bigint FROM rfm.customers WHERE merchant_id = $1)
"""


async def is_whole(where: Place, shop: Shop) -> None:
    """Every order that was taken is there, or comes, and is there once in each service; the ledger is proven."""
    orders = sorted({order["id"] for order in shop.taken.values()})
    assert len(orders) == len(shop.taken)
    found: tuple[int, ...] = ()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while found != (len(orders),) * 5:
            found = (await where.sql(COUNTS, shop.merchant, orders))[0]
            assert max(found) <= len(orders)
            await asyncio.sleep(0.1)
    assert await where.problems(shop.merchant) == []


async def move(here: Place, there: Place, shop: Shop) -> int:
    """Move a merchant whose orders go on arriving; returns the events that had to be sent after it."""
    shop.restart()
    sending = asyncio.create_task(shop.go_on())
    await asyncio.sleep(0.5)
    copied = await move_merchant(here.settings, there.settings, shop.merchant, QUIET, PATIENCE_SECONDS)
    assert sum(each.rows for each in copied) > 100
    if there.runtime is None:
        await there.start(shop.merchant)
    else:
        await there.provision(shop.merchant)
    before = len(shop.taken)
    shop.at = there
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(shop.taken) < before + 20:  # noqa: ASYNC110 - what is awaited happens in a server
            await asyncio.sleep(0.05)
    forwarded = await forward_merchant(here.settings, there.settings, shop.merchant, QUIET)
    shop.stop()
    await sending
    return forwarded


async def test_there_and_back_with_orders_arriving(places: tuple[Place, Place]) -> None:
    pool, own = places
    await pool.start("acme", "brew")
    acme, brew = Shop("acme", pool), Shop("brew", pool)
    for shop in (acme, brew):
        for _ in range(20):
            await shop.send()
    neighbour = asyncio.create_task(brew.go_on())

    forwarded = await move(pool, own, acme)
    assert acme.answers[503] > 0
    await is_whole(own, acme)
    assert forwarded > 0
    for delivery_id, order in list(acme.taken.items())[:5]:  # what Shopify repeats is known in the new place
        await acme.deliver(order, delivery_id)

    gone = await erase_closed(pool.settings, "acme", QUIET, PATIENCE_SECONDS)
    assert gone["points.points_transactions"] > 20
    assert await pool.counts("acme") == {}
    assert await erase_closed(pool.settings, "acme", QUIET, PATIENCE_SECONDS) == {}
    brew.stop()
    await neighbour
    await is_whole(pool, brew)
    assert set(acme.answers) == {200, 503}
    assert set(brew.answers) == {200}

    await own.settle()
    await is_whole(own, acme)
    await move(own, pool, acme)
    await pool.settle()
    await is_whole(pool, acme)
    await is_whole(pool, brew)
    assert set(acme.answers) == {200, 503}


async def test_what_a_gateway_takes_too_late_is_sent_after(
    places: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merchants, "KNOWN_SECONDS", 3600.0)  # as if it could never ask auth again
    pool, own = places
    await pool.start("acme")
    acme = Shop("acme", pool)
    for _ in range(5):
        await acme.send()
    await pool.publish("acme", TierChanged.topic)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await pool.dead_letters():  # noqa: ASYNC110 - what is awaited happens in a server
            await asyncio.sleep(0.1)
    await move_merchant(pool.settings, own.settings, "acme", QUIET, PATIENCE_SECONDS)
    for _ in range(5):
        await acme.send()
    assert set(acme.answers) == {200}
    await is_whole(pool, acme)  # applied where nobody looks any more
    await own.start("acme")
    for _ in range(2):
        await forward_merchant(pool.settings, own.settings, "acme", QUIET)
    await is_whole(own, acme)
    assert set(await own.dead_letters()) == set(await pool.dead_letters())
    with pytest.raises(Conflict, match="open in the place"):
        await move_merchant(pool.settings, own.settings, "acme", QUIET, PATIENCE_SECONDS)
    await is_whole(own, acme)


async def test_what_stays_under_way_is_named_and_nothing_moves(places: tuple[Place, Place]) -> None:
    pool, own = places
    await pool.start("acme")
    acme = Shop("acme", pool)
    await acme.send()
    await pool.settle()
    await pool.stop()
    await pool.publish("acme", TierChanged.topic)
    with pytest.raises(Unavailable, match=r"1 events of tier.changed. See whether every service"):
        await move_merchant(pool.settings, own.settings, "acme", QUIET, 1.0)
    assert await own.counts("acme") == {}
    await pool.start("acme")  # provisioned anew, it goes on as before
    await acme.send()
    await is_whole(pool, acme)


async def test_what_breaks_off_in_the_middle_is_done_again(
    places: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, own = places
    await pool.start("acme")
    acme = Shop("acme", pool)
    for _ in range(5):
        await acme.send()
    await is_whole(pool, acme)
    await pool.settle()
    await close_merchant(pool.settings, "acme", QUIET)
    last = next(each.name for each in reversed(every()) if each.migrations)

    async def nothing(_service: str, _connection: Connection) -> None:
        """Neither looks nor changes."""

    async def breaks(service: str, connection: Connection) -> None:
        if service == last:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await own.sql("SELECT pg_terminate_backend($1, 5000)", pid)

    async def settled() -> str:
        return ""

    with pytest.raises(Unavailable):
        await copy_merchant(
            pool.settings.placement(),
            own.settings.placement(),
            every(),
            "acme",
            settled=settled,
            before=nothing,
            after=breaks,
        )
    assert await own.counts("acme") == {}
    for _ in range(2):  # also over what is there already
        await move_merchant(pool.settings, own.settings, "acme", QUIET, PATIENCE_SECONDS)
    assert await own.counts("acme") == await pool.counts("acme")

    monkeypatch.setattr(erasing, "CHUNK", 2)
    erase_chunk, left = erasing._erase_chunk, iter(range(20))

    async def breaks_off(connection: Connection, table: Table, merchant: str) -> int:
        if next(left, None) is None:
            raise Unavailable("gone")
        return await erase_chunk(connection, table, merchant)

    before = await pool.counts("acme")
    monkeypatch.setattr(erasing, "_erase_chunk", breaks_off)
    with pytest.raises(Unavailable, match="gone"):
        await erase_closed(pool.settings, "acme", QUIET, PATIENCE_SECONDS)
    monkeypatch.setattr(erasing, "_erase_chunk", erase_chunk)
    between = await pool.counts("acme")
    assert 0 < sum(between.values()) < sum(before.values())
    assert "auth.merchants" in between  # it stays closed to the end
    await erase_closed(pool.settings, "acme", QUIET, PATIENCE_SECONDS)
    assert await pool.counts("acme") == {}
