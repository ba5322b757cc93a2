"""`GET /proxy/points`: what the storefront widget shows of points."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from loyalnest.kit.environment import Environment
from loyalnest.kit.http.shopper import shopper_id
from loyalnest.points import points_pb2 as pb
from loyalnest.points.points_pb2_grpc import PointsServiceStub


class WidgetReward(BaseModel):
    name: str
    points: int
    discount_amount: str
    discount_percentage: str
    currency: str


class WidgetPoints(BaseModel):
    """The shopper's own points."""

    available: int
    pending: int
    lifetime_earned: int


class WidgetView(BaseModel):
    """What the widget shows. A guest has no id and no points, and sees what there is to win."""

    customer_id: str | None
    points: WidgetPoints | None
    rewards: list[WidgetReward] = Field(
        description="What points can be redeemed for, at the checkout's discount field."
    )


def shopper_routes(environment: Environment) -> APIRouter:
    """The router of `/proxy/points`."""
    router = APIRouter(prefix="/proxy/points", tags=["widget"])
    points = PointsServiceStub(environment.channel("points"))

    @router.get("", summary="The logged-in shopper's points, for the storefront widget")
    async def shopper_points() -> WidgetView:
        customer_id = shopper_id()
        rewards = await points.ListRewards(pb.ListRewardsRequest())
        found = (
            await points.GetPointsBalance(pb.GetPointsBalanceRequest(customer_id=customer_id)) if customer_id else None
        )
        return WidgetView(
            customer_id=str(customer_id) if customer_id else None,
            points=found
            and WidgetPoints(available=found.available, pending=found.pending, lifetime_earned=found.lifetime_earned),
            rewards=[
                WidgetReward(**{name: getattr(each, name) for name in WidgetReward.model_fields})
                for each in rewards.rewards
            ],
        )

    return router
