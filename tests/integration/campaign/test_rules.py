"""New rules evaluate everybody: in chunks, resumable, and whatever else happens meanwhile."""

import asyncio

import msgspec
import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from integration.campaign.support import Campaign, earned, joined, new_rules
from loyalnest.kit.errors import InvalidInput, NotFound

STEEP = {"Bronze": 0, "Silver": 150, "Gold": 500}


async def test_new_thresholds_move_everybody(campaign: Campaign) -> None:
    await campaign.add_merchant("brew")
    await campaign.give(*(earned(100, each, each) for each in (1, 2)), earned(200, 3, 3), earned(100, 1, 1, "brew"))
    await campaign.give(new_rules(2, ladder=STEEP))
    assert (await campaign.tiers.tiers("acme"))[2] is False
    assert await campaign.jobs.reevaluate() == 3
    assert (await campaign.tiers.tiers("acme"))[2] is True
    assert await campaign.counts() == {"Bronze": 2, "Silver": 1, "Gold": 0}
    assert await campaign.counts("brew") == {"Bronze": 0, "Silver": 1, "Gold": 0}
    told = await campaign.told()
    assert [(each["customer_id"], each["tier"], each["upgrade"]) for each in told[4:]] == [
        (1, "Bronze", False),
        (2, "Bronze", False),
    ]
    assert await campaign.jobs.reevaluate() == 0


async def test_a_start_keeps_the_rules_that_are_there(campaign: Campaign) -> None:
    await campaign.give(joined(1), new_rules(2, ladder=STEEP))
    await campaign.jobs.reevaluate()
    await asyncio.gather(*(campaign.add_merchant(ladder={"Only": 0}) for _ in range(5)))
    assert [each.threshold for each in (await campaign.tiers.tiers("acme"))[0]] == [0, 150, 500]
    assert await campaign.jobs.reevaluate() == 0


async def test_rules_that_cannot_be_read_leave_those_before_in_force(campaign: Campaign) -> None:
    broken = msgspec.structs.replace(
        new_rules(2), payload=new_rules(2, ladder=STEEP).payload.replace(b'"points', b'"pts')
    )
    with pytest.raises(InvalidInput):
        await campaign.projection.settings_changed([broken])
    assert [each.threshold for each in (await campaign.tiers.tiers("acme"))[0]] == [0, 100, 500]


async def test_an_older_version_and_equal_tiers_evaluate_nobody(campaign: Campaign) -> None:
    await campaign.give(joined(1), new_rules(3, ladder=STEEP))
    await campaign.jobs.reevaluate()
    await campaign.give(new_rules(2), new_rules(4, ladder=STEEP), new_rules(4, ladder=STEEP))
    assert await campaign.jobs.reevaluate() == 0
    assert [each.threshold for each in (await campaign.tiers.tiers("acme"))[0]] == [0, 150, 500]


async def test_a_multiplier_is_told_to_everybody_and_is_no_change_of_tier(campaign: Campaign) -> None:
    await campaign.give(joined(1), new_rules(2, factor="3"))
    await campaign.jobs.reevaluate()
    (_, last) = await campaign.told()
    assert (last["tier"], last["previous_tier"], last["multiplier"], last["upgrade"]) == ("Bronze", "Bronze", "3", True)
    assert len((await campaign.tiers.history("acme", 1, 0, ""))[0]) == 1


async def test_a_window_a_timezone_and_no_tiers_at_all_are_rules_too(campaign: Campaign) -> None:
    await campaign.give(earned(100, 1))
    campaign.clock.advance(days=100)
    await campaign.give(new_rules(2, months=3))
    await campaign.jobs.reevaluate()
    assert await campaign.tier() == "Bronze"
    await campaign.give(new_rules(3, ladder={}))
    await campaign.jobs.reevaluate()
    assert (await campaign.tier(), await campaign.counts()) == ("", {})
    (last,) = (await campaign.told())[-1:]
    assert (last["tier"], last["multiplier"], last["upgrade"]) == ("", "1", False)
    with pytest.raises(NotFound, match="no VIP tiers"):
        await campaign.tiers.tier_of("acme", 1)
    await campaign.give(joined(2), new_rules(4))
    await campaign.jobs.reevaluate()
    assert await campaign.counts() == {"Bronze": 1, "Silver": 1, "Gold": 0}


async def test_an_evaluation_that_is_killed_anywhere_goes_on(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.campaign.jobs.CHUNK", 2)
    await campaign.give(*(earned(100, each, each) for each in range(1, 6)))
    kills = 0
    async for database in killed_before_each_statement(campaign.database, campaign.url):
        kills += 1
        ladder, tier = (STEEP, "Bronze") if kills % 2 else ({**STEEP, "Silver": 100}, "Silver")
        await campaign.give(new_rules(1 + kills, ladder=ladder))
        victim = Campaign(database, campaign.url, campaign.clock, keys=campaign.keys)
        await until_death(victim.jobs.reevaluate)
        await campaign.jobs.reevaluate()
        assert (await campaign.counts())[tier] == 5
    assert kills > 20
    assert len(await campaign.told()) == 5 * (kills + 1)  # each change of each customer is told once


async def test_nobody_is_left_behind_by_a_batch_under_way(campaign: Campaign) -> None:
    """Customers join and earn while rules change and the evaluation runs: all end by the newest rules."""

    async def earn(first: int) -> None:
        for each in range(first, first + 40):
            await campaign.give(earned(120, each, each))

    async def change() -> None:
        for version in range(2, 12):
            await campaign.give(new_rules(version, ladder=STEEP if version % 2 else {**STEEP, "Silver": 110}))
            await campaign.jobs.reevaluate()

    await asyncio.gather(earn(100), earn(200), change(), earn(300))
    assert await campaign.counts() == {"Bronze": 120, "Silver": 0, "Gold": 0}
