"""Referrals' points: given once, taken back once, in any order of arrival."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.privacy import asked
from integration.points.mortal import killed_before_each_statement
from integration.points.support import Points, completed, delivery, new_number, order, reversed_one, until_applied
from loyalnest.kit.errors import NotFound
from loyalnest.kit.events import Event


async def test_a_referral_gives_each_side_its_points_once(points: Points) -> None:
    event = completed()
    await points.referrals.completed([event, event])
    await points.referrals.completed([event])
    await points.referrals.completed([completed()])  # the same referral, told again under a new event id
    assert await points.balances("acme", 1) == (500, 0, 0, 0)
    assert await points.balances("acme", 2) == (250, 0, 0, 0)
    told = [(each["customer_id"], each["points"], each["reason"]) for each in await points.told("points.earned")]
    assert told == [(1, 500, "referral"), (2, 250, "referral")]
    assert await points.problems() == []


async def test_a_side_without_points_gets_no_posting(points: Points) -> None:
    await points.referrals.completed([completed(friend_points=0)])
    assert await points.balances("acme", 2) == (0, 0, 0, 0)
    assert len(await points.sql("SELECT 1 FROM points.points_transactions")) == 1
    await points.referrals.reversed([reversed_one()])
    assert len(await points.sql("SELECT 1 FROM points.points_transactions")) == 2
    assert await points.problems() == []


async def test_one_who_refers_himself_gets_both(points: Points) -> None:
    await points.referrals.completed([completed(friend_id=1)])
    assert await points.balances("acme", 1) == (750, 0, 0, 0)
    await points.referrals.reversed([reversed_one(friend_id=1)])
    assert await points.balances("acme", 1) == (0, 0, 0, 0)
    assert await points.problems() == []


async def test_a_referral_and_an_order_at_once_lose_nothing(points: Points) -> None:
    await asyncio.gather(
        until_applied(points.referrals.completed, [completed()]), points.apply(delivery(order=order()))
    )
    assert await points.balances("acme", 1) == (600, 0, 0, 0)
    assert await points.problems() == []


async def test_a_referral_of_a_merchant_without_rules_names_it(points: Points) -> None:
    for handle, event in ((points.referrals.completed, completed()), (points.referrals.reversed, reversed_one())):
        with pytest.raises(NotFound, match="nobody"):
            await handle([msgspec.structs.replace(event, merchant_id="nobody")])


async def test_a_reversal_takes_the_referrals_own_points_first(points: Points) -> None:
    await points.add_merchant("short", expiryDays=30)
    await points.earn(100, merchant_id="short")
    points.clock.advance(days=5)
    await points.referrals.completed([completed("r1", "short"), completed("r2", "short", friend_id=3)])
    for _ in range(2):
        await points.referrals.reversed([reversed_one("r1", "short")])
    assert await points.balances("short", 1) == (600, 0, 0, 0)
    assert await points.balances("short", 2) == (0, 0, 0, 0)
    assert await points.balances("short", 3) == (250, 0, 0, 0)
    left = await points.sql("SELECT remaining FROM points.lots WHERE customer_id = 1 ORDER BY lot_id")
    assert [row["remaining"] for row in left] == [100, 0, 500], "what expires sooner stays with the customer"
    told = {each["transaction_id"]: each["points"] for each in await points.told("points.earned")}
    back = sorted(await points.told("points.grant_reversed"), key=lambda each: each["customer_id"])
    assert [(each["customer_id"], each["points"]) for each in back] == [(1, 500), (2, 250)]
    assert all(told[each["transaction_id"]] == each["points"] for each in back)
    assert await points.problems("short") == []


@pytest.mark.parametrize(("debt", "owed"), [("Carry", 300), ("Floor", 0)])
async def test_what_was_spent_is_a_debt_or_let_go(points: Points, debt: str, owed: int) -> None:
    await points.add_merchant("globex", debt=debt)
    await points.referrals.completed([completed(merchant_id="globex")])
    await points.redemptions.redeem("globex", 1, "third-off", "key")
    await points.referrals.reversed([reversed_one(merchant_id="globex")])
    assert await points.balances("globex", 1) == (0, 0, 0, owed)
    assert await points.problems("globex") == []


async def test_points_that_wait_for_approval_or_have_expired_are_taken_too(points: Points) -> None:
    await points.add_merchant("slow", approvalDays=3, expiryDays=10)
    await points.referrals.completed([completed("pending", "slow"), completed("expired", "slow", friend_id=3)])
    await points.referrals.reversed([reversed_one("pending", "slow")])
    assert await points.balances("slow", 1) == (0, 500, 0, 0)
    points.clock.advance(days=20)
    await points.jobs.approve()
    await points.jobs.expire()
    await points.earn(40, 3, "slow")
    await points.referrals.reversed([reversed_one("expired", "slow")])
    assert await points.balances("slow", 3) == (0, 40, 0, 0), "what had expired is not taken a second time"
    assert await points.problems("slow") == []


async def test_a_reversal_before_its_completion_leaves_nothing_given(points: Points) -> None:
    await points.add_merchant("globex")
    await points.referrals.reversed([reversed_one()])
    await points.referrals.completed([completed(), completed("r1", "globex")])
    assert await points.balances("acme", 1) == (0, 0, 0, 0)
    assert await points.balances("globex", 1) == (500, 0, 0, 0), "another merchant's referral of the same id"
    assert [each["customer_id"] for each in await points.told("points.earned")] == [1, 2]
    assert await points.problems() == []


async def test_the_points_of_a_redacted_customer_are_taken_from_the_pseudonym(points: Points) -> None:
    await points.referrals.completed([completed()])
    await points.ask(asked("customer_redact", 1, "acme"))
    await points.referrals.reversed([reversed_one()])
    rows = await points.sql("SELECT customer_id, available, lifetime_earned FROM points.balances ORDER BY 1")
    assert [(row["customer_id"] > 0, row["available"], row["lifetime_earned"]) for row in rows] == [
        (False, 0, 0),
        (True, 0, 0),
    ]
    assert await points.problems() == []


async def test_a_reversal_and_a_redaction_at_once_leave_nothing(points: Points) -> None:
    for number in range(10):
        referral, referrer, friend = f"r{number}", 10 + number, 100 + number
        await points.referrals.completed([completed(referral, referrer_id=referrer, friend_id=friend)])
        await asyncio.gather(
            until_applied(points.referrals.reversed, [reversed_one(referral)]),
            points.ask(asked("customer_redact", referrer, "acme")),
        )
    assert (await points.service.totals("acme")).lifetime_earned == 0
    assert await points.problems() == []


async def test_a_reversal_that_is_killed_anywhere_takes_back_once(points: Points) -> None:
    kills = 0
    async for victim in killed_before_each_statement(points):
        kills += 1
        referral, referrer, friend = f"r{kills}", kills * 2, kills * 2 + 1
        await points.referrals.completed([completed(referral, referrer_id=referrer, friend_id=friend)])
        event = reversed_one(referral, referrer_id=referrer, friend_id=friend)
        await victim.run(lambda: victim.referrals.reversed([event]))  # noqa: B023 - run at once
        if victim.died:
            assert await points.balances("acme", referrer) == (500, 0, 0, 0)
        await points.referrals.reversed([event])
        assert await points.balances("acme", referrer) == (0, 0, 0, 0)
    assert kills > 8
    assert await points.problems() == []


customers = st.integers(1, 3)
amounts = st.sampled_from([0, 1, 40])
stories = st.lists(
    st.tuples(customers, customers, amounts, amounts, st.sampled_from(["given", "taken", "both"])),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), story=stories, at_once=st.booleans())
async def test_any_order_of_arrival_ends_in_what_stands(
    points: Points, data: st.DataObject, story: list[tuple[int, int, int, int, str]], at_once: bool
) -> None:
    merchant = f"shop-{new_number()}"
    await points.add_merchant(merchant)
    arriving: list[tuple[bool, Event]] = []
    owned = dict.fromkeys((1, 2, 3), 0)
    for number, (referrer, friend, for_referrer, for_friend, ends) in enumerate(story):
        sides = {"referrer_id": referrer, "friend_id": friend}
        give = completed(f"r{number}", merchant, **sides, referrer_points=for_referrer, friend_points=for_friend)
        take = reversed_one(f"r{number}", merchant, **sides)
        arriving += [(True, give)] if ends != "taken" else []
        arriving += [(False, take)] if ends != "given" else []
        if ends == "given":
            owned[referrer] += for_referrer
            owned[friend] += for_friend
    arriving = data.draw(st.permutations(arriving + data.draw(st.lists(st.sampled_from(arriving), max_size=3))))

    async def handle(some: Sequence[tuple[bool, Event]]) -> None:
        for gives, event in some:
            rewards = points.referrals
            await until_applied(rewards.completed if gives else rewards.reversed, [event])

    if at_once:
        await asyncio.gather(*(handle([each]) for each in arriving), handle(arriving))
    else:
        await handle(arriving)
    for customer, expected in owned.items():
        assert await points.balances(merchant, customer) == (expected, 0, 0, 0)
    assert await points.problems(merchant) == []
