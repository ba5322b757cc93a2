"""Campaign and points in one process with a real gateway: what is planned and reached over HTTP, orders earn by."""

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from integration.api_gateway.stand_in import Auth
from integration.campaign.support import program
from loyalnest.core.events import CustomerCreated
from loyalnest.kit import discovery, runtime
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.migrations import migrate
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import bodies

KEK = f"test:{base64.b64encode(os.urandom(32)).decode()}"
OWNER = {"Authorization": "Bearer acme-owner"}
SUPPORT = {"Authorization": "Bearer acme-support"}
NOW = datetime.now(UTC)
PLAN: dict[str, Any] = {
    "name": "Double",
    "multiplier": "2",
    "starts_at": (NOW - timedelta(days=1)).isoformat(),
    "ends_at": (NOW + timedelta(days=1)).isoformat(),
}
"""The runtime's clock is the machine's."""


class Shop:
    """A merchant's way in: the dashboard's calls, and Shopify's deliveries."""

    def __init__(self, http: httpx.AsyncClient, process: runtime.Runtime) -> None:
        self.http = http
        self.process = process

    async def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        return await self.ask("GET", path, status, params=parameters)

    async def ask(self, method: str, path: str, status: int = 200, *, key: str = "", **more: Any) -> Any:
        headers = OWNER | more.pop("headers", {}) | ({"Idempotency-Key": key} if key else {})
        answer = await self.http.request(method, f"/frontend/{path}", headers=headers, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def settle(self) -> None:
        """Wait until every event has been handled, and those that this brought about."""
        in_a_row = 0
        for _ in range(2400):
            # Services are looked at one after the other: one of the first may get something meanwhile.
            in_a_row = in_a_row + 1 if await self.process.settled() else 0
            if in_a_row == 3:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the events were never handled")

    async def buys(self, order_id: int, price: str) -> None:
        """An order of customer 7 is delivered and handled."""
        content = bodies.encode(
            bodies.order(
                order_id, customer=bodies.customer(7), lines=[bodies.line(price)], processed_at=NOW.isoformat()
            )
        )
        answer = await self.http.post(
            "/webhooks/orders/paid",
            content=content,
            headers={
                "X-Shopify-Hmac-Sha256": webhook_signature("secret", content),
                "X-Shopify-Shop-Domain": "acme.myshopify.com",
                "X-Shopify-Webhook-Id": str(uuid.uuid4()),
                "X-Shopify-Topic": "orders/paid",
            },
        )
        assert answer.status_code == 200, answer.text
        await self.settle()


@pytest.fixture
async def shop(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    auth = Auth(KeyEncryptionKeys.parse(KEK))
    auth.add("acme", "secret")
    names = ("api_gateway", "points", "campaign")
    found = discovery.discover()
    services = {name: found[name] for name in names} | {"auth": auth.service()}
    monkeypatch.setattr(runtime, "discover", lambda: dict(services))
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        encryption_keys=SecretStr(KEK),
        http_port=0,
        grpc_port=0,
        drain_seconds=2,
    )
    await migrate(settings.placement(), [services[name] for name in ("api_gateway", "points", "campaign")])
    process = runtime.Runtime(settings, [*names, "auth"], [program("acme")], listen_grpc=False)
    await process.start()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{process.http_port}", trust_env=False, timeout=60
        ) as http:
            yield Shop(http, process)
    finally:
        await process.stop()


async def test_what_is_reached_and_planned_is_what_orders_earn_by(shop: Shop) -> None:
    await shop.process.bus.publish(
        [CustomerCreated(customer_id=7, source="webhook", created_at=NOW).event("acme", "7")]
    )
    await shop.settle()
    assert (await shop.get("tiers/customers/7"))["tier"] == "Bronze"
    await shop.buys(1, "100.00")
    tier = await shop.get("tiers/customers/7")
    assert (tier["tier"], tier["points"], tier["next_tier"], tier["points_to_next"]) == ("Silver", 100, "Gold", 400)
    await shop.buys(2, "10.00")  # at the multiplier of Silver
    assert (await shop.get("points", customer_id="7"))["available"] == 100 + 15

    made = await shop.ask("POST", "campaigns", key="k", json=PLAN | {"tiers": ["silver"], "budget_points": 20})
    assert made == await shop.ask("POST", "campaigns", key="k", json=PLAN | {"tiers": ["silver"], "budget_points": 20})
    await shop.settle()
    await shop.buys(3, "10.00")
    assert (await shop.get("points", customer_id="7"))["available"] == 115 + 15 + 15
    await shop.buys(4, "10.00")
    assert (await shop.get("points", customer_id="7"))["available"] == 145 + 15 + 5
    found = await shop.get(f"campaigns/{made['campaign_id']}")
    assert (found["state"], found["budget_points"], found["spent_points"]) == ("running", 20, 20)
    assert (await shop.get("campaigns"))["campaigns"] == [found]

    changes = (await shop.get("tiers/customers/7/history"))["changes"]
    assert [(each["tier"], each["cause"]) for each in changes] == [("Silver", "earned"), ("Bronze", "joined")]
    assert [each["members"] for each in (await shop.get("tiers"))["tiers"]] == [0, 1, 0]
    assert [each["customer_id"] for each in (await shop.get("tiers/Silver/members"))["members"]] == ["7"]


async def test_a_campaign_is_changed_and_ended(shop: Shop) -> None:
    made = await shop.ask("POST", "campaigns", key="k", json=PLAN | {"product_ids": ["9007199254740993"]})
    assert (made["product_ids"], made["budget_points"], made["spent_points"]) == (["9007199254740993"], None, 0)
    body = PLAN | {"product_ids": made["product_ids"], "name": "Double!", "budget_points": 5, "version": 1}
    path = f"campaigns/{made['campaign_id']}"
    changed = await shop.ask("PUT", path, json=body)
    assert (changed["name"], changed["budget_points"], changed["version"]) == ("Double!", 5, 2)
    await shop.ask("PUT", path, 409, json=body)
    problem = await shop.ask("PUT", path, 422, json=body | {"version": 2, "multiplier": "3"})
    assert "the multiplier cannot change" in problem["detail"]
    ended = await shop.ask("POST", f"{path}/end")
    assert (ended["state"], ended["version"]) == ("ended", 3)
    await shop.ask("PUT", path, 422, json=body | {"version": 3})


async def test_what_is_not_there_not_valid_or_not_allowed_is_a_problem(shop: Shop) -> None:
    nowhere = "campaigns/01890000-0000-7000-8000-000000000000"
    for method, path, body, status in (
        ("GET", "tiers/customers/0", None, 422),
        ("GET", "tiers/customers/x", None, 422),
        ("GET", f"tiers/customers/{2**63}", None, 422),
        ("GET", "tiers/customers/1/history?page_token=x", None, 400),
        ("GET", "tiers/Platinum/members", None, 404),
        ("GET", "tiers/Gold/members?page_size=0", None, 422),
        ("GET", "tiers/Gold/members?page_token=x", None, 400),
        ("GET", "campaigns?page_size=201", None, 422),
        ("GET", "campaigns?page_token=x", None, 400),
        ("GET", "campaigns/x", None, 400),
        ("GET", nowhere, None, 404),
        ("POST", f"{nowhere}/end", None, 404),
        ("PUT", nowhere, PLAN | {"version": 1}, 404),
        ("PUT", nowhere, PLAN, 422),
        ("POST", "campaigns", {}, 422),
        ("POST", "campaigns", PLAN | {"starts_at": "2026-01-01T00:00:00"}, 422),
        ("POST", "campaigns", PLAN | {"multiplier": "1"}, 400),
        ("POST", "campaigns", PLAN | {"multiplier": "two"}, 400),
        ("POST", "campaigns", PLAN | {"budget_points": 0}, 422),
        ("POST", "campaigns", PLAN | {"product_ids": ["0"]}, 422),
        ("POST", "campaigns", PLAN | {"tiers": ["Platinum"]}, 400),
        ("POST", "campaigns", PLAN | {"segments": ["rich"]}, 400),
    ):
        problem = await shop.ask(method, path, status, key="k", json=body)
        assert problem["status"] == status, path
        assert problem["detail"]
    await shop.ask("POST", "campaigns", 422, json=PLAN)  # no key
    await shop.ask("POST", "campaigns", 403, key="k", json=PLAN, headers=SUPPORT)
    assert (await shop.get("campaigns"))["campaigns"] == []
