"""The gRPC face of campaign, through the same channel that other services call it by."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from integration.campaign.support import START, Campaign, earned, joined
from loyalnest.campaign import campaign_pb2 as pb
from loyalnest.campaign.campaign_pb2_grpc import CampaignServiceStub
from loyalnest.campaign.grpc import CampaignGrpc
from loyalnest.campaign.manifest import SERVICE
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed, Unauthenticated
from loyalnest.kit.rpc import Channels, MethodTable

Call = Callable[..., Awaitable[Any]]
PLAN: dict[str, Any] = {
    "name": "Double",
    "multiplier": "2.50",
    "starts_at": "2026-01-10T13:00:00+01:00",
    "ends_at": (START + timedelta(days=7)).isoformat(),
}


@pytest.fixture
def call(campaign: Campaign) -> Call:
    """Calls a method by its name: `await call("GetVIPTier", customer_id=1)`, as an owner of acme."""
    table = MethodTable()
    assert SERVICE.rpc
    SERVICE.rpc.register(CampaignGrpc(campaign.tiers, campaign.campaigns), table)
    stub: Any = CampaignServiceStub(Channels({"campaign": table}, {}).channel("campaign"))  # type: ignore[arg-type]

    async def by_name(method: str, *, merchant: str = "acme", role: str = "owner", **fields: Any) -> Any:
        with as_merchant(merchant, actor="ann", role=role):
            return await getattr(stub, method)(getattr(pb, f"{method}Request")(**fields))

    return by_name


async def test_a_customers_tier(campaign: Campaign, call: Call) -> None:
    await campaign.add_merchant("yearly", months=12)
    await campaign.give(earned(130, 1, merchant_id="yearly"))
    assert await call("GetVIPTier", merchant="yearly", customer_id=1) == pb.VIPTier(
        customer_id=1,
        tier="Silver",
        level=1,
        multiplier="1.5",
        points=130,
        reached_on="2026-01-10",
        kept_through="2027-01-10",
        next_tier="Gold",
        next_threshold=500,
        points_to_next=370,
        changed_at=START.isoformat(),
    )
    assert await call("GetVIPTier", customer_id=2**62) == pb.VIPTier(
        customer_id=2**62, tier="Bronze", multiplier="1", next_tier="Silver", next_threshold=100, points_to_next=100
    )


async def test_tiers_with_their_members(campaign: Campaign, call: Call) -> None:
    await campaign.give(*(joined(each) for each in (3, 1, 2)), earned(100, 1, 9))
    found = await call("ListTiers")
    assert [(each.level, each.name, each.threshold, each.multiplier, each.members) for each in found.tiers] == [
        (0, "Bronze", 0, "1", 3),
        (1, "Silver", 100, "1.5", 1),
        (2, "Gold", 500, "2", 0),
    ]
    assert (found.qualification_months, found.evaluated) == (0, True)
    first = await call("ListTierMembers", tier="Bronze", page_size=2)
    rest = await call("ListTierMembers", tier="Bronze", page_size=2, page_token=first.next_page_token)
    assert [each.customer_id for each in (*first.members, *rest.members)] == [1, 2, 3]
    assert rest.next_page_token == ""
    assert first.members[0].changed_at == START.isoformat()


async def test_a_customers_history_by_page(campaign: Campaign, call: Call) -> None:
    await campaign.give(joined(1))
    for order_id, points in enumerate((100, 400), 1):
        await campaign.give(earned(points, order_id))
    first = await call("ListTierHistory", customer_id=1, page_size=2)
    rest = await call("ListTierHistory", customer_id=1, page_size=2, page_token=first.next_page_token)
    assert [(each.previous_tier, each.tier, each.cause) for each in (*first.changes, *rest.changes)] == [
        ("Silver", "Gold", "earned"),
        ("Bronze", "Silver", "earned"),
        ("", "Bronze", "joined"),
    ]
    assert not (await call("ListTierHistory", customer_id=2)).changes


async def test_a_campaigns_life(campaign: Campaign, call: Call) -> None:
    made = await call("CreateCampaign", plan=pb.Plan(**PLAN, tiers=["gold"], budget_points=9), idempotency_key="k")
    assert (made.version, made.state, made.spent_points, made.HasField("spent_points")) == (1, "running", 0, True)
    assert (made.plan.multiplier, made.plan.starts_at, made.plan.tiers) == ("2.50", START.isoformat(), ["Gold"])
    assert await call("GetCampaign", campaign_id=made.campaign_id) == made
    assert list((await call("ListCampaigns")).campaigns) == [made]
    plan = pb.Plan()
    plan.CopyFrom(made.plan)
    plan.name, plan.budget_points = "Named anew", 0
    changed = await call("UpdateCampaign", campaign_id=made.campaign_id, version=1, plan=plan)
    assert (changed.version, changed.plan) == (2, plan)
    ended = await call("EndCampaign", campaign_id=made.campaign_id)
    assert (ended.version, ended.state) == (3, "ended")
    with pytest.raises(Conflict):
        await call("UpdateCampaign", campaign_id=made.campaign_id, version=2, plan=plan)
    with pytest.raises(PreconditionFailed):
        await call("UpdateCampaign", campaign_id=made.campaign_id, version=3, plan=plan)


@pytest.mark.parametrize(("role", "may"), [("owner", True), ("staff", True), ("support", False), ("", False)])
async def test_who_may_change_campaigns(call: Call, role: str, may: bool) -> None:
    made = await call("CreateCampaign", plan=pb.Plan(**PLAN), idempotency_key="first")
    for method, fields in (
        ("CreateCampaign", {"plan": made.plan, "idempotency_key": "second"}),
        ("UpdateCampaign", {"campaign_id": made.campaign_id, "version": 1, "plan": made.plan}),
        ("EndCampaign", {"campaign_id": made.campaign_id}),
    ):
        if may:
            await call(method, role=role, **fields)
        else:
            with pytest.raises(Forbidden):
                await call(method, role=role, **fields)
    await call("ListCampaigns", role=role)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"multiplier": ""}, "multiplier: must be a decimal number"),
        ({"multiplier": "NaN"}, "multiplier: must be a decimal number"),
        ({"multiplier": "Infinity"}, "multiplier: must be a decimal number"),
        ({"multiplier": "1e999999"}, "multiplier: must be more than 1, at most 100"),
        ({"multiplier": "2" * 31}, "multiplier: must be a decimal number"),
        ({"starts_at": ""}, "starts_at: must be a time with its zone"),
        ({"starts_at": "2026-01-10T12:00:00"}, "starts_at: must be a time with its zone"),
        ({"ends_at": "9999-12-31T23:59:59-12:00"}, "ends_at: must be a time with its zone"),
        ({"ends_at": "soon"}, "ends_at: must be a time with its zone"),
        ({"product_ids": [-5]}, "product_ids: at most 1000"),
        ({"budget_points": -1}, "budget_points: must be from 1"),
        ({"name": "a\x00b"}, "name: 1 to 100 characters"),
        ({"segments": ["'; DROP TABLE campaign.campaigns; --"]}, "there is no segment"),
    ],
)
async def test_a_plan_that_is_none_is_refused(call: Call, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        await call("CreateCampaign", plan=pb.Plan(**PLAN | changes), idempotency_key="key")
    assert not (await call("ListCampaigns")).campaigns


async def test_what_is_no_id_page_or_tier_is_refused(call: Call) -> None:
    for method, fields in (
        ("GetVIPTier", {"customer_id": 0}),
        ("GetVIPTier", {"customer_id": -7}),
        ("ListTierHistory", {"customer_id": 0}),
        ("ListTierHistory", {"customer_id": 1, "page_token": "x"}),
        ("ListTierHistory", {"customer_id": 1, "page_size": -1}),
        ("ListTierMembers", {"tier": "Gold", "page_token": "x"}),
        ("ListTierMembers", {"tier": "Gold", "page_size": -1}),
        ("ListCampaigns", {"page_token": "x"}),
        ("ListCampaigns", {"page_size": -1}),
        ("GetCampaign", {"campaign_id": "x"}),
        ("EndCampaign", {"campaign_id": ""}),
        ("UpdateCampaign", {"campaign_id": "x", "plan": pb.Plan(**PLAN)}),
    ):
        with pytest.raises(InvalidInput):
            await call(method, **fields)
    for method, fields in (
        ("ListTierMembers", {"tier": "Platinum"}),
        ("GetCampaign", {"campaign_id": "01890000-0000-7000-8000-000000000000"}),
        ("EndCampaign", {"campaign_id": "01890000-0000-7000-8000-000000000000"}),
        ("ListTiers", {"merchant": "nobody"}),
    ):
        with pytest.raises(NotFound):
            await call(method, **fields)


async def test_a_call_without_a_merchant_is_refused(call: Call) -> None:
    for method, fields in (
        ("GetVIPTier", {"customer_id": 1}),
        ("ListTiers", {}),
        ("ListTierMembers", {"tier": "Gold"}),
        ("ListTierHistory", {"customer_id": 1}),
        ("CreateCampaign", {"plan": pb.Plan(**PLAN), "idempotency_key": "k"}),
        ("ListCampaigns", {}),
        ("GetCampaign", {"campaign_id": "01890000-0000-7000-8000-000000000000"}),
    ):
        with pytest.raises(Unauthenticated):
            await call(method, merchant="", **fields)
