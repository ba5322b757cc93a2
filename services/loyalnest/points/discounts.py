"""Turns a redemption into a discount code: at Shopify where the shop is connected, else locally."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import httpx

from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.kit.context import as_merchant
from loyalnest.kit.errors import Unauthenticated, Unavailable
from loyalnest.kit.shopify.admin_api import AdminApi, ShopifyRefused
from loyalnest.kit.shopify.endpoint import ShopEndpoint
from loyalnest.kit.shopify.throttle import CostBuckets
from loyalnest.points.redemption_repository import Redemption


@dataclass(frozen=True, slots=True)
class Issued:
    """The code may be used. by: `shopify` or `local`."""

    by: str
    discount_id: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Shopify will not make this code, whatever is tried."""

    reason: str


class DiscountIssuer(Protocol):
    """Makes discount codes. Asking twice for one redemption makes one code."""

    async def issue(self, redemption: Redemption) -> Issued | Refused:
        """Raises one of OUTAGES if it can't be known now; asking again later is safe."""
        ...


class ShopifyDiscounts:
    """Asks auth for the way into the shop, and Shopify's Admin API for the code."""

    def __init__(self, auth: AuthServiceStub, endpoint: ShopEndpoint) -> None:
        self._auth = auth
        self._endpoint = endpoint
        # Shopify answers in well under a second; a redemption that waits longer is finished by the job.
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(10.0, connect=3.0))
        self._buckets = CostBuckets()
        self._shops: dict[str, AdminApi] = {}

    async def issue(self, redemption: Redemption) -> Issued | Refused:
        with as_merchant(redemption.merchant_id):
            access = await self._auth.GetShopAccess(auth_pb2.GetShopAccessRequest())
        if not access.connected:
            return Issued(by="local")
        discount = redemption.discount
        try:
            made = await self._admin_api(redemption.merchant_id, access.shop_domain).create_discount_code(
                redemption.code,
                title=f"LoyalNest {redemption.reward} {redemption.redemption_id}",
                currency=discount.currency,
                starts_at=redemption.created_at,
                amount=Decimal(discount.amount) if discount.amount else None,
                percentage=Decimal(discount.percentage) if discount.percentage else None,
            )
        except ShopifyRefused as refusal:
            return Refused(refusal.detail)
        except Unauthenticated as refusal:
            # Whether an earlier try made the code is open, and the merchant can connect the shop again: it waits.
            raise Unavailable(f"Shopify no longer lets LoyalNest in: {refusal.detail}") from refusal
        return Issued(by="shopify", discount_id=made.node_id)

    async def close(self) -> None:
        """Close the connections to Shopify."""
        await self._http.aclose()

    def _admin_api(self, merchant_id: str, shop_domain: str) -> AdminApi:
        if merchant_id not in self._shops:

            async def token() -> str:
                with as_merchant(merchant_id):
                    access = await self._auth.GetShopAccess(auth_pb2.GetShopAccessRequest())
                if not access.connected:
                    raise Unavailable("The shop is no longer connected to Shopify: install the app again.")
                return access.access_token

            async def refused(access_token: str) -> None:
                with as_merchant(merchant_id):
                    await self._auth.GetShopAccess(auth_pb2.GetShopAccessRequest(refused_token=access_token))

            self._shops[merchant_id] = AdminApi(
                self._http,
                self._endpoint,
                shop_domain,
                token,
                self._buckets.of("loyalnest", shop_domain),
                token_refused=refused,
            )
        return self._shops[merchant_id]
