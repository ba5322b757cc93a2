"""What was acknowledged is applied exactly once, whatever is killed in between."""

from fixtures.mortal import killed_before_each_statement, until_death
from integration.campaign.support import Campaign, clawed_back, earned, plan


async def test_a_batch_that_is_killed_anywhere_is_applied_once(campaign: Campaign) -> None:
    kills = 0
    async for database in killed_before_each_statement(campaign.database, campaign.url):
        kills += 1
        victim = Campaign(database, campaign.url, campaign.clock, keys=campaign.keys)
        await campaign.give(earned(60, kills * 2, kills))
        batch = [earned(60, kills * 2 + 1, kills), earned(100, customer_id=kills + 1000)]
        died = await until_death(lambda: victim.earnings.earned(batch))  # noqa: B023 - run at once
        assert await campaign.tier(kills) == ("Bronze" if died else "Silver")
        await campaign.give(*batch)
        assert await campaign.tier(kills) == "Silver"
        refund = clawed_back(21, kills * 2, kills)
        await until_death(lambda: victim.earnings.clawed_back([refund]))  # noqa: B023
        await campaign.give(refund)
        assert await campaign.tier(kills) == "Bronze"
    assert kills > 8
    assert len(await campaign.told()) == 4 * kills
    assert await campaign.counts() == {"Bronze": kills, "Silver": kills, "Gold": 0}


async def test_a_campaign_whose_creation_is_killed_anywhere_is_there_once(campaign: Campaign) -> None:
    kills = 0
    async for database in killed_before_each_statement(campaign.database, campaign.url):
        kills += 1
        victim = Campaign(database, campaign.url, campaign.clock, keys=campaign.keys)
        await until_death(lambda: victim.campaigns.create("acme", plan(), f"key {kills}"))  # noqa: B023
        made = await campaign.campaigns.create("acme", plan(), f"key {kills}")
        assert made.version == 1
    assert kills > 3
    assert len(await campaign.told("campaign.changed")) == len(await campaign.told("audit_log")) == kills
