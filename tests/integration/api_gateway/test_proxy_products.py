"""Products through a real gateway: Shopify's deliveries come in, admins and the storefront widget search."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr

from integration.api_gateway.conftest import KEK, SECRET, SHOP, Gateway
from integration.api_gateway.stand_in import Auth
from loyalnest.kit import discovery, runtime
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.migrations import migrate
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import proxy_signature

OWNER = {"Authorization": "Bearer acme-owner"}
PLANTED = "Planted description"


@dataclass(slots=True)
class Shop(Gateway):
    """A gateway with the real products service."""

    process: runtime.Runtime

    async def settled(self) -> None:
        """Until every delivery is applied."""
        while not await self.process.settled():  # noqa: ASYNC110 - looking is how it is known
            await asyncio.sleep(0.05)

    async def widget(self, **query: str) -> httpx.Response:
        """A call as Shopify's app proxy makes it."""
        items = [("shop", SHOP), ("timestamp", str(int(time.time()))), *query.items()]
        signed = [*items, ("signature", proxy_signature(SECRET, items))]
        return await self.http.get("/proxy/products", params=httpx.QueryParams(urlencode(signed)))


@pytest.fixture
async def shop(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    auth = Auth(KeyEncryptionKeys.parse(KEK))
    auth.add("acme", SECRET)
    auth.add("brew", "brew-secret")
    found = discovery.discover()
    services = {name: found[name] for name in ("api_gateway", "products")} | {"auth": auth.service()}
    monkeypatch.setattr(runtime, "discover", lambda: dict(services))
    settings = Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        encryption_keys=SecretStr(KEK),
        http_port=0,
        grpc_port=0,
        drain_seconds=2,
    )
    await migrate(settings.placement(), [services["api_gateway"], services["products"]])
    process = runtime.Runtime(settings, list(services), (), listen_grpc=False)
    await process.start()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{process.http_port}", trust_env=False, timeout=30
        ) as http:
            yield Shop(http, process.http_port, auth, process._running["api_gateway"].environment, process)
    finally:
        await process.stop()


def body(product_id: int, title: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": product_id,
        "title": title,
        "handle": f"p-{product_id}",
        "body_html": f"<p>{PLANTED}</p>",
        "vendor": "Acme",
        "status": "active",
        "tags": "warm, wool",
        "published_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "variants": [{"id": 1, "price": "19.90", "sku": f"S-{product_id}"}],
    } | changes


async def test_from_shopify_to_the_shopper(shop: Shop) -> None:
    for told in (body(9007199254740993, "Wool hat"), body(2, "Wool coat"), body(3, "Wool secret", published_at=None)):
        assert (await shop.deliver(told, "products/create")).status_code == 200
    received = await shop.last()
    assert (received.sealed, received.product is not None) == (b"", True), "nothing personal, so nothing is sealed"
    await shop.settled()
    shown = (await shop.widget(query="wol hta woool", tag="wool")).json()
    assert shown["total"] == 2
    shown = (await shop.widget(query="wool hatt")).json()
    assert [each["product_id"] for each in shown["products"]] == ["9007199254740993"]
    assert shown["products"][0]["lowest_price"] == "19.90"
    assert PLANTED not in str(shown)
    mine = (await shop.http.get("/frontend/products", params={"query": "wool"}, headers=OWNER)).json()
    assert mine["facets"]["total"] == 3
    other = {"Authorization": "Bearer brew-owner"}
    assert (await shop.http.get("/frontend/products", headers=other)).json()["products"] == []
    assert (await shop.deliver({"id": 2}, "products/delete")).status_code == 200
    await shop.settled()
    assert (await shop.widget(query="coat")).json()["total"] == 0


async def test_a_body_that_makes_no_sense_is_refused(shop: Shop) -> None:
    for wrong in ({"title": "x"}, body(0, "x"), body(1, "x", variants=[{"price": "-1"}])):
        assert (await shop.deliver(wrong, "products/update")).status_code == 400


async def test_calls_of_the_widget_that_are_not_right(shop: Shop) -> None:
    unsigned = await shop.http.get("/proxy/products", params={"shop": SHOP, "timestamp": str(int(time.time()))})
    assert unsigned.status_code == 401
    for wrong, status in (
        ({"query": "x" * 501}, 422),
        ({"sort": "odd"}, 422),
        ({"page_size": "51"}, 422),
        ({"page_token": "x"}, 400),
        ({"min_price": "x"}, 422),
    ):
        answer = await shop.widget(**wrong)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await shop.widget(query="\0'&|!<->:*", vendor="\0")).status_code == 200


async def test_the_widgets_parameters_do_what_they_say(shop: Shop) -> None:
    for number, price in ((1, "5"), (2, "10"), (3, "15")):
        assert (await shop.deliver(body(number, "Hat", variants=[{"price": price}]), "products/create")).is_success
    await shop.settled()

    async def ids(**query: str) -> list[str]:
        return [each["product_id"] for each in (await shop.widget(**query)).json()["products"]]

    assert await ids(sort="-price") == ["3", "2", "1"]
    assert await ids(min_price="6", max_price="12") == ["2"]
    assert await ids(available="false") == []
    assert await ids(vendor="Bolt") == []
    page = (await shop.widget(sort="price", page_size="2")).json()
    assert await ids(sort="price", page_token=page["next_page_token"]) == ["3"]
    assert page["vendors"] == [{"value": "Acme", "products": 3}]
