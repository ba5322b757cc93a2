"""The job that decides and makes the messages that are due, and gives them to event_tracking.

A batch of one merchant: first core is asked, once, for the customers' contacts, and the keys are fetched; then
one transaction decides, renders, seals, and writes what became of each message together with the events. Nothing waits
for the network while it holds rows. A message is locked and still pending when it is decided, so however many processes
run and whatever is killed, it is decided once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from loyalnest.admin_features import address_repository, message_repository, metrics
from loyalnest.admin_features.deciding import Batch, contact_of
from loyalnest.admin_features.decisions import HISTORY_SHADOW, INVITED_AGAIN
from loyalnest.admin_features.feedback_repository import forget as forget_feedback
from loyalnest.admin_features.models import Contact
from loyalnest.core import core_pb2
from loyalnest.kit.clock import Clock
from loyalnest.kit.context import as_merchant
from loyalnest.kit.crypto.keyring import KeyRing, MerchantKeys
from loyalnest.kit.database import OUTAGES, Database
from loyalnest.kit.errors import NotFound
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.rules_projection import RulesProjection

log = structlog.get_logger(__name__)

BATCH: Final = 200
"""Messages that one transaction makes: rendering is a millisecond each, and a transaction should be short."""
AGAIN: Final = timedelta(seconds=30)
"""When messages are tried again whose merchant could not be served: others must not wait for it."""
CORE_SECONDS: Final = 10.0
MESSAGES_KEPT: Final = timedelta(days=400)
"""A year and its comparison with the year before."""
FEEDBACK_KEPT: Final = timedelta(days=7)
"""Longer than any provider repeats a telling, or its signature is good."""


class Sending:
    """Messages from pending to queued or suppressed. `core` is the stub of core; `bus_lag` counts orders' events that
    are not seen here yet.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: KeyRing,
        rules: RulesProjection,
        core: Any,
        clock: Clock,
        *,
        public_url: str,
        email_from: str,
        bus_lag: Any,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._rules = rules
        self._core = core
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._email_from = email_from
        self._bus_lag = bus_lag

    async def run(self) -> int:
        """Decide everything that is due. Returns how many messages were decided."""
        total = 0
        while True:
            async with self._database.worker() as connection:
                found = await message_repository.due(connection, self._clock(), BATCH)
            settled = not found or await self._bus_lag() < BATCH
            for merchant_id, messages in found.items():
                try:
                    total += await self._merchant(merchant_id, messages, settled=settled)
                except Exception as error:
                    # Whatever it is, other merchants' messages must not wait behind it.
                    if isinstance(error, OUTAGES):
                        log.warning("messages.outage", merchant_id=merchant_id, error=repr(error))
                    else:
                        log.exception("messages.failed", merchant_id=merchant_id)
                    await self._postpone(merchant_id, [message_id for message_id, _ in messages])
            if sum(map(len, found.values())) < BATCH:
                return total

    async def tidy(self) -> int:
        """Forget what is of no use any more. Returns how many rows."""
        now = self._clock()
        async with self._database.worker() as connection:
            done = await address_repository.forget_history(connection, now - HISTORY_SHADOW)
            done += await forget_feedback(connection, now - FEEDBACK_KEPT)
        while True:
            async with self._database.worker() as connection:
                some = await message_repository.forget(connection, now - MESSAGES_KEPT, now - INVITED_AGAIN, BATCH)
            done += some
            if not some:
                return done

    async def observe(self) -> None:
        """Set the gauge of what waits."""
        async with self._database.worker() as connection:
            metrics.WAITING.set(await message_repository.count_due(connection, self._clock()))

    async def _merchant(self, merchant_id: str, messages: Sequence[tuple[UUID, int]], *, settled: bool) -> int:
        keys = await self._keys_of(merchant_id)
        contacts = await self._contacts(merchant_id, {customer for _, customer in messages if customer > 0})
        async with self._database.worker() as connection:
            rows = await message_repository.lock_pending(connection, merchant_id, [each for each, _ in messages])
            batch = Batch(
                merchant_id,
                rows,
                contacts,
                keys,
                self._clock(),
                settled=settled,
                public_url=self._public_url,
                email_from=self._email_from,
            )
            await batch.load(connection, self._rules)
            await asyncio.to_thread(batch.work)
            await batch.store(connection, self._outbox)
        batch.count()
        return len(batch.decided)

    async def _keys_of(self, merchant_id: str) -> MerchantKeys | None:
        try:
            return await self._keys.for_merchant(merchant_id)
        except NotFound:  # a shop that was redacted
            return None

    async def _contacts(self, merchant_id: str, customers: set[int]) -> Mapping[int, Contact]:
        if not customers:
            return {}
        with as_merchant(merchant_id):
            answer = await self._core.GetContacts(
                core_pb2.GetContactsRequest(customer_ids=sorted(customers)), timeout=CORE_SECONDS
            )
        return {each.customer_id: contact_of(each) for each in answer.contacts}

    async def _postpone(self, merchant_id: str, message_ids: Sequence[UUID]) -> None:
        async with self._database.worker() as connection:
            await message_repository.postpone(connection, merchant_id, message_ids, self._clock() + AGAIN)
