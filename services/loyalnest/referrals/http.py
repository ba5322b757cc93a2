"""Referrals' routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.http.fields import CustomerId, PageSize, PageToken, ShortText
from loyalnest.referrals import referrals_pb2 as pb
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceStub


class ReferralView(BaseModel):
    """One friend's referral. Times are empty, and ids null, where there is none."""

    referral_id: str
    referrer_id: str = Field(description="Negative: the pseudonym of a redacted customer.")
    friend_id: str
    channel: str = Field(description="link, email or sms")
    status: str = Field(description="pending, completed, held, refused or reversed")
    reason: str = Field(description="Why it is held, refused or reversed.")
    order_id: str | None
    referrer_points: int
    friend_points: int
    minimum_spend: str
    settings_version: int
    created_at: str
    updated_at: str
    completed_at: str
    reviewed_by: str
    note: str


class ReferralsView(BaseModel):
    referrals: list[ReferralView]
    next_page_token: str


class LinkView(BaseModel):
    """A customer's link; code and link are empty before there is one."""

    customer_id: str
    code: str
    link: str
    created_at: str


class ChannelView(BaseModel):
    channel: str
    clicks: int
    shares: int
    conversions: int
    per_click: str = Field(description="Conversions by click, such as 0.0712; empty without clicks.")
    per_share: str = Field(description="Conversions by share; empty without shares.")


class StatsView(BaseModel):
    channels: list[ChannelView]
    statuses: dict[str, int] = Field(description="Referrals by status.")


class StatusView(BaseModel):
    """One referral, or how a customer's link fares; what does not belong to the question is null."""

    referral: ReferralView | None = Field(description="The one asked for, or the one that the customer came by.")
    link: LinkView | None
    clicks: int | None
    conversions: int | None
    channels: list[ChannelView] | None
    statuses: dict[str, int] | None = Field(description="The customer's referrals by status.")


class OfferView(BaseModel):
    offered: bool
    referrer_points: int
    friend_points: int
    minimum_spend: str
    currency: str


class LinkBody(BaseModel):
    customer_id: CustomerId


class ShareBody(BaseModel):
    customer_id: CustomerId
    channel: Literal["email", "sms"]
    address: Annotated[str, Field(min_length=3, max_length=320)] = Field(
        description="The friend's e-mail address, or phone number with its country. It is not kept."
    )


class ShareView(BaseModel):
    share_id: str
    customer_id: str
    channel: str
    link: str
    shared_at: str


class SharesView(BaseModel):
    shares: list[ShareView]
    next_page_token: str


class ReviewBody(BaseModel):
    approve: bool
    note: ShortText


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/referrals…`."""
    router = APIRouter(prefix="/frontend/referrals", tags=["referrals"])
    stub = ReferralsServiceStub(environment.channel("referrals"))

    @router.get("", summary="How a customer's link fares, or one referral by its id")
    async def status(
        customer_id: Annotated[CustomerId | None, Query()] = None,
        referral_id: Annotated[str, Query(alias="id", max_length=60)] = "",
    ) -> StatusView:
        if (customer_id is None) == (not referral_id):
            raise InvalidInput("Give either customer_id or id.")
        found = await stub.GetReferralStatus(
            pb.GetReferralStatusRequest(referral_id=referral_id, customer_id=int(customer_id or 0))
        )
        return _status(found)

    @router.get("/list", summary="Referrals, newest first")
    async def listed(
        status: Annotated[str, Query(max_length=20, description="Empty for all.")] = "",
        referrer_id: Annotated[CustomerId | None, Query()] = None,
        page_size: PageSize = 50,
        page_token: PageToken = "",
    ) -> ReferralsView:
        page = await stub.ListReferrals(
            pb.ListReferralsRequest(
                status=status, referrer_id=int(referrer_id or 0), page_size=page_size, page_token=page_token
            )
        )
        return ReferralsView(
            referrals=[_referral(each) for each in page.referrals], next_page_token=page.next_page_token
        )

    @router.get("/stats", summary="Clicks, shares and conversions by channel")
    async def stats(
        days: Annotated[int, Query(ge=0, le=3660, description="Of so many days up to now; 0 for all time.")] = 0,
    ) -> StatsView:
        found = await stub.GetReferralStats(pb.GetReferralStatsRequest(days=days))
        return StatsView(channels=_channels(found), statuses=_statuses(found))

    @router.get("/offer", summary="What both sides get")
    async def offer() -> OfferView:
        found = await stub.GetReferralOffer(pb.GetReferralOfferRequest())
        return OfferView(**{name: getattr(found, name) for name in OfferView.model_fields})

    @router.post("/link", summary="A customer's link, made if there is none")
    async def link(body: LinkBody) -> LinkView:
        return _link(await stub.CreateReferralLink(pb.CreateReferralLinkRequest(customer_id=int(body.customer_id))))

    @router.post("/share", summary="Invite a friend by e-mail or SMS, once")
    async def share(body: ShareBody) -> ShareView:
        request = pb.ShareReferralRequest(customer_id=int(body.customer_id), channel=body.channel, address=body.address)
        return _share(await stub.ShareReferral(request))

    @router.get("/shares", summary="A customer's invitations, newest first")
    async def shares(
        customer_id: Annotated[CustomerId, Query()], page_size: PageSize = 50, page_token: PageToken = ""
    ) -> SharesView:
        page = await stub.ListShares(
            pb.ListSharesRequest(customer_id=int(customer_id), page_size=page_size, page_token=page_token)
        )
        return SharesView(shares=[_share(each) for each in page.shares], next_page_token=page.next_page_token)

    @router.post("/{referral_id}/review", summary="Approve or refuse a referral that is held")
    async def review(referral_id: ShortText, body: ReviewBody) -> ReferralView:
        request = pb.ReviewReferralRequest(referral_id=referral_id, approve=body.approve, note=body.note)
        return _referral(await stub.ReviewReferral(request))

    return router


def _status(found: pb.ReferralStatus) -> StatusView:
    referral = _referral(found.referral) if found.HasField("referral") else None
    if not found.HasField("link"):
        return StatusView(referral=referral, link=None, clicks=None, conversions=None, channels=None, statuses=None)
    channels = _channels(found)
    return StatusView(
        referral=referral,
        link=_link(found.link),
        clicks=sum(each.clicks for each in channels),
        conversions=sum(each.conversions for each in channels),
        channels=channels,
        statuses=_statuses(found),
    )


def _referral(found: pb.Referral) -> ReferralView:
    ids = {"referrer_id": str(found.referrer_id), "friend_id": str(found.friend_id)}
    return ReferralView(order_id=str(found.order_id) if found.order_id else None, **ids, **_same(found, ReferralView))


def _link(found: pb.ReferralLink) -> LinkView:
    return LinkView(customer_id=str(found.customer_id), **_same(found, LinkView))


def _share(found: pb.Share) -> ShareView:
    return ShareView(customer_id=str(found.customer_id), **_same(found, ShareView))


def _channels(found: pb.ReferralStatus | pb.ReferralStats) -> list[ChannelView]:
    return [ChannelView(**_same(each, ChannelView)) for each in found.channels]


def _statuses(found: pb.ReferralStatus | pb.ReferralStats) -> dict[str, int]:
    return {each.status: each.referrals for each in found.statuses}


_IDS = frozenset({"customer_id", "referrer_id", "friend_id", "order_id"})
"""Numbers that exceed what JavaScript can count to: they are written as text."""


def _same(found: Any, view: type[BaseModel]) -> dict[str, Any]:
    """The fields of `view` that a message has under the same names, but for ids."""
    return {name: getattr(found, name) for name in view.model_fields if name not in _IDS}
