"""Customers move between tiers by what they earn, what is taken back, and the calendar."""

import uuid
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from integration.campaign.support import START, Campaign, clawed_back, earned, grant_reversed, joined
from loyalnest.kit.events import new_id


async def test_a_new_customer_is_in_the_first_tier(campaign: Campaign) -> None:
    await campaign.give(joined(1), joined(2), joined(1))
    told = await campaign.told()
    assert [(each["customer_id"], each["tier"], each["previous_tier"], each["upgrade"]) for each in told] == [
        (1, "Bronze", "", True),
        (2, "Bronze", "", True),
    ]
    assert await campaign.counts() == {"Bronze": 2, "Silver": 0, "Gold": 0}


async def test_a_tier_is_reached_at_once_by_whatever_earns(campaign: Campaign) -> None:
    await campaign.give(joined(1), earned(60, 1))
    assert await campaign.tier() == "Bronze"
    for reason, points, tier in (("joining", 39, "Bronze"), ("referral", 1, "Silver"), ("adjustment", 400, "Gold")):
        await campaign.give(earned(points, reason=reason))
        assert await campaign.tier() == tier
    told = await campaign.told()
    assert [(each["tier"], each["multiplier"], each["upgrade"]) for each in told] == [
        ("Bronze", "1", True),
        ("Silver", "1.5", True),
        ("Gold", "2", True),
    ]
    moments = [datetime.fromisoformat(each["changed_at"]) for each in told]
    assert moments == sorted(set(moments))


async def test_one_order_told_under_two_ids_counts_once(campaign: Campaign) -> None:
    order, other = earned(60, 1), earned(60, transaction_id=uuid.UUID(int=5), reason="adjustment")
    again = [msgspec.structs.replace(each, id=new_id()) for each in (order, other, order)]
    await campaign.give(order, order, *again)
    view = await campaign.tiers.tier_of("acme", 1)
    assert (view.points, view.member.tier) == (120, "Silver")
    refund = clawed_back(30, 1)
    await campaign.give(refund, msgspec.structs.replace(refund, id=new_id()), refund)
    assert (await campaign.tiers.tier_of("acme", 1)).points == 90
    assert [each["tier"] for each in await campaign.told()] == ["Silver", "Bronze"]


@pytest.mark.parametrize("reversal_first", [False, True])
async def test_points_of_a_reversed_referral_do_not_count(campaign: Campaign, *, reversal_first: bool) -> None:
    grant = uuid.uuid4()
    told = [earned(150, None, transaction_id=grant, reason="referral"), grant_reversed(150, grant)]
    for event in reversed(told) if reversal_first else told:
        await campaign.give(event, msgspec.structs.replace(event, id=new_id()))
    assert (await campaign.tiers.tier_of("acme", 1)).points == 0
    assert await campaign.tier() == "Bronze"


async def test_a_refund_takes_a_tier_at_once_and_may_come_first(campaign: Campaign) -> None:
    await campaign.give(clawed_back(10, 1), clawed_back(40, 1, total=50))
    assert await campaign.tier() == "Bronze"
    await campaign.give(earned(149, 1))
    assert await campaign.tier() == "Bronze"
    await campaign.give(earned(1, 2))
    assert await campaign.tier() == "Silver"
    await campaign.give(clawed_back(99, 1, total=149))
    assert await campaign.tier() == "Bronze"
    (last,) = (await campaign.told())[-1:]
    assert (last["tier"], last["previous_tier"], last["upgrade"]) == ("Bronze", "Silver", False)


async def test_a_tier_ends_with_the_merchants_day(campaign: Campaign) -> None:
    await campaign.add_merchant("kiwi", months=1, timezone="Pacific/Auckland")
    at = datetime(2026, 1, 30, 12, tzinfo=UTC)  # 31 January there
    campaign.clock.now = at
    await campaign.give(earned(100, 1, merchant_id="kiwi", at=at), earned(20, 2, merchant_id="kiwi", at=at))
    assert (await campaign.tiers.tier_of("kiwi", 1)).member.kept_through == date(2026, 2, 28)
    campaign.clock.now = datetime(2026, 2, 28, 10, 59, 59, tzinfo=UTC)
    assert await campaign.jobs.evaluate_due() == 0
    assert await campaign.tier(1, "kiwi") == "Silver"
    campaign.clock.advance(seconds=1)
    assert await campaign.jobs.evaluate_due() == 1
    assert await campaign.tier(1, "kiwi") == "Bronze"
    (last,) = (await campaign.told())[-1:]
    assert (last["tier"], last["upgrade"], last["multiplier"]) == ("Bronze", False, "1")
    assert await campaign.jobs.evaluate_due() == 0
    changes, _ = await campaign.tiers.history("kiwi", 1, 0, "")
    assert [(each.previous_tier, each.tier, each.cause) for each in changes] == [
        ("Silver", "Bronze", "ended"),
        ("", "Silver", "joined"),
    ]


async def test_many_terms_that_end_are_found_in_chunks(campaign: Campaign) -> None:
    await campaign.add_merchant("yearly", months=12)
    await campaign.give(*(earned(100, each, each, "yearly") for each in range(1, 1101)))
    campaign.clock.advance(days=364)
    assert await campaign.jobs.evaluate_due() == 0
    campaign.clock.advance(days=2)
    assert await campaign.jobs.evaluate_due() == 1100
    assert await campaign.counts("yearly") == {"Bronze": 1100, "Silver": 0, "Gold": 0}
    assert len(await campaign.told()) == 2200


async def test_an_order_from_tomorrow_counts_when_it_is_due(campaign: Campaign) -> None:
    await campaign.give(earned(100, 1, at=START + timedelta(days=1)))
    assert await campaign.tier() == "Bronze"
    campaign.clock.advance(days=1)
    assert await campaign.jobs.evaluate_due() == 1
    assert await campaign.tier() == "Silver"


async def test_what_is_shown_of_a_customer(campaign: Campaign) -> None:
    unknown = await campaign.tiers.tier_of("acme", 9)
    assert (unknown.member.tier, unknown.points, unknown.level) == ("Bronze", 0, 0)
    await campaign.give(earned(150, 1), earned(600, 2, 2))
    view = await campaign.tiers.tier_of("acme", 1)
    assert view.next_tier is not None
    assert (view.level, view.points, view.next_tier.name, view.next_tier.threshold) == (1, 150, "Gold", 500)
    assert (await campaign.tiers.tier_of("acme", 2)).next_tier is None
