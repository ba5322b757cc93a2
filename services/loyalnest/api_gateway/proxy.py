"""`GET /proxy/points`: the storefront widget's call, through Shopify's app proxy.

Shopify signs the query, and with it who is logged in at the shop; nothing else says whose points are shown.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from loyalnest.api_gateway.limits import Limit, Limiter
from loyalnest.api_gateway.merchants import Merchant, Merchants
from loyalnest.kit import context as call_context
from loyalnest.kit.clock import Clock
from loyalnest.kit.errors import InvalidInput, Unauthenticated
from loyalnest.kit.http.fields import MAX_ID
from loyalnest.kit.shopify.signatures import proxy_is_genuine
from loyalnest.points import points_pb2 as pb
from loyalnest.points.points_pb2_grpc import PointsServiceStub

FRESH_SECONDS: Final = 300
"""How long a signed address may be used."""
AHEAD_SECONDS: Final = 60
"""How far Shopify's clock may be before ours."""

Items = Sequence[tuple[str, str]]


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


def routes(merchants: Merchants, points: PointsServiceStub, limiter: Limiter, limit: Limit, clock: Clock) -> APIRouter:
    """The router of `/proxy/…`."""
    router = APIRouter(prefix="/proxy", tags=["widget"])

    @router.get("/points", summary="The logged-in shopper's points, for the storefront widget")
    async def shopper_points(
        request: Request,
        shop: Annotated[str, Query(description="The shop's domain; Shopify adds it.")] = "",
        timestamp: Annotated[str, Query(description="Unix time; Shopify adds it.")] = "",
        signature: Annotated[str, Query(description="Shopify's signature of the query.")] = "",
        logged_in_customer_id: Annotated[str, Query(description="Empty for a guest; Shopify adds it.")] = "",
    ) -> WidgetView:
        items = request.query_params.multi_items()
        merchant = await genuine_merchant(merchants, items, clock().timestamp())
        customer_id = customer_of(items)
        await limiter.count(merchant.merchant_id, "proxy/points", limit)
        shopper = replace(
            call_context.current(),
            merchant_id=merchant.merchant_id,
            actor=f"shopper:{customer_id}" if customer_id else "shopper:guest",
            role="shopper",
        )
        with call_context.use(shopper):
            rewards = await points.ListRewards(pb.ListRewardsRequest())
            found = (
                await points.GetPointsBalance(pb.GetPointsBalanceRequest(customer_id=customer_id))
                if customer_id
                else None
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


async def genuine_merchant(merchants: Merchants, items: Items, now: float) -> Merchant:
    """The merchant whose shop signed the query `items` within the last five minutes; `now` is Unix time.

    Raises Unauthenticated, NotFound for an unknown shop.
    """
    if not single(items, "signature"):
        raise Unauthenticated("The signature of Shopify's app proxy is missing.")
    shop = single(items, "shop")
    if not shop:
        raise Unauthenticated("shop: must be there once; Shopify's app proxy adds it")
    merchant = await merchants.of_shop(shop)
    genuine = [proxy_is_genuine(secret, items) for secret in merchant.secrets]  # all, so that time does not tell which
    if not any(genuine):
        raise Unauthenticated("The query is not signed by the shop's app proxy.")
    written = single(items, "timestamp")
    if not (written.isascii() and written.isdigit() and len(written) <= 12):
        raise Unauthenticated("timestamp: must be there once, in Unix seconds")
    if not -AHEAD_SECONDS <= now - int(written) <= FRESH_SECONDS:
        raise Unauthenticated("The signed address is too old; load the page again.")
    return merchant


def customer_of(items: Items) -> int | None:
    """The customer who is logged in at the shop by a genuine query; None for a guest. Raises InvalidInput."""
    given = [value for name, value in items if name == "logged_in_customer_id"]
    if given in ([], [""]):
        return None
    text = given[0] if len(given) == 1 else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= MAX_ID):
        raise InvalidInput("logged_in_customer_id: must be one customer's id")
    return int(text)


def single(items: Items, name: str) -> str:
    """The value of a parameter that comes exactly once, else nothing: a shopper may add parameters of any name."""
    given = [value for each, value in items if each == name]
    return given[0] if len(given) == 1 else ""
