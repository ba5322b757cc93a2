"""What points tells the other services, and when."""

from datetime import timedelta

from integration.points.support import START, Points, delivery, order, refund
from loyalnest.points.redemption_repository import Redemption


def short(told: dict[str, object], *names: str) -> tuple[object, ...]:
    return tuple(told[name] for name in names)


async def test_an_award_is_told_once_with_the_order_it_is_for(points: Points) -> None:
    await points.add_merchant("slow", rate="2", approvalDays=3)
    paid = order(5, 8, "12.50", placed_at=START - timedelta(days=1))
    await points.apply(delivery("slow", order=paid), delivery("slow", order=paid))
    (told,) = await points.told("points.earned")
    lot = await points.sql("SELECT lot_id FROM points.lots")
    assert told == {
        "customer_id": 8,
        "points": 25,
        "reason": "order",
        "transaction_id": str(lot[0]["lot_id"]),
        "available_at": "2026-01-04T00:00:00Z",
        "order_id": 5,
        "base": "12.50",
        "currency": "USD",
        "placed_at": "2025-12-31T00:00:00Z",
        "products": [],
        "bonus": [],
    }
    (row,) = await points.sql("SELECT merchant_id, key FROM points.outbox")
    assert (row["merchant_id"], row["key"]) == ("slow", "8")


async def test_an_order_that_earns_no_points_is_told_all_the_same(points: Points) -> None:
    await points.apply(delivery(order=order(base="0.40")))
    (told,) = await points.told("points.earned")
    assert short(told, "points", "transaction_id", "base") == (0, None, "0.40")
    assert await points.sql("SELECT 1 FROM points.points_transactions") == []


async def test_a_refund_tells_what_was_taken_and_what_the_order_is_worth_now(points: Points) -> None:
    await points.apply(delivery(order=order(base="10.90")))
    await points.apply(delivery(refund=refund(1, base="0.40")))  # 10.5: no point is lost
    await points.apply(delivery(refund=refund(2, base="4.00")))
    await points.apply(delivery(refund=refund(2, base="4.00")))
    await points.apply(delivery(topic="orders/cancelled", order=order(base="10.90", cancelled=True)))
    told = await points.told("points.clawed_back")
    assert [short(each, "points", "net_base", "cancelled") for each in told] == [
        (0, "10.50", False),
        (4, "6.50", False),
        (6, "0", True),
    ]
    assert {short(each, "customer_id", "order_id") for each in told} == {(1, 1)}


async def test_a_refund_before_its_order_is_told_with_the_order(points: Points) -> None:
    await points.apply(delivery(refund=refund(base="30")))
    assert await points.told("points.clawed_back") == []
    await points.apply(delivery(order=order()))
    assert [each["points"] for each in await points.told("points.earned")] == [100]
    (told,) = await points.told("points.clawed_back")
    assert short(told, "points", "net_base", "cancelled") == (30, "70", False)


async def test_a_refund_of_shipping_alone_is_not_told(points: Points) -> None:
    await points.apply(delivery(order=order()), delivery(refund=refund(base="0")))
    assert await points.told("points.clawed_back") == []


async def test_a_redemption_and_its_cancellation_are_told(points: Points) -> None:
    await points.earn(100)
    done: Redemption = await points.redemptions.redeem("acme", 1, "five-off", "key")
    await points.redemptions.cancel("acme", done.redemption_id, "a mistake")
    told = await points.told("points.redeemed")
    assert [short(each, "redemption_id", "points", "reward") for each in told] == [
        (str(done.redemption_id), 100, "five-off")
    ] * 2
    assert [each.get("cancelled", False) for each in told] == [False, True]


async def test_expired_points_are_told_by_lot(points: Points) -> None:
    await points.add_merchant("short", expiryDays=10)
    await points.earn(40, merchant_id="short")
    points.clock.advance(days=11)
    await points.jobs.expire()
    (told,) = await points.told("points.expired")
    assert short(told, "customer_id", "points") == (1, 40)
