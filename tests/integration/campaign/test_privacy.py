"""Who is redacted goes on being counted under a pseudonym; nobody is told of it, and nothing names the person."""

from datetime import timedelta
from uuid import UUID

import pytest

from fixtures.mortal import killed_before_each_statement, until_death
from fixtures.privacy import asked, exported
from integration.campaign.support import Campaign, clawed_back, earned, joined, new_rules
from loyalnest.kit.crypto.lookup import pseudonym
from loyalnest.kit.events import new_id

ANNA = 7
TABLES = ("earnings", "memberships", "tier_changes")


async def everywhere(campaign: Campaign, merchant_id: str = "acme") -> set[int]:
    found = set()
    for table in TABLES:
        rows = await campaign.sql(f"SELECT customer_id FROM campaign.{table} WHERE merchant_id = $1", merchant_id)
        found |= {row["customer_id"] for row in rows}
    return found


async def stand_in_of(campaign: Campaign, request_id: UUID) -> int:
    assert campaign.keys is not None
    return pseudonym((await campaign.keys.for_merchant("acme")).index_key, request_id, ANNA)


async def populate(campaign: Campaign, merchant_id: str = "acme") -> None:
    await campaign.give(*(joined(each, merchant_id) for each in range(1, 11)))
    await campaign.give(*(earned(each * 20, each, each, merchant_id) for each in range(1, 11)))


async def test_a_redacted_member_is_counted_and_moves_and_nobody_is_told(campaign: Campaign) -> None:
    await campaign.add_merchant("brew")
    for merchant_id in ("acme", "brew"):
        await populate(campaign, merchant_id)
    counts = await campaign.counts()
    request_id = new_id()
    (confirmed,) = await campaign.ask(asked("customer_redact", ANNA, "acme", request_id))
    stand_in = await stand_in_of(campaign, request_id)
    assert await everywhere(campaign) == {stand_in, 1, 2, 3, 4, 5, 6, 8, 9, 10}
    assert ANNA in await everywhere(campaign, "brew")
    assert await campaign.counts() == counts == {"Bronze": 4, "Silver": 6, "Gold": 0}
    assert (confirmed.service, confirmed.counts["memberships"], confirmed.counts["earnings"]) == ("campaign", 1, 1)
    told = len(await campaign.told())
    # Points tells of a refund under the pseudonym; what was on its way still names her.
    await campaign.give(clawed_back(40, 7, stand_in))
    await campaign.give(clawed_back(1, 7, ANNA, total=41))
    assert await campaign.counts() == {"Bronze": 5, "Silver": 5, "Gold": 0}
    await campaign.give(new_rules(2, factor="2"))
    await campaign.jobs.reevaluate()
    assert [each["customer_id"] for each in (await campaign.told())[told:]] == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    members, _ = await campaign.tiers.members_of("acme", "Bronze", 0, "")
    assert [each.customer_id for each in members] == [1, 2, 3, 4], "pseudonyms are counted, not named"
    assert ANNA not in await everywhere(campaign)
    await campaign.give(earned(5, 999, ANNA))
    assert await campaign.tier(ANNA) == "Bronze", "a later order begins somebody new"


async def test_what_points_told_of_the_pseudonym_before_is_of_one_member(campaign: Campaign) -> None:
    await campaign.give(earned(120, 7, ANNA), earned(90, 8, ANNA))
    request_id = new_id()
    stand_in = await stand_in_of(campaign, request_id)
    await campaign.give(clawed_back(5, 99, stand_in), earned(10, 99, stand_in))
    assert await campaign.counts() == {"Bronze": 1, "Silver": 1, "Gold": 0}
    await campaign.ask(asked("customer_redact", ANNA, "acme", request_id))
    assert await everywhere(campaign) == {stand_in}
    assert await campaign.jobs.evaluate_due() == 1
    assert await campaign.counts() == {"Bronze": 0, "Silver": 1, "Gold": 0}
    assert await campaign.jobs.evaluate_due() == 0


async def test_a_pseudonyms_term_ends_too(campaign: Campaign) -> None:
    await campaign.give(new_rules(2, months=1), earned(100, 7, ANNA))
    await campaign.ask(asked("customer_redact", ANNA, "acme"))
    told = len(await campaign.told())
    campaign.clock.advance(days=40)
    await campaign.jobs.evaluate_due()
    assert (await campaign.counts()) == {"Bronze": 1, "Silver": 0, "Gold": 0}
    assert len(await campaign.told()) == told


async def test_a_shop_that_is_killed_anywhere_is_redacted_whole(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.kit.pseudonymising.CHUNK", 2)
    await campaign.add_merchant("brew")
    await populate(campaign, "brew")
    shops = 0
    async for database in killed_before_each_statement(campaign.database, campaign.url):
        shops += 1
        await campaign.give(*(earned(100, shops * 10 + each, each) for each in range(1, 6)))
        request = asked("shop_redact", None, "acme")
        victim = Campaign(database, campaign.url, campaign.clock, keys=campaign.keys)
        await until_death(lambda: victim.privacy.handle([request]))  # noqa: B023 - run at once
        await campaign.ask(request)
        assert max(await everywhere(campaign)) < 0
        assert (await campaign.counts())["Silver"] == 5 * shops
    assert shops > 15
    assert min(await everywhere(campaign, "brew")) > 0


async def test_an_export_says_everything_and_leaves_sealed(campaign: Campaign) -> None:
    await populate(campaign)
    campaign.clock.advance(days=1)
    await campaign.give(earned(400, 100, ANNA, at=campaign.clock() - timedelta(hours=1)))
    (confirmed,) = await campaign.ask(asked("customer_data", ANNA, "acme"))
    assert campaign.keys is not None
    document = exported(await campaign.keys.for_merchant("acme"), [confirmed])
    assert (document["service"], document["customer_id"]) == ("campaign", str(ANNA))
    assert [each["tier"] for each in document["memberships"]] == ["Gold"]
    assert [each["points"] for each in document["earnings"]] == [400, 140]
    assert [each["tier"] for each in document["changes"]] == ["Bronze", "Silver", "Gold"]
    nobody = (await campaign.ask(asked("customer_data", 12345, "acme")))[-1]
    assert (nobody.sealed, set(nobody.counts.values())) == (b"", {0})
