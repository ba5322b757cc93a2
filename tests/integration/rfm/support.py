"""What the tests of rfm work with: the service's parts on a real database, and events as points publishes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.core.events import SettingsChanged
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.program import Earning, EarningRule, ProgramRules, Rfm, Trigger
from loyalnest.points.events import PointsClawedBack, PointsEarned
from loyalnest.rfm.consumers import OrderBatches, Schedules
from loyalnest.rfm.events import RfmUpdated
from loyalnest.rfm.jobs import RfmJobs
from loyalnest.rfm.privacy_repository import SCORES
from loyalnest.rfm.refresh import Refresher
from loyalnest.rfm.scoring import CutPoints
from loyalnest.rfm.service import RfmService
from unit.rfm.reference import Scored, Values

NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)


@dataclass(slots=True)
class SetClock:
    """Stands still until it is told."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def key_ring() -> KeyRing:
    """Keys for every merchant."""
    store = KeyStore()
    return KeyRing(store, store.keks)


@dataclass(slots=True)
class Rig:
    """The live parts over one database."""

    database: Database
    clock: SetClock = field(default_factory=SetClock)
    outbox: Outbox = field(default_factory=lambda: Outbox("rfm"))
    keys: KeyRing = field(default_factory=key_ring)

    @property
    def refresher(self) -> Refresher:
        return Refresher(self.database, self.outbox, self.clock)

    @property
    def service(self) -> RfmService:
        return RfmService(self.database, self.refresher, self.clock)

    @property
    def batches(self) -> OrderBatches:
        return OrderBatches(self.database, self.outbox, self.refresher, self.clock)

    @property
    def schedules(self) -> Schedules:
        return Schedules(self.database, self.clock)

    @property
    def jobs(self) -> RfmJobs:
        return RfmJobs(self.database, self.refresher, self.clock)

    def privacy_on(self, database: Database) -> PrivacyRequests:
        """The consumer of privacy requests on another access to the same database."""
        return PrivacyRequests(database, self.outbox, self.keys, self.clock, SCORES, GdprRequestCreated.read)

    async def ask(self, request: Event) -> GdprRequestConfirmed:
        """Let a privacy request be done. Returns the latest confirmation."""
        await self.privacy_on(self.database).handle([request])
        (row,) = await self.fetch(
            "SELECT payload FROM rfm.outbox WHERE topic = $1 ORDER BY id DESC LIMIT 1", GdprRequestConfirmed.topic
        )
        return msgspec.json.decode(row["payload"], type=GdprRequestConfirmed)

    async def give(self, events: Iterable[Event]) -> None:
        """Hand each event to the consumer of its topic, neighbours of one topic as a batch."""
        batch: list[Event] = []
        for event in [*events, None]:
            if batch and (event is None or event.topic != batch[-1].topic):
                handle = self.batches.earned if batch[0].topic == PointsEarned.topic else self.batches.clawed_back
                await handle(batch)
                batch = []
            if event is not None:
                batch.append(event)

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with self.database.worker() as connection:
            return list(await connection.fetch(query, *values))

    async def as_owner(self, statement: str) -> None:
        """Run a statement as the owner of the database."""
        async with self.database.session() as connection:
            await connection.execute(statement)

    async def take_updates(self, merchant_id: str) -> list[RfmUpdated]:
        """What the outbox holds of a merchant, in its order; it is taken out. Payloads are written as msgspec does."""
        rows = await self.fetch(
            """
            WITH gone AS (DELETE FROM rfm.outbox WHERE merchant_id = $1 RETURNING *)
            SELECT * FROM gone ORDER BY id
            """,
            merchant_id,
        )
        updates = []
        for row in rows:
            update = msgspec.json.decode(row["payload"], type=RfmUpdated)
            assert msgspec.json.encode(update) == row["payload"]
            assert (row["topic"], row["key"]) == ("rfm.updated", str(update.customer_id))
            assert row["event_id"].version == 7
            assert row["occurred_at"] == update.as_of
            updates.append(update)
        assert len({row["event_id"] for row in rows}) == len(rows)
        return updates

    async def scored(self, merchant_id: str) -> dict[int, Scored]:
        """The scores of the population, as stored."""
        rows = await self.fetch(
            """
            SELECT customer_id, recency_score, frequency_score, monetary_score, segment FROM rfm.customers
            WHERE merchant_id = $1 AND orders > 0
            """,
            merchant_id,
        )
        return {row[0]: Scored(*tuple(row)[1:]) for row in rows}

    async def values(self, merchant_id: str, timezone: str = "UTC") -> dict[int, Values]:
        """What the population is scored by, as stored."""
        rows = await self.fetch(
            "SELECT customer_id, last_order_at, orders, monetary FROM rfm.customers WHERE merchant_id=$1 AND orders>0",
            merchant_id,
        )
        zone = ZoneInfo(timezone)
        return {row[0]: Values(row[1].astimezone(zone).date(), row[2], row[3]) for row in rows}

    async def cut_points(self, merchant_id: str) -> CutPoints:
        (row,) = await self.fetch(
            "SELECT recency, frequency, monetary FROM rfm.cut_points WHERE merchant_id = $1", merchant_id
        )
        return CutPoints(*row)

    async def deltas(self, merchant_id: str) -> list[Any]:
        """Movements in the order that they were written, told apart by their ids."""
        return await self.fetch(
            "SELECT * FROM rfm.rfm_segment_deltas WHERE merchant_id = $1 ORDER BY changed_at, delta_id", merchant_id
        )

    async def set_schedule(self, merchant_id: str, cron: str = "0 1 * * *", timezone: str = "UTC") -> None:
        """Give a merchant its first schedule."""
        await self.schedules.settings_changed([settings_changed(merchant_id, 1, cron, timezone)])


def earned(merchant_id: str, order_id: int, customer_id: int, base: str | Decimal, placed_at: datetime = NOON) -> Event:
    """An order has earned."""
    return PointsEarned(
        customer_id=customer_id,
        points=1,
        reason="order",
        available_at=placed_at,
        order_id=order_id,
        base=Decimal(base),
        currency="USD",
        placed_at=placed_at,
    ).event(merchant_id, str(customer_id))


def clawed_back(
    merchant_id: str, order_id: int, customer_id: int, net_base: str | Decimal, *, cancelled: bool = False
) -> Event:
    """An order is worth less."""
    return PointsClawedBack(
        customer_id=customer_id, order_id=order_id, points=0, net_base=Decimal(net_base), cancelled=cancelled
    ).event(merchant_id, str(customer_id))


def joined(merchant_id: str, customer_id: int) -> Event:
    """Points that no order earned."""
    return PointsEarned(customer_id=customer_id, points=100, reason="joining", available_at=NOON).event(
        merchant_id, str(customer_id)
    )


def rules(cron: str, timezone: str) -> ProgramRules:
    """The least rules, with a schedule."""
    rule = EarningRule(name="joining", trigger=Trigger.CUSTOMER, points=1)
    return ProgramRules(earning=Earning(rules=(rule,)), rfm=Rfm(schedule=cron, timezone=timezone))


def settings_changed(merchant_id: str, version: int, cron: str, timezone: str) -> Event:
    """The merchant's rules have a new version."""
    return SettingsChanged(
        version=version,
        rules=msgspec.Raw(rules(cron, timezone).to_json().encode()),
        changed_by="someone",
        changed_at=NOON,
    ).event(merchant_id, merchant_id)


def in_batches(events: Sequence[Event], size: int) -> list[Sequence[Event]]:
    """`events` cut into batches."""
    return [events[start : start + size] for start in range(0, len(events), size)]


def segments_told(updates: Iterable[RfmUpdated]) -> dict[int, Scored]:
    """What a reader of all `updates` believes, having checked that each goes on from the one before."""
    believed: dict[int, Scored] = {}
    for update in updates:
        before = believed.get(update.customer_id, Scored(0, 0, 0, ""))
        after = Scored(update.recency, update.frequency, update.monetary, update.segment)
        assert update.previous_segment == before.segment
        assert after != before
        believed[update.customer_id] = after
    return {customer: scored for customer, scored in believed.items() if scored.recency}
