"""The whole platform in one process, with every service that is there: real stores, the gateway's HTTP, Shopify's
stand-in. What a test does, it does as Shopify, as an admin over HTTP, or by running a job that is due.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
from pydantic import SecretStr

from integration.auth.support import KEK_1, program
from loyalnest.admin_core.events import GdprRequestCompleted, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.auth import auth_pb2
from loyalnest.auth.auth_pb2_grpc import AuthServiceStub
from loyalnest.cli.admin import make_token
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.discovery import discover
from loyalnest.kit.program import Program
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.settings import Settings
from loyalnest.kit.shopify.signatures import webhook_signature
from shopify import bodies
from shopify.server import ACME, ShopifyServer

GDPR_TOPICS = (GdprRequestCreated.topic, GdprRequestConfirmed.topic, GdprRequestCompleted.topic)
SECONDS = 60.0
"""How long something may take to come about on a busy machine."""


@dataclass
class Platform:
    """A platform that runs on `url`. Its clock is the stand-in's, so that `shopify.advance` moves both."""

    url: str
    redis_url: str
    shopify: ShopifyServer
    names: Sequence[str] = ()
    runtime: Runtime = field(init=False)
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.names = self.names or sorted(discover())

    @property
    def programs(self) -> list[Program]:
        return [program(self.shopify, "acme"), program(self.shopify, "globex")]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.shopify.state.now(), UTC)

    async def start(self, *, without: Sequence[str] = ()) -> None:
        """Run the services but those that are down."""
        settings: Settings = self.shopify.settings(
            database_url=SecretStr(self.url),
            redis_url=SecretStr(self.redis_url),
            encryption_keys=SecretStr(KEK_1),
            http_port=0,
            grpc_port=0,
            drain_seconds=5,
            log_level="WARNING",
            peers=dict.fromkeys(without, "127.0.0.1:9"),
        )
        names = [name for name in self.names if name not in without]
        self.runtime = Runtime(settings, names, self.programs, listen_grpc=False, clock=self.now)
        await self.runtime.start()
        address = f"http://127.0.0.1:{self.runtime.http_port}"
        self.http = httpx.AsyncClient(base_url=address, trust_env=False, timeout=30)

    async def stop(self) -> None:
        await self.http.aclose()
        await self.runtime.stop()

    async def deliver(
        self, topic: str, body: dict[str, Any], shop: str = ACME, delivery_id: str = "", at: datetime | None = None
    ) -> None:
        """A signed delivery of Shopify's, which has to be taken."""
        content = bodies.encode(body)
        answer = await self.http.post(
            f"/webhooks/{topic}",
            content=content,
            headers={
                "X-Shopify-Hmac-Sha256": webhook_signature(self.shopify.shop(shop).app.secret, content),
                "X-Shopify-Shop-Domain": shop,
                "X-Shopify-Webhook-Id": delivery_id or str(uuid.uuid4()),
                "X-Shopify-Topic": topic,
                "X-Shopify-Triggered-At": (at or self.now()).isoformat(),
            },
        )
        assert answer.status_code == 200, answer.text

    async def ask_for(self, topic: str, customer_id: int, shop: str = ACME) -> None:
        """A compliance delivery about a customer, with the personal data that Shopify puts into it."""
        body: dict[str, Any] = {
            "shop_id": 954889,
            "shop_domain": shop,
            "customer": {"id": customer_id, "email": "anna.planted@example.com", "phone": "+4930555010077"},
        }
        if topic == "customers/data_request":
            body |= {"orders_requested": [299938], "data_request": {"id": bodies.new_id()}}
        await self.deliver(topic, body, shop)

    async def leave(self, shop: str = ACME, **options: Any) -> None:
        """The shop uninstalls the app."""
        await self.deliver(
            "app/uninstalled", {"id": 954889, "domain": shop, "email": "owner@example.com"}, shop, **options
        )

    async def come_back(self, shop: str = ACME) -> str:
        """Somebody of the shop opens the app, whereby it is installed. Returns the bearer token."""
        answer = await self.http.post("/auth/token", json={"session_token": self.shopify.session_token(shop)})
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token

    async def token(self, merchant: str = "acme", role: str = "owner") -> str:
        return await make_token(self.runtime, merchant, role)

    async def call(self, method: str, path: str, *, merchant: str = "acme", role: str = "owner", **more: Any) -> Any:
        """An admin's call. Returns what it answers, which is no error."""
        headers = {"Authorization": f"Bearer {await self.token(merchant, role)}", **more.pop("headers", {})}
        answer = await self.http.request(method, path, headers=headers, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def job(self, name: str, service: str = "admin_core") -> int:
        """Run a job now, as a process does that has just started."""
        (job,) = [job for job in self.runtime._running[service].parts.jobs if job.name == name]
        return await job.run()

    async def settled(self) -> None:
        """Wait until everything that was published has been handled."""
        async with asyncio.timeout(SECONDS):
            quiet = 0
            while quiet < 2:
                quiet = quiet + 1 if await self.runtime.settled() else 0
                await asyncio.sleep(0.05)

    async def status(self) -> str:
        with as_merchant("acme"):
            auth = AuthServiceStub(self.runtime.channel("auth"))
            return (await auth.GetMerchant(auth_pb2.GetMerchantRequest())).status

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def requests(self, merchant: str = "acme") -> list[asyncpg.Record]:
        """The requests as they are stored, oldest first."""
        return await self.sql(
            "SELECT * FROM admin_core.gdpr_requests WHERE merchant_id = $1 ORDER BY request_id", merchant
        )

    async def events(self, topic: str) -> list[Any]:
        return [event async for event in self.runtime.bus.read_all(topic)]

    async def keys(self, merchant: str = "acme") -> MerchantKeys:
        """The keys as they are stored now. Raises NotFound once they are destroyed."""
        return await self.runtime._running["admin_core"].environment.keys.refresh(merchant)

    def advance(self, **span: float) -> None:
        self.shopify.advance(timedelta(**span).total_seconds())


@asynccontextmanager
async def running(platform: Platform, **options: Any) -> AsyncIterator[Platform]:
    """The platform, running for a block."""
    await platform.start(**options)
    try:
        yield platform
    finally:
        await platform.stop()
