"""Deliveries that are refused: each with its status, a problem document and a metric, and nothing on the bus."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from integration.api_gateway.conftest import SHOP, Gateway
from integration.api_gateway.test_webhooks import counted
from loyalnest.api_gateway.shopify_bodies import MAX_BODY_BYTES
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import bodies

ORDER = bodies.encode(bodies.order(customer=bodies.customer()))
DEEP = b'{"a":' * 200_000 + b"1" + b"}" * 200_000


def changed(**fields: Any) -> bytes:
    return bodies.encode(bodies.order(customer=bodies.customer(), **fields))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not json", 400),
        (ORDER[:-20], 400),
        (ORDER + b"}", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe" + ORDER, 400),
        (b'{"id": 1}', 400),
        (changed(id=None), 400),
        (changed(id=-1), 400),
        (changed(id=2**63), 400),
        (changed(id="x" * 1000), 400),
        (changed(id=1.5), 400),
        (changed(line_items=None), 400),
        (changed(line_items="none"), 400),
        (changed(line_items=[{**bodies.line(), "price": "1e999999999"}]), 400),
        (changed(line_items=[{**bodies.line(), "price": "-1"}]), 400),
        (changed(line_items=[{**bodies.line(), "quantity": 10**30}]), 400),
        (changed(financial_status={"paid": True}), 400),
        (changed(processed_at="yesterday"), 400),
        (DEEP, 413 if len(DEEP) > MAX_BODY_BYTES else 400),
        (DEEP[: 5 * 100_000] + b"1", 400),
        (b"[" * (MAX_BODY_BYTES - 1), 400),
        (b"x" * (2 * 1024 * 1024), 413),
        (b" " * (MAX_BODY_BYTES + 1), 413),
    ],
)
async def test_a_bad_body(gateway: Gateway, body: bytes, status: int) -> None:
    outcome = {400: "invalid_input", 413: "too_large"}[status]
    before = counted("orders/create", outcome)
    answer = await gateway.deliver(body)
    await refused(gateway, answer.status_code, status, answer.headers["content-type"], answer.json())
    assert counted("orders/create", outcome) == before + 1
    assert (await gateway.deliver(ORDER)).status_code == 200  # the connection and the process are well


async def refused(gateway: Gateway, found: int, status: int, media_type: str, document: dict[str, object]) -> None:
    assert (found, media_type) == (status, "application/problem+json")
    assert document["status"] == status
    assert document["detail"]
    assert "Traceback" not in str(document)
    assert "acme-secret" not in str(document)
    assert await gateway.events() == []


@pytest.mark.parametrize(
    ("headers", "status", "outcome"),
    [
        ({"X-Shopify-Hmac-Sha256": None}, 401, "bad_signature"),
        ({"X-Shopify-Hmac-Sha256": ""}, 401, "bad_signature"),
        ({"X-Shopify-Hmac-Sha256": "AAAA"}, 401, "bad_signature"),
        ({"X-Shopify-Hmac-Sha256": "x" * 5000}, 401, "bad_signature"),
        ({"X-Shopify-Hmac-Sha256": webhook_signature("brew-secret", ORDER)}, 401, "bad_signature"),
        ({"X-Shopify-Hmac-Sha256": webhook_signature("", ORDER)}, 401, "bad_signature"),
        ({"X-Shopify-Shop-Domain": None}, 400, "invalid_input"),
        ({"X-Shopify-Shop-Domain": "nobody.myshopify.com"}, 404, "unknown_shop"),
        ({"X-Shopify-Shop-Domain": "../../etc/passwd"}, 404, "unknown_shop"),
        ({"X-Shopify-Shop-Domain": "a" * 1000}, 404, "unknown_shop"),
        ({"X-Shopify-Topic": "orders/updated"}, 400, "invalid_input"),
    ],
)
async def test_a_bad_header(gateway: Gateway, headers: dict[str, str | None], status: int, outcome: str) -> None:
    before = counted("orders/create", outcome)
    answer = await gateway.deliver(ORDER, headers=headers)
    await refused(gateway, answer.status_code, status, answer.headers["content-type"], answer.json())
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert counted("orders/create", outcome) == before + 1


@pytest.mark.parametrize("topic", ["", "Orders/Create", "orders//create", "orders/create/", "örder", "a" * 101])
async def test_a_topic_that_is_none(gateway: Gateway, topic: str) -> None:
    answer = await gateway.deliver(ORDER, topic, headers={"X-Shopify-Topic": None})
    await refused(gateway, answer.status_code, 400, answer.headers["content-type"], answer.json())


async def test_other_methods(gateway: Gateway) -> None:
    answer = await gateway.http.get("/webhooks/orders/create")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_odd_headers_that_do_not_matter(gateway: Gateway) -> None:
    odd = {"X-Shopify-Triggered-At": "soon", "X-Shopify-Webhook-Id": "w" * 4000}
    assert (await gateway.deliver(ORDER, headers=odd)).status_code == 200
    received = await gateway.last()
    assert received.triggered_at is None
    assert received.delivery_id.startswith("sha256:")


async def test_a_chunked_body_over_the_limit(gateway: Gateway) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 65536
            yield b"x" * 65536

    headers = {"X-Shopify-Hmac-Sha256": "AAAA", "X-Shopify-Shop-Domain": SHOP}
    answer = await gateway.http.post("/webhooks/orders/create", content=endless(), headers=headers)
    await refused(gateway, answer.status_code, 413, answer.headers["content-type"], answer.json())


async def test_a_chunked_body_within_the_limit(gateway: Gateway) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(ORDER), 100):
            yield ORDER[start : start + 100]

    headers = {"X-Shopify-Hmac-Sha256": webhook_signature("acme-secret", ORDER), "X-Shopify-Shop-Domain": SHOP}
    answer = await gateway.http.post("/webhooks/orders/create", content=pieces(), headers=headers)
    assert answer.status_code == 200


async def test_the_limit_is_seen_before_the_body_comes(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = (
        "POST /webhooks/orders/create HTTP/1.1\r\nHost: x\r\nX-Shopify-Hmac-Sha256: AAAA\r\n"
        f"X-Shopify-Shop-Domain: {SHOP}\r\nContent-Length: {2 * 1024 * 1024}\r\n\r\n"
    )
    writer.write(head.encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    assert b" 413 " in line
    writer.close()


async def test_a_client_that_goes_away(gateway: Gateway) -> None:
    before = counted("orders/create", "aborted")
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = (
        "POST /webhooks/orders/create HTTP/1.1\r\nHost: x\r\nX-Shopify-Hmac-Sha256: AAAA\r\n"
        f"X-Shopify-Shop-Domain: {SHOP}\r\nContent-Length: 1000\r\n\r\nabc"
    )
    writer.write(head.encode())
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    for _ in range(50):
        if counted("orders/create", "aborted") > before:
            break
        await asyncio.sleep(0.05)
    assert counted("orders/create", "aborted") == before + 1


async def test_a_body_that_does_not_come(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.api_gateway.webhooks.BODY_SECONDS", 0.2)
    before = counted("orders/create", "slow")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = (
        "POST /webhooks/orders/create HTTP/1.1\r\nHost: x\r\nX-Shopify-Hmac-Sha256: AAAA\r\n"
        f"X-Shopify-Shop-Domain: {SHOP}\r\nContent-Length: 1000\r\n\r\nabc"
    )
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    assert b" 408 " in answer.splitlines()[0]
    assert b"application/problem+json" in answer
    assert counted("orders/create", "slow") == before + 1
    writer.close()


async def test_the_answer_does_not_repeat_what_was_sent(gateway: Gateway) -> None:
    answer = await gateway.deliver(changed(line_items="plant-99@example.com"))
    assert answer.status_code == 400
    assert "plant-99" not in answer.text
