"""Approval and expiry: the passage of time."""

import asyncio

import pytest

from integration.points.mortal import killed_before_each_statement
from integration.points.support import Points, delivery, new_number, order, refund
from loyalnest.points import jobs


async def test_points_wait_for_the_approval_period(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=14)
    await points.earn(80, merchant_id="slow")
    assert await points.balances("slow") == (0, 80, 0, 0)
    points.clock.advance(days=13, hours=23)
    assert await points.jobs.approve() == 0
    points.clock.advance(hours=1)
    assert await points.jobs.approve() == 1
    assert await points.jobs.approve() == 0
    assert await points.balances("slow") == (80, 0, 0, 0)
    assert await points.problems("slow") == []


async def test_a_refund_while_pending_takes_pending_points(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=14)
    order_id = await points.earn(80, merchant_id="slow")
    await points.apply(delivery("slow", refund=refund(order_id=order_id, base="80")))
    assert await points.balances("slow") == (0, 0, 0, 0)
    points.clock.advance(days=14)
    assert await points.jobs.approve() == 0


async def test_approved_points_pay_a_debt_first(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=1)
    first = await points.earn(100, merchant_id="slow")
    points.clock.advance(days=1)
    await points.jobs.approve()
    await points.redemptions.redeem("slow", 1, "five-off", "key")
    await points.apply(delivery("slow", refund=refund(order_id=first, base="100")))
    await points.earn(130, merchant_id="slow")
    assert await points.balances("slow") == (0, 130, 0, 100)
    points.clock.advance(days=1)
    await points.jobs.approve()
    assert await points.balances("slow") == (30, 0, 0, 0)
    assert await points.problems("slow") == []


async def test_points_expire_by_lot_counted_from_when_they_were_available(points: Points) -> None:
    await points.add_merchant("short", approvalDays=2, expiryDays=10)
    await points.earn(30, merchant_id="short")
    points.clock.advance(days=5)
    await points.jobs.approve()
    await points.earn(50, merchant_id="short")
    points.clock.advance(days=7)  # day 12: the first lot's day
    assert await points.jobs.approve() == 1
    assert await points.jobs.expire() == 1
    assert await points.balances("short") == (50, 0, 0, 0)
    points.clock.advance(days=5)
    assert await points.jobs.expire() == 1
    assert await points.balances("short") == (0, 0, 0, 0)
    assert await points.problems("short") == []


async def test_what_a_refund_takes_of_an_expired_lot_is_no_debt(points: Points) -> None:
    await points.add_merchant("short", expiryDays=10)
    order_id = await points.earn(30, merchant_id="short")
    points.clock.advance(days=10)
    await points.jobs.expire()
    await points.earn(50, merchant_id="short")
    await points.apply(delivery("short", refund=refund(order_id=order_id, base="30")))
    assert await points.balances("short") == (50, 0, 0, 0)
    assert await points.problems("short") == []


async def test_lots_of_one_merchant_end_by_the_rules_they_were_made_with(points: Points) -> None:
    await points.earn(10)  # never expires
    points.clock.advance(days=10_000)
    assert await points.jobs.expire() == 0
    assert await points.balances("acme") == (10, 0, 0, 0)


async def test_more_lots_than_one_batch_takes(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "BATCH", 7)
    for merchant in ("slow", "slower"):
        await points.add_merchant(merchant, approvalDays=1, expiryDays=1)
        await points.apply(*(delivery(merchant, order=order(new_number(), n % 9, 5)) for n in range(1, 25)))
    points.clock.advance(days=1)
    assert await points.jobs.approve() == 48
    points.clock.advance(days=1)
    assert await points.jobs.expire() == 48
    assert [await points.problems(merchant) for merchant in ("slow", "slower")] == [[], []]


async def test_jobs_and_orders_at_once_lose_nothing(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=1)
    await points.apply(*(delivery("slow", order=order(new_number(), n, 5)) for n in range(1, 20)))
    points.clock.advance(days=1)
    await asyncio.gather(
        points.jobs.approve(),
        points.jobs.approve(),
        *(points.apply(delivery("slow", order=order(new_number(), n, 7))) for n in range(1, 20)),
    )
    assert {await points.balances("slow", n) for n in range(1, 20)} == {(5, 7, 0, 0)}
    assert await points.problems("slow") == []


async def test_a_job_that_is_killed_anywhere_is_finished_by_the_next_run(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=1, expiryDays=1)
    kills = 0
    async for victim in killed_before_each_statement(points):
        kills += 1
        await points.apply(*(delivery("slow", order=order(new_number(), kills * 10 + n, 5)) for n in range(3)))
        points.clock.advance(days=1)
        await victim.run(victim.jobs.approve)
        await points.jobs.approve()
        assert {await points.balances("slow", kills * 10 + n) for n in range(3)} == {(5, 0, 0, 0)}
        points.clock.advance(days=1)
        await points.jobs.expire()
    assert kills > 5
    assert await points.problems("slow") == []
    assert len(await points.told("points.expired")) == kills * 3
