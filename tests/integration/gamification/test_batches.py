"""Badges follow what customers do: each kind of rule, twice told, in any order, refunded and not."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from integration.gamification.support import (
    NOON,
    Rig,
    again,
    clawed_back,
    earned,
    granted,
    product,
    referred,
    unreferred,
)
from loyalnest.gamification import facts_repository
from loyalnest.gamification.events import BadgeAwarded
from loyalnest.gamification.facts import OrderEarned, read_earned
from loyalnest.kit.events import new_id


async def test_orders_are_counted_once_and_told_once(rig: Rig) -> None:
    await rig.add_badge("acme", "two", "orders", "2")
    events = [earned("acme", 1, 7, "10"), earned("acme", 2, 7, "10"), earned("acme", 3, 8, "10")]
    await rig.give(*events)
    assert await rig.held("acme") == {(7, "two")}
    await rig.give(*events)
    await rig.give(*again(events))
    await rig.give(earned("acme", 9, 7, "10"))
    assert await rig.told(BadgeAwarded) == [BadgeAwarded(customer_id=7, badge="two", title="two", at=NOON)]


async def test_merchants_never_see_each_other(rig: Rig) -> None:
    for merchant_id in ("acme", "brew"):
        await rig.add_badge(merchant_id, "two", "orders", "2")
    await rig.give(earned("acme", 1, 7, "10"), earned("brew", 2, 7, "10"), earned("brew", 1, 7, "10"))
    assert (await rig.held("acme"), await rig.held("brew")) == (set(), {(7, "two")})
    assert await rig.progress("acme", 7) == {"two": (False, Decimal(1))}
    assert await rig.progress("brew", 7) == {"two": (True, Decimal(2))}
    assert await rig.told(BadgeAwarded, "acme") == []


@pytest.mark.parametrize("take_back", [True, False])
async def test_what_a_refund_takes(rig: Rig, take_back: bool) -> None:
    await rig.add_badge("acme", "two", "orders", "2", take_back_on_refund=take_back)
    await rig.add_badge("acme", "rich", "spend", "100.5", take_back_on_refund=take_back)
    await rig.give(earned("acme", 1, 7, "60.25"), earned("acme", 2, 7, "40.25"))
    both = {(7, "two"), (7, "rich")}
    assert await rig.held("acme") == both
    await rig.give(clawed_back("acme", 1, 7, "60.24"))
    assert await rig.held("acme") == ({(7, "two")} if take_back else both)
    await rig.give(clawed_back("acme", 1, 7, "0"))
    assert await rig.held("acme") == (set() if take_back else both)
    told = [(each.badge, each.revoked) for each in await rig.told(BadgeAwarded)]
    assert told == [("rich", False), ("two", False), *([("rich", True), ("two", True)] if take_back else [])]
    await rig.give(earned("acme", 3, 7, "500"))
    assert await rig.held("acme") == both


@pytest.mark.parametrize(("net_base", "cancelled"), [("0", False), ("10", True), ("-1", False)])
async def test_a_refund_before_its_order(rig: Rig, net_base: str, cancelled: bool) -> None:
    await rig.add_badge("acme", "one", "orders", "1")
    await rig.add_badge("acme", "kept", "orders", "1", take_back_on_refund=False)
    await rig.give(clawed_back("acme", 1, 7, net_base, cancelled=cancelled))
    assert await rig.held("acme") == set()
    await rig.give(earned("acme", 1, 7, "10"))
    assert await rig.held("acme") == {(7, "kept")}


async def test_an_order_of_nothing_does_not_count(rig: Rig) -> None:
    await rig.add_badge("acme", "one", "orders", "1")
    await rig.add_badge("acme", "kept", "orders", "1", take_back_on_refund=False)
    await rig.give(earned("acme", 1, 7, "0", products=[(1, "0")]))
    assert await rig.held("acme") == set()


async def test_referrals_count_for_the_referrer_until_they_are_reversed(rig: Rig) -> None:
    await rig.add_badge("acme", "friend", "referrals", "2")
    done = [referred("acme", "r1", 7, 70), referred("acme", "r2", 7, 71)]
    await rig.give(*done, *again(done))
    assert await rig.held("acme") == {(7, "friend")}
    await rig.give(unreferred("acme", "r2", 7, 71))
    assert await rig.held("acme") == set()
    await rig.give(unreferred("acme", "r3", 7, 72), referred("acme", "r3", 7, 72))
    assert await rig.held("acme") == set(), "it was reversed before it was known"
    await rig.give(referred("acme", "r4", 7, 73))
    assert await rig.held("acme") == {(7, "friend")}


async def test_points_of_every_origin_less_what_was_taken_back(rig: Rig) -> None:
    await rig.add_badge("acme", "thousand", "lifetime_points", "1000")
    transaction = new_id()
    await rig.give(earned("acme", 1, 7, "10", points=400))
    await rig.give(
        granted("acme", 7, 300, "adjustment", transaction), granted("acme", 7, 300, "adjustment", transaction)
    )
    # A referral's points are told by both services, and count once, by the event that its reversal belongs to.
    await rig.give(referred("acme", "r1", 7, 8, points=299), granted("acme", 7, 299, "referral"))
    await rig.give(referred("acme", "r2", 9, 7, points=2), granted("acme", 7, 1, "referral"))
    assert await rig.held("acme") == {(7, "thousand")}
    refund = clawed_back("acme", 1, 7, "5", points=200)
    await rig.give(refund, *again([refund]))
    assert await rig.held("acme") == set()
    assert await rig.progress("acme", 7) == {"thousand": (False, Decimal(800))}
    await rig.give(granted("acme", 7, 200))
    assert await rig.held("acme") == {(7, "thousand")}
    await rig.give(unreferred("acme", "r2", 9, 7))
    assert await rig.held("acme") == set()


async def test_weeks_are_the_merchants_own(rig: Rig) -> None:
    """Sunday 23:30 UTC is Monday in Berlin, so two orders an hour apart are of one week there, and of two in UTC."""
    monday = NOON.replace(day=16, hour=0)
    for merchant_id in ("acme", "brew"):
        await rig.add_badge(merchant_id, "streak", "weekly_streak", "2")
        await rig.give(
            *(earned(merchant_id, n, 7, "1", placed_at=monday + timedelta(minutes=30 * n)) for n in (-1, 1)),
        )
    assert (await rig.held("acme"), await rig.held("brew")) == (set(), {(7, "streak")})
    await rig.give(earned("acme", 3, 7, "1", placed_at=monday + timedelta(days=8)))
    assert await rig.held("acme") == {(7, "streak")}
    await rig.give(clawed_back("acme", 3, 7, "0"))
    assert await rig.held("acme") == set()


async def test_spend_in_a_category_by_type_and_by_products(rig: Rig) -> None:
    await rig.add_badge("acme", "coffee", "category_spend", "30", product_type=" Coffee  Beans")
    await rig.add_badge("acme", "mugs", "category_spend", "10", product_ids=(3, 4))
    await rig.give(product("acme", 1, "coffee beans"), product("acme", 2, "COFFEE BEANS"), product("acme", 3, "Mug"))
    await rig.give(earned("acme", 1, 7, "50", products=[(1, "10"), (2, "20"), (3, "10"), (9, "10")]))
    assert await rig.held("acme") == {(7, "coffee"), (7, "mugs")}
    await rig.give(clawed_back("acme", 1, 7, "49.99"))
    assert await rig.held("acme") == set()
    assert await rig.progress("acme", 7) == {
        "coffee": (False, Decimal("29.9940")),
        "mugs": (False, Decimal("9.9980")),
    }


async def test_a_product_that_is_told_later(rig: Rig) -> None:
    await rig.add_badge("acme", "coffee", "category_spend", "30", product_type="Coffee")
    await rig.jobs.sweep()
    await rig.give(earned("acme", 1, 7, "30", products=[(1, "20"), (2, "10")]), earned("acme", 2, 8, "10"))
    await rig.give(product("acme", 1, "Coffee"), product("brew", 2, "Coffee"))
    assert await rig.jobs.sweep() == 2
    assert await rig.held("acme") == set()
    await rig.give(product("acme", 2, "Coffee"), product("acme", 99, "Coffee"))
    assert await rig.jobs.sweep() == 2
    assert await rig.held("acme") == {(7, "coffee")}
    await rig.give(product("acme", 2, "Tea", updated_at=NOON - timedelta(days=1)), product("acme", 1, "", deleted=True))
    assert await rig.jobs.sweep() == 0, "older news, and a deletion, change no type"
    await rig.give(product("acme", 2, "Tea", updated_at=NOON + timedelta(days=1)))
    await rig.jobs.sweep()
    assert await rig.held("acme") == set()


async def test_an_order_and_its_products_type_at_once(rig: Rig) -> None:
    """Whichever of the two transactions is the later one sees the other."""

    await rig.add_badge("acme", "coffee", "category_spend", "10", product_type="Coffee")
    for each in range(1, 21):
        await asyncio.gather(
            rig.give(earned("acme", each, each, "10", products=[(each, "10")])),
            rig.give(product("acme", each, "Coffee")),
        )
    await rig.jobs.sweep()
    assert await rig.held("acme") == {(each, "coffee") for each in range(1, 21)}


async def test_a_products_type_that_changes_while_its_order_is_noted(rig: Rig) -> None:
    """The change waits for the order's transaction, and then knows that somebody has to be looked at."""
    await rig.add_badge("acme", "coffee", "category_spend", "10", product_type="Coffee")
    await rig.give(product("acme", 1, "Tea"))
    await rig.jobs.sweep()
    order = earned("acme", 1, 7, "10", products=[(1, "10")])
    read = read_earned(order)
    assert isinstance(read, OrderEarned)
    async with rig.database.worker() as connection:
        touched = await facts_repository.add_earned(connection, [read])
        await facts_repository.hold_products(connection, [("acme", 1)])
        await rig.evaluator.evaluate(connection, touched)
        change = asyncio.create_task(rig.give(product("acme", 1, "Coffee", updated_at=NOON + timedelta(days=1))))
        while not change.done() and not await rig.fetch("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - tells nobody
            await asyncio.sleep(0.01)
    await change
    await rig.jobs.sweep()
    assert await rig.held("acme") == {(7, "coffee")}


async def test_two_batches_of_one_customer_at_once(rig: Rig) -> None:
    """The later of two transactions sees what the earlier one wrote, so the second order is not overlooked."""
    await rig.add_badge("acme", "all", "orders", "4")
    for each in range(1, 11):
        events = [earned("acme", each * 10 + number, each, "10") for number in range(4)]
        await asyncio.gather(*(rig.give(event) for event in events))
    assert await rig.held("acme") == {(each, "all") for each in range(1, 11)}


async def test_pseudonyms_are_never_given_anything(rig: Rig) -> None:
    await rig.add_badge("acme", "one", "orders", "1")
    await rig.give(earned("acme", 1, -7, "10"), clawed_back("acme", 2, -7, "1"), referred("acme", "r", -7, -8))
    await rig.give(granted("acme", -7, 10))
    assert await rig.held("acme") == set()
    assert await rig.told(BadgeAwarded) == []


async def test_a_batch_that_is_killed_anywhere_is_applied_once(rig: Rig, database_url: str) -> None:
    await rig.add_badge("acme", "one", "orders", "1")
    await rig.add_badge("acme", "friend", "referrals", "1")
    kills = 0
    async for database in killed_before_each_statement(rig.database, database_url):
        kills += 1
        batch = [earned("acme", kills, kills, "10", products=[(1, "10")]), earned("acme", 1000 + kills, 5000, "1")]
        friend = [referred("acme", f"r{kills}", kills, 10_000 + kills)]
        await until_death(lambda: rig.give(*batch, *friend, on=database))  # noqa: B023 - run at once
        await rig.give(*batch, *friend)
    assert kills > 20
    assert await rig.held("acme") == {
        (5000, "one"),
        *((each, badge) for each in range(1, kills + 1) for badge in ("one", "friend")),
    }
    assert len(await rig.told(BadgeAwarded)) == 2 * kills + 1


async def test_what_is_malformed_is_refused_whole(rig: Rig) -> None:
    await rig.add_badge("acme", "one", "orders", "1")
    lacking = granted("acme", 7, 1, "order")
    with pytest.raises(ValueError, match="lacks its order_id"):
        await rig.give(earned("acme", 1, 7, "10"), lacking)
    assert await rig.held("acme") == set()
