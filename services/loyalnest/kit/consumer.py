"""The consumer loop: fetch a batch, apply it in one transaction, commit the position.

An outage (the database is away, a deadlock) is waited out for as long as it takes: nothing is given up because
of it. Anything else is a fault of some event: the batch is split until the faulty ones stand alone, each is tried
a few times more, and then goes to the service's dead-letter topic with its error.
"""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import ClassVar

import msgspec
import structlog
from opentelemetry import context as otel_context
from opentelemetry import propagate

from loyalnest.kit import metrics
from loyalnest.kit.bus import EventBus, Subscription
from loyalnest.kit.clock import system_clock
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import RaceLost, Unavailable
from loyalnest.kit.events import Event, Payload
from loyalnest.kit.service import Consumer, Service

log = structlog.get_logger(__name__)

FETCH_WAIT_SECONDS = 1.0
ATTEMPTS_ALONE = 3
PACE_SECONDS = 0.05
"""Rest after a batch that was far from full. The first event after a quiet time is applied at once, and what comes
during the rest shares a transaction, which costs little more for ten events than for one."""


class DeadLetter(Payload, frozen=True, kw_only=True):
    """An event that a service gave up on. The original is kept whole, so that a replay publishes it unchanged."""

    topic: ClassVar[str] = ""

    service: str
    error: str
    failed_at: datetime
    original: Event


def dead_letter_topic(service: str) -> str:
    """The topic that holds what `service` gave up on."""
    return f"dead_letter.{service}"


def topics_of(services: Iterable[Service], running: Iterable[Service]) -> list[str]:
    """The topics that all `services` write, and that those of them which are `running` read or give up to."""
    topics = {payload.topic for each in services for payload in each.produces}
    for each in running:
        topics |= {*each.consumes, dead_letter_topic(each.name)}
    return sorted(topics)


class ConsumerLoop:
    """One member of a service's group on one topic."""

    def __init__(self, service: str, consumer: Consumer, bus: EventBus, member: int) -> None:
        self._service = service
        self._consumer = consumer
        self._bus = bus
        self._member = member
        for counter in (metrics.EVENTS_HANDLED, metrics.EVENTS_RETRIED, metrics.DEAD_LETTERS):
            counter.labels(service, consumer.topic)  # at 0 from the start, else the first one is no increase
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish the batch under way, then return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`."""
        subscription: Subscription | None = None
        delay = 0.1
        while not self._stopping.is_set():
            try:
                if subscription is None:
                    subscription = self._bus.subscribe(
                        self._service, self._consumer.topic, member=self._member, members=self._consumer.workers
                    )
                batch = await subscription.fetch(self._consumer.batch, FETCH_WAIT_SECONDS)
                if batch.events:
                    await self._apply(batch.events)
                    await subscription.commit(batch)
                    if len(batch.events) < self._consumer.batch // 2:
                        await self._rest(PACE_SECONDS)
                delay = 0.1
            except OUTAGES as error:
                tell = (
                    log.debug if isinstance(error, RaceLost) else log.warning
                )  # a lost race is in the order of things
                tell("consumer.outage", service=self._service, topic=self._consumer.topic, error=repr(error))
                metrics.EVENTS_RETRIED.labels(self._service, self._consumer.topic).inc()
                if subscription is not None:
                    with suppress(*OUTAGES):
                        await subscription.rewind()
                delay = await self._back_off(delay)
        if subscription is not None:
            await subscription.close()

    async def _apply(self, events: Sequence[Event]) -> None:
        """Apply `events`, giving up only on those that are at fault. Raises on an outage."""
        try:
            await self._handle(events)
        except OUTAGES:
            raise
        except Exception as error:  # any other failure is the fault of an event, whatever its kind
            if len(events) == 1:
                await self._retry_alone(events[0], error)
                return
            middle = len(events) // 2
            await self._apply(events[:middle])
            await self._apply(events[middle:])

    async def _handle(self, events: Sequence[Event]) -> None:
        started = time.perf_counter()
        token = otel_context.attach(propagate.extract({"traceparent": events[0].traceparent}))
        try:
            await self._consumer.handle(events)
        finally:
            otel_context.detach(token)
        labels = (self._service, self._consumer.topic)
        metrics.EVENTS_HANDLED.labels(*labels).inc(len(events))
        metrics.BATCH_SECONDS.labels(*labels).observe(time.perf_counter() - started)
        oldest = min(event.occurred_at for event in events)
        metrics.EVENT_AGE_SECONDS.labels(*labels).observe(max(0.0, (system_clock() - oldest).total_seconds()))

    async def _retry_alone(self, event: Event, error: Exception) -> None:
        delay = 0.1
        for _ in range(ATTEMPTS_ALONE - 1):
            delay = await self._back_off(delay)
            if self._stopping.is_set():  # nothing is given up in haste: the batch comes again after the next start
                raise Unavailable(f"Stopped while event {event.id} was being retried.") from error
            try:
                await self._handle([event])
            except OUTAGES:
                raise
            except Exception as again:
                error = again
            else:
                return
        await self._give_up(event, error)

    async def _give_up(self, event: Event, error: Exception) -> None:
        log.error(
            "consumer.dead_letter",
            service=self._service,
            topic=event.topic,
            event_id=str(event.id),
            merchant_id=event.merchant_id,
            exc_info=error,
        )
        letter = DeadLetter(
            service=self._service,
            error=f"{type(error).__name__}: {error}"[:2000].encode("utf-8", "replace").decode(),
            failed_at=system_clock(),
            original=event,
        )
        wrapped = letter.event(event.merchant_id, event.key)
        await self._bus.publish([msgspec.structs.replace(wrapped, topic=dead_letter_topic(self._service))])
        metrics.DEAD_LETTERS.labels(self._service, event.topic).inc()

    async def _back_off(self, delay: float) -> float:
        """Sleep `delay` seconds give or take a third, less if stopping. Returns the next delay."""
        await self._rest(delay * random.uniform(0.67, 1.33))  # noqa: S311 - jitter
        return min(delay * 2, 10.0)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
