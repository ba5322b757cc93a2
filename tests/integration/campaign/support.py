"""The campaign service with its real parts on a database of the test's own, and short ways to make what comes in."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.campaign.campaigns import Campaigns
from loyalnest.campaign.consumers import Earnings, Rules
from loyalnest.campaign.jobs import TierJobs
from loyalnest.campaign.memberships import Memberships
from loyalnest.campaign.models import Plan
from loyalnest.campaign.privacy_repository import MEMBERS
from loyalnest.campaign.service import TierService
from loyalnest.core.events import CustomerCreated, SettingsChanged
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import OUTAGES, Database, Pools
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.program import Credentials, Program, ProgramRules, ProgramSpec
from loyalnest.kit.program.problems import validate
from loyalnest.kit.rules_projection import RulesProjection
from loyalnest.points.events import GrantReversed, PointsClawedBack, PointsEarned

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
LADDER = {"Bronze": 0, "Silver": 100, "Gold": 500}


class SettableClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class KnownSpending:
    """What points would answer; `away` is raised instead if it is set."""

    points: dict[UUID, int] = field(default_factory=dict)
    away: Exception | None = None

    async def spent(self, campaign_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        if self.away is not None:
            raise self.away
        return {each: self.points[each] for each in campaign_ids if each in self.points}


@dataclass
class Campaign:
    """The parts of campaign, as its manifest puts them together, but with a clock and answers of the test's."""

    database: Database
    url: str
    clock: SettableClock = field(default_factory=SettableClock)
    spending: KnownSpending = field(default_factory=KnownSpending)
    outbox: Outbox = field(default_factory=lambda: Outbox("campaign"))
    rules: RulesProjection = field(default_factory=lambda: RulesProjection("campaign"))
    store: KeyStore = field(default_factory=KeyStore)
    keys: KeyRing | None = None

    def __post_init__(self) -> None:
        self.memberships = Memberships(self.outbox, self.rules, self.clock)
        self.earnings = Earnings(self.database, self.memberships)
        self.projection = Rules(self.database, self.rules)
        self.jobs = TierJobs(self.database, self.memberships, self.clock)
        self.tiers = TierService(self.database, self.rules, self.clock)
        self.campaigns = Campaigns(self.database, self.outbox, self.rules, self.spending, self.clock)
        self.keys = self.keys or KeyRing(self.store, self.store.keks)
        self.privacy = PrivacyRequests(
            self.database, self.outbox, self.keys, self.clock, MEMBERS, GdprRequestCreated.read
        )

    async def add_merchant(self, merchant_id: str = "acme", **rules: Any) -> None:
        await self.tiers.provision(program(merchant_id, **rules))

    async def give(self, *events: Event) -> None:
        """Hand each event to the consumer of its topic, neighbours of one topic as a batch."""
        handlers: dict[str, Callable[[Sequence[Event]], Awaitable[None]]] = {
            CustomerCreated.topic: self.earnings.customer_created,
            PointsEarned.topic: self.earnings.earned,
            PointsClawedBack.topic: self.earnings.clawed_back,
            GrantReversed.topic: self.earnings.grant_reversed,
            SettingsChanged.topic: self.projection.settings_changed,
        }
        for batch in neighbours(events):
            await until_applied(handlers[batch[0].topic], batch)

    async def ask(self, *requests: Event) -> list[GdprRequestConfirmed]:
        """Let privacy requests be done. Returns what was confirmed so far."""
        await until_applied(self.privacy.handle, requests)
        return [
            msgspec.convert(each, GdprRequestConfirmed, strict=False)
            for each in await self.told("gdpr_request.confirmed")
        ]

    async def tier(self, customer_id: int = 1, merchant_id: str = "acme") -> str:
        """The tier that is stored; empty for who is no member."""
        rows = await self.sql(
            "SELECT tier FROM campaign.memberships WHERE merchant_id = $1 AND customer_id = $2",
            merchant_id,
            customer_id,
        )
        return rows[0]["tier"] if rows else ""

    async def counts(self, merchant_id: str = "acme") -> dict[str, int]:
        """Members by tier, as ListTiers tells."""
        return {each.name: each.members for each in (await self.tiers.tiers(merchant_id))[0]}

    async def told(self, topic: str = "tier.changed") -> list[dict[str, Any]]:
        """The payloads of a topic in the outbox, in their order."""
        rows = await self.sql("SELECT payload FROM campaign.outbox WHERE topic = $1 ORDER BY id", topic)
        return [msgspec.json.decode(row["payload"]) for row in rows]

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        async with self.database.session() as session:
            return await session.fetch(statement, *arguments)


async def open_campaign(url: str, pools: Pools) -> Campaign:
    return Campaign(Database(await pools.open(url), "campaign"), url)


def rules_document(
    ladder: Mapping[str, int] = LADDER, *, months: int | None = None, timezone: str = "UTC", factor: str = "1"
) -> dict[str, Any]:
    """Rules with these tiers; the multiplier of the first is `factor`, of each next one half more."""
    document: dict[str, Any] = {
        "earning": {"rules": [{"name": "purchase", "trigger": "order", "pointsPerUnit": 1}]},
        "rfm": {"timezone": timezone},
        "tiers": [
            {"name": name, "threshold": at, "multiplier": str(Decimal(factor) + Decimal(level) / 2)}
            for level, (name, at) in enumerate(ladder.items())
        ],
    }
    return document | ({"tierQualification": {"months": months}} if months else {})


def program(merchant_id: str, **rules: Any) -> Program:
    shop = {"domain": f"{merchant_id}.myshopify.com", "credentialsSecret": {"name": "shop"}}
    spec = validate(ProgramSpec, {"shop": shop, **rules_document(**rules)})
    return Program(merchant_id, spec, Credentials(api_key="k", api_secret="s"), Path("test.yaml"))


def joined(customer_id: int = 1, merchant_id: str = "acme") -> Event:
    return CustomerCreated(customer_id=customer_id, source="webhook", created_at=START).event(
        merchant_id, str(customer_id)
    )


def earned(
    points: int,
    order_id: int | None = None,
    customer_id: int = 1,
    merchant_id: str = "acme",
    *,
    at: datetime = START,
    reason: str = "order",
    transaction_id: UUID | None = None,
) -> Event:
    """An order has earned; without an `order_id`, something else has, at `at`."""
    payload = PointsEarned(
        customer_id=customer_id,
        points=points,
        reason=reason,
        available_at=at,
        order_id=order_id,
        base=None if order_id is None else Decimal(points),
        placed_at=None if order_id is None else at,
        transaction_id=transaction_id or (uuid.uuid4() if order_id is None else None),
    )
    return msgspec.structs.replace(payload.event(merchant_id, str(customer_id)), occurred_at=at)


def clawed_back(points: int, order_id: int, customer_id: int = 1, merchant_id: str = "acme", total: int = 0) -> Event:
    """A refund took `points` back, `total` in all so far."""
    return PointsClawedBack(
        customer_id=customer_id,
        order_id=order_id,
        points=points,
        net_base=Decimal(0),
        cancelled=False,
        clawed_back=total or points,
    ).event(merchant_id, str(customer_id))


def grant_reversed(points: int, transaction_id: uuid.UUID, customer_id: int = 1, merchant_id: str = "acme") -> Event:
    """A referral's grant was taken back."""
    payload = GrantReversed(customer_id=customer_id, transaction_id=transaction_id, points=points)
    return payload.event(merchant_id, str(customer_id))


def new_rules(version: int, merchant_id: str = "acme", **rules: Any) -> Event:
    text = ProgramRules.from_json(msgspec.json.encode(rules_document(**rules))).to_json()
    return SettingsChanged(
        version=version, rules=msgspec.Raw(text.encode()), changed_by="someone", changed_at=START
    ).event(merchant_id, merchant_id)


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "name": "Double week",
        "multiplier": Decimal(2),
        "starts_at": START,
        "ends_at": START + timedelta(days=7),
    }
    return Plan(**values | changes)


def neighbours(events: Iterable[Event]) -> list[list[Event]]:
    """`events` cut where the topic changes."""
    batches: list[list[Event]] = []
    for event in events:
        if batches and batches[-1][-1].topic == event.topic:
            batches[-1].append(event)
        else:
            batches.append([event])
    return batches


async def until_applied(handle: Callable[[Sequence[Event]], Awaitable[None]], events: Sequence[Event]) -> None:
    """Handle a batch as the consumer loop does: outages are tried again."""
    for _ in range(100):
        try:
            return await handle(events)
        except OUTAGES:
            await asyncio.sleep(0.002)
    raise AssertionError("the batch never went through")
