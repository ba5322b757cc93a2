"""`/proxy/referrals…`: the storefront widget's calls about referrals, through Shopify's app proxy."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from loyalnest.kit.environment import Environment
from loyalnest.kit.http.shopper import shopper_id, single
from loyalnest.referrals import referrals_pb2 as pb
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceStub


class WidgetOffer(BaseModel):
    """What both sides get."""

    referrer_points: int
    friend_points: int
    minimum_spend: str
    currency: str


class WidgetChannel(BaseModel):
    channel: str
    clicks: int
    shares: int
    conversions: int


class WidgetReferrals(BaseModel):
    """What the widget shows. A guest has no link, and sees what there is to win."""

    customer_id: str | None
    offer: WidgetOffer | None = Field(description="Null where the shop offers no referrals.")
    code: str | None
    link: str | None
    channels: list[WidgetChannel]


class WidgetClick(BaseModel):
    counted: bool = Field(description="False for a code that is not, or not any more, of a customer.")


def shopper_routes(environment: Environment) -> APIRouter:
    """The router of `/proxy/referrals…`."""
    router = APIRouter(prefix="/proxy/referrals", tags=["widget"])
    referrals = ReferralsServiceStub(environment.channel("referrals"))

    @router.get("", summary="The logged-in shopper's referral link, for the storefront widget")
    async def shopper_referrals() -> WidgetReferrals:
        customer_id = shopper_id()
        offer = await referrals.GetReferralOffer(pb.GetReferralOfferRequest())
        if not (offer.offered and customer_id):
            return WidgetReferrals(
                customer_id=str(customer_id) if customer_id else None,
                offer=_offer(offer),
                code=None,
                link=None,
                channels=[],
            )
        link = await referrals.CreateReferralLink(pb.CreateReferralLinkRequest(customer_id=customer_id))
        status = await referrals.GetReferralStatus(pb.GetReferralStatusRequest(customer_id=customer_id))
        return WidgetReferrals(
            customer_id=str(customer_id),
            offer=_offer(offer),
            code=link.code,
            link=link.link,
            channels=[
                WidgetChannel(**{name: getattr(each, name) for name in WidgetChannel.model_fields})
                for each in status.channels
            ],
        )

    @router.get("/click", summary="Count that somebody, be it a guest, came by a referral link")
    async def click(
        request: Request,
        code: Annotated[str, Query(description="As in the link: CODE, or CODE:channel.")] = "",
        channel: Annotated[str, Query(description="link, email or sms; goes before the code's own.")] = "",
    ) -> WidgetClick:
        items = request.query_params.multi_items()
        done = await referrals.RecordClick(
            pb.RecordClickRequest(code=single(items, "code"), channel=single(items, "channel"))
        )
        return WidgetClick(counted=done.counted)

    return router


def _offer(found: pb.ReferralOffer) -> WidgetOffer | None:
    if not found.offered:
        return None
    return WidgetOffer(**{name: getattr(found, name) for name in WidgetOffer.model_fields})
