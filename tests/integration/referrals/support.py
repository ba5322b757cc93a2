"""The referrals service with its real parts on a database of the test's own, and short ways to make what comes in."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import (
    SEALED_PURPOSE,
    CustomerFacts,
    OrderFacts,
    PersonalData,
    RefundFacts,
    WebhookReceived,
)
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import OUTAGES, Database, Pools
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.program import ProgramRules
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.referrals.cache import StatusCache
from loyalnest.referrals.consumers import Terms
from loyalnest.referrals.deliveries import DeliveryBatches
from loyalnest.referrals.grpc import ReferralsGrpc
from loyalnest.referrals.links import Links
from loyalnest.referrals.models import Referral
from loyalnest.referrals.privacy_repository import ReferralsKept
from loyalnest.referrals.service import ReferralsService
from loyalnest.referrals.sharing import Sharing

START = datetime(2026, 1, 1, tzinfo=UTC)
REFERRER = 1
FRIEND = 2


class SettableClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class NamedShops:
    """Every merchant's shop has the merchant's name."""

    async def url(self, merchant_id: str, path: str) -> str:
        return f"https://{merchant_id}.myshopify.com{path}"


@dataclass
class Rig:
    """The parts of referrals, as its manifest puts them together, but with a clock and shops of the test's."""

    database: Database
    address: str
    redis: Any
    clock: SettableClock = field(default_factory=SettableClock)
    outbox: Outbox = field(default_factory=lambda: Outbox("referrals"))
    projection: RulesProjection = field(default_factory=lambda: RulesProjection("referrals"))
    store: KeyStore = field(default_factory=KeyStore)
    keys: KeyRing | None = None

    def __post_init__(self) -> None:
        self.ring = self.keys or KeyRing(self.store, self.store.keks)
        self.keys = self.ring
        self.cache = StatusCache(self.redis, "test:")
        self.deliveries = DeliveryBatches(
            self.database, self.outbox, self.projection, self.ring, self.cache, self.clock
        )
        self.service = ReferralsService(self.database, self.outbox, self.projection, self.cache, self.clock)
        self.links = Links(self.database, self.projection, NamedShops(), self.clock)
        self.sharing = Sharing(self.database, self.outbox, self.ring, self.links, self.clock)
        self.terms = Terms(self.database, self.projection)
        self.grpc = ReferralsGrpc(self.service, self.links, self.sharing)
        self.privacy = PrivacyRequests(
            self.database, self.outbox, self.ring, self.clock, ReferralsKept(), GdprRequestCreated.read
        )

    async def add_merchant(self, merchant_id: str = "acme", **terms: Any) -> None:
        async with self.database.request(merchant_id) as connection:
            await self.projection.seed(connection, merchant_id, program_rules(**terms))

    async def code(self, customer_id: int = REFERRER, merchant_id: str = "acme") -> str:
        return (await self.links.create(merchant_id, customer_id)).code

    async def delivery(
        self,
        merchant_id: str = "acme",
        *,
        topic: str = "",
        order: OrderFacts | None = None,
        refund: RefundFacts | None = None,
        customer: CustomerFacts | None = None,
        person: PersonalData | None = None,
    ) -> Event:
        """The event of one delivery."""
        if not topic:
            topic = "orders/paid" if order else "refunds/create" if refund else "customers/update"
        sealed = b""
        if person is not None:
            keys = await self.ring.for_merchant(merchant_id)
            sealed = keys.seal(SEALED_PURPOSE, msgspec.json.encode(person))
        received = WebhookReceived(
            delivery_id=uuid.uuid4().hex,
            shopify_topic=topic,
            order=order,
            refund=refund,
            customer=customer,
            sealed=sealed,
        )
        return received.event(merchant_id, "key")

    async def apply(self, *events: Event) -> None:
        """Handle the events as one batch."""
        await until_applied(self.deliveries.handle, events)

    async def buy(
        self,
        code: str = "",
        customer_id: int = FRIEND,
        merchant_id: str = "acme",
        *,
        person: PersonalData | None = None,
        **facts: Any,
    ) -> int:
        """Let a customer pay an order of 50 by a code. Returns the order's id."""
        number = facts.pop("order_id", None) or new_number()
        facts_ = order(number, customer_id, referral_code=code, **facts)
        await self.apply(await self.delivery(merchant_id, order=facts_, person=person))
        return int(number)

    async def meet(self, customer_id: int, person: PersonalData, merchant_id: str = "acme") -> None:
        """Let Shopify tell who a customer is."""
        facts = CustomerFacts(customer_id=customer_id)
        await self.apply(await self.delivery(merchant_id, customer=facts, person=person))

    async def of_friend(self, friend_id: int = FRIEND, merchant_id: str = "acme") -> Referral | None:
        """The referral that a customer came by, as PostgreSQL has it."""
        return (await self.service.fares(merchant_id, friend_id)).came_by

    async def state(self, friend_id: int = FRIEND, merchant_id: str = "acme") -> tuple[str, str]:
        """Status and reason of a friend's referral."""
        found = await self.of_friend(friend_id, merchant_id)
        assert found is not None
        return str(found.status), str(found.reason)

    async def ask(self, *requests: Event) -> list[GdprRequestConfirmed]:
        """Let privacy requests be done. Returns what was confirmed so far."""
        await until_applied(self.privacy.handle, requests)
        told = await self.told(GdprRequestConfirmed.topic)
        return [msgspec.convert(each, GdprRequestConfirmed, strict=False) for each in told]

    async def told(self, topic: str, merchant_id: str = "acme") -> list[dict[str, Any]]:
        """The payloads of a topic in the outbox, in their order."""
        rows = await self.sql(
            "SELECT payload FROM referrals.outbox WHERE topic = $1 AND merchant_id = $2 ORDER BY id", topic, merchant_id
        )
        return [msgspec.json.decode(row["payload"]) for row in rows]

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        async with self.database.session() as session:
            return await session.fetch(statement, *arguments)


async def open_rig(url: str, redis_url: str, pools: Pools) -> Rig:
    return Rig(Database(await pools.open(url), "referrals"), url, Redis.from_url(redis_url, socket_timeout=1.0))


def program_rules(
    *, offered: bool = True, minimum: str = "20.00", referrer: int = 500, friend: int = 250, test_orders: bool = False
) -> ProgramRules:
    """Rules that offer referrals, or none."""
    rule = {"name": "purchase", "trigger": "order", "pointsPerUnit": "1"}
    document: dict[str, Any] = {"earning": {"rules": [rule], "includeTestOrders": test_orders}}
    if offered:
        document["referrals"] = {"referrerPoints": referrer, "friendPoints": friend, "minimumSpend": minimum}
    return ProgramRules.from_json(msgspec.json.encode(document))


def order(order_id: int = 1, customer_id: int | None = FRIEND, base: object = "50", **facts: Any) -> OrderFacts:
    """A paid order."""
    values: dict[str, Any] = {"paid": True, "placed_at": START, "currency": "USD"} | facts
    return OrderFacts(order_id=order_id, customer_id=customer_id, base=Decimal(str(base)), **values)


def refund(order_id: int, base: object = "50", refund_id: int = 0) -> RefundFacts:
    return RefundFacts(refund_id=refund_id or new_number(), order_id=order_id, base=Decimal(str(base)))


def person(email: str = "", phone: str = "", street: str = "", postal_code: str = "12345") -> PersonalData:
    """Somebody."""
    address = {"address1": street, "zip": postal_code, "city": "Springfield"}
    return PersonalData(email=email or None, phone=phone or None, addresses=[address] if street else [])


async def until_applied(handle: Callable[[Sequence[Event]], Awaitable[None]], events: Sequence[Event]) -> None:
    """Handle a batch as the consumer loop does: outages are tried again."""
    for _ in range(100):
        try:
            return await handle(events)
        except OUTAGES:
            await asyncio.sleep(0.002)
    raise AssertionError("the batch never went through")


_numbers = iter(range(10**6, 10**9))


def new_number() -> int:
    """An id that no other call of this process got."""
    return next(_numbers)
