"""`/proxy/badges` and `/proxy/leaderboard`: the storefront widget's calls about badges, through Shopify's app proxy.

As in `proxy`, the signed query says who is logged in. A shopper sees other shoppers' names and points, never their ids.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from loyalnest.api_gateway.limits import Limit, Limiter
from loyalnest.api_gateway.merchants import Merchant, Merchants
from loyalnest.api_gateway.proxy import customer_of, genuine_merchant
from loyalnest.gamification import gamification_pb2 as pb
from loyalnest.gamification.gamification_pb2_grpc import GamificationServiceStub
from loyalnest.kit import context as call_context
from loyalnest.kit.clock import Clock
from loyalnest.kit.errors import Unauthenticated


class WidgetBadge(BaseModel):
    key: str
    title: str
    description: str
    icon: str
    kind: str
    held: bool
    awarded_at: str = Field(description="Empty unless held.")
    current: str = Field(description="How much of `target` is done.")
    target: str


class WidgetBadges(BaseModel):
    """The shopper's own badges, and how far the next ones are. A guest sees what there is to win, all at 0."""

    customer_id: str | None
    badges: list[WidgetBadge]


class WidgetStanding(BaseModel):
    rank: int = Field(description="Equal points have an equal rank.")
    name: str
    points: int


class WidgetLeaderboard(BaseModel):
    """The first places, and the shopper's own. `own_name` is empty for one who is not shown to others."""

    period: str
    standings: list[WidgetStanding]
    own: WidgetStanding | None
    own_name: str


class LeaderboardBody(BaseModel):
    opt_in: bool = Field(strict=True, description="True to be shown to other shoppers, false to be shown no longer.")
    name: Annotated[str, Field(max_length=100)] = Field(
        default="", description="What to be shown as: 2 to 30 letters, digits, spaces and . ' - _"
    )


PLACES = 20
Period = Annotated[Literal["month", "all"], Query(description="This month, or all time.")]


class Shopper:
    """A genuine call: whose shop, and which customer is logged in there; None for a guest."""

    def __init__(self, merchant: Merchant, customer_id: int | None) -> None:
        self.merchant = merchant
        self.customer_id = customer_id

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Make the block's calls as this shopper."""
        context = replace(
            call_context.current(),
            merchant_id=self.merchant.merchant_id,
            actor=f"shopper:{self.customer_id or 'guest'}",
            role="shopper",
        )
        with call_context.use(context):
            yield


def routes(
    merchants: Merchants, badges: GamificationServiceStub, limiter: Limiter, limit: Limit, clock: Clock
) -> APIRouter:
    """The router of `/proxy/badges` and `/proxy/leaderboard`."""
    router = APIRouter(prefix="/proxy", tags=["widget"])

    async def genuine(
        request: Request,
        shop: Annotated[str, Query(description="The shop's domain; Shopify adds it.")] = "",
        timestamp: Annotated[str, Query(description="Unix time; Shopify adds it.")] = "",
        signature: Annotated[str, Query(description="Shopify's signature of the query.")] = "",
        logged_in_customer_id: Annotated[str, Query(description="Empty for a guest; Shopify adds it.")] = "",
    ) -> Shopper:
        items = request.query_params.multi_items()
        merchant = await genuine_merchant(merchants, items, clock().timestamp())
        customer_id = customer_of(items)
        await limiter.count(merchant.merchant_id, request.url.path.lstrip("/"), limit)
        return Shopper(merchant, customer_id)

    Genuine = Annotated[Shopper, Depends(genuine)]  # noqa: N806 - a type

    @router.get("/badges", summary="The logged-in shopper's badges, and how far the next ones are")
    async def shopper_badges(shopper: Genuine) -> WidgetBadges:
        with shopper.acting():
            if shopper.customer_id is None:
                there_are = await badges.ListBadges(pb.ListBadgesRequest())
                return WidgetBadges(
                    customer_id=None, badges=[_to_win(each) for each in there_are.badges if each.enabled]
                )
            found = await badges.GetCustomerBadges(pb.GetCustomerBadgesRequest(customer_id=shopper.customer_id))
        return WidgetBadges(
            customer_id=str(shopper.customer_id),
            badges=[
                WidgetBadge(**{name: getattr(each, name) for name in WidgetBadge.model_fields}) for each in found.badges
            ],
        )

    @router.get("/leaderboard", summary="The leaderboard, and the logged-in shopper's own place")
    async def leaderboard(shopper: Genuine, period: Period = "month") -> WidgetLeaderboard:
        with shopper.acting():
            return await board(shopper, period)

    @router.post("/leaderboard", summary="Show the logged-in shopper in the leaderboard, or no longer")
    async def opt(shopper: Genuine, body: LeaderboardBody) -> WidgetLeaderboard:
        if shopper.customer_id is None:
            raise Unauthenticated("Log in at the shop first.")
        with shopper.acting():
            if body.opt_in:
                await badges.JoinLeaderboard(pb.JoinLeaderboardRequest(customer_id=shopper.customer_id, name=body.name))
            else:
                await badges.LeaveLeaderboard(pb.LeaveLeaderboardRequest(customer_id=shopper.customer_id))
            return await board(shopper, "month")

    async def board(shopper: Shopper, period: str) -> WidgetLeaderboard:
        found = await badges.GetLeaderboard(
            pb.GetLeaderboardRequest(
                period="all" if period == "all" else "", size=PLACES, customer_id=shopper.customer_id or 0
            )
        )
        return WidgetLeaderboard(
            period=found.period,
            standings=[_standing(each) for each in found.standings],
            own=_standing(found.own) if found.HasField("own") else None,
            own_name=found.own_name,
        )

    return router


def _to_win(badge: pb.Badge) -> WidgetBadge:
    return WidgetBadge(
        key=badge.key,
        title=badge.title,
        description=badge.description,
        icon=badge.icon,
        kind=badge.rule.kind,
        held=False,
        awarded_at="",
        current="0",
        target=badge.rule.target,
    )


def _standing(found: pb.Standing) -> WidgetStanding:
    return WidgetStanding(rank=found.rank, name=found.name, points=found.points)
