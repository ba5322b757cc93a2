"""What LoyalNest does in a shop: it reads the currency and makes discount codes for rewards.

`create_discount_code` may be repeated after a crash and still makes one code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from loyalnest.kit.errors import InvalidInput, LoyalNestError, Unavailable
from loyalnest.kit.shopify.graphql import GraphQL, ShopifyRefused

__all__ = ["AdminApi", "DiscountResult", "ShopInfo", "ShopifyRefused"]

_SHOP = "query Shop { shop { name currencyCode } }"

_CREATE = """
mutation CreateRewardCode($input: DiscountCodeBasicInput!) {
  discountCodeBasicCreate(basicCodeDiscount: $input) {
    codeDiscountNode { id }
    userErrors { field code message }
  }
}
"""

_FIND = """
query RewardCode($code: String!) {
  codeDiscountNodeByCode(code: $code) { id codeDiscount { ... on DiscountCodeBasic { title } } }
}
"""


@dataclass(frozen=True, slots=True)
class ShopInfo:
    """`currency` is the shop's own, as an ISO 4217 code: fixed discounts are in it."""

    name: str
    currency: str


@dataclass(frozen=True, slots=True)
class DiscountResult:
    """`node_id` is Shopify's `gid://shopify/DiscountCodeNode/…`; `created` is False if an earlier try had made it."""

    node_id: str
    created: bool


class _UserError(msgspec.Struct):
    message: str
    code: str | None = None


class _Node(msgspec.Struct):
    id: str


class _Created(msgspec.Struct, rename="camel"):
    user_errors: list[_UserError]
    code_discount_node: _Node | None = None


class AdminApi:
    """One app in one shop. Keep it while it is used: it remembers the shop's currency and what calls cost."""

    def __init__(self, api: GraphQL) -> None:
        self._api = api
        self._shop: ShopInfo | None = None

    async def shop(self) -> ShopInfo:
        """The shop's name and currency, asked once. Raises as `GraphQL.call`."""
        if self._shop is None:
            shop = (await self._api.call(_SHOP))["shop"]
            self._shop = ShopInfo(shop["name"], shop["currencyCode"])
        return self._shop

    async def create_discount_code(
        self,
        code: str,
        title: str,
        *,
        currency: str,
        starts_at: datetime,
        amount: Decimal | None = None,
        percentage: Decimal | None = None,
        usage_limit: int = 1,
    ) -> DiscountResult:
        """Make `code`, which takes `amount` (in `currency`, once per order) or `percentage` (of 100) off an order.
        A percentage is in no currency; `currency` is then not looked at.

        `title` must be unique to the redemption (shops show it to staff only): a code that is there already counts
        as this one exactly if its title is the same. So the call may be repeated with the same arguments after
        Unavailable, a crash or a timeout, and makes one code. It has to be repeated before what was held for it is
        given back: errors speak of their own call, and an earlier one that nobody answered may have made the code.

        Raises InvalidInput for arguments that make no discount, ShopifyRefused with Shopify's words, also for a
        code that is someone else's and for a shop in another currency, and as `GraphQL.call`.
        """
        value = _value(amount, percentage)
        if amount is not None:
            await self._require_currency(currency)
        data = await self._api.call(_CREATE, {"input": _input(code, title, starts_at, value, usage_limit)})
        result = msgspec.convert(data["discountCodeBasicCreate"], _Created)
        if result.code_discount_node is not None and not result.user_errors:
            return DiscountResult(result.code_discount_node.id, created=True)
        if any(error.code == "TAKEN" for error in result.user_errors):
            return await self._ours(code, title)
        words = "; ".join(error.message for error in result.user_errors) or "it made no code and did not say why"
        raise ShopifyRefused(f"Shopify refused the discount code: {words}")

    async def _ours(self, code: str, title: str) -> DiscountResult:
        try:
            node = (await self._api.call(_FIND, {"code": code}))["codeDiscountNodeByCode"]
        except LoyalNestError as error:  # whether the code is ours is open: a refusal would be believed
            raise Unavailable(f"The code is taken, and whether by this reward is not known: {error.detail}") from error
        if node is None:
            raise Unavailable("Shopify says the code is taken and does not find it: ask again.")
        if node["codeDiscount"].get("title") == title:
            return DiscountResult(node["id"], created=False)
        raise ShopifyRefused("Shopify refused the discount code: the shop has another discount with this code")

    async def _require_currency(self, currency: str) -> None:
        shop = await self.shop()
        if shop.currency != currency:
            raise ShopifyRefused(
                f"The reward is in {currency or 'no currency'}, but the shop sells in {shop.currency}: "
                "set the program's currency to the shop's."
            )


def _value(amount: Decimal | None, percentage: Decimal | None) -> Mapping[str, Any]:
    if (amount is None) == (percentage is None):
        raise InvalidInput("A discount is either an amount or a percentage.")
    if amount is not None:
        if not amount.is_finite() or amount <= 0:
            raise InvalidInput("A discount's amount is above 0.")
        return {"discountAmount": {"amount": format(amount, "f"), "appliesOnEachItem": False}}
    if percentage is None or not percentage.is_finite() or not 0 < percentage <= 100:
        raise InvalidInput("A discount's percentage is above 0 and at most 100.")
    return {"percentage": percentage.scaleb(-2)}


def _input(code: str, title: str, starts_at: datetime, value: Mapping[str, Any], usage_limit: int) -> Mapping[str, Any]:
    return {
        "title": title,
        "code": code,
        "startsAt": starts_at,
        "usageLimit": usage_limit,
        "appliesOncePerCustomer": True,
        "context": {"all": "ALL"},
        "customerGets": {"value": value, "items": {"all": True}},
    }
