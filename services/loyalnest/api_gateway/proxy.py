"""Calls of the storefront widget, which come through Shopify's app proxy.

Shopify signs the query, and with it who is logged in at the shop; nothing else says for whom a call is made. The routes
are the services' own (`Service.shopper_routes`).
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Query, Request

from loyalnest.api_gateway.limits import Limit, Limiter
from loyalnest.api_gateway.merchants import Merchant, Merchants
from loyalnest.kit import context as call_context
from loyalnest.kit.clock import Clock
from loyalnest.kit.errors import InvalidInput, Unauthenticated
from loyalnest.kit.http.edge import route_of
from loyalnest.kit.http.fields import MAX_ID
from loyalnest.kit.http.shopper import ROLE, Items, actor_of, single
from loyalnest.kit.shopify.signatures import proxy_is_genuine

FRESH_SECONDS: Final = 300
"""How long a signed address may be used."""
AHEAD_SECONDS: Final = 60
"""How far Shopify's clock may be before ours."""


class ShopperCalls:
    """The dependency of every route behind the app proxy: the route runs in the context of the shop and its shopper."""

    def __init__(self, merchants: Merchants, limiter: Limiter, limit: Limit, clock: Clock) -> None:
        self._merchants = merchants
        self._limiter = limiter
        self._limit = limit
        self._clock = clock

    async def __call__(
        self,
        request: Request,
        shop: Annotated[str, Query(description="The shop's domain; Shopify adds it.")] = "",
        timestamp: Annotated[str, Query(description="Unix time; Shopify adds it.")] = "",
        signature: Annotated[str, Query(description="Shopify's signature of the query.")] = "",
        logged_in_customer_id: Annotated[str, Query(description="Empty for a guest; Shopify adds it.")] = "",
    ) -> AsyncIterator[None]:
        """Serve the request as who is logged in at the shop. Raises Unauthenticated, NotFound, RateLimited."""
        items = request.query_params.multi_items()
        merchant = await genuine_merchant(self._merchants, items, self._clock().timestamp())
        customer_id = customer_of(items)
        await self._limiter.count(merchant.merchant_id, route_of(request.scope).lstrip("/"), self._limit)
        shopper = replace(
            call_context.current(), merchant_id=merchant.merchant_id, actor=actor_of(customer_id), role=ROLE
        )
        with call_context.use(shopper):
            yield


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
