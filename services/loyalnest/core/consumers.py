"""Events of others that core acts on: Shopify's deliveries, and the scores of rfm."""

from collections.abc import Sequence

from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.core.events import CustomerCreated
from loyalnest.core.merging import report_of, tells_of_customer
from loyalnest.core.models import Report, Source
from loyalnest.core.repository import Registry, upsert_scores
from loyalnest.core.sealing import Vault
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.events import Event
from loyalnest.kit.inbox import take_new
from loyalnest.kit.outbox import Outbox
from loyalnest.rfm.events import RfmUpdated


class DeliveryBatches:
    """The consumer of `webhook.received`: whoever a delivery tells of becomes a customer, or is brought up to date."""

    def __init__(self, database: Database, outbox: Outbox, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._vault = vault
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply `events` in one transaction; those applied before, and those that tell of no customer, do nothing."""
        # Keys may have to be fetched from another process: not while a transaction holds rows and a connection.
        concerned = [
            (event, delivery) for event in events if tells_of_customer(delivery := WebhookReceived.read(event))
        ]
        if not concerned:
            return
        reports = {(event.merchant_id, event.id): await self._read(event, delivery) for event, delivery in concerned}
        keys = await self._vault.keys_of(merchant_id for merchant_id, _ in reports)
        async with self._database.worker() as connection:
            new = await take_new(connection, "core", [event for event, _ in concerned])
            told = [report for event in new if (report := reports[event.merchant_id, event.id]) is not None]
            registry = Registry()
            await registry.lock(connection, ((each.merchant_id, each.customer_id) for each in told))
            registry.apply(told, keys, self._clock())
            await registry.store(connection)
            await self._outbox.append(connection, registry.events())

    async def _read(self, event: Event, delivery: WebhookReceived) -> Report | None:
        personal = await self._vault.open_delivery(event.merchant_id, delivery.sealed)
        return report_of(event.merchant_id, delivery, personal, event.occurred_at)


class Scores:
    """The consumer of `rfm.updated`. The moment of the scores makes it idempotent and independent of order."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Keep the newest scores. That they changed is not told on: rfm has told it, and listens to core."""
        async with self._database.worker() as connection:
            now = self._clock()
            changes = [(event.merchant_id, RfmUpdated.read(event)) for event in events]
            made = await upsert_scores(connection, changes, now)
            told = [
                CustomerCreated(customer_id=customer_id, source=Source.RFM, created_at=now).event(
                    merchant_id, str(customer_id)
                )
                for merchant_id, customer_id in made
            ]
            await self._outbox.append(connection, told)
