"""Campaign's routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Any

from fastapi import APIRouter

from loyalnest.campaign import campaign_pb2 as pb
from loyalnest.campaign.campaign_pb2_grpc import CampaignServiceStub
from loyalnest.campaign.views import (
    CampaignChange,
    CampaignsView,
    CampaignView,
    CustomerTierView,
    PlanBody,
    TierChangeView,
    TierHistoryView,
    TierMembersView,
    TierMemberView,
    TierSummary,
    TiersView,
    campaign_view,
)
from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import CustomerId, IdempotencyKey, PageSize, PageToken, ShortText


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/tiers…` and `/frontend/campaigns…`."""
    router = APIRouter()
    campaign = CampaignServiceStub(environment.channel("campaign"))
    router.include_router(_tiers(campaign))
    router.include_router(_campaigns(campaign))
    return router


def _tiers(campaign: Any) -> APIRouter:
    router = APIRouter(prefix="/frontend/tiers", tags=["tiers"])

    @router.get("", summary="VIP tiers, and how many members each has")
    async def tiers() -> TiersView:
        found = await campaign.ListTiers(pb.ListTiersRequest())
        return TiersView(
            tiers=[
                TierSummary(**{name: getattr(each, name) for name in TierSummary.model_fields}) for each in found.tiers
            ],
            qualification_months=found.qualification_months,
            evaluated=found.evaluated,
        )

    @router.get("/customers/{customer_id}", summary="A customer's tier")
    async def tier(customer_id: CustomerId) -> CustomerTierView:
        found = await campaign.GetVIPTier(pb.GetVIPTierRequest(customer_id=int(customer_id)))
        return CustomerTierView(**_texts(CustomerTierView, found))

    @router.get("/customers/{customer_id}/history", summary="A customer's changes of tier, newest first")
    async def history(customer_id: CustomerId, page_size: PageSize = 50, page_token: PageToken = "") -> TierHistoryView:
        page = await campaign.ListTierHistory(
            pb.ListTierHistoryRequest(customer_id=int(customer_id), page_size=page_size, page_token=page_token)
        )
        return TierHistoryView(
            changes=[
                TierChangeView(**{name: getattr(each, name) for name in TierChangeView.model_fields})
                for each in page.changes
            ],
            next_page_token=page.next_page_token,
        )

    @router.get("/{tier}/members", summary="A tier's members, by id")
    async def members(tier: ShortText, page_size: PageSize = 50, page_token: PageToken = "") -> TierMembersView:
        page = await campaign.ListTierMembers(
            pb.ListTierMembersRequest(tier=tier, page_size=page_size, page_token=page_token)
        )
        return TierMembersView(
            members=[TierMemberView(**_texts(TierMemberView, each)) for each in page.members],
            next_page_token=page.next_page_token,
        )

    return router


def _campaigns(campaign: Any) -> APIRouter:
    router = APIRouter(prefix="/frontend/campaigns", tags=["campaigns"])

    @router.get("", summary="Bonus campaigns, the last created first")
    async def campaigns(page_size: PageSize = 50, page_token: PageToken = "") -> CampaignsView:
        page = await campaign.ListCampaigns(pb.ListCampaignsRequest(page_size=page_size, page_token=page_token))
        return CampaignsView(
            campaigns=[campaign_view(each) for each in page.campaigns], next_page_token=page.next_page_token
        )

    @router.post("", summary="Plan a bonus campaign")
    async def create(body: PlanBody, idempotency_key: IdempotencyKey) -> CampaignView:
        return campaign_view(
            await campaign.CreateCampaign(
                pb.CreateCampaignRequest(plan=body.message(), idempotency_key=idempotency_key)
            )
        )

    @router.get("/{campaign_id}", summary="A bonus campaign, and what it has given")
    async def one(campaign_id: ShortText) -> CampaignView:
        return campaign_view(await campaign.GetCampaign(pb.GetCampaignRequest(campaign_id=campaign_id)))

    @router.put("/{campaign_id}", summary="Change a bonus campaign")
    async def change(campaign_id: ShortText, body: CampaignChange) -> CampaignView:
        return campaign_view(
            await campaign.UpdateCampaign(
                pb.UpdateCampaignRequest(campaign_id=campaign_id, version=body.version, plan=body.message())
            )
        )

    @router.post("/{campaign_id}/end", summary="Stop a bonus campaign for good")
    async def end(campaign_id: ShortText) -> CampaignView:
        return campaign_view(await campaign.EndCampaign(pb.EndCampaignRequest(campaign_id=campaign_id)))

    return router


def _texts(view: Any, found: Any) -> dict[str, Any]:
    """The fields of `view` as a message has them, ids as text."""
    values = {name: getattr(found, name) for name in view.model_fields if name != "customer_id"}
    return {"customer_id": str(found.customer_id), **values}
