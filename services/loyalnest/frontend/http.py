"""`GET /frontend/overview`: what a merchant wants to see first, from all services at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from loyalnest.admin_core import admin_core_pb2
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub
from loyalnest.campaign import campaign_pb2
from loyalnest.campaign.campaign_pb2_grpc import CampaignServiceStub
from loyalnest.core import core_pb2
from loyalnest.core.core_pb2_grpc import CoreServiceStub
from loyalnest.event_tracking import event_tracking_pb2
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceStub
from loyalnest.gamification import gamification_pb2
from loyalnest.gamification.gamification_pb2_grpc import GamificationServiceStub
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import LoyalNestError
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import PointsServiceStub
from loyalnest.products import products_pb2
from loyalnest.products.products_pb2_grpc import ProductsServiceStub
from loyalnest.referrals import referrals_pb2
from loyalnest.referrals.referrals_pb2_grpc import ReferralsServiceStub
from loyalnest.rfm import rfm_pb2
from loyalnest.rfm.rfm_pb2_grpc import RfmServiceStub

PART_SECONDS = 5.0
"""Longest that one service's part is waited for; the others are shown without it."""


class PointsPart(BaseModel):
    """Sums over all customers, in points."""

    members: int
    orders: int
    issued: int
    redeemed: int
    available: int = Field(description="What customers could spend now: the programme's liability.")
    pending: int


class CustomersPart(BaseModel):
    customers: int
    accepting_marketing: int


class ReferralsPart(BaseModel):
    clicks: int
    shares: int
    conversions: int


class Counted(BaseModel):
    name: str
    customers: int


class Overview(BaseModel):
    """A part is null where its service does not run for this merchant, or does not answer: then `missing` says why."""

    points: PointsPart | None
    customers: CustomersPart | None
    segments: list[Counted] | None = Field(description="RFM segments.")
    tiers: list[Counted] | None = Field(description="VIP tiers, the first one first.")
    referrals: ReferralsPart | None = Field(description="Over all time and channels.")
    badges: list[Counted] | None = Field(description="Badges by how many hold them.")
    products: int | None = Field(description="Of a large catalogue: at least so many.")
    messages_sent: int | None
    privacy_requests_open: int | None
    missing: dict[str, str] = Field(description="Parts that should be there and are not, and why.")


Part = Callable[[Any], Awaitable[Any]]
"""Asks a service, by its channel, for its part."""


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/overview`."""
    router = APIRouter(prefix="/frontend/overview", tags=["overview"])
    asked = {
        name: (part, environment.channel(service))
        for name, (service, part) in _PARTS.items()
        if service in environment.services
    }

    @router.get("", summary="The programme at a glance")
    async def overview() -> Overview:
        missing: dict[str, str] = {}

        async def one(name: str) -> Any:
            if name not in asked:
                return None
            part, channel = asked[name]
            try:
                async with asyncio.timeout(PART_SECONDS):
                    return await part(channel)
            except LoyalNestError as error:
                missing[name] = error.detail
            except TimeoutError:
                missing[name] = f"There was no answer within {PART_SECONDS:g} seconds."
            return None

        found = await asyncio.gather(*map(one, _PARTS))
        return Overview(**dict(zip(_PARTS, found, strict=True)), missing=missing)

    return router


async def _points(channel: Any) -> PointsPart:
    found = await PointsServiceStub(channel).GetProgramTotals(points_pb2.GetProgramTotalsRequest())
    return PointsPart(
        members=found.members,
        orders=found.orders,
        issued=found.lifetime_earned,
        redeemed=found.lifetime_redeemed,
        available=found.available,
        pending=found.pending,
    )


async def _customers(channel: Any) -> CustomersPart:
    found = await CoreServiceStub(channel).GetCustomerCounts(core_pb2.GetCustomerCountsRequest())
    return CustomersPart(customers=found.customers, accepting_marketing=found.accepting_marketing)


async def _segments(channel: Any) -> list[Counted]:
    found = await RfmServiceStub(channel).GetSegmentCounts(rfm_pb2.GetSegmentCountsRequest())
    return [Counted(name=each.segment, customers=each.customers) for each in found.segments]


async def _tiers(channel: Any) -> list[Counted]:
    found = await CampaignServiceStub(channel).ListTiers(campaign_pb2.ListTiersRequest())
    return [Counted(name=each.name, customers=each.members) for each in found.tiers]


async def _referrals(channel: Any) -> ReferralsPart:
    found = await ReferralsServiceStub(channel).GetReferralStats(referrals_pb2.GetReferralStatsRequest())
    return ReferralsPart(
        clicks=sum(each.clicks for each in found.channels),
        shares=sum(each.shares for each in found.channels),
        conversions=sum(each.conversions for each in found.channels),
    )


async def _badges(channel: Any) -> list[Counted]:
    found = await GamificationServiceStub(channel).ListBadges(gamification_pb2.ListBadgesRequest())
    held = [Counted(name=each.title, customers=each.holders) for each in found.badges if each.holders]
    return sorted(held, key=lambda each: (-each.customers, each.name))


async def _products(channel: Any) -> int:
    found = await ProductsServiceStub(channel).GetFacets(products_pb2.SearchProductsRequest())
    return int(found.total)


async def _messages(channel: Any) -> int:
    found = await EventTrackingServiceStub(channel).GetQueueStats(event_tracking_pb2.GetQueueStatsRequest())
    return sum(each.tasks for each in found.counts if each.status == "done")


async def _privacy(channel: Any) -> int:
    request = admin_core_pb2.ListGdprRequestsRequest(status="open", page_size=200)
    return len((await AdminCoreServiceStub(channel).ListGdprRequests(request)).requests)


_PARTS: Mapping[str, tuple[str, Part]] = {
    "points": ("points", _points),
    "customers": ("core", _customers),
    "segments": ("rfm", _segments),
    "tiers": ("campaign", _tiers),
    "referrals": ("referrals", _referrals),
    "badges": ("gamification", _badges),
    "products": ("products", _products),
    "messages_sent": ("event_tracking", _messages),
    "privacy_requests_open": ("admin_core", _privacy),
}
