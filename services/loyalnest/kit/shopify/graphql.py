"""GraphQL calls to the Admin API of one shop, behind its cost bucket.

A call ends in one of four ways that a caller must tell apart: it was done; Shopify refused it (ShopifyRefused,
Unauthenticated); it was not made for want of time or room (RateLimited, DeadlineExceeded); or nobody knows
(Unavailable), and it has to be made again with the same arguments, which `AdminApi.create_discount_code` allows.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx
import msgspec

from loyalnest.kit import context
from loyalnest.kit.errors import DeadlineExceeded, PreconditionFailed, Unauthenticated, Unavailable
from loyalnest.kit.shopify.endpoint import ShopEndpoint, shop_domain
from loyalnest.kit.shopify.throttle import CostBucket, ThrottleStatus, throttled

API_VERSION = "2026-10"
"""Shopify keeps a version for a year; the next is due by October 2027."""

TOTAL_SECONDS = 20.0
ATTEMPT_SECONDS = 10.0
_TIMEOUT = httpx.Timeout(ATTEMPT_SECONDS, connect=3.0)
_USUAL_COST = 10.0  # what a call of unknown cost is reckoned with; a mutation costs 10
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class ShopifyRefused(PreconditionFailed):
    """Shopify understood the call and will not do it; `detail` carries its own words."""

    slug, title = "shopify-refused", "Shopify refused"


TokenProvider = Callable[[], Awaitable[str]]
"""Gives the shop's access token, refreshed if it is about to expire."""

TokenRefused = Callable[[str], Awaitable[None]]
"""Is told an access token that Shopify does not accept any more."""


class _Cost(msgspec.Struct, rename="camel"):
    requested_query_cost: float | None = None
    throttle_status: ThrottleStatus | None = None


class _Extensions(msgspec.Struct):
    cost: _Cost | None = None


class _ErrorExtensions(msgspec.Struct):
    code: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    extensions: _ErrorExtensions = msgspec.field(default_factory=_ErrorExtensions)


class _Reply(msgspec.Struct):
    data: dict[str, Any] | None = None
    errors: list[_Error] | str | None = None
    extensions: _Extensions | None = None

    @property
    def status(self) -> ThrottleStatus | None:
        return self.extensions.cost.throttle_status if self.extensions and self.extensions.cost else None

    @property
    def cost(self) -> float | None:
        return self.extensions.cost.requested_query_cost if self.extensions and self.extensions.cost else None


_DECODER = msgspec.json.Decoder(_Reply, float_hook=Decimal)


class GraphQL:
    """Calls of one app to one shop. Fractions in `data` are decoded to Decimal, never to float."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        endpoint: ShopEndpoint,
        shop: str,
        token_provider: TokenProvider,
        bucket: CostBucket,
        *,
        api_version: str = API_VERSION,
        token_refused: TokenRefused | None = None,
    ) -> None:
        """`token_refused` is told a token that Shopify answered 401 to, before `token_provider` is asked once more:
        another process may have refreshed it. Raises InvalidInput if `shop` is no shop's domain.
        """
        self.shop = shop_domain(shop)
        self._http = http
        self._endpoint = endpoint
        self._token = token_provider
        self._token_refused = token_refused
        self._bucket = bucket
        self._path = f"/admin/api/{api_version}/graphql.json"
        self._costs: dict[str, float] = {}

    async def call(
        self, query: str, variables: Mapping[str, Any] | None = None, *, timeout: float = TOTAL_SECONDS
    ) -> dict[str, Any]:
        """The `data` of a GraphQL call, waiting for the cost bucket for up to `timeout` seconds in all, and not
        beyond the deadline of the call that is being served.

        Raises as the module says; DeadlineExceeded if no time was left to begin.
        """
        remaining = context.current().remaining()
        deadline = time.monotonic() + (timeout if remaining is None else min(timeout, remaining))
        while True:
            cost = self._costs.get(query, _USUAL_COST)
            await self._bucket.take(cost, deadline)
            reply: _Reply | None = None
            try:
                reply = await self._attempt(query, variables, deadline)
            finally:
                self._bucket.settle(cost, reply.status if reply else None)
            if reply.cost is not None:
                self._costs[query] = reply.cost
            if (wait := self._throttled_for(query, reply)) is None:
                return self._data(reply)
            if time.monotonic() + wait > deadline:
                raise throttled(wait)
            await asyncio.sleep(wait)

    def _throttled_for(self, query: str, reply: _Reply) -> float | None:
        """Seconds to wait if the call was throttled, else None."""
        if isinstance(reply.errors, list) and any(error.extensions.code == "THROTTLED" for error in reply.errors):
            if reply.status is None:
                self._bucket.drained()
            return max(0.05, self._bucket.seconds_until(self._costs.get(query, _USUAL_COST)))
        return None

    async def _attempt(self, query: str, variables: Mapping[str, Any] | None, deadline: float) -> _Reply:
        body = _ENCODER.encode({"query": query, "variables": variables or {}})
        token = await self._token()
        response = await self._post(body, token, deadline)
        if response.status_code == 401:
            if self._token_refused is not None:
                await self._token_refused(token)
            if (fresh := await self._token()) != token:
                response = await self._post(body, fresh, deadline)
        return self._reply(response)

    async def _post(self, body: bytes, token: str, deadline: float) -> httpx.Response:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("No time was left to call Shopify.")
        try:
            async with asyncio.timeout(min(remaining, ATTEMPT_SECONDS)):
                return await self._http.post(
                    self._endpoint.url(self.shop, self._path),
                    content=body,
                    headers={
                        **self._endpoint.headers(self.shop),
                        "Content-Type": "application/json",
                        "X-Shopify-Access-Token": token,
                    },
                    extensions=dict(self._endpoint.extensions(self.shop)),
                    timeout=_TIMEOUT,
                    follow_redirects=False,
                )
        except (httpx.TransportError, TimeoutError) as error:
            raise Unavailable(f"Shopify's API of {self.shop} does not answer ({type(error).__name__}).") from error

    def _reply(self, response: httpx.Response) -> _Reply:
        status = response.status_code
        if status in (401, 403):
            raise Unauthenticated(
                f"Shopify refuses the app's token for {self.shop} ({status}); the merchant has to open the app again."
            )
        if status == 429:
            return _Reply(errors=[_Error("Throttled", _ErrorExtensions("THROTTLED"))])
        if status >= 500 or status in (408, 423):
            raise Unavailable(f"Shopify's API of {self.shop} answered {status}; try again later.")
        if status != 200:
            raise ShopifyRefused(f"Shopify's API of {self.shop} answered {status}: the shop is closed, frozen or gone.")
        try:
            return _DECODER.decode(response.content)
        except msgspec.DecodeError as error:
            raise Unavailable(f"Shopify's API of {self.shop} answered with something else than GraphQL.") from error

    def _data(self, reply: _Reply) -> dict[str, Any]:
        if reply.errors:
            errors = [_Error(reply.errors)] if isinstance(reply.errors, str) else reply.errors
            words = "; ".join(error.message for error in errors)[:500]
            if any(error.extensions.code in ("INTERNAL_SERVER_ERROR", "TIMEOUT") for error in errors):
                raise Unavailable(f"Shopify's API of {self.shop} failed: {words}.")
            raise ShopifyRefused(f"Shopify: {words}")
        if reply.data is None:
            raise Unavailable(f"Shopify's API of {self.shop} answered without data.")
        return reply.data
