"""The ways into the merchants' shops: one GraphQL client for each, with the token that auth gives."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import httpx

from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.kit.shopify.graphql import GraphQL
from loyalnest.kit.shopify.throttle import CostBuckets


class Access(Protocol):
    """What auth's GetShopAccess answers, of which the kit cannot know."""

    @property
    def connected(self) -> bool:
        """Whether there is a token at all."""

    @property
    def shop_domain(self) -> str:
        """The shop's permanent domain."""

    @property
    def access_token(self) -> str:
        """A token that should work now."""


Ask = Callable[[str], Awaitable[Access]]
"""Asks auth for the way into the shop of the merchant in whose context it is called; is given a token that Shopify
refused, or nothing."""


class ShopConnections:
    """The shops' clients of one process. Each remembers what its calls cost and shares the shop's cost bucket."""

    def __init__(self, endpoint: ShopEndpoint, ask: Ask) -> None:
        self._endpoint = endpoint
        self._ask = ask
        # Shopify answers in well under a second; who waits longer tries again later.
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(10.0, connect=3.0))
        self._buckets = CostBuckets()
        self._shops: dict[str, GraphQL] = {}

    async def graphql(self, merchant_id: str) -> GraphQL | None:
        """The client of a merchant's shop; None if LoyalNest is not connected to it. Raises one of OUTAGES."""
        access = await self._access(merchant_id)
        if not access.connected:
            return None
        if merchant_id not in self._shops:
            self._shops[merchant_id] = self._client(merchant_id, access.shop_domain)
        return self._shops[merchant_id]

    async def close(self) -> None:
        """Close the connections to Shopify."""
        await self._http.aclose()

    async def _access(self, merchant_id: str, refused: str = "") -> Access:
        with as_merchant(merchant_id):
            return await self._ask(refused)

    def _client(self, merchant_id: str, shop_domain: str) -> GraphQL:
        async def token() -> str:
            access = await self._access(merchant_id)
            if not access.connected:
                raise Unavailable("The shop is no longer connected to Shopify: install the app again.")
            return access.access_token

        async def refused(access_token: str) -> None:
            await self._access(merchant_id, access_token)

        bucket = self._buckets.of("loyalnest", shop_domain)
        return GraphQL(self._http, self._endpoint, shop_domain, token, bucket, token_refused=refused)
