"""Gamification's routes at the gateway. They reach the service over gRPC only, so they work wherever it runs."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from loyalnest.gamification import gamification_pb2 as pb
from loyalnest.gamification.gamification_pb2_grpc import GamificationServiceStub
from loyalnest.kit.environment import Environment
from loyalnest.kit.http.fields import CustomerId, PageSize, PageToken, ShortText

BadgeKey = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,50}$", description="The badge's key, such as first-order.")]


class RuleView(BaseModel):
    """A badge is earned by `target` of what `kind` counts."""

    kind: ShortText = Field(
        description="orders, referrals, weekly_streak (an order in each of so many ISO weeks in a row), spend,"
        " category_spend or lifetime_points.",
        examples=["orders"],
    )
    target: Annotated[str, Field(max_length=20)] = Field(
        description="A number as text; money in the shop's currency.", examples=["5"]
    )
    product_type: Annotated[str, Field(max_length=255)] = Field(
        default="", description="Of category_spend: a product type, whatever its case; or else product_ids."
    )
    product_ids: Annotated[list[CustomerId], Field(max_length=200)] = Field(
        default=[], description="Of category_spend: Shopify's product ids, as strings."
    )


class BadgeBody(BaseModel):
    title: ShortText
    description: Annotated[str, Field(max_length=300)] = ""
    icon: ShortText = Field(description="The name of an icon that the widget draws.", examples=["star"])
    rule: RuleView
    enabled: bool = Field(default=True, description="Else its rule neither gives nor takes it.")
    take_back_on_refund: bool = Field(
        default=True,
        description="Whether the rule counts what refunds have left, and the badge is held only as long as it is met."
        " Otherwise refunds do not matter.",
    )


class NewBadgeBody(BadgeBody):
    key: ShortText = Field(
        description="Its name for good: small letters, digits and hyphens.", examples=["five-orders"]
    )


class ChangedBadgeBody(BadgeBody):
    version: Annotated[int, Field(ge=1, lt=2**31, description="The version that was read; it goes up by one.")]


class BadgeView(BaseModel):
    key: str
    title: str
    description: str
    icon: str
    rule: RuleView
    enabled: bool
    take_back_on_refund: bool
    version: int
    holders: int = Field(description="Customers who hold it, redacted ones among them.")
    created_at: str
    updated_at: str


class BadgesView(BaseModel):
    badges: list[BadgeView]


class HolderView(BaseModel):
    customer_id: str
    awarded_at: str
    by_hand: bool
    actor: str = Field(description="Of an award by hand: who gave it.")
    reason: str


class HoldersView(BaseModel):
    holders: list[HolderView]
    next_page_token: str


class DecisionBody(BaseModel):
    customer_id: CustomerId
    reason: ShortText = Field(description="It stands in the audit log.")


class CustomerBadgeView(BaseModel):
    key: str
    title: str
    description: str
    icon: str
    kind: str
    held: bool
    awarded_at: str = Field(description="Empty unless held.")
    current: str = Field(description="How much of `target` is done; of a weekly streak, the weeks up to now.")
    target: str


class CustomerBadgesView(BaseModel):
    customer_id: str
    badges: list[CustomerBadgeView]


class StandingView(BaseModel):
    rank: int = Field(description="Equal points have an equal rank.")
    name: str = Field(description="The name that the customer chose.")
    points: int
    customer_id: str


class LeaderboardView(BaseModel):
    """Those customers who asked to be shown, by the points they earned in the period."""

    period: str
    standings: list[StandingView]


Period = Annotated[
    str,
    Query(pattern=r"^(all|[0-9]{4}-[0-9]{2})?$", description="all, a month such as 2026-11, or empty for this month."),
]


def routes(environment: Environment) -> APIRouter:
    """The router of `/frontend/badges…` and `/frontend/leaderboard…`."""
    router = APIRouter(prefix="/frontend", tags=["badges"])
    service = GamificationServiceStub(environment.channel("gamification"))

    @router.get("/badges", summary="All badges, by key")
    async def badges() -> BadgesView:
        found = await service.ListBadges(pb.ListBadgesRequest())
        return BadgesView(badges=[_badge(each) for each in found.badges])

    @router.post("/badges", summary="Define a badge; who has earned it already is given it soon")
    async def create(body: NewBadgeBody) -> BadgeView:
        return _badge(await service.CreateBadge(pb.CreateBadgeRequest(badge=_written(body, key=body.key))))

    @router.get("/badges/{key}", summary="One badge")
    async def badge(key: BadgeKey) -> BadgeView:
        return _badge(await service.GetBadge(pb.GetBadgeRequest(key=key)))

    @router.put("/badges/{key}", summary="Replace a badge; a changed rule is applied to the past too")
    async def update(key: BadgeKey, body: ChangedBadgeBody) -> BadgeView:
        changed = _written(body, key=key, version=body.version)
        return _badge(await service.UpdateBadge(pb.UpdateBadgeRequest(badge=changed)))

    @router.delete("/badges/{key}", status_code=204, summary="Delete a badge; its holders lose it")
    async def delete(key: BadgeKey) -> None:
        await service.DeleteBadge(pb.DeleteBadgeRequest(key=key))

    @router.get("/badges/{key}/holders", summary="Customers who hold a badge, by id")
    async def holders(key: BadgeKey, page_size: PageSize = 50, page_token: PageToken = "") -> HoldersView:
        page = await service.ListBadgeHolders(
            pb.ListBadgeHoldersRequest(key=key, page_size=page_size, page_token=page_token)
        )
        return HoldersView(
            holders=[HolderView(**_values(HolderView, each)) for each in page.holders],
            next_page_token=page.next_page_token,
        )

    @router.post("/badges/{key}/award", summary="Give a badge by hand; its rule no longer decides for this customer")
    async def award(key: BadgeKey, body: DecisionBody) -> CustomerBadgesView:
        request = pb.AwardBadgeRequest(customer_id=int(body.customer_id), key=key, reason=body.reason)
        return _customer_badges(await service.AwardBadge(request))

    @router.post("/badges/{key}/revoke", summary="Take a badge by hand; its rule will not give it again")
    async def revoke(key: BadgeKey, body: DecisionBody) -> CustomerBadgesView:
        request = pb.RevokeBadgeRequest(customer_id=int(body.customer_id), key=key, reason=body.reason)
        return _customer_badges(await service.RevokeBadge(request))

    @router.get("/badges/customers/{customer_id}", summary="A customer's badges, and how far the others are")
    async def customer_badges(customer_id: Annotated[CustomerId, Path()]) -> CustomerBadgesView:
        request = pb.GetCustomerBadgesRequest(customer_id=int(customer_id))
        return _customer_badges(await service.GetCustomerBadges(request))

    @router.get("/leaderboard", summary="Customers by points, those who asked to be shown")
    async def leaderboard(period: Period = "", size: PageSize = 50) -> LeaderboardView:
        found = await service.GetLeaderboard(pb.GetLeaderboardRequest(period=period, size=size))
        return LeaderboardView(
            period=found.period,
            standings=[StandingView(**_values(StandingView, each)) for each in found.standings],
        )

    @router.delete("/leaderboard/{customer_id}", status_code=204, summary="Show a customer no longer")
    async def leave(customer_id: Annotated[CustomerId, Path()]) -> None:
        await service.LeaveLeaderboard(pb.LeaveLeaderboardRequest(customer_id=int(customer_id)))

    return router


def _written(body: BadgeBody, *, key: str, version: int = 0) -> pb.Badge:
    return pb.Badge(
        key=key,
        title=body.title,
        description=body.description,
        icon=body.icon,
        rule=pb.Rule(
            kind=body.rule.kind,
            target=body.rule.target,
            product_type=body.rule.product_type,
            product_ids=[int(each) for each in body.rule.product_ids],
        ),
        enabled=body.enabled,
        take_back_on_refund=body.take_back_on_refund,
        version=version,
    )


def _values(view: type[BaseModel], found: Any) -> dict[str, Any]:
    """The fields of a message that a view has, ids as strings."""
    values = {name: getattr(found, name) for name in view.model_fields}
    return values | ({"customer_id": str(values["customer_id"])} if "customer_id" in values else {})


def _badge(found: pb.Badge) -> BadgeView:
    rule = RuleView(
        kind=found.rule.kind,
        target=found.rule.target,
        product_type=found.rule.product_type,
        product_ids=[str(each) for each in found.rule.product_ids],
    )
    return BadgeView(**_values(BadgeView, found) | {"rule": rule})


def _customer_badges(found: pb.CustomerBadges) -> CustomerBadgesView:
    return CustomerBadgesView(
        customer_id=str(found.customer_id),
        badges=[CustomerBadgeView(**_values(CustomerBadgeView, each)) for each in found.badges],
    )
