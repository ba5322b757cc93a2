"""What the tests of gamification work with: the service's parts on real servers, and events as others publish them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from redis.asyncio import Redis

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.api_gateway.events import ProductFacts, WebhookReceived
from loyalnest.core.events import SettingsChanged
from loyalnest.gamification.cache import BadgeCache
from loyalnest.gamification.consumers import FactBatches, Projections
from loyalnest.gamification.definitions import Draft
from loyalnest.gamification.evaluation import Evaluator
from loyalnest.gamification.jobs import BadgeJobs
from loyalnest.gamification.leaderboard import Leaderboard
from loyalnest.gamification.privacy_repository import BadgesKept, PrivacyConsumer
from loyalnest.gamification.service import BadgeService
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event, Payload, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.program import Earning, EarningRule, ProgramRules, Rfm, Trigger
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.events import PointsClawedBack, PointsEarned, ProductSpend
from loyalnest.referrals.events import ReferralCompleted, ReferralReversed

P = TypeVar("P", bound=Payload)

NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)


@dataclass(slots=True)
class SetClock:
    """Stands still until it is told."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Rig:
    """The live parts over one database and one Redis."""

    database: Database
    redis: "Redis"
    clock: SetClock = field(default_factory=SetClock)
    outbox: Outbox = field(default_factory=lambda: Outbox("gamification"))
    store: KeyStore = field(default_factory=KeyStore)

    def __post_init__(self) -> None:
        self.keys = KeyRing(self.store, self.store.keks, ttl=0)
        self.projection = RulesProjection("gamification")
        self.cache = BadgeCache(self.redis, "test:")
        self.evaluator = Evaluator(self.outbox, self.projection, self.clock)

    @property
    def service(self) -> BadgeService:
        return BadgeService(self.database, self.outbox, self.projection, self.evaluator, self.cache, self.clock)

    @property
    def leaderboard(self) -> Leaderboard:
        return Leaderboard(self.database, self.outbox, self.keys, self.evaluator, self.clock)

    @property
    def jobs(self) -> BadgeJobs:
        return self.jobs_on(self.database)

    @property
    def projections(self) -> Projections:
        return Projections(self.database, self.projection, self.evaluator)

    def jobs_on(self, database: Database) -> BadgeJobs:
        return BadgeJobs(database, self.outbox, self.evaluator, self.cache, self.clock)

    def privacy_on(self, database: Database) -> PrivacyConsumer:
        kept = BadgesKept()
        requests = PrivacyRequests(database, self.outbox, self.keys, self.clock, kept, GdprRequestCreated.read)
        return PrivacyConsumer(requests, kept, self.cache)

    async def ask(self, request: Event) -> GdprRequestConfirmed:
        """Let a privacy request be done. Returns the latest confirmation."""
        await self.privacy_on(self.database).handle([request])
        return (await self.told(GdprRequestConfirmed))[-1]

    async def add_merchant(self, merchant_id: str, timezone: str = "UTC") -> None:
        """A merchant with rules and without badges."""
        await self.as_owner(f"INSERT INTO gamification.sweeps (merchant_id, requested) VALUES ('{merchant_id}', 0)")
        await self.projections.settings_changed([settings_changed(merchant_id, 1, timezone)])

    async def add_badge(self, merchant_id: str, key: str, kind: str, target: str, **more: Any) -> None:
        """Define a badge, before anybody could have earned it."""
        with as_merchant(merchant_id, actor="admin:1", role="owner"):
            await self.service.create(merchant_id, draft(key, kind, target, **more))

    async def give(self, *events: Event, on: Database | None = None) -> None:
        """Hand each event to the consumer of its topic, neighbours of one topic as a batch."""
        batch: list[Event] = []
        for event in [*events, None]:
            if batch and (event is None or event.topic != batch[-1].topic):
                await self.handler(batch[0].topic, on or self.database)(batch)
                batch = []
            if event is not None:
                batch.append(event)

    def handler(self, topic: str, database: Database) -> Any:
        batches = FactBatches(database, self.evaluator, self.cache)
        projections = Projections(database, self.projection, self.evaluator)
        return {
            PointsEarned.topic: batches.earned,
            PointsClawedBack.topic: batches.clawed_back,
            ReferralCompleted.topic: batches.referrals,
            ReferralReversed.topic: batches.referrals,
            WebhookReceived.topic: projections.delivered,
            SettingsChanged.topic: projections.settings_changed,
        }[topic]

    async def held(self, merchant_id: str) -> set[tuple[int, str]]:
        """Who holds which badge, as stored."""
        rows = await self.fetch(
            "SELECT customer_id, badge_key FROM gamification.customer_badges WHERE merchant_id = $1 AND held",
            merchant_id,
        )
        return {(row[0], row[1]) for row in rows}

    async def progress(self, merchant_id: str, customer_id: int) -> dict[str, tuple[bool, Decimal]]:
        """What a customer is shown: held, and how much of the target."""
        found = await self.service.customer_badges(merchant_id, customer_id)
        return {each.badge.key: (each.held, each.current) for each in found}

    async def told(self, payload: type[P], merchant_id: str = "acme") -> list[P]:
        """What the outbox holds, in its order."""
        rows = await self.fetch(
            "SELECT payload FROM gamification.outbox WHERE topic = $1 AND merchant_id = $2 ORDER BY id",
            payload.topic,
            merchant_id,
        )
        return [msgspec.json.decode(row["payload"], type=payload) for row in rows]

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with self.database.worker() as connection:
            return list(await connection.fetch(query, *values))

    async def as_owner(self, statement: str) -> None:
        """Run a statement as the owner of the database."""
        async with self.database.session() as connection:
            await connection.execute(statement)


def draft(key: str, kind: str, target: str, **more: Any) -> Draft:
    """A badge as an admin writes it."""
    return Draft(**{"key": key, "title": key, "description": "", "icon": "star", "kind": kind, "target": target} | more)


def earned(
    merchant_id: str,
    order_id: int,
    customer_id: int,
    base: str | Decimal,
    *,
    placed_at: datetime = NOON,
    points: int = 1,
    products: Iterable[tuple[int, str | Decimal]] = (),
    event_id: UUID | None = None,
) -> Event:
    """An order has earned."""
    return PointsEarned(
        customer_id=customer_id,
        points=points,
        reason="order",
        available_at=placed_at,
        order_id=order_id,
        base=Decimal(base),
        currency="USD",
        placed_at=placed_at,
        products=tuple(ProductSpend(product_id=each, base=Decimal(spent)) for each, spent in products),
    ).event(merchant_id, str(customer_id), id=event_id)


def clawed_back(
    merchant_id: str,
    order_id: int,
    customer_id: int,
    net_base: str | Decimal,
    *,
    cancelled: bool = False,
    points: int = 0,
) -> Event:
    """An order is worth less."""
    return PointsClawedBack(
        customer_id=customer_id, order_id=order_id, points=points, net_base=Decimal(net_base), cancelled=cancelled
    ).event(merchant_id, str(customer_id))


def granted(
    merchant_id: str, customer_id: int, points: int, reason: str = "joining", transaction_id: UUID | None = None
) -> Event:
    """Points that no order earned."""
    return PointsEarned(
        customer_id=customer_id,
        points=points,
        reason=reason,
        transaction_id=transaction_id or new_id(),
        available_at=NOON,
    ).event(merchant_id, str(customer_id))


def referred(merchant_id: str, referral_id: str, referrer_id: int, friend_id: int, points: int = 0) -> Event:
    """A friend's order completed a referral; the friend gets half the points."""
    return ReferralCompleted(
        referral_id=referral_id,
        referrer_id=referrer_id,
        friend_id=friend_id,
        referrer_points=points,
        friend_points=points // 2,
        completed_at=NOON,
    ).event(merchant_id, str(referrer_id))


def unreferred(merchant_id: str, referral_id: str, referrer_id: int, friend_id: int) -> Event:
    """That order was refunded."""
    return ReferralReversed(
        referral_id=referral_id, referrer_id=referrer_id, friend_id=friend_id, reversed_at=NOON
    ).event(merchant_id, str(referrer_id))


def product(
    merchant_id: str, product_id: int, product_type: str, *, updated_at: datetime = NOON, deleted: bool = False
) -> Event:
    """A product as Shopify tells of it."""
    return WebhookReceived(
        delivery_id=str(new_id()),
        shopify_topic="products/delete" if deleted else "products/update",
        product=ProductFacts(product_id=product_id, deleted=deleted, product_type=product_type, updated_at=updated_at),
    ).event(merchant_id, str(product_id))


def settings_changed(merchant_id: str, version: int, timezone: str) -> Event:
    """The merchant's rules have a new version."""
    rule = EarningRule(name="joining", trigger=Trigger.CUSTOMER, points=1)
    rules = ProgramRules(earning=Earning(rules=(rule,)), rfm=Rfm(timezone=timezone))
    return SettingsChanged(
        version=version, rules=msgspec.Raw(rules.to_json().encode()), changed_by="someone", changed_at=NOON
    ).event(merchant_id, merchant_id)


def again(events: Sequence[Event]) -> list[Event]:
    """The same facts under other ids."""
    return [msgspec.structs.replace(event, id=new_id()) for event in events]
