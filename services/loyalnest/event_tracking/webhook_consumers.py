"""Events that merchants subscribed to, taken into the queue."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
import structlog

from loyalnest.event_tracking import queue_repository, webhook_repository
from loyalnest.event_tracking.handlers import WEBHOOK
from loyalnest.event_tracking.models import DEFAULT_PRIORITY, NewTask
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.event_tracking.webhook_bodies import WEBHOOK_PURPOSE, Delivery, public_form
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.database import Database
from loyalnest.kit.errors import NotFound
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.inbox import take_new

log = structlog.get_logger(__name__)

TRIED_FOR: Final = timedelta(days=1)
MOST_ATTEMPTS: Final = 25
"""More than fit into the day, by the backoff of `transitions`."""


class WebhookEvents:
    """Makes one task for each event and each subscription that wants it."""

    def __init__(self, database: Database, queue: TaskQueue, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._queue = queue
        self._keys = keys
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply a batch of one topic. Where nobody subscribed, it costs one look at an index, and nothing is written.

        Raises msgspec.ValidationError for an event of a subscribed merchant that is none of its topic.
        """
        merchants = {event.merchant_id for event in events}
        async with self._database.worker() as connection:
            wanted = await webhook_repository.wanted(connection, events[0].topic, merchants)
        if not wanted:
            return
        subscriptions: dict[str, list[UUID]] = defaultdict(list)
        for merchant_id, subscription_id in wanted:
            subscriptions[merchant_id].append(subscription_id)
        keys = await self._keys_of(subscriptions)
        mine = [event for event in events if event.merchant_id in keys]
        async with self._database.worker() as connection:
            new = await take_new(connection, "event_tracking", mine)
            told = [(event, *form) for event in new if (form := public_form(event)) is not None]
            redacted = await queue_repository.tell_recipients(
                connection, ((event.merchant_id, customer_id) for event, customer_id, _ in told), self._clock()
            )
            await self._queue.add(
                connection,
                [
                    self._task(event, customer_id, body, subscription_id, keys[event.merchant_id])
                    for event, customer_id, body in told
                    if (at := redacted.get((event.merchant_id, customer_id))) is None or event.occurred_at > at
                    for subscription_id in subscriptions[event.merchant_id]
                ],
            )

    async def _keys_of(self, merchants: dict[str, list[UUID]]) -> dict[str, MerchantKeys]:
        """The keys of those who have some: a redacted shop has none, and gets nothing."""
        found = {}
        for merchant_id in merchants:
            try:
                found[merchant_id] = await self._keys.for_merchant(merchant_id)
            except NotFound:
                log.info("webhooks.of_a_redacted_shop", merchant_id=merchant_id)
        return found

    def _task(self, event: Event, customer_id: int, body: str, subscription_id: UUID, keys: MerchantKeys) -> NewTask:
        now = self._clock()
        content = Delivery(merchant_id=event.merchant_id, subscription_id=subscription_id, event_id=event.id, body=body)
        return NewTask(
            merchant_id=event.merchant_id,
            task_id=new_id(),
            kind=WEBHOOK,
            unique_key=f"{subscription_id}:{event.id}",
            customer_id=customer_id,
            reason=event.topic,
            priority=DEFAULT_PRIORITY,
            due_at=now,
            expires_at=now + TRIED_FOR,
            max_attempts=MOST_ATTEMPTS,
            created_at=now,
            sealed=keys.seal(WEBHOOK_PURPOSE, msgspec.json.encode(content)),
            subscription_id=subscription_id,
        )
