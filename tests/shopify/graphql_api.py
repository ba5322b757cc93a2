"""The stand-in's GraphQL Admin API: the part of Shopify's schema (2026-10) that LoyalNest uses, checked for real.

A query is parsed and validated against the schema, so that a misspelt field fails here as it would at Shopify.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from graphql import (
    GraphQLError,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from starlette.responses import JSONResponse, Response

from shopify import orders
from shopify.costs import MOST_COST, actual_cost, requested_cost
from shopify.model import Discount, Grant, Seen, Shop
from shopify.state import State

SCHEMA = build_schema("""
scalar DateTime
scalar Decimal
enum CurrencyCode { USD EUR GBP JPY CAD }
enum DiscountBuyerSelection { ALL }
type Shop { id: ID! name: String! myshopifyDomain: String! currencyCode: CurrencyCode! }
type DiscountRedeemCode { code: String! }
type DiscountRedeemCodeConnection { nodes: [DiscountRedeemCode!]! }
type DiscountCodeBasic {
  title: String! usageLimit: Int startsAt: DateTime! codes(first: Int): DiscountRedeemCodeConnection!
}
type DiscountCodeBxgy { title: String! }
union DiscountCode = DiscountCodeBasic | DiscountCodeBxgy
type DiscountCodeNode { id: ID! codeDiscount: DiscountCode! }
enum DiscountErrorCode { BLANK TAKEN TOO_LONG VALUE_OUTSIDE_RANGE INVALID MISSING_ARGUMENT }
type DiscountUserError { code: DiscountErrorCode field: [String!] message: String! extraInfo: String }
type DiscountCodeBasicCreatePayload { codeDiscountNode: DiscountCodeNode userErrors: [DiscountUserError!]! }
input DiscountCustomersInput { add: [ID!] remove: [ID!] }
input DiscountContextInput { all: DiscountBuyerSelection customers: DiscountCustomersInput }
input DiscountCustomerSelectionInput { all: Boolean customers: DiscountCustomersInput }
input DiscountAmountInput { amount: Decimal appliesOnEachItem: Boolean }
input DiscountCustomerGetsValueInput { discountAmount: DiscountAmountInput percentage: Float }
input DiscountItemsInput { all: Boolean }
input DiscountCustomerGetsInput { value: DiscountCustomerGetsValueInput items: DiscountItemsInput }
input DiscountCombinesWithInput { orderDiscounts: Boolean productDiscounts: Boolean shippingDiscounts: Boolean }
input DiscountMinimumSubtotalInput { greaterThanOrEqualToSubtotal: Decimal }
input DiscountMinimumRequirementInput { subtotal: DiscountMinimumSubtotalInput }
input DiscountCodeBasicInput {
  title: String code: String startsAt: DateTime endsAt: DateTime usageLimit: Int appliesOncePerCustomer: Boolean
  context: DiscountContextInput customerSelection: DiscountCustomerSelectionInput tags: [String!]
  customerGets: DiscountCustomerGetsInput combinesWith: DiscountCombinesWithInput
  minimumRequirement: DiscountMinimumRequirementInput
}
type PageInfo { hasNextPage: Boolean! endCursor: String }
type MoneyV2 { amount: Decimal! currencyCode: CurrencyCode! }
type MoneyBag { shopMoney: MoneyV2! presentmentMoney: MoneyV2! }
type Product { id: ID! }
type Customer { id: ID! firstName: String lastName: String }
type MailingAddress {
  name: String company: String address1: String address2: String city: String zip: String province: String
  country: String phone: String
}
type Attribute { key: String! value: String }
type DiscountAllocation { allocatedAmountSet: MoneyBag! }
type LineItem {
  id: ID! quantity: Int! isGiftCard: Boolean! product: Product originalUnitPriceSet: MoneyBag!
  discountAllocations: [DiscountAllocation!]!
}
type LineItemConnection { nodes: [LineItem!]! pageInfo: PageInfo! }
type RefundLineItem { quantity: Int! subtotalSet: MoneyBag! lineItem: LineItem! }
type RefundLineItemConnection { nodes: [RefundLineItem!]! pageInfo: PageInfo! }
type Refund { id: ID! createdAt: DateTime refundLineItems(first: Int, after: String): RefundLineItemConnection! }
enum OrderDisplayFinancialStatus { AUTHORIZED EXPIRED PAID PARTIALLY_PAID PARTIALLY_REFUNDED PENDING REFUNDED VOIDED }
enum OrderSortKeys { CREATED_AT ID UPDATED_AT }
type Order {
  id: ID! createdAt: DateTime! processedAt: DateTime! updatedAt: DateTime! cancelledAt: DateTime test: Boolean!
  currencyCode: CurrencyCode! displayFinancialStatus: OrderDisplayFinancialStatus customerLocale: String
  email: String phone: String discountCodes: [String!]! customAttributes: [Attribute!]! customer: Customer
  billingAddress: MailingAddress shippingAddress: MailingAddress refunds(first: Int): [Refund!]!
  lineItems(first: Int, after: String): LineItemConnection!
}
type OrderConnection { nodes: [Order!]! pageInfo: PageInfo! }
type Query {
  shop: Shop!
  codeDiscountNodeByCode(code: String!): DiscountCodeNode
  orders(first: Int, after: String, query: String, sortKey: OrderSortKeys): OrderConnection!
  order(id: ID!): Order
  refund(id: ID!): Refund
}
type Mutation {
  discountCodeBasicCreate(basicCodeDiscount: DiscountCodeBasicInput!): DiscountCodeBasicCreatePayload
}
""")

Variables = dict[str, Any]


class Root:
    """The root value of one call: it resolves the queries and mutations for one shop and grant."""

    def __init__(self, state: State, shop: Shop, grant: Grant) -> None:
        self._state = state
        self._shop = shop
        self._scopes = set(grant.scope.split(","))

    def shop(self, info: object) -> Variables:
        """`shop`."""
        return {
            "id": "gid://shopify/Shop/1",
            "name": self._shop.name,
            "myshopifyDomain": self._shop.domain,
            "currencyCode": self._shop.currency,
        }

    def codeDiscountNodeByCode(self, info: object, code: str) -> Variables | None:  # noqa: N802
        """`codeDiscountNodeByCode`: codes do not differ by case."""
        self._need("read_discounts", "codeDiscountNodeByCode")
        found = self._find(code)
        return _node(found) if found else None

    def discountCodeBasicCreate(self, info: object, basicCodeDiscount: Variables) -> Variables:  # noqa: N802, N803
        """`discountCodeBasicCreate`."""
        self._need("write_discounts", "discountCodeBasicCreate")
        asked = basicCodeDiscount
        errors = _mistakes(asked)
        if asked.get("code") and self._find(asked["code"]):
            errors.append(_mistake("TAKEN", "code", "Code must be unique. Please try a different code."))
        if errors:
            return {"codeDiscountNode": None, "userErrors": errors}
        value = asked["customerGets"]["value"]
        amount = value.get("discountAmount")
        discount = Discount(
            node_id=f"gid://shopify/DiscountCodeNode/{next(self._state.ids)}",
            code=asked["code"],
            title=asked["title"],
            amount=Decimal(str(amount["amount"])) if amount else None,
            percentage=Decimal(str(value["percentage"])) if "percentage" in value else None,
            usage_limit=asked.get("usageLimit"),
            starts_at=asked["startsAt"],
        )
        self._state.discounts.setdefault(self._shop.domain, []).append(discount)
        return {"codeDiscountNode": _node(discount), "userErrors": []}

    def orders(self, info: object, first: int, after: str | None = None, query: str = "", sortKey: str = "ID") -> Any:  # noqa: N803
        """`orders`, sorted as LoyalNest asks for them and filtered by `updated_at`."""
        self._need("read_orders", "orders")
        if sortKey != "UPDATED_AT":
            raise GraphQLError(f"The stand-in sorts orders by UPDATED_AT only, not by {sortKey}.")
        return orders.page(orders.changed(self._orders(), query), first, after, orders.node)

    def order(self, info: object, id: str) -> Variables | None:  # noqa: A002
        """`order`."""
        self._need("read_orders", "order")
        found = next((body for body in self._orders() if body["admin_graphql_api_id"] == id), None)
        return orders.node(found) if found else None

    def refund(self, info: object, id: str) -> Variables | None:  # noqa: A002
        """`refund`."""
        self._need("read_orders", "refund")
        each = ((body, refund) for body in self._orders() for refund in body["refunds"])
        return next((orders.refund(*pair) for pair in each if pair[1]["admin_graphql_api_id"] == id), None)

    def _orders(self) -> list[Variables]:
        return list(self._state.orders.get(self._shop.domain, {}).values())

    def _find(self, code: str) -> Discount | None:
        made = self._state.discounts.get(self._shop.domain, [])
        return next((one for one in made if one.code.casefold() == code.casefold()), None)

    def _need(self, scope: str, field: str) -> None:
        if scope not in self._scopes:
            message = f"Access denied for {field} field. Required access: `{scope}` access scope."
            raise GraphQLError(message, extensions={"code": "ACCESS_DENIED"})


def answer(state: State, shop: Shop, token: str, body: bytes, path: str) -> Response:
    """One POST to graphql.json: the token is checked, the cost taken, the call made."""
    grant = state.authenticate(shop, token)
    if grant is None:
        words = "[API] Invalid API key or access token (unrecognized login or wrong password)"
        return JSONResponse({"errors": words}, 401)
    if grant.expires_at is None and shop.app.must_expire:
        words = "Non-expiring access tokens are no longer accepted for the Admin API."
        return JSONResponse({"errors": words}, 403)
    return _call(state, shop, grant, body, path)


def _call(state: State, shop: Shop, grant: Grant, body: bytes, path: str) -> Response:
    try:
        asked = json.loads(body)
        document = parse(asked["query"])
    except (ValueError, KeyError, TypeError, GraphQLError) as error:
        return JSONResponse({"errors": [{"message": f"syntax error: {error}"}]})
    if mistakes := validate(SCHEMA, document):
        return JSONResponse({"errors": [{"message": one.message} for one in mistakes]})
    operation = next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    state.seen.append(Seen("POST", path, shop.domain, operation.name.value if operation.name else ""))
    requested = requested_cost(document, operation, asked.get("variables") or {})
    if requested > MOST_COST:
        words = f"Query cost is {requested}, which exceeds the single query max cost limit {MOST_COST}."
        return JSONResponse({"errors": [{"message": words, "extensions": {"code": "MAX_COST_EXCEEDED"}}]})
    bucket = state.bucket(shop)
    if bucket.available(state.now()) < requested:
        throttled = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        cost: Variables = {"requestedQueryCost": requested, "actualQueryCost": None}
        cost["throttleStatus"] = bucket.status(state.now())
        return JSONResponse({"errors": [throttled], "extensions": {"cost": cost}})
    result = execute_sync(SCHEMA, document, Root(state, shop, grant), variable_values=asked.get("variables"))
    actual = min(requested, actual_cost(result.data, operation))
    bucket.level -= actual
    reply: Variables = {"data": result.data}
    if result.errors:
        reply["errors"] = [error.formatted for error in result.errors]
    cost = {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": bucket.status(state.now())}
    return JSONResponse({**reply, "extensions": {"cost": cost}})


def _mistakes(asked: Variables) -> list[Variables]:
    errors = [
        _mistake("BLANK", name, f"{label} can't be blank")
        for name, label in (("title", "Title"), ("code", "Code"), ("startsAt", "Starts at"))
        if not asked.get(name)
    ]
    if len(asked.get("code") or "") > 255:
        errors.append(_mistake("TOO_LONG", "code", "Code is too long (maximum is 255 characters)"))
    if not asked.get("context") and not asked.get("customerSelection"):
        errors.append(_mistake("BLANK", "context", "Context can't be blank"))
    gets = asked.get("customerGets") or {}
    value = gets.get("value") or {}
    if not (gets.get("items") or {}).get("all"):
        errors.append(_mistake("MISSING_ARGUMENT", "customerGets", "Items must be provided"))
    if ("percentage" in value) == ("discountAmount" in value):
        errors.append(_mistake("INVALID", "customerGets", "Exactly one value must be given"))
    elif "percentage" in value and not 0 < value["percentage"] <= 1:
        errors.append(_mistake("VALUE_OUTSIDE_RANGE", "customerGets", "Value must be between 0.0 and 1.0"))
    elif "discountAmount" in value and _decimal(value["discountAmount"].get("amount")) <= 0:
        errors.append(_mistake("VALUE_OUTSIDE_RANGE", "customerGets", "Value must be greater than 0"))
    return errors


def _mistake(code: str, field: str, message: str) -> Variables:
    return {"code": code, "field": ["basicCodeDiscount", field], "message": message, "extraInfo": None}


def _decimal(value: object) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)


def _node(discount: Discount) -> Variables:
    basic = {
        "__typename": "DiscountCodeBasic",
        "title": discount.title,
        "usageLimit": discount.usage_limit,
        "startsAt": discount.starts_at,
        "codes": {"nodes": [{"code": discount.code}]},
    }
    return {"id": discount.node_id, "codeDiscount": basic}
