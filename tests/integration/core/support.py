"""Core on a real database, with merchants' keys in memory, and deliveries as the gateway makes them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import SEALED_PURPOSE, CustomerFacts, OrderFacts, PersonalData, WebhookReceived
from loyalnest.core import core_pb2 as pb
from loyalnest.core.consumers import DeliveryBatches, Scores
from loyalnest.core.core_pb2_grpc import CoreServiceStub, add_CoreServiceServicer_to_server
from loyalnest.core.grpc import CoreGrpc
from loyalnest.core.imports import CustomerImports
from loyalnest.core.jobs import Resealing
from loyalnest.core.privacy_repository import CustomersKept
from loyalnest.core.program_settings import ProgramSettings
from loyalnest.core.sealing import Vault
from loyalnest.core.service import CoreService
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.program import Credentials, LoyaltyProgram, Program
from loyalnest.kit.program.problems import validate
from loyalnest.kit.rpc import MethodTable
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.rfm.events import RfmUpdated

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANNA = PersonalData(
    email="anna.planted@example.com",
    phone="+49 30 5550100",
    first_name="Annaplanted",
    last_name="Ölschlägerplanted",
    addresses=[{"address1": "Plantedstr. 7", "city": "Berlinplanted"}],
)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


class Core:
    """The service's parts, and what tests ask of them."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.now = at(100_000)
        self.store = KeyStore()
        self.keys = KeyRing(self.store, self.store.keks)
        self.database, self.outbox = Database(pool, "core"), Outbox("core")
        vault, clock = Vault(self.keys), lambda: self.now
        self.settings = ProgramSettings(self.database, self.outbox, clock)
        self.imports = CustomerImports(self.database, self.outbox, vault, clock)
        self.service = CoreService(self.database, self.outbox, vault, clock)
        self.deliveries = DeliveryBatches(self.database, self.outbox, vault, clock)
        self.scores = Scores(self.database, self.outbox, clock)
        self.resealing = Resealing(self.database, vault)
        self.privacy = self.privacy_on(self.database)
        table = MethodTable()
        add_CoreServiceServicer_to_server(CoreGrpc(self.service, self.settings, self.imports), table)  # type: ignore[arg-type]
        self.channel = ClientChannel(LocalChannel(table), "core")
        self.stub: Any = CoreServiceStub(self.channel)  # type: ignore[arg-type]

    def privacy_on(self, database: Database) -> PrivacyRequests:
        return PrivacyRequests(
            database, self.outbox, self.keys, lambda: self.now, CustomersKept(), GdprRequestCreated.read
        )

    async def confirmed(self) -> list[GdprRequestConfirmed]:
        return [GdprRequestConfirmed.read(each) for each in await self.published(GdprRequestConfirmed.topic)]

    async def call(self, method: str, request: Any, merchant: str = "a", role: str = "owner") -> Any:
        """Call a method as an admin of `merchant`."""
        with as_merchant(merchant, actor="admin-1", role=role):
            return await getattr(self.stub, method)(request)

    async def customer(self, customer_id: int, merchant: str = "a") -> pb.Customer:
        found: pb.Customer = await self.call("GetCustomer", pb.GetCustomerRequest(customer_id=customer_id), merchant)
        return found

    async def search(self, text: str, merchant: str = "a", **more: Any) -> list[int]:
        page = await self.call("ListCustomers", pb.ListCustomersRequest(search=text, **more), merchant)
        return [each.customer_id for each in page.customers]

    async def sealed(self, personal: PersonalData | None, merchant: str) -> bytes:
        if personal is None:
            return b""
        keys = await self.keys.for_merchant(merchant)
        return keys.seal(SEALED_PURPOSE, msgspec.json.encode(personal))

    async def told(
        self,
        customer_id: int,
        minutes: float,
        personal: PersonalData | None = None,
        merchant: str = "a",
        accepts_marketing: bool | None = None,
        topic: str = "customers/update",
    ) -> Event:
        """A delivery of a customer."""
        facts = CustomerFacts(
            customer_id=customer_id, created_at=T0, updated_at=at(minutes), accepts_marketing=accepts_marketing
        )
        payload = WebhookReceived(
            delivery_id=f"{merchant}-{customer_id}-{minutes}",
            shopify_topic=topic,
            customer=facts,
            sealed=await self.sealed(personal, merchant),
        )
        return payload.event(merchant, str(customer_id))

    async def ordered(
        self,
        customer_id: int | None,
        minutes: float,
        personal: PersonalData | None = None,
        merchant: str = "a",
        updated: float | None = None,
    ) -> Event:
        """A delivery of orders/paid."""
        order = OrderFacts(
            order_id=int(minutes * 60) + 1,
            customer_id=customer_id,
            base=Decimal("10.00"),
            paid=True,
            placed_at=at(minutes),
            updated_at=None if updated is None else at(updated),
        )
        payload = WebhookReceived(
            delivery_id=f"o-{merchant}-{customer_id}-{minutes}",
            shopify_topic="orders/paid",
            order=order,
            sealed=await self.sealed(personal, merchant),
        )
        return payload.event(merchant, str(customer_id))

    async def published(self, topic: str = "") -> list[Event]:
        """What waits in the outbox, of one topic or of all."""
        async with self.database.worker() as connection:
            rows = await connection.fetch(
                "SELECT event_id AS id, topic, merchant_id, key, payload, occurred_at FROM core.outbox ORDER BY id"
            )
        return [Event(**row) for row in rows if topic in ("", row["topic"])]

    async def everything_stored(self) -> list[bytes]:
        """The content of every column of every table of the schema, and both ways that bytes may be looked at."""
        found: list[bytes] = []
        async with self.database._pool.acquire() as connection:
            names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'core'")
            for name in names:
                for row in await connection.fetch(f"SELECT * FROM core.{name['tablename']}"):
                    found += [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
        return found


def scored(customer_id: int, minutes: float, segment: str, score: int = 3, merchant: str = "a") -> Event:
    payload = RfmUpdated(
        customer_id=customer_id,
        recency=score,
        frequency=score,
        monetary=score,
        segment=segment,
        previous_segment="",
        as_of=at(minutes),
    )
    return payload.event(merchant, str(customer_id))


def program(merchant: str = "a", rate: str = "10", managed_by: str = "Dashboard") -> Program:
    document = {
        "apiVersion": "loyalnest.io/v1alpha1",
        "kind": "LoyaltyProgram",
        "metadata": {"name": merchant},
        "spec": {
            "shop": {"domain": f"{merchant}.myshopify.com", "credentialsSecret": {"name": "shopify"}},
            "earning": {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": rate}]},
            "rulesManagedBy": managed_by,
        },
    }
    credentials = Credentials(api_key="k", api_secret="s")
    return Program(merchant, validate(LoyaltyProgram, document).spec, credentials, Path("program.yaml"))


def rules_json(rate: str) -> str:
    return program(rate=rate).spec.rules.to_json()
