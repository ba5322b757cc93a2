"""The points service with its real parts on a database of the test's own, and short ways to make what comes in."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import CustomerFacts, LineFacts, OrderFacts, RefundFacts, WebhookReceived
from loyalnest.campaign.events import CampaignChanged
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import OUTAGES, Database, Pools
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.program import ProgramRules
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.consumers import Projections
from loyalnest.points.deliveries import DeliveryBatches
from loyalnest.points.discounts import Issued, Refused
from loyalnest.points.jobs import LotJobs
from loyalnest.points.privacy_repository import LEDGER
from loyalnest.points.redemption_repository import Redemption
from loyalnest.points.redemptions import Redemptions
from loyalnest.points.referral_rewards import ReferralRewards
from loyalnest.points.service import PointsService
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed
from loyalnest.rfm.events import RfmUpdated

START = datetime(2026, 1, 1, tzinfo=UTC)


class SettableClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class ScriptedIssuer:
    """A DiscountIssuer that answers what the test laid out, the last answer for ever; and counts the codes."""

    def __init__(self) -> None:
        self.answers: list[Issued | Refused | Exception] = [Issued(by="local")]
        self.asked: list[Redemption] = []

    async def issue(self, redemption: Redemption) -> Issued | Refused:
        self.asked.append(redemption)
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Points:
    """The parts of points, as its manifest puts them together, but with a clock and an issuer of the test's."""

    database: Database
    url: str
    clock: SettableClock = field(default_factory=SettableClock)
    issuer: ScriptedIssuer = field(default_factory=ScriptedIssuer)
    outbox: Outbox = field(default_factory=lambda: Outbox("points"))
    rules: RulesProjection = field(default_factory=lambda: RulesProjection("points"))
    store: KeyStore = field(default_factory=KeyStore)
    keys: KeyRing | None = None

    def __post_init__(self) -> None:
        self.deliveries = DeliveryBatches(self.database, self.outbox, self.rules, self.clock)
        self.service = PointsService(self.database, self.outbox, self.rules, self.clock)
        self.redemptions = Redemptions(self.database, self.outbox, self.rules, self.issuer, self.clock)
        self.projections = Projections(self.database, self.rules)
        self.referrals = ReferralRewards(self.database, self.outbox, self.rules, self.clock)
        self.jobs = LotJobs(self.database, self.outbox, self.clock)
        self.keys = self.keys or KeyRing(self.store, self.store.keks)
        self.privacy = PrivacyRequests(
            self.database, self.outbox, self.keys, self.clock, LEDGER, GdprRequestCreated.read
        )

    async def add_merchant(self, merchant_id: str = "acme", **earning: Any) -> None:
        async with self.database.request(merchant_id) as connection:
            await self.rules.seed(connection, merchant_id, program_rules(**earning))

    async def apply(self, *events: Event) -> None:
        """Handle the events as one batch."""
        await until_applied(self.deliveries.handle, events)

    async def ask(self, *requests: Event) -> list[GdprRequestConfirmed]:
        """Let privacy requests be done. Returns what was confirmed so far."""
        await until_applied(self.privacy.handle, requests)
        return [
            msgspec.convert(each, GdprRequestConfirmed, strict=False)
            for each in await self.told(GdprRequestConfirmed.topic)
        ]

    async def run_campaign(self, merchant_id: str = "acme", campaign_id: UUID | None = None, **facts: Any) -> UUID:
        """Let points know of a campaign. Returns its id."""
        change = campaign(campaign_id, **facts)
        await self.projections.campaign_changed([change.event(merchant_id, str(change.campaign_id))])
        return change.campaign_id

    async def spent(self, campaign_id: UUID, merchant_id: str = "acme") -> int:
        """What a campaign has given, as points tells."""
        return (await self.service.campaign_spending(merchant_id, [campaign_id]))[campaign_id]

    async def earn(self, points: int, customer_id: int = 1, merchant_id: str = "acme") -> int:
        """Let a customer earn `points` by a new order of one unit a point. Returns the order's id."""
        order_id = new_number()
        await self.apply(delivery(merchant_id, order=order(order_id, customer_id, points)))
        return order_id

    async def balances(self, merchant_id: str, customer_id: int = 1) -> tuple[int, int, int, int]:
        """Available, pending, held and debt of a customer."""
        found = await self.service.balance(merchant_id, customer_id)
        return found.available, found.pending, found.held, found.debt

    async def told(self, topic: str) -> list[dict[str, Any]]:
        """The payloads of a topic in the outbox, in their order."""
        rows = await self.sql("SELECT payload FROM points.outbox WHERE topic = $1 ORDER BY id", topic)
        return [msgspec.json.decode(row["payload"]) for row in rows]

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        async with self.database.session() as session:
            return await session.fetch(statement, *arguments)

    async def problems(self, merchant_id: str = "acme") -> list[tuple[str, str, str]]:
        """What `verify` has to say."""
        return (await self.service.verify(merchant_id))[2]


async def open_points(url: str, pools: Pools) -> Points:
    return Points(Database(await pools.open(url), "points"), url)


def program_rules(
    *, rate: str | None = "1", fixed: int | None = None, joining: int | None = None, **earning: Any
) -> Any:
    """Rules with an order rule of `rate` points a unit (or `fixed` points an order), and rewards of 100 and 300."""
    rules: list[dict[str, Any]] = [{"name": "purchase", "trigger": "order"}]
    rules[0] |= {"points": fixed} if fixed is not None else {"pointsPerUnit": rate}
    if joining is not None:
        rules.append({"name": "joining", "trigger": "customer", "points": joining})
    rewards = [
        {"name": "five-off", "points": 100, "discount": {"amount": "5.00"}},
        {"name": "third-off", "points": 300, "discount": {"percentage": 33}},
    ]
    document = {"earning": {**earning, "rules": rules}, "redemption": {"rewards": rewards}}
    return ProgramRules.from_json(msgspec.json.encode(document))


def order(order_id: int = 1, customer_id: int | None = 1, base: object = "100", **facts: Any) -> OrderFacts:
    """A paid order."""
    values: dict[str, Any] = {"paid": True, "placed_at": START, "currency": "USD"} | facts
    return OrderFacts(order_id=order_id, customer_id=customer_id, base=Decimal(str(base)), **values)


def campaign(campaign_id: UUID | None = None, **facts: Any) -> CampaignChanged:
    """A campaign of four weeks that doubles every order's points."""
    values: dict[str, Any] = {
        "version": 1,
        "name": "Double",
        "multiplier": Decimal(2),
        "starts_at": START,
        "ends_at": START + timedelta(days=28),
        "changed_at": START,
    } | facts
    return CampaignChanged(campaign_id=campaign_id or new_id(), **values)


def segment(name: str, customer_id: int = 1, previous: str = "", hours: int = 0, merchant_id: str = "acme") -> Event:
    """A customer moved to another segment."""
    return RfmUpdated(
        customer_id=customer_id,
        recency=5,
        frequency=1,
        monetary=1,
        segment=name,
        previous_segment=previous,
        as_of=START + timedelta(hours=hours),
    ).event(merchant_id, str(customer_id))


def refund(refund_id: int = 1, order_id: int = 1, base: object = "10") -> RefundFacts:
    return RefundFacts(refund_id=refund_id, order_id=order_id, base=Decimal(str(base)))


def delivery(
    merchant_id: str = "acme",
    *,
    topic: str = "",
    delivery_id: str = "",
    order: OrderFacts | None = None,
    refund: RefundFacts | None = None,
    customer_id: int | None = None,
) -> Event:
    """The event of one delivery, with its id derived from the delivery's as the gateway does."""
    delivery_id = delivery_id or uuid.uuid4().hex
    if not topic:
        topic = "orders/paid" if order else "refunds/create" if refund else "customers/create"
    received = WebhookReceived(
        delivery_id=delivery_id,
        shopify_topic=topic,
        order=order,
        refund=refund,
        customer=None if customer_id is None else CustomerFacts(customer_id=customer_id),
    )
    event_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{merchant_id}/{delivery_id}")
    return received.event(merchant_id, "key", id=event_id)


def completed(
    referral_id: str = "r1",
    merchant_id: str = "acme",
    *,
    referrer_id: int = 1,
    friend_id: int = 2,
    referrer_points: int = 500,
    friend_points: int = 250,
) -> Event:
    """A referral that counted, under a new event id."""
    told = ReferralCompleted(
        referral_id=referral_id,
        referrer_id=referrer_id,
        friend_id=friend_id,
        referrer_points=referrer_points,
        friend_points=friend_points,
        completed_at=START,
    )
    return told.event(merchant_id, referral_id)


def reversed_one(
    referral_id: str = "r1", merchant_id: str = "acme", *, referrer_id: int = 1, friend_id: int = 2
) -> Event:
    """The reversal of a referral, under a new event id."""
    told = ReferralReversed(referral_id=referral_id, referrer_id=referrer_id, friend_id=friend_id, reversed_at=START)
    return told.event(merchant_id, referral_id)


def line(line_id: int, base: str) -> LineFacts:
    return LineFacts(line_id=line_id, product_id=line_id, quantity=1, base=Decimal(base))


async def until_applied(handle: Callable[[Sequence[Event]], Awaitable[None]], events: Sequence[Event]) -> None:
    """Handle a batch as the consumer loop does: outages, a lost race among them, are tried again."""
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
