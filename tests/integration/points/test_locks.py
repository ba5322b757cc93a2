"""Two batches that touch one row: the second waits for the first and goes on from what it left."""

import asyncio
from collections.abc import Sequence

import pytest

from integration.points.support import Points, delivery, new_number, order, refund
from loyalnest.kit.database import Connection
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox


class SlowOutbox(Outbox):
    """Stops every transaction at its end, before it commits, until it may go on."""

    def __init__(self) -> None:
        super().__init__("points")
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def append(self, connection: Connection, events: Sequence[Event]) -> None:
        await super().append(connection, events)
        self.reached.set()
        await self.go_on.wait()


async def one_inside_the_other(points: Points, first: Event, second: Event) -> None:
    """Handle `second` while `first` is all done but not committed."""
    slow = SlowOutbox()
    other = Points(points.database, points.url, points.clock, outbox=slow)
    leading = asyncio.create_task(other.apply(first))
    await asyncio.wait_for(slow.reached.wait(), 10)
    following = asyncio.create_task(points.apply(second))
    done, _ = await asyncio.wait([following], timeout=0.2)
    slow.go_on.set()
    await asyncio.gather(leading, following)
    assert not done, "the second did not wait for the first"


@pytest.mark.parametrize("known", [True, False])
async def test_two_orders_of_one_customer_both_count(points: Points, known: bool) -> None:
    if known:
        await points.earn(10)
    orders = [delivery(order=order(new_number(), base="100")) for _ in range(2)]
    await one_inside_the_other(points, *orders)
    assert await points.balances("acme") == (210 if known else 200, 0, 0, 0)
    assert await points.problems() == []


@pytest.mark.parametrize("known", [True, False])
async def test_two_refunds_of_one_order_both_count(points: Points, known: bool) -> None:
    if known:
        await points.apply(delivery(order=order(base="100.5")))
    # Neither costs a point by itself, so that nothing but the lock on the award stands between them.
    await one_inside_the_other(points, delivery(refund=refund(1, base="0.3")), delivery(refund=refund(2, base="0.1")))
    await points.apply(delivery(order=order(base="100.5")))
    assert (await points.service.award("acme", 1))["refunded_base"] * 10 == 4
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert await points.problems() == []


async def test_the_same_refund_alone_and_inside_the_order_counts_once(points: Points) -> None:
    alone, inside = delivery(refund=refund(base="30")), delivery(order=order(refunds=[refund(base="30")]))
    await one_inside_the_other(points, alone, inside)
    assert await points.balances("acme") == (70, 0, 0, 0)
    assert await points.problems() == []


async def test_the_same_delivery_counts_once(points: Points) -> None:
    event = delivery(order=order())
    await one_inside_the_other(points, event, event)
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert len(await points.told("points.earned")) == 1
