"""admin_features with its real parts beside the real core, and ways to make what comes in."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import asyncpg
import msgspec

from fixtures.email_webhooks import MAILGUN_KEY, RESEND_SECRET
from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.admin_features import admin_features_pb2 as pb
from loyalnest.admin_features.admin_features_pb2_grpc import (
    AdminFeaturesServiceStub,
    add_AdminFeaturesServiceServicer_to_server,
)
from loyalnest.admin_features.consumers import Notices, Outcomes, Rules
from loyalnest.admin_features.events import MESSAGE_PURPOSE, EmailEventCreated, Message
from loyalnest.admin_features.grpc import AdminFeaturesGrpc
from loyalnest.admin_features.privacy_repository import MessagesKept
from loyalnest.admin_features.sending import Sending
from loyalnest.admin_features.service import AdminFeatures
from loyalnest.admin_features.templates import Templates
from loyalnest.api_gateway.events import SEALED_PURPOSE, CustomerFacts, OrderFacts, PersonalData, WebhookReceived
from loyalnest.core.consumers import DeliveryBatches
from loyalnest.core.core_pb2_grpc import CoreServiceStub, add_CoreServiceServicer_to_server
from loyalnest.core.grpc import CoreGrpc
from loyalnest.core.privacy_repository import CustomersKept
from loyalnest.core.sealing import Vault
from loyalnest.core.service import CoreService
from loyalnest.event_tracking.events import TaskCompleted
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event, Payload, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.program import Credentials, LoyaltyProgram, Program
from loyalnest.kit.program.problems import validate
from loyalnest.kit.rpc import MethodTable
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.events import PointsEarned
from loyalnest.referrals.events import SHARE_PURPOSE, ReferralShared

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
_numbers = itertools.count(1000)


class Clock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class Rig:
    """The parts, as the manifests put them together, but with a clock and keys of the test's."""

    def __init__(self, pool: Any, url: str, like: "Rig | None" = None, database: Database | None = None) -> None:
        """`like`: share its clock, keys and core, on another `database`."""
        self.pool, self.url = pool, url
        self.clock: Clock = like.clock if like else Clock()
        self.store: KeyStore = like.store if like else KeyStore()
        self.keys = KeyRing(self.store, self.store.keks)
        self.lag = 0
        self.database = database or Database(pool, "admin_features")
        self.outbox = Outbox("admin_features")
        self.rules = RulesProjection("admin_features")
        self.core_stub: Any = CoreServiceStub(cast("Any", self._core()))
        self.notices, self.outcomes = Notices(self.database, self.clock), Outcomes(self.database, self.clock)
        self.rules_consumer = Rules(self.database, self.rules)
        self.sending = Sending(
            self.database,
            self.outbox,
            self.keys,
            self.rules,
            self.core_stub,
            self.clock,
            public_url="https://loyalty.example/",
            email_from="LoyalNest <mail@loyalty.example>",
            bus_lag=self._bus_lag,
        )
        secrets = {"resend": RESEND_SECRET, "mailgun": MAILGUN_KEY}
        self.service = AdminFeatures(self.database, self.outbox, self.keys, self.rules, self.clock, secrets)
        self.templates = Templates(
            self.database, self.outbox, self.keys, self.rules, self.clock, "LoyalNest <mail@loyalty.example>"
        )
        self.privacy = PrivacyRequests(
            self.database, self.outbox, self.keys, self.clock, MessagesKept(), GdprRequestCreated.read
        )
        table = MethodTable()
        add_AdminFeaturesServiceServicer_to_server(AdminFeaturesGrpc(self.service, self.templates), cast("Any", table))
        self.channel = ClientChannel(LocalChannel(table), "admin_features")
        self.stub: Any = AdminFeaturesServiceStub(cast("Any", self.channel))

    def _core(self) -> ClientChannel:
        database, outbox, vault = Database(self.pool, "core"), Outbox("core"), Vault(self.keys)
        service = CoreService(database, outbox, vault, self.clock)
        table = MethodTable()
        add_CoreServiceServicer_to_server(CoreGrpc(service, cast("Any", None), cast("Any", None)), cast("Any", table))
        self.core_deliveries = DeliveryBatches(database, outbox, vault, self.clock)
        self.core_privacy = PrivacyRequests(
            database, outbox, self.keys, self.clock, CustomersKept(), GdprRequestCreated.read
        )
        return ClientChannel(LocalChannel(table), "core")

    async def _bus_lag(self) -> int:
        return self.lag

    async def add_merchant(self, merchant: str, **spec: Any) -> None:
        await self.service.provision(program(merchant, **spec))

    async def settings(self, merchant: str = "acme", **changes: Any) -> Any:
        """Change a merchant's e-mail settings."""
        known = await self.call("GetEmailSettings", pb.GetEmailSettingsRequest(), merchant)
        disabled = changes.pop("disabled", None)
        for name, value in changes.items():
            setattr(known, name, value)
        if disabled is not None:
            known.ClearField("disabled")
            known.disabled.extend(disabled)
        return await self.call("UpdateEmailSettings", known, merchant)

    async def call(self, method: str, request: Any, merchant: str = "acme", role: str = "owner") -> Any:
        """Call a method as an admin of `merchant`."""
        with as_merchant(merchant, actor="admin-1", role=role):
            return await getattr(self.stub, method)(request)

    async def customer(
        self,
        customer_id: int,
        email: str | None = "",
        *,
        merchant: str = "acme",
        accepts_marketing: bool | None = True,
        locale: str = "",
        first_name: str = "Anna",
        created_at: datetime | None = None,
    ) -> str:
        """Let core know a customer, in `locale`'s language. Returns the address."""
        address = f"c{customer_id}@{merchant}.example" if email == "" else email
        keys = await self.keys.for_merchant(merchant)
        personal = PersonalData(email=address, phone="+4915112345678", first_name=first_name)
        sealed = keys.seal(SEALED_PURPOSE, msgspec.json.encode(personal))
        facts = CustomerFacts(
            customer_id=customer_id,
            created_at=created_at or self.clock.now,
            updated_at=self.clock.now,
            accepts_marketing=accepts_marketing,
        )
        told = [WebhookReceived(delivery_id="", shopify_topic="customers/create", customer=facts, sealed=sealed)]
        if locale:
            order = OrderFacts(
                order_id=next(_numbers),
                customer_id=customer_id,
                base=Decimal(1),
                paid=True,
                placed_at=self.clock.now,
                locale=locale,
            )
            told.append(WebhookReceived(delivery_id="", shopify_topic="orders/paid", order=order))
        await self.core_deliveries.handle([each.event(merchant, str(customer_id)) for each in told])
        return address or ""

    def earned(self, customer_id: int = 1, points: int = 120, merchant: str = "acme", **more: Any) -> Event:
        """An order that earned points just now."""
        values: dict[str, Any] = {
            "reason": "order",
            "order_id": next(_numbers),
            "placed_at": self.clock.now,
            "available_at": self.clock.now,
        } | more
        return self.event(PointsEarned(customer_id=customer_id, points=points, **values), merchant)

    async def shared(self, customer_id: int, to: str, channel: str = "email", merchant: str = "acme") -> Event:
        """A customer invites a friend."""
        keys = await self.keys.for_merchant(merchant)
        payload = ReferralShared(
            share_id=new_id(),
            customer_id=customer_id,
            channel=channel,
            link="https://acme.example/?ref=MARIA7",
            friend_points=50,
            sealed=keys.seal(SHARE_PURPOSE, to.encode()),
            shared_at=self.clock.now,
        )
        return self.event(payload, merchant)

    def event(self, payload: Payload, merchant: str = "acme") -> Event:
        """An event that is published at the clock's time."""
        return msgspec.structs.replace(payload.event(merchant, "key"), occurred_at=self.clock.now)

    async def tell(self, *events: Event) -> None:
        """Let the events be noted, as one batch, and what they make be decided ten seconds later."""
        await self.notices.handle(events)
        self.clock.advance(seconds=10)
        await self.sending.run()

    async def sent(self, merchant: str = "acme") -> list[tuple[EmailEventCreated, Message]]:
        """The messages that were given to event_tracking, opened."""
        keys = await self.keys.for_merchant(merchant)
        rows = await self.sql(
            "SELECT payload FROM admin_features.outbox WHERE topic = $1 AND merchant_id = $2 ORDER BY id",
            EmailEventCreated.topic,
            merchant,
        )
        created = [msgspec.json.decode(row["payload"], type=EmailEventCreated) for row in rows]
        return [(each, msgspec.json.decode(keys.open(MESSAGE_PURPOSE, each.sealed), type=Message)) for each in created]

    async def statuses(self, merchant: str = "acme") -> list[tuple[str, str, str]]:
        """Kind, status and reason of a merchant's messages, in the order in which they were noted."""
        rows = await self.sql(
            "SELECT kind, status, reason FROM admin_features.email_events WHERE merchant_id = $1 ORDER BY message_id",
            merchant,
        )
        return [(row["kind"], row["status"], row["reason"]) for row in rows]

    async def finish(
        self, message_id: UUID, outcome: str = "done", provider_id: str = "", merchant: str = "acme", **more: Any
    ) -> None:
        """Let event_tracking report a message's end."""
        done = TaskCompleted(
            task_id=new_id(),
            kind="email",
            unique_key=str(message_id),
            outcome=outcome,
            attempts=1,
            provider="resend",
            provider_id=provider_id,
            completed_at=self.clock.now,
            **more,
        )
        await self.outcomes.handle([self.event(done, merchant)])

    async def audited(self, merchant: str = "acme") -> list[dict[str, Any]]:
        rows = await self.sql(
            "SELECT payload FROM admin_features.outbox WHERE topic = 'audit_log' AND merchant_id = $1 ORDER BY id",
            merchant,
        )
        return [msgspec.json.decode(row["payload"]) for row in rows]

    async def confirmed(self) -> list[GdprRequestConfirmed]:
        rows = await self.sql(
            "SELECT payload FROM admin_features.outbox WHERE topic = $1 ORDER BY id", GdprRequestConfirmed.topic
        )
        return [msgspec.json.decode(row["payload"], type=GdprRequestConfirmed) for row in rows]

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        async with self.pool.acquire() as session:
            found: list[asyncpg.Record] = await session.fetch(statement, *arguments)
            return found


def token_in(message: Message) -> str:
    """The token of the link to unsubscribe in a mail."""
    return message.headers["List-Unsubscribe"].strip("<>").rpartition("/")[2]


def program(merchant: str, **spec: Any) -> Program:
    document = {
        "apiVersion": "loyalnest.io/v1alpha1",
        "kind": "LoyaltyProgram",
        "metadata": {"name": merchant},
        "spec": {
            "shop": {"domain": f"{merchant}-tea.myshopify.com", "credentialsSecret": {"name": "shopify"}},
            "earning": {
                "rules": [
                    {"name": "purchase", "trigger": "order", "pointsPerUnit": "1"},
                    {"name": "joining", "trigger": "customer", "points": 50},
                ]
            },
            **spec,
        },
    }
    credentials = Credentials(api_key="k", api_secret="s")
    return Program(merchant, validate(LoyaltyProgram, document).spec, credentials, Path("program.yaml"))
