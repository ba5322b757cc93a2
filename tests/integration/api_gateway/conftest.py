"""The gateway in its real runtime: real HTTP server, PostgreSQL bus and Redis; auth from memory."""

import base64
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from integration.api_gateway.stand_in import Auth
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.kit import discovery, runtime
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.environment import Environment
from loyalnest.kit.events import Event
from loyalnest.kit.migrations import migrate
from loyalnest.kit.program import load_programs
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import bodies

DEMO = Path(__file__).parents[3] / "clusters" / "demo"
SHOP = "acme.myshopify.com"
SECRET = "acme-secret"
KEK = f"test:{base64.b64encode(os.urandom(32)).decode()}"


@dataclass(slots=True)
class Gateway:
    """A gateway that runs, and what stands behind it."""

    http: httpx.AsyncClient
    port: int
    auth: Auth
    environment: Environment

    async def deliver(
        self,
        body: bytes | dict[str, Any],
        topic: str = "orders/create",
        *,
        secret: str = SECRET,
        shop: str = SHOP,
        delivery_id: str | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """Send a signed delivery; `headers` replace, or with None leave out, Shopify's."""
        content = body if isinstance(body, bytes) else bodies.encode(body)
        given: dict[str, str | None] = {
            "X-Shopify-Hmac-Sha256": webhook_signature(secret, content),
            "X-Shopify-Shop-Domain": shop,
            "X-Shopify-Webhook-Id": delivery_id or str(uuid.uuid4()),
            "X-Shopify-Topic": topic,
            "X-Shopify-Triggered-At": "2026-11-03T14:30:00.123456789Z",
            "Content-Type": "application/json",
        }
        given |= headers or {}
        kept = {name: value for name, value in given.items() if value is not None}
        return await self.http.post(f"/webhooks/{topic}", content=content, headers=kept)

    async def events(self) -> list[Event]:
        return [event async for event in self.environment.bus.read_all(WebhookReceived.topic)]

    async def last(self) -> WebhookReceived:
        return WebhookReceived.read((await self.events())[-1])


Start = Callable[..., Any]


@pytest.fixture
def start(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a gateway with other settings; with `points`, the real one and the real referrals run beside it, else
    they are away.
    """
    auth = Auth(KeyEncryptionKeys.parse(KEK))
    auth.add("acme", SECRET, "acme-previous")
    auth.add("brew", "brew-secret")
    found = discovery.discover()
    services = {name: found[name] for name in ("api_gateway", "points", "referrals")} | {"auth": auth.service()}
    monkeypatch.setattr(runtime, "discover", lambda: dict(services))

    behind = ["points", "referrals"]

    @asynccontextmanager
    async def running(*, points: bool = False, **changes: Any) -> AsyncIterator[Gateway]:
        settings = Settings(
            database_url=SecretStr(database_url),
            redis_url=SecretStr(redis_url),
            encryption_keys=SecretStr(KEK),
            http_port=0,
            grpc_port=0,
            drain_seconds=2,
            peers={} if points else dict.fromkeys(behind, "127.0.0.1:9"),
        ).model_copy(update=changes)
        names = ["api_gateway", "auth", *(behind if points else [])]
        migrated = ["api_gateway", *(behind if points else [])]
        await migrate(settings.placement(), [services[name] for name in migrated])
        programs = load_programs([DEMO]) if points else ()
        process = runtime.Runtime(settings, names, programs, listen_grpc=False)
        await process.start()
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{process.http_port}", trust_env=False, timeout=30
            ) as http:
                yield Gateway(http, process.http_port, auth, process._running["api_gateway"].environment)
        finally:
            await process.stop()

    return running


@pytest.fixture
async def gateway(start: Start) -> AsyncIterator[Gateway]:
    async with start() as running:
        yield running


@pytest.fixture
async def platform(start: Start) -> AsyncIterator[Gateway]:
    """The gateway with the real points and referrals."""
    async with start(points=True) as running:
        yield running
