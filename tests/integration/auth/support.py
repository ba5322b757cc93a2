"""What the tests of auth work with: the service as its manifest builds it, a real database, the stand-in Shopify."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from pydantic import SecretStr

from loyalnest.auth.auth_pb2_grpc import AuthServiceStub, add_AuthServiceServicer_to_server
from loyalnest.auth.manifest import SERVICE
from loyalnest.kit.crypto.kek import KeyEncryptionKeys
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys, WrappedKey
from loyalnest.kit.database import Database
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.program import Credentials, Program, ProgramSpec
from loyalnest.kit.program.problems import validate
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.kit.rpc.handlers import MethodTable
from loyalnest.kit.service import Parts
from loyalnest.kit.settings import Settings
from shopify.server import ACME, ShopifyServer

CALLBACK = "http://127.0.0.1:8080/auth/callback"
KEK_1 = "k1:" + base64.b64encode(b"1" * 32).decode()
KEK_2 = "k2:" + base64.b64encode(b"2" * 32).decode()
KEK_3 = "k3:" + base64.b64encode(b"3" * 32).decode()


@dataclass
class Process:
    """One process that runs auth. Its clock is the stand-in's, so that `shopify.advance` moves both."""

    database: Database
    shopify: ShopifyServer
    keks: str = KEK_1
    settings: Settings = field(init=False)
    channel: ClientChannel = field(init=False)
    stub: AuthServiceStub = field(init=False)
    parts: Parts = field(init=False)
    ring: KeyRing = field(init=False)

    def __post_init__(self) -> None:
        self.settings = self.shopify.settings(encryption_keys=SecretStr(self.keks))
        self.ring = KeyRing(self._source, KeyEncryptionKeys.parse(self.keks))
        self.parts = SERVICE.build(self.environment)
        table = MethodTable()
        add_AuthServiceServicer_to_server(cast("Any", self.parts.servicer), cast("Any", table))
        self.channel = ClientChannel(LocalChannel(table), "auth")
        self.stub = AuthServiceStub(cast("Any", self.channel))

    async def _source(self, merchant_id: str) -> Sequence[WrappedKey]:
        assert SERVICE.key_source is not None
        return await SERVICE.key_source(self.channel)(merchant_id)

    @property
    def environment(self) -> Any:
        return SimpleNamespace(
            database=self.database,
            outbox=Outbox("auth"),
            clock=self.now,
            settings=self.settings,
            channel=lambda _name: self.channel,
            keys=self.ring,
        )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.shopify.state.now(), UTC)

    async def provision(self, program: Program) -> None:
        assert self.parts.provision is not None
        await self.parts.provision(program)

    async def keys_of(self, merchant_id: str) -> MerchantKeys:
        """The keys as another service gets them: through the manifest's key source."""
        assert SERVICE.key_source is not None
        ring = KeyRing(SERVICE.key_source(self.channel), KeyEncryptionKeys.parse(self.keks))
        return await ring.for_merchant(merchant_id)

    async def rows(self, query: str, *arguments: object) -> Sequence[Any]:
        async with self.database.worker() as connection:
            return await connection.fetch(query, *arguments)

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the schema, to see whether something changed."""
        tables = (
            *("merchants", "shop_tokens", "data_keys", "oauth_states", "admin_users", "admin_sessions", "outbox"),
            "privacy_requests",
        )
        return {
            name: [tuple(row) for row in await self.rows(f"SELECT * FROM auth.{name} t ORDER BY t")] for name in tables
        }

    async def told(self, topic: str) -> list[dict[str, Any]]:
        """The payloads of a topic in the outbox, in their order."""
        rows = await self.rows("SELECT payload FROM auth.outbox WHERE topic = $1 ORDER BY id", topic)
        return [msgspec.json.decode(row["payload"]) for row in rows]

    async def close(self) -> None:
        assert self.parts.stop is not None
        await self.parts.stop()


def program(
    shopify: ShopifyServer,
    name: str = "acme",
    *,
    secret: str | None = None,
    previous: str | None = None,
    access_token: str | None = None,
    domain: str = "",
    api_key: str = "",
    suspend: bool = False,
) -> Program:
    """The program of a shop of the stand-in."""
    shop = domain or f"{name}.myshopify.com"
    spec = {
        "shop": {"domain": shop, "credentialsSecret": {"name": f"{name}-shopify"}},
        "earning": {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": 10}]},
        "suspend": suspend,
    }
    app = shopify.shop(ACME if name == "acme" else "globex.myshopify.com").app
    credentials = Credentials(api_key or app.api_key, secret or app.secret, previous, access_token)
    return Program(name, validate(ProgramSpec, spec), credentials, Path(f"{name}.yaml"))
