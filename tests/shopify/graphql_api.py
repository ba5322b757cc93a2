"""The stand-in's GraphQL Admin API: the part of Shopify's schema (2026-10) that LoyalNest uses, checked for real.

A query is parsed and validated against the schema, so that a misspelt field fails here as it would at Shopify.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from starlette.responses import JSONResponse, Response

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
type Query { shop: Shop! codeDiscountNodeByCode(code: String!): DiscountCodeNode }
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
    try:
        asked = json.loads(body)
        document = parse(asked["query"])
    except (ValueError, KeyError, TypeError, GraphQLError) as error:
        return JSONResponse({"errors": [{"message": f"syntax error: {error}"}]})
    if mistakes := validate(SCHEMA, document):
        return JSONResponse({"errors": [{"message": one.message} for one in mistakes]})
    operation = next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    state.seen.append(Seen("POST", path, shop.domain, operation.name.value if operation.name else ""))
    requested = requested_cost(document, operation)
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


def requested_cost(document: DocumentNode, operation: OperationDefinitionNode) -> int:
    """10 for a mutation, 1 for an object, nothing for a scalar (shopify.dev "Cost calculation"; connections are
    not in this schema's part that LoyalNest asks for).
    """
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}

    def objects(selection_set: SelectionSetNode | None) -> int:
        total = 0
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode) and selection.selection_set:
                total += 1 + objects(selection.selection_set)
            elif isinstance(selection, InlineFragmentNode):
                total += objects(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                total += objects(fragments[selection.name.value].selection_set)
        return total

    return max(1, objects(operation.selection_set)) + _mutations(operation)


def actual_cost(data: Variables | None, operation: OperationDefinitionNode) -> int:
    """The same, of what was answered: what is null cost nothing."""

    def objects(value: Any) -> int:
        if isinstance(value, dict):
            return sum(
                1 + objects(one) for one in value.values() if isinstance(one, dict) or (isinstance(one, list) and one)
            )
        return max((objects(one) for one in value), default=0) if isinstance(value, list) else 0

    return max(1, objects(data)) + _mutations(operation)


def _mutations(operation: OperationDefinitionNode) -> int:
    if operation.operation is not OperationType.MUTATION:
        return 0
    return 9 * len(operation.selection_set.selections)  # the tenth is the object it answers with


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
