"""Campaigns are planned, changed and ended by people, once each, audited, and told whole."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from integration.campaign.support import START, Campaign, new_rules, plan
from loyalnest.campaign.events import CampaignChanged
from loyalnest.campaign.models import Campaign as Planned
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Conflict, DeadlineExceeded, InvalidInput, NotFound, PreconditionFailed, Unavailable
from loyalnest.kit.events import new_id


async def create(campaign: Campaign, key: str = "key", merchant_id: str = "acme", **changes: Any) -> Planned:
    with as_merchant(merchant_id, actor="ann", role="staff"):
        return await campaign.campaigns.create(merchant_id, plan(**changes), key)


async def test_a_campaign_is_told_whole_and_audited(campaign: Campaign) -> None:
    made = await create(campaign, tiers=("gold",), segments=("new",), product_ids=(8, 7), budget_points=500)
    (told,) = await campaign.told(CampaignChanged.topic)
    assert told == {
        "campaign_id": str(made.campaign_id),
        "version": 1,
        "name": "Double week",
        "multiplier": "2",
        "starts_at": "2026-01-10T12:00:00Z",
        "ends_at": "2026-01-17T12:00:00Z",
        "product_ids": [7, 8],
        "segments": ["new"],
        "tiers": ["Gold"],
        "budget_points": 500,
        "ended": False,
        "changed_at": "2026-01-10T12:00:00Z",
    }
    (audit,) = await campaign.told("audit_log")
    assert (audit["actor"], audit["role"], audit["action"]) == ("ann", "staff", "campaign.created")
    assert audit["subject"] == f"campaign:{made.campaign_id}"
    assert audit["before"] == {}
    assert audit["after"].items() >= {"tiers": "Gold", "budget_points": "500", "version": "1"}.items()


async def test_a_key_creates_one_campaign(campaign: Campaign) -> None:
    made = await asyncio.gather(*(create(campaign) for _ in range(5)))
    assert len({each.campaign_id for each in made}) == 1
    assert len(await campaign.told(CampaignChanged.topic)) == len(await campaign.told("audit_log")) == 1
    with pytest.raises(Conflict, match="was used for another campaign"):
        await create(campaign, name="Another")
    for key in ("", "x" * 201):
        with pytest.raises(InvalidInput, match="idempotency key"):
            await create(campaign, key=key)
    await campaign.add_merchant("brew")
    assert (await create(campaign, merchant_id="brew")).campaign_id != made[0].campaign_id


async def test_what_is_wrong_is_refused_and_leaves_nothing(campaign: Campaign) -> None:
    for changes, words in (
        ({"tiers": ("Platinum",)}, "there is no tier 'Platinum'; there is Bronze, Silver, Gold"),
        ({"starts_at": START - timedelta(days=9), "ends_at": START}, "must be in the future"),
        ({"multiplier": Decimal(1)}, "must be more than 1"),
    ):
        with pytest.raises(InvalidInput, match=words):
            await create(campaign, **changes)
    assert await campaign.told(CampaignChanged.topic) == []
    with pytest.raises(NotFound, match="No rules are known"):
        await create(campaign, merchant_id="nobody")


async def test_changes_make_versions_and_say_what_changed(campaign: Campaign) -> None:
    made = await create(campaign)
    later = plan(name="Ten days", ends_at=START + timedelta(days=10), budget_points=9)
    with as_merchant("acme", actor="bob", role="owner"):
        changed = await campaign.campaigns.update("acme", made.campaign_id, 1, later)
        assert await campaign.campaigns.update("acme", made.campaign_id, 2, later) == changed
        with pytest.raises(Conflict, match="has version 2 by now, not 1"):
            await campaign.campaigns.update("acme", made.campaign_id, 1, plan())
        with pytest.raises(PreconditionFailed, match="the multiplier cannot change"):
            await campaign.campaigns.update("acme", made.campaign_id, 2, plan(multiplier=Decimal(3)))
        with pytest.raises(InvalidInput, match="more than 1"):
            await campaign.campaigns.update("acme", made.campaign_id, 2, plan(multiplier=Decimal(0)))
    assert (changed.version, changed.plan) == (2, later)
    assert [each["version"] for each in await campaign.told(CampaignChanged.topic)] == [1, 2]
    audit = (await campaign.told("audit_log"))[-1]
    assert audit["before"] == {
        "name": "Double week",
        "ends_at": "2026-01-17T12:00:00+00:00",
        "budget_points": "",
    }
    assert audit["after"].keys() == {"name", "ends_at", "budget_points", "version", "ended"}


async def test_one_of_two_changes_at_once_is_refused(campaign: Campaign) -> None:
    made = await create(campaign)
    done = await asyncio.gather(
        *(campaign.campaigns.update("acme", made.campaign_id, 1, plan(name=name)) for name in ("A", "B", "C")),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in done) == ["Campaign", "Conflict", "Conflict"]
    assert (await campaign.campaigns.get("acme", made.campaign_id)).version == 2


async def test_a_tier_that_was_renamed_stays_good_in_a_plan(campaign: Campaign) -> None:
    made = await create(campaign, tiers=("Gold",))
    await campaign.give(new_rules(2, ladder={"Bronze": 0, "Ruby": 500}))
    changed = await campaign.campaigns.update("acme", made.campaign_id, 1, plan(tiers=("Gold",), name="Still"))
    assert changed.plan.tiers == ("Gold",)


async def test_ending_it_is_for_good(campaign: Campaign) -> None:
    made = await create(campaign)
    ended = await campaign.campaigns.end("acme", made.campaign_id)
    assert (ended.ended, ended.version, campaign.campaigns.state(ended)) == (True, 2, "ended")
    assert await campaign.campaigns.end("acme", made.campaign_id) == ended
    assert [each["ended"] for each in await campaign.told(CampaignChanged.topic)] == [False, True]
    with pytest.raises(PreconditionFailed, match="is over"):
        await campaign.campaigns.update("acme", made.campaign_id, 2, plan(name="Again"))


async def test_pages_are_newest_first_and_of_one_merchant(campaign: Campaign) -> None:
    await campaign.add_merchant("brew")
    made = [await create(campaign, key=str(each)) for each in range(5)]
    await create(campaign, merchant_id="brew")
    first, token = await campaign.campaigns.list_of("acme", 3, "")
    rest, end = await campaign.campaigns.list_of("acme", 3, token)
    assert [each.campaign_id for each in first + rest] == [each.campaign_id for each in reversed(made)]
    assert end == ""
    for call in (
        campaign.campaigns.get("brew", made[0].campaign_id),
        campaign.campaigns.end("brew", made[0].campaign_id),
        campaign.campaigns.update("brew", made[0].campaign_id, 1, plan()),
        campaign.campaigns.get("acme", UUID(int=1)),
    ):
        with pytest.raises(NotFound, match="There is no campaign"):
            await call


async def test_what_it_has_spent_is_asked_and_may_be_unknown(campaign: Campaign) -> None:
    made, other = await create(campaign), await create(campaign, key="other")
    campaign.spending.points = {made.campaign_id: 7, new_id(): 9}
    assert await campaign.campaigns.spent([made, other]) == {made.campaign_id: 7}
    for away in (Unavailable("away"), DeadlineExceeded("slow")):
        campaign.spending.away = away
        assert await campaign.campaigns.spent([made]) is None
        assert await campaign.campaigns.spent([]) == {}
