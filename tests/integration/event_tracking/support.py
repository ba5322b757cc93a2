"""The service event_tracking with its real parts on a database of the tests' own, and short ways to queue messages."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from fixtures.keys import KeyStore
from loyalnest.admin_core.events import GdprRequestConfirmed, GdprRequestCreated
from loyalnest.admin_features.events import MESSAGE_PURPOSE, EmailEventCreated, Message
from loyalnest.event_tracking import event_tracking_pb2 as pb
from loyalnest.event_tracking.consumers import EmailEvents
from loyalnest.event_tracking.event_tracking_pb2_grpc import EventTrackingServiceStub
from loyalnest.event_tracking.events import TaskCompleted
from loyalnest.event_tracking.grpc import EventTrackingGrpc
from loyalnest.event_tracking.handlers import WEBHOOK, handlers
from loyalnest.event_tracking.jobs import TaskJobs
from loyalnest.event_tracking.manifest import SERVICE
from loyalnest.event_tracking.models import Delivered, Handler, Outcome
from loyalnest.event_tracking.pacing import Pace
from loyalnest.event_tracking.privacy_repository import TasksKept
from loyalnest.event_tracking.service import TaskService
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.event_tracking.webhook_consumers import WebhookEvents
from loyalnest.event_tracking.webhook_delivery import WebhookSender
from loyalnest.event_tracking.webhook_service import WebhookService
from loyalnest.event_tracking.worker import Worker
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import OUTAGES, Database, Pools
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.privacy import PrivacyRequests
from loyalnest.kit.rpc import Channels, MethodTable
from loyalnest.kit.settings import Settings

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEEP = timedelta(days=30)
FAST = 100_000.0
"""Messages a second, where the pace is not what is tested."""


class SettableClock:
    """A clock that moves when the test says so."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class EventTracking:
    """The parts of event_tracking, as its manifest puts them together, but with a clock of the test's."""

    database: Database
    clock: SettableClock = field(default_factory=SettableClock)
    store: KeyStore = field(default_factory=KeyStore)
    outbox: Outbox = field(default_factory=lambda: Outbox("event_tracking"))
    jitter: Callable[[], float] = random.random
    closing: list[Handler] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = KeyRing(self.store, self.store.keks)
        self.queue = TaskQueue(self.database, self.outbox, self.clock, self.jitter)
        self.events = EmailEvents(self.database, self.queue, self.clock)
        self.service = TaskService(self.database, self.outbox, self.queue, self.keys, self.clock)
        self.webhooks = WebhookService(self.database, self.outbox, self.queue, self.keys, self.clock, private=True)
        self.webhook_events = WebhookEvents(self.database, self.queue, self.keys, self.clock)
        self.jobs = TaskJobs(self.database, self.outbox, KEEP, self.clock)
        self.privacy = PrivacyRequests(
            self.database, self.outbox, self.keys, self.clock, TasksKept(self.queue), GdprRequestCreated.read
        )

    def handlers(self, **settings: Any) -> Mapping[str, Handler]:
        """The handlers under these settings, as fast as they go."""
        given = settings_of(**settings)
        sender = WebhookSender(self.database, self.outbox, self.keys, given, self.clock)
        made = {**handlers(given, self.clock), WEBHOOK: sender.handler()}
        self.closing.extend(made.values())
        return made

    def worker(self, kind: str = "email", **settings: Any) -> Worker:
        """A worker of its own under these settings."""
        return self.worker_with(self.handlers(**settings)[kind], kind)

    def worker_with(self, handler: Handler, kind: str = "email") -> Worker:
        return Worker(kind, handler, self.queue, self.keys, Pace(kind, handler.per_second))

    async def sealed(self, merchant_id: str = "acme", **fields: str) -> bytes:
        keys = await self.keys.for_merchant(merchant_id)
        return keys.seal(MESSAGE_PURPOSE, msgspec.json.encode(message(**fields)))

    async def told(self, merchant_id: str = "acme", **fields: Any) -> Event:
        """The event of a message."""
        values: dict[str, Any] = {
            "message_id": new_id(),
            "channel": "email",
            "customer_id": 1,
            "reason": "points_earned",
            "created_at": self.clock(),
        } | fields
        if "sealed" not in values:
            values["sealed"] = await self.sealed(merchant_id)
        event = EmailEventCreated(**values)
        return event.event(merchant_id, str(event.message_id))

    async def add(self, merchant_id: str = "acme", **fields: Any) -> UUID:
        """Queue a message. Returns its task's id."""
        event = await self.told(merchant_id, **fields)
        await self.handle(event)
        rows = await self.sql(
            "SELECT task_id FROM event_tracking.queue_tasks WHERE merchant_id = $1 AND unique_key = $2",
            merchant_id,
            event.key,
        )
        found: UUID = rows[0]["task_id"]
        return found

    async def handle(self, *events: Event) -> None:
        """Handle events as one batch, as the consumer loop does: outages are tried again."""
        await until_done(lambda: self.events.handle(events))

    async def task(self, task_id: UUID) -> asyncpg.Record:
        (row,) = await self.sql("SELECT * FROM event_tracking.queue_tasks WHERE task_id = $1", task_id)
        return row

    async def outcomes(self, task_id: UUID) -> list[str]:
        rows = await self.sql(
            "SELECT outcome FROM event_tracking.task_attempts WHERE task_id = $1 ORDER BY attempt", task_id
        )
        return [row["outcome"] for row in rows]

    async def finish(self, worker: Worker, within_hours: int = 48) -> None:
        """Let time go by until every task has ended."""
        for _ in range(within_hours * 2):
            await self.queue.take_from_the_dead()
            await worker.run_due()
            if not await self.sql("SELECT FROM event_tracking.queue_tasks WHERE finished_at IS NULL"):
                return
            self.clock.advance(minutes=30)
        raise AssertionError("a task never ended")

    async def ask(self, *requests: Event) -> list[GdprRequestConfirmed]:
        """Let privacy requests be done. Returns what was confirmed so far."""
        await until_done(lambda: self.privacy.handle(requests))
        return [
            msgspec.convert(each, GdprRequestConfirmed, strict=False)
            for each in await self.published(GdprRequestConfirmed.topic)
        ]

    async def completed(self) -> list[TaskCompleted]:
        return [msgspec.convert(each, TaskCompleted, strict=False) for each in await self.published("task.completed")]

    async def published(self, topic: str) -> list[dict[str, Any]]:
        """The payloads of a topic in the outbox, in their order."""
        rows = await self.sql("SELECT payload FROM event_tracking.outbox WHERE topic = $1 ORDER BY id", topic)
        return [msgspec.json.decode(row["payload"]) for row in rows]

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement as the superuser, past row-level security."""
        async with self.database.session() as session:
            return await session.fetch(statement, *arguments)

    async def call(self, method: str, *, merchant: str = "acme", role: str = "owner", **fields: Any) -> Any:
        """Call a gRPC method by its name, through the channel that other services have."""
        table = MethodTable()
        assert SERVICE.rpc
        SERVICE.rpc.register(EventTrackingGrpc(self.service, self.webhooks), table)
        stub: Any = EventTrackingServiceStub(
            Channels({"event_tracking": table}, {}).channel("event_tracking")  # type: ignore[arg-type]
        )
        with as_merchant(merchant, actor="ann", role=role):
            return await getattr(stub, method)(getattr(pb, f"{method}Request")(**fields))


async def nothing_to_close() -> None:
    """For handlers that keep nothing open."""


class Script:
    """A handler that notes what it is asked and gives the answers of the test, `Delivered` in the end."""

    def __init__(self, *answers: Outcome, remembers: timedelta = timedelta(hours=23)) -> None:
        self.asked: list[UUID] = []
        self.answers = list(answers)
        self.handler = Handler("script", MESSAGE_PURPOSE, remembers, FAST, self._perform, nothing_to_close)

    async def _perform(self, task_id: UUID, _payload: bytes) -> Outcome:
        self.asked.append(task_id)
        return self.answers.pop(0) if self.answers else Delivered("x")


async def open_event_tracking(url: str, pools: Pools, **parts: Any) -> EventTracking:
    return EventTracking(Database(await pools.open(url), "event_tracking"), **parts)


def settings_of(**fields: Any) -> Settings:
    values = {
        "email_per_second": FAST,
        "sms_per_second": FAST,
        "webhooks_per_second": FAST,
        "webhooks_to_private_addresses": True,
        "email_from": "Acme <shop@acme.example>",
    } | fields
    return Settings.model_validate(values)


def message(**fields: Any) -> Message:
    values = {"to": "anna@example.com", "subject": "Your points", "text": "You have 120 points."} | fields
    return Message(**values)


async def until_done(work: Callable[[], Any]) -> None:
    """Do the work as the consumer loop does: outages, a lost race among them, are tried again."""
    for _ in range(100):
        try:
            await work()
        except OUTAGES:
            await asyncio.sleep(0.002)
        else:
            return
    raise AssertionError("it never went through")
