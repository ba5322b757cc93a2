"""`/proxy/badges` and `/proxy/leaderboard`: the storefront widget's calls about badges, through Shopify's app proxy.

A shopper sees other shoppers' names and points, never their ids.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from loyalnest.gamification import gamification_pb2 as pb
from loyalnest.gamification.gamification_pb2_grpc import GamificationServiceStub
from loyalnest.kit.environment import Environment
from loyalnest.kit.errors import Unauthenticated
from loyalnest.kit.http.shopper import shopper_id


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


def shopper_routes(environment: Environment) -> APIRouter:
    """The router of `/proxy/badges` and `/proxy/leaderboard`."""
    router = APIRouter(prefix="/proxy", tags=["widget"])
    badges = GamificationServiceStub(environment.channel("gamification"))

    @router.get("/badges", summary="The logged-in shopper's badges, and how far the next ones are")
    async def shopper_badges() -> WidgetBadges:
        customer_id = shopper_id()
        if customer_id is None:
            there_are = await badges.ListBadges(pb.ListBadgesRequest())
            return WidgetBadges(customer_id=None, badges=[_to_win(each) for each in there_are.badges if each.enabled])
        found = await badges.GetCustomerBadges(pb.GetCustomerBadgesRequest(customer_id=customer_id))
        return WidgetBadges(
            customer_id=str(customer_id),
            badges=[
                WidgetBadge(**{name: getattr(each, name) for name in WidgetBadge.model_fields}) for each in found.badges
            ],
        )

    @router.get("/leaderboard", summary="The leaderboard, and the logged-in shopper's own place")
    async def leaderboard(period: Period = "month") -> WidgetLeaderboard:
        return await board(period)

    @router.post("/leaderboard", summary="Show the logged-in shopper in the leaderboard, or no longer")
    async def opt(body: LeaderboardBody) -> WidgetLeaderboard:
        customer_id = shopper_id()
        if customer_id is None:
            raise Unauthenticated("Log in at the shop first.")
        if body.opt_in:
            await badges.JoinLeaderboard(pb.JoinLeaderboardRequest(customer_id=customer_id, name=body.name))
        else:
            await badges.LeaveLeaderboard(pb.LeaveLeaderboardRequest(customer_id=customer_id))
        return await board("month")

    async def board(period: str) -> WidgetLeaderboard:
        found = await badges.GetLeaderboard(
            pb.GetLeaderboardRequest(
                period="all" if period == "all" else "", size=PLACES, customer_id=shopper_id() or 0
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
