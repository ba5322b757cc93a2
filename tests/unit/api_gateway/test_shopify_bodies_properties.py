"""Whatever the bytes, there are facts or a refusal; and the base agrees with a model that counts otherwise."""

import json
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loyalnest.api_gateway.events import OrderFacts, PersonalData, Topic, WebhookReceived
from loyalnest.api_gateway.shopify_bodies import Decoded, decode
from loyalnest.kit.errors import InvalidInput, TooLarge
from loyalnest.kit.events import Event

FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

topics = st.sampled_from([*map(str, Topic), "collections/update"])
ids = st.integers(1, 2**63 - 1).flatmap(lambda number: st.sampled_from([number, str(number)]))


@st.composite
def amounts(draw: st.DrawFn, most: int = 10**9) -> Decimal:
    """An amount of up to four places."""
    return Decimal(draw(st.integers(0, most))).scaleb(-draw(st.integers(0, 4)))


class Number(str):
    """Digits that `dump` writes bare, as a JSON number of exactly these digits; json.dumps writes them as text."""

    __slots__ = ()


money = amounts().map(lambda amount: f"{amount:f}").flatmap(lambda digits: st.sampled_from([digits, Number(digits)]))


def dump(body: Any) -> bytes:
    numbers: list[str] = []

    def mark(value: Any) -> Any:
        if isinstance(value, Number):
            numbers.append(value)
            return f"@@{len(numbers) - 1}@@"
        if isinstance(value, dict):
            return {key: mark(inner) for key, inner in value.items()}
        return [mark(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps(mark(body))
    for index, digits in enumerate(numbers):
        text = text.replace(f'"@@{index}@@"', digits)
    return text.encode()


lines = st.fixed_dictionaries(
    {"id": ids, "price": money, "quantity": st.integers(0, 1000)},
    optional={
        "gift_card": st.sampled_from([True, False, None]),
        "product_id": st.none() | ids,
        "discount_allocations": st.none() | st.lists(st.fixed_dictionaries({"amount": money}), max_size=3),
        "total_discount": money,
        "tax_lines": st.lists(st.fixed_dictionaries({"price": money}), max_size=2),
    },
)
refunded = st.fixed_dictionaries(
    {"subtotal": money}, optional={"line_item": st.fixed_dictionaries({"gift_card": st.booleans()})}
)
refunds = st.fixed_dictionaries({"id": ids, "order_id": ids, "refund_line_items": st.lists(refunded, max_size=4)})
texts = st.none() | st.text(max_size=20)
addresses = st.none() | st.dictionaries(st.sampled_from(["city", "zip", "name", "phone", "latitude"]), texts)
orders = st.fixed_dictionaries(
    {
        "id": ids,
        "financial_status": st.sampled_from(["paid", "pending", "refunded", "voided"]),
        "created_at": st.just("2026-01-02T03:04:05-05:00"),
        "line_items": st.lists(lines, max_size=5),
        "customer": st.none() | st.fixed_dictionaries({"id": ids, "email": texts, "first_name": texts}),
    },
    optional={
        "currency": st.sampled_from(["usd", "EUR", None]),
        "refunds": st.lists(refunds, max_size=2),
        "email": texts,
        "billing_address": addresses,
        "shipping_address": addresses,
        "total_tax": money,
    },
)
customers = st.fixed_dictionaries({"id": ids, "email": texts, "addresses": st.lists(addresses, max_size=3)})
products = st.fixed_dictionaries(
    {"id": ids, "title": texts},
    optional={
        "variants": st.lists(st.fixed_dictionaries({"price": money, "sku": texts}), max_size=3),
        "body_html": texts,
        "tags": texts | st.lists(texts, max_size=3),
        "updated_at": st.just("2026-01-02T03:04:05Z"),
    },
)
bodies = st.one_of(
    st.tuples(st.just("products/update"), products),
    st.tuples(st.just("orders/create"), orders),
    st.tuples(st.just("refunds/create"), refunds),
    st.tuples(st.just("customers/update"), customers),
)


def decided(topic: str, body: bytes) -> Decoded | None:
    """What came out, or None for a refusal. Any other exception fails the test, and so does what cannot travel."""
    try:
        decoded = decode(topic, body)
    except (InvalidInput, TooLarge) as error:
        assert error.detail.isprintable()  # noqa: PT017 - a refusal is one of two right answers
        return None
    received = WebhookReceived(
        delivery_id="d",
        shopify_topic="t",
        order=decoded.order,
        refund=decoded.refund,
        customer=decoded.customer,
        product=decoded.product,
    )
    event: Event = received.event("m", decoded.ordering_key)
    assert WebhookReceived.read(event) == received
    assert "\0" not in str(decoded.personal)
    assert "\0" not in str(decoded.product)
    return decoded


def modelled(order: dict[str, Any]) -> Fraction:
    """The base counted unit by unit of account, in fractions, from a list of signed entries for each line."""

    def entries(line: dict[str, Any]) -> Iterator[Fraction]:
        yield from [Fraction(line["price"])] * line["quantity"]
        yield from (-Fraction(allocation["amount"]) for allocation in line.get("discount_allocations") or [])

    merchandise = [line for line in order["line_items"] if line.get("gift_card") is not True]
    return sum((max(sum(entries(line), Fraction(0)), Fraction(0)) for line in merchandise), Fraction(0))


@FUZZ
@given(orders)
def test_the_base_is_the_models(order: dict[str, Any]) -> None:
    found = decode("orders/create", dump(order)).order
    assert found is not None
    assert Fraction(found.base) == modelled(order)
    assert sum((line.base for line in found.lines if not line.gift_card), Decimal(0)) == found.base
    assert found.order_id == int(order["id"])
    assert [line.line_id for line in found.lines] == [int(line["id"]) for line in order["line_items"]]


@FUZZ
@given(refunds)
def test_the_refunds_base_is_the_models(refund: dict[str, Any]) -> None:
    found = decode("refunds/create", dump(refund)).refund
    assert found is not None
    kept = [line for line in refund["refund_line_items"] if not line.get("line_item", {}).get("gift_card")]
    assert Fraction(found.base) == sum((Fraction(line["subtotal"]) for line in kept), Fraction(0))


@FUZZ
@given(orders)
def test_the_order_of_lines_and_the_shape_of_money_do_not_matter(order: dict[str, Any]) -> None:
    turned = json.loads(json.dumps(order))
    turned["line_items"].reverse()
    one, other = decode("orders/paid", dump(order)), decode("orders/paid", dump(turned))
    assert isinstance(one.order, OrderFacts)
    assert isinstance(other.order, OrderFacts)
    assert one.order.base == other.order.base
    assert one.order.refunds == other.order.refunds
    assert one.order.lines == other.order.lines[::-1]
    assert one.personal == other.personal


@FUZZ
@given(products)
def test_the_bounds_of_prices_are_the_models(product: dict[str, Any]) -> None:
    found = decode("products/create", dump(product)).product
    assert found is not None
    prices = sorted(Fraction(variant["price"]) for variant in product.get("variants", []))
    bounds = [None if price is None else Fraction(price) for price in (found.lowest_price, found.highest_price)]
    assert bounds == ([prices[0], prices[-1]] if prices else [None, None])


@FUZZ
@given(topics, st.binary(max_size=200))
def test_any_bytes_are_decided(topic: str, body: bytes) -> None:
    decided(topic, body)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["1e999999999", "-0", "sNaN", "9" * 400, "\ud800", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
    )
    | st.sampled_from(
        [{"number": digits} for digits in ("1e999999999", "1e-999999999", "-1E5", "9" * 400, "1" * 5000)]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in `value`, outermost first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, found in inner:
        yield (*at, key)
        yield from paths(found, (*at, key))


@FUZZ
@given(bodies, st.data())
def test_bodies_with_a_value_replaced_or_left_out_are_decided(
    delivery: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    topic, body = delivery[0], deepcopy(delivery[1])
    *parents, last = data.draw(st.sampled_from(list(paths(body))))
    holder = body
    for key in parents:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(json_values)
    else:
        del holder[last]
    decided(topic, dump(body))


@FUZZ
@given(bodies, st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 40)), min_size=1, max_size=3))
def test_bodies_with_bytes_replaced_are_decided(
    delivery: tuple[str, dict[str, Any]], cuts: list[tuple[float, bytes, int]]
) -> None:
    topic, body = delivery[0], dump(delivery[1])
    for place, put, length in cuts:
        start = int(place * len(body))
        body = body[:start] + put + body[start + length :]
    decided(topic, body)


@FUZZ
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(PersonalData.__struct_fields__, json_values)))
def test_nothing_personal_can_cost_an_order(odd: dict[str, Any]) -> None:
    order = {"id": 1, "line_items": [], "financial_status": "paid", "created_at": "2026-01-02T03:04:05Z"}
    strange = dump(order | odd | {"billing_address": odd, "shipping_address": [odd], "customer": odd | {"id": 2}})
    if b"NaN" in strange or b"Infinity" in strange or rb"\ud" in strange:
        return  # not JSON
    found = decided("orders/create", strange)
    assert found is not None
    assert found.order is not None
    assert found.ordering_key == "2"


TEXTS = ("title", "handle", "body_html", "vendor", "product_type", "tags", "status", "image", "images")


@FUZZ
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TEXTS, json_values)), json_values)
def test_no_text_can_keep_a_product_away(odd: dict[str, Any], sku: Any) -> None:
    strange = dump(odd | {"id": 7, "variants": [{"price": "1", "sku": sku, "inventory_policy": sku}]})
    if b"NaN" in strange or b"Infinity" in strange or rb"\ud" in strange:
        return  # not JSON
    found = decided("products/create", strange)
    assert found is not None
    assert found.product is not None
    assert found.ordering_key == "product:7"
