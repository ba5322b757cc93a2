"""Redemptions and adjustments at the same moment."""

import asyncio
from collections import Counter

from integration.points.support import Points, delivery, order, refund
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import Conflict, PreconditionFailed
from loyalnest.points.discounts import Issued, Refused
from loyalnest.points.redemption_repository import Redemption


async def redeem(points: Points, key: str, customer_id: int = 1) -> Redemption | str:
    """A redemption, tried again after a lost race as a channel does; or the name of the refusal."""
    while True:
        try:
            return await points.redemptions.redeem("acme", customer_id, "five-off", key)
        except OUTAGES:
            continue
        except (PreconditionFailed, Conflict) as refusal:
            return type(refusal).__name__


async def test_ten_at_once_with_points_for_three_make_three(points: Points) -> None:
    await points.earn(399)
    made = await asyncio.gather(*(redeem(points, f"key {number}") for number in range(10)))
    assert sum(isinstance(each, Redemption) for each in made) == 3
    assert made.count("PreconditionFailed") == 7
    assert await points.balances("acme") == (99, 0, 0, 0)
    assert await points.problems() == []


async def test_one_key_at_once_makes_one_redemption(points: Points) -> None:
    await points.earn(1000)
    made = await asyncio.gather(*(redeem(points, "key") for _ in range(10)))
    assert len({each.redemption_id for each in made if isinstance(each, Redemption)}) == 1
    assert await points.balances("acme") == (900, 0, 0, 0)
    assert len(await points.told("points.redeemed")) == 1
    assert await points.problems() == []


async def test_one_key_at_once_for_two_customers_goes_to_one(points: Points) -> None:
    for number in range(10):
        for customer_id in (1, 2):
            await points.earn(100, customer_id)
        made = await asyncio.gather(*(redeem(points, f"key {number}", customer_id) for customer_id in (1, 2)))
        assert Counter(isinstance(each, Redemption) for each in made) == {True: 1, False: 1}
        assert "Conflict" in made


async def test_two_outcomes_of_one_redemption_count_once(points: Points) -> None:
    """The caller comes again while the job is at it, and Shopify's answers differ: the first that is noted stands."""
    await points.earn(100)
    points.issuer.answers = [TimeoutError(), Issued(by="shopify"), Refused("taken"), Issued(by="local")]
    await redeem(points, "key")
    points.clock.advance(minutes=1)
    await asyncio.gather(points.redemptions.finish_left_held(), redeem(points, "key"), redeem(points, "key"))
    (row,) = await points.sql("SELECT status FROM points.reward_redemptions")
    assert await points.balances("acme") == ((0, 0, 0, 0) if row["status"] == "issued" else (100, 0, 0, 0))
    assert await points.problems() == []


async def test_one_cancellation_at_once_returns_the_points_once(points: Points) -> None:
    await points.earn(100)
    done = await redeem(points, "key")
    assert isinstance(done, Redemption)
    await asyncio.gather(*(points.redemptions.cancel("acme", done.redemption_id, "twice") for _ in range(5)))
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert await points.problems() == []


async def test_redemptions_orders_and_refunds_at_once_lose_nothing(points: Points) -> None:
    await points.earn(500)
    await asyncio.gather(
        *(redeem(points, f"key {number}") for number in range(5)),
        *(points.apply(delivery(order=order(number, base="10"))) for number in range(1, 20)),
        *(points.apply(delivery(refund=refund(number, number, base="10"))) for number in range(1, 20)),
    )
    available, _, held, debt = await points.balances("acme")
    assert (available - debt, held) == (0, 0)
    assert await points.problems() == []


async def test_one_adjustment_at_once_is_made_once(points: Points) -> None:
    async def adjust() -> None:
        while True:
            try:
                await points.service.adjust("acme", 1, 70, "sorry", "key")
            except OUTAGES:
                continue
            return

    await asyncio.gather(*(adjust() for _ in range(10)))
    assert await points.balances("acme") == (70, 0, 0, 0)
    assert len(await points.told("audit_log")) == 1
