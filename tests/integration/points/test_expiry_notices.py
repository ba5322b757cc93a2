"""Announcing points that will run out: once for each lot, one event for a customer's day, in the morning."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fixtures.mortal import killed_before_each_statement, until_death
from integration.points.support import START, Points, delivery, order, refund
from loyalnest.kit.database import Database
from loyalnest.kit.program import ProgramRules
from loyalnest.points import notices
from loyalnest.points.notices import ExpiryNotices


def job(points: Points, database: Database | None = None) -> ExpiryNotices:
    return ExpiryNotices(database or points.database, points.outbox, points.clock)


async def told(points: Points) -> list[tuple[int, int, datetime]]:
    return [
        (each["customer_id"], each["points"], datetime.fromisoformat(each["expires_at"]))
        for each in await points.told("points.expiring")
    ]


async def test_a_lot_is_told_of_once_fourteen_days_ahead_in_the_morning(points: Points) -> None:
    await points.add_merchant("year", expiryDays=365)
    await points.earn(120, merchant_id="year")
    expires_at = START + timedelta(days=365)
    points.clock.now = expires_at - timedelta(days=14) + timedelta(hours=8, minutes=59)
    assert await job(points).run() == 0
    points.clock.advance(minutes=1)
    assert await job(points).run() == 1
    assert await told(points) == [(1, 120, expires_at)]
    points.clock.advance(days=1)
    assert await job(points).run() == 0


async def test_lots_of_one_customer_and_day_are_told_together(points: Points) -> None:
    await points.add_merchant("year", expiryDays=365)
    for hours, amount in ((0, 10), (5, 20), (23, 40), (24, 80)):  # the last one is of the day after
        points.clock.now = START + timedelta(hours=hours)
        await points.earn(amount, merchant_id="year")
    await points.earn(7, customer_id=2, merchant_id="year")
    points.clock.now = START + timedelta(days=351, hours=9)
    assert await job(points).run() == 1
    points.clock.advance(days=1)
    assert await job(points).run() == 2
    assert [(customer, amount) for customer, amount, _ in await told(points)] == [(1, 70), (1, 80), (2, 7)]


async def test_short_lived_points_are_told_of_at_half_of_their_life(points: Points) -> None:
    await points.add_merchant("short", expiryDays=7)
    await points.earn(50, merchant_id="short")
    points.clock.now = START + timedelta(days=4, hours=8)
    assert await job(points).run() == 0
    points.clock.advance(hours=1)
    assert await job(points).run() == 1


async def test_what_is_spent_expired_pending_or_lasts_for_ever_is_not_told(points: Points) -> None:
    await points.earn(10)  # acme's points never expire
    await points.add_merchant("late", expiryDays=20, approvalDays=100)
    await points.earn(11, merchant_id="late")
    await points.add_merchant("short", expiryDays=20)
    spent = await points.earn(12, 1, "short")
    await points.apply(delivery("short", refund=refund(order_id=spent, base="12")))
    await points.earn(13, 2, "short")
    points.clock.advance(days=20)  # the job was away all the time
    assert await job(points).run() == 0
    assert await told(points) == []


async def test_the_day_and_the_hour_are_of_the_merchants_time_zone(points: Points) -> None:
    async def add(merchant_id: str, zone: str) -> None:
        document: dict[str, Any] = {
            "earning": {"expiryDays": 100, "rules": [{"name": "p", "trigger": "order", "pointsPerUnit": "1"}]},
            "rfm": {"timezone": zone},
        }
        async with points.database.request(merchant_id) as connection:
            await points.rules.seed(connection, merchant_id, ProgramRules.model_validate(document))

    await add("tokyo", "Asia/Tokyo")
    await add("angeles", "America/Los_Angeles")
    points.clock.now = datetime(2026, 1, 1, 20, tzinfo=UTC)  # the 2nd in Tokyo, still the 1st in Los Angeles
    for merchant_id in ("tokyo", "angeles"):
        await points.earn(5, merchant_id=merchant_id)
    morning = {"tokyo": datetime(2026, 3, 29, 0, tzinfo=UTC), "angeles": datetime(2026, 3, 28, 16, tzinfo=UTC)}
    for merchant_id, expected in sorted(morning.items(), key=lambda each: each[1]):
        points.clock.now = expected - timedelta(minutes=1)
        assert await job(points).run() == 0, merchant_id
        points.clock.now = expected
        assert await job(points).run() == 1, merchant_id


async def test_many_customers_go_in_several_transactions(points: Points, monkeypatch: Any) -> None:
    monkeypatch.setattr(notices, "CUSTOMERS", 3)
    await points.add_merchant("year", expiryDays=365)
    await points.apply(*[delivery("year", order=order(n, n, 10)) for n in range(1, 8)])
    points.clock.now = START + timedelta(days=352)
    assert await job(points).run() == 7
    assert sorted(customer for customer, _, _ in await told(points)) == list(range(1, 8))


async def test_redacted_customers_are_not_told_of(points: Points) -> None:
    await points.add_merchant("year", expiryDays=365)
    await points.earn(10, merchant_id="year")
    await points.sql("UPDATE points.lots SET customer_id = -5 WHERE merchant_id = 'year'")
    points.clock.now = START + timedelta(days=352)
    assert await job(points).run() == 0


async def test_a_lot_that_a_batch_holds_is_told_of_the_next_time(points: Points) -> None:
    await points.add_merchant("year", expiryDays=365)
    await points.earn(10, merchant_id="year")
    points.clock.now = START + timedelta(days=352)
    async with points.database.worker() as connection:
        await connection.execute("SELECT FROM points.lots FOR UPDATE")
        assert await job(points).run() == 0
    assert await job(points).run() == 1


async def test_killed_anywhere_each_is_told_of_once(points: Points) -> None:
    await points.add_merchant("year", expiryDays=365)
    kills = 0
    async for database in killed_before_each_statement(points.database, points.url):
        kills += 1
        points.clock.now = START
        await points.earn(10, customer_id=kills, merchant_id="year")
        points.clock.now = START + timedelta(days=352)
        await until_death(job(points, database).run)
        await job(points).run()
        assert [customer for customer, _, _ in await told(points)] == list(range(1, kills + 1))
    assert kills > 2
