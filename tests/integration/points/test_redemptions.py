"""Redemptions: points are held, a code is asked for, and the points are spent or come back."""

from datetime import timedelta

import pytest

from integration.points.support import Points, delivery, refund
from loyalnest.kit.errors import Conflict, InvalidInput, NotFound, PreconditionFailed, Unavailable
from loyalnest.points.discounts import Issued, Refused

AWAY = Unavailable("Shopify is away")


async def test_a_redemption_spends_its_points_on_a_code(points: Points) -> None:
    await points.earn(120)
    points.issuer.answers = [Issued(by="shopify", discount_id="gid://shopify/1")]
    done = await points.redemptions.redeem("acme", 1, "five-off", "key")
    assert (done.status, done.points, done.issued_by, done.discount_id) == ("issued", 100, "shopify", "gid://shopify/1")
    assert (done.discount.amount, done.discount.percentage, done.discount.currency) == ("5", "", "USD")
    assert done.code.startswith("LOYAL-")
    assert await points.balances("acme") == (20, 0, 0, 0)
    assert (await points.service.balance("acme", 1)).lifetime_redeemed == 100
    assert await points.redemptions.get("acme", done.redemption_id) == done
    assert await points.problems() == []


async def test_the_same_key_gives_the_same_redemption(points: Points) -> None:
    await points.earn(300)
    first = await points.redemptions.redeem("acme", 1, "five-off", "key")
    assert await points.redemptions.redeem("acme", 1, "five-off", "key") == first
    assert len(points.issuer.asked) == 1
    other = await points.redemptions.redeem("acme", 1, "five-off", "other key")
    assert (other.redemption_id, other.code) != (first.redemption_id, first.code)
    assert await points.balances("acme") == (100, 0, 0, 0)


@pytest.mark.parametrize(("customer_id", "reward"), [(2, "five-off"), (1, "third-off")])
async def test_a_key_that_was_used_for_something_else_is_refused(points: Points, customer_id: int, reward: str) -> None:
    await points.earn(500, 1)
    await points.earn(500, 2)
    await points.redemptions.redeem("acme", 1, "five-off", "key")
    with pytest.raises(Conflict, match="'key'"):
        await points.redemptions.redeem("acme", customer_id, reward, "key")


async def test_a_key_is_of_one_merchant(points: Points) -> None:
    await points.add_merchant("globex")
    await points.earn(100)
    await points.earn(100, merchant_id="globex")
    ids = {(await points.redemptions.redeem(each, 1, "five-off", "key")).redemption_id for each in ("acme", "globex")}
    assert len(ids) == 2


async def test_too_few_points_an_unknown_reward_and_a_bad_key_are_refused(points: Points) -> None:
    await points.earn(99)
    with pytest.raises(PreconditionFailed, match="costs 100 points; 99 are available"):
        await points.redemptions.redeem("acme", 1, "five-off", "key")
    with pytest.raises(NotFound, match="five-off, third-off"):
        await points.redemptions.redeem("acme", 1, "ten-off", "key")
    for key in ("", "k" * 201):
        with pytest.raises(InvalidInput):
            await points.redemptions.redeem("acme", 1, "five-off", key)
    assert points.issuer.asked == []
    assert await points.balances("acme") == (99, 0, 0, 0)


async def test_pending_points_cannot_be_spent(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=1)
    await points.earn(100, merchant_id="slow")
    with pytest.raises(PreconditionFailed):
        await points.redemptions.redeem("slow", 1, "five-off", "key")


async def test_if_shopify_refuses_the_points_come_back(points: Points) -> None:
    await points.earn(100)
    points.issuer.answers = [Refused("code taken")]
    done = await points.redemptions.redeem("acme", 1, "five-off", "key")
    assert (done.status, done.reason) == ("refused", "code taken")
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert await points.told("points.redeemed") == []
    again = await points.redemptions.redeem("acme", 1, "five-off", "key")
    assert (again.status, len(points.issuer.asked)) == ("refused", 1)
    assert await points.problems() == []


async def two_lots(points: Points) -> None:
    """60 points that expire on day 10 and 60 that expire on day 15; it is day 5."""
    await points.add_merchant("short", expiryDays=10)
    await points.earn(60, merchant_id="short")
    points.clock.advance(days=5)
    await points.earn(60, merchant_id="short")


async def lots(points: Points) -> list[tuple[int, int]]:
    """What remains and what expired of each lot, oldest first."""
    rows = await points.sql("SELECT remaining, expired FROM points.lots ORDER BY lot_id")
    return [(row["remaining"], row["expired"]) for row in rows]


async def test_the_soonest_expiring_lot_is_spent_first_and_refilled(points: Points) -> None:
    await two_lots(points)
    done = await points.redemptions.redeem("short", 1, "five-off", "key")
    assert await lots(points) == [(0, 0), (20, 0)]
    await points.redemptions.cancel("short", done.redemption_id, "changed her mind")
    assert await lots(points) == [(60, 0), (60, 0)]
    assert await points.problems("short") == []


async def test_what_comes_back_to_an_expired_lot_stays_expired(points: Points) -> None:
    await two_lots(points)
    points.issuer.answers = [AWAY, Refused("no")]
    held = await points.redemptions.redeem("short", 1, "five-off", "key")
    assert held.status == "held"
    assert await points.balances("short") == (20, 0, 100, 0)
    points.clock.advance(days=6)
    assert await points.redemptions.finish_left_held() == 1
    assert await lots(points) == [(0, 60), (60, 0)]
    assert await points.balances("short") == (60, 0, 0, 0)
    assert await points.problems("short") == []


async def test_two_redemptions_of_one_expired_lot_come_back_at_one_moment(points: Points) -> None:
    await points.add_merchant("short", expiryDays=10)
    await points.earn(200, merchant_id="short")
    done = [await points.redemptions.redeem("short", 1, "five-off", key) for key in ("a", "b")]
    points.clock.advance(days=11)
    for each in done:
        await points.redemptions.cancel("short", each.redemption_id, "late")
    assert await lots(points) == [(0, 200)]
    assert await points.balances("short") == (0, 0, 0, 0)
    assert await points.problems("short") == []


async def test_what_comes_back_pays_a_debt_first(points: Points) -> None:
    order_id = await points.earn(100)
    done = await points.redemptions.redeem("acme", 1, "five-off", "key")
    await points.apply(delivery(refund=refund(order_id=order_id, base="70")))
    assert await points.balances("acme") == (0, 0, 0, 70)
    await points.redemptions.cancel("acme", done.redemption_id, "returned")
    assert await points.balances("acme") == (30, 0, 0, 0)
    assert await points.problems() == []


async def test_a_redemption_is_cancelled_once(points: Points) -> None:
    await points.earn(100)
    done = await points.redemptions.redeem("acme", 1, "five-off", "key")
    for _ in range(2):
        cancelled = await points.redemptions.cancel("acme", done.redemption_id, "a mistake")
        assert (cancelled.status, cancelled.reason) == ("cancelled", "a mistake")
    assert await points.balances("acme") == (100, 0, 0, 0)
    assert [each["action"] for each in await points.told("audit_log")] == ["redemption.cancelled"]
    assert await points.problems() == []


async def test_only_an_issued_redemption_can_be_cancelled_and_with_a_reason(points: Points) -> None:
    await points.earn(200)
    points.issuer.answers = [AWAY, Refused("no")]
    held = await points.redemptions.redeem("acme", 1, "five-off", "held")
    refused = await points.redemptions.redeem("acme", 1, "five-off", "refused")
    for each in (held, refused):
        with pytest.raises(PreconditionFailed, match=f"this one is {each.status}"):
            await points.redemptions.cancel("acme", each.redemption_id, "why not")
    with pytest.raises(InvalidInput, match="reason"):
        await points.redemptions.cancel("acme", held.redemption_id, "  ")


async def test_what_is_left_held_is_finished_by_the_job_under_its_code(points: Points) -> None:
    await points.earn(100)
    points.issuer.answers = [AWAY, AWAY, Issued(by="shopify")]
    held = await points.redemptions.redeem("acme", 1, "five-off", "key")
    assert await points.redemptions.finish_left_held() == 0  # too young: its own process may be at it
    assert len(points.issuer.asked) == 1
    for finished in (0, 1, 0):
        points.clock.advance(minutes=1)
        assert await points.redemptions.finish_left_held() == finished
    assert {each.code for each in points.issuer.asked} == {held.code}
    done = await points.redemptions.get("acme", held.redemption_id)
    assert (done.status, done.code) == ("issued", held.code)
    assert await points.balances("acme") == (0, 0, 0, 0)


async def test_asking_again_with_the_key_of_a_held_one_finishes_it(points: Points) -> None:
    await points.earn(100)
    points.issuer.answers = [AWAY, Issued(by="local")]
    held = await points.redemptions.redeem("acme", 1, "five-off", "key")
    done = await points.redemptions.redeem("acme", 1, "five-off", "key")
    assert (done.redemption_id, done.status) == (held.redemption_id, "issued")


async def test_a_shop_that_stays_away_does_not_keep_the_others_waiting(points: Points) -> None:
    """The job takes 50 at a time: those that could not be finished go behind those that were not tried."""
    await points.earn(6000)
    points.issuer.answers = [AWAY]
    for number in range(51):
        await points.redemptions.redeem("acme", 1, "five-off", f"key {number}")
        points.clock.advance(seconds=1)
    points.issuer.asked.clear()
    for _ in range(2):
        points.clock.advance(minutes=1)
        await points.redemptions.finish_left_held()
    assert len({each.redemption_id for each in points.issuer.asked}) == 51


async def test_a_fault_of_one_does_not_keep_the_others_waiting(points: Points) -> None:
    await points.earn(200)
    points.issuer.answers = [AWAY, AWAY, KeyError("a bug"), Issued(by="local")]
    for key in ("a", "b"):
        await points.redemptions.redeem("acme", 1, "five-off", key)
    points.clock.now += timedelta(minutes=1)
    assert await points.redemptions.finish_left_held() == 1


async def test_redemptions_are_listed_by_page_newest_first(points: Points) -> None:
    await points.earn(500)
    await points.earn(100, 2)
    made = [await points.redemptions.redeem("acme", 1, "five-off", f"{number}") for number in range(5)]
    made.append(await points.redemptions.redeem("acme", 2, "five-off", "other"))
    page, token = await points.redemptions.list_for("acme", 1, 3, "")
    rest, end = await points.redemptions.list_for("acme", 1, 3, token)
    assert ([*page, *rest], end) == (made[4::-1], "")
    assert (await points.redemptions.list_for("acme", 0, 10, ""))[0] == made[::-1]
