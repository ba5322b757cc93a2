"""The dashboard's and the widget's calls through a real gateway, in one process with the service and its consumers."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr

from integration.api_gateway.conftest import DEMO, KEK
from integration.api_gateway.stand_in import Auth
from integration.gamification.support import earned
from loyalnest.gamification.definitions import default_badges
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.discovery import discover
from loyalnest.kit.migrations import migrate
from loyalnest.kit.program import load_programs
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import proxy_signature

OWNER = {"Authorization": "Bearer acme-owner"}


class Shop:
    """A platform that runs, seen from outside."""

    def __init__(self, http: httpx.AsyncClient, process: Runtime) -> None:
        self._http = http
        self._process = process

    async def admin(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        answer = await self._http.request(method, f"/frontend{path}", json=body, headers=OWNER)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def shopper(
        self, method: str, path: str, customer: str = "", body: object = None, status: int = 200, **more: str
    ) -> Any:
        """A call that Shopify has signed for the customer who is logged in."""
        items = [("shop", "acme.myshopify.com"), ("timestamp", str(int(time.time()))), *more.items()]
        items.append(("logged_in_customer_id", customer))
        query = urlencode([*items, ("signature", proxy_signature("acme-secret", items))])
        answer = await self._http.request(method, f"/proxy/{path}?{query}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def raw(self, method: str, path: str) -> httpx.Response:
        return await self._http.request(method, path)

    async def orders(self, *customers: int) -> None:
        """Publish orders that earned, and wait until all that follows is done."""
        await self._process.bus.publish(
            [earned("acme", number, each, "10", points=100) for number, each in enumerate(customers, 1)]
        )
        while not await self._process.settled():  # noqa: ASYNC110 - there is no event across the bus
            await asyncio.sleep(0.02)


@pytest.fixture
async def shop(database_url: str, redis_url: str) -> AsyncIterator[Shop]:
    auth = Auth(KeyEncryptionKeys.parse(KEK))
    auth.add("acme", "acme-secret")
    auth.add("brew", "brew-secret")
    found = discover()
    services = {name: found[name] for name in ("api_gateway", "gamification")} | {"auth": auth.service()}
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        encryption_keys=SecretStr(KEK),
        http_port=0,
        drain_seconds=2,
    )
    await migrate(settings.placement(), [services["api_gateway"], services["gamification"]])
    process = Runtime(settings, list(services), load_programs([DEMO]), listen_grpc=False, services=services)
    await process.start()
    await process.provision()  # a second start finds what the first one made
    try:
        address = f"http://127.0.0.1:{process.http_port}"
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as http:
            yield Shop(http, process)
    finally:
        await process.stop()


async def test_a_new_merchant_has_the_default_badges_once(shop: Shop) -> None:
    found = await shop.admin("GET", "/badges")
    assert {each["key"] for each in found["badges"]} == {badge.key for badge in default_badges()}
    await shop.admin("DELETE", "/badges/first-order", status=204)
    await shop._process.provision()
    assert "first-order" not in {each["key"] for each in (await shop.admin("GET", "/badges"))["badges"]}


async def test_orders_become_badges_and_places(shop: Shop) -> None:
    guest = await shop.shopper("GET", "badges")
    assert (guest["customer_id"], {each["held"] for each in guest["badges"]}) == (None, {False})
    await shop.orders(7, 7, 8)
    mine = await shop.shopper("GET", "badges", "7")
    shown = {each["key"]: (each["held"], each["current"], each["target"]) for each in mine["badges"]}
    assert shown["first-order"] == (True, "1", "1")
    assert shown["five-orders"] == (False, "2", "5")
    assert (await shop.admin("GET", "/badges/first-order"))["holders"] == 2

    joined = await shop.shopper("POST", "leaderboard", "7", {"opt_in": True, "name": "Zoë"})
    assert joined["own"] == {"rank": 1, "name": "Zoë", "points": 200}
    await shop.shopper("POST", "leaderboard", "8", {"opt_in": True, "name": "Bo"})
    board = await shop.shopper("GET", "leaderboard", "8", period="all")
    assert board == {
        "period": "all",
        "standings": [{"rank": 1, "name": "Zoë", "points": 200}, {"rank": 2, "name": "Bo", "points": 100}],
        "own": {"rank": 2, "name": "Bo", "points": 100},
        "own_name": "Bo",
    }
    left = await shop.shopper("POST", "leaderboard", "7", {"opt_in": False})
    assert (left["own"], left["own_name"]) == (None, "")
    assert [each["name"] for each in (await shop.shopper("GET", "leaderboard", period="all"))["standings"]] == ["Bo"]
    found = await shop.admin("GET", "/leaderboard?period=all")
    assert [each["customer_id"] for each in found["standings"]] == ["8"]


async def test_what_is_not_the_shoppers_call_or_not_valid(shop: Shop) -> None:
    for method, path in (("GET", "/proxy/badges"), ("GET", "/proxy/leaderboard"), ("POST", "/proxy/leaderboard")):
        answer = await shop.raw(method, path)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    await shop.shopper("POST", "leaderboard", "", {"opt_in": True, "name": "Nobody"}, status=401)
    for body, status in (
        (None, 422),
        ({}, 422),
        ({"opt_in": "yes"}, 422),
        ({"opt_in": True}, 400),
        ({"opt_in": True, "name": "me@shop.example"}, 400),
        ({"opt_in": True, "name": "a" * 101}, 422),
    ):
        await shop.shopper("POST", "leaderboard", "7", body, status)
    await shop.shopper("GET", "leaderboard", "7", status=422, period="2026-11")
    assert (await shop.shopper("GET", "leaderboard"))["standings"] == []
    answer = await shop.raw("GET", "/frontend/badges")
    assert answer.status_code == 401


async def test_what_is_signed_cannot_be_changed(shop: Shop) -> None:
    items = [("shop", "acme.myshopify.com"), ("timestamp", str(int(time.time()))), ("logged_in_customer_id", "7")]
    signature = proxy_signature("acme-secret", items)
    items[2] = ("logged_in_customer_id", "8")
    query = urlencode([*items, ("signature", signature)])
    assert (await shop.raw("GET", f"/proxy/badges?{query}")).status_code == 401
