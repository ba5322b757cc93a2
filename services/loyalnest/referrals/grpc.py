"""The gRPC side of referrals: messages in and out, no decisions."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from loyalnest.kit.context import require_role, required_merchant
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.rpc.fields import customer_id_of, decimal_text, time_text, uuid_of
from loyalnest.referrals import referrals_pb2 as pb
from loyalnest.referrals.links import Links
from loyalnest.referrals.models import ChannelCounts, Link, Referral, Share, Status
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceServicer
from loyalnest.referrals.service import Fares, ReferralsService, every_channel
from loyalnest.referrals.sharing import Sharing

_READERS = ("owner", "staff", "support")


class ReferralsGrpc(ReferralsServiceServicer):
    """Serves `referrals.v1.ReferralsService` for the merchant of the call's context."""

    def __init__(self, service: ReferralsService, links: Links, sharing: Sharing) -> None:
        self._service = service
        self._links = links
        self._sharing = sharing

    async def CreateReferralLink(self, request: pb.CreateReferralLinkRequest, context: Any) -> pb.ReferralLink:
        merchant_id = required_merchant()
        return await self._link(merchant_id, await self._links.create(merchant_id, customer_id_of(request.customer_id)))

    async def GetReferralStatus(self, request: pb.GetReferralStatusRequest, context: Any) -> pb.ReferralStatus:
        merchant_id = required_merchant()
        if bool(request.referral_id) == bool(request.customer_id):
            raise InvalidInput("Name either a referral_id or a customer_id.")
        if request.referral_id:
            found = await self._service.referral(merchant_id, uuid_of(request.referral_id, "referral"))
            return pb.ReferralStatus(referral=_referral(found))
        customer_id = customer_id_of(request.customer_id)
        fares = await self._service.fares(merchant_id, customer_id)
        return pb.ReferralStatus(
            referral=_referral(fares.came_by) if fares.came_by is not None else None,
            link=await self._link(merchant_id, fares.link) if fares.link else pb.ReferralLink(customer_id=customer_id),
            channels=_channels(fares),
            statuses=_statuses(fares),
        )

    async def ListReferrals(self, request: pb.ListReferralsRequest, context: Any) -> pb.ListReferralsResponse:
        require_role(*_READERS)
        merchant_id = required_merchant()
        referrer_id = customer_id_of(request.referrer_id) if request.referrer_id else 0
        rows, token = await self._service.listed(
            merchant_id, request.status, referrer_id, request.page_size, request.page_token
        )
        return pb.ListReferralsResponse(referrals=[_referral(row) for row in rows], next_page_token=token)

    async def ReviewReferral(self, request: pb.ReviewReferralRequest, context: Any) -> pb.Referral:
        require_role("owner", "staff")
        merchant_id = required_merchant()
        referral_id = uuid_of(request.referral_id, "referral")
        return _referral(
            await self._service.review(merchant_id, referral_id, approve=request.approve, note=request.note)
        )

    async def ShareReferral(self, request: pb.ShareReferralRequest, context: Any) -> pb.Share:
        merchant_id, customer_id = required_merchant(), customer_id_of(request.customer_id)
        return _share(*await self._sharing.share(merchant_id, customer_id, request.channel, request.address))

    async def ListShares(self, request: pb.ListSharesRequest, context: Any) -> pb.ListSharesResponse:
        rows, token = await self._sharing.listed(
            required_merchant(), customer_id_of(request.customer_id), request.page_size, request.page_token
        )
        return pb.ListSharesResponse(shares=[_share(*row) for row in rows], next_page_token=token)

    async def RecordClick(self, request: pb.RecordClickRequest, context: Any) -> pb.RecordClickResponse:
        return pb.RecordClickResponse(
            counted=await self._links.click(required_merchant(), request.code, request.channel)
        )

    async def GetReferralStats(self, request: pb.GetReferralStatsRequest, context: Any) -> pb.ReferralStats:
        require_role(*_READERS)
        fares = await self._service.stats(required_merchant(), request.days)
        return pb.ReferralStats(channels=_channels(fares), statuses=_statuses(fares))

    async def GetReferralOffer(self, request: pb.GetReferralOfferRequest, context: Any) -> pb.ReferralOffer:
        offer = await self._service.offer(required_merchant())
        if offer is None:
            return pb.ReferralOffer(offered=False)
        return pb.ReferralOffer(
            offered=True,
            referrer_points=offer.referrer_points,
            friend_points=offer.friend_points,
            minimum_spend=decimal_text(offer.minimum_spend),
            currency=offer.currency,
        )

    async def _link(self, merchant_id: str, link: Link) -> pb.ReferralLink:
        return pb.ReferralLink(
            customer_id=link.customer_id,
            code=link.code,
            link=await self._links.url(merchant_id, link.code),
            created_at=time_text(link.created_at),
        )


def _referral(row: Referral) -> pb.Referral:
    return pb.Referral(
        referral_id=str(row.referral_id),
        referrer_id=row.referrer_id,
        friend_id=row.friend_id,
        channel=row.channel,
        status=row.status,
        reason=row.reason,
        order_id=row.order_id or 0,
        referrer_points=row.referrer_points,
        friend_points=row.friend_points,
        minimum_spend=decimal_text(row.minimum_spend),
        settings_version=row.settings_version,
        created_at=time_text(row.created_at),
        updated_at=time_text(row.updated_at),
        completed_at=time_text(row.completed_at),
        reviewed_by=row.reviewed_by,
        note=row.note,
    )


def _share(row: Share, link: str) -> pb.Share:
    return pb.Share(
        share_id=str(row.share_id),
        customer_id=row.customer_id,
        channel=row.channel,
        link=link,
        shared_at=time_text(row.shared_at),
    )


def _channels(fares: Fares) -> list[pb.ChannelStats]:
    return [_channel(each) for each in every_channel(fares.channels)]


def _channel(counts: ChannelCounts) -> pb.ChannelStats:
    return pb.ChannelStats(
        channel=counts.channel,
        clicks=counts.clicks,
        shares=counts.shares,
        conversions=counts.conversions,
        per_click=_rate(counts.conversions, counts.clicks),
        per_share=_rate(counts.conversions, counts.shares),
    )


def _rate(conversions: int, of: int) -> str:
    """A share with four decimal places, half up; empty where there is nothing to divide by."""
    rate = Decimal(conversions) / of if of else None
    return decimal_text(rate if rate is None else rate.quantize(Decimal("0.0001"), ROUND_HALF_UP))


def _statuses(fares: Fares) -> list[pb.StatusCount]:
    return [pb.StatusCount(status=status, referrals=fares.statuses.get(status, 0)) for status in Status]
