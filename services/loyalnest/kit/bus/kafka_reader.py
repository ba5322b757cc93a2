"""The reading side of the Kafka bus: one consumer per subscription, driven from a thread of its own."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import Counter

from loyalnest.kit.bus.base import Batch
from loyalnest.kit.bus.kafka_admin import ASK_SECONDS
from loyalnest.kit.bus.kafka_messages import ClientLog, event_of
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event

log = structlog.get_logger(__name__)

T = TypeVar("T")

FOREIGN = Counter("loyalnest_foreign_messages_total", "Kafka messages skipped: not written by LoyalNest.", ["topic"])

_LOST = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - documented codes
        KafkaError._NO_OFFSET,  # noqa: SLF001
    }
)
"""Refused commits after which another member reads the partition: the batch comes to it again, which is allowed."""


def consumer_settings(brokers: str, client_id: str, group: str) -> dict[str, Any]:
    """Settings common to every consumer of the bus."""
    return {
        "bootstrap.servers": brokers,
        "client.id": client_id,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "reconnect.backoff.max.ms": 1000,
        "queued.max.messages.kbytes": 8192,  # a process may have forty of these
        "queued.min.messages": 5000,
        "fetch.queue.backoff.ms": 20,
        "logger": ClientLog(),
    }


def committed_offsets(consumer: Consumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """What the consumer's group has committed of the Kafka topic `topic`, by partition. Raises Unavailable.

    The admin client could tell, too, but ends the whole process if the coordinator moves meanwhile
    (confluentinc/librdkafka#5040, open).
    """
    try:
        answers = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=ASK_SECONDS)
    except (KafkaException, RuntimeError) as error:
        raise Unavailable(f"Kafka does not tell a group's position: {error}") from error
    return {place.partition: place.offset for place in answers if place.offset >= 0}


class KafkaSubscription:
    """One consumer in the group `group_id`; Kafka itself shares the partitions out among the group's members.

    A partition may be taken away while its batch is being applied. The batch then comes to another member as well,
    which handlers bear.
    """

    def __init__(self, settings: dict[str, Any], topic: str, kafka_topic: str) -> None:
        self._topic, self._kafka_topic = topic, kafka_topic
        self.group: str = settings["group.id"]
        self._settings = settings | {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 2_000,
            "max.poll.interval.ms": 900_000,
            "topic.metadata.refresh.interval.ms": 30_000,
        }
        self._consumer: Consumer | None = None
        self._thread: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix=f"kafka-{topic}")
        self._open: dict[int, int] = {}  # partition -> offset of the first message fetched and not committed
        self._reached: dict[int, int] = {}  # partition -> offset after the last message fetched
        self._rewind = False
        self._untaken = False

    @property
    def is_open(self) -> bool:
        """Whether it was not closed."""
        return self._thread is not None

    async def fetch(self, limit: int, wait: float) -> Batch:
        """See Subscription. Raises Unavailable if the broker refuses; while it is away, batches are empty."""
        batch = await self._call(lambda: self._fetch(limit, wait))
        self._untaken = False  # if we are cancelled the thread goes on, and its next fetch gives the same again
        return batch

    async def commit(self, batch: Batch) -> None:
        """See Subscription. Raises Unavailable if the broker does not note it."""
        if batch.position:
            await self._call(lambda: self._commit(batch.position))

    async def rewind(self) -> None:
        """See Subscription. Done by the next fetch."""
        self._rewind = True

    async def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """See `committed_offsets`, for the subscription's group. Waits while a fetch waits. Raises Unavailable."""
        return await self._call(lambda: committed_offsets(self._joined(), self._kafka_topic, partitions))

    async def close(self) -> None:
        """See Subscription."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise Unavailable("The subscription is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # What follows runs in the subscription's thread.

    def _fetch(self, limit: int, wait: float) -> Batch:
        try:
            consumer = self._joined()
            if self._rewind or self._untaken:
                self._seek_back(consumer)
            first = consumer.poll(wait)
            if first is None:
                return Batch((), {})
            messages = [first, *consumer.consume(limit - 1, 0.0)] if limit > 1 else [first]
        except (KafkaException, RuntimeError) as error:
            raise Unavailable(f"Kafka cannot be read: {error}") from error
        self._untaken = True
        untouched = not self._open
        events: list[Event] = []
        reached: dict[int, int] = {}
        for message in messages:
            fault = message.error()
            if fault is not None:
                self._complain(fault)
                continue
            partition, offset = _place(message)
            self._open.setdefault(partition, offset)
            reached[partition] = offset + 1
            try:
                events.append(event_of(self._topic, message))
            except ValueError as error:
                FOREIGN.labels(self._topic).inc()
                log.warning(
                    "kafka.foreign_message", topic=self._topic, partition=partition, offset=offset, error=str(error)
                )
        self._reached |= reached
        if reached and not events and untouched:  # nobody will commit an empty batch
            with suppress(Unavailable):
                self._commit(reached)
        return Batch(events, reached)

    def _complain(self, fault: KafkaError) -> None:
        """librdkafka mends outages by itself and says so; only what it cannot mend is for the operator's eyes."""
        if fault.fatal():
            log.error("kafka.consumer_renewed", topic=self._topic, error=fault.str())
            self._close()
        else:
            log.info("kafka.consumer", topic=self._topic, error=fault.str())

    def _commit(self, reached: dict[int, int]) -> None:
        if self._consumer is None:
            return
        places = [TopicPartition(self._kafka_topic, p, offset) for p, offset in reached.items()]
        try:
            answers = self._consumer.commit(offsets=places, asynchronous=False) or []
            faults = [place.error for place in answers if place.error is not None]
        except KafkaException as error:
            faults = [error.args[0]]
        for fault in faults:
            if fault.code() not in _LOST:
                raise Unavailable(f"Kafka did not note the position: {fault.str()}")
            log.info("kafka.commit_refused", topic=self._topic, error=fault.str())
        for partition, offset in reached.items():
            if self._reached.get(partition) == offset:
                self._open.pop(partition, None)
            elif partition in self._open:
                self._open[partition] = offset

    def _seek_back(self, consumer: Consumer) -> None:
        assigned = {place.partition for place in consumer.assignment()}
        for partition, offset in list(self._open.items()):
            if partition in assigned:
                consumer.seek(TopicPartition(self._kafka_topic, partition, offset))
            del self._open[partition]  # if it is another's by now, that one starts at the committed position
        self._rewind = self._untaken = False

    def _joined(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
            self._consumer.subscribe([self._kafka_topic], on_revoke=self._revoked, on_lost=self._revoked)
        return self._consumer

    def _revoked(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        for place in places:
            self._open.pop(place.partition, None)

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._open.clear()
        if consumer is not None:
            with suppress(KafkaException, RuntimeError):
                consumer.close()


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise Unavailable("Kafka gave a message without a place.")
    return partition, offset
