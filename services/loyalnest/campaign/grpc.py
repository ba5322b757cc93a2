"""The gRPC side of campaign: messages in and out, no decisions."""

from typing import Any

from loyalnest.campaign import campaign_pb2 as pb
from loyalnest.campaign.campaign_pb2_grpc import CampaignServiceServicer
from loyalnest.campaign.campaigns import Campaigns
from loyalnest.campaign.messages import campaign_message, change_message, member_message, plan_of, tier_message
from loyalnest.campaign.models import Campaign
from loyalnest.campaign.service import TierService
from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.rpc.fields import customer_id_of, decimal_text, uuid_of


class CampaignGrpc(CampaignServiceServicer):
    """Serves `campaign.v1.CampaignService` for the merchant of the call's context."""

    def __init__(self, tiers: TierService, campaigns: Campaigns) -> None:
        self._tiers = tiers
        self._campaigns = campaigns

    async def GetVIPTier(self, request: pb.GetVIPTierRequest, context: Any) -> pb.VIPTier:
        return tier_message(await self._tiers.tier_of(required_merchant(), customer_id_of(request.customer_id)))

    async def ListTiers(self, request: pb.ListTiersRequest, context: Any) -> pb.ListTiersResponse:
        tiers, rules, evaluated = await self._tiers.tiers(required_merchant())
        return pb.ListTiersResponse(
            tiers=[
                pb.Tier(
                    level=tier.level,
                    name=tier.name,
                    threshold=tier.threshold,
                    multiplier=decimal_text(tier.multiplier),
                    members=tier.members,
                )
                for tier in tiers
            ],
            qualification_months=rules.months or 0,
            evaluated=evaluated,
        )

    async def ListTierMembers(self, request: pb.ListTierMembersRequest, context: Any) -> pb.ListTierMembersResponse:
        members, token = await self._tiers.members_of(
            required_merchant(), request.tier, request.page_size, request.page_token
        )
        return pb.ListTierMembersResponse(members=map(member_message, members), next_page_token=token)

    async def ListTierHistory(self, request: pb.ListTierHistoryRequest, context: Any) -> pb.ListTierHistoryResponse:
        changes, token = await self._tiers.history(
            required_merchant(), customer_id_of(request.customer_id), request.page_size, request.page_token
        )
        return pb.ListTierHistoryResponse(changes=map(change_message, changes), next_page_token=token)

    async def CreateCampaign(self, request: pb.CreateCampaignRequest, context: Any) -> pb.Campaign:
        require_role("owner", "staff")
        plan = plan_of(request.plan)
        return await self._shown(await self._campaigns.create(required_merchant(), plan, request.idempotency_key))

    async def GetCampaign(self, request: pb.GetCampaignRequest, context: Any) -> pb.Campaign:
        campaign_id = uuid_of(request.campaign_id, "campaign")
        return await self._shown(await self._campaigns.get(required_merchant(), campaign_id))

    async def ListCampaigns(self, request: pb.ListCampaignsRequest, context: Any) -> pb.ListCampaignsResponse:
        found, token = await self._campaigns.list_of(required_merchant(), request.page_size, request.page_token)
        spent = await self._campaigns.spent(found)
        return pb.ListCampaignsResponse(
            campaigns=[campaign_message(each, self._campaigns.state(each), spent) for each in found],
            next_page_token=token,
        )

    async def UpdateCampaign(self, request: pb.UpdateCampaignRequest, context: Any) -> pb.Campaign:
        require_role("owner", "staff")
        campaign_id, plan = uuid_of(request.campaign_id, "campaign"), plan_of(request.plan)
        return await self._shown(await self._campaigns.update(required_merchant(), campaign_id, request.version, plan))

    async def EndCampaign(self, request: pb.EndCampaignRequest, context: Any) -> pb.Campaign:
        require_role("owner", "staff")
        campaign_id = uuid_of(request.campaign_id, "campaign")
        return await self._shown(await self._campaigns.end(required_merchant(), campaign_id))

    async def _shown(self, campaign: Campaign) -> pb.Campaign:
        return campaign_message(campaign, self._campaigns.state(campaign), await self._campaigns.spent([campaign]))
