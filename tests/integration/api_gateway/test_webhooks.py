"""Deliveries that are taken: what of them is on the bus, and what is not."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from integration.api_gateway.conftest import SHOP, Gateway, Start
from loyalnest.api_gateway.events import (
    BODY_PURPOSE,
    SEALED_PURPOSE,
    WebhookReceived,
    delivery_event_id,
)
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import bodies


def counted(topic: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("loyalnest_webhooks_total", {"topic": topic, "outcome": outcome}) or 0.0


async def test_an_order_becomes_one_durable_event(gateway: Gateway) -> None:
    before = counted("orders/create", "accepted")
    customer = bodies.customer(7_000_000_000_000_001)
    answer = await gateway.deliver(bodies.order(2**53 + 1, customer=customer), delivery_id="d-1")
    assert (answer.status_code, answer.json()) == (200, {})
    (event,) = await gateway.events()
    received = WebhookReceived.read(event)
    assert (event.merchant_id, event.key) == ("acme", "7000000000000001")
    assert event.id == delivery_event_id("acme", "d-1")
    assert received.delivery_id == "d-1"
    assert received.order is not None
    assert received.order.order_id == 2**53 + 1
    assert received.triggered_at is not None
    assert counted("orders/create", "accepted") == before + 1


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        (
            "orders/create",
            bodies.order(customer=bodies.customer(email="plant-17@example.com", first_name="Plantagenet")),
        ),
        ("customers/update", bodies.customer(email="plant-17@example.com", last_name="Plantagenet")),
        ("carts/update", {"email": "plant-17@example.com", "name": "Plantagenet"}),
        ("customers/redact", {"customer": {"id": 1, "email": "plant-17@example.com", "name": "Plantagenet"}}),
    ],
)
async def test_nothing_personal_is_on_the_bus_in_the_clear(gateway: Gateway, topic: str, body: dict[str, Any]) -> None:
    assert (await gateway.deliver(body, topic)).status_code == 200
    (event,) = await gateway.events()
    for planted in (b"plant-17", b"Plantagenet"):
        assert planted not in event.payload
    for row in await _bus_rows(gateway):
        assert "plant-17" not in row
        assert "Plantagenet" not in row
    received = WebhookReceived.read(event)
    with_facts = received.order is not None or received.customer is not None
    purpose = SEALED_PURPOSE if with_facts else BODY_PURPOSE
    opened = await gateway.environment.keys.open("acme", purpose, received.sealed)
    assert b"plant-17@example.com" in opened


async def _bus_rows(gateway: Gateway) -> list[str]:
    async with gateway.environment.database.session() as session:
        rows = await session.fetch("SELECT encode(payload, 'escape') || e::text AS text FROM bus.events AS e")
    assert rows
    return [row["text"] for row in rows]


async def test_the_same_delivery_twice_is_the_same_event(gateway: Gateway) -> None:
    order = bodies.order(customer=bodies.customer())
    for _ in range(2):
        assert (await gateway.deliver(order, delivery_id="again")).status_code == 200
    assert (await gateway.deliver(order, delivery_id="other")).status_code == 200
    first, second, third = [event.id for event in await gateway.events()]
    assert first == second != third


async def test_without_a_delivery_id_topic_and_body_are_the_identity(gateway: Gateway) -> None:
    order = bodies.order(customer=bodies.customer())
    for topic, body in (("orders/create", order), ("orders/create", order), ("orders/updated", order)):
        answer = await gateway.deliver(body, topic, headers={"X-Shopify-Webhook-Id": None})
        assert answer.status_code == 200
    first, second, third = [event.id for event in await gateway.events()]
    assert first == second != third


@pytest.mark.parametrize("prefix", ["x-shopify-", "shopify-", "Shopify-", "X-SHOPIFY-"])
async def test_header_names_in_either_form_and_case(gateway: Gateway, prefix: str) -> None:
    body = bodies.encode(bodies.order())
    headers = {
        f"{prefix}hmac-sha256": webhook_signature("acme-secret", body),
        f"{prefix}shop-domain": "ACME.myshopify.com",
        f"{prefix}webhook-id": "w-1",
        f"{prefix}topic": "orders/create",
    }
    answer = await gateway.http.post("/webhooks/orders/create", content=body, headers=headers)
    assert answer.status_code == 200
    assert (await gateway.last()).delivery_id == "w-1"


async def test_the_previous_secret_signs_while_a_rotation_lasts(gateway: Gateway) -> None:
    assert (await gateway.deliver(bodies.order(), secret="acme-previous")).status_code == 200


@pytest.mark.parametrize("status", ["uninstalled", "suspended"])
async def test_merchants_that_are_not_active_are_heard(gateway: Gateway, status: str) -> None:
    gateway.auth.shops[SHOP].status = status
    assert (await gateway.deliver({"shop_id": 1, "shop_domain": SHOP}, "shop/redact")).status_code == 200
    assert len(await gateway.events()) == 1


async def test_a_redaction_that_is_repeated_after_the_keys_are_gone(gateway: Gateway) -> None:
    gateway.auth.keys["acme"] = []
    assert (await gateway.deliver({"shop_id": 1}, "shop/redact")).status_code == 200
    assert (await gateway.last()).sealed == b""
    answer = await gateway.deliver({"id": 1}, "carts/update")
    assert answer.status_code == 404


async def test_an_unknown_topic_is_acknowledged_counted_and_kept(gateway: Gateway) -> None:
    before = counted("other", "accepted")
    assert (await gateway.deliver({"hello": "world"}, "made/up_topic")).status_code == 200
    received = await gateway.last()
    assert received.shopify_topic == "made/up_topic"
    assert await gateway.environment.keys.open("acme", BODY_PURPOSE, received.sealed) == b'{"hello":"world"}'
    assert counted("other", "accepted") == before + 1


async def test_surprising_unicode_and_ids_over_2_to_the_53(gateway: Gateway) -> None:
    name = "Zoë \u202eevil\u202c 𝒜🧿\u0000\u0007 Ñ\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")
    customer = bodies.customer(2**63 - 1, first_name=name, email="ü@exämple.com")
    assert (await gateway.deliver(bodies.order(2**62, customer=customer))).status_code == 200
    (event,) = await gateway.events()
    assert event.key == str(2**63 - 1)
    received = WebhookReceived.read(event)
    opened = await gateway.environment.keys.open("acme", SEALED_PURPOSE, received.sealed)
    assert b"\\u0000" not in opened
    assert "Zoë".encode() in opened


async def test_the_trace_of_the_delivery_goes_on_with_the_event(gateway: Gateway) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await gateway.deliver(bodies.order(), headers={"traceparent": parent})
    (event,) = await gateway.events()
    assert event.traceparent.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")


async def test_two_merchants_deliveries_are_each_their_own(gateway: Gateway) -> None:
    assert (await gateway.deliver(bodies.order(1), delivery_id="same")).status_code == 200
    brew = await gateway.deliver(bodies.order(1), delivery_id="same", secret="brew-secret", shop="brew.myshopify.com")
    assert brew.status_code == 200
    assert (await gateway.deliver(bodies.order(1), shop="brew.myshopify.com")).status_code == 401
    events = await gateway.events()
    assert {event.merchant_id for event in events} == {"acme", "brew"}
    assert len({event.id for event in events}) == 2


async def test_a_flood_is_refused_and_harms_nobody_else(start: Start) -> None:
    async with start(webhook_limit_per_minute=60) as gateway:  # a burst of 10
        orders = [gateway.deliver(bodies.order()) for _ in range(40)]
        answers = await asyncio.gather(*orders)
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 28 <= len(refused) <= 30
        assert {answer.status_code for answer in answers} == {200, 429}
        assert refused[0].headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused[0].headers["retry-after"]) <= 2
        assert (await gateway.deliver(bodies.customer(), "customers/update")).status_code == 200
        brew = await gateway.deliver(bodies.order(), secret="brew-secret", shop="brew.myshopify.com")
        assert brew.status_code == 200
        assert await gateway.environment.redis.keys("*") != []
        assert await gateway.environment.redis.exists("rate_limit:acme:webhooks/orders/create")


async def test_forged_deliveries_use_up_nothing_of_the_limit(start: Start) -> None:
    async with start(webhook_limit_per_minute=6) as gateway:
        for _ in range(5):
            assert (await gateway.deliver(bodies.order(), secret="wrong")).status_code == 401
        assert (await gateway.deliver(bodies.order())).status_code == 200
        assert (await gateway.deliver(bodies.order())).status_code == 429


async def test_a_flood_of_forged_deliveries_is_limited_and_genuine_ones_pass(start: Start) -> None:
    async with start(forged_limit_per_minute=12) as gateway:  # a burst of 2
        before = {name: counted("orders/create", name) for name in ("bad_signature", "bad_signature_limited")}

        async def forge(shop: str = SHOP) -> Any:
            return await gateway.deliver(bodies.order(), secret="wrong", shop=shop)

        assert [(await forge()).status_code for _ in range(4)] == [401, 401, 429, 429]
        refused = await forge()
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert "12 deliveries a minute" in refused.json()["detail"]
        for _ in range(5):
            assert (await gateway.deliver(bodies.order())).status_code == 200
        assert (await gateway.deliver(bodies.order(), secret="acme-previous")).status_code == 200
        assert (await forge("brew.myshopify.com")).status_code == 401, "each shop is counted by itself"
        assert counted("orders/create", "bad_signature") == before["bad_signature"] + 3
        assert counted("orders/create", "bad_signature_limited") == before["bad_signature_limited"] + 3
        assert await gateway.environment.redis.exists("rate_limit:acme:forged/127.0.0.1")


async def test_forgers_of_other_addresses_are_counted_apart(start: Start) -> None:
    async with start(forged_limit_per_minute=6) as gateway:  # a burst of 1
        found = []
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"):
            transport = httpx.AsyncHTTPTransport(local_address=address)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", transport=transport) as http:
                answer = await replace(gateway, http=http).deliver(bodies.order(), secret="wrong")
                found.append(answer.status_code)
        assert found == [401, 401, 429, 429]
