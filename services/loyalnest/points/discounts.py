"""Turns a redemption into a discount code: at Shopify where the shop is connected, else locally."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from loyalnest.kit.errors import Unauthenticated, Unavailable
from loyalnest.kit.shopify.admin_api import AdminApi, ShopifyRefused
from loyalnest.kit.shopify.connections import ShopConnections
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
    """Makes codes in the shops that are connected, and local ones for the others."""

    def __init__(self, shops: ShopConnections) -> None:
        self._shops = shops
        self._apis: dict[str, AdminApi] = {}

    async def issue(self, redemption: Redemption) -> Issued | Refused:
        shop = await self._shops.graphql(redemption.merchant_id)
        if shop is None:
            return Issued(by="local")
        discount = redemption.discount
        try:
            made = await self._apis.setdefault(redemption.merchant_id, AdminApi(shop)).create_discount_code(
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
