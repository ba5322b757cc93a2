"""The parts of admin_core as its manifest puts them together, on a database of the test's own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import msgspec

from fixtures.keys import KeyStore
from loyalnest.admin_core import admin_core_pb2 as pb
from loyalnest.admin_core.admin_core_pb2_grpc import AdminCoreServiceStub, add_AdminCoreServiceServicer_to_server
from loyalnest.admin_core.audit import AuditTrail
from loyalnest.admin_core.confirmations import Confirmations
from loyalnest.admin_core.deliveries import Deliveries
from loyalnest.admin_core.events import AuditLog, GdprRequestConfirmed, GdprRequestCreated
from loyalnest.admin_core.exports import Exports
from loyalnest.admin_core.grpc import AdminCoreGrpc
from loyalnest.admin_core.jobs import Advance, Deadlines, Forgetting
from loyalnest.admin_core.privacy_repository import AuditAndRequests
from loyalnest.admin_core.requests import GdprRequests
from loyalnest.admin_core.verification import NightlyVerification
from loyalnest.api_gateway.events import BODY_PURPOSE, WebhookReceived, delivery_event_id
from loyalnest.auth.events import MerchantInstalled
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database, Pools
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.kit.rpc.handlers import MethodTable

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVICES = ("core", "points")
"""Who has to confirm here."""
EMPTY = """
    DO $$ DECLARE tables text; BEGIN
        SELECT string_agg(c.oid::regclass::text, ', ') INTO tables FROM pg_class c
        WHERE c.relnamespace = 'admin_core'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version';
        EXECUTE 'TRUNCATE ' || tables;
    END $$
"""


@dataclass
class AdminCore:
    """The service. `installed`: when auth says that each shop installed the app."""

    database: Database
    url: str
    store: KeyStore = field(default_factory=KeyStore)
    installed: dict[str, datetime] = field(default_factory=dict)
    now: datetime = START

    def __post_init__(self) -> None:
        outbox = self.outbox = Outbox("admin_core")
        self.keys = KeyRing(self.store, self.store.keks)
        self.trail = AuditTrail(self.database, self.keys)
        self.verification = NightlyVerification(self.database, self.trail, self.clock)
        self.deliveries = Deliveries(self.database, outbox, self.keys, self.installed_at, self.clock)
        self.confirmations = Confirmations(self.database, outbox, self.keys, self.clock, SERVICES)
        self.advance = Advance(
            self.database, outbox, self.keys, self.installed_at, self.clock, self.confirmations, SERVICES
        )
        self.forgetting = Forgetting(self.database, outbox, self.clock)
        self.deadlines = Deadlines(self.database, self.clock)
        self.privacy = PrivacyRequests(
            self.database, outbox, self.keys, self.clock, AuditAndRequests(outbox), GdprRequestCreated.read
        )
        requests = GdprRequests(self.database, outbox, self.keys, self.installed_at, self.clock, SERVICES)
        servicer = AdminCoreGrpc(
            self.trail, self.verification, requests, Exports(self.database, outbox, self.keys, self.clock)
        )
        table = MethodTable()
        add_AdminCoreServiceServicer_to_server(servicer, cast("Any", table))
        self.channel = ClientChannel(LocalChannel(table), "admin_core")
        self.stub = AdminCoreServiceStub(cast("Any", self.channel))

    def clock(self) -> datetime:
        return self.now

    async def installed_at(self, merchant_id: str) -> datetime | None:
        return self.installed.get(merchant_id)

    def pass_time(self, **span: float) -> datetime:
        self.now += timedelta(**span)
        return self.now

    async def call(
        self, method: str, request: Any, merchant: str = "acme", role: str = "owner", actor: str = "admin:1"
    ) -> Any:
        """Call a method as an admin of `merchant`."""
        with as_merchant(merchant, actor=actor, role=role):
            return await getattr(self.stub, method)(request)

    async def entries(self, merchant: str = "acme", **wanted: Any) -> list[pb.AuditEntry]:
        page = await self.call("GetAuditLogs", pb.GetAuditLogsRequest(page_size=200, **wanted), merchant)
        return list(page.entries)

    async def verified(self, merchant: str = "acme") -> list[str]:
        """What is wrong with the log."""
        found = await self.call("VerifyAuditLog", pb.VerifyAuditLogRequest(), merchant)
        return [each.detail for each in found.problems]

    async def delivered(
        self, topic: str, body: Any = None, merchant: str = "acme", delivery_id: str = "", at: datetime | None = None
    ) -> Event:
        """The event of a delivery, sealed as the gateway does."""
        delivery_id = delivery_id or str(new_id())
        keys = await self.keys.for_merchant(merchant)
        received = WebhookReceived(
            delivery_id=delivery_id,
            shopify_topic=topic,
            triggered_at=at or self.now,
            sealed=keys.seal(BODY_PURPOSE, msgspec.json.encode(body or {})),
        )
        return received.event(merchant, "other", id=delivery_event_id(merchant, delivery_id))

    async def ask(self, topic: str, customer_id: int = 1, merchant: str = "acme", **options: Any) -> Event:
        """Let a compliance delivery about a customer be handled. Returns its event."""
        body: dict[str, Any] = {"customer": {"id": customer_id, "email": "anna@example.com"}}
        if topic == "customers/data_request":
            body["data_request"] = {"id": options.pop("number", None) or new_id().int % 10**12}
        event = await self.delivered(topic, body, merchant, **options)
        await self.deliveries.handle([event])
        return event

    def come_back(self, merchant: str = "acme") -> Event:
        """The shop installs the app; the event that says so."""
        self.installed[merchant] = self.now
        told = MerchantInstalled(shop_domain=f"{merchant}.myshopify.com", installed_at=self.now)
        return told.event(merchant, merchant)

    async def told(self, topic: str) -> list[Any]:
        """The payloads of a topic in the outbox, in their order."""
        rows = await self.sql("SELECT payload FROM admin_core.outbox WHERE topic = $1 ORDER BY id", topic)
        return [msgspec.json.decode(row["payload"]) for row in rows]

    async def created(self) -> list[GdprRequestCreated]:
        return [
            msgspec.convert(each, GdprRequestCreated, strict=False) for each in await self.told("gdpr_request.created")
        ]

    async def audited(self) -> list[str]:
        """The actions that were told to the audit log."""
        return [each["action"] for each in await self.told(AuditLog.topic)]

    async def confirm(self, service: str, index: int = -1, merchant: str = "acme", **more: Any) -> Event:
        """Let a service confirm the request that was told as number `index`. Returns the event."""
        request = (await self.created())[index]
        event = request.confirmed(service, {"rows": 1}, self.now, **more).event(merchant, str(request.request_id))
        await self.confirmations.handle([event])
        return event

    async def requests(self, merchant: str = "acme") -> list[asyncpg.Record]:
        """The requests as they are stored, oldest first."""
        return await self.sql(
            "SELECT * FROM admin_core.gdpr_requests WHERE merchant_id = $1 ORDER BY request_id", merchant
        )

    async def statuses(self, merchant: str = "acme") -> list[str]:
        return [row["status"] for row in await self.requests(merchant)]

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        async with self.database.session() as session:
            return await session.fetch(statement, *arguments)

    async def everything(self) -> dict[str, Sequence[str]]:
        """Every row of the schema, as text."""
        names = await self.sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'admin_core' AND tablename !~ 'alembic'"
        )
        return {
            name: [row[0] for row in await self.sql(f"SELECT t::text FROM admin_core.{name} t ORDER BY t")]
            for (name,) in names
        }


def said(
    action: str = "points.adjusted",
    subject: str = "customer:1",
    *,
    merchant: str = "acme",
    actor: str = "admin:1",
    at: datetime = START,
    before: dict[str, str] | None = None,
    **after: str,
) -> Event:
    """An event for the audit log."""
    told = AuditLog(actor=actor, role="owner", action=action, subject=subject, before=before or {}, after=after, at=at)
    return told.event(merchant, subject)


def confirmed(event: Event) -> GdprRequestConfirmed:
    return GdprRequestConfirmed.read(event)


async def open_admin_core(url: str, pools: Pools) -> AdminCore:
    return AdminCore(Database(await pools.open(url), "admin_core"), url)


def wanted(**more: Any) -> pb.CreateGdprRequestRequest:
    """An admin's request to redact customer 5."""
    values: dict[str, Any] = {"kind": "customer_redact", "customer_id": 5, "reason": "asked", "idempotency_key": "k"}
    return pb.CreateGdprRequestRequest(**values | more)
